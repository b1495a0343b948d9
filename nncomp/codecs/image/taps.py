"""Which samples foretell a sample, and which errors tell how far it may be off."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from nncomp.codecs.image.plates import Array, Shape

__all__ = ["error_taps", "sample_taps", "tap_count", "tap_groups"]

# Columns and rows to neighbours. All of a plane before is known, so that those to the right
# and below count there, too.
_OWN = (
    (-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2),
    (-2, -1), (2, -1), (-1, -2), (1, -2), (-3, 0), (0, -3),
)  # fmt: skip
_BEFORE = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1), (-1, -1), (1, -1))
_OWN_ERRORS = ((-1, 0), (0, -1), (-1, -1), (1, -1), (-2, 0), (0, -2))
_ERRORS_BEFORE = ((0, 0), (-1, 0), (0, -1), (1, 0), (0, 1))
_PLANES_BEFORE = 2  # that are looked at


def _distances(
    shape: Shape, plane: int, own: tuple[tuple[int, int], ...], before: tuple[tuple[int, int], ...]
) -> Array:
    """How far in plates neighbours are, int64[taps]."""
    near = [dy * shape.stride + dx for dx, dy in own]
    for back in range(1, min(plane, _PLANES_BEFORE) + 1):
        near += [dy * shape.stride + dx - back * shape.plate for dx, dy in before]
    return np.array(near, np.int64)


def sample_taps(shape: Shape, plane: int) -> Array:
    """Distances to the neighbours of a sample, int64[taps]."""
    return _distances(shape, plane, _OWN, _BEFORE)


def error_taps(shape: Shape, plane: int) -> Array:
    """Distances to errors around, int64[taps]."""
    return _distances(shape, plane, _OWN_ERRORS, _ERRORS_BEFORE)


def tap_count(plane: int) -> tuple[int, int]:
    """How many taps there are, of samples and of errors."""
    before = min(plane, _PLANES_BEFORE)
    return len(_OWN) + before * len(_BEFORE), len(_OWN_ERRORS) + before * len(_ERRORS_BEFORE)


def tap_groups(count: int) -> list[tuple[int, int]]:
    """Which of so many taps of samples are of one plane: first, and behind the last."""
    ends = range(len(_OWN), count + 1, len(_BEFORE))
    return list(zip([0, *ends][:-1], ends, strict=True))
