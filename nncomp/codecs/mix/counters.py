"""Counters: probabilities of contexts that are met often, where a history is too coarse.

The table is uint32[16 * lines]. A line of 64 bytes serves one context for half a byte:
word 0 is the upper part of the context's hash, words 1 to 15 are cells of an adaptive
map (see `maps`), by the bits of the half so far, with a leading 1. A context takes the
line that it hashes to from the one that had it.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.maps import HALF
from nncomp.coding.ahead import prefetch
from nncomp.coding.jit import bare_inline as inline

__all__ = ["ask_counters", "counters", "find_counters"]

Array = NDArray[Any]

_WORDS = 16


def counters(lines: int) -> Array:
    """So many lines, a power of two, that nobody has yet."""
    return np.zeros(_WORDS * lines, np.uint32)


@inline
def _place(table: Array, h: int) -> Any:
    return (h & (table.shape[0] // _WORDS - 1)) * _WORDS


@inline
def ask_counters(table: Array, h: int) -> None:
    """Ask for the line of the context with this hash, ahead of its use."""
    prefetch(table, _place(table, h))


@inline
def find_counters(table: Array, h: int) -> Any:
    """Where the line of the context with this hash begins; made new if another had it."""
    at = _place(table, h)
    check = h >> 32 | 1
    if table[at] != check:
        table[at] = check
        for i in range(at + 1, at + _WORDS):
            table[i] = HALF
    return at
