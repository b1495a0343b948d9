"""How a block is cut into lanes."""

from __future__ import annotations

import numpy as np
from hypothesis import given
from hypothesis import strategies as st

from nncomp.codecs.neural.lanes import Layout

LAYOUTS = st.builds(Layout, size=st.integers(0, 300), lanes=st.integers(1, 40))


def numbers(size: int) -> np.ndarray:
    return np.random.default_rng(size).integers(0, 256, size, dtype=np.uint8)


@given(LAYOUTS)
def test_join_undoes_split(layout: Layout) -> None:
    data = numbers(layout.size)
    matrix = layout.split(data)
    assert matrix.shape == (layout.lanes, layout.steps)
    assert matrix.dtype == np.uint8
    assert np.array_equal(layout.join(matrix), data)


@given(LAYOUTS)
def test_lanes_are_the_block_cut_in_pieces(layout: Layout) -> None:
    """In order, of equal length but for one byte, the longer ones first."""
    data = np.ones(layout.size, np.uint8)
    lengths = layout.split(data).astype(int).sum(axis=1)
    assert lengths.sum() == layout.size
    assert list(lengths) == sorted(lengths, reverse=True)
    assert lengths.max() - lengths.min() <= 1
    assert lengths.max() == layout.steps
    pieces = [row[:n] for row, n in zip(layout.split(numbers(layout.size)), lengths, strict=True)]
    assert np.array_equal(np.concatenate(pieces), numbers(layout.size))


@given(LAYOUTS)
def test_active_lanes_and_coded_bytes(layout: Layout) -> None:
    """`active` and `coded` against counting the bytes that there are."""
    there = layout.split(np.ones(layout.size, np.uint8))
    for step in range(layout.steps):
        assert layout.active(step) == there[:, step].sum()
        assert there[: layout.active(step), step].all()
        for stop in (step, step + 1, layout.steps):
            assert layout.coded(step, stop) == there[:, step:stop].sum()


def test_an_example() -> None:
    layout = Layout(size=8, lanes=3)
    matrix = layout.split(np.arange(1, 9, dtype=np.uint8))
    assert matrix.tolist() == [[1, 2, 3], [4, 5, 6], [7, 8, 0]]
    assert [layout.active(step) for step in range(3)] == [3, 3, 2]
