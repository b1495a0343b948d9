from __future__ import annotations

import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from click.testing import CliRunner

from nncomp.bench import embeddings
from nncomp.bench.embedding_files import parse_shape, tables
from nncomp.bench.embedding_report import Report
from nncomp.bench.embeddings import Plan, Result, Setting, Table, compare, measure, totals
from nncomp.cli.bench_emb import emb
from nncomp.errors import TensorFileError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

    from click.testing import Result as Run

ANS = Setting(0.01, "rel", "ans")


def rows(count: int = 50, width: int = 8, dtype: str = "<f4") -> np.ndarray:
    rng = np.random.default_rng(count)
    return rng.standard_normal((7, width)).astype(dtype)[rng.integers(0, 7, count)]


@pytest.fixture
def dumps(tmp_path: Path) -> Path:
    for number in range(2):
        np.save(tmp_path / f"table-{number}.npy", rows(50 + number))
    return tmp_path


def command(*arguments: str | Path) -> Run:
    return CliRunner().invoke(emb, [*map(str, arguments), "--rounds", "1"], standalone_mode=False)


# --- measuring -----------------------------------------------------------------------


def test_figures_by_hand() -> None:
    runs = [(3.0, 2.0), (9.0, 8.0), (3.0, 4.0)]
    result = Result("t", ANS, (1, 1), 10**9, 10**8, 0.1, 0.5, 0, runs, [(5.0, 4.0)] * 3)
    assert result.ratio == 10
    assert result.rate("compress") == 250e6
    assert result.rate("compress", wall=True) == pytest.approx(1e9 / 3)
    # 1 / (1/10 + B (1/0.25 + 1/0.25)), B in GB/s
    assert result.speedup(1.0) == pytest.approx(1 / (0.1 + 0.125 * 8))
    assert result.break_even == pytest.approx(0.9)  # 0.9 / 8 GB/s = 0.9 Gbit/s
    found = result.to_dict([1.0, 10.0])
    assert found["speedup"] == {"1": result.speedup(1), "10": result.speedup(10)}
    assert found["compress"]["cpu_s"] == [2.0, 8.0, 4.0]


def test_totals_are_of_bytes_and_of_medians() -> None:
    first = Result("a", ANS, (1, 1), 100, 10, 1.0, 0.5, 0, [(1, 1), (2, 2), (9, 9)], [(1, 1)] * 3)
    second = Result("b", ANS, (1, 1), 300, 90, 2.0, 0.9, 2, [(4, 4)] * 3, [(1, 1)] * 3)
    (whole,) = totals([first, second])
    assert (whole.raw, whole.coded, whole.ratio) == (400, 100, 4)
    assert (whole.error, whole.violations) == (0.9, 2)
    assert whole.rate("compress") == 400 / 6
    assert whole.table == "2 tables"


@pytest.mark.parametrize("kind", ["F16", "BF16", "F32", "F64"])
def test_measured_tables_keep_their_bounds(kind: str) -> None:
    values = rows(60).view("<u4") >> 16 if kind == "BF16" else rows(60)
    dtype = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}[kind]
    table = Table("t", values.astype(dtype), kind)
    settings = tuple(Setting(b, m, "zstd") for b in (0.1, 0.01) for m in ("rel", "abs"))
    found = measure([table], Plan(settings, rounds=2))
    assert [result.setting for result in found] == list(settings)
    for result in found:
        assert 0 < result.error <= 1
        assert (result.violations, result.shape) == (0, (60, 8))
        assert 0 < result.coded < result.raw == table.rows.nbytes
        assert len(result.compress) == len(result.decompress) == 2


def test_copies_are_a_larger_batch() -> None:
    once, thrice = (measure([Table("t", rows(), "F32")], Plan((ANS,), 1, n))[0] for n in (1, 3))
    assert thrice.raw == 3 * once.raw
    assert thrice.shape == (150, 8)
    assert thrice.ratio > once.ratio


def test_what_misses_the_bound_is_found() -> None:
    wanted = np.array([[0, 1, np.nan, np.inf, -np.inf, 0.5]], np.float32)
    table = Table("t", wanted, "F32")
    assert compare(table, wanted.copy(), ANS) == (0.01, 0, 0)
    back = wanted.copy()
    back[0, 0] = 0.009
    assert compare(table, back, ANS) == (0.01, pytest.approx(0.9), 0)
    back[0, 1] = 1.02  # above
    back[0, 3] = -np.inf  # another one
    back.view("<u4")[0, 2] ^= 1  # another NaN
    back[0, 5] = np.nan
    bound, _, violations = compare(table, back, ANS)
    assert (bound, violations) == (0.01, 4)
    constant = Table("t", np.ones((2, 2), np.float32), "F32")
    assert compare(constant, constant.rows, ANS) == (0, 0, 0)
    bound, error, violations = compare(constant, constant.rows + 1, ANS)
    assert (bound, error, violations) == (0, np.inf, 4)


def test_nothing_to_measure() -> None:
    with pytest.raises(UsageError, match="no tables"):
        measure([], Plan((ANS,)))
    for plan in ({"settings": ()}, {"settings": (ANS,), "rounds": 0}):
        with pytest.raises(UsageError, match="nothing to measure"):
            Plan(**plan)


# --- files ---------------------------------------------------------------------------


@pytest.mark.parametrize("bound", [0, -1, float("nan"), float("inf")])
def test_bounds_that_are_none(bound: float) -> None:
    with pytest.raises(UsageError, match="is no bound"):
        Setting(bound, "rel", "auto")


def test_ranges_beyond_all_numbers() -> None:
    """What is checked is the bound that was asked for; JSON has no infinities."""
    table = Table("huge", np.array([[1.5e308, -1.5e308], [0, 1e300]]), "F64")
    (result,) = measure([table], Plan((ANS,), 1))
    assert result.bound == 1e300
    assert result.error <= 1
    assert result.violations == 0
    off = table.rows + np.array([[0, 0], [2e300, 0]])
    assert compare(table, off, ANS)[2] == 1
    text = Report(Plan((ANS,), 1), [replace(result, error=float("inf"))]).to_json()
    assert json.loads(text)["tables"][0]["error_over_bound"] is None


def test_files_that_cannot_be_read_are_named(tmp_path: Path) -> None:
    path = tmp_path / "big.npy"
    np.save(path, rows().astype(">f4"))
    with pytest.raises(TensorFileError, match=r"big\.npy: the array of type"):
        list(tables([str(path)]))


def test_tables_of_any_file(tmp_path: Path) -> None:
    one, two = rows(20), rows(30, 4, "<f2")
    np.save(tmp_path / "one.npy", one)
    np.savez(tmp_path / "two.npz", a=one, b=two, index=np.arange(5), flat=np.ones(3, "<f4"))
    (tmp_path / "raw.bin").write_bytes(one.tobytes() * 2)
    names = [str(tmp_path / name) for name in ("one.npy", "two.npz", "raw.bin")]
    found = list(tables(names, (20, 8)))
    assert [table.name for table in found] == [
        *("one.npy", "two.npz:a", "two.npz:b", "raw.bin:0", "raw.bin:1"),
    ]
    assert [table.kind for table in found] == ["F32", "F32", "F16", "F32", "F32"]
    assert all(np.array_equal(found[k].rows, one) for k in (0, 1, 3, 4))
    assert np.array_equal(found[2].rows, two)


def test_a_file_of_numbers_needs_its_shape(tmp_path: Path) -> None:
    path = tmp_path / "raw.f32"
    path.write_bytes(bytes(100))
    with pytest.raises(UsageError, match="does not say its shape"):
        list(tables([str(path)]))
    with pytest.raises(UsageError, match="has 100 bytes, and a table of that shape takes 64"):
        list(tables([str(path)], (4, 4)))
    assert next(tables([str(path)], (5, 5))).rows.shape == (5, 5)


@pytest.mark.parametrize("text", ["", "64", "2048x", "0x4", "axb", "4x4x4"])
def test_shapes_that_are_none(text: str) -> None:
    with pytest.raises(UsageError, match="is no shape"):
        parse_shape(text)


# --- the command ---------------------------------------------------------------------


def test_a_table_for_each_setting_and_what_it_means(dumps: Path) -> None:
    run = command(dumps / "table-0.npy", dumps / "table-1.npy", "--bandwidth", "1")
    assert (run.exit_code, run.return_value) == (0, 0), run.output
    parts = run.stdout.split("\n\n")
    assert [part.splitlines()[0] for part in parts[:2]] == [
        f"emb:bound={bound},mode=rel,entropy=auto" for bound in ("0.01", "0.001")
    ]
    names = [line.split()[0] for line in parts[0].splitlines()[1:]]
    assert names == ["table", "table-0.npy", "table-1.npy", "2"]
    assert parts[2].splitlines()[0].split("  ")[0] == "speed-up over"
    assert "optimistic" not in run.stdout


def test_json_has_it_all_and_copies_are_called_optimistic(dumps: Path) -> None:
    options = ["--bound", "0.1", "--entropy", "ans", "--entropy", "zstd", "--copies", "4"]
    target = dumps / "found.json"
    run = command(dumps / "table-0.npy", *options, "--format", "json", "-o", target)
    assert run.return_value == 0, run.output
    found: dict[str, Any] = json.loads(target.read_text())
    assert found["optimistic"] is True
    assert [each["method"] for each in found["totals"]] == [
        f"emb:bound=0.1,mode=rel,entropy={coder}" for coder in ("ans", "zstd")
    ]
    for each in found["tables"]:
        assert each["raw_bytes"] == 4 * 50 * 8 * 4
        assert 0 < each["error_over_bound"] <= 1
        assert each["violations"] == 0
        assert set(each["speedup"]) == {f"{b:g}" for b in embeddings.BANDWIDTHS}
    assert (
        "optimistic: every table 4 times over"
        in command(dumps / "table-0.npy", "--copies", "4").stdout
    )


def test_violations_fail(dumps: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(embeddings, "decode_table", lambda payload, limit: rows() + 1)
    run = command(dumps / "table-0.npy", "--bound", "0.1")
    assert run.return_value == 50 * 8
    assert "off by more" in run.stderr


def test_output_that_cannot_be_is_refused_at_once(dumps: Path) -> None:
    run = command(dumps / "table-0.npy", "-o", dumps / "nowhere" / "file")
    assert isinstance(run.exception, UsageError)


def test_bandwidths_that_are_none_are_refused_at_once(dumps: Path) -> None:
    run = command(dumps / "table-0.npy", "--bandwidth", "nan")
    assert isinstance(run.exception, UsageError)


def test_a_picture(dumps: Path) -> None:
    pytest.importorskip("matplotlib")
    report = Report(Plan((ANS,), 1), measure([Table("t", rows(), "F32")], Plan((ANS,), 1)))
    report.save_plot(dumps / "plot.svg")
    assert "modelled speed-up" in (dumps / "plot.svg").read_text()
    with pytest.raises(UsageError, match="pictures are written as"):
        report.save_plot(dumps / "plot.gif")
