"""Frequencies for rANS, and how a decoder is told them: by a level for each symbol.

**Frequencies.** They sum to 2^14: with 2^12, symbols too rare for that cost the others 0.3%
where 8-bit numbers are normally distributed. A level is 0 for a symbol that is not there; else
the weight of level l is

    k                                with k = l - 1, for k below 16
    (8 + k mod 8) << (k div 8 - 1)   for greater ones, up to k = 96

so a weight has four significant bits, as many as pay: in a block of 128 KiB one more would cost
the table more than it saves the symbols, 0.01%. With `weights` the sum of all, `before` that of
the symbols below s, and `rank` and `present` the numbers of symbols that are there, below s and
at all:

    start of s = rank + before * (2^14 - present) div weights

and a frequency is the distance of two starts: at least 1 for every symbol that is there, and
2^14 in all.

**Table.** Bits, the lowest of each byte and of each number first, filled up with zeros to
whole bytes. number(n, k) is Elias's gamma code with k plain bits (Exp-Golomb): with b the
bits of m = n + 2^k, b - 1 - k zeros, a one, and the b - 1 lower bits of m.

    order: 2 bits
    1 if symbol 0 is there, else 0: 1 bit
    number(length - 1, 0) of each run of symbols that are there or are not there, in turn,
        until there are 256
    level of the first symbol that is there, less 1: 7 bits
    number(zigzag, order) of the other symbols' levels less that of the symbol before that is
        there; zigzag is 0, 1, 2, 3, 4 for 0, -1, 1, -2, 2
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["BITS", "frequencies", "levels_of", "pack_table", "unpack_table"]

BITS = 14
"""Frequencies sum to two to this."""

LEVEL_MAX = 97
ORDERS = 4  # of the codes of levels
ZEROS_MAX = 8  # before the one of a number: no length of a run is above 256
TABLE_MAX = 544  # bytes, more than a table takes

OK, ENDS_EARLY, BAD_TABLE = range(3)
REASONS = (
    "",
    "a payload of rANS ends before its plane does",
    "a table of frequencies contradicts itself",
)
"""What is wrong with a table, by number."""


def levels_of(counts: Array) -> Array:
    """Levels of symbols that occur so often, int64[256]: those nearest to their shares.

    Args:
        counts: int64[256], up to 2^40 in all, at least two of them not 0.
    """
    total = int(counts.sum())
    weights = np.maximum(((counts << BITS) + total // 2) // total - 1, 0)
    shift = np.maximum(np.frexp(weights)[1].astype(np.int64) - 4, 0)
    k = (shift << 3) + (weights + (1 << shift >> 1) >> shift)
    return np.where(counts > 0, k + 1, 0)


def frequencies(levels: Array) -> Array:
    """Frequencies, int64[256], which sum to 2^14.

    Args:
        levels: int64[256], from 0 to `LEVEL_MAX`, at least one of them above 1.
    """
    present = levels > 0
    k = levels - present
    weights = np.where(k < 16, k, (8 + k % 8) << np.maximum(k // 8 - 1, 0))
    rank, before = np.cumsum(present), np.cumsum(weights)
    ends = rank + before * ((1 << BITS) - rank[-1]) // before[-1]
    return np.diff(ends, prepend=0)


def pack_table(levels: Array) -> bytes:
    """The table of these levels."""
    present = levels > 0
    runs = np.diff(np.flatnonzero(np.diff(present)), prepend=-1, append=255)
    there = levels[present]
    steps = np.diff(there)
    zigzag = np.where(steps < 0, -2 * steps - 1, 2 * steps).tolist()
    choices = [[_number(step, order) for step in zigzag] for order in range(ORDERS)]
    bits = [sum(size for _, size in fields) for fields in choices]
    order = bits.index(min(bits))
    fields = [(order, 2), (int(present[0]), 1)]
    fields += [_number(run - 1, 0) for run in runs.tolist()]
    fields += [(int(there[0]) - 1, 7), *choices[order]]
    value = at = 0
    for field, size in fields:
        value |= field << at
        at += size
    return value.to_bytes(-(-at // 8), "little")


def _number(n: int, order: int) -> tuple[int, int]:
    """The bits of a number, the first the lowest, and how many they are."""
    rest = (n + (1 << order)).bit_length() - 1
    zeros = rest - order
    lower = n + (1 << order) - (1 << rest)
    return (1 | lower << 1) << zeros, zeros + 1 + rest


def unpack_table(data: bytes) -> tuple[Array, int]:
    """Levels, int64[256], of the table that `data` begins with, and its size.

    Raises:
        CorruptError: There is no whole table, or none that an encoder makes.
    """
    bits = _Bits(data[:TABLE_MAX])
    order = bits.take(2)
    there = bits.take(1)
    present: list[int] = []
    while len(present) < 256:
        present += [there] * (bits.number(0) + 1)
        there ^= 1
    if len(present) > 256 or sum(present) < 2:
        raise CorruptError(REASONS[BAD_TABLE])
    levels = np.zeros(256, np.int64)
    level = 0
    for symbol in np.flatnonzero(present):
        if level:
            step = bits.number(order)
            level += -(step + 1 >> 1) if step & 1 else step >> 1
        else:
            level = bits.take(7) + 1
        if not 1 <= level <= LEVEL_MAX:
            raise CorruptError(REASONS[BAD_TABLE])
        levels[symbol] = level
    size = bits.finish()
    if levels.max() < 2:
        raise CorruptError(REASONS[BAD_TABLE])
    return levels, size


class _Bits:
    """Reads bits, the lowest of each byte first."""

    def __init__(self, data: bytes) -> None:
        self._value = int.from_bytes(data, "little")
        self._size = 8 * len(data)
        self._at = 0

    def take(self, size: int) -> int:
        if self._at + size > self._size:
            raise CorruptError(REASONS[ENDS_EARLY])
        self._at += size
        return self._value >> self._at - size & (1 << size) - 1

    def number(self, order: int) -> int:
        zeros = 0
        while not self.take(1):
            zeros += 1
            if zeros > ZEROS_MAX:
                raise CorruptError(REASONS[BAD_TABLE])
        return (1 << zeros + order) + self.take(zeros + order) - (1 << order)

    def finish(self) -> int:
        """Bytes that were read, the last to its end."""
        if self.take(-self._at % 8):
            raise CorruptError(REASONS[BAD_TABLE])
        return self._at // 8
