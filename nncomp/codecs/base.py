"""What a codec is: the one protocol, its parameters, and the method string.

A codec turns an iterator of raw chunks into an iterator of blocks and back, with
memory bounded by its own block size. It never sees files, headers or checksums:
those belong to the container, which in turn knows nothing about codecs. `api` joins
the two.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterable, Iterator, Mapping
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO, Literal, Protocol, TypeAlias, runtime_checkable

from nncomp.errors import MethodError

if TYPE_CHECKING:
    from nncomp.codecs.account import Account
    from nncomp.weights import Weights

__all__ = [
    "Base",
    "Block",
    "Buffer",
    "Codec",
    "Context",
    "Explains",
    "Param",
    "Params",
    "Value",
    "Weighted",
    "format_params",
    "pack_params",
    "parse_method",
    "rechunk",
    "resolve_params",
    "unpack_params",
]

Value: TypeAlias = int | float | str | bool
Params: TypeAlias = Mapping[str, Value]
Buffer: TypeAlias = bytes | bytearray | memoryview

_SHAPE = re.compile(r"[1-9][0-9]{0,8}(x[1-9][0-9]{0,8})*")
_SUFFIXES = {"K": 1 << 10, "M": 1 << 20, "G": 1 << 30}


@dataclass(frozen=True)
class Param:
    """One declared parameter of a codec.

    Attributes:
        name: Key in the method string, lower case.
        kind: "int"; "size" (an int that accepts K, M, G suffixes, powers of 1024);
            "float"; "bool" (on/off); "choice" (one of `choices`); "digest" (16 hexadecimal
            digits, or none); "shape" (numbers with an x between them, or auto).
        default: Value when neither the method string nor the level sets one.
        low, high: Inclusive bounds for numbers; for a shape, how many it has.
        choices: The valid words of a "choice".
        help: One line for `--help` and for error messages.
        stored: Whether a decoder needs it. Stored parameters are written to the
            header in full, so that defaults may change without a new codec version.
    """

    name: str
    kind: Literal["int", "size", "float", "bool", "choice", "digest", "shape"]
    default: Value
    low: float = 0
    high: float = 0
    choices: tuple[str, ...] = ()
    help: str = ""
    stored: bool = True

    def parse(self, text: str) -> Value:
        """Read one value, or raise `MethodError` naming what would be valid."""
        try:
            value = self._convert(text.strip())
        except (ValueError, OverflowError):
            value = None
        if value is None or not self._valid(value):
            raise MethodError(f"{self.name}={text!r} is not valid: expected {self.describe()}")
        return value

    def _convert(self, text: str) -> Value | None:
        if self.kind == "choice":
            return text if text in self.choices else None
        if self.kind == "bool":
            return {"on": True, "off": False}.get(text)
        if self.kind == "digest":
            return text if text == "none" or re.fullmatch("[0-9a-f]{16}", text) else None
        if self.kind == "shape":
            return text if text == "auto" or self._is_shape(text) else None
        if self.kind == "float":
            return float(text)
        if self.kind == "size" and text[-1:].upper() in _SUFFIXES:
            return int(text[:-1]) * _SUFFIXES[text[-1:].upper()]
        return int(text)

    def _is_shape(self, text: str) -> bool:
        return bool(_SHAPE.fullmatch(text)) and self.low <= text.count("x") + 1 <= self.high

    def _valid(self, value: Value) -> bool:
        if isinstance(value, (bool, str)):
            return True
        return self.low <= value <= self.high

    def describe(self) -> str:
        """The valid values, in words."""
        if self.kind == "choice":
            return "one of " + ", ".join(self.choices)
        if self.kind == "bool":
            return "on or off"
        if self.kind == "size":
            return f"a size from {_in_words(int(self.low))} to {_in_words(int(self.high))}"
        if self.kind == "digest":
            return "16 hexadecimal digits, or none"
        if self.kind == "shape":
            return f"sizes like {'x'.join(('480', '640', '3', '2')[: int(self.high)])}, or auto"
        what = "an integer" if self.kind == "int" else "a number"
        return f"{what} from {self.low:g} to {self.high:g}"

    def format(self, value: Value) -> str:
        """The text that `parse` reads back to the same value."""
        if isinstance(value, bool):
            return "on" if value else "off"
        return repr(value) if isinstance(value, float) else str(value)


def _in_words(size: int) -> str:
    """A size with the largest suffix that leaves a whole number."""
    for suffix, unit in reversed(_SUFFIXES.items()):
        if size and size % unit == 0:
            return f"{size // unit}{suffix}"
    return str(size)


@dataclass
class Block:
    """One record's worth of data, on its way in or out.

    Attributes:
        raw_size: Size of the decoded bytes.
        payload: Coded bytes; None when the codec found nothing smaller than the raw
            bytes (encoding), in which case they are stored as they are. A payload that
            is not smaller than `raw` is dropped, too: a decoder must be able to go on
            from `raw` wherever its encoder could have gone on from `payload`.
        raw: The decoded bytes: always there when encoding; when decoding, there if
            the record was stored, and then `payload` is None.
        target: When decoding, memory of `raw_size` bytes that the result may be made in,
            by a codec that can; it then gives this very object back.
    """

    raw_size: int
    payload: Buffer | None
    raw: Buffer | None = None
    target: memoryview | None = None


def _no_progress(done: int) -> None:
    """Default progress callback: nobody watches."""


class Base(Protocol):
    """Content that both sides have, and that an archive may take differences to.

    Attributes:
        size: Bytes.
    """

    size: int

    @property
    def digest(self) -> str:
        """XXH3-64 of all of it, as 16 hexadecimal digits; how an archive names it."""
        ...

    def read(self, offset: int, size: int) -> Buffer:
        """Some of its bytes; may be called from several threads."""
        ...

    def file(self) -> BinaryIO:
        """A file object of its own that can seek, for who reads its format."""
        ...


@dataclass
class Context:
    """What the caller grants to a codec; nothing in here may change a single output bit.

    Attributes:
        threads: How many threads may work; at least 1.
        device: "auto", "cpu" or "cuda".
        memory_limit: Bytes that may be used, or None.
        progress: Called by the codec, encoding or decoding, with the number of raw bytes
            done since the last call; all calls together give the size of the content.
        notice: Called with a short text when something slow and silent begins
            (compiling kernels at first use, say).
        warn: Called with a short text when what is done may not be what was meant.
        base: What differences are taken to, or None.
        weights: What a codec takes in place of weights that it comes with, or None.
    """

    threads: int = 1
    device: str = "auto"
    memory_limit: int | None = None
    progress: Callable[[int], None] = _no_progress
    notice: Callable[[str], None] = field(default=lambda text: None)
    warn: Callable[[str], None] = field(default=lambda text: None)
    base: Base | None = None
    weights: Weights | None = None


class Codec(Protocol):
    """One compression method. Instances hold no state between calls.

    Attributes:
        name: Name in the method string.
        codec_id: Number in the header; append-only, never reused.
        version: Version of the coded data; a change that alters it is a new version.
        profile: Numerics profile: 0 when only integers of the format itself matter,
            1 for the exact arithmetic of `nncomp.exact`.
        params: The declared parameters.
        levels: What -1 to -9 set, by level; a codec without levels has none.
        independent: Whether each record decodes without the ones before it.
    """

    name: str
    codec_id: int
    version: int
    profile: int
    params: tuple[Param, ...]
    levels: Mapping[int, Params]
    independent: bool

    def peek(self, params: Params) -> int:
        """How many leading bytes `settle` wants to see; the caller buffers them."""
        ...

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """Fix the parameters that depend on the data; `complete`: `head` is all of it."""
        ...

    def max_block(self, params: Params) -> int:
        """The largest raw size of one record; a reader refuses anything above."""
        ...

    def memory(self, params: Params) -> int:
        """Bytes that decoding takes at most, the program itself not counted."""
        ...

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        """Code chunks of any sizes into blocks, each with `raw` and `payload` set."""
        ...

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        """Decode blocks in order, one buffer of `raw_size` bytes for each.

        Raises:
            CorruptError: The payload contradicts itself.
        """
        ...


@runtime_checkable
class Explains(Protocol):
    """A codec that can say where the bits of its payloads went; none has to.

    Of one that cannot, all that is known is what each record takes.
    """

    def account(
        self, blocks: Iterable[Block], params: Params, context: Context
    ) -> Iterator[Account]:
        """As `Codec.decode`, and with the content of each block what its bits went to.

        Raises:
            CorruptError: The payload contradicts itself.
        """
        ...


@runtime_checkable
class Weighted(Protocol):
    """A codec that may need weights which no archive holds; none has to.

    An archive then names them in its header, and they come to the codec in the context.
    """

    def takes_weights(self, params: Params) -> bool:
        """Whether encoding with these parameters takes any."""
        ...

    def own_weights(self) -> Weights:
        """Those that the codec comes with.

        Raises:
            MissingWeightsError: The installation is not whole.
        """
        ...


def parse_method(text: str) -> tuple[str, dict[str, str]]:
    """Split "name:key=value,key=value" into the name and its raw settings."""
    name, colon, rest = text.strip().partition(":")
    settings: dict[str, str] = {}
    for item in rest.split(",") if colon and rest else []:
        key, equals, value = item.partition("=")
        if not equals or not key.strip():
            raise MethodError(f"{item!r} in method {text!r} is not of the form key=value")
        if key.strip() in settings:
            raise MethodError(f"{key.strip()!r} is set twice in method {text!r}")
        settings[key.strip()] = value.strip()
    return name.strip().lower(), settings


def resolve_params(
    codec: Codec, settings: Mapping[str, str], level: int | None
) -> dict[str, Value]:
    """Full parameters: the method string over the level over the defaults.

    A level is ignored by a codec that has none.

    Raises:
        MethodError: An unknown level or key, or an invalid value; the message lists the
            valid ones.
    """
    declared = {p.name: p for p in codec.params}
    values: dict[str, Value] = {p.name: p.default for p in codec.params}
    if level is not None and codec.levels:
        if level not in codec.levels:
            known = ", ".join(map(str, sorted(codec.levels)))
            raise MethodError(f"method {codec.name!r} has no level {level}. Its levels: {known}")
        values.update(codec.levels[level])
    for key, text in settings.items():
        if key not in declared:
            known = "; ".join(f"{p.name}: {p.describe()}" for p in codec.params) or "none"
            raise MethodError(
                f"method {codec.name!r} has no parameter {key!r}. Its parameters are {known}"
            )
        values[key] = declared[key].parse(text)
    return values


def format_params(codec: Codec, params: Params) -> str:
    """The stored parameters for people, "key=value,key=value", in declared order."""
    return ",".join(f"{p.name}={p.format(params[p.name])}" for p in codec.params if p.stored)


def pack_params(codec: Codec, params: Params) -> str:
    """The stored parameters for the header: the values alone, "value,value"."""
    return ",".join(p.format(params[p.name]) for p in codec.params if p.stored)


def unpack_params(codec: Codec, text: str) -> dict[str, Value]:
    """Read header text back; parameters that are not stored take their defaults.

    Raises:
        MethodError: The text is not what `pack_params` writes for this codec (the
            caller knows it as corruption).
    """
    stored = [p for p in codec.params if p.stored]
    texts = text.split(",") if text else []
    if len(texts) != len(stored):
        raise MethodError(
            f"{text!r} has {len(texts)} values where method {codec.name!r} has {len(stored)} "
            "parameters"
        )
    values: dict[str, Value] = {p.name: p.default for p in codec.params}
    values.update((p.name, p.parse(value)) for p, value in zip(stored, texts, strict=True))
    if pack_params(codec, values) != text:
        raise MethodError(f"{text!r} is not how the parameters of {codec.name!r} are written")
    return values


def rechunk(chunks: Iterable[Buffer], size: int) -> Iterator[bytes]:
    """Cut chunks of any sizes into pieces of exactly `size` bytes; the last may be shorter."""
    pending = bytearray()
    for chunk in chunks:
        view = memoryview(chunk).cast("B")
        start = 0
        while start < len(view):
            take = min(size - len(pending), len(view) - start)
            piece = view[start : start + take]
            start += take
            if take == size:
                yield bytes(piece)
                continue
            pending += piece
            if len(pending) == size:
                yield bytes(pending)
                pending.clear()
    if pending:
        yield bytes(pending)
