"""Grids of codes come back, at the size that their tables promise; damage does no harm."""

from __future__ import annotations

from contextlib import suppress

import numpy as np
import pytest

from nncomp.coding.tans import (
    NONE,
    ONE,
    TWO,
    context_count,
    decode_grid,
    encode_grid,
    grid_contexts,
    normalised,
)
from nncomp.errors import CorruptError

CODES = 9
RANDOM = np.random.default_rng(3)
GRID = (RANDOM.integers(-1, 2, (30, 40)).cumsum(1) % CODES).astype(np.uint8)


def tables(grid: np.ndarray, order: int, codes: int = CODES) -> np.ndarray:
    """Counts as they are in a grid."""
    weights = np.zeros((context_count(codes, order), codes), np.int64)
    np.add.at(weights, (grid_contexts(grid, codes, order), grid), 100)
    return normalised(weights)


@pytest.mark.parametrize("order", [NONE, ONE, TWO])
@pytest.mark.parametrize("shape", [(30, 40), (1, 1), (1, 40), (30, 1)])
def test_round_trip_near_the_entropy(order: int, shape: tuple[int, int]) -> None:
    grid = GRID[: shape[0], : shape[1]]
    counts = tables(grid, order)
    data = encode_grid(grid, counts, order)
    assert np.array_equal(decode_grid(data, shape, counts, order), grid)
    bits = -np.log2(counts[grid_contexts(grid, CODES, order), grid] / 1024).sum()
    assert len(data) <= 4 + bits * 1.01 / 8


def test_states_of_two_neighbours_tell_more_than_none() -> None:
    sizes = [len(encode_grid(GRID, tables(GRID, order), order)) for order in (NONE, ONE, TWO)]
    assert sizes[1] < 0.6 * sizes[0]
    assert sizes[2] < sizes[0]


def test_codes_without_a_count_escape() -> None:
    counts = np.zeros((1, CODES + 1), np.int64)
    counts[0, 0], counts[0, CODES] = 1000, 24
    grid = np.zeros((8, 8), np.uint8)
    grid[3, 4], grid[7, 7] = 5, CODES - 1
    data = encode_grid(grid, counts, NONE)
    assert np.array_equal(decode_grid(data, (8, 8), counts, NONE), grid)
    assert len(data) <= 6


def test_one_code_alone_takes_no_bits() -> None:
    counts = np.array([[1024, 0]])
    data = encode_grid(np.zeros((50, 50), np.uint8), counts, NONE)
    assert data == b"\0\0"
    assert not decode_grid(data, (50, 50), counts, NONE).any()


def test_wrong_tables_and_codes_are_refused() -> None:
    counts = tables(GRID, ONE)
    with pytest.raises(ValueError, match="no tables of order 2"):
        encode_grid(GRID, counts, TWO)
    with pytest.raises(ValueError, match="no tables"):
        encode_grid(GRID, counts + 1, ONE)
    without = np.zeros((1, CODES + 1), np.int64)
    without[0, 0] = 1024
    with pytest.raises(ValueError, match="no tables"):
        encode_grid(GRID, without, NONE)
    with pytest.raises(ValueError, match="codes beyond 8"):
        encode_grid(GRID + np.uint8(1), counts, ONE)


def test_damage_is_noticed_or_gives_codes() -> None:
    counts = tables(GRID, TWO)
    data = encode_grid(GRID, counts, TWO)
    for size in range(len(data)):
        with pytest.raises(CorruptError):
            decode_grid(data[:size], GRID.shape, counts, TWO)
    with pytest.raises(CorruptError):
        decode_grid(data + b"\0", GRID.shape, counts, TWO)
    for bit in range(8 * len(data)):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        with suppress(CorruptError):
            assert decode_grid(flipped, GRID.shape, counts, TWO).max() < CODES
