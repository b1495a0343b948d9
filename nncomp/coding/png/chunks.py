"""The chunks of a PNG file: PNG specification (third edition), section 5.

file = signature, chunk*, anything
chunk = u32 bytes of content, type (4 bytes), content, u32 CRC of both; big endian
"""

from __future__ import annotations

import struct
import zlib
from typing import NamedTuple

__all__ = [
    "CHUNKS_MAX",
    "DATA",
    "END",
    "HEADER",
    "SIGNATURE",
    "Chunk",
    "Header",
    "interlaced_size",
    "lines_size",
    "pack_chunk",
    "pack_header",
    "plain_header",
    "read_chunks",
    "sample_count",
]

CHUNKS_MAX = 1 << 16
"""A file with more of them is left as it is."""

SIGNATURE = b"\x89PNG\r\n\x1a\n"
HEADER, DATA, END = b"IHDR", b"IDAT", b"IEND"

_FRAME = struct.Struct(">I4s")
_CRC = struct.Struct(">I")
_HEADER = struct.Struct(">IIBBBBB")
_CHANNELS = {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}  # of colour types
_PALETTE = 3


class Chunk(NamedTuple):
    """A chunk whose CRC is right; the content is a view of the file."""

    type: bytes
    content: memoryview | bytes


class Header(NamedTuple):
    """What the IHDR chunk says.

    Attributes:
        width: Pixels in a row.
        height: Rows.
        depth: Bits of a sample.
        channels: Samples of a pixel.
        palette: Whether samples are places in a palette.
        plain: Whether rows stand one after the other, with filters, from top to bottom.
        interlaced: Whether they are those of seven smaller pictures, of every so many pixels.
    """

    width: int
    height: int
    depth: int
    channels: int
    palette: bool
    plain: bool
    interlaced: bool

    @property
    def row(self) -> int:
        """Bytes of a row."""
        return (self.width * self.channels * self.depth + 7) // 8

    @property
    def step(self) -> int:
        """Bytes from a pixel to the next for filters."""
        return max(1, self.channels * self.depth // 8)

    @classmethod
    def read(cls, content: memoryview | bytes) -> Header | None:
        """The header, or None if it is of no known kind."""
        if len(content) != _HEADER.size:
            return None
        width, height, depth, colour, deflate, filters, interlaced = _HEADER.unpack(content)
        if colour not in _CHANNELS or depth not in (1, 2, 4, 8, 16) or not width or not height:
            return None
        known = deflate == filters == 0
        plain, passes = known and interlaced == 0, known and interlaced == 1
        return cls(width, height, depth, _CHANNELS[colour], colour == _PALETTE, plain, passes)


def pack_chunk(kind: bytes, content: memoryview | bytes) -> bytes:
    """A chunk as it stands in a file."""
    crc = _CRC.pack(zlib.crc32(content, zlib.crc32(kind)))
    return b"".join([_FRAME.pack(len(content), kind), content, crc])


def plain_header(content: memoryview | bytes) -> bytes:
    """The content of the IHDR chunk of the same picture, not interlaced."""
    return bytes(content[:-1]) + b"\0"


def pack_header(width: int, height: int, colour: int) -> bytes:
    """The content of the IHDR chunk of a plain picture of 8 bits, of a type of colour."""
    return _HEADER.pack(width, height, 8, colour, 0, 0, 0)


def read_chunks(file: memoryview, most: int = CHUNKS_MAX) -> tuple[list[Chunk], int]:
    """The chunks of a PNG file, as far as they are whole and right, and where the file ends.

    Args:
        file: Begins with the signature; something else may follow.
        most: Chunks that are read.
    """
    chunks, at = list[Chunk](), len(SIGNATURE)
    while at + _FRAME.size + _CRC.size <= len(file) and len(chunks) < most:
        size, kind = _FRAME.unpack_from(file, at)
        start, end = at + _FRAME.size, at + _FRAME.size + size
        if end + _CRC.size > len(file):
            break
        content = file[start:end]
        if zlib.crc32(content, zlib.crc32(kind)) != _CRC.unpack_from(file, end)[0]:
            break
        chunks.append(Chunk(kind, content))
        at = end + _CRC.size
        if kind == END:
            break
    return chunks, at


def lines_size(head: memoryview) -> int:
    """Bytes that the lines of a PNG file take; 0 if no plain picture begins so."""
    header = _plain_header(head)
    return header.height * (header.row + 1) if header else 0


def sample_count(head: memoryview) -> int:
    """Samples of a PNG file; 0 if no plain picture begins so."""
    header = _plain_header(head)
    return header.height * header.width * header.channels if header else 0


def interlaced_size(head: memoryview) -> int:
    """Bytes that are enough for the lines of a PNG file that is interlaced; 0 if none is."""
    header = _header(head)
    # In all, the seven pictures have up to 15 rows, each with its filter, for 8.
    return header.height * (header.row + 9) if header and header.interlaced else 0


def _plain_header(head: memoryview) -> Header | None:
    header = _header(head)
    return header if header and header.plain else None


def _header(head: memoryview) -> Header | None:
    chunks, _ = read_chunks(head, 1) if head[: len(SIGNATURE)] == SIGNATURE else ([], 0)
    return Header.read(chunks[0].content) if chunks and chunks[0].type == HEADER else None
