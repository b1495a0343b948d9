from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from dataclasses import replace
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import nncomp
from nncomp.bench import records
from nncomp.bench.records import Input, Record, Row, Runs
from nncomp.codecs.base import parse_method, resolve_params
from nncomp.codecs.neural.sep import SEP

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script as the others there do."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module


# --- readme.py and tables.py ---------------------------------------------------------


@pytest.fixture
def readme(
    module: Callable[[str], ModuleType], tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> ModuleType:
    """The script with other documents, results and measurements, one called "small"."""
    script = module("readme")
    small = script.Files(lambda data: ["empty", "text"], ("zstd -9", "store"), ("none",), rounds=2)
    document = tmp_path / "document.md"
    document.write_text("before\n<!-- table: small, methods -->\nold\n<!-- end -->\nafter\n")
    monkeypatch.setattr(script, "MEASUREMENTS", {"small": small})
    monkeypatch.setattr(script, "DOCUMENTS", (document,))
    monkeypatch.setattr(module("common"), "RESULTS", tmp_path)
    return script


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "text").write_bytes(b"to be or not to be, " * 200)
    (folder / "empty").touch()
    return folder


def row(file: str, method: str, size: int, seconds: float = 2.0) -> Row:
    """Of a file of 200,000 bytes; a smaller one in the corpus."""
    kind = "own" if method.startswith("nncomp ") else "memcpy" if method == "memcpy" else "program"
    raw_size = 500 if file.startswith("canterbury/") else 200_000
    runs = Runs((seconds, seconds + 1, seconds + 2), (seconds,) * 3, memory=3 << 20)
    return Row(file, method, kind, raw_size, size, compress=runs, decompress=runs, verified=True)


@pytest.fixture
def record() -> Record:
    sizes = {"text/a": 200_000, "text/b": 200_000, "canterbury/c": 500}
    methods = {"memcpy": (200_000, 500), "xz -9e": (50_000, 90), "zstd -3": (60_000, 95)}
    methods |= {"nncomp mix": (40_000, 80)}
    return Record(
        date="2026-11-21T10:00:00+00:00",
        machine={"cpu": "Abacus", "cores": 2, "memory_gib": 1.5, "load_at_start": 0.5},
        versions={"nncomp": "0", "commit": "abc"},
        settings={"rounds": 3, "threads": 1},
        inputs=tuple(Input(name, size, "00") for name, size in sizes.items()),
        rows=tuple(
            row(file, method, found[file.startswith("canterbury/")])
            for file in sizes
            for method, found in methods.items()
        ),
    )


def cells(table: str) -> list[list[str]]:
    """The first table of a text, row by row."""
    rows = table.split("\n\n", maxsplit=1)[0].splitlines()
    return [line.strip("| ").split(" | ") for line in rows if not line.startswith("| ---")]


def test_the_documents_are_what_the_records_want(
    module: Callable[[str], ModuleType], capsys: pytest.CaptureFixture[str]
) -> None:
    assert module("readme").check() == 0, capsys.readouterr().out


def test_every_record_is_shown(module: Callable[[str], ModuleType]) -> None:
    script = module("readme")
    shown = "".join(document.read_text() for document in script.DOCUMENTS)
    names = {path.stem for path in module("common").RESULTS.glob("*.json")}
    names.remove("tensors-memory")  # two figures, which stand in a sentence
    assert len(names) >= 10
    for name in names:
        assert f"<!-- table: {name}, " in shown
        if not isinstance(script.MEASUREMENTS[name], script.Script):
            assert records.load(script.result(name)).machine["cpu"]


def test_a_document_that_differs_is_told(
    readme: ModuleType, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    records.save(readme.result("small"), record)
    assert readme.check() == 1
    assert "-old\n" in capsys.readouterr().out
    readme.write()
    (document,) = readme.DOCUMENTS
    text = document.read_text()
    assert text.startswith("before\n<!-- table: small, methods -->\n\n| method | 3 files | ")
    assert text.endswith(".\n\n<!-- end -->\nafter\n")
    assert readme.check() == 0
    document.write_text(text.replace("80,080", "80,081"))
    assert readme.check() == 1
    assert "80,081" in capsys.readouterr().out


@pytest.mark.parametrize("block", ["large, methods", "small, picture"])
def test_a_document_that_asks_for_what_nothing_makes(readme: ModuleType, block: str) -> None:
    (document,) = readme.DOCUMENTS
    document.write_text(f"<!-- table: {block} -->\n<!-- end -->\n")
    with pytest.raises(SystemExit, match=block):
        readme.check()


def test_a_plot_belongs_to_its_record(
    readme: ModuleType, record: Record, capsys: pytest.CaptureFixture[str]
) -> None:
    pytest.importorskip("matplotlib")
    (document,) = readme.DOCUMENTS
    document.write_text("<!-- table: small, plot -->\n<!-- end -->\n")
    readme.write()
    assert "Not measured yet" in document.read_text()
    records.save(readme.result("small"), record)
    assert readme.check() == 1
    readme.write()
    assert "(small.svg)" in document.read_text()
    assert readme.check() == 0
    path = readme.result("small")
    path.write_text(path.read_text().replace("Abacus", "Another"))
    capsys.readouterr()
    assert readme.check() == 1
    assert "small.svg does not show" in capsys.readouterr().out


def test_measuring_goes_from_the_files_to_the_document(
    readme: ModuleType, data: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(sys, "argv", ["readme.py", "--measure", "small", "--data", str(data)])
    readme.main()
    found = records.load(readme.result("small"))
    assert [each.name for each in found.inputs] == ["empty", "text"]
    assert found.inputs[1].sha256 == hashlib.sha256((data / "text").read_bytes()).hexdigest()
    rows = {(row.file, row.method): row for row in found.rows}
    coded, stored = rows["text", "nncomp zstd -9"], rows["text", "nncomp store"]
    assert coded.size is not None
    assert coded.size < 4000
    assert stored.compress is not None
    assert len(stored.compress.wall) == 2
    assert not readme.begun("small").exists()
    (document,) = readme.DOCUMENTS
    total = coded.size + (rows["empty", "nncomp zstd -9"].size or 0)
    assert f"| `nncomp zstd -9` | {total:,} | " in document.read_text()


def test_measuring_goes_on_where_it_ended(readme: ModuleType, data: Path) -> None:
    (data / "text").rename(data / "away")
    with pytest.raises(SystemExit, match="small: ended with 2"):
        readme.measure("small", data)
    (data / "away").rename(data / "text")
    words = readme.MEASUREMENTS["small"].command("small", data)
    words.remove("text")
    subprocess.run(words, cwd=data, check=True, capture_output=True)
    (before,) = records.load(readme.begun("small")).inputs
    first = records.load(readme.begun("small")).rows
    readme.measure("small", data)
    found = records.load(readme.result("small"))
    assert found.inputs[0] == before
    assert found.rows[: len(first)] == first
    assert len(found.rows) == 2 * len(first)


def test_what_is_measured_is_there(module: Callable[[str], ModuleType]) -> None:
    script, data = module("readme"), module("common").DATA
    if not data.is_dir():
        pytest.skip(f"{data} is not on this machine")
    files = script.MEASUREMENTS["general"].files(data)
    assert "canterbury/xargs.1" in files
    assert len(files) == len(set(files)) > 50
    for measured in script.MEASUREMENTS.values():
        if isinstance(measured, script.Files):
            assert all((data / name).is_file() for name in measured.files(data))


def test_totals_of_large_files_and_of_a_corpus(
    module: Callable[[str], ModuleType], record: Record
) -> None:
    text = module("tables").large_and_corpus(record)
    headings, *rows = cells(text)
    assert headings == [
        *("method", "2 files above 100 KB", "ratio", "to `xz -9e`", "1 of Canterbury"),
        *("compress, MB/cpu s", "decompress, MB/cpu s", "memory"),
    ]
    assert [found[0] for found in rows] == ["`nncomp mix`", "`xz -9e`", "`zstd -3`", "`memcpy`"]
    assert rows[0][1:5] == ["80,000", "5.000", "-20.0%", "80"]
    assert rows[0][5:] == ["0.100", "0.100", "3.00 MiB"]  # 400,000 bytes in twice 2 s
    assert "Medians of 3 runs, 1 thread" in text
    assert "Abacus, 2 cores" in text


def test_folders_and_files(module: Callable[[str], ModuleType], record: Record) -> None:
    tables = module("tables")
    _, *rows = cells(tables.folders(record))
    assert rows == [["text", "2", "400,000", "80,000", "100,000", "-20.0%", "`xz -9e`", "100,000"]]
    headings, *rows = cells(tables.files(record))
    assert headings == ["file", "bytes", "`xz -9e`", "`zstd -3`", "`nncomp mix`"]
    assert rows[0] == ["text/a", "200,000", "50,000", "60,000", "**40,000**"]


def test_a_method_that_failed_is_named(module: Callable[[str], ModuleType], record: Record) -> None:
    failed = Row("text/a", "xz -9e", "program", 200_000, error="out of memory")
    rows = tuple(failed if (r.file, r.method) == ("text/a", "xz -9e") else r for r in record.rows)
    tables, broken = module("tables"), replace(record, rows=rows)
    text = tables.methods(broken)
    assert "- `xz -9e`: 1 of 3 files without a result" in text
    assert "to `zstd -3`" in text
    _, first, *_ = cells(tables.files(broken))
    assert first == ["text/a", "200,000", "-", "60,000", "**40,000**"]


# --- profile_sep.py and parity.py ----------------------------------------------------

NETWORK = "seb=off,embedding=4,tokens=1,levels=1,ffn=4,table=256K,contexts=3"


@pytest.mark.parametrize(
    ("method", "encoding", "decoding"),
    [
        (
            f"sep:lanes=1,{NETWORK}",
            {"beside: mixer and its coder", "beside: memory alone"},
            {"steps: network, mixer, coder"},
        ),
        (
            f"sep:lanes=1,mixing=lane,{NETWORK}",
            {"beside: mixer and its coder", "beside: memory alone"},
            {"mixer and its coder"},
        ),
        (
            f"sep:lanes=3,memory=off,{NETWORK}",
            {"beside: gather", "beside: range coder"},
            {"range coder"},
        ),
    ],
)
def test_a_profile(method: str, encoding: set[str], decoding: set[str], tmp_path: Path) -> None:
    """Bytes that run on, which a network knows and a memory of three contexts does not."""
    content, name = tmp_path / "content", tmp_path / "profile"
    steps = np.random.default_rng(1).integers(0, 3, (1500, 2)).cumsum(axis=0)
    content.write_bytes((steps % 32).astype(np.uint8).tobytes())
    run = script("profile_sep.py", content, "-m", f"{method},lr=0.02", "--save", name)
    assert run.returncode == 0, run.stderr
    record = json.loads(name.with_suffix(".json").read_text())
    assert record["method"].startswith(method)
    for way, wanted in (("encode", encoding), ("decode", decoding)):
        found = record["ways"][way]
        busy = {part for part, told in found["parts"].items() if told["calls"]}
        assert wanted | {"integer products", "optimiser", "element-wise kernels"} <= busy
        own = sum(told["s"] for part, told in found["parts"].items() if "beside: " not in part)
        assert own == pytest.approx(found["wall_s"], abs=0.01)
        assert all(part in run.stdout for part in busy)


def test_the_originals_are_networks_alone(module: Callable[[str], ModuleType]) -> None:
    for original in module("parity").ORIGINALS.values():
        params = resolve_params(SEP, parse_method(original.settings)[1], None)
        settled = SEP.settle(params, bytes(1000), True)
        assert (settled["lanes"], settled["segment"], settled["memory"]) == (512, 1, False)


def test_parity_goes_both_ways(module: Callable[[str], ModuleType]) -> None:
    parity = module("parity")
    original = parity.Original(f"sep:lanes=4,memory=off,{NETWORK}", 100)
    data, options = b"to be or not to be, " * 9, SimpleNamespace(threads=1, device="cpu")
    found = parity.run(original, data, SimpleNamespace(**vars(options), decode=True))
    assert found["size"] == len(nncomp.compress(data, original.settings))
    assert found["percent_above"] is None  # the reference is for enwik6
    assert found["decompress_s"] > 0


# --- tensors.py ----------------------------------------------------------------------


def test_the_order_0_limit_is_that_of_planes(module: Callable[[str], ModuleType]) -> None:
    data = module("tensor_data")
    rng = np.random.default_rng(1)

    def percent(dtype: str, values: np.ndarray) -> float:
        raw = values.tobytes()
        return 100 * data.Numbers("", dtype, raw).limit / len(raw)

    assert percent("F32", np.full(1000, 1.5, "<f4")) == 0
    assert percent("BOOL", np.arange(1000) % 2 == 0) == pytest.approx(12.5)  # a bit of a byte
    assert percent("I8", np.arange(-128, 128, dtype=np.int8)) == pytest.approx(100)
    # Zigzag: small numbers of both signs leave the upper byte zero.
    assert percent("I16", rng.choice(np.array([-3, 2], "<i2"), 4096)) == pytest.approx(
        6.25, abs=0.1
    )
    # The sign bit goes to the lower byte: -1 and 1 have one upper byte, 2 has another.
    signs = np.tile(np.array([1, -1], "<f2"), 2048)
    assert percent("F16", signs) == pytest.approx(6.25)
    assert percent("F16", np.abs(signs)) == 0


def test_a_tenth_of_the_weights_changes(module: Callable[[str], ModuleType]) -> None:
    data = module("tensor_data")
    new = data.changed(data.synthetic("bf16", 100_000))
    changed = np.frombuffer(new.data, "<u2") != np.frombuffer(new.base, "<u2")
    assert 0.09 < changed.mean() < 0.11


def test_numbers_become_files(module: Callable[[str], ModuleType], tmp_path: Path) -> None:
    data = module("tensor_data")
    numbers = data.changed(data.synthetic("f16", 10_000))
    subject = numbers.subject(tmp_path)
    assert (subject.name, subject.dtype, subject.told) == ("f16 delta", "F16", True)
    assert subject.path.read_bytes() == numbers.data
    assert subject.base is not None
    assert subject.base.read_bytes() == numbers.base
    assert subject.sha256 == hashlib.sha256(numbers.data).hexdigest()
    plain = data.Numbers("x", "F32", b"abc", file=True).subject(tmp_path)
    assert (plain.base, plain.told) == (None, False)


def script(
    name: str, *arguments: str | Path, packages: Path | None = None
) -> subprocess.CompletedProcess[str]:
    """Run one, with other packages before those installed."""
    paths = (str(packages or ""), os.environ.get("PYTHONPATH", ""))
    return subprocess.run(
        [sys.executable, BENCHMARKS / name, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": os.pathsep.join(filter(None, paths))},
        check=False,
    )


PCODEC = """
ChunkConfig = dict

class standalone:
    @staticmethod
    def simple_compress(numbers, config):
        return numbers.tobytes()

    @staticmethod
    def simple_decompress(blob):
"""


@pytest.mark.parametrize(
    ("decompress", "problem"),
    [
        ("return blob[::-1]", "came back different"),
        ("return blob[:-1]", "came back different"),
        ("print('chatter'); return blob", ""),
    ],
)
def test_a_peer_that_fails_is_named(decompress: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "pcodec.py").write_text(PCODEC + f"        {decompress}\n")
    (tmp_path / "pcodec-9.dist-info").mkdir()
    (tmp_path / "pcodec-9.dist-info" / "METADATA").write_text("Name: pcodec\nVersion: 9\n")
    name = tmp_path / "record.json"
    options = ["--only", "bf16", "--size", "4K", "--rounds", "1", "-m", "store", "--resume", name]
    run = script("tensors.py", *options, "--peers", "zstandard", "pcodec", packages=tmp_path)
    assert run.returncode == 0, run.stderr
    found = {row.method: row for row in records.load(name).rows}
    assert (found["nncomp store"].size or 0) > 4000 > (found["zstandard 3"].size or 0)
    if problem:
        assert f"bf16, pcodec: {problem}" in run.stderr
        assert problem in (found["pcodec"].error or "")
        assert cells(run.stdout)[1][-1] == "failed"
    else:
        assert found["pcodec"].size == 4000


def test_tensors_go_from_the_contestants_to_the_record_to_the_table(tmp_path: Path) -> None:
    name = tmp_path / "record.json"
    options = ["--only", "bool", "f32-*", "--size", "40K", "--rounds", "1", "-m", "zstd"]
    options += ["--peers", "zstandard 1", "lz4", "--resume", str(name)]
    first = script("tensors.py", *options)
    assert first.returncode == 0, first.stderr

    record = records.load(name)
    assert [each.name for each in record.inputs] == ["bool", "f32-bf16", "f32-f16"]
    for each in record.inputs:
        sizes = {row.method: row.size or 0 for row in record.rows if row.file == each.name}
        assert list(sizes) == ["memcpy", "nncomp zstd", "zstandard 1", "lz4"]
        assert each.size == 40_000
        assert 0 < record.extras["order0"][each.name] < sizes["nncomp zstd"]
    assert record.environment["NNCOMP_COMPILED"] == "1"
    again = script("tensors.py", *options)
    assert again.stdout == first.stdout
    assert "40,000 bytes" not in again.stderr  # nothing left to do
    table = script("tensors.py", "--table", name)
    assert table.stdout == first.stdout
    assert table.stdout.startswith("| data | bytes | order-0 % | `nncomp zstd` % |")
    other = script("tensors.py", *options, "--rounds", "2")
    assert other.returncode == 1
    assert "was begun by" in other.stderr
