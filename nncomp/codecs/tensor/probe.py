"""Looking at a sample: which layout suits unknown bytes, and what else pays.

A sample is cut into planes as an encoder would, and the entropies of the planes are
added. That costs less than a hundredth of coding what the decision is for.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import zstandard

from nncomp.codecs.tensor.arrays import UNSIGNED, ops
from nncomp.codecs.tensor.layouts import (
    BYTEWISE,
    FIELDS,
    PLAIN,
    ROTATED,
    ZIGZAG,
    Layout,
    split_planes,
)
from nncomp.codecs.tensor.planes import order0

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncomp.codecs.tensor.arrays import Array

__all__ = ["cheapest", "cost", "few_values", "find_layout", "planes_of", "repeating"]

_CANDIDATES = (
    *(Layout(PLAIN, width) for width in (2, 3, 4, 8)),
    *(Layout(ROTATED, width) for width in (2, 4, 8)),
    *(Layout(ZIGZAG, width) for width in (2, 4, 8)),
)
_GAIN = 0.98  # what a layout must bring: below this share of the cost of plain bytes
_BETTER = 0.998  # what it must bring against another layout
_MATCHES = 0.97  # the same for matches: below this share of the entropy
_CLOSE = 1.2  # matches below this share of the best layout are tried on everything
_VALUES = 1024
_PALETTE_MAX = 256
_LEVEL = 1


def planes_of(sample: bytes, layout: Layout, start: int = 0) -> list[Array]:
    """The planes of what whole elements there are from `start` on."""
    whole = max(0, len(sample) - start) // layout.unit * layout.unit
    raw = np.frombuffer(sample, np.uint8)[start : start + whole]
    if layout.numeric:
        raw = np.frombuffer(raw.tobytes(), UNSIGNED[layout.width])
    return (split_planes(layout, raw, ops(compiled=False)) if whole else None) or []


def cost(planes: list[Array]) -> float:
    """Bytes that planes take at their entropy of order 0."""
    return sum(len(p) * min(8.0, order0(np.bincount(p, minlength=256))) / 8 for p in planes)


def find_layout(sample: bytes) -> tuple[Layout, int, bool]:
    """A layout for bytes of which nothing is known.

    Returns:
        The layout whose planes cost least; `BYTEWISE` for text and the like, where
        matches do better. How many bytes come before its first element. Whether matches
        come so close that only trying tells.
    """
    if not sample:
        return BYTEWISE, 0, False
    plain = cost(planes_of(sample, BYTEWISE))
    best, phase, least = BYTEWISE, 0, _GAIN * plain
    for layout in _CANDIDATES:
        # Byte groups alone do not mind where they begin.
        for start in range(1 if layout.family == PLAIN else layout.width):
            planes = planes_of(sample, layout, start)
            share = len(sample) / max(1, sum(map(len, planes)))
            if (bytes_needed := share * cost(planes)) + 1 < least:
                best, phase, least = layout, start, _BETTER * bytes_needed
    matched = len(zstandard.ZstdCompressor(level=_LEVEL).compress(sample))
    if best != BYTEWISE and matched < least / _BETTER:
        return BYTEWISE, 0, False
    return best, phase, best != BYTEWISE and matched < _CLOSE * least


def cheapest(sample: bytes, layouts: Sequence[Layout]) -> Layout:
    """The layout whose planes cost least; an earlier one unless a later one is clearly better."""
    best, least = layouts[0], cost(planes_of(sample, layouts[0]))
    for layout in layouts[1:]:
        if (bytes_needed := cost(planes_of(sample, layout))) < _BETTER * least:
            best, least = layout, bytes_needed
    return best


def repeating(planes: list[Array]) -> tuple[bool, ...]:
    """For each plane, whether matches make it clearly smaller than its entropy."""
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    return tuple(
        bool(len(plane)) and len(compressor.compress(plane.tobytes())) < _MATCHES * cost([plane])
        for plane in planes
    )


def few_values(sample: bytes, layout: Layout) -> bool:
    """Whether the elements of a sample take so few values that a table of them is smallest."""
    if layout.width < 2 or layout.family == FIELDS or layout.width not in UNSIGNED:
        return False
    raw = sample[: len(sample) // layout.width * layout.width]
    elements = np.frombuffer(raw, UNSIGNED[layout.width])
    some = np.sort(elements[:: len(elements) // _VALUES | 1])
    if 1 + np.count_nonzero(some[1:] != some[:-1]) > min(_PALETTE_MAX, len(some) // 2):
        return False
    values, indices = np.unique(elements, return_inverse=True)
    if not 2 < len(values) <= _PALETTE_MAX:
        return False
    table = cost([indices.astype(np.uint8)])
    return table < _GAIN * cost(planes_of(sample, layout))
