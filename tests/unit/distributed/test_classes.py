from __future__ import annotations

import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nncomp.distributed.classes import (
    Classes,
    classify,
    find_classes,
    homogenisation,
    load_classes,
)
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

# Range 1; at 0.05 codes are tenths: of 4 distinct rows the first two merge.
ROWS = np.array([[0, 1], [0.01, 1], [0.3, 1], [0.3, 1], [0.6, 0.5]], np.float32)


def test_the_share_of_distinct_rows_that_merge() -> None:
    assert homogenisation(ROWS, 0.05) == pytest.approx(0.25)
    assert homogenisation(ROWS, 0.001) == 0
    assert homogenisation(ROWS, 10) == pytest.approx(0.75)  # one is left


def test_how_often_rows_occur_makes_no_difference() -> None:
    many = np.concatenate([ROWS] + [ROWS[:1]] * 100)
    assert homogenisation(many, 0.05) == homogenisation(ROWS, 0.05)


@pytest.mark.parametrize("rows", [np.zeros((0, 4)), np.zeros((3, 0)), np.full((5, 2), 7.0)])
def test_where_there_is_nothing_to_merge(rows: np.ndarray) -> None:
    assert homogenisation(rows.astype(np.float32), 0.1) == 0


def test_what_is_no_number_stays_apart() -> None:
    rows = np.array([[np.nan, 0], [np.inf, 0], [-np.inf, 0], [1, 0], [1.001, 0]], np.float32)
    assert homogenisation(rows, 0.01) == pytest.approx(0.2)
    assert homogenisation(np.full((3, 2), np.nan), 0.01) == 0
    assert homogenisation(np.array([[-0.0], [0.0]]), 0.01) == 0


def test_the_ends_of_float64() -> None:
    ends = np.array([[-1.7e308], [1.7e308], [5e-324]])
    assert 0 <= homogenisation(ends, 0.01) < 1
    assert 0 <= homogenisation(ends[2:] * np.array([[1], [2]]), 0.01) < 1


@pytest.mark.parametrize(("rows", "bound"), [(np.zeros(4), 0.1), (ROWS, 0.0), (ROWS, np.nan)])
def test_bad_samples(rows: np.ndarray, bound: float) -> None:
    with pytest.raises(UsageError):
        homogenisation(rows, bound)


def test_classes_of_an_index() -> None:
    assert [classify(x) for x in (0, 0.01, 0.05, 0.1, 0.9)] == [
        *("loosen", "loosen", "base", "tighten", "tighten"),
    ]
    assert classify(0.3, tighten=0.5, loosen=0.2) == "base"
    with pytest.raises(UsageError, match="does not hold"):
        classify(0.3, tighten=0.1, loosen=0.2)


def test_classes_found_on_samples() -> None:
    apart = np.arange(20, dtype=np.float32).reshape(10, 2)
    found = find_classes([apart, ROWS], bounds={"base": 0.05})
    assert (found.of(0), found.of("1"), found.of(2)) == ("loosen", "tighten", "base")
    assert [found.bound(table) for table in range(3)] == [0.03, 0.01, 0.05]
    assert find_classes({"user": apart}).of("user") == "loosen"


def test_a_file_and_back(tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    Classes({"0": "tighten", "user": "loosen"}, {"loosen": 0.05}).save(path)
    found = load_classes(path)
    assert [found.bound(table) for table in (0, "user", 7)] == [0.01, 0.05, 0.02]
    path.write_text("{}")
    assert load_classes(path).bound(3) == 0.02


@pytest.mark.parametrize(
    ("told", "reason"),
    [
        ("{", "no JSON"),
        ("[" * 100_000, "no JSON"),
        ('{"bounds": {"base": 1' + "0" * 400 + "}}", r"above zero, up to 1e\+300"),
        ("[]", "no object of `bounds` and `tables`"),
        ({"tabels": {}}, "no object of `bounds` and `tables`"),
        ({"tables": []}, "`tables` is no object"),
        ({"tables": {"0": 1}}, "no name: 1"),
        ({"tables": {"0": "tight"}}, "no class 'tight'"),
        ({"bounds": {"base": "1"}}, "no number: '1'"),
        ({"bounds": {"base": True}}, "no number: True"),
        ({"bounds": {"base": 0}}, "above zero"),
        ({"bounds": {"basis": 1}}, "no class 'basis'"),
    ],
)
def test_files_of_another_form(told: Any, reason: str, tmp_path: Path) -> None:
    path = tmp_path / "classes.json"
    path.write_text(told if isinstance(told, str) else json.dumps(told))
    with pytest.raises(UsageError, match=reason):
        load_classes(path)
