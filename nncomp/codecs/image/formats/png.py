"""PNG files: undone to pixels by `coding.png`, or written anew."""

from __future__ import annotations

import zlib

import numpy as np

from nncomp.codecs.image.layout import Layout
from nncomp.codecs.image.plates import Array, Shape
from nncomp.coding.deflate.encoder import deflate
from nncomp.coding.deflate.settings import Settings
from nncomp.coding.png.chunks import (
    DATA,
    END,
    HEADER,
    SIGNATURE,
    Chunk,
    Header,
    pack_chunk,
    pack_header,
    plain_header,
    read_chunks,
)
from nncomp.coding.png.filters import FILTERS, filter_lines, least_types, unfilter_lines
from nncomp.coding.png.parts import Parts, take_apart

__all__ = [
    "SIGNATURE",
    "end_of",
    "layout_of",
    "new_file",
    "pixels",
    "ranks",
    "take_apart",
    "written_anew",
]

_LEVEL = 6  # of zlib: what libpng takes
_ZLIB_HEADER = b"\x78\x9c"  # for this level
_PASSES = (
    *((0, 0, 8, 8), (0, 4, 8, 8), (4, 0, 8, 4), (0, 2, 4, 4)),
    *((2, 0, 4, 2), (0, 1, 2, 2), (1, 0, 2, 1)),
)
"""Of interlaced pictures (section 8.2): the first row and column, and how far the next ones are."""
_COLOUR_TYPES = {3: 2, 4: 6}  # by channels


def layout_of(parts: Parts) -> Layout | None:
    """How pixels lie in the content of a PNG file; None if it is lines."""
    return None if parts.header is None else _layout(parts.header)


def _layout(header: Header) -> Layout | None:
    shape = Shape(header.channels, 1, header.height, header.width, header.depth)
    layout = Layout.plain(shape, big=True)
    return layout if layout.fits else None


def ranks(palette: Array) -> tuple[Array, Array]:
    """Places in a palette by brightness, so that neighbours resemble each other.

    Args:
        palette: uint8[colours, 3].

    Returns:
        The rank of each place, uint8[256], and the place of each rank, uint8[256]; places
        beyond the palette are behind all others.
    """
    bright = np.full(256, 1 << 16, np.int64)
    bright[: len(palette)] = palette.astype(np.int64) @ np.array([3, 6, 1])
    places = np.argsort(bright, kind="stable").astype(np.uint8)
    rank = np.empty(256, np.uint8)
    rank[places] = np.arange(256, dtype=np.uint8)
    return rank, places


def pixels(data: memoryview, most: int) -> tuple[Array, Layout] | None:
    """The bytes of pixels in a PNG file, and how they lie; palettes are not looked up.

    Args:
        data: The file.
        most: Bytes that its lines may have.

    Returns:
        None if it is no PNG file, one that is damaged, or one whose rows are interlaced.
    """
    chunks, _ = read_chunks(data)
    lines = _lines(data, chunks, most)
    header = Header.read(chunks[0].content) if lines is not None else None
    if lines is None or header is None:
        return None
    content = _unfiltered(lines, header)
    layout = None if content is None else _layout(header)
    return None if content is None or layout is None else (content.ravel(), layout)


def end_of(data: memoryview) -> int:
    """Where a whole PNG file ends; the size of what is none."""
    if data[: len(SIGNATURE)] != SIGNATURE:
        return len(data)
    chunks, end = read_chunks(data)
    return end if chunks and chunks[-1].type == END else len(data)


def _lines(data: memoryview, chunks: list[Chunk], most: int) -> Array | None:
    """What the stream of a file decodes to."""
    if data[: len(SIGNATURE)] != SIGNATURE or DATA not in [chunk.type for chunk in chunks]:
        return None
    decoder = zlib.decompressobj()
    try:
        stream = b"".join(chunk.content for chunk in chunks if chunk.type == DATA)
        lines = np.frombuffer(decoder.decompress(stream, most + 1), np.uint8)
    except zlib.error:
        return None
    return lines if len(lines) <= most and decoder.eof else None


def _unfiltered(lines: Array, header: Header) -> Array | None:
    """Rows of pixels, uint8[height, bytes]; None if lines are not plain."""
    if not header.plain or len(lines) != header.height * (header.row + 1):
        return None
    table = lines.reshape(header.height, -1)
    return unfilter_lines(table, header.step) if table[:, 0].max() < FILTERS else None


def written_anew(data: memoryview, most: int) -> bytes | None:
    """A PNG file with the same pixels and other chunks, deflated as by zlib, not interlaced.

    Args:
        data: A file whose stream cannot be foretold.
        most: Bytes that its lines may have.

    Returns:
        None if it is no PNG file, or one that is damaged.
    """
    chunks, end = read_chunks(data)
    lines = _lines(data, chunks, most)
    if lines is None or end != len(data):
        return None
    header = Header.read(chunks[0].content)
    rows = None
    if header is not None:
        rows = _joined(lines, header) if header.interlaced else _unfiltered(lines, header)
    if header is not None and rows is not None:
        lines = _filtered(rows, header.step)
        chunks[0] = Chunk(HEADER, plain_header(chunks[0].content))
    first = [chunk.type for chunk in chunks].index(DATA)
    return _file(chunks[:first], lines, [chunk for chunk in chunks[first:] if chunk.type != DATA])


def _joined(lines: Array, header: Header) -> Array | None:
    """Rows of pixels of an interlaced picture, uint8[height, bytes]; None if lines are not so.

    Of pixels of less than a byte, too: nobody writes such files.
    """
    step, at = header.step, 0
    if 8 * step != header.channels * header.depth:
        return None
    pixels = np.empty((header.height, header.width, step), np.uint8)
    for top, left, down, right in _PASSES:
        part = pixels[top::down, left::right]
        if not part.size:
            continue
        size = part.shape[0] * (part.shape[1] * step + 1)
        table = lines[at : at + size]
        if len(table) < size or (table := table.reshape(len(part), -1))[:, 0].max() >= FILTERS:
            return None
        part[:] = unfilter_lines(table, step).reshape(part.shape)
        at += size
    return pixels.reshape(header.height, -1) if at == len(lines) else None


def new_file(pixels: Array, metadata: list[Chunk]) -> bytes:
    """A PNG file.

    Args:
        pixels: uint8[height, width, 3] or with opacity, uint8[height, width, 4].
        metadata: What stands between its header and its pixels.
    """
    height, width, channels = pixels.shape
    head = Chunk(HEADER, pack_header(width, height, _COLOUR_TYPES[channels]))
    lines = _filtered(np.ascontiguousarray(pixels).reshape(height, -1), channels)
    return _file([head, *metadata], lines, [Chunk(END, b"")])


def _filtered(rows: Array, step: int) -> Array:
    """Lines, uint8[n]."""
    return filter_lines(rows, least_types(rows, step), step).ravel()


def _file(before: list[Chunk], lines: Array, behind: list[Chunk]) -> bytes:
    """The file of lines and of other chunks, deflated as zlib does it."""
    deflated = deflate(lines, Settings(_LEVEL))
    stream = b"".join([_ZLIB_HEADER, deflated, zlib.adler32(lines.data).to_bytes(4, "big")])
    chunks = [*before, Chunk(DATA, stream), *behind]
    return b"".join([SIGNATURE, *(pack_chunk(*chunk) for chunk in chunks)])
