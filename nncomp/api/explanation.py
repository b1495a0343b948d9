"""Where the bits of an archive went: every byte of it, to what it is for.

An archive is decoded and verified as ever; codecs keep account meanwhile (see
`codecs.account`). What a file's tensors take is found by their places in the content.
"""

from __future__ import annotations

import math
import os
import shutil
import tempfile
from contextlib import AbstractContextManager, ExitStack
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO

import numpy as np
from numpy.typing import NDArray

from nncomp.api.accounting import Accountant
from nncomp.api.choice import HEAD_SIZE
from nncomp.api.decoding import decode_member
from nncomp.api.encoding import DEFAULT_METHOD, compress_stream
from nncomp.codecs.ledger import Curve, Ledger
from nncomp.codecs.tensor.formats import directory, format_of
from nncomp.container.layout import FOOTER_SIZE, MAGIC
from nncomp.container.reader import StreamInput, read_members
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from nncomp.codecs.account import Account, Picture
    from nncomp.codecs.base import Buffer, Context
    from nncomp.codecs.tensor.formats.base import Tensor
    from nncomp.container.reader import Member, Record

__all__ = ["Explanation", "Input", "Part", "Region", "TensorCost", "explain"]

Array = NDArray[Any]

_REGIONS = 512
_PICTURES = 4  # that are kept
_CONTAINER = "container: "
_UNITS = ("byte", "block", "segment", "record")


@dataclass(frozen=True)
class Region:
    """A run of the content.

    Attributes:
        start, size: Where it is, in bytes of the content.
        cost: Bytes that it takes in the archive.
    """

    start: int
    size: int
    cost: float

    @property
    def bits_per_byte(self) -> float:
        """Bits in the archive for each byte of it."""
        return 8 * self.cost / self.size


@dataclass(frozen=True)
class Part:
    """Something that bytes of the archive are for; `cost`: how many."""

    name: str
    cost: float


@dataclass(frozen=True)
class Input:
    """An input of a predictor; `share`: its part in the prediction, see `codecs.mix.tally`."""

    name: str
    share: float


@dataclass(frozen=True)
class TensorCost:
    """A tensor in the content.

    Attributes:
        name, dtype, shape: As in its file.
        start, size: Where it is in the content, in bytes.
        cost: Bytes that it takes in the archive.
        bits_per_weight: The same in bits for each element; None if it has none.
        parts: Its cost by parts.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    start: int
    size: int
    cost: float
    bits_per_weight: float | None
    parts: list[Part]


@dataclass(frozen=True)
class Explanation:
    """Where the bits of an archive went.

    Attributes:
        methods: Method strings of its members, each once.
        compressed: Whether the file was no archive, and was compressed to be explained.
        raw_size, archive_size: Of content and archive, in bytes.
        members, records: How many there are.
        units: What costs are known of, the smallest first: "byte", "block" (of Zstandard),
            "segment" (of one layout) or "record". Within one they are spread evenly.
        regions: The content in equal pieces, 512 of them if it has as many bytes. Their costs
            and the container's parts add up to the archive's size.
        parts: What all bytes of the archive are for, the largest first; their costs add up to
            its size. One may be a little below zero: "rounding of the coder".
        inputs: Of predictors that mix, the largest first; shares add up to 1. An input that
            misled more than it helped has a share below zero.
        tensors: If the content is a file of tensors, in the order of their bytes.
        pictures: The first pictures that were coded by their pixels.
    """

    methods: tuple[str, ...]
    compressed: bool
    raw_size: int
    archive_size: int
    members: int
    records: int
    units: tuple[str, ...]
    regions: list[Region]
    parts: list[Part]
    inputs: list[Input]
    tensors: list[TensorCost]
    pictures: list[Picture]

    @property
    def total(self) -> float:
        """The sum of all parts, in bytes: the archive's size, but for rounding."""
        return sum(part.cost for part in self.parts)

    def strip(self, count: int) -> list[Region]:
        """The content in fewer equal pieces, at most `count` of them."""
        ends = np.array([0, *(region.start + region.size for region in self.regions)])
        costs = np.cumsum([0.0, *(region.cost for region in self.regions)])
        edges = _edges(self.raw_size, count)
        return _regions(edges, np.interp(edges, ends, costs))


def explain(
    file: str | os.PathLike[str] | BinaryIO,
    *,
    method: str = DEFAULT_METHOD,
    level: int | None = None,
    context: Context | None = None,
) -> Explanation:
    """Find out where the bits of an archive went, by decoding it.

    Takes the time of decompressing and some more. The content of a file of tensors is kept
    in a temporary file meanwhile, and so is an archive that has to be made first.

    Args:
        file: A path, or a binary file object, read from its current position to its end; an
            archive, or any other file, which is then compressed first.
        method: How to compress.
        level: The same.
        context: Threads, device, memory limit, callbacks. Progress is that of compressing, if
            that is needed, then that of decompressing.

    Raises:
        FormatError, UnsupportedError, LimitError: As for `decompress`.
        UsageError: The method is not valid.
        OSError: As raised by the file; no room for temporary files.
    """
    with ExitStack() as stack:
        if isinstance(file, (str, os.PathLike)):
            file = stack.enter_context(Path(file).open("rb"))
        source = file
        if not source.seekable():
            source = stack.enter_context(_copied(source))
        start = source.tell()
        is_archive = source.read(len(MAGIC)) == MAGIC
        source.seek(start)
        if not is_archive:
            archive = stack.enter_context(tempfile.TemporaryFile())
            size = source.seek(0, os.SEEK_END) - source.seek(start)
            source.seek(start)
            compress_stream(
                source, archive, method=method, level=level, context=context, content_size=size
            )
            archive.seek(0)
            source = archive
        walk = _Walk(context)
        walk.read(StreamInput(source))
        return walk.finish(compressed=not is_archive)


def _copied(source: BinaryIO) -> BinaryIO:
    """All of a stream, in a temporary file."""
    copy = tempfile.TemporaryFile()  # noqa: SIM115 - the caller closes it
    shutil.copyfileobj(source, copy)
    copy.seek(0)
    return copy


class _Walk:
    """Goes through an archive, member by member.

    Args:
        context: What the caller grants.
    """

    def __init__(self, context: Context | None) -> None:
        self._context = context
        self._ledger = Ledger()
        self._container: dict[str, float] = {}
        self._units: set[str] = set()
        self._inputs: dict[str, float] = {}
        self._pictures: list[Picture] = []
        self._tensors: list[Tensor] = []
        self._methods: dict[str, None] = {}
        self._members = self._records = self._raw_size = 0
        self._payloads = self._archive_size = 0

    def read(self, source: StreamInput) -> None:
        """All members, each to its end."""
        for member in read_members(source):
            decoder = Accountant.prepare(member.header, self._context)
            self._methods[decoder.method] = None
            start = self._raw_size
            with _Content() as content:
                for raw in decode_member(member, decoder):
                    record, account = decoder.next()
                    content.write(raw)
                    self._payloads += record.header.coded_size
                    self._note(record, account)
                self._tensors += content.tensors(start)
            self._note_container(member)
        self._archive_size = source.offset

    def _note(self, record: Record, account: Account) -> None:
        self._records += 1
        self._raw_size += record.header.raw_size
        self._ledger.add(account.stretches)
        if not record.stored:
            self._units.add(account.unit)
        for name, gain in account.inputs.items():
            self._inputs[name] = self._inputs.get(name, 0.0) + gain
        room = _PICTURES - len(self._pictures)
        self._pictures += account.pictures[:room]
        self._add("headers of records", record.disk_size - record.header.coded_size)

    def _note_container(self, member: Member) -> None:
        self._members += 1
        self._add("header", len(member.header.pack()))
        self._add("index", member.footer.index_size if member.footer else 0)
        self._add("footer", FOOTER_SIZE)

    def _add(self, name: str, size: int) -> None:
        name = _CONTAINER + name
        self._container[name] = self._container.get(name, 0.0) + size

    def finish(self, *, compressed: bool) -> Explanation:
        """What was found out."""
        curve = self._ledger.curve()
        skippable = self._archive_size - self._payloads - int(sum(self._container.values()))
        if skippable:
            self._add("skippable records", skippable)
        costs = {name: bits / 8 for name, bits in curve.between(0, self._raw_size).items()}
        edges = _edges(self._raw_size, _REGIONS)
        total = sum(self._inputs.values())
        shares = self._inputs if total > 0 else {}  # where nothing was foretold, nobody did it
        return Explanation(
            methods=tuple(self._methods),
            compressed=compressed,
            raw_size=self._raw_size,
            archive_size=self._archive_size,
            members=self._members,
            records=self._records,
            units=tuple(unit for unit in _UNITS if unit in self._units),
            regions=_regions(edges, curve.total(edges) / 8),
            parts=_parts(costs | self._container),
            inputs=sorted(
                (Input(name, gain / total) for name, gain in shares.items()),
                key=lambda found: -found.share,
            ),
            tensors=[_measured(tensor, curve) for tensor in self._tensors],
            pictures=self._pictures,
        )


def _edges(size: int, count: int) -> Array:
    """Where equal pieces of some bytes begin and end."""
    count = min(size, count)
    return np.arange(count + 1) * size // max(count, 1)


def _regions(edges: Array, costs: Array) -> list[Region]:
    """Pieces by what the content up to each edge takes."""
    return [
        Region(start, stop - start, cost)
        for start, stop, cost in zip(
            edges[:-1].tolist(), edges[1:].tolist(), np.diff(costs).tolist(), strict=True
        )
    ]


def _parts(costs: dict[str, float]) -> list[Part]:
    """The largest first."""
    return sorted((Part(*item) for item in costs.items()), key=lambda part: -part.cost)


def _measured(tensor: Tensor, curve: Curve) -> TensorCost:
    costs = {name: bits / 8 for name, bits in curve.between(tensor.start, tensor.stop).items()}
    cost = sum(costs.values())
    elements = math.prod(tensor.shape)
    return TensorCost(
        name=tensor.name,
        dtype=tensor.dtype.name,
        shape=tensor.shape,
        start=tensor.start,
        size=tensor.stop - tensor.start,
        cost=cost,
        bits_per_weight=8 * cost / elements if elements else None,
        parts=_parts(costs),
    )


class _Content(AbstractContextManager["_Content"]):
    """The content of a member, kept in a temporary file if it begins like one of tensors."""

    def __init__(self) -> None:
        self._file: BinaryIO | None = None
        self._begun = False

    def write(self, raw: Buffer) -> None:
        """The next record."""
        if not self._begun and format_of(bytes(memoryview(raw)[:HEAD_SIZE])):
            self._file = tempfile.TemporaryFile()  # noqa: SIM115 - closed on leaving
        self._begun = True
        if self._file is not None:
            self._file.write(raw)

    def tensors(self, start: int) -> list[Tensor]:
        """All tensors; their places count from `start` bytes before the member."""
        if self._file is None:
            return []
        try:
            found = directory(self._file)
        except TensorFileError:
            return []
        return [replace(t, start=t.start + start, stop=t.stop + start) for t in found]

    def __exit__(self, *exception: object) -> None:
        if self._file is not None:
            self._file.close()
