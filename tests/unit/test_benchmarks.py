from __future__ import annotations

import hashlib
import json
import os
import subprocess
import sys
from pathlib import Path

import pytest

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
