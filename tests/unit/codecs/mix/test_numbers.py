"""Numbers: the least squares, and layouts that no encoder would choose."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest

from nncomp.codecs.mix.coder import decode_block, encode_block
from nncomp.codecs.mix.layout import NUMBERS, Layout
from nncomp.codecs.mix.least_squares import ONE, SPANS, Squares, learn_squares, squares
from nncomp.coding.jit import bare_kernel

RANDOM = np.random.default_rng(7)


@bare_kernel
def _learn(m: Squares, rows: Any) -> None:
    for i in range(rows.shape[0]):
        for k in range(rows.shape[1]):
            m.taps[k] = rows[i, k]
        learn_squares(m, 0, 1 << 16)


@pytest.mark.parametrize("size", [8, 200, 60_000])
def test_a_linear_law_is_found(size: int) -> None:
    law = np.array([0.75, -0.5, 0.25])
    known = RANDOM.integers(-size, size, (4096, 3)) * 4
    m = squares(4, 1)
    _learn(m, np.column_stack([known @ law, known, np.zeros(4096)]).astype(np.int64))
    for span in range(SPANS):
        assert np.allclose(m.weights[span, 0, 1:4] / 2**ONE, law, atol=0.01)
        assert m.weights[span, 0, 4] == 0  # always zero: says nothing


def test_extremes_harm_nothing() -> None:
    rows = RANDOM.choice([-131071, 0, 131071], (2000, 5))
    rows[:, 2] = rows[:, 1]
    m = squares(4, 1)
    _learn(m, rows.astype(np.int64))
    assert m.weights.dtype == np.int32


@pytest.mark.parametrize("element", range(1, 9))
@pytest.mark.parametrize(
    ("row", "plane"), [(0, 1), (1, 1), (1, 65535), (65535, 3), (7, 0), (9, 40)]
)
def test_any_layout_comes_back(element: int, row: int, plane: int) -> None:
    raw = (np.cumsum(RANDOM.integers(-2, 3, 999)) % 256).astype(np.uint8)
    layout = Layout(NUMBERS, element, row, plane)
    payload = encode_block(raw, layout, 12, 24)
    assert payload is not None
    coded = np.frombuffer(payload, np.uint8)[len(layout.pack()) :]
    assert np.array_equal(decode_block(coded, len(raw), layout, 12, 24), raw)
