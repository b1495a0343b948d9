"""`nncomp list` on archives of model files."""

from __future__ import annotations

import io
import json
import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nncomp.container.seeking import SeekableArchive

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke

EVIL = "evil\x1b[31m\nname"


@pytest.fixture(autouse=True)
def model() -> Path:
    """A safetensors file of four tensors."""
    random = np.random.default_rng(1)
    arrays = {
        "weight": random.normal(0, 0.02, (300, 400)).astype(np.float32),
        "zeros": np.zeros((2, 3, 50), np.float16),
        EVIL: np.ones((), np.float32),
        "none": np.zeros((0, 4), np.int64),
    }
    types = {"float32": "F32", "float16": "F16", "int64": "I64"}
    entries, start = {}, 0
    for name, array in arrays.items():
        place = [start, start := start + array.nbytes]
        shape = list(array.shape)
        entries[name] = {"dtype": types[array.dtype.name], "shape": shape, "data_offsets": place}
    header = json.dumps(entries).encode()
    path = Path("model")
    content = b"".join(array.tobytes() for array in arrays.values())
    path.write_bytes(len(header).to_bytes(8, "little") + header + content)
    return path


def tables(text: str) -> list[list[str]]:
    """Lines of each table, which empty lines stand between."""
    return [table.splitlines() for table in text.rstrip("\n").split("\n\n")]


def cells(line: str) -> list[str]:
    return re.split(r"  +", line.strip())


def test_a_line_for_each_tensor(invoke: Invoke) -> None:
    assert invoke("compress", "-m", "zipnn", "model").exit_code == 0
    result = invoke("list", "model.nnc")
    assert (result.exit_code, result.stderr) == (0, "")
    members, tensors = tables(result.stdout)
    assert members[1].split()[0] == "zipnn"
    assert tensors[0] == "model.nnc: 4 tensors"
    assert cells(tensors[1]) == ["tensor", "dtype", "shape", "bits/weight", "planes", "marks"]
    name, dtype, shape, bits, planes = cells(tensors[2])
    assert (name, dtype, shape) == ("weight", "F32", "[300, 400]")
    assert 26 < float(bits) < 27
    assert re.fullmatch(r"raw 75% zstd \d%", planes)
    assert cells(tensors[3])[:3] == ["zeros", "F16", "[2, 3, 50]"]
    assert cells(tensors[4])[:3] == [r"evil\x1b[31m\nname", "F32", "[]"]
    assert cells(tensors[5]) == ["none", "I64", "[0, 4]", "-", "-"]
    assert len(tensors) == 6


def test_other_archives_have_none(invoke: Invoke, text_file: Path) -> None:
    invoke("compress", "-m", "zstd", "model")
    invoke("compress", "-m", "zipnn", "text")
    result = invoke("list", "model.nnc", "text.nnc")
    assert (result.exit_code, result.stderr) == (0, "")
    assert len(tables(result.stdout)) == 1


def test_several_archives(invoke: Invoke, archive: Path) -> None:
    invoke("compress", "-m", "zipnn", "model")
    one = Path("model.nnc").read_bytes()
    Path("all.nnc").write_bytes(one + archive.read_bytes() + one)
    _, first, second, third = tables(invoke("list", "all.nnc", "model.nnc").stdout)
    assert first[0] == "all.nnc, archive 1: 4 tensors"
    assert second[0] == "all.nnc, archive 3: 4 tensors"
    assert third[0] == "model.nnc: 4 tensors"
    assert first[1:] == second[1:] == third[1:]


def test_losses_are_marked(invoke: Invoke) -> None:
    assert invoke("compress", "-m", "zipnn:abs=1e-3", "model").exit_code == 0
    members, tensors = tables(invoke("list", "model.nnc").stdout)
    assert cells(members[1])[0] == "zipnn (lossy: abs<=0.001)"
    marks = [cells(line)[-1] for line in tensors[2:]]
    assert marks == [*["lossy: abs<=0.001"] * 3, "-"]


def test_differences_are_marked(invoke: Invoke, model: Path) -> None:
    changed = bytearray(model.read_bytes())
    changed[5000] ^= 1
    Path("changed").write_bytes(changed)
    invoke("compress", "model")
    assert invoke("compress", "--base", "model", "changed").exit_code == 0
    digest = cells(invoke("list", "model.nnc").stdout.splitlines()[1])[4]
    members, tensors = tables(invoke("list", "--base", "model", "changed.nnc").stdout)
    assert cells(members[1])[0] == f"zipnn (base {digest})"
    name, *_, marks = cells(tensors[2])
    assert (name, marks) == ("weight", "delta")


def test_base_of_the_directory_is_missing(invoke: Invoke, model: Path) -> None:
    changed = bytearray(model.read_bytes())
    changed[-5] ^= 1
    Path("changed").write_bytes(changed)
    invoke("compress", "-m", "zipnn:dtype=i32", "--base", "model", "changed")
    assert len(tables(invoke("list", "--base", "model", "changed.nnc").stdout)) == 2
    result = invoke("list", "changed.nnc")
    assert result.exit_code == 0
    assert len(tables(result.stdout)) == 1
    assert result.stderr.startswith("nncomp: changed.nnc: tensors are not listed: ")
    assert "give that file with --base" in result.stderr
    assert invoke("list", "-q", "changed.nnc").stderr == ""


def test_as_json(invoke: Invoke, archive: Path) -> None:
    invoke("compress", "-m", "zipnn:keep=8", "model")
    document = json.loads(invoke("list", "--json", "model.nnc", "text.nnc").stdout)
    (info,), (other,) = (file["archives"] for file in document["files"])
    assert "tensors" not in other
    assert (info["base"], info["lossy"], info["reason"]) == (None, "8 mantissa bits", None)
    weight, zeros, evil, none = info["tensors"]
    assert (weight["name"], weight["dtype"], weight["shape"]) == ("weight", "F32", [300, 400])
    assert weight["bits_per_weight"] == pytest.approx(8 * weight["coded_size"] / 120_000)
    assert set(weight["planes"]) == {"raw", "zstd", "constant"}
    assert (weight["delta"], weight["lossy"]) == (0, "8 mantissa bits")
    assert zeros["raw_size"] == 600
    assert evil["name"] == EVIL
    assert none["bits_per_weight"] is None


def test_damage_is_told_after_the_table(invoke: Invoke) -> None:
    invoke("compress", "-m", "zipnn", "model")
    damaged = bytearray(Path("model.nnc").read_bytes())
    (member,) = SeekableArchive(io.BytesIO(damaged)).members()
    damaged[member.header_size + 1] ^= 0x55  # in the header of the first record
    Path("damaged.nnc").write_bytes(damaged)
    result = invoke("list", "damaged.nnc", "model.nnc")
    assert result.exit_code == 1
    members, tensors = tables(result.stdout)
    assert members[1].endswith("damaged.nnc")
    assert tensors[0] == "model.nnc: 4 tensors"
    assert result.stderr.startswith("nncomp: damaged.nnc: ")
    assert "archive byte" in result.stderr


def test_standard_input(invoke: Invoke) -> None:
    invoke("compress", "-m", "zipnn", "model")
    code = [sys.executable, "-m", "nncomp", "list"]
    with Path("model.nnc").open("rb") as stdin:
        run = subprocess.run(code, stdin=stdin, capture_output=True, text=True, check=True)
    assert "\n(stdin): 4 tensors\n" in run.stdout


def test_listing_is_light(invoke: Invoke) -> None:
    """What a codec compiles, or a framework, is not loaded to look at an archive."""
    invoke("compress", "-m", "zipnn:block=1M", "model")
    code = (
        "from nncomp.cli.main import program; program(['list', 'model.nnc'], standalone_mode=False)"
    )
    report = "; import sys; sys.stderr.write(' '.join(sys.modules))"
    catch = f"try:\n    {code}\nexcept BaseException: pass\n" + report[2:]
    run = subprocess.run([sys.executable, "-c", catch], capture_output=True, text=True, check=True)
    assert "4 tensors" in run.stdout
    loaded = {name.partition(".")[0] for name in run.stderr.split()}
    assert "numpy" in loaded
    assert not loaded & {"torch", "numba", "llvmlite", "ml_dtypes", "safetensors"}
