from __future__ import annotations

import csv
import io
import json
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nncomp.bench import contestants, synthetic
from nncomp.bench.records import load

if TYPE_CHECKING:
    from click.testing import Result

    from tests.cli.conftest import Invoke, Start

QUICK = ("--peer", "none", "--rounds", 1)


@pytest.fixture
def record(invoke: Invoke, text_file: Path, tmp_path: Path) -> Path:
    """What two methods did to a file."""
    path = tmp_path / "record.json"
    methods = ("-m", "zstd -9", "-m", "lz4")
    result = invoke("bench", text_file, *methods, *QUICK, "--format", "json", "-o", path)
    assert result.exit_code == 0, result.output
    return path


def test_a_table_for_people(invoke: Invoke, text_file: Path) -> None:
    result = invoke("bench", text_file, "-m", "zstd", *QUICK)
    assert result.exit_code == 0, result.output
    rows = {line.split("  ")[0] for line in result.stdout.splitlines()}
    assert {"memcpy", "nncomp zstd"} <= rows
    assert "original size / compressed size" in result.stdout


def test_formats_say_the_same(invoke: Invoke, record: Path) -> None:
    rows = load(record).rows
    shown = {
        name: invoke("bench", "--record", record, "--format", name).stdout
        for name in ("table", "json", "csv", "markdown")
    }
    assert json.loads(shown["json"]) == json.loads(record.read_text())
    for row in rows:
        assert f"{row.size:,}" in shown["table"]
        assert f"| {row.size:,} |" in shown["markdown"]
    lines = list(csv.reader(io.StringIO(shown["csv"])))
    assert len(lines) == 1 + len(rows)
    assert [str(row.size) in line for row, line in zip(rows, lines[1:], strict=True)] == [True] * 3


def test_without_files_there_are_some(invoke: Invoke) -> None:
    arguments = ("-m", "zstd", *QUICK, "--format", "json")
    found = json.loads(invoke("bench", *arguments).stdout)
    assert len(found["inputs"]) == len(found["rows"]) / 2 == 4
    named = json.loads(invoke("bench", "--corpus", "tiny", *arguments).stdout)
    assert named["inputs"] == found["inputs"]
    other = json.loads(invoke("bench", "--seed", 2, *arguments).stdout)
    assert {each["sha256"] for each in other["inputs"]}.isdisjoint(
        each["sha256"] for each in found["inputs"]
    )


def test_a_corpus_that_is_here(invoke: Invoke, monkeypatch: pytest.MonkeyPatch) -> None:
    data = Path(__file__).parents[3] / "shared" / "data"
    if not data.is_dir():
        pytest.skip("the test data are not beside the repository")
    monkeypatch.setattr("nncomp.bench.corpus.urlopen", None)  # no network
    result = invoke(
        *("bench", "--corpus", "artificial", "--corpus-dir", data, "-m", "lz4", *QUICK),
        *("--format", "json"),
    )
    assert result.exit_code == 0, result.output
    assert [each["name"] for each in json.loads(result.stdout)["inputs"]] == [
        f"artificial/{name}.txt" for name in ("a", "aaa", "alphabet", "random")
    ]


def test_peers_that_are_missing_are_named(
    invoke: Invoke, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setattr(contestants, "_importable", lambda module: False)
    result = invoke("bench", text_file, "-m", "zstd", "--rounds", 1)
    assert result.exit_code == 0, result.output
    assert all(name in result.stdout for name in contestants.PEERS)
    assert "pip install openzl" in result.stdout


def test_a_peer_that_fails_leaves_the_other_rows_whole(
    invoke: Invoke, text_file: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "zpaq"
    program.write_text("#!/bin/sh\nkill -9 $$\n")
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    result = invoke(
        *("bench", text_file, "-m", "zstd", "--peer", "zpaq", "--rounds", 1, "--format", "json")
    )
    assert result.exit_code == 0, result.output  # nothing of ours has failed
    rows = {row["method"]: row for row in json.loads(result.stdout)["rows"]}
    assert "ended with -9" in rows["zpaq -m5"]["error"]
    assert rows["memcpy"]["verified"]
    assert rows["nncomp zstd"]["verified"]
    assert "zpaq -m5: zpaq add" in result.stderr


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
def test_a_signal_ends_workers_and_removes_their_files(
    number: signal.Signals,
    start: Start,
    text_file: Path,
    tmp_path: Path,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """The peer says which process it is, and would go on for ever."""
    folder, said = tmp_path / "temporary", tmp_path / "said"
    folder.mkdir()
    program = tmp_path / "bzip3"
    tell = f'echo $$ > "{said}.new"; mv "{said}.new" "{said}"'
    program.write_text(f'#!/bin/sh\ncase "$1" in -e) {tell}; exec sleep 600;; *) echo 1.0;; esac\n')
    program.chmod(0o755)
    monkeypatch.setenv("PATH", f"{tmp_path}:/bin:/usr/bin")
    monkeypatch.setenv("TMPDIR", str(folder))
    default = f"import signal; signal.signal({int(number)}, signal.default_int_handler)"
    command = ("bench", text_file, "-m", "store", "--peer", "bzip3")
    process = start(*command, prepare=default, stdout=subprocess.DEVNULL)
    while not said.exists():
        assert process.poll() is None
        time.sleep(0.05)
    peer = int(said.read_text())
    assert list(folder.iterdir())
    process.send_signal(number)
    assert process.wait() == -number
    with pytest.raises(ProcessLookupError):
        wait_for_the_end_of(peer)
    assert list(folder.iterdir()) == []


def wait_for_the_end_of(process: int) -> None:
    """Nobody may have taken note of its end yet."""
    for _ in range(600):
        os.kill(process, 0)
        time.sleep(0.1)


def test_names_and_errors_cannot_command_the_terminal(invoke: Invoke, record: Path) -> None:
    worse = changed(record, "nncomp lz4", error=lambda _: "a\x1b[2Jb")
    result = invoke("bench", "--record", worse, color=True)
    assert "a\\x1b[2Jb" in result.stderr
    assert "\x1b" not in result.output


def test_a_seed_is_in_the_record_only_where_it_made_something(invoke: Invoke, record: Path) -> None:
    made = json.loads(invoke("bench", "-m", "store", *QUICK, "--format", "json").stdout)
    assert made["settings"]["seed"] == synthetic.SEED
    assert load(record).settings["seed"] is None


def test_a_method_that_fails_fails_the_command(invoke: Invoke, text_file: Path) -> None:
    result = invoke("bench", text_file, "-m", "sep", "-m", "zstd", *QUICK, "--device", "cuda")
    torch = pytest.importorskip("torch")
    if torch.cuda.is_available():
        pytest.skip("there is a device")
    assert result.exit_code == 1
    assert "nncomp sep" in result.stderr


def test_plots_and_a_page(invoke: Invoke, record: Path, tmp_path: Path) -> None:
    pytest.importorskip("matplotlib")
    page, plot = tmp_path / "page.html", tmp_path / "plot.svg"
    result = invoke("bench", "--record", record, "--plot", plot, "--html", page)
    assert result.exit_code == 0, result.output
    assert plot.read_text().lstrip().startswith("<?xml")
    assert page.read_text().startswith("<!DOCTYPE html>")
    assert "nncomp zstd -9" in page.read_text()


# --- next to an earlier run ----------------------------------------------------------


def changed(record: Path, method: str, **fields: Any) -> Path:
    """The same run, but for something about the first row of a method."""
    found = json.loads(record.read_text())
    row = next(row for row in found["rows"] if row["method"] == method)
    row.update({name: change(row[name]) for name, change in fields.items()})
    path = record.with_name("changed.json")
    path.write_text(json.dumps(found))
    return path


def compare(invoke: Invoke, baseline: Path, record: Path, *more: str) -> Result:
    conditions = ("--fail-if", "size>1.001")
    return invoke("bench", "--record", record, "--baseline", baseline, *conditions, *more)


def test_the_same_again_passes(invoke: Invoke, record: Path) -> None:
    result = compare(invoke, record, record)
    assert result.exit_code == 0, result.output


def test_sizes_that_grow_fail_by_name(invoke: Invoke, record: Path) -> None:
    worse = changed(record, "nncomp zstd -9", size=lambda size: size + 5)
    result = compare(invoke, record, worse)
    assert result.exit_code == 1
    told = [line for line in result.stderr.splitlines() if "zstd -9" in line]
    assert any("text" in line for line in told)
    assert "lz4" not in "".join(told)
    assert compare(invoke, worse, record).exit_code == 0  # smaller is better


def test_a_method_that_no_longer_verifies_fails(invoke: Invoke, record: Path) -> None:
    worse = changed(record, "nncomp lz4", verified=lambda _: False, error=lambda _: "came back")
    result = compare(invoke, record, worse)
    assert result.exit_code == 1
    assert "nncomp lz4" in result.stderr


# --- wrong usage ---------------------------------------------------------------------


@pytest.mark.parametrize("more", [("text",), ("-m", "zstd"), ("--resume", "kept")])
def test_a_record_that_is_shown_is_not_measured(
    more: tuple[str, ...], invoke: Invoke, record: Path
) -> None:
    result = invoke("bench", "--record", record, *more)
    assert result.exit_code == 2
    assert "measures nothing" in result.stderr


@pytest.mark.parametrize(
    "arguments",
    [
        ("-m", "nothing"),
        ("-m", "mix 9"),
        ("--peer", "nobody"),
        ("--corpus", "nowhere"),
        ("--dtype", "float12"),
        ("--plot", "plot.pdf"),
        ("--fail-if", "size>1"),
        ("--baseline", "text", "--fail-if", "size>1"),
        ("--record", "text"),
        ("-o", "no/such/folder"),
        ("-o", "text"),
        ("--resume", "./text"),
        ("--seed", "1"),
        ("--corpus-dir", "."),
        ("--reference", "memcpy"),
        ("--peer", "zstd '"),
        ("/dev/null",),
        ("--resume", "no/such/folder"),
    ],
)
def test_refused_before_anything_is_measured(
    arguments: tuple[str, ...], invoke: Invoke, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr("nncomp.bench.measure.measure", None)
    result = invoke("bench", text_file, *arguments)
    assert result.exit_code == 2, result.output


# --- kinds of data -------------------------------------------------------------------


def test_a_kind_of_data_has_a_command_of_its_own(invoke: Invoke, tmp_path: Path) -> None:
    rows = np.random.default_rng(1).normal(size=(64, 16)).astype(np.float32)
    np.save(tmp_path / "table.npy", rows)
    result = invoke("bench", "emb", tmp_path / "table.npy", "--rounds", 1, "--format", "json")
    assert result.exit_code == 0, result.output
    assert "table" in result.stdout
    assert "DUMP" in invoke("bench", "emb", "--help").stdout
    assert "bench emb" in invoke("bench", "--help").stdout


def test_a_file_that_is_called_like_a_kind(invoke: Invoke, text_file: Path) -> None:
    path = text_file.rename(text_file.with_name("emb"))
    result = invoke("bench", f"./{path.name}", "-m", "zstd", *QUICK)
    assert result.exit_code == 0, result.output
