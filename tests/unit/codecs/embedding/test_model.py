from __future__ import annotations

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncomp.codecs.embedding.model import break_even, speedup
from nncomp.errors import UsageError


def test_figures_by_hand() -> None:
    # 1 / (1/10 + 1 (1/4 + 1/4)) and 1 / (1/10 + 4 (1/4 + 1/4)), GB/s
    assert speedup(10, 4, 4, 1) == pytest.approx(1 / 0.6)
    assert speedup(10, 4, 4, 4) == pytest.approx(1 / 2.1)
    assert break_even(10, 4, 4) == pytest.approx(1.8)  # 0.9 / 0.5
    assert break_even(2, 1, 3) == pytest.approx(0.375)  # 0.5 / (4/3)


def test_where_coding_takes_no_time_the_ratio_is_gained() -> None:
    assert speedup(7, math.inf, math.inf, 100) == pytest.approx(7)
    assert speedup(7, 1, 1, 0) == pytest.approx(7)


def test_what_does_not_compress_never_pays() -> None:
    assert break_even(1, 5, 5) == 0
    assert break_even(0.5, 5, 5) == 0


RATES = st.floats(1e-3, 1e3)


@given(st.floats(1.01, 1e3), RATES, RATES)
def test_nothing_is_gained_at_the_break_even(ratio: float, there: float, back: float) -> None:
    bandwidth = break_even(ratio, there, back)
    assert speedup(ratio, there, back, bandwidth) == pytest.approx(1)
    assert (
        speedup(ratio, there, back, 2 * bandwidth) < 1 < speedup(ratio, there, back, bandwidth / 2)
    )


@pytest.mark.parametrize(
    "values", [(0, 1, 1, 1), (1, -1, 1, 1), (1, 1, math.nan, 1), (1, 1, 1, -1), (1, 1, 1, math.nan)]
)
def test_what_makes_no_sense_is_refused(values: tuple[float, ...]) -> None:
    with pytest.raises(UsageError, match="zero"):
        speedup(*values)
