from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncomp.distributed.schedules import SCHEDULES, Schedule
from nncomp.errors import UsageError


@pytest.mark.parametrize(
    ("name", "wanted"),
    [
        ("constant", {0: 2, 999: 2, 1000: 1}),
        ("linear", {0: 2, 250: 1.75, 500: 1.5, 999: 1.001, 1000: 1, 5000: 1}),
        # 2 ((1 - ln(1 + (e - 1) / 2)) / 2 + 1/2) = 2 - ln((e + 1) / 2)
        ("log", {0: 2, 500: 2 - math.log((math.e + 1) / 2), 1000: 1}),
        ("step", {0: 2, 99: 2, 100: 1.9, 555: 1.5, 999: 1.1, 1000: 1}),
    ],
)
def test_factors_by_hand(name: str, wanted: dict[int, float]) -> None:
    schedule = Schedule(name, 2, 1000)
    assert {i: schedule(i) for i in wanted} == pytest.approx(wanted)


def test_another_start() -> None:
    # 5 (1 - (1/2) (1 - 1/5)) = 3
    assert Schedule("linear", 5, 10)(5) == pytest.approx(3)
    assert Schedule("step", 5, 10)(9) == pytest.approx(1.4)
    assert Schedule("linear", 1, 10)(5) == 1


@given(st.sampled_from(sorted(SCHEDULES)), st.floats(1, 100), st.integers(1, 10_000))
def test_bounds_only_fall_and_end_at_their_base(name: str, start: float, until: int) -> None:
    schedule = Schedule(name, start, until)
    factors = [schedule(i) for i in sorted({0, until // 3, until // 2, until - 1, until})]
    assert factors[0] == pytest.approx(start)
    assert factors[-1] == 1
    assert all(a >= b * (1 - 1e-12) for a, b in pairwise(factors))


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        (("square", 2, 10), "no schedule 'square': there are constant, linear, log, step"),
        (("linear", 0.5, 10), "1 or more, not 0.5"),
        (("linear", math.nan, 10), "1 or more, not nan"),
        (("linear", 2, 0), "iteration 1 or later, not 0"),
    ],
)
def test_schedules_that_do_not_exist(arguments: tuple[str, float, int], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Schedule(*arguments)


def test_there_is_no_iteration_before_the_first() -> None:
    with pytest.raises(UsageError, match="-1 is none"):
        Schedule()(-1)
