"""Reading members as a stream: nothing is kept per record, and nothing is believed unchecked."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import xxhash

from nncomp.container.layout import (
    CODED,
    END,
    MAGIC,
    STORED,
    Footer,
    Header,
    RecordHeader,
    pack_entry,
    pack_index_start,
)
from nncomp.container.limits import PIECE
from nncomp.errors import CorruptError, NotAnArchiveError, TrailingDataError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = [
    "BufferInput",
    "Member",
    "Record",
    "StreamInput",
    "read_header",
    "read_members",
    "walk_records",
]


class StreamInput:
    """A binary stream as an `Input`: running out of it is truncation.

    Args:
        file: Read from its current position; need not be seekable; left open.
        offset: Archive offset of that position.
    """

    def __init__(self, file: BinaryIO, offset: int = 0) -> None:
        self._file = file
        self._offset = offset

    @property
    def offset(self) -> int:
        """Archive offset of the next byte."""
        return self._offset

    def up_to(self, size: int) -> bytes:
        """`size` bytes, fewer only where the stream ends; for small sizes."""
        data = self._file.read(size) or b""
        while len(data) < size and (more := self._file.read(size - len(data))):
            data += more
        self._offset += len(data)
        return data

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes; for small sizes.

        Raises:
            TruncatedError: The stream ends before.
        """
        data = self.up_to(size)
        if len(data) < size:
            raise self.truncated()
        return data

    def take_payload(self, size: int) -> Buffer:
        """Exactly `size` bytes, read in pieces: a size that lies costs one piece at most."""
        if size <= PIECE:
            return self.take(size)
        data = bytearray()
        while len(data) < size:
            data += self.take(min(size - len(data), PIECE))
        return data

    def skip(self, size: int) -> None:
        """Pass over exactly `size` bytes, without reading them where the stream can seek."""
        if self._file.seekable():
            here = self._file.tell()
            # Seeking past the end is no error to a file, so its size is asked for.
            left = max(0, self._file.seek(0, io.SEEK_END) - here)
            if size > left:
                self._offset += left
                raise self.truncated()
            self._file.seek(here + size)
            self._offset += size
            return
        while size:
            size -= len(self.take(min(size, PIECE)))

    def truncated(self) -> TruncatedError:
        """The error for an end at this place."""
        return TruncatedError("the archive ends too early", offset=self._offset)


class BufferInput(StreamInput):
    """An archive in memory: payloads stay where they are.

    Args:
        data: The archive.
    """

    def __init__(self, data: Buffer) -> None:
        self._view = memoryview(data).cast("B")
        self._offset = 0

    def up_to(self, size: int) -> bytes:
        """`size` bytes, fewer only where the archive ends; for small sizes."""
        data = bytes(self._view[self._offset : self._offset + size])
        self._offset += len(data)
        return data

    def take_payload(self, size: int) -> memoryview:
        """Exactly `size` bytes, not copied."""
        self.skip(size)
        return self._view[self._offset - size : self._offset]

    def skip(self, size: int) -> None:
        """Pass over exactly `size` bytes."""
        self._offset += size
        if self._offset > len(self._view):
            self._offset = len(self._view)
            raise self.truncated()


@dataclass(frozen=True)
class Record:
    """One record as it stands in the archive.

    Attributes:
        offset: Archive offset of its header.
        header: Its header, verified.
        disk_size: Its size in the archive, with its header.
        payload: Its payload; None if skippable, or if payloads were not asked for.
    """

    offset: int
    header: RecordHeader
    disk_size: int
    payload: Buffer | None

    @property
    def stored(self) -> bool:
        """Whether the payload is the content itself."""
        return self.header.kind == STORED


def read_header(source: StreamInput, *, first: bool) -> Header | None:
    """The header of the next member, or None where the archive ends.

    Args:
        source: Stands before a member, or at the end.
        first: Whether nothing has been read yet.

    Raises:
        NotAnArchiveError, TrailingDataError: Something else stands there.
        TruncatedError: The header is incomplete, or the archive empty.
    """
    at = source.offset
    magic = source.up_to(len(MAGIC))
    if not magic and not first:
        return None
    if not MAGIC.startswith(magic):
        if first:
            raise NotAnArchiveError("this is no nncomp archive: it does not start as one")
        raise TrailingDataError("the archive is complete, but something else follows it", offset=at)
    if not magic:
        raise TruncatedError("this is no archive: it is empty")
    if len(magic) < len(MAGIC):
        raise source.truncated()
    return Header.unpack(source)


def read_members(source: StreamInput) -> Iterator[Member]:
    """The members of an archive in order; each is to be read to its end before the next."""
    first = True
    while True:
        at = source.offset
        header = read_header(source, first=first)
        if header is None:
            return
        yield Member(source, header, at)
        first = False


class Member:
    """A member whose header has been read.

    Attributes:
        header: What it says about itself.
        offset: Archive offset of its first byte.
        footer: Set when `records` has ended. Its checksum is that of the decoded bytes,
            which only the caller can verify.
    """

    def __init__(self, source: StreamInput, header: Header, offset: int) -> None:
        self.header = header
        self.offset = offset
        self.footer: Footer | None = None
        self._source = source

    def records(self, largest: int, *, load: bool = True) -> Iterator[Record]:
        """All records but skippable ones; then index and footer are verified.

        Args:
            largest: Raw size that no record may exceed, in bytes.
            load: Whether to read payloads; else they are passed over.

        Raises:
            FormatError, UnsupportedError: Something is wrong with a record, the index, the
                footer, or the sizes do not add up.
        """
        packed = self.header.pack()
        seed = int.from_bytes(packed[-8:], "little")
        start = pack_index_start(len(packed))
        index, index_size, raw_size = xxhash.xxh3_64(start), len(start), 0
        for record in walk_records(self._source, seed, 0, largest, load=load):
            entry = pack_entry(record.header, record.disk_size)
            index.update(entry)
            index_size += len(entry)
            if not record.header.skippable:
                raw_size += record.header.raw_size
                self._check_total(raw_size, record.offset, complete=False)
                yield record
        self._check_total(raw_size, self._source.offset, complete=True)
        self._finish(index.intdigest(), index_size)

    def _check_total(self, raw_size: int, at: int, *, complete: bool) -> None:
        announced = self.header.content_size
        if announced is None or (raw_size <= announced and not complete):
            return
        if raw_size != announced:
            raise CorruptError(
                f"the header announces {announced} bytes of content, the records hold "
                f"{'' if complete else 'at least '}{raw_size}",
                offset=at,
            )

    def _finish(self, expected: int, size: int) -> None:
        """Verify the index, whose kind byte has been taken, byte for byte by its checksum."""
        at = self._source.offset - 1
        actual = xxhash.xxh3_64(bytes([END]))
        left = size - 1
        while left:
            piece = self._source.take(min(left, PIECE))
            actual.update(piece)
            left -= len(piece)
        checksum = int.from_bytes(self._source.take(8), "little")
        if not actual.intdigest() == expected == checksum:
            raise CorruptError("the index disagrees with the records", offset=at)
        at = self._source.offset
        footer = Footer.unpack(self._source)
        if footer.index_size != size + 8:
            raise CorruptError("the footer disagrees with the index", offset=at)
        self.footer = footer


def walk_records(
    source: StreamInput, seed: int, number: int, largest: int, *, load: bool
) -> Iterator[Record]:
    """Records, also skippable ones, up to the kind byte of the index, which is taken.

    Args:
        source: Stands before record `number`.
        seed: The header checksum.
        number: Number of the first record in its member.
        largest: Raw size that no record may exceed, in bytes.
        load: Whether to read payloads; else they are passed over.
    """
    while True:
        at = source.offset
        kind = source.take(1)[0]
        if kind == END:
            return
        header = RecordHeader.unpack(kind, source, seed + number)
        payload = _take_payload(source, header, largest, at, load=load)
        yield Record(at, header, source.offset - at, payload)
        number += 1


def _take_payload(
    source: StreamInput, header: RecordHeader, largest: int, at: int, *, load: bool
) -> Buffer | None:
    """Bounds first, memory afterwards."""
    if not header.skippable:
        _check_sizes(header, largest, at)
        if load:
            return source.take_payload(header.coded_size)
    elif load:
        _verify_skippable(source, header, at)
        return None
    source.skip(header.coded_size)
    return None


def _check_sizes(header: RecordHeader, largest: int, at: int) -> None:
    if not 1 <= header.raw_size <= largest:
        raise CorruptError(
            f"a record of {header.raw_size} bytes, where 1 to {largest} are valid", offset=at
        )
    if header.kind == CODED and header.coded_size >= header.raw_size:
        raise CorruptError(
            f"a record of {header.raw_size} bytes claims {header.coded_size} coded bytes",
            offset=at,
        )


def _verify_skippable(source: StreamInput, header: RecordHeader, at: int) -> None:
    actual = xxhash.xxh3_64()
    left = header.coded_size
    while left:
        piece = source.take(min(left, PIECE))
        actual.update(piece)
        left -= len(piece)
    if actual.intdigest() != header.checksum:
        raise CorruptError("a skippable record does not match its checksum", offset=at)
