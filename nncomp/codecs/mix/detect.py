"""What a block looks like: tried on a piece of it, not told by its name.

Text is known by its bytes. For all else, distances at which bytes resemble each other
propose layouts, and the one that codes a piece from the middle smallest is taken.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.coder import encode_block
from nncomp.codecs.mix.layout import LETTERS, NUMBERS, RECORDS, TEXT, Layout
from nncomp.codecs.mix.machine import is_machine_code

__all__ = ["find_layout"]

Array = NDArray[Any]

_PIECE = 1 << 15  # bytes that are tried
_REACH = 1 << 12  # longest row
_LEAST = 1 << 10  # smaller blocks are not worth a look
_TABLE = 16  # log2 of the lines of a trial
_ALIKE = 0.02  # bits a byte that make no difference

_CONTROL = np.ones(256, np.bool_)
_CONTROL[32:127] = _CONTROL[128:] = False
_CONTROL[[9, 10, 13]] = False


def find_layout(raw: Array) -> Layout:
    """The layout that suits these bytes, uint8[n]."""
    if len(raw) < _LEAST:
        return Layout()
    counts = np.bincount(raw[:: max(1, len(raw) >> 16)], minlength=256)
    if _is_text(counts):
        return Layout(LETTERS if _are_letters(counts) else TEXT)
    middle = max(0, len(raw) - _REACH - _PIECE) // 2 // 8 * 8
    sight = raw[middle : middle + _PIECE + _REACH]
    piece = sight[-_PIECE:] if len(sight) > _PIECE else sight
    layouts = _candidates(sight)
    if is_machine_code(raw):
        layouts += [layout._replace(machine=True) for layout in layouts if layout.kind != NUMBERS]
    sizes = [encode_block(piece, layout, _TABLE, 32) for layout in layouts]
    lengths = [len(piece) if size is None else len(size) for size in sizes]
    least = min(lengths)
    # Where a piece nearly vanishes, a small difference tells little of the rest.
    if 8 * lengths[0] < len(piece) and 80 * least > 79 * lengths[0]:
        return layouts[0]
    return layouts[lengths.index(least)]


def _are_letters(counts: Array) -> bool:
    """Next to nothing but four symbols, none of them rare, that bits 1 and 2 tell apart."""
    common, total = np.argsort(counts)[-4:], counts.sum()
    apart = len(set(common >> 1 & 3)) == 4
    return apart and bool(counts[common].sum() * 50 > total * 49 and counts[common[0]] * 20 > total)


def _is_text(counts: Array) -> bool:
    """Next to no control characters, and not mostly beyond ASCII."""
    total = counts.sum()
    return bool(counts[_CONTROL].sum() * 1000 < total and counts[128:].sum() * 2 < total)


def _entropy(symbols: Array) -> float:
    """Bits for each of these bytes; decides sizes only, so that rounding is no matter."""
    counts = np.bincount(symbols, minlength=256)
    shares = counts[counts > 0] / len(symbols)
    return float(-(shares * np.log2(shares)).sum())


def _difference(x: Array, back: int) -> float:
    """How alike bytes are at a distance."""
    return _entropy(x[_REACH:] - x[_REACH - back : len(x) - back])


def _element(x: Array) -> int:
    """The size that bytes of the same place resemble each other at."""
    scores = {}
    for size in (1, 2, 3, 4, 8):
        moved = x[size:] - x[:-size]
        scores[size] = sum(_entropy(moved[k::size]) for k in range(size)) / size
    least = min(scores.values())
    return next(size for size, score in scores.items() if score <= least + _ALIKE)


def _candidates(x: Array) -> list[Layout]:
    """The layouts worth a trial."""
    if len(x) < 2 * _REACH:
        x = np.concatenate([np.zeros(2 * _REACH - len(x), np.uint8), x])
    element = _element(x)
    away = {k: _difference(x, k) for k in range(2 * element, _REACH + 1, 1) if k >= 8}
    least = min(away.values())
    row = next(k for k, score in away.items() if score <= least + _ALIKE)
    layouts = [Layout(TEXT), Layout(RECORDS, element, row)]
    if element in (2, 4, 8):
        layouts.append(Layout(RECORDS, element, row, 0, reverse=True))
    if element <= 3:
        step = row if row % element == 0 else 0
        for turned in (False, True) if element == 2 else (False,):
            layouts += [Layout(NUMBERS, element, r, 0, turned) for r in {0, step}]
        planes = {k: score for k, score in away.items() if k >= 8 * row and k % row == 0}
        if element == 3:
            layouts.append(Layout(NUMBERS, 3, step, 1))
        elif planes and element == 1:
            layouts.append(Layout(NUMBERS, 1, row, min(planes, key=planes.__getitem__)))
    return layouts
