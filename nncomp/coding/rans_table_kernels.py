"""The functions of rans_table.py, compiled into the kernels that call them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.jit import inline
from nncomp.coding.rans_table import (
    BAD_TABLE,
    BITS,
    ENDS_EARLY,
    LEVEL_MAX,
    OK,
    ORDERS,
    ZEROS_MAX,
)

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["frequencies", "levels_of", "put_table", "take_table"]


@inline
def _bit_length(n: int) -> int:
    size = 0
    while n >> size:
        size += 1
    return size


@inline
def levels_of(counts: Array, total: int, levels: Array) -> None:
    """Fill in levels for counts, which are `total` in all."""
    for s in range(256):
        levels[s] = 0
        if counts[s]:
            weight = max(((counts[s] << BITS) + total // 2) // total - 1, 0)
            shift = max(_bit_length(weight) - 4, 0)
            levels[s] = 1 + (shift << 3) + (weight + (1 << shift >> 1) >> shift)


@inline
def frequencies(levels: Array, freqs: Array) -> None:
    """Fill in frequencies for levels, at least one of which is above 1."""
    present, weights = 0, 0
    for s in range(256):
        present += levels[s] > 0
        k = max(levels[s] - 1, 0)
        freqs[s] = k if k < 16 else (8 + k % 8) << k // 8 - 1
        weights += freqs[s]
    shared = (1 << BITS) - present
    rank, before, start = 0, 0, 0
    for s in range(256):
        rank += levels[s] > 0
        before += freqs[s]
        end = rank + before * shared // weights
        freqs[s] = end - start
        start = end


@inline
def _add(out: Array, bit: int, size: int, value: int) -> int:
    """Write bits, the lowest first; which bit comes next."""
    for k in range(size):
        place = bit + k
        if place & 7 == 0:
            out[place >> 3] = 0
        out[place >> 3] |= (value >> k & 1) << (place & 7)
    return bit + size


@inline
def _add_number(out: Array, bit: int, n: int, order: int) -> int:
    rest = _bit_length(n + (1 << order)) - 1
    lower = n + (1 << order) - (1 << rest)
    return _add(out, bit, rest - order + 1 + rest, (1 | lower << 1) << rest - order)


@inline
def _zigzag(step: int) -> int:
    return -2 * step - 1 if step < 0 else 2 * step


@inline
def _best_order(levels: Array) -> int:
    """Of the code of levels: the first of those that take the fewest bits."""
    bits = np.zeros(ORDERS, np.int64)
    before = 0
    for s in range(256):
        if levels[s]:
            if before:
                n = _zigzag(levels[s] - before)
                for order in range(ORDERS):
                    bits[order] += 2 * _bit_length(n + (1 << order)) - order - 1
            before = levels[s]
    return int(np.argmin(bits))


@inline
def put_table(levels: Array, out: Array, at: int) -> int:
    """Write the table at `out[at:]`; where it ends."""
    order = _best_order(levels)
    bit = _add(out, 8 * at, 2, order)
    bit = _add(out, bit, 1, int(levels[0] > 0))
    run = 0
    for s in range(256):
        run += 1
        if s == 255 or (levels[s] > 0) != (levels[s + 1] > 0):
            bit = _add_number(out, bit, run - 1, 0)
            run = 0
    before = 0
    for s in range(256):
        if levels[s]:
            if before:
                bit = _add_number(out, bit, _zigzag(levels[s] - before), order)
            else:
                bit = _add(out, bit, 7, levels[s] - 1)
            before = levels[s]
    return bit + 7 >> 3


@inline
def _take(data: Array, bit: int, size: int) -> tuple[int, int]:
    """A number, 0 where the data end, and which bit comes next, if any."""
    value = 0
    if bit + size <= 8 * len(data):
        for k in range(size):
            place = bit + k
            value |= (int(data[place >> 3]) >> (place & 7) & 1) << k
    return value, bit + size


@inline
def _take_number(data: Array, bit: int, order: int) -> tuple[int, int]:
    """A number and which bit comes next; beyond `ZEROS_MAX` it is not one."""
    zeros = 0
    one, bit = _take(data, bit, 1)
    while not one and zeros <= ZEROS_MAX:
        zeros += 1
        one, bit = _take(data, bit, 1)
    if zeros > ZEROS_MAX:
        return -1, bit
    lower, bit = _take(data, bit, zeros + order)
    return (1 << zeros + order) + lower - (1 << order), bit


@inline
def take_table(data: Array, at: int, levels: Array) -> tuple[int, int]:
    """Read levels; `OK` or what is wrong, and where the table ends."""
    order, bit = _take(data, 8 * at, 2)
    there, bit = _take(data, bit, 1)
    s, present = 0, 0
    while s < 256:
        run, bit = _take_number(data, bit, 0)
        if run < 0 or s + run >= 256:
            break
        for k in range(s, s + run + 1):
            levels[k] = there
        s += run + 1
        present += there * (run + 1)
        there ^= 1
    level, most = 0, 0
    valid = s == 256 and present >= 2
    for k in range(256):
        if valid and levels[k]:
            if level:
                n, bit = _take_number(data, bit, order)
                valid = n >= 0
                level += -(n + 1 >> 1) if n & 1 else n >> 1
            else:
                n, bit = _take(data, bit, 7)
                level = n + 1
            valid = valid and 1 <= level <= LEVEL_MAX
            levels[k] = level
            most = max(most, level)
    padding, bit = _take(data, bit, -bit & 7)
    if bit > 8 * len(data):
        return ENDS_EARLY, at
    return (OK if valid and most > 1 and not padding else BAD_TABLE), bit >> 3
