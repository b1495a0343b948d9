"""The bound holds for every number there is, and what cannot be within it is kept exactly."""

import math
from fractions import Fraction

import numpy as np
import pytest

from nncomp.codecs.embedding.arrays import KINDS, PATTERNS, ops, widen
from nncomp.codecs.embedding.quantiser import (
    NO_MARGIN,
    absolute_bound,
    dequantise,
    kind_of,
    quantise,
)
from nncomp.errors import MethodError

SPECIFIED, COMPILED = ops(compiled=False), ops(compiled=True)
BITS = {"F32": (8, 23), "F16": (5, 10), "BF16": (8, 7), "F64": (11, 52)}
BOUNDS = [1e-1, 1e-2, 1e-3, 1e-4, 1e-5, 1e-6, 1e-7]


def patterns(name: str, mantissas: int = 30) -> np.ndarray:
    """Both signs of every exponent, each with edge and random mantissas."""
    exponents, bits = BITS[name]
    dtype = PATTERNS[KINDS.index(name)]
    random = np.random.default_rng(bits)
    edges = [0, 1, 2, 1 << bits - 1, (1 << bits) - 1, (1 << bits - 1) + 1]
    some = np.append(np.array(edges, np.uint64), random.integers(1 << bits, size=mantissas))
    both = np.arange(1 << exponents, dtype=np.uint64)[:, None] << np.uint64(bits) | some.astype(
        np.uint64
    )
    sign = np.uint64(1 << 8 * dtype.itemsize - 1)
    return np.concatenate([both, both | sign]).reshape(-1).astype(dtype)


def weights(name: str, size: int, scale: float = 0.02) -> np.ndarray:
    """Normally distributed bit patterns."""
    values = np.random.default_rng(5).normal(0, scale, size)
    if name == "BF16":
        with np.errstate(over="ignore"):
            return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    kind = KINDS.index(name)
    with np.errstate(over="ignore"):
        return values.astype(f"<f{PATTERNS[kind].itemsize}").view(PATTERNS[kind])


def wide(x: np.ndarray, kind: int) -> np.ndarray:
    """As float64; signalling NaN among them must not warn."""
    with np.errstate(invalid="ignore"):
        return widen(x, kind).astype(np.float64)


def check(x: np.ndarray, kind: int, bound: float, functions) -> tuple[int, float] | None:
    """Quantise; hold every element to the bound; exceptions and largest error, if it pays."""
    found = quantise(x, kind, bound, functions)
    if found is None:
        return None
    y = dequantise(found, functions)
    before, after = wide(x, kind), wide(y, kind)
    same = x == y
    with np.errstate(all="ignore"):
        near = np.abs(after - before) <= bound
    assert np.all(same | near)
    assert np.array_equal(y[found.places], x[found.places])
    # To be sure of it, some in exact arithmetic.
    for k in np.flatnonzero(~same)[:: max(1, len(x) // 300)]:
        assert abs(Fraction(float(after[k])) - Fraction(float(before[k]))) <= Fraction(bound)
    measured = np.abs(after[~same] - before[~same])
    assert measured.max(initial=0.0) <= found.error <= bound
    return len(found.places), found.error


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("bound", [*BOUNDS, 1e-40, 1e-300, 5e-324, 1.0, 1e30, 1e300])
def test_all_exponents(name: str, bound: float) -> None:
    kind = KINDS.index(name)
    everything = patterns(name)
    few = np.concatenate([everything[::9], weights(name, 2 * len(everything), bound)])
    for x in (everything, few):
        results = {check(x, kind, bound, functions) for functions in (SPECIFIED, COMPILED)}
        assert len(results) == 1


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("relative", BOUNDS)
def test_weights_within_a_share_of_their_range(name: str, relative: float) -> None:
    kind = KINDS.index(name)
    x = weights(name, 20_000)
    bound = absolute_bound(x, kind, relative, COMPILED)
    values = widen(x, kind).astype(np.float64)
    assert bound == relative * (values.max() - values.min())
    results = {check(x, kind, bound, functions) for functions in (SPECIFIED, COMPILED)}
    assert len(results) == 1
    found = results.pop()
    if name in ("F32", "F64"):
        assert found is not None
        assert found[0] == 0  # the margin takes what rounding would cost


def test_margin_only_where_it_helps() -> None:
    kind = KINDS.index("F32")
    whole = np.arange(-500, 500, dtype=np.float32).view(np.uint32)
    found = quantise(whole, kind, 0.5)
    assert found is not None
    assert (found.margin, found.error, len(found.places)) == (NO_MARGIN, 0.0, 0)
    x = weights("F32", 50_000)
    found = quantise(x, kind, 4.8 * 2.0**-28)  # units in the last place of many of them
    assert found is not None
    assert found.margin != NO_MARGIN
    assert len(found.places) == 0


def test_payload_of_nan_survives() -> None:
    x = weights("F32", 1000)
    special = np.array([0x7F800001, 0xFFC12345, 0x7FFFFFFF, 0xFFFFFFFF, 0x7F800000, 0xFF800000])
    x[:: len(x) // len(special)][: len(special)] = special
    for functions in (SPECIFIED, COMPILED):
        found = quantise(x, 0, 1e-3, functions)
        assert found is not None
        assert sorted(found.exceptions.tolist()) == sorted(special.tolist())
        y = dequantise(found, functions)
        np.testing.assert_array_equal(y[found.places], x[found.places])


def test_what_does_not_pay() -> None:
    x = weights("F32", 1000)
    assert quantise(x, 0, 0.0) is None
    assert quantise(x, 0, math.nan) is None
    assert quantise(np.full(1000, 0x7FC00000, np.uint32), 0, 1.0) is None
    assert quantise(weights("F32", 1000, 1e30), 0, 1e-3) is None


def test_range_is_that_of_finite_values() -> None:
    x = np.array([1, -3, np.inf, np.nan, -np.inf, 5], np.float32).view(np.uint32)
    assert absolute_bound(x, 0, 0.25) == 2.0
    assert absolute_bound(x[2:3], 0, 0.25) == 0.0
    assert absolute_bound(x[:0], 0, 0.25) == 0.0
    wide = np.array([1.7e308, -1.7e308]).view(np.uint64)
    assert absolute_bound(wide, KINDS.index("F64"), 0.25) == 1e300
    for functions in (SPECIFIED, COMPILED):
        assert functions.spread(np.array([-0.0, 0.0, -0.0], np.float32)) == (0.0, 0.0)


def test_kinds() -> None:
    assert kind_of(np.dtype("f4")) == 0
    assert kind_of(np.dtype("u2"), "BF16") == 2
    for dtype, name in (("u2", None), ("i4", None), ("c8", None), ("f4", "BF16"), ("f4", "F16")):
        with pytest.raises(MethodError):
            kind_of(np.dtype(dtype), name)
