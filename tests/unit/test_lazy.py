"""What must not be loaded, by `sys.modules`: loading is what costs the time."""

from __future__ import annotations

import json
import subprocess
import sys

import pytest

HEAVY = {"torch", "numba", "llvmlite", "matplotlib"}
NEEDED_LATER = {"numpy", "zstandard", "lz4", "snappy", "xxhash", "tqdm"}


def loaded_by(code: str) -> set[str]:
    """Top-level names of the modules that a fresh interpreter has after `code`."""
    report = "; import json, sys; sys.stderr.write(json.dumps(list(sys.modules)))"
    run = subprocess.run(
        [sys.executable, "-c", code + report], capture_output=True, text=True, check=True
    )
    return {name.partition(".")[0] for name in json.loads(run.stderr)}


def test_the_probe_sees_what_is_loaded() -> None:
    assert "zstandard" in loaded_by("import zstandard")


def test_import_is_light() -> None:
    assert not loaded_by("import nncomp") & (HEAVY | NEEDED_LATER)


@pytest.mark.parametrize(
    "arguments", [["--help"], ["compress", "--help"], ["explain", "--help"], ["--version"]]
)
def test_help_is_light(arguments: list[str]) -> None:
    code = f"from nncomp.cli.main import program; program({arguments}, standalone_mode=False)"
    assert not loaded_by(code) & (HEAVY | NEEDED_LATER)


def test_general_methods_and_listing_load_no_torch() -> None:
    code = """
import io, nncomp
archive = nncomp.compress(b"some data " * 100, "zstd")
assert nncomp.inspect(io.BytesIO(archive))[0].codec == "zstd"
assert nncomp.decompress(archive) == b"some data " * 100
pass"""
    assert not loaded_by(code) & HEAVY


def test_bounds_and_schedules_of_training_load_no_torch() -> None:
    code = """
import nncomp.distributed as distributed
distributed.Schedule("linear")(3), distributed.Classes().bound(0)
pass"""
    assert not loaded_by(code) & HEAVY
