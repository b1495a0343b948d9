from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


def sep(*arguments: str | Path, path: str = "") -> subprocess.CompletedProcess[str]:
    """Run the benchmark; by default where no other compressor can be found."""
    return subprocess.run(
        [sys.executable, BENCHMARKS / "sep.py", *arguments],
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
    makers, versions = peers.here(peers.PEERS, ["lz4", "pcodec"])
    assert len(makers) == 1
    assert versions["pcodec"] == "missing"


def test_a_peer_that_gives_other_numbers_back_is_left_out(
    module: Callable[[str], ModuleType],
) -> None:
    tensors, peers, data = map(module, ("tensors", "tensor_peers", "tensor_data"))
    liar = peers.Contestant("liar", "", lambda raw: raw, lambda blob: blob[::-1])
    honest = peers.Contestant("honest", "", lambda raw: raw, lambda blob: blob)
    numbers = data.Numbers("", "I8", bytes(range(200)))
    found = tensors.compare(numbers, [liar, honest], rounds=1)["methods"]
    assert found[0]["problem"] == "came back different"
    assert found[1]["size"] == 200


def test_tensors_go_from_the_contestants_to_the_record_to_the_table(tmp_path: Path) -> None:
    name = tmp_path / "record"
    script = [sys.executable, BENCHMARKS / "tensors.py"]
    options = ["--only", "bool", "f32-*", "--size", "40K", "--rounds", "1"]
    options += ["-m", "zstd", "--peers", "zstd-1", "lz4", "--save", name]
    run = subprocess.run([*script, *options], capture_output=True, text=True, check=False)
    assert run.returncode == 0, run.stderr

    record = json.loads(name.with_suffix(".json").read_text())
    assert [entry["data"] for entry in record["entries"]] == ["bool", "f32-bf16", "f32-f16"]
    for entry in record["entries"]:
        ours, zstd, lz4 = entry["methods"]
        assert entry["bytes"] == 40_000
        assert 0 < entry["order0"] < min(ours["size"], zstd["size"])
        assert min(ours["size"], zstd["size"], lz4["size"]) > 0
    table = subprocess.run(
        [*script, "--table", name.with_suffix(".json")], capture_output=True, text=True, check=True
    )
    assert table.stdout == run.stdout
    assert table.stdout.startswith("| data | bytes | order-0 % | `nncomp zstd` % |")
