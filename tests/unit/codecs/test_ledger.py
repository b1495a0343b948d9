"""What content takes, in bounded memory."""

import numpy as np
import pytest

from nncomp.codecs.account import Stretch, cut, spread
from nncomp.codecs.ledger import OTHERS, Ledger


def test_between_spreads_evenly_within_a_stretch() -> None:
    ledger = Ledger()
    ledger.add([Stretch(10, {"a": 5.0}), Stretch(20, {"a": 20.0, "b": 2.0})])
    curve = ledger.curve()
    assert curve.between(5, 20) == {"a": 12.5, "b": 1.0}
    assert curve.total(np.array([0, 10, 30])).tolist() == [0, 5, 27]


def test_stretches_without_content_count_for_the_one_before() -> None:
    ledger = Ledger()
    ledger.add([Stretch(0, {"a": 1.0}), Stretch(4, {"b": 2.0}), Stretch(0, {"b": 3.0})])
    assert ledger.curve().between(0, 4) == {"a": 1.0, "b": 5.0}


def test_nothing_costs_nothing() -> None:
    assert Ledger().curve().between(0, 0) == {}


@pytest.mark.parametrize("count", [33, 64, 1001])
def test_of_many_stretches_neighbours_become_one(count: int) -> None:
    ledger = Ledger(most=32)
    for k in range(count):
        ledger.add([Stretch(2, {f"part {k % 3}": float(k)})])
    curve = ledger.curve()
    assert len(curve._ends) <= 33
    total = curve.between(0, 2 * count)
    assert sum(total.values()) == pytest.approx(count * (count - 1) / 2)
    middle = float(curve.total(np.array([count]))[0])
    assert middle == pytest.approx(count * count / 8, rel=0.1)


def test_cut_and_spread_lose_nothing() -> None:
    stretches = [Stretch(10, {"a": 10.0}), Stretch(5, {"b": 10.0}), Stretch(1, {"a": 7.0})]
    groups = list(cut(stretches, [0, 4, 9, 3]))
    assert [sum(stretch.size for stretch in group) for group in groups] == [0, 4, 9, 3]
    assert groups[1] == [Stretch(4, {"a": 4.0})]
    assert groups[2] == [Stretch(6, {"a": 6.0}), Stretch(3, {"b": 6.0})]
    more = spread(groups[2], "c", 18.0)
    assert more == [Stretch(6, {"a": 6.0, "c": 12.0}), Stretch(3, {"b": 6.0, "c": 6.0})]


def test_of_very_many_names_some_are_kept() -> None:
    ledger = Ledger()
    for k in range(1000):
        ledger.add([Stretch(1, {f"part {k}": 1.0})])
    costs = ledger.curve().between(0, 1000)
    assert len(costs) == 257
    assert sum(costs.values()) == 1000
    assert costs[OTHERS] == 744
