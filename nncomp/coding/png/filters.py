"""Filters of scanlines: PNG specification (third edition), section 9.

A line of a PNG is the type of its filter, one byte, and its bytes less what the filter
predicts from the byte a pixel before (a), the one above (b) and the one before that (c).
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.jit import inline, kernel

__all__ = ["FILTERS", "filter_lines", "least_types", "unfilter_lines"]

Array = NDArray[Any]

FILTERS = 5
"""Types: none, the byte before, the one above, the mean of both, Paeth's choice."""

_NONE, _BEFORE, _ABOVE, _MEAN, _PAETH = range(FILTERS)


@inline
def _predicted(kind: int, a: int, b: int, c: int) -> Any:
    """What a filter expects."""
    if kind == _NONE:
        return 0
    if kind == _BEFORE:
        return a
    if kind == _ABOVE:
        return b
    if kind == _MEAN:
        return a + b >> 1
    da, db, dc = abs(b - c), abs(a - c), abs(a + b - 2 * c)
    if da <= db and da <= dc:
        return a
    return b if db <= dc else c


@inline
def _around(pixels: Array, y: int, x: int, step: int) -> Any:
    """The bytes before, above, and above the one before; 0 outside."""
    a = np.int64(pixels[y, x - step]) if x >= step else np.int64(0)
    b = np.int64(pixels[y - 1, x]) if y else np.int64(0)
    c = np.int64(pixels[y - 1, x - step]) if y and x >= step else np.int64(0)
    return a, b, c


@kernel
def _filter(pixels: Array, types: Array, step: int, lines: Array) -> None:
    for y in range(pixels.shape[0]):
        lines[y, 0] = types[y]
        for x in range(pixels.shape[1]):
            a, b, c = _around(pixels, y, x, step)
            lines[y, x + 1] = pixels[y, x] - _predicted(types[y], a, b, c) & 255


@kernel
def _unfilter(lines: Array, step: int, pixels: Array) -> None:
    for y in range(pixels.shape[0]):
        for x in range(pixels.shape[1]):
            a, b, c = _around(pixels, y, x, step)
            pixels[y, x] = lines[y, x + 1] + _predicted(lines[y, 0], a, b, c) & 255


@kernel
def _least(pixels: Array, step: int, types: Array) -> None:
    sums = np.zeros(FILTERS, np.int64)
    for y in range(pixels.shape[0]):
        sums[:] = 0
        for x in range(pixels.shape[1]):
            a, b, c = _around(pixels, y, x, step)
            for kind in range(FILTERS):
                rest = pixels[y, x] - _predicted(kind, a, b, c) & 255
                sums[kind] += rest if rest < 128 else 256 - rest
        types[y] = np.argmin(sums)


def filter_lines(pixels: Array, types: Array, step: int) -> Array:
    """Lines with their types in front.

    Args:
        pixels: uint8[height, bytes of a row].
        types: uint8[height], each below `FILTERS`.
        step: Bytes of a pixel, at least 1.

    Returns:
        uint8[height, 1 + bytes of a row].
    """
    lines = np.empty((pixels.shape[0], pixels.shape[1] + 1), np.uint8)
    _filter(pixels, types, step, lines)
    return lines


def unfilter_lines(lines: Array, step: int) -> Array:
    """The inverse of `filter_lines` but for the types, which are `lines[:, 0]`."""
    pixels = np.empty((lines.shape[0], lines.shape[1] - 1), np.uint8)
    _unfilter(lines, step, pixels)
    return pixels


def least_types(pixels: Array, step: int) -> Array:
    """The types that libpng's heuristic takes: the least sum of magnitudes, uint8[height].

    The specification proposes it in section 12.7. The first of equal sums is taken.
    """
    types = np.empty(pixels.shape[0], np.uint8)
    _least(pixels, step, types)
    return types
