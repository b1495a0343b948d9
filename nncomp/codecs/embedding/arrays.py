"""Steps over the elements and rows of a table, in NumPy.

This is their specification; kernels.py and context_kernels.py have them compiled, with the same
results, and `ops` chooses.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.embedding.contexts import context_sizes, costs, histograms, run_costs, scales
from nncomp.codecs.embedding.sequence import find_intervals, follow, push_all
from nncomp.coding.jit import compiled_module
from nncomp.coding.rans_groups import decode_groups as decode_symbols
from nncomp.coding.rans_groups import encode_groups as encode_symbols

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncomp.codecs.base import Buffer
    from nncomp.codecs.embedding.contexts import Contexts


__all__ = [
    "BF16",
    "CODE_MAX",
    "F16",
    "F32",
    "F64",
    "FLOATS",
    "KINDS",
    "MISSED",
    "PATTERNS",
    "Array",
    "Ops",
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
    "ops",
    "pack_bits",
    "push_all",
    "run_costs",
    "scales",
    "scatter",
    "spread",
    "to_codes",
    "unpack_bits",
    "widen",
]

Array: TypeAlias = NDArray[Any]

CODE_MAX = (1 << 30) - 1
"""No code is further from 0, so that differences of codes are int32."""
MISSED = -(1 << 31)
"""Stands for the code of an element that no code comes near enough to."""

_TOGETHER = 1 << 16  # elements at once: they become float64, and more than once

F32, F16, BF16, F64 = range(4)
"""Kinds of elements, by their numbers in payloads."""
KINDS = ("F32", "F16", "BF16", "F64")
"""Their names, as in safetensors."""
PATTERNS = tuple(np.dtype(name) for name in ("<u4", "<u2", "<u2", "<u8"))
"""Types of their bit patterns."""
FLOATS = tuple(np.dtype(name) for name in ("<f4", "<f2", "<u2", "<f8"))
"""Types that NumPy has for them."""


class Ops(Protocol):
    """The functions of this module, wherever they come from."""

    find_rows: Callable[[Array], tuple[Array, Array]]
    spread: Callable[[Array], tuple[float, float]]
    to_codes: Callable[[Array, float, float, int, Array], float]
    from_codes: Callable[[Array, int, float, int, Array], None]
    gather: Callable[[Array, int, Contexts], Array]
    scatter: Callable[[Array, Array, Array, Array, Contexts, Array], None]
    pack_bits: Callable[[Array, int], Array]
    unpack_bits: Callable[[Array, int, Array], None]
    # Those of contexts.py.
    scales: Callable[[Array, int], tuple[Array, Array]]
    histograms: Callable[[Array, Array, Array, int, int], Array]
    costs: Callable[[Array, Array], Array]
    run_costs: Callable[[Array, Array], Array]
    context_sizes: Callable[[Array, Array, Array], Array]
    # Those of coding/rans_groups.py.
    encode_symbols: Callable[[Array, Array], bytes]
    decode_symbols: Callable[[Buffer, Array], Array]
    # Those of sequence.py, which are compiled as they stand.
    find_intervals: Callable[[Array, int, int, Array, Array], None]
    push_all: Callable[[Array, Array, Array], int]
    follow: Callable[[Array, int, int, Array], bool]


# --- rows --------------------------------------------------------------------------------


def find_rows(rows: Array) -> tuple[Array, Array]:
    """Which rows differ, in the order in which they first appear.

    Args:
        rows: uint8[n, size], C order, size a multiple of 8.

    Returns:
        int64[u]: where each of the different rows is first; int64[n]: which of them each is.
    """
    if not len(rows):
        return np.empty(0, np.int64), np.empty(0, np.int64)
    whole = rows.view(np.dtype((np.void, rows.shape[1]))).reshape(-1)
    _, first, index = np.unique(whole, return_index=True, return_inverse=True)
    order = np.argsort(first)
    rank = np.empty(len(order), np.int64)
    rank[order] = np.arange(len(order))
    return first[order], rank[index.reshape(-1)]


# --- quantiser ---------------------------------------------------------------------------


def spread(x: Array) -> tuple[float, float]:
    """The smallest and the largest finite value; 0 and 0 if there is none.

    Args:
        x: float32 or float64, one dimension.
    """
    finite = x[np.isfinite(x)]
    if not len(finite):
        return 0.0, 0.0
    # + 0.0: which of -0.0 and 0.0 comes out is not defined
    return float(finite.min()) + 0.0, float(finite.max()) + 0.0


def to_codes(x: Array, step: float, bound: float, kind: int, out: Array) -> float:
    """Fill in the code of each element, or `MISSED`; the largest error of the others.

    The error is that of what `from_codes` gives, and never above `bound`.

    Args:
        x: float32 or float64, one dimension: elements of the type, widened.
        step: Distance of the values that codes stand for, above 0.
        bound: Above 0.
        kind: Of the type.
        out: int32, of the size of x.
    """
    largest = 0.0
    with np.errstate(all="ignore"):  # what is no number, or not any more, is missed
        for start in range(0, len(x), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            largest = max(largest, _some_codes(x[some], step, bound, kind, out[some]))
    return largest


def _some_codes(x: Array, step: float, bound: float, kind: int, out: Array) -> float:
    values = x.astype(np.float64)
    codes = np.rint(values * (1.0 / step))
    near = np.abs(codes) <= CODE_MAX
    codes = np.where(near, codes, 0.0)
    error = np.abs(_widened(_rounded(codes * step, kind), kind) - values)
    # A difference of two numbers of 24 bits that is anywhere near the bound is exact; one of
    # two float64 may have been rounded down to the bound, not to less.
    good = near & (error < bound if kind == F64 else error <= bound)
    out[:] = np.where(good, codes, MISSED)
    return float(error[good].max(initial=0.0))


def from_codes(codes: Array, base: int, step: float, kind: int, out: Array) -> None:
    """Bit patterns of what codes stand for: code times step, rounded, then to the type.

    Args:
        codes: Of any integers, one dimension.
        base: Added to all of them; the sums are below 2^53.
        step: As for `to_codes`.
        kind: Of the type.
        out: Bit patterns, of the size of codes.
    """
    with np.errstate(all="ignore"):  # of damaged archives
        for start in range(0, len(codes), _TOGETHER):
            some = slice(start, start + _TOGETHER)
            out[some] = _rounded((codes[some].astype(np.int64) + base) * step, kind)


def widen(x: Array, kind: int) -> Array:
    """Bit patterns of a type as float32, or as float64 if that is the type; exact."""
    if kind == BF16:
        return (x.astype(np.uint32) << 16).view(np.float32)
    values = x.view(FLOATS[kind])
    if kind != F16:
        return values
    with np.errstate(invalid="ignore"):  # of signalling NaN
        return values.astype(np.float32)


def _rounded(values: Array, kind: int) -> Array:
    """float64 rounded to a type, to the nearest and to even; bfloat16 by way of float32."""
    if kind == BF16:
        x = values.astype(np.float32).view(np.uint32)
        return (x + (0x7FFF + (x >> 16 & 1)) >> 16).astype(np.uint16)
    return values.astype(FLOATS[kind]).view(PATTERNS[kind])


def _widened(x: Array, kind: int) -> Array:
    return widen(x, kind).astype(np.float64)


# --- contexts ----------------------------------------------------------------------------


def gather(codes: Array, base: int, contexts: Contexts) -> Array:
    """The codes, less `base`, context after context; in their order within each.

    Args:
        codes: int32[rows, columns].
        base: No code is below it.
        contexts: Where they belong.

    Returns:
        uint32, one dimension.
    """
    positive = (codes.astype(np.int64) - base).astype(np.uint32)
    numbers = _numbers(contexts)
    return np.concatenate([positive[numbers == k] for k in range(contexts.count)])


def scatter(
    symbols: Array, bits: Array, lows: Array, shifts: Array, contexts: Contexts, out: Array
) -> None:
    """Put codes where they belong: the inverse of `gather` with base 0.

    Args:
        symbols: uint8, context after context.
        bits: uint32, the low bits of each; none where there are none.
        lows, shifts: uint32, for each context: the least code, and how many low bits there are.
        contexts: Where they belong.
        out: uint32[rows, columns].
    """
    numbers = _numbers(contexts)
    sizes = contexts.sizes
    codes = symbols.astype(np.uint32) << np.repeat(shifts, sizes)
    codes += np.repeat(lows, sizes)
    if len(bits):
        codes += bits
    for k, group in enumerate(np.split(codes, np.cumsum(sizes)[:-1])):
        out[numbers == k] = group


def pack_bits(codes: Array, size: int) -> Array:
    """The lowest `size` bits of each code, one after the other, the lowest first; uint8.

    Args:
        codes: uint32.
        size: From 1 to 24.
    """
    places = np.arange(size, dtype=np.uint32)
    bits = (
        (codes[at : at + _TOGETHER, None] >> places & np.uint32(1)).astype(np.uint8)
        for at in range(0, len(codes), _TOGETHER)
    )
    return np.concatenate([np.packbits(some, bitorder="little") for some in bits])


def unpack_bits(packed: Array, size: int, out: Array) -> None:
    """The inverse of `pack_bits`: fill in the codes, uint32."""
    weights = np.uint32(1) << np.arange(size, dtype=np.uint32)
    for at in range(0, len(out), _TOGETHER):
        some = out[at : at + _TOGETHER]
        first = at * size // 8
        bits = np.unpackbits(packed[first:], count=len(some) * size, bitorder="little")
        some[:] = bits.reshape(-1, size) @ weights


def _numbers(contexts: Contexts) -> Array:
    """The context of each element."""
    numbers: Array = contexts.map[contexts.rows[:, None] + contexts.columns]
    return numbers


def ops(*, compiled: bool) -> Ops:
    """The functions to use, compiled if that is asked for and possible."""
    module = (
        compiled_module("nncomp.codecs.embedding.kernels") if compiled else None
    ) or sys.modules[__name__]
    return cast("Ops", module)
