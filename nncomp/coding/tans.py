"""Finite-state coding by tables (tANS): the spec of tables, with encoder and decoder alike.

For small alphabets whose probabilities depend on a few states of what came before, such as
grids of codes with the codes above and on the left as the state. Each context has counts of
2^10 in all; a code without a count is told by an escape, the last entry of its context, and
its plain bits. A context without escape (count 0) has a count for every code.

**Tables.** The 2^10 states of a context are spread over its entries: state number
(i * 643) mod 2^10 belongs to the i-th of the entries written one after the other, each as
often as its count says. The states of an entry with count f, in rising order, stand for
f to 2 f - 1: the one for y takes n = 10 - floor(log2 y) bits, b, from the stream and goes
to state (y << n) - 2^10 + b.

**Stream.** u16 the first state, then bits, the first in the highest place of the first byte,
zeros at the end. The encoder goes from the last code to the first, beginning with state 0;
there the decoder must end.

Source: Duda, "Asymmetric numeral systems" (arXiv:1311.2540); Collet, Finite State Entropy.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.jit import inline, kernel
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = [
    "BITS",
    "NONE",
    "ONE",
    "TWO",
    "context_count",
    "decode_grid",
    "encode_grid",
    "grid_contexts",
    "normalised",
]

BITS = 10
"""Counts of a context sum to 2**BITS."""
NONE, ONE, TWO = range(3)
"""What the state of a grid is: nothing, the code on the left, the codes above and on the left."""

_SIZE = 1 << BITS
_STEP = 643  # odd, and about 5/8 of the size
_HEAD = 2  # bytes of the first state
_BITS_MAX = 2 * BITS  # of a code: an escape, and plain bits


def context_count(codes: int, order: int) -> int:
    """How many contexts grids of so many codes have: outside counts as one code more."""
    return int((codes + 1) ** order)


def grid_contexts(grid: Array, codes: int, order: int) -> Array:
    """The contexts of a grid: ((above) * (codes + 1)) + left, int64 like the grid."""
    around = np.full((grid.shape[0] + 1, grid.shape[1] + 1), codes, np.int64)
    around[1:, 1:] = grid
    left, above = around[1:, :-1], around[:-1, 1:]
    contexts = (np.zeros_like(left), left, above * (codes + 1) + left)
    return contexts[order]


def normalised(weights: Array) -> Array:
    """Counts from weights, int64[contexts, codes + 1]; no code is without one.

    Args:
        weights: int64[contexts, codes], not negative, each below 2^40.
    """
    contexts, codes = weights.shape
    room = _SIZE - codes
    ends = np.cumsum(np.where(weights.sum(1, keepdims=True) > 0, weights, 1), axis=1)
    cuts = np.zeros((contexts, codes + 1), np.int64)
    cuts[:, 1:] = ends * room // ends[:, -1:]
    counts = np.zeros((contexts, codes + 1), np.int64)
    counts[:, :codes] = np.diff(cuts, axis=1) + 1
    return counts


def _check(counts: Array, order: int) -> int:
    """The number of codes; `ValueError` if these are no tables of such an order."""
    contexts, entries = counts.shape
    codes = entries - 1
    whole = bool((counts.sum(1) == _SIZE).all() and counts.min() >= 0)
    missing = (counts[:, :codes] == 0).any(1)
    if (
        contexts != context_count(codes, order)
        or not whole
        or (missing & (counts[:, -1] == 0)).any()
    ):
        raise ValueError(f"counts of {counts.shape} are no tables of order {order}")
    return int(codes)


def encode_grid(grid: Array, counts: Array, order: int) -> bytes:
    """The stream of a grid of codes.

    Args:
        grid: uint8[rows, columns], codes.
        counts: int64[contexts, codes + 1]; the last of a context is its escape.
        order: NONE, ONE or TWO.
    """
    codes = _check(counts, order)
    if grid.size and int(grid.max()) >= codes:
        raise ValueError(f"there are codes beyond {codes - 1}")
    contexts = grid_contexts(grid, codes, order).ravel()
    out = np.zeros(_HEAD + 1 + grid.size * _BITS_MAX // 8, np.uint8)
    size = _encode(np.ascontiguousarray(grid).ravel(), contexts, counts, out)
    return out[len(out) - size :].tobytes()


def decode_grid(
    data: memoryview | bytes, shape: tuple[int, int], counts: Array, order: int
) -> Array:
    """The grid of a stream, uint8 of this shape.

    Raises:
        CorruptError: There is no such grid.
    """
    codes = _check(counts, order)
    grid = np.empty(shape, np.uint8)
    if not _decode(np.frombuffer(bytes(data), np.uint8), counts, order, codes, grid):
        raise CorruptError("a grid of codes does not end as it began")
    return grid


@inline
def _plain_bits(codes: int) -> int:
    """Bits of a code that is told plainly."""
    n = 0
    while 1 << n < codes:
        n += 1
    return n


@inline
def _spread(counts: Array, context: int, entries: Array) -> None:
    """The entry of each state of a context."""
    i = 0
    for entry in range(counts.shape[1]):
        for _ in range(counts[context, entry]):
            entries[i * _STEP & _SIZE - 1] = entry
            i += 1


@inline
def _bits_of(y: int) -> int:
    """10 - floor(log2 y)."""
    n = BITS
    while y > 1:
        y >>= 1
        n -= 1
    return n


@kernel
def _encode(codes: Array, contexts: Array, counts: Array, out: Array) -> int:
    """Fill `out` from its end; bytes written."""
    places = np.full(counts.shape[0], -1, np.int64)
    tables = np.empty((min(counts.shape[0], len(codes)), _SIZE), np.int16)
    first = np.zeros(counts.shape[1] + 1, np.int64)
    entries = np.empty(_SIZE, np.int64)
    plain = _plain_bits(counts.shape[1] - 1)
    built = 0
    state: Any = 0
    total = 0
    # Bits come last first: their number is needed to begin, so they are counted, then placed.
    bits, sizes = np.empty(2 * len(codes), np.int64), np.empty(2 * len(codes), np.int64)
    n = 0
    for i in range(len(codes) - 1, -1, -1):
        context, entry = contexts[i], np.int64(codes[i])
        start = 0
        if places[context] < 0:
            _spread(counts, context, entries)
            first[0] = 0
            for e in range(counts.shape[1]):
                first[e + 1] = first[e] + counts[context, e]
            for s in range(_SIZE):
                tables[built, first[entries[s]]] = s
                first[entries[s]] += 1
            places[context] = built
            built += 1
        if counts[context, entry] == 0:
            bits[n], sizes[n] = entry, plain
            n += 1
            entry = counts.shape[1] - 1
        for e in range(entry):
            start += counts[context, e]
        f = counts[context, entry]
        y, size = state + _SIZE, 0
        while y >> size >= 2 * f:
            size += 1
        bits[n], sizes[n] = y & (1 << size) - 1, size
        n += 1
        state = np.int64(tables[places[context], start + (y >> size) - f])
    for k in range(n):
        total += sizes[k]
    used = (total + 7) // 8
    begin = len(out) - used
    at = total
    for k in range(n):
        at -= sizes[k]
        for b in range(sizes[k]):
            place = at + sizes[k] - 1 - b
            if bits[k] >> b & 1:
                out[begin + (place >> 3)] |= 1 << 7 - (place & 7)
    out[begin - 2], out[begin - 1] = state & 255, state >> 8
    return used + 2


@kernel
def _decode(data: Array, counts: Array, order: int, codes: int, grid: Array) -> bool:
    """Fill in the grid; whether that went well."""
    places = np.full(counts.shape[0], -1, np.int64)
    most = min(counts.shape[0], grid.size)
    whose, sizes = np.empty((most, _SIZE), np.uint16), np.empty((most, _SIZE), np.uint8)
    bases = np.empty((most, _SIZE), np.int16)
    entries = np.empty(_SIZE, np.int64)
    seen = np.empty(counts.shape[1], np.int64)
    plain = _plain_bits(codes)
    if len(data) < _HEAD:
        return False
    state: Any = np.int64(data[0]) | np.int64(data[1]) << 8
    at: Any = 8 * _HEAD
    end = 8 * len(data)
    built = 0
    if state >= _SIZE:
        return False
    for r in range(grid.shape[0]):
        for c in range(grid.shape[1]):
            left: Any = np.int64(grid[r, c - 1]) if c else codes
            above: Any = np.int64(grid[r - 1, c]) if r else codes
            context = 0
            if order == ONE:
                context = left
            elif order == TWO:
                context = above * (codes + 1) + left
            if places[context] < 0:
                _spread(counts, context, entries)
                for e in range(counts.shape[1]):
                    seen[e] = counts[context, e]
                for s in range(_SIZE):
                    e = entries[s]
                    size = _bits_of(seen[e])
                    whose[built, s], sizes[built, s] = e, size
                    bases[built, s] = (seen[e] << size) - _SIZE
                    seen[e] += 1
                places[context] = built
                built += 1
            table = places[context]
            code: Any = np.int64(whose[table, state])
            bits = np.int64(sizes[table, state])
            if at + bits > end:
                return False
            state = np.int64(bases[table, state]) + _take(data, at, bits)
            at += bits
            if code == codes:
                if at + plain > end:
                    return False
                code = _take(data, at, plain)
                at += plain
                if code >= codes:
                    return False
            grid[r, c] = code
    if state or end - at >= 8:
        return False
    return bool(end == at or _take(data, at, end - at) == 0)


@inline
def _take(data: Array, at: int, size: Any) -> Any:
    """Bits of the stream."""
    value = np.int64(0)
    for k in range(at, at + size):
        value = value << 1 | data[k >> 3] >> 7 - (k & 7) & 1
    return value
