"""The payload of a neural record: sections of about 64 KiB, and marks between them.

    for each section but the last
        u32   size of the section's coded bytes
        u32   mark: low half of the XXH3-64 of all bytes decoded so far, in coding order
        ...   coded bytes
    the last section
        ...   coded bytes, to the end of the payload

All integers little endian. The last section needs no mark: the container's checksum of
the record follows. A decoder that has gone astray stops at the next mark, not hours
later at the end.
"""

from __future__ import annotations

import struct

import xxhash

from nncomp.errors import CorruptError

__all__ = ["SectionReader", "SectionWriter", "section_steps"]

_HEADER = struct.Struct("<II")
_SECTION_BYTES = 1 << 16


def section_steps(lanes: int, segment: int) -> int:
    """Steps in a section: whole segments, 64 KiB of decoded bytes or one segment more."""
    segments = -(-_SECTION_BYTES // (lanes * segment))
    return segments * segment


class SectionWriter:
    """Collects the sections of one record."""

    def __init__(self) -> None:
        self._hash = xxhash.xxh3_64()
        self._parts: list[bytes] = []

    def update(self, decoded: bytes) -> None:
        """Bytes that have been coded, in coding order."""
        self._hash.update(decoded)

    def add(self, coded: bytes, last: bool) -> None:
        """End a section."""
        if not last:
            mark = self._hash.intdigest() & 0xFFFFFFFF
            self._parts.append(_HEADER.pack(len(coded), mark))
        self._parts.append(coded)

    def payload(self) -> bytes:
        """The record's payload."""
        return b"".join(self._parts)


class SectionReader:
    """Takes a payload apart again, checking the marks."""

    def __init__(self, payload: memoryview) -> None:
        self._payload = payload
        self._position = 0
        self._mark: int | None = None
        self._hash = xxhash.xxh3_64()
        self._decoded = 0

    def update(self, decoded: bytes) -> None:
        """Bytes that have been decoded, in coding order."""
        self._hash.update(decoded)
        self._decoded += len(decoded)

    def next(self, last: bool) -> memoryview:
        """The coded bytes of the next section.

        Raises:
            CorruptError: The payload ends within it.
        """
        start = self._position
        if last:
            self._mark, self._position = None, len(self._payload)
            return self._payload[start:]
        if start + _HEADER.size > len(self._payload):
            raise CorruptError(
                f"the payload ends within the header of a section, after {start} bytes. "
                "The file is damaged: take another copy"
            )
        size, self._mark = _HEADER.unpack_from(self._payload, start)
        start += _HEADER.size
        left = len(self._payload) - start
        if size > left:
            raise CorruptError(
                f"a section claims {size} bytes where the payload has {left} more. "
                "The file is damaged: take another copy"
            )
        self._position = start + size
        return self._payload[start : self._position]

    def check(self) -> None:
        """Compare the mark at the end of a section.

        Raises:
            CorruptError: Something else was decoded than was encoded.
        """
        if self._mark is not None and self._mark != self._hash.intdigest() & 0xFFFFFFFF:
            raise CorruptError(
                f"what was decoded differs from what was encoded, within the {self._decoded} "
                "bytes of this record decoded so far. Either the file is damaged, or this "
                "machine computes differently, which would be a bug to report"
            )
