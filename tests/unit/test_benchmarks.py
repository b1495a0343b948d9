from __future__ import annotations

import hashlib
import json
import os
import shutil
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from types import SimpleNamespace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import nncomp
from nncomp.codecs.base import parse_method, resolve_params
from nncomp.codecs.neural.sep import SEP

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def sep(
    *arguments: str | Path, path: str = "", script: str = "sep.py"
) -> subprocess.CompletedProcess[str]:
    """Run the benchmark; by default where no other compressor can be found."""
    return subprocess.run(
        [sys.executable, BENCHMARKS / script, *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PATH": path},
        check=False,
    )


@pytest.fixture
def data(tmp_path: Path) -> Path:
    folder = tmp_path / "data"
    folder.mkdir()
    (folder / "text").write_bytes(b"to be or not to be, " * 200)
    (folder / "empty").touch()
    return folder


def test_sizes_go_from_the_processes_to_the_record_to_the_table(data: Path, tmp_path: Path) -> None:
    name = tmp_path / "record"
    run = sep("*", "--data", data, "-m", "store", "-m", "zstd -9", "--runs", "2", "--save", name)
    assert run.returncode == 0, run.stderr
    assert "not on this machine: xz, zstd" in run.stderr

    record = json.loads(name.with_suffix(".json").read_text())
    entries = {(e["file"], e["method"]): e for e in record["entries"]}
    assert list(entries) == [
        (file, method) for file in ("empty", "text") for method in ("store", "zstd -9")
    ]
    stored, coded = entries["text", "store"], entries["text", "zstd -9"]
    assert stored["sha256"] == hashlib.sha256((data / "text").read_bytes()).hexdigest()
    assert coded["size"] < stored["bytes"] == 4000 < stored["size"]
    assert len(stored["decompress"]["runs_wall_s"]) == 2
    assert record["versions"]["xz"] == "missing"

    table = sep("--table", name.with_suffix(".json")).stdout.splitlines()
    assert table[0].startswith("| file | bytes | `store` | KB/s in / out | `zstd -9` |")
    assert table[3].startswith(f"| text | 4,000 | {stored['size']:,} |")
    assert "Medians of 2 runs" in table[-1]


def test_what_a_contestant_says_when_it_fails_is_passed_on(data: Path) -> None:
    run = sep("text", "--data", data, "-m", "store:level=1")
    assert run.returncode == 1
    assert "has no parameter 'level'" in run.stderr


def test_a_peer_that_gives_other_bytes_back_stops_the_run(data: Path, tmp_path: Path) -> None:
    peer = tmp_path / "xz"
    peer.write_text("#!/bin/sh\necho 1.0\n")  # whatever it is asked
    peer.chmod(0o755)
    run = sep("text", "--data", data, "-m", "store", "--runs", "1", path=str(tmp_path))
    assert run.returncode == 1
    assert "came back different from xz -9e" in run.stderr


# --- mix.py --------------------------------------------------------------------------


def mix(*arguments: str | Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run that benchmark with methods that take no time."""
    methods = () if "--table" in arguments else ("-m", "zstd", "-m", "store")
    return sep(*arguments, *methods, path=path, script="mix.py")


def program(folder: Path, name: str, script: str) -> None:
    """Something to call by the name of a peer."""
    path = folder / name
    path.write_text(f"#!/bin/sh\n{script}\n")
    path.chmod(0o755)


@pytest.fixture
def archiver(tmp_path: Path) -> str:
    """A folder with a zpaq that writes its files itself, as the real one, and keeps 7 bytes."""
    folder = tmp_path / "bin"
    folder.mkdir()
    copy = "import sys, shutil; data = open(sys.argv[1], 'rb').read()"
    program(
        folder,
        "zpaq",
        'case "$1" in\n'
        f"add) \"{sys.executable}\" -c \"{copy}; open(sys.argv[2], 'wb').write(b'archive' + data)\""
        ' "$3" "$2";;\n'
        f'extract) "{sys.executable}" -c "{copy}; open(sys.argv[2], \'wb\').write(data[7:])"'
        ' "$2" "$5";;\n'
        "*) echo; echo zpaq v9.87 of this test; exit 1;;\nesac",
    )
    return str(folder)


def test_mix_and_an_archiver(data: Path, archiver: str, tmp_path: Path) -> None:
    (data / "canterbury").mkdir()
    (data / "canterbury" / "note").write_bytes(b"words, words, words. " * 20)
    (data / "many").mkdir()
    (data / "many" / "large").write_bytes(b"0123456789" * 10_001)
    name = tmp_path / "record"
    options = ["--data", data, "--runs", "2", "--save", name]
    run = mix(*options, path=archiver)
    assert run.returncode == 0, run.stderr
    assert "not on this machine: xz, 7z, bzip3, brotli, zstd" in run.stderr

    record = json.loads(name.with_suffix(".json").read_text())
    entries = {(e["file"], e["method"]): e for e in record["entries"]}
    methods = ("zstd", "store", "zpaq -m5", "zpaq -m4")
    files = ("canterbury/note", "many/large")  # without patterns: the corpus, and what is large
    assert list(entries) == [(file, method) for file in files for method in methods]
    assert entries["many/large", "zpaq -m5"]["size"] == 100_017
    assert len(entries["many/large", "store"]["compress"]["runs_wall_s"]) == 2
    assert {e["method"] for e in record["start"]} == {"zstd", "store"}
    assert record["versions"]["zpaq"] == "9.87"
    assert record["versions"]["7z"] == "missing"

    again = mix(*options, path=archiver)  # nothing left to do
    assert again.returncode == 0, again.stderr
    assert json.loads(name.with_suffix(".json").read_text()) == record
    more = mix("text", *options, path=archiver)
    assert "text, zpaq -m5: 4007 bytes" in more.stderr
    assert "many/large, " not in more.stderr

    totals, files, place = mix("--table", name.with_suffix(".json")).stdout.split("\n\n")
    rows = [line.split(" | ") for line in totals.splitlines()]
    assert rows[0][:3] == ["| method", "1 files above 100 KB", "1 of Canterbury"]
    zpaq = next(row for row in rows if row[0] == "| `zpaq -m5`")
    assert zpaq[1:4] == ["100,017", "427", "+0.00%"]
    zstd = next(row for row in rows if row[0] == "| `zstd`")
    assert zstd[1] == f"{entries['many/large', 'zstd']['size']:,}"
    assert zstd[3].startswith("-99.")
    assert [line.split(" | ")[0] for line in files.splitlines()[2:]] == [
        "| canterbury/note", "| many/large", "| text",
    ]  # fmt: skip
    assert place.startswith("Medians of 2 runs")
    assert "zstd 0." in place


def test_a_record_of_other_programs_is_not_added_to(
    data: Path, archiver: str, tmp_path: Path
) -> None:
    name = tmp_path / "record"
    options = ["text", "--data", data, "--runs", "1", "--save", name]
    assert mix(*options, path=archiver).returncode == 0
    run = mix(*options)
    assert run.returncode == 1
    assert "Take another name" in run.stderr


def test_known_archivers(data: Path) -> None:
    """The real ones, where they are."""
    here = [name for name in ("zpaq", "7z") if shutil.which(name)]
    if not here:
        pytest.skip("neither zpaq nor 7z is installed")
    run = mix("text", "empty", "--data", data, "--runs", "1", path=os.environ["PATH"])
    assert run.returncode == 0, run.stderr
    assert all(f" {name} " in run.stdout for name in here)


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
    run = sep(content, "-m", f"{method},lr=0.02", "--save", name, script="profile_sep.py")
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


@pytest.fixture
def module(monkeypatch: pytest.MonkeyPatch) -> Callable[[str], ModuleType]:
    """Import a script as the others there do."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    return import_module


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


def test_a_package_that_is_missing_is_named(
    module: Callable[[str], ModuleType], monkeypatch: pytest.MonkeyPatch
) -> None:
    peers = module("tensor_peers")
    monkeypatch.setitem(sys.modules, "pcodec", None)  # as if it were not installed
    names, versions = peers.here(peers.PEERS, ["lz4", "pcodec"])
    assert names == ["lz4"]
    assert versions["pcodec"] == "missing"


def test_numbers_go_from_process_to_process(
    module: Callable[[str], ModuleType], tmp_path: Path
) -> None:
    data = module("tensor_data")
    numbers = data.changed(data.synthetic("f16", 10_000))
    numbers.save(tmp_path)
    assert data.Numbers.load(tmp_path) == numbers


def tensors(*arguments: str | Path, packages: Path | None = None) -> tuple[str, str]:
    """Run the benchmark, with other packages before those installed; output and errors."""
    run = subprocess.run(
        [sys.executable, BENCHMARKS / "tensors.py", *arguments],
        capture_output=True,
        text=True,
        env={**os.environ, "PYTHONPATH": str(packages or "")},
        check=False,
    )
    assert run.returncode == 0, run.stderr
    return run.stdout, run.stderr


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
        ("raise ValueError('not today')", "not today"),
        ("import os; os._exit(3)", "its process ended with 3"),
        ("print('chatter'); return blob", ""),
    ],
)
def test_a_peer_that_fails_is_left_out(decompress: str, problem: str, tmp_path: Path) -> None:
    (tmp_path / "pcodec.py").write_text(PCODEC + f"        {decompress}\n")
    (tmp_path / "pcodec-9.dist-info").mkdir()
    (tmp_path / "pcodec-9.dist-info" / "METADATA").write_text("Name: pcodec\nVersion: 9\n")
    name = tmp_path / "record"
    options = ["--only", "bf16", "--size", "4K", "--rounds", "1", "-m", "store", "--save", name]
    _, said = tensors(*options, "--peers", "zstd-1", "pcodec", packages=tmp_path)
    assert f"bf16, pcodec: {problem}" in said or not problem
    methods = json.loads(name.with_suffix(".json").read_text())["entries"][0]["methods"]
    store, zstd, peer = methods
    assert store["size"] > 4000 > zstd["size"]
    assert (peer["problem"] == problem) if problem else (peer["size"] == 4000)


def test_tensors_go_from_the_contestants_to_the_record_to_the_table(tmp_path: Path) -> None:
    name = tmp_path / "record"
    options = ["--only", "bool", "f32-*", "--size", "40K", "--rounds", "1"]
    printed, _ = tensors(*options, "-m", "zstd", "--peers", "zstd-1", "lz4", "--save", name)

    record = json.loads(name.with_suffix(".json").read_text())
    assert [entry["data"] for entry in record["entries"]] == ["bool", "f32-bf16", "f32-f16"]
    for entry in record["entries"]:
        ours, zstd, lz4 = entry["methods"]
        assert entry["bytes"] == 40_000
        assert 0 < entry["order0"] < min(ours["size"], zstd["size"])
        assert min(ours["size"], zstd["size"], lz4["size"]) > 0
    assert record["environment"]["OMP_NUM_THREADS"] == "1"
    table, _ = tensors("--table", name.with_suffix(".json"))
    assert table == printed
    assert table.startswith("| data | bytes | order-0 % | `nncomp zstd` % |")
