"""What is known of the tensors in an archive without decoding them.

Of most records, only the headers of their planes are read. Nothing is verified: for that,
decode the archive.
"""

from __future__ import annotations

import io
import math
from collections import deque
from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, Protocol

import numpy as np

from nncomp.codecs.base import unpack_params
from nncomp.codecs.embedding import summary as tables_of
from nncomp.codecs.registry import by_name, name_of
from nncomp.codecs.tensor import summary as planes_of
from nncomp.codecs.tensor.formats import directory
from nncomp.codecs.tensor.summary import (
    KINDS,
    Payload,
    SegmentSummary,
    describe_loss,
)
from nncomp.container.limits import default_memory_limit
from nncomp.container.reader import read_members, walk_records
from nncomp.container.seeking import SeekableArchive
from nncomp.errors import CorruptError, MethodError, MissingBaseError, NncompError, TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nncomp.codecs.base import Base, Buffer, Codec, Params
    from nncomp.codecs.tensor.arrays import Array
    from nncomp.codecs.tensor.formats.base import Tensor
    from nncomp.container.layout import Header
    from nncomp.container.reader import Record
    from nncomp.container.seeking import MemberInfo

__all__ = ["CODECS", "ListedTable", "ListedTensor", "TensorListing", "list_tensors"]

CODECS = ("zipnn", "emb")
"""The codecs whose archives tell of their tensors, and of their tables."""


@dataclass(frozen=True)
class ListedTensor:
    """One tensor of an archive.

    Attributes:
        name: Its name in the file; empty for the array of an .npy file.
        dtype: Its element type, named as in safetensors, or a type of GGML.
        shape: As `nncomp.tensors` gives it.
        raw_size: Its bytes in the content.
        coded_size: Its bytes in the archive, with its share of the headers around it. What
            several tensors share counts for each of them.
        bits_per_weight: `coded_size` in bits, for each element; None if it has none.
        planes: Bytes of its planes by how they are coded, see `summary.KINDS`; the rest of
            `coded_size` are headers.
        delta: Share of it that is a difference to the base, from 0 to 1.
        lossy: What may have been lost, or None.
    """

    name: str
    dtype: str
    shape: tuple[int, ...]
    raw_size: int
    coded_size: float
    bits_per_weight: float | None
    planes: dict[str, float]
    delta: float
    lossy: str | None


@dataclass(frozen=True)
class ListedTable:
    """One table of an archive of `emb`; a large one is several.

    Attributes:
        name: Of the tensor in the file, if it has a format.
        dtype: Its element type, named as in safetensors.
        shape: Rows and columns.
        raw_size: Its bytes in the content.
        coded_size: Its bytes in the archive.
        bound: No element is off by more; absolute; 0: kept exactly.
        error: The largest error.
        unique: Rows that are kept, each once.
        exceptions: Elements that are kept exactly, since the bound would not have held.
    """

    name: str
    dtype: str
    shape: tuple[int, int]
    raw_size: int
    coded_size: int
    bound: float
    error: float
    unique: int
    exceptions: int


@dataclass(frozen=True)
class TensorListing:
    """What one member of an archive is.

    Attributes:
        tensors: In the order of their bytes; None where they cannot be listed.
        reason: Why not, where a base would help.
        base: XXH3-64 of the base that there are differences to, or None.
        lossy: What may have been lost, or None.
        tables: Of an archive of `emb`.
    """

    tensors: list[ListedTensor] | None = None
    reason: str | None = None
    base: str | None = None
    lossy: str | None = None
    tables: list[ListedTable] | None = None


def list_tensors(file: BinaryIO, base: Base | None = None) -> list[TensorListing]:
    """The tensors of an archive, for each of its members.

    Args:
        file: Can seek; taken from its current position to its end; left open at any position.
        base: What it may hold differences to; only needed where the directory of its tensors
            is one.

    Raises:
        FormatError, UnsupportedError: This is no archive, or it is damaged where it was read.
        OSError: As raised by the file.
    """
    origin = file.tell()
    listings = []
    for info in SeekableArchive(file).members():
        name = name_of(info.header.codec_id)
        codec = by_name(name) if name in CODECS else None
        params = _params_of(info.header, codec) if codec else None
        if codec is None or params is None:
            listings.append(TensorListing())
            continue
        member = _Member(file, origin, info, codec.max_block(params), _Base(base, params))
        if name == "emb":
            member.scheme = tables_of
            lossy = tables_of.describe_loss(params)
            listings.append(TensorListing(lossy=lossy, tables=_tables(member)))
        else:
            listings.append(_listing(member, params))
    return listings


def _tables(member: _Member) -> list[ListedTable]:
    """The tables of an archive of `emb`, by the names that its file has for them."""
    try:
        tensors = directory(io.BufferedReader(_Content(member)), strict=False)
    except TensorFileError:
        tensors = []
    # Of tensors that share bytes, the one that holds most of them is meant, and comes first.
    coming, last = deque(tensors), None
    listed, at = [], 0
    for _, segments in member.segments():
        for segment in segments:
            table = segment.table if isinstance(segment, tables_of.TableSegment) else None
            if table is not None:
                while coming and coming[0].start <= at:
                    tensor = coming.popleft()
                    if last is None or tensor.stop > last.stop:
                        last = tensor
                listed.append(
                    ListedTable(
                        name=last.name if last is not None and at < last.stop else "",
                        dtype=table.dtype,
                        shape=table.shape,
                        raw_size=segment.size,
                        coded_size=segment.stop - segment.start,
                        bound=table.bound,
                        error=table.error,
                        unique=table.unique,
                        exceptions=table.exceptions,
                    )
                )
            at += segment.size
    return listed


def _params_of(header: Header, codec: Codec) -> Params | None:
    """The parameters of a member; None if another codec made it, or another version."""
    if (header.codec_id, header.codec_version) != (codec.codec_id, codec.version):
        return None
    try:
        return unpack_params(codec, header.params)
    except MethodError as error:
        raise CorruptError(f"the header's parameters are not valid: {error}") from error


def _listing(member: _Member, params: Params) -> TensorListing:
    name, loss = str(params["base"]), describe_loss(params)
    of_base = None if name == "none" else name
    try:
        tensors = directory(io.BufferedReader(_Content(member)))
    except TensorFileError:
        return TensorListing(None, None, of_base, loss)
    except MissingBaseError as error:
        return TensorListing(None, str(error), of_base, loss)
    return TensorListing(_measured(tensors, member, params), None, of_base, loss)


def _measured(tensors: list[Tensor], member: _Member, params: Params) -> list[ListedTensor]:
    """The tensors with what they take."""
    ledger = _Ledger(end for tensor in tensors for end in (tensor.start, tensor.stop))
    for record, segments in member.segments():
        overhead = record.disk_size - record.header.coded_size
        for segment in segments:
            share = overhead * segment.size / record.header.raw_size
            ledger.add(segment, share)
    listed = []
    for tensor in tensors:
        planes, delta = ledger.between(tensor.start, tensor.stop)
        coded = sum(planes.values())
        size = tensor.stop - tensor.start
        elements = math.prod(tensor.shape)
        listed.append(
            ListedTensor(
                name=tensor.name,
                dtype=tensor.dtype.name,
                shape=tensor.shape,
                raw_size=size,
                coded_size=coded,
                bits_per_weight=8 * coded / elements if elements else None,
                planes={kind: size for kind, size in planes.items() if kind != "overhead"},
                delta=delta / size if size else 0.0,
                lossy=describe_loss(params, tensor.dtype),
            )
        )
    return listed


class _Ledger:
    """What the content up to certain positions takes.

    Args:
        positions: In the content, of any number and order.
    """

    def __init__(self, positions: Iterable[int]) -> None:
        self._positions = np.unique(np.fromiter(positions, np.int64))
        # One column for each of `KINDS`, one for the bytes that are differences.
        self._sums = np.zeros((len(self._positions), len(KINDS) + 1))
        self._sum = np.zeros(len(KINDS) + 1)
        self._next = 0  # the position whose sums are not known yet
        self._at = 0

    def add(self, segment: SegmentSummary, overhead: float) -> None:
        """The next segment of the content, taking `overhead` bytes more than its own."""
        costs = np.zeros_like(self._sum)
        for kind, size in segment.kinds.items():
            costs[KINDS.index(kind)] = size
        costs[KINDS.index("overhead")] += overhead
        costs[-1] = segment.size * segment.delta
        stop = self._at + segment.size
        last = int(np.searchsorted(self._positions, stop, side="right"))
        if last > self._next:
            here = slice(self._next, last)
            shares = (self._positions[here] - self._at) / segment.size
            self._sums[here] = self._sum + shares[:, None] * costs
            self._next = last
        self._sum += costs
        self._at = stop

    def between(self, start: int, stop: int) -> tuple[dict[str, float], float]:
        """Bytes by kind, and those of content that are differences."""
        first, last = np.searchsorted(self._positions, (start, stop))
        costs: Array = self._sums[last] - self._sums[first]
        kinds = zip(KINDS, costs.tolist(), strict=False)
        return {kind: size for kind, size in kinds if size > 0}, float(costs[-1])


class _Base:
    """The base of a member, checked when it is first needed, since that takes time.

    Args:
        given: What the caller has.
        params: Say what it must be.
    """

    def __init__(self, given: Base | None, params: Params) -> None:
        self._given = given
        self._wanted = params.get("base")

    def get(self) -> Base:
        """The base.

        Raises:
            MissingBaseError: Not given, or another one.
        """
        if self._given is None or self._given.digest != self._wanted:
            raise MissingBaseError(
                f"the directory of its tensors is a difference to the base with XXH3-64 "
                f"{self._wanted}: give that file with --base"
            )
        return self._given


class _Scheme(Protocol):
    """How the payloads of a codec are read."""

    def summarise(self, payload: Payload, size: int) -> Iterator[SegmentSummary]:
        """The segments of a payload."""
        ...

    def read_segment(self, payload: Payload, segment: SegmentSummary, base: Base | None) -> bytes:
        """The content of one of them."""
        ...


class _Member:
    """One member of an archive, to be read here and there.

    Attributes:
        scheme: Of its codec.

    Args:
        file: The archive, from `origin` on.
        origin: Its position in the file.
        info: About the member.
        largest: Raw size that no record may exceed, in bytes.
        base: Of the member.
    """

    def __init__(
        self, file: BinaryIO, origin: int, info: MemberInfo, largest: int, base: _Base
    ) -> None:
        self.size = info.raw_size
        self.scheme: _Scheme = planes_of
        self._file = file
        self._origin = origin
        self._info = info
        self._largest = largest
        self._base = base
        self._archive = SeekableArchive(_at(file, origin))
        self._index = self._archive.index(info, default_memory_limit())

    def segments(self) -> Iterator[tuple[Record, Iterator[SegmentSummary]]]:
        """All records, each with its segments, to be taken before the next record."""
        source = self._archive.input_at(self._info.offset)
        member = next(read_members(source))
        for record in member.records(self._largest, load=False):
            here = self._file.tell()
            yield record, self._segments_of(record)
            self._file.seek(here)

    def read(self, position: int) -> tuple[int, bytes]:
        """Start and content of the segment that holds a position of the content."""
        number = self._index.find(position)
        seed = int.from_bytes(self._info.header.pack()[-8:], "little")
        source = self._archive.input_at(self._index.offset(number))
        record = next(walk_records(source, seed, number, self._largest, load=False))
        start = self._index.raw_start(number)
        if record.header.raw_size != self._index.raw_size(number):
            raise CorruptError("a record disagrees with the index", offset=record.offset)
        for segment in self._segments_of(record):
            if position < start + segment.size:
                return start, self._content_of(record, segment)
            start += segment.size
        raise CorruptError("a record ends before its content does", offset=record.offset)

    def _segments_of(self, record: Record) -> Iterator[SegmentSummary]:
        size = record.header.raw_size
        if record.stored:
            yield SegmentSummary(size, 0, size, False, {"stored": size})
            return
        with _errors_at(record.offset):
            yield from self.scheme.summarise(self._payload_of(record), size)

    def _content_of(self, record: Record, segment: SegmentSummary) -> bytes:
        payload = self._payload_of(record)
        with _errors_at(record.offset):
            if record.stored:
                return bytes(payload.take(segment.size))
            base = self._base.get() if segment.delta else None
            return self.scheme.read_segment(payload, segment, base)

    def _payload_of(self, record: Record) -> Payload:
        stop = self._origin + record.offset + record.disk_size
        size = record.header.coded_size
        return Payload(self._file, stop - size, size)


def _at(file: BinaryIO, position: int) -> BinaryIO:
    file.seek(position)
    return file


@contextmanager
def _errors_at(offset: int) -> Iterator[None]:
    """What decoding raises becomes an error at a record."""
    try:
        yield
    except CorruptError as error:
        raise CorruptError(error.message, offset=offset) from error
    except (NncompError, OSError, MemoryError):
        raise
    except Exception as error:  # of the libraries that decode planes
        raise CorruptError(
            f"a record cannot be decoded ({type(error).__name__}: {error})", offset=offset
        ) from error


class _Content(io.RawIOBase):
    """The content of a member, of which only the segments that are read are decoded."""

    def __init__(self, member: _Member) -> None:
        self._member = member
        self._position = 0
        self._start = 0  # of the segment decoded last
        self._segment = b""

    def readable(self) -> bool:
        return True

    def seekable(self) -> bool:
        return True

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move; all three kinds of `whence`."""
        origins = {io.SEEK_SET: 0, io.SEEK_CUR: self._position, io.SEEK_END: self._member.size}
        self._position = origins[whence] + offset
        return self._position

    def tell(self) -> int:
        return self._position

    def readinto(self, target: Buffer, /) -> int:  # type: ignore[override]  # any writable buffer
        """Fill `target` as far as one segment goes; 0 only at the end."""
        if self._position >= self._member.size:
            return 0
        if not self._start <= self._position < self._start + len(self._segment):
            self._start, self._segment = self._member.read(self._position)
        begin = self._position - self._start
        piece = self._segment[begin : begin + len(target)]
        memoryview(target).cast("B")[: len(piece)] = piece
        self._position += len(piece)
        return len(piece)
