"""Numbers to codes of a uniform grid, never off by more than a bound.

    code = x / step, rounded         value = (base + code) * step, rounded to the type

`step` is twice the bound, but for a margin: the rounding of values to their type, which
would take elements near the middle between two of them out of the bound. It is 2^margin,
and only there where it helps. A value is one product of a whole number and a float64,
rounded by the rules of IEEE 754: the same on every machine.

Every element is checked against what a decoder makes of its code. Those that miss the bound
(NaN, infinities, numbers far away from all others) are exceptions, and kept bit for bit.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.embedding.arrays import FLOATS, KINDS, MISSED, PATTERNS, ops, widen
from nncomp.errors import MethodError

if TYPE_CHECKING:
    from nncomp.codecs.embedding.arrays import Array, Ops

__all__ = [
    "BOUND_MAX",
    "EXCEPTIONS_SHARE",
    "NO_MARGIN",
    "Quantised",
    "absolute_bound",
    "dequantise",
    "kind_of",
    "margin_of",
    "patterns_of",
    "quantise",
    "share_of_range",
    "step_of",
]

BOUND_MAX = 1e300
"""No absolute bound is larger."""
NO_MARGIN = -2000
"""Exponent of the margin where there is none: 2 to this is 0 in float64."""
EXCEPTIONS_SHARE = 4
"""With one exception in as many elements, codes do not pay."""
# Bits of the mantissa, and the exponent of the smallest number, by kind.
_PRECISION = ((24, -149), (11, -24), (8, -133), (53, -1074))


@dataclass(frozen=True)
class Quantised:
    """Elements as codes.

    Attributes:
        codes: int32, one dimension.
        kind: Of the elements, as in `KINDS`.
        bound: No element is off by more; absolute.
        margin: Exponent of what the step is smaller by, or `NO_MARGIN`.
        error: The largest error that was measured.
        places: int64, ascending: which elements are exceptions; their codes mean nothing,
            and are as near to 0 as those of the others are.
        exceptions: Their bit patterns.
    """

    codes: Array
    kind: int
    bound: float
    margin: int
    error: float
    places: Array
    exceptions: Array


def kind_of(dtype: np.dtype[np.generic], name: str | None = None) -> int:
    """The kind of the elements of an array.

    Args:
        dtype: float16, float32, float64, bfloat16 of `ml_dtypes`, or uint16.
        name: "BF16" for bit patterns, which are uint16.

    Raises:
        MethodError: Another type.
    """
    if name == "BF16" or dtype.name == "bfloat16":
        if dtype.itemsize == 2 and dtype.name in ("uint16", "bfloat16"):
            return KINDS.index("BF16")
    elif dtype.kind == "f" and dtype.itemsize in (2, 4, 8) and name in (None, dtype_name(dtype)):
        return KINDS.index(dtype_name(dtype))
    raise MethodError(
        f"elements of type {dtype} cannot be quantised: expected float16, float32, float64, or "
        "bfloat16 (as uint16 with dtype='BF16')"
    )


def dtype_name(dtype: np.dtype[np.generic]) -> str:
    """As in safetensors, for floats."""
    return f"F{8 * dtype.itemsize}"


def patterns_of(values: Array, kind: int) -> Array:
    """Their bit patterns, in C order, without copying where that is possible."""
    dtype = PATTERNS[kind]
    plain = values if values.dtype.name == "bfloat16" else values.astype(FLOATS[kind], copy=False)
    return np.ascontiguousarray(plain).view(dtype)


def absolute_bound(x: Array, kind: int, relative: float, functions: Ops | None = None) -> float:
    """A share of the range of the finite values, in float64.

    Args:
        x: Bit patterns, one dimension.
        kind: Of the elements.
        relative: The share.
        functions: What computes.
    """
    low, high = (functions or ops(compiled=False)).spread(widen(x, kind))
    return share_of_range(low, high, relative)


def share_of_range(low: float, high: float, relative: float) -> float:
    """A share of the difference of two finite values, but no more than `BOUND_MAX`."""
    if math.isinf(high - low):
        return min(relative * high - relative * low, BOUND_MAX)
    return min(relative * (high - low), BOUND_MAX)


def step_of(bound: float, margin: int) -> float:
    """The distance of the values that codes stand for."""
    return 2.0 * (bound - math.ldexp(1.0, margin))


def quantise(x: Array, kind: int, bound: float, functions: Ops | None = None) -> Quantised | None:
    """Codes for elements; None where they do not pay, since too many would be exceptions.

    Args:
        x: Bit patterns, one dimension.
        kind: Of the elements.
        bound: Absolute, from 0 to `BOUND_MAX`.
        functions: What computes.
    """
    if not bound > 0.0:
        return None
    functions = functions or ops(compiled=False)
    values = widen(x, kind)
    found = _attempt(values, kind, bound, NO_MARGIN, functions)
    if _misses_finite(values, found.places):
        margin = margin_of(*functions.spread(np.delete(values, found.places)), kind)
        if step_of(bound, margin) > bound:  # else more than half of it went into the margin
            other = _attempt(values, kind, bound, margin, functions)
            found = min(found, other, key=lambda one: len(one.places))
    if len(found.places) * EXCEPTIONS_SHARE > len(x):
        return None
    return Quantised(
        found.codes,
        kind,
        bound,
        found.margin,
        found.error,
        found.places,
        x[found.places],
    )


@dataclass(frozen=True)
class _Attempt:
    codes: Array
    margin: int
    error: float
    places: Array


def _attempt(values: Array, kind: int, bound: float, margin: int, functions: Ops) -> _Attempt:
    codes = np.empty(len(values), np.int32)
    error = functions.to_codes(values, step_of(bound, margin), bound, kind, codes)
    places = np.flatnonzero(codes == MISSED)
    if len(places):
        codes[places] = 0
        codes[places] = _nearest_to_zero(codes, places)
    return _Attempt(codes, margin, error, places)


def _nearest_to_zero(codes: Array, places: Array) -> int:
    """0, or what is nearest to it among the codes that are not at `places`."""
    others = np.delete(codes, places)
    return int(np.clip(0, others.min(), others.max())) if len(others) else 0


def _misses_finite(values: Array, places: Array) -> bool:
    return bool(np.any(np.isfinite(values[places])))


def margin_of(low: float, high: float, kind: int) -> int:
    """The exponent of half a unit in the last place of the largest coded value.

    Args:
        low, high: The smallest and the largest of these.
        kind: Of the elements.
    """
    precision, least = _PRECISION[kind]
    exponent = math.frexp(max(-low, high))[1]
    return max(exponent - precision, least) - 1


def dequantise(quantised: Quantised, functions: Ops | None = None) -> Array:
    """Bit patterns of what the codes stand for, and of the exceptions."""
    out = np.empty(len(quantised.codes), PATTERNS[quantised.kind])
    step = step_of(quantised.bound, quantised.margin)
    functions = functions or ops(compiled=False)
    functions.from_codes(quantised.codes, 0, step, quantised.kind, out)
    out[quantised.places] = quantised.exceptions
    return out
