"""The functions over contexts of arrays.py and contexts.py, compiled: the same results."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.embedding.contexts import CLASSES, SCALES, TABLE
from nncomp.coding.jit import inline, kernel, sealed

if TYPE_CHECKING:
    from nncomp.codecs.embedding.arrays import Array
    from nncomp.codecs.embedding.contexts import Contexts

__all__ = [
    "context_sizes",
    "costs",
    "gather",
    "histograms",
    "pack_bits",
    "run_costs",
    "scales",
    "scatter",
    "unpack_bits",
]

_U = np.uint64
_ONE = _U(1)


# --- codes by their contexts -------------------------------------------------------------


def gather(codes: Array, base: int, contexts: Contexts) -> Array:
    """See arrays.py."""
    c = contexts
    out = np.empty(codes.size, np.uint32)
    _gather(sealed(codes), base, c.rows, c.columns, c.map, _starts(c), out)
    return out


def scatter(
    symbols: Array, bits: Array, lows: Array, shifts: Array, contexts: Contexts, out: Array
) -> None:
    """See arrays.py."""
    c = contexts
    own = (c.rows, c.columns, c.map, _starts(c))
    if len(bits):
        _scatter_long(symbols, bits, lows, shifts, *own, out)
    else:
        _scatter(symbols, lows, shifts, *own, out)


def _starts(contexts: Contexts) -> Array:
    sizes = contexts.sizes
    starts: Array = (np.cumsum(sizes) - sizes).astype(np.uint64)
    return starts


@inline
def _sort_columns(columns: Array, own: Array, order: Array, ends: Array) -> None:
    """The columns by their contexts, in order within each; where each context ends.

    Args:
        columns: Classes.
        own: Context by class of a column, for the row at work.
        order: uint64, as many as columns.
        ends: uint64, one more than contexts.
    """
    ends[:] = 0
    for j in range(len(columns)):
        ends[own[columns[j]] + 1] += _ONE
    for k in range(len(ends) - 1):
        ends[k + 1] += ends[k]
    for j in range(len(columns)):
        k = own[columns[j]]
        order[ends[k]] = j
        ends[k] += _ONE


@inline
def _sorted_columns(columns: Array, map_: Array, order: Array, ends: Array) -> None:
    for c in range(len(order)):
        _sort_columns(columns, map_[c:], order[c], ends[c])


@kernel
def _gather(
    codes: Array, base: int, rows: Array, columns: Array, map_: Array, at: Array, out: Array
) -> None:
    order = np.empty((CLASSES, len(columns)), np.uint64)
    ends = np.empty((CLASSES, len(at) + 1), np.uint64)
    _sorted_columns(columns, map_, order, ends)
    for i in range(len(rows)):
        own, limits = order[rows[i]], ends[rows[i]]
        j = _U(0)
        for k in range(len(at)):
            place = at[k]
            while j < limits[k]:
                out[place] = np.uint32(codes[i, own[j]] - base)
                place += _ONE
                j += _ONE
            at[k] = place


@kernel
def _scatter(
    symbols: Array,
    lows: Array,
    shifts: Array,
    rows: Array,
    columns: Array,
    map_: Array,
    at: Array,
    out: Array,
) -> None:
    order = np.empty((CLASSES, len(columns)), np.uint64)
    ends = np.empty((CLASSES, len(at) + 1), np.uint64)
    _sorted_columns(columns, map_, order, ends)
    for i in range(len(rows)):
        own, limits = order[rows[i]], ends[rows[i]]
        j = _U(0)
        for k in range(len(at)):
            place, low, shift = at[k], lows[k], shifts[k]
            while j < limits[k]:
                out[i, own[j]] = low + (np.uint32(symbols[place]) << shift)
                place += _ONE
                j += _ONE
            at[k] = place


@kernel
def _scatter_long(
    symbols: Array,
    bits: Array,
    lows: Array,
    shifts: Array,
    rows: Array,
    columns: Array,
    map_: Array,
    at: Array,
    out: Array,
) -> None:
    """The same for codes that have low bits apart, which takes longer."""
    order = np.empty((CLASSES, len(columns)), np.uint64)
    ends = np.empty((CLASSES, len(at) + 1), np.uint64)
    _sorted_columns(columns, map_, order, ends)
    for i in range(len(rows)):
        own, limits = order[rows[i]], ends[rows[i]]
        j = _U(0)
        for k in range(len(at)):
            place, low, shift = at[k], lows[k], shifts[k]
            while j < limits[k]:
                out[i, own[j]] = low + (np.uint32(symbols[place]) << shift) + bits[place]
                place += _ONE
                j += _ONE
            at[k] = place


# --- low bits ----------------------------------------------------------------------------


def pack_bits(codes: Array, size: int) -> Array:
    """See arrays.py."""
    out = np.empty(-(-len(codes) * size // 8), np.uint8)
    _pack_bits(codes, size, out)
    return out


@kernel
def _pack_bits(codes: Array, size: int, out: Array) -> None:
    mask = (1 << size) - 1
    held, filled, at = np.int64(0), 0, 0
    for code in codes:
        held |= (np.int64(code) & mask) << filled
        filled += size
        while filled >= 8:
            out[at] = held & 255
            held >>= 8
            filled -= 8
            at += 1
    if filled:
        out[at] = held


def unpack_bits(packed: Array, size: int, out: Array) -> None:
    """See arrays.py."""
    _unpack_bits(sealed(packed), size, out)


@kernel
def _unpack_bits(packed: Array, size: int, out: Array) -> None:
    # Four bytes hold any code, whatever bit it begins at, and no code waits for another; the
    # last codes, behind which there are no four bytes, are read by bits.
    n, mask, whole = _U(size), _U((1 << size) - 1), 0
    if len(packed) >= 4:
        whole = min(len(out), (len(packed) - 4) * 8 // size)
    for i in range(whole):
        bit = _U(i) * n
        at = bit >> _U(3)
        x = _U(packed[at]) | _U(packed[at + _ONE]) << _U(8)
        x |= _U(packed[at + _U(2)]) << _U(16) | _U(packed[at + _U(3)]) << _U(24)
        out[i] = np.uint32(x >> (bit & _U(7)) & mask)
    for i in range(whole, len(out)):
        code = 0
        for k in range(size):
            bit_of = i * size + k
            code |= (int(packed[bit_of >> 3]) >> (bit_of & 7) & 1) << k
        out[i] = np.uint32(code)


def context_sizes(rows: Array, columns: Array, map_: Array) -> Array:
    """See contexts.py."""
    sizes = np.zeros(int(map_[-1]) + 1, np.int64)
    _context_sizes(rows, columns, map_, sizes)
    return sizes


@kernel
def _context_sizes(rows: Array, columns: Array, map_: Array, sizes: Array) -> None:
    of_rows, of_columns = np.zeros(CLASSES, np.int64), np.zeros(CLASSES, np.int64)
    for own in rows:
        of_rows[own] += 1
    for own in columns:
        of_columns[own] += 1
    for i in range(CLASSES):
        for j in range(CLASSES):
            sizes[map_[i + j]] += of_rows[i] * of_columns[j]


# --- statistics --------------------------------------------------------------------------


def scales(codes: Array, centre: int) -> tuple[Array, Array]:
    """See contexts.py."""
    of_rows, of_columns = (np.zeros(size, np.int64) for size in codes.shape)
    _scales(sealed(codes), centre, of_rows, of_columns)
    return of_rows, of_columns


@kernel
def _scales(codes: Array, centre: int, of_rows: Array, of_columns: Array) -> None:
    for i in range(len(of_rows)):
        for j in range(len(of_columns)):
            size = abs(np.int64(codes[i, j]) - centre)
            of_rows[i] += size
            of_columns[j] += size


def histograms(codes: Array, rows: Array, columns: Array, low: int, shift: int) -> Array:
    """See contexts.py."""
    out = np.zeros((SCALES, 256), np.int64)
    _histograms(np.ascontiguousarray(codes), np.ascontiguousarray(rows), columns, low, shift, out)
    return out


@kernel
def _histograms(
    codes: Array, rows: Array, columns: Array, low: int, shift: int, out: Array
) -> None:
    for i in range(len(rows)):
        for j in range(len(columns)):
            out[rows[i] + columns[j], (np.int64(codes[i, j]) - low) >> shift] += 1


def costs(counts: Array, table: Array) -> Array:
    """See contexts.py."""
    out = np.empty(len(counts), np.int64)
    _costs(counts, table, TABLE, out)
    return out


@kernel
def _costs(counts: Array, table: Array, of_symbol: int, out: Array) -> None:
    for i in range(len(counts)):
        out[i] = table[counts[i].sum()]
        for count in counts[i]:
            if count:
                out[i] += of_symbol - table[count]


def run_costs(sums: Array, table: Array) -> Array:
    """See contexts.py."""
    out = np.zeros((len(sums), len(sums)), np.int64)
    _run_costs(sums, table, TABLE, out)
    return out


@kernel
def _run_costs(sums: Array, table: Array, of_symbol: int, out: Array) -> None:
    for i in range(len(sums)):
        for j in range(i + 1, len(sums)):
            total = np.int64(0)
            for symbol in range(sums.shape[1]):
                count = sums[j, symbol] - sums[i, symbol]
                if count:
                    total = total + count
                    out[i, j] += of_symbol - table[count]
            out[i, j] += table[total]
