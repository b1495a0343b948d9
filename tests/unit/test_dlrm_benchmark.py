"""benchmarks/dlrm.py, emb_dumps.py and the model they share."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from types import ModuleType

    import torch

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"
SMALL = ("--batch", "64", "--width", "8", "--cap", "50")


def script(name: str, *arguments: str | Path) -> str:
    """What it prints on standard output."""
    run = subprocess.run(
        [sys.executable, BENCHMARKS / name, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "NNCOMP_COMPILED": "0"},  # nothing here is large
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout


@pytest.fixture
def model(monkeypatch: pytest.MonkeyPatch) -> ModuleType:
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module("dlrm_model")


def test_area_under_the_curve(model: ModuleType) -> None:
    auc = model.area_under_curve
    clicks = np.array([0, 1, 0, 1], np.float32)
    assert auc(clicks, np.array([1, 2, 3, 4])) == 0.75  # three of four pairs are in order
    assert auc(clicks, np.array([1, 1, 1, 1])) == 0.5
    assert auc(clicks, np.array([1, 2, 2, 4])) == 0.875  # a tie counts half


def test_the_log_is_that_of_its_seed_and_can_be_learned(model: ModuleType) -> None:
    log = model.ClickLog(model.table_sizes(100), seed=3)
    batch, again = log.batch(5, 4000), model.ClickLog(log.sizes, seed=3).batch(5, 4000)
    for name in ("numbers", "ids", "clicks"):
        assert getattr(batch, name).equal(getattr(again, name))
    assert not batch.ids.equal(model.ClickLog(log.sizes, seed=4).batch(5, 4000).ids)
    assert not batch.ids.equal(log.batch(6, 4000).ids)
    assert batch.ids.min() == 0
    assert (batch.ids.max(dim=0).values.numpy() < np.array(log.sizes)).all()
    counts = np.bincount(batch.ids[:, 2])
    assert counts[0] > 5 * counts[10] > 0  # Zipf's law
    assert model.area_under_curve(batch.clicks.numpy(), log.ideal(batch)) > 0.7


def test_dumps_are_what_a_batch_looks_up(tmp_path: Path) -> None:
    script("emb_dumps.py", tmp_path, *SMALL, "--iterations", "1", "3")
    paths = sorted(tmp_path.iterdir())
    assert [path.name for path in paths[:2]] == [
        *("table-00-iteration-0001.npy", "table-00-iteration-0003.npy"),
    ]
    assert len(paths) == 2 * 26
    first, later = (np.load(path) for path in paths[:2])
    assert (first.shape, first.dtype) == ((64, 8), np.float32)
    assert len(np.unique(later, axis=0)) < 50


@pytest.mark.parametrize(
    ("option", "value", "said"),
    [
        ("--classify", "0", "0 is too few"),
        ("--bound", "0", "expected a number above 0"),
        ("--backward", "x", "expected a number above 0"),
        ("--batch", "3", "no part of 3 impressions for each of 4"),
        ("--schedule", "cubic", "no schedule 'cubic'"),
        ("--entropy", "gzip", "no coder 'gzip'"),
        ("--bandwidth", "1", "with 'zstd' there is nothing to choose"),
        ("--classes", "/nowhere/at/all", "/nowhere/at/all"),
    ],
)
def test_what_cannot_be_is_said_at_once(
    option: str,
    value: str,
    said: str,
    monkeypatch: pytest.MonkeyPatch,
    capsys: pytest.CaptureFixture[str],
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    monkeypatch.setattr(sys, "argv", ["dlrm.py", option, value])
    with pytest.raises(SystemExit) as stop:
        import_module("dlrm").arguments()
    assert stop.value.code == 2
    assert said in capsys.readouterr().err


def test_dumps_of_nothing_are_refused(
    monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.syspath_prepend(BENCHMARKS)
    for option in ("--iterations", "--batch"):
        with pytest.raises(SystemExit):
            import_module("emb_dumps").arguments(["folder", option, "0"])
        assert "0 is too few" in capsys.readouterr().err


def alone(model: ModuleType, steps: int, tests: int) -> tuple[float, float]:
    """Mean loss of the steps, and AUC after them, of one process with all tables."""
    log = model.ClickLog(model.table_sizes(50), 0)
    tables = [model.new_table(number, rows, 8, 0) for number, rows in enumerate(log.sizes)]
    towers = model.Towers(len(tables), 8, 0)
    losses, clicks, scores = [], [], []

    def logits(batch: Any) -> torch.Tensor:
        rows = [table(batch.ids[:, number]) for number, table in enumerate(tables)]
        found: torch.Tensor = towers(batch.numbers, rows)
        return found

    steppers = model.optimisers(tables, towers)
    for step in range(steps):
        batch = log.batch(step, 65).rows(slice(64))  # of which two ranks have equal parts
        loss = model.loss_of(logits(batch), batch.clicks)
        towers.zero_grad()
        for table in tables:
            table.zero_grad()
        loss.backward()
        for stepper in steppers:
            stepper.step()
        losses.append(loss.item())
    for number in range(10_000_000, 10_000_000 + tests):
        batch = log.batch(number, 65).rows(slice(64))
        clicks.append(batch.clicks.numpy())
        scores.append(logits(batch).detach().numpy())
    return float(np.mean(losses)), model.area_under_curve(
        np.concatenate(clicks), np.concatenate(scores)
    )


def test_two_ranks_learn_as_one_does(model: ModuleType, tmp_path: Path) -> None:
    name = tmp_path / "record"
    small = (*SMALL, "--batch", "65", "--timeout", "300")
    steps = ("--steps", "6", "--every", "6", "--test", "2", "--until", "3", "--classify", "2")
    printed = script("dlrm.py", "--ranks", "2", *small, *steps, "--save", name)
    record = json.loads(name.with_suffix(".json").read_text())
    assert import_module("dlrm").markdown(record) + "\n" == printed

    plain, rows_alone, compressed = record["runs"]
    loss, auc = alone(model, 6, 2)
    assert plain["loss"] == pytest.approx(loss, rel=1e-4)
    assert plain["auc"] == pytest.approx(auc, abs=1e-3)
    assert plain["loss"] != rows_alone["loss"] == pytest.approx(loss, rel=0.05)
    assert plain["loss"] != compressed["loss"] == pytest.approx(loss, rel=0.1)

    rows = 6 * 64 * 26 * 8 * 4 // 2  # half of all stays where it is
    for way in ("forward", "backward"):
        assert plain[way]["raw"] == compressed[way]["raw"] == rows
        assert plain[way]["sent"] >= rows > compressed[way]["sent"]
    assert rows_alone["forward"]["sent"] < rows <= rows_alone["backward"]["sent"]
    assert plain["networks"] is rows_alone["networks"] is None
    assert compressed["networks"]["raw"] > compressed["networks"]["sent"]
    assert set(compressed["classes"]) == {str(table) for table in range(26)}
