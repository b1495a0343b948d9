"""The functions of arrays.py, compiled: the same results, many times as fast."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.embedding import arrays, sequence
from nncomp.codecs.embedding.arrays import BF16, CODE_MAX, F16, F64, MISSED
from nncomp.codecs.embedding.contexts import CLASSES, SCALES, TABLE
from nncomp.coding.jit import inline, kernel
from nncomp.coding.rans_groups_kernels import decode_groups as decode_symbols
from nncomp.coding.rans_groups_kernels import encode_groups as encode_symbols

if TYPE_CHECKING:
    from nncomp.codecs.embedding.arrays import Array
    from nncomp.codecs.embedding.contexts import Contexts

__all__ = [
    "costs",
    "decode_symbols",
    "encode_symbols",
    "find_intervals",
    "find_rows",
    "follow",
    "from_codes",
    "gather",
    "histograms",
    "pack_bits",
    "push_all",
    "run_costs",
    "scales",
    "scatter",
    "spread",
    "to_codes",
    "unpack_bits",
]

find_intervals = kernel(sequence.find_intervals)
push_all = kernel(sequence.push_all)
follow = kernel(sequence.follow)

_U = np.uint64
# Multipliers of XXH64.
_PRIME1, _PRIME2 = _U(0x9E3779B185EBCA87), _U(0xC2B2AE3D27D4EB4F)
_HALF = _U(32)
_ONE = _U(1)


# --- rows --------------------------------------------------------------------------------


def find_rows(rows: Array) -> tuple[Array, Array]:
    """See arrays.py."""
    first, index = np.empty(len(rows), np.int64), np.empty(len(rows), np.int64)
    if rows.ctypes.data % 8:
        rows = rows.copy()
    words = rows.view(np.uint64)
    words.flags.writeable = False
    return first[: _find_rows(words, first, index)], index


@inline
def _hash(row: Array) -> np.uint64:
    """Of the words of a row; four sums, since one would wait for itself."""
    a, b, c, d = _PRIME1, _PRIME2, _U(1), _U(2)
    i = 0
    while i + 4 <= len(row):
        a = (a ^ row[i]) * _PRIME1
        b = (b ^ row[i + 1]) * _PRIME1
        c = (c ^ row[i + 2]) * _PRIME1
        d = (d ^ row[i + 3]) * _PRIME1
        a ^= a >> _HALF
        b ^= b >> _HALF
        c ^= c >> _HALF
        d ^= d >> _HALF
        i += 4
    while i < len(row):
        a = (a ^ row[i]) * _PRIME1
        a ^= a >> _HALF
        i += 1
    a = (a * _PRIME2 ^ b) * _PRIME1
    a = ((a ^ a >> _HALF) * _PRIME2 ^ c) * _PRIME1
    a = ((a ^ a >> _HALF) * _PRIME2 ^ d) * _PRIME1
    return a ^ a >> _HALF


@kernel
def _find_rows(rows: Array, first: Array, index: Array) -> int:
    """How many rows differ; the table of places is twice as large as it could be full."""
    size = 16
    while size < 2 * len(rows):
        size *= 2
    places = np.full(size, -1, np.int64)
    hashes = np.empty(len(rows), np.uint64)
    mask = _U(size - 1)
    found = 0
    for n in range(len(rows)):
        code = _hash(rows[n])
        place = code & mask
        while True:
            k = places[place]
            if k < 0:
                places[place] = found
                first[found] = n
                hashes[found] = code
                index[n] = found
                found += 1
                break
            if hashes[k] == code and _same(rows[n], rows[first[k]]):
                index[n] = k
                break
            place = place + _ONE & mask
    return found


@inline
def _same(a: Array, b: Array) -> bool:
    other = _U(0)
    for i in range(len(a)):
        other |= a[i] ^ b[i]
    return bool(other == _U(0))


# --- quantiser ---------------------------------------------------------------------------


def spread(x: Array) -> tuple[float, float]:
    """See arrays.py."""
    low, high = _spread(_sealed(x))
    return (float(low), float(high)) if low <= high else (0.0, 0.0)


@kernel
def _spread(x: Array) -> tuple[float, float]:
    low, high = np.inf, -np.inf
    for i in range(len(x)):
        value = np.float64(x[i])
        if value - value == 0.0:  # finite
            low = min(low, value)
            high = max(high, value)
    return low + 0.0, high + 0.0


def to_codes(x: Array, step: float, bound: float, kind: int, out: Array) -> float:
    """See arrays.py; what has 16 bits is left to NumPy."""
    if kind in (F16, BF16):
        return arrays.to_codes(x, step, bound, kind, out)
    return float(_to_codes(_sealed(x), step, bound, kind, out))


@kernel
def _to_codes(x: Array, step: float, bound: float, kind: int, out: Array) -> float:
    scale = 1.0 / step
    largest = 0.0
    for i in range(len(x)):
        value = np.float64(x[i])
        code = np.rint(value * scale)
        out[i] = MISSED
        if abs(code) <= CODE_MAX:
            product = code * step
            if kind != F64:
                product = np.float64(np.float32(product))
            error = abs(product - value)
            if error < bound or (error == bound and kind != F64):
                out[i] = np.int32(code)
                largest = max(largest, error)
    return largest


def from_codes(codes: Array, base: int, step: float, kind: int, out: Array) -> None:
    """See arrays.py; what has 16 bits is left to NumPy."""
    if kind in (F16, BF16):
        arrays.from_codes(codes, base, step, kind, out)
    else:
        floats = np.float64 if kind == F64 else np.float32
        _from_codes(_sealed(codes), base, step, out.view(floats))


@kernel
def _from_codes(codes: Array, base: int, step: float, out: Array) -> None:
    for i in range(len(codes)):
        out[i] = np.float64(np.int64(codes[i]) + base) * step


# --- contexts ----------------------------------------------------------------------------


def gather(codes: Array, base: int, contexts: Contexts) -> Array:
    """See arrays.py."""
    c = contexts
    out = np.empty(codes.size, np.uint32)
    _gather(_sealed(codes), base, c.rows, c.columns, c.map, _starts(c), out)
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
    _unpack_bits(_sealed(packed), size, out)


@kernel
def _unpack_bits(packed: Array, size: int, out: Array) -> None:
    mask = (1 << size) - 1
    held: int = 0
    filled, at = 0, 0
    for i in range(len(out)):
        while filled < size:
            held |= int(packed[at]) << filled
            filled += 8
            at += 1
        out[i] = held & mask
        held >>= size
        filled -= size


def scales(codes: Array, centre: int) -> tuple[Array, Array]:
    """See contexts.py."""
    of_rows, of_columns = (np.zeros(size, np.int64) for size in codes.shape)
    _scales(_sealed(codes), centre, of_rows, of_columns)
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


def _sealed(array: Array) -> Array:
    """A view that cannot be written to: kernels are compiled for one kind of array alone."""
    view = array.view()
    view.flags.writeable = False
    return view
