"""Adaptive maps: from something small that is known to a probability that is learned.

A map's cell is a uint32: the probability of a one in the upper 22 bits, and how many
bits it has seen in the lower 10, by which it learns fast at first and slowly then.

A refinement is uint16[33] for each of its contexts: probabilities at stretched ones from
-OUTER to OUTER, 176 apart, read in between and learned at the nearer end.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.tables import OUTER, squash_table
from nncomp.coding.ahead import prefetch
from nncomp.coding.jit import bare_inline as inline

__all__ = ["KNOTS", "learn", "refine", "refine_learn", "refinements"]

Array = NDArray[Any]

KNOTS = 33
HALF = 1 << 31
"""A cell that has seen nothing."""

_APART = 2 * OUTER // (KNOTS - 1)
_RATE = 5


@inline
def learn(cells: Array, at: int, bit: int, limit: int, reciprocals: Array) -> None:
    """Move a cell towards the bit."""
    cell = np.int64(cells[at])
    seen = cell & 1023
    p = cell >> 10
    p += (((1 << 22) - 1) * bit - p) * reciprocals[seen] >> 16
    cells[at] = p << 10 | min(seen + 1, limit)


def refinements(contexts: int) -> Array:
    """Refinements that change nothing yet."""
    knots = [min(i * _APART, 2 * OUTER) for i in range(KNOTS)]
    return np.tile(squash_table()[knots].astype(np.uint16), contexts)


@inline
def ask_refine(cells: Array, context: int) -> None:
    """Ask for a context's cells ahead of their use."""
    prefetch(cells, context * KNOTS)
    prefetch(cells, context * KNOTS + KNOTS - 1)


@inline
def refine(cells: Array, context: int, stretched: int) -> tuple[int, int]:
    """The refined probability, and the cell that learns from the bit."""
    place = stretched + OUTER
    knot = min(place // _APART, KNOTS - 2)
    part = place - knot * _APART
    at = context * KNOTS + knot
    p: Any = (np.int64(cells[at]) * (_APART - part) + np.int64(cells[at + 1]) * part) // _APART
    return p, at + (1 if 2 * part >= _APART else 0)


@inline
def refine_learn(cells: Array, at: int, bit: int) -> None:
    """Move a cell of a refinement towards the bit."""
    p = np.int64(cells[at])
    cells[at] = p + (bit * 65535 - p >> _RATE)
