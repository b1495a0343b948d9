"""Decompressing: every record, every member and every size is verified on the way."""

from __future__ import annotations

import io
from collections import deque
from contextlib import suppress
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO, TypeAlias, TypeVar

import xxhash

from nncomp.api.encoding import Result, grant, make_context, refuse_above_limit
from nncomp.codecs.base import Block, Weighted, format_params, unpack_params
from nncomp.codecs.registry import by_id
from nncomp.container.reader import BufferInput, StreamInput, read_members
from nncomp.container.writer import write_all
from nncomp.errors import (
    CorruptError,
    LimitError,
    MethodError,
    MissingWeightsError,
    NncompError,
    NumericsProfileError,
    UnknownCodecError,
)
from nncomp.memory import NewBytes

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nncomp.api.base import BaseLike, WeightsLike
    from nncomp.codecs.base import Buffer, Codec, Context, Params
    from nncomp.container.layout import Header
    from nncomp.container.reader import Member, Record
    from nncomp.container.writer import Sink
    from nncomp.weights import Weights

    Room: TypeAlias = Callable[[int], memoryview | None]

_D = TypeVar("_D", bound="Decoder")

__all__ = ["Decoder", "decode_member", "decompress", "decompress_stream"]


def decompress(
    data: Buffer,
    *,
    threads: int = 1,
    device: str = "auto",
    memory_limit: int | None = None,
    base: BaseLike = None,
    weights: WeightsLike = None,
) -> bytes:
    """Decompress an archive in memory; the contents of all its members, joined.

    Args:
        data: The archive, nothing before or after it.
        threads: How many threads may work.
        device: "auto", "cpu" or "cuda".
        memory_limit: Bytes that decoding may take, and that the result may have; default
            three quarters of the physical memory.
        base: What the archive holds differences to, if it does: see `open_base`.
        weights: The file of weights that it was made with, its path or its bytes, if these are
            none that the package has.

    Raises:
        FormatError: This is no archive, or it is damaged.
        UnsupportedError: A newer version of nncomp is needed.
        LimitError: More than `memory_limit`.
    """
    context, limit = grant(make_context(threads, device, memory_limit, base, weights))
    sink = _BoundedBytes(limit)
    _decompress(BufferInput(data), sink, context)
    return sink.getvalue()


class _BoundedBytes:
    """Memory to write to that refuses to grow above a limit.

    One announced size is believed: such content can be made where it stays.
    """

    def __init__(self, limit: int) -> None:
        self._limit = limit
        self._size = 0
        self._fixed: NewBytes | None = None
        self._rooms: deque[memoryview | None] = deque()  # asked for, and not written
        self._asked = 0
        self._grown = io.BytesIO()

    def expect(self, size: int | None) -> None:
        """The next member announces its size."""
        if size and size <= self._limit and not self._asked:
            # What is announced may be a lie; what comes will show whether memory is enough.
            with suppress(MemoryError):
                self._fixed = NewBytes(size)

    def room(self, size: int) -> memoryview | None:
        """Where the bytes of the write after those asked for will stay, if that is known."""
        start, self._asked = self._asked, self._asked + size
        fits = self._fixed is not None and self._asked <= len(self._fixed.view)
        self._rooms.append(self._fixed.view[start : self._asked] if self._fixed and fits else None)
        return self._rooms[-1]

    def write(self, data: Buffer, /) -> int:
        """Append what `room` was asked for; nothing is left to do if it was made there."""
        end = self._size + len(data)
        if end > self._limit:
            raise LimitError(
                f"the content takes more than the limit of {self._limit} bytes of memory. Raise it "
                "with memory_limit, or use nncomp.open to read it piece by piece"
            )
        room = self._rooms.popleft()
        if room is None:
            self._grow()
            self._grown.write(data)
        elif data is not room:
            room[:] = data
        self._size = end
        return len(data)

    def _grow(self) -> None:
        """Leave the fixed memory, since more comes than was announced for it."""
        if self._fixed is not None:
            self._grown.write(self._fixed.view[: self._size])
            self._fixed = None

    def getvalue(self) -> bytes:
        """Everything that was written; nothing can be written after it."""
        if self._fixed is not None and self._size == len(self._fixed.view):
            return self._fixed.finish(self._size)
        self._grow()
        return self._grown.getvalue()


def decompress_stream(
    source: BinaryIO, sink: BinaryIO | None, *, context: Context | None = None
) -> Result:
    """Decompress an archive, one or more members, with bounded memory.

    Args:
        source: Read to its end, which must be the end of the archive; need not be
            seekable; left open.
        sink: Where the content goes; left open. After an exception it may have some of
            the content. None: only verify.
        context: Threads, device, memory limit, callbacks.

    Raises:
        FormatError, UnsupportedError, LimitError: As for `decompress`.
    """
    return _decompress(StreamInput(source), sink, context)


def _decompress(source: StreamInput, sink: Sink | None, context: Context | None) -> Result:
    methods: dict[str, None] = {}  # in order, without repetitions
    raw_size = 0
    memory = sink if isinstance(sink, _BoundedBytes) else None
    for member in read_members(source):
        decoder = Decoder.prepare(member.header, context)
        methods[decoder.method] = None
        if memory is not None:
            memory.expect(member.header.content_size)
        for raw in decode_member(member, decoder, memory.room if memory else None):
            raw_size += len(raw)
            if memory is not None:
                memory.write(raw)
            elif sink is not None:
                write_all(sink, raw)
    return Result(raw_size, source.offset, " ".join(methods))


def decode_member(member: Member, decoder: Decoder, room: Room | None = None) -> Iterator[Buffer]:
    """The content of a member piece by piece; its last checksum is verified after the last.

    `room` gives memory for records that may be made there, by their sizes, in order.
    """
    content = xxhash.xxh3_64()
    for raw in decoder.decode(member.records(decoder.largest), room):
        content.update(raw)
        yield raw
    if member.footer is None or content.intdigest() != member.footer.checksum:
        raise CorruptError("the content does not match its checksum", offset=member.offset)


@dataclass(frozen=True)
class Decoder:
    """A codec, ready for the records of one member.

    Attributes:
        codec, params: What the header asks for.
        context: What the caller grants.
        method: Method string with the stored parameters.
        largest: Raw size that no record may exceed, in bytes.
    """

    codec: Codec
    params: Params
    context: Context
    method: str
    largest: int

    @classmethod
    def prepare(cls: type[_D], header: Header, context: Context | None) -> _D:
        """Check everything that the header asks for, before work starts.

        Raises:
            UnsupportedError: Codec, codec version, numerics or weights are not here.
            LimitError: Decoding takes more than the memory limit.
            CorruptError: The parameters are not the codec's.
        """
        granted, limit = grant(context)
        refuse_above_limit(header.memory, limit, "decompressing this archive")
        codec = by_id(header.codec_id)
        _refuse_unsupported(header, codec)
        if header.weights_digest is not None:
            found = _weights_of(header.weights_digest, codec, granted.weights)
            granted = replace(granted, weights=found)
        try:
            params = unpack_params(codec, header.params)
            needed = codec.memory(params)
        except MethodError as error:
            raise CorruptError(f"the header's parameters are not valid: {error}") from error
        refuse_above_limit(needed, limit, "decompressing this archive")
        stored = format_params(codec, params)
        method = f"{codec.name}:{stored}" if stored else codec.name
        return cls(codec, params, granted, method, codec.max_block(params))

    def decode(self, records: Iterable[Record], room: Room | None = None) -> Iterator[Buffer]:
        """One verified buffer for each record, in order; `room` as for `decode_member`.

        Raises:
            CorruptError: A record does not decode to what its header says; the offset is
                that of the record.
        """
        feed = _Feed(records, room)
        decoded = iter(self.decoded(feed))
        while (raw := self._next(decoded, feed)) is not None:
            if not feed.waiting:
                raise CorruptError("the codec gives more than there are records")
            record = feed.waiting.popleft()
            if (
                memoryview(raw).nbytes != record.raw_size
                or xxhash.xxh3_64_intdigest(raw) != record.checksum
            ):
                raise CorruptError(
                    "a record does not decode to the bytes that went into it", offset=record.offset
                )
            yield raw
        if feed.waiting or next(feed, None) is not None:
            raise CorruptError("the codec ends before the records do")

    def decoded(self, blocks: Iterable[Block]) -> Iterator[Buffer]:
        """What the codec makes of blocks, not verified yet."""
        return self.codec.decode(blocks, self.params, self.context)

    def _next(self, decoded: Iterator[Buffer], feed: _Feed) -> Buffer | None:
        """The next buffer; what the codec raises becomes an error at the record."""
        try:
            return next(decoded, None)
        except Exception as error:
            if isinstance(error, MemoryError) and not isinstance(error, NncompError):
                raise LimitError("the memory of this machine ran out while decoding") from error
            if error is feed.failure:
                raise
            if isinstance(error, NncompError) and not isinstance(error, CorruptError):
                raise
            at = feed.waiting[0].offset if feed.waiting else None
            if isinstance(error, NncompError):
                raise CorruptError(error.message, offset=at) from error
            raise CorruptError(
                f"a record cannot be decoded ({type(error).__name__}: {error})", offset=at
            ) from error


def _refuse_unsupported(header: Header, codec: Codec) -> None:
    if header.codec_version != codec.version:
        raise UnknownCodecError(
            f"the archive uses version {header.codec_version} of codec {codec.name!r}; this nncomp "
            f"reads version {codec.version}. Another version of nncomp may read it"
        )
    if header.profile != codec.profile:
        raise NumericsProfileError(
            f"the archive was computed with numerics profile {header.profile}; this nncomp "
            f"implements profile {codec.profile} for codec {codec.name!r}. Another version of "
            "nncomp may read it"
        )


def _weights_of(sha256: bytes, codec: Codec, given: Weights | None) -> Weights:
    """The weights that an archive names: those given, or those of the package."""
    needed = f"the archive needs the weights with SHA-256 {sha256.hex()}"
    if not isinstance(codec, Weighted):
        raise MissingWeightsError(
            f"{needed}, which this nncomp does not have. A newer version may have them"
        )
    for found in (given, codec.own_weights()):
        if found is not None and found.sha256 == sha256:
            return found
    but = f"those given have {given.sha256.hex()}" if given else "which this nncomp does not have"
    raise MissingWeightsError(
        f"{needed}, {but}. Give the file that it was made with by --weights, or weights= in Python"
    )


@dataclass(frozen=True)
class _Expected:
    """What a record must decode to, and where it stands."""

    offset: int
    raw_size: int
    checksum: int


class _Feed:
    """Records as blocks for a codec, which may take several before it gives the first back.

    Attributes:
        waiting: Records that the codec has taken and not given back.
        failure: What reading raised, to tell it from what the codec raises.
    """

    def __init__(self, records: Iterable[Record], room: Room | None) -> None:
        self._records = iter(records)
        self._room = room
        self.waiting: deque[_Expected] = deque()
        self.failure: Exception | None = None

    def __iter__(self) -> _Feed:
        return self

    def __next__(self) -> Block:
        try:
            record = next(self._records)
        except StopIteration:
            raise
        except Exception as error:
            self.failure = error
            raise
        header = record.header
        self.waiting.append(_Expected(record.offset, header.raw_size, header.checksum))
        target = self._room(header.raw_size) if self._room else None
        if record.stored:
            return Block(header.raw_size, None, record.payload)
        return Block(header.raw_size, record.payload, target=target)
