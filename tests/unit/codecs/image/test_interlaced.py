"""Interlaced PNG files are written anew, row by row, if pixels are all that is wanted."""

from __future__ import annotations

import struct
import zlib
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import nncomp
from nncomp.codecs.image.formats import png as png_files
from nncomp.coding.png.chunks import SIGNATURE, interlaced_size, pack_chunk
from nncomp.coding.png.filters import filter_lines, least_types

if TYPE_CHECKING:
    from collections.abc import Callable

_ROWS = ("16462646", "77777777", "56565656", "77777777", "36463646")
PASSES = np.array([[int(digit) for digit in _ROWS[row]] for row in (0, 1, 2, 3, 4, 1, 2, 3)])
COLOUR_TYPES = {1: 0, 2: 4, 3: 2, 4: 6}


def interlaced(samples: np.ndarray, depth: int = 8) -> bytes:
    """The file of [channels, 1, height, width], section 8.2 of the specification."""
    channels, _, height, width = samples.shape
    step, lines = channels * depth // 8, b""
    cells = samples[:, 0].transpose(1, 2, 0).astype(">u2" if depth == 16 else np.uint8)
    of = np.tile(PASSES, (height // 8 + 1, width // 8 + 1))[:height, :width]
    for pass_ in range(1, 8):
        rows = np.flatnonzero((of == pass_).any(axis=1))
        columns = np.flatnonzero((of == pass_).any(axis=0))
        if not len(rows):
            continue
        part = np.ascontiguousarray(cells[np.ix_(rows, columns)]).view(np.uint8)
        part = part.reshape(len(rows), -1)
        lines += filter_lines(part, least_types(part, step), step).tobytes()
    header = struct.pack(">IIBBBBB", width, height, depth, COLOUR_TYPES[channels], 0, 0, 1)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    data = SIGNATURE + b"".join(pack_chunk(*chunk) for chunk in chunks)
    assert len(lines) <= interlaced_size(memoryview(data))
    return data


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (9, 1), (17, 31), (5, 4), (8, 8)])
@pytest.mark.parametrize(("channels", "depth"), [(1, 8), (2, 8), (3, 8), (4, 8), (3, 16)])
def test_rows_are_joined(
    size: tuple[int, int], channels: int, depth: int, picture: Callable[..., np.ndarray]
) -> None:
    samples = picture(channels, 1, *size, depth)
    anew = png_files.written_anew(memoryview(interlaced(samples, depth)), 1 << 20)
    assert anew is not None
    found = png_files.pixels(memoryview(anew), 1 << 20)
    assert found is not None
    content, layout = found
    read = layout.read(content)
    assert read is not None
    assert np.array_equal(read[np.argsort(layout.order)], samples)


def test_files(picture: Callable[..., np.ndarray], coded: Callable[..., Any]) -> None:
    data = interlaced(picture(3, 1, 90, 110))
    blocks, said = coded(data)
    assert b"".join(block.raw for block in blocks) == data
    assert len(said) == (blocks[0].payload is None)
    assert nncomp.decompress(nncomp.compress(data, "fsar")) == data
    blocks, said = coded(data, pixels="only")
    assert said == []
    assert blocks[0].raw != data
    assert len(blocks[0].payload) < 0.9 * len(data)


def test_lines_that_do_not_fit(picture: Callable[..., np.ndarray]) -> None:
    good = interlaced(picture(3, 1, 9, 9))
    for header in ((9, 10), (10, 9), (90, 9)):
        head = struct.pack(">IIBBBBB", *header, 8, 2, 0, 0, 1)
        bad = SIGNATURE + pack_chunk(b"IHDR", head) + good[33:]
        anew = png_files.written_anew(memoryview(bad), 1 << 20)
        assert anew is not None
        assert anew[16:29] == head  # what they show is kept as it is
