"""The functions of arrays.py, compiled: the same results, many times as fast.

Those over contexts are in context_kernels.py.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.embedding import arrays, sequence
from nncomp.codecs.embedding.arrays import BF16, CODE_MAX, F16, F64, MISSED
from nncomp.codecs.embedding.context_kernels import (
    context_sizes,
    costs,
    gather,
    histograms,
    pack_bits,
    run_costs,
    scales,
    scatter,
    unpack_bits,
)
from nncomp.coding.jit import inline, kernel, sealed
from nncomp.coding.rans_groups_kernels import decode_groups as decode_symbols
from nncomp.coding.rans_groups_kernels import encode_groups as encode_symbols

if TYPE_CHECKING:
    from nncomp.codecs.embedding.arrays import Array

__all__ = [
    "context_sizes",
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
    if len(x):
        with np.errstate(invalid="ignore"):  # of signalling NaN
            low, high = float(x.min()), float(x.max())
        if math.isfinite(low) and math.isfinite(high):  # NumPy looks at several at once
            return low + 0.0, high + 0.0
    low, high = _spread(sealed(x))
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
    return float(_to_codes(sealed(x), step, bound, kind, out))


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
        _from_codes(sealed(codes), base, step, out.view(floats))


@kernel
def _from_codes(codes: Array, base: int, step: float, out: Array) -> None:
    for i in range(len(codes)):
        out[i] = np.float64(np.int64(codes[i]) + base) * step
