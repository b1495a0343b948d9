"""The numbers of the deflate format: RFC 1951, sections 3.2.5 to 3.2.7.

A token is an int32: a literal is its byte, a match is length << 16 | distance.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "DISTANCES",
    "DISTANCE_BASE",
    "DISTANCE_BITS",
    "DYNAMIC",
    "END",
    "FIXED",
    "FIXED_LENGTHS",
    "LENGTH_BASE",
    "LENGTH_BITS",
    "LENGTH_CODE",
    "MATCH_MAX",
    "MATCH_MIN",
    "ORDER",
    "STORED",
    "SYMBOLS",
    "WINDOW",
]

Array = NDArray[Any]

STORED, FIXED, DYNAMIC = range(3)
"""Types of blocks."""

END = 256
"""The symbol after the last token of a block."""

SYMBOLS = 286
"""Literals, the end, 29 codes of lengths."""

DISTANCES = 30
"""Codes of distances."""

MATCH_MIN, MATCH_MAX = 3, 258
WINDOW = 1 << 15
"""The greatest distance."""

LENGTH_BITS = np.array([0] * 8 + [k for k in range(1, 6) for _ in range(4)] + [0], np.int64)
"""Extra bits after each code of lengths, the first of which is symbol 257."""

LENGTH_BASE = np.concatenate([[0], (1 << LENGTH_BITS[:-1]).cumsum()]) + MATCH_MIN
LENGTH_BASE[-1] = MATCH_MAX
"""The shortest length of each code."""

LENGTH_CODE = (np.searchsorted(LENGTH_BASE, np.arange(MATCH_MAX + 1), "right") - 1).clip(0)
"""The code of each length."""

DISTANCE_BITS = np.array([0, 0, *(k // 2 for k in range(28))], np.int64)
DISTANCE_BASE = np.concatenate([[0], (1 << DISTANCE_BITS[:-1]).cumsum()]) + 1

ORDER = np.array([16, 17, 18, 0, 8, 7, 9, 6, 10, 5, 11, 4, 12, 3, 13, 2, 14, 1, 15], np.int64)
"""In which order a block tells the lengths of the codes for lengths of codes."""

FIXED_LENGTHS = np.repeat(np.array([8, 9, 7, 8], np.int64), [144, 112, 24, 8])
"""Bits of each symbol in fixed blocks; all distances take 5."""
