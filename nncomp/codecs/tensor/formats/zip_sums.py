"""Checksums in ZIP archives (.npz, PyTorch's files), whose entries lose precision.

Each entry has its CRC-32 in the local header before it or in the data descriptor behind it,
and in the directory at the end. Where an entry has changed, these are made to fit, if what
stood there was the CRC-32 of the entry as it was. Readers differ in what they go by: NumPy
and PyTorch by the directory, unzip and what reads without seeking by the local header.

The stream comes in records, which may cut any of this anywhere. So places are those of the
stream, and `settled` says up to where nothing will change any more.
"""

from __future__ import annotations

import zlib
from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

from nncomp.codecs.tensor.formats.zip_archive import (
    CENTRAL_MAX,
    DESCRIPTOR_CRC,
    DESCRIPTOR_MAX,
    LOCAL_CRC,
    LOCAL_MAX,
    LOCAL_SIZE,
    descriptor_size,
    directory_sums,
    goes_on_in_directory,
    is_local,
    local_header,
)
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Patch", "Span", "ZipSums"]

_ENOUGH = DESCRIPTOR_MAX + LOCAL_SIZE
"""Bytes between entries that tell what they are, if there are so many."""


class Span(NamedTuple):
    """A run of a record.

    Attributes:
        size: Bytes.
        first: Whether it begins a segment of the file.
        floats: Whether it is of numbers that may change.
    """

    size: int
    first: bool
    floats: bool


class Patch(NamedTuple):
    """Four bytes of the stream that have to change.

    Attributes:
        position: In the stream; never before what was `settled`.
        content: The bytes.
    """

    position: int
    content: bytes


@dataclass
class _Entry:
    """An entry of an archive.

    Attributes:
        name: For people.
        offset: Of its local header, in the stream.
        size: Bytes of its content; None: only its data descriptor says so.
        local: The CRC-32 in its local header; None: none is there, or it may stay.
        done: Bytes that have passed.
        before, after: CRC-32 of these, as they were and as they are.
    """

    name: str
    offset: int
    size: int | None
    local: int | None
    done: int = 0
    before: int = 0
    after: int = 0

    @property
    def complete(self) -> bool:
        """Whether all of it has passed, and this is known."""
        return self.done == self.size


class ZipSums:
    """Follows the records of one stream, in order.

    Attributes:
        stale: Names of entries that have changed, and whose local headers were given up.
    """

    def __init__(self) -> None:
        self.stale: list[str] = []
        self._entry: _Entry | None = None
        self._given_up: dict[int, int] = {}  # by offset: sums in such local headers
        self._changed: dict[int, tuple[int, int]] = {}  # by offset: CRC-32 before and after
        self._listed: set[int] = set()  # offsets of these that the directory has
        self._position = 0
        self._over = False
        # What stands between entries, as far as its end is missing: from where, before, after.
        self._open: tuple[int, bytes, bytes] | None = None
        self._directory: tuple[int, bytes] | None = None  # from where, what is not yet read
        self._patches: list[Patch] = []

    @property
    def settled(self) -> int:
        """Where in the stream what still may change begins."""
        places = [self._position]
        if self._entry is not None and self._entry.local is not None:
            places.append(self._entry.offset)
        if self._open is not None:
            places.append(self._open[0])
        if self._directory is not None:
            places.append(self._directory[0])
        return min(places)

    @property
    def unlisted(self) -> int:
        """Entries that have changed, and were in no directory so far, or have no end."""
        changed = set(self._changed)
        if self._entry is not None and self._entry.before != self._entry.after:
            changed.add(self._entry.offset)
        return len(changed - self._listed)

    def give_up(self) -> None:
        """Leave the local header of the entry at work as it is, wherever its sum is found."""
        entry = self._entry
        if entry is not None and entry.local is not None:
            self._given_up[entry.offset] = entry.local
            entry.local = None

    def follow(self, raw: memoryview, content: memoryview, spans: Iterable[Span]) -> list[Patch]:
        """Go through a record.

        Args:
            raw: The record as it was.
            content: As it is now.
            spans: Their sizes add up to that of the record.

        Returns:
            What has to change, here or in records before it.
        """
        self._patches = []
        start = 0
        for span in spans:
            stop = start + span.size
            self._pass(raw[start:stop], content[start:stop], span)
            start = stop
            self._position += span.size
        return self._patches

    def _pass(self, before: memoryview, after: memoryview, span: Span) -> None:
        goes_on = not span.first and not span.floats
        if self._open is not None:
            at, known, changed = self._open
            self._open = None
            if goes_on:
                self._between(at, known + before, changed + after)
                return
            self._between(at, known, changed, whole=True)
        if self._over:
            return
        if self._directory is not None:
            at, rest = self._directory
            self._read_directory(at, rest + before)
        elif span.first and not span.floats:
            self._between(self._position, bytes(before), bytes(after))
        else:
            self._add(before, after)

    def _between(self, at: int, before: bytes, after: bytes, *, whole: bool = False) -> None:
        """What may stand between entries: a descriptor, then a local header or the directory.

        Args:
            at: Where in the stream it begins.
            before, after: As it was and as it is, as far as it is there.
            whole: Whether this is all of it.
        """
        gap = self._gap(before)
        rest = before[gap or 0 :]
        if not whole and len(before) < (_ENOUGH if gap is None else gap + _header_size(rest)):
            self._open = at, before, after
            return
        if gap is None:
            self._add(memoryview(before), memoryview(after))
            return
        self._end_entry(at, gap)
        if is_local(rest):
            self._begin_entry(at + gap, rest)
        else:
            self._read_directory(at + gap, rest)

    def _gap(self, data: bytes) -> int | None:
        """Bytes of the data descriptor that `data` begins with; None: it is within an entry."""
        entry = self._entry
        if entry is None:
            return 0 if is_local(data) else None
        size = descriptor_size(data[:DESCRIPTOR_MAX], entry.done)
        if size is not None and _sum_at(data, DESCRIPTOR_CRC) == entry.before:
            return size
        return 0 if entry.complete else None

    def _begin_entry(self, at: int, header: bytes) -> None:
        try:
            local = local_header(header)
        except TensorFileError:
            self._entry, self._over = None, True
            return
        # What is compressed does not change, and there is no sum where a descriptor has it.
        found = _sum_at(header, LOCAL_CRC) if local.stored else 0
        self._entry = _Entry(local.name, at, local.data, found or None)

    def _add(self, before: memoryview, after: memoryview) -> None:
        """Some content of an entry."""
        entry = self._entry
        if entry is None:
            self._over = True  # whatever this is, it does not begin as an archive does
            return
        entry.done += len(before)
        entry.before = zlib.crc32(before, entry.before)
        entry.after = zlib.crc32(after, entry.after)
        if entry.complete:
            self._close(entry)

    def _end_entry(self, at: int, gap: int) -> None:
        """At the descriptor of an entry, which may have no size."""
        entry = self._entry
        if entry is None:
            return
        self._close(entry)
        if gap:
            self._put(at + DESCRIPTOR_CRC, entry.before, entry.after)

    def _close(self, entry: _Entry) -> None:
        if entry.before != entry.after:
            self._changed[entry.offset] = entry.before, entry.after
            if entry.local == entry.before:
                self._put(entry.offset + LOCAL_CRC, entry.before, entry.after)
            if self._given_up.pop(entry.offset, None) == entry.before:
                self.stale.append(entry.name)
        entry.local = None

    def _read_directory(self, at: int, data: bytes) -> None:
        """Its entries as far as they are there; the rest waits for what comes."""
        self._entry, self._directory, done = None, None, 0
        for place, offset, end in directory_sums(data):
            if offset in self._changed:
                old, new = self._changed[offset]
                self._listed.add(offset)
                if _sum_at(data, place) == old:
                    self._put(at + place, old, new)
            done = end
        rest = data[done:]
        if goes_on_in_directory(rest) and len(rest) < CENTRAL_MAX:
            self._directory = at + done, rest
        else:
            self._over = True

    def _put(self, position: int, old: int, new: int) -> None:
        if old != new:
            self._patches.append(Patch(position, new.to_bytes(4, "little")))


def _header_size(data: bytes) -> int:
    """Bytes that are needed to read what stands behind a descriptor, if they are there."""
    if not is_local(data):
        return LOCAL_SIZE
    if len(data) < LOCAL_SIZE:
        return LOCAL_MAX
    sizes = data[LOCAL_SIZE - 4 : LOCAL_SIZE]
    return LOCAL_SIZE + int.from_bytes(sizes[:2], "little") + int.from_bytes(sizes[2:], "little")


def _sum_at(data: bytes, at: int) -> int:
    return int.from_bytes(data[at : at + 4], "little")
