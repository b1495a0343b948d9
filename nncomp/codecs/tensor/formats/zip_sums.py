"""Checksums in ZIP archives (.npz, PyTorch's files), whose entries lose precision.

Each entry has its CRC-32 in the local header before it or in the data descriptor behind it,
and in the directory at the end. Where an entry has changed, these are made to fit, if what
stood there was the CRC-32 of the entry as it was. A local header that is in an earlier record
than the end of its entry is left: readers go by the directory.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nncomp.codecs.tensor.formats.zip_archive import (
    DESCRIPTOR_CRC,
    DESCRIPTOR_MAX,
    LOCAL_CRC,
    descriptor_size,
    directory_sums,
    is_local,
    local_header,
)
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Span", "ZipSums"]


class Span(NamedTuple):
    """A run of a record.

    Attributes:
        size: Bytes.
        opens: Whether it begins a segment of the file that is not of numbers.
    """

    size: int
    opens: bool


@dataclass
class _Entry:
    """An entry of an archive.

    Attributes:
        offset: Of its local header.
        size: Bytes of its content; None: only its data descriptor says so.
        number: Of the span that its local header is.
        header: The local header, as far as it can be changed: in the record at work.
        done: Bytes that have passed.
        before, after: CRC-32 of these, as they were and as they are.
    """

    offset: int
    size: int | None
    number: int
    header: memoryview | None
    done: int = 0
    before: int = 0
    after: int = 0

    @property
    def complete(self) -> bool:
        """Whether all of it has passed, and this is known."""
        return self.done == self.size


class ZipSums:
    """Follows the records of one stream, in order."""

    def __init__(self) -> None:
        self._entry: _Entry | None = None
        self._changed: dict[int, tuple[int, int]] = {}  # by offset: CRC-32 before and after
        self._position = 0
        self._touched: set[int] = set()

    def pass_on(self, raw: memoryview, content: bytearray, spans: Iterable[Span]) -> set[int]:
        """Make the sums in a record fit.

        Args:
            raw: The record as it was.
            content: As it is now; is changed.
            spans: Their sizes add up to that of the record.

        Returns:
            Numbers of the spans that were changed.
        """
        self._touched = set()
        if self._position and self._entry is None:
            return self._touched
        start = 0
        for number, span in enumerate(spans):
            before = raw[start : start + span.size]
            after = memoryview(content)[start : start + span.size]
            gap = self._gap(before) if span.opens else None
            if gap is not None:
                self._between(before, after, gap, number)
            elif self._entry is not None:
                self._follow(before, after)
            start += span.size
            self._position += span.size
        if self._entry is not None:
            self._entry.header = None
        return self._touched

    def _gap(self, data: memoryview) -> int | None:
        """Bytes of the data descriptor that a span between entries begins with; or None."""
        entry = self._entry
        if entry is None:
            return 0 if self._position == 0 and is_local(bytes(data[:4])) else None
        descriptor = bytes(data[:DESCRIPTOR_MAX])
        size = descriptor_size(descriptor, entry.done)
        if size is not None and _sum_at(descriptor, DESCRIPTOR_CRC) == entry.before:
            return size
        return 0 if entry.complete else None

    def _between(self, before: memoryview, after: memoryview, gap: int, number: int) -> None:
        """What stands between entries: a descriptor, a local header or the directory."""
        entry = self._entry
        if entry is not None:
            self._finish(entry)
            if gap and entry.before != entry.after:
                _put_sum(after, DESCRIPTOR_CRC, entry.after)
                self._touched.add(number)
        rest = bytes(before[gap:])
        if not is_local(rest):
            self._fix_directory(rest, after[gap:], number)
            return
        try:
            size = local_header(rest).data
        except TensorFileError:
            self._entry = None
            return
        self._entry = _Entry(self._position + gap, size, number, after[gap:])

    def _follow(self, before: memoryview, after: memoryview) -> None:
        """Some content of an entry."""
        entry = self._entry
        if entry is None:
            return
        entry.done += len(before)
        entry.before = zlib.crc32(before, entry.before)
        entry.after = zlib.crc32(after, entry.after)
        if entry.complete:
            self._finish(entry)

    def _finish(self, entry: _Entry) -> None:
        if entry.before == entry.after:
            return
        self._changed[entry.offset] = entry.before, entry.after
        if entry.header is not None and _sum_at(entry.header, LOCAL_CRC) == entry.before:
            _put_sum(entry.header, LOCAL_CRC, entry.after)
            self._touched.add(entry.number)

    def _fix_directory(self, before: bytes, after: memoryview, number: int) -> None:
        self._entry = None
        for at, offset in directory_sums(before):
            old, new = self._changed.get(offset, (0, 0))
            if old != new and _sum_at(before, at) == old:
                _put_sum(after, at, new)
                self._touched.add(number)


def _sum_at(data: bytes | memoryview, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")


def _put_sum(data: memoryview, at: int, crc: int) -> None:
    data[at : at + 4] = crc.to_bytes(4, "little")
