"""--base: archives of differences, their chains, and what is refused."""

from __future__ import annotations

import json
import os
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nncomp import api
from nncomp.container.layout import MAGIC

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke

NAMES = ("first", "second", "third")


def checkpoint(weights: np.ndarray) -> bytes:
    """A safetensors file of one tensor."""
    entry = {"dtype": "F32", "shape": [weights.size], "data_offsets": [0, weights.nbytes]}
    header = json.dumps({"weights": entry}).encode()
    return len(header).to_bytes(8, "little") + header + weights.tobytes()


@pytest.fixture(autouse=True)
def checkpoints() -> list[bytes]:
    """Three files, of which each differs from the one before in a tenth of its weights."""
    random = np.random.default_rng(1)
    weights = random.standard_normal(30_000).astype(np.float32)
    contents = []
    for name in NAMES:
        contents.append(checkpoint(weights))
        Path(name).write_bytes(contents[-1])
        weights[random.integers(0, weights.size, weights.size // 10)] += np.float32(1e-4)
    return contents


def sizes(*names: str) -> list[int]:
    return [Path(name).stat().st_size for name in names]


def test_there_and_back(invoke: Invoke, checkpoints: list[bytes]) -> None:
    assert invoke("compress", "--rm", "--base", "first", "second").exit_code == 0
    (info,) = api.inspect("second.nnc")
    assert info.codec == "zipnn"
    assert sizes("second.nnc")[0] < sizes("first")[0] / 5
    result = invoke("test", "--base", "first", "second.nnc")
    assert (result.exit_code, result.stderr) == (0, "")
    assert invoke("decompress", "--base", "first", "second.nnc").exit_code == 0
    assert Path("second").read_bytes() == checkpoints[1]


def test_chain(invoke: Invoke, checkpoints: list[bytes]) -> None:
    assert invoke("compress", "-m", "zipnn", "first").exit_code == 0
    assert invoke("compress", "--base", "first.nnc", "second").exit_code == 0
    chain = ["--base", "second.nnc", "--base", "first.nnc"]
    assert invoke("compress", *chain, "third").exit_code == 0
    whole, *differences = sizes("first.nnc", "second.nnc", "third.nnc")
    assert max(differences) < whole / 4
    for name in NAMES:
        Path(name).unlink()
    result = invoke("decompress", *chain, "-c", "third.nnc")
    assert result.exit_code == 0
    assert result.stdout_bytes == checkpoints[2]
    assert invoke("decompress", "--base", "first.nnc", "second.nnc").exit_code == 0
    assert Path("second").read_bytes() == checkpoints[1]
    assert invoke("test", "--base", "second", "third.nnc").exit_code == 0  # plain or archive


@pytest.mark.parametrize(
    ("bases", "message"),
    [
        (["second.nnc"], "the base 'second.nnc' cannot be read: the archive holds differences to"),
        (["second.nnc", "third"], "the chain of bases cannot be read: the archive holds differ"),
    ],
)
def test_incomplete_chain(invoke: Invoke, bases: list[str], message: str) -> None:
    invoke("compress", "--base", "first", "second")
    invoke("compress", "--base", "second", "third")
    Path("third").rename("kept")
    words = [word for name in bases for word in ("--base", name.replace("third", "kept"))]
    for command in ("compress kept -o out.nnc", "decompress third.nnc", "test third.nnc"):
        result = invoke(*command.split(), *words)
        assert result.exit_code == 1
        assert result.stderr.startswith(f"nncomp: {message}")
    assert not Path("third").exists()
    assert not Path("out.nnc").exists()


@pytest.mark.parametrize(
    ("words", "message"),
    [
        ([], "the archive holds differences to a base with XXH3-64 {first}. Give that file"),
        (["--base", "third"], "a base with XXH3-64 {first}; the base given has {third}. Give"),
    ],
)
def test_no_base_or_another_one(invoke: Invoke, words: list[str], message: str) -> None:
    for name in ("first", "third"):
        invoke("compress", name)
    digests = {name: api.inspect(f"{name}.nnc")[0].checksum for name in ("first", "third")}
    invoke("compress", "--rm", "--base", "first", "second")
    for command in ("test", "decompress"):
        result = invoke(command, *words, "second.nnc")
        assert result.exit_code == 1
        assert result.stderr.startswith("nncomp: second.nnc: ")
        assert message.format(**digests) in result.stderr
    assert not Path("second").exists()


def test_base_that_is_not_needed(invoke: Invoke, checkpoints: list[bytes]) -> None:
    invoke("compress", "third")
    result = invoke("decompress", "--base", "first", "-c", "third.nnc")
    assert result.stdout_bytes == checkpoints[2]


@pytest.mark.parametrize("words", [["-m", "zstd"], ["-m", "sep"]])
def test_method_without_bases(invoke: Invoke, words: list[str]) -> None:
    result = invoke("compress", *words, "--base", "first", "second")
    assert result.exit_code == 2
    assert "takes no base" in result.stderr
    assert not Path("second.nnc").exists()


def test_method_with_parameters(invoke: Invoke) -> None:
    words = ["-m", "zipnn:block=64K", "-9", "--base", "first"]
    assert invoke("compress", *words, "second").exit_code == 0
    assert "block=65536" in api.inspect("second.nnc")[0].params


# --- what cannot be a base


def unusable(name: str) -> str:
    """Something that cannot be opened as a base; its name."""
    if name == "fifo":
        os.mkfifo(name)
    elif name == "damaged":
        Path(name).write_bytes(MAGIC + b"and nothing that could follow")
    return name


@pytest.mark.parametrize(
    ("name", "message"),
    [
        ("absent", "nncomp: absent: No such file or directory"),
        ("fifo", "nncomp: the base 'fifo' is not a regular file: it must be able to seek"),
        (".", "nncomp: the base '.' is not a regular file: it must be able to seek"),
        ("damaged", "nncomp: the base 'damaged' cannot be read: "),
    ],
)
def test_unusable_base(invoke: Invoke, name: str, message: str) -> None:
    result = invoke("compress", "--base", unusable(name), "second", "third")
    assert result.exit_code == 1
    assert result.stderr.startswith(message)
    assert result.stderr.count("\n") == 1
    assert not Path("second.nnc").exists()


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_base(invoke: Invoke) -> None:
    Path("first").chmod(0)
    result = invoke("compress", "--base", "first", "second")
    assert (result.exit_code, result.stderr) == (1, "nncomp: first: Permission denied\n")


def test_empty_base(invoke: Invoke, checkpoints: list[bytes]) -> None:
    Path("empty").touch()
    assert invoke("compress", "--base", "empty", "second").exit_code == 0
    result = invoke("decompress", "--base", "empty", "-c", "second.nnc")
    assert result.stdout_bytes == checkpoints[1]


# --- bases are kept


def test_file_is_not_its_own_base(invoke: Invoke, checkpoints: list[bytes]) -> None:
    Path("link").symlink_to("first")
    result = invoke("compress", "--rm", "--base", "second", "--base", "link", "first", "third")
    assert result.exit_code == 1
    assert result.stderr == "nncomp: first: skipped: it is one of the bases or weights itself\n"
    assert Path("first").read_bytes() == checkpoints[0]
    assert Path("third.nnc").exists()
    assert not Path("first.nnc").exists()


def test_base_is_left_out_of_directories(invoke: Invoke) -> None:
    Path("folder").mkdir()
    for name in NAMES:
        Path(name).rename(f"folder/{name}")
    assert invoke("compress", "-r", "--rm", "--base", "folder/first", "folder").exit_code == 0
    assert {path.name for path in Path("folder").iterdir()} == {"first", "second.nnc", "third.nnc"}


@pytest.mark.parametrize("command", ["compress -m zipnn third", "decompress second.nnc"])
def test_base_is_not_replaced(invoke: Invoke, checkpoints: list[bytes], command: str) -> None:
    invoke("compress", "--base", "first", "second")
    result = invoke(*command.split(), "-f", "--base", "first", "-o", "first")
    assert result.exit_code == 1
    assert "output first is one of the bases or weights; use -o to write elsewhere" in result.stderr
    assert Path("first").read_bytes() == checkpoints[0]


def test_base_is_not_removed(invoke: Invoke) -> None:
    invoke("compress", "--rm", "-m", "zipnn", "first")
    invoke("compress", "--rm", "--base", "first.nnc", "second")
    result = invoke("decompress", "--rm", "--base", "first.nnc", "first.nnc", "second.nnc")
    assert result.exit_code == 0
    assert result.stderr == "nncomp: first.nnc: kept: it is one of the bases or weights\n"
    assert Path("first.nnc").exists()
    assert not Path("second.nnc").exists()
