"""Weights to frequencies: every way gives the same integers."""

from __future__ import annotations

import doctest
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from numpy.typing import NDArray

from nncomp.coding import cdf
from nncomp.coding.cdf import BITS, MAX_WEIGHT, SYMBOLS, frequencies, frequencies_torch

if TYPE_CHECKING:
    from collections.abc import Callable

Rows = NDArray[np.int32]


def reference(row: list[int]) -> list[int]:
    """The definition, in Python's integers."""
    total = sum(row)
    freqs = [1 + weight * (2**24 - 256) // total for weight in row]
    freqs[row.index(max(row))] += 2**24 - sum(freqs)
    return freqs


def on_device(device: str) -> Callable[[Rows], Rows]:
    def run(weights: Rows) -> Rows:
        result = frequencies_torch(torch.from_numpy(weights.copy()).to(device))
        assert result.dtype == torch.int32
        assert result.device.type == device
        freqs: Rows = result.cpu().numpy()
        return freqs

    return run


WAYS = {"numba": frequencies, "torch": on_device("cpu")}


@pytest.fixture(
    params=[*WAYS, pytest.param("cuda", marks=pytest.mark.gpu)],
)
def way(request: pytest.FixtureRequest) -> Callable[[Rows], Rows]:
    if request.param == "cuda":
        if not torch.cuda.is_available():
            pytest.skip("no CUDA device on this machine")
        return on_device("cuda")
    return WAYS[request.param]


def one_hot(weight: int, symbol: int) -> list[int]:
    return [weight if i == symbol else 0 for i in range(SYMBOLS)]


def awkward_rows() -> Rows:
    """Extremes, ties, and quotients just at, below and above integers."""
    rows = [
        [1] * SYMBOLS,
        [MAX_WEIGHT] * SYMBOLS,
        one_hot(1, 0),
        one_hot(1, 255),
        one_hot(MAX_WEIGHT, 17),
        [0, *[5] * 7, *[0] * 248],  # a tie
        [MAX_WEIGHT, *[1] * 255],
        [MAX_WEIGHT - i for i in range(SYMBOLS)],
        [*range(SYMBOLS)],
    ]
    # quotients that are integers, or miss one by 1 / total
    shared = 2**24 - 256
    for total in (shared, 3 * shared // 2, 2**24 - 1, 65535 * 3, 2**23 + 1):
        for weight in (1, total // 3, total // 2, total - 1):
            row, rest = [min(weight, MAX_WEIGHT)], total - min(weight, MAX_WEIGHT)
            while rest:
                row.append(min(rest, MAX_WEIGHT))
                rest -= row[-1]
            rows.append(row + [0] * (SYMBOLS - len(row)))
    return np.array(rows, np.int32)


def random_rows(count: int) -> Rows:
    """Rows between flat and peaked, many weights 0, sums of all magnitudes."""
    rng = np.random.default_rng(7)
    power = rng.choice([0.5, 1, 4, 30, 200], (count, 1))
    scale = 2.0 ** rng.integers(1, 24, (count, 1))
    rows = (rng.random((count, SYMBOLS)) ** power * scale).astype(np.int32)
    rows[:, 3] |= 1  # no row of zeros
    return rows


@pytest.mark.parametrize("rows", [awkward_rows(), random_rows(1500)], ids=["awkward", "random"])
def test_equals_the_definition(way: Callable[[Rows], Rows], rows: Rows) -> None:
    expected = [reference(row) for row in rows.tolist()]
    assert way(rows).tolist() == expected


@given(st.lists(st.integers(0, MAX_WEIGHT), min_size=SYMBOLS, max_size=SYMBOLS).filter(any))
def test_any_row_equals_the_definition(row: list[int]) -> None:
    freqs = frequencies(np.array([row], np.int32))
    assert freqs.dtype == np.int32
    assert freqs[0].tolist() == reference(row)
    assert min(freqs[0]) >= 1
    assert freqs[0].sum() == 1 << BITS
    assert frequencies_torch(torch.tensor([row], dtype=torch.int32))[0].tolist() == reference(row)


def test_exact_frequencies(way: Callable[[Rows], Rows]) -> None:
    freqs = way(np.array([[1, 1, 2, *[0] * 253], [1] * SYMBOLS], np.int32))
    assert freqs[0].tolist() == [4194241, 4194241, 8388481, *[1] * 253]
    assert freqs[1].tolist() == [65536] * SYMBOLS


def test_ties_go_to_the_first(way: Callable[[Rows], Rows]) -> None:
    share, left = divmod(2**24 - 256, 7)
    assert left == 4
    freqs = way(np.array([[0, *[9] * 7, *[0] * 248]], np.int32))[0]
    assert freqs[:9].tolist() == [1, share + 1 + left, *[share + 1] * 6, 1]


def test_no_rows(way: Callable[[Rows], Rows]) -> None:
    assert way(np.empty((0, SYMBOLS), np.int32)).shape == (0, SYMBOLS)


@pytest.mark.parametrize("device", ["cpu", pytest.param("cuda", marks=pytest.mark.gpu)])
def test_torch_divides_int64_as_integers(device: str) -> None:
    # A division in float64 would round each of these up to the integer above.
    if device == "cuda" and not torch.cuda.is_available():
        pytest.skip("no CUDA device on this machine")
    divisor = torch.tensor([3, 1000003, 2**31 - 1], device=device)
    quotient = torch.tensor([2**60 // 3, 2**40 + 1, 2**31 + 11], device=device)
    below = torch.div(quotient * divisor - 1, divisor, rounding_mode="floor")
    assert below.dtype == torch.int64
    assert (below == quotient - 1).all()


def test_input_is_left_alone(way: Callable[[Rows], Rows]) -> None:
    rows = random_rows(20)
    before = rows.copy()
    rows.flags.writeable = False
    way(rows)
    assert np.array_equal(rows, before)
    tensor = torch.from_numpy(before.copy())
    frequencies_torch(tensor)
    assert np.array_equal(tensor.numpy(), before)


def test_strided_input() -> None:
    rows = random_rows(40)
    assert np.array_equal(frequencies(rows[::2]), frequencies(rows)[::2])
    assert np.array_equal(frequencies(np.asfortranarray(rows)), frequencies(rows))


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        ([0] * SYMBOLS, "row 1 .* all zero"),
        (one_hot(-1, 3), "row 1 .* leaves 0"),
        ([5, -1, *[0] * 254], "row 1 .* leaves 0"),
        (one_hot(MAX_WEIGHT + 1, 255), "row 1 .* leaves 0"),
    ],
)
def test_invalid_weights_are_refused(row: list[int], problem: str) -> None:
    with pytest.raises(ValueError, match=problem):
        frequencies(np.array([[1] * SYMBOLS, row], np.int32))


def test_other_types_and_shapes_are_refused() -> None:
    with pytest.raises(TypeError, match="int32, not int64"):
        frequencies(np.ones((1, SYMBOLS), np.int64))
    with pytest.raises(ValueError, match="shape"):
        frequencies(np.ones((1, 255), np.int32))
    with pytest.raises(ValueError, match="shape"):
        frequencies(np.ones(SYMBOLS, np.int32))


def test_documented_examples() -> None:
    result = doctest.testmod(cdf)
    assert result.attempted > 0
    assert result.failed == 0
