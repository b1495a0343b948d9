"""PNG files: undone to pixels by `coding.png`, or written anew."""

from __future__ import annotations

import zlib

import numpy as np

from nncomp.codecs.image.layout import Layout
from nncomp.codecs.image.plates import Array, Shape
from nncomp.coding.png.chunks import DATA, SIGNATURE, Header, pack_chunk, read_chunks
from nncomp.coding.png.filters import FILTERS, filter_lines, least_types, unfilter_lines
from nncomp.coding.png.parts import Parts, take_apart

__all__ = ["SIGNATURE", "layout_of", "ranks", "take_apart", "written_anew"]

_LEVEL = 6  # of zlib: what libpng takes


def layout_of(parts: Parts) -> Layout | None:
    """How pixels lie in the content of a PNG file; None if it is lines."""
    header = parts.header
    if header is None:
        return None
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


def written_anew(data: memoryview, most: int) -> bytes | None:
    """A PNG file with the same pixels and other chunks, deflated by zlib.

    Args:
        data: A file whose stream cannot be foretold.
        most: Bytes that its lines may have.

    Returns:
        None if it is no PNG file, or one that is damaged.
    """
    chunks, end = read_chunks(data)
    kinds = [chunk.type for chunk in chunks]
    if data[: len(SIGNATURE)] != SIGNATURE or DATA not in kinds or end != len(data):
        return None
    header = Header.read(chunks[0].content)
    decoder = zlib.decompressobj()
    try:
        stream = b"".join(chunk.content for chunk in chunks if chunk.type == DATA)
        lines = np.frombuffer(decoder.decompress(stream, most + 1), np.uint8)
    except zlib.error:
        return None
    if len(lines) > most or not decoder.eof:
        return None
    if header is not None and header.plain and len(lines) == header.height * (header.row + 1):
        table = lines.reshape(header.height, -1)
        if table[:, 0].max() < FILTERS:
            pixels = unfilter_lines(table, header.step)
            lines = filter_lines(pixels, least_types(pixels, header.step), header.step).ravel()
    first = kinds.index(DATA)
    pieces = [SIGNATURE, *(pack_chunk(*chunk) for chunk in chunks[:first])]
    pieces.append(pack_chunk(DATA, zlib.compress(lines.tobytes(), _LEVEL)))
    pieces += [pack_chunk(*chunk) for chunk in chunks[first:] if chunk.type != DATA]
    return b"".join(pieces)
