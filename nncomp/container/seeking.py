"""Reading members from their ends: listing without decoding, and random access by record."""

from __future__ import annotations

import io
from array import array
from bisect import bisect_right
from dataclasses import dataclass
from typing import TYPE_CHECKING, BinaryIO

import xxhash

from nncomp.coding.varint import VARINT_MAX, unpack_varint
from nncomp.container.layout import END, FOOTER_SIZE, RECORD_SIZE_MIN, Footer
from nncomp.container.limits import PIECE
from nncomp.container.reader import (
    StreamInput,
    read_header,
    read_members,
    walk_records,
)
from nncomp.errors import CorruptError, FormatError, LimitError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.container.layout import Header
    from nncomp.container.reader import Record

__all__ = ["Index", "MemberInfo", "SeekableArchive"]

# Raw end and offset of a record, eight bytes each, in `Index`.
_INDEX_BYTES_PER_RECORD = 16


@dataclass(frozen=True)
class MemberInfo:
    """One member, from its footer, index and header.

    Attributes:
        header: What it says about itself.
        header_size, size: Sizes of the header and of the whole member in bytes.
        offset: Archive offset of its first byte.
        index_size: Size of its index in bytes, with kind and checksum.
        raw_size: Size of its content in bytes.
        records: How many records with content it has.
        entries: How many records it has, skippable ones counted.
        checksum: XXH3-64 of its content.
    """

    header: Header
    header_size: int
    offset: int
    size: int
    index_size: int
    raw_size: int
    records: int
    entries: int
    checksum: int

    @property
    def index_offset(self) -> int:
        """Archive offset of the index."""
        return self.offset + self.size - FOOTER_SIZE - self.index_size


class Index:
    """Where the records of a member are.

    Args:
        offset: Archive offset of the first record.
        entries: Raw size and size on disk of each record.
    """

    def __init__(self, offset: int, entries: Iterator[tuple[int, int]]) -> None:
        self._raw_ends = array("Q")
        self._offsets = array("Q")
        raw_end = 0
        for raw_size, disk_size in entries:
            raw_end += raw_size
            self._raw_ends.append(raw_end)
            self._offsets.append(offset)
            offset += disk_size

    def find(self, position: int) -> int:
        """Number of the record that holds content byte `position`."""
        return bisect_right(self._raw_ends, position)

    def raw_start(self, number: int) -> int:
        """Content position at which a record begins."""
        return self._raw_ends[number - 1] if number else 0

    def offset(self, number: int) -> int:
        """Archive offset of a record."""
        return self._offsets[number]

    def raw_size(self, number: int) -> int:
        """Content size of a record; 0 if there is no such record, or if it is skippable."""
        if number >= len(self._raw_ends):
            return 0
        return self._raw_ends[number] - self.raw_start(number)


class SeekableArchive:
    """An archive in a file that can seek.

    Args:
        file: Left open. The archive goes from its current position to its end. Nothing
            else may move the file while an iterator from here is in use.
    """

    def __init__(self, file: BinaryIO) -> None:
        self._file = file
        self._base = file.tell()
        self._size = file.seek(0, io.SEEK_END) - self._base
        file.seek(self._base)

    def input_at(self, offset: int) -> StreamInput:
        """The file from an archive offset on."""
        self._file.seek(self._base + offset)
        return StreamInput(self._file, offset)

    def members(self) -> list[MemberInfo]:
        """All members, found from the end of the file, without touching records.

        Raises:
            FormatError, UnsupportedError: As for reading as a stream. Damage to records
                goes unnoticed here.
        """
        try:
            found = list(self._backwards())
        except FormatError:
            # From the end, a damaged archive cannot be told from a cut one or from one with
            # something behind it; from the start it can.
            self._diagnose()
            raise
        return found[::-1]

    def index(self, member: MemberInfo, memory_limit: int) -> Index:
        """The positions of all records of a member.

        Raises:
            LimitError: It takes more than `memory_limit` bytes.
        """
        needed = member.entries * _INDEX_BYTES_PER_RECORD
        if needed > memory_limit:
            raise LimitError(
                f"the index of {member.entries} records takes {needed} bytes of memory, the limit "
                f"is {memory_limit}; raise it with -M or memory_limit, or read without seeking"
            )
        index = _IndexInput(self.input_at(member.index_offset), member.index_size)
        index.start()
        return Index(member.offset + member.header_size, index.entries())

    def records(
        self, member: MemberInfo, index: Index, number: int, largest: int
    ) -> Iterator[Record]:
        """The records of a member with content, from `number` on, each as the index has it."""
        seed = int.from_bytes(member.header.pack()[-8:], "little")
        source = self.input_at(index.offset(number))
        for record in walk_records(source, seed, number, largest, load=True):
            raw_size = 0 if record.header.skippable else record.header.raw_size
            if raw_size != index.raw_size(number):
                raise CorruptError("a record disagrees with the index", offset=record.offset)
            if raw_size:
                yield record
            number += 1

    def _backwards(self) -> Iterator[MemberInfo]:
        end = self._size
        while end or not self._size:
            member = self._member_before(end)
            yield member
            end = member.offset

    def _member_before(self, end: int) -> MemberInfo:
        footer_at = end - FOOTER_SIZE
        if footer_at < 0:
            raise TruncatedError("the archive is too short to be complete", offset=end)
        footer = Footer.unpack(self.input_at(footer_at))
        index_at = footer_at - footer.index_size
        if index_at < 0:
            raise CorruptError("the index is larger than the archive", offset=footer_at)
        index = _IndexInput(self.input_at(index_at), footer.index_size)
        header_size = index.start()
        raw_size = disk_size = records = entries = 0
        for raw, disk in index.entries():
            raw_size += raw
            disk_size += disk
            records += raw > 0
            entries += 1
        offset = index_at - disk_size - header_size
        possible = offset >= 0 and raw_size <= VARINT_MAX
        header = self._header_at(offset, header_size, raw_size) if possible else None
        if header is None:
            raise CorruptError("the index disagrees with the archive", offset=index_at)
        return MemberInfo(
            header=header,
            header_size=header_size,
            offset=offset,
            size=end - offset,
            index_size=footer.index_size,
            raw_size=raw_size,
            records=records,
            entries=entries,
            checksum=footer.checksum,
        )

    def _header_at(self, offset: int, size: int, raw_size: int) -> Header | None:
        """The header there, or None if it does not fit what the index says."""
        source = self.input_at(offset)
        header = read_header(source, first=offset == 0)
        if header is None or source.offset != offset + size:
            return None
        return header if header.content_size in (None, raw_size) else None

    def _diagnose(self) -> None:
        """Raise what reading from the start finds."""
        for member in read_members(self.input_at(0)):
            for _ in member.records(VARINT_MAX, load=False):
                pass


class _IndexInput:
    """The index as an `Input`, read and hashed in pieces."""

    def __init__(self, source: StreamInput, size: int) -> None:
        self._source = source
        self._start = source.offset
        self._left = size - 8
        self._piece = b""
        self._at = 0
        self._hash = xxhash.xxh3_64()

    @property
    def offset(self) -> int:
        """Archive offset of the next byte."""
        return self._source.offset - len(self._piece) + self._at

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        while len(self._piece) - self._at < size:
            if self._left <= 0:
                raise CorruptError("the index ends within an entry", offset=self.offset)
            more = self._source.take(min(self._left, PIECE))
            self._hash.update(more)
            self._left -= len(more)
            self._piece = self._piece[self._at :] + more
            self._at = 0
        self._at += size
        return self._piece[self._at - size : self._at]

    def start(self) -> int:
        """Read up to the entries; the header size of the member."""
        if self.take(1)[0] != END:
            raise CorruptError("there is no index where the footer says", offset=self._start)
        return unpack_varint(self)

    def entries(self) -> Iterator[tuple[int, int]]:
        """Raw size and size on disk of each record; then the checksum is verified."""
        while self._left > 0 or self._at < len(self._piece):
            raw_size = unpack_varint(self)
            disk_size = unpack_varint(self)
            if disk_size < RECORD_SIZE_MIN:
                raise CorruptError("the index has a record without a header", offset=self.offset)
            yield raw_size, disk_size
        if int.from_bytes(self._source.take(8), "little") != self._hash.intdigest():
            raise CorruptError("the index does not match its checksum", offset=self._start)
