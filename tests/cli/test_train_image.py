"""Training from the command line: stopped and gone on with, and its result used."""

from __future__ import annotations

import contextlib
import hashlib
import json
import os
import signal
import time
from pathlib import Path
from subprocess import PIPE
from typing import TYPE_CHECKING

import numpy as np
import pytest

if TYPE_CHECKING:
    import subprocess
    from collections.abc import Iterator

    from tests.cli.conftest import Invoke, Start

PATIENCE = 60  # seconds until a test gives up; nothing passes or fails by being slow
SIZES = ["--batch", 1, "--size", 8, "--width", 4, "--codes", 4, "--device", "cpu"]


@pytest.fixture(autouse=True)
def _pictures(tmp_path: Path) -> None:
    slopes = np.add.outer(np.arange(24), 3 * np.arange(20))
    stack = np.stack([slopes, 2 * slopes, 90 - slopes], axis=2)[None]
    np.save(tmp_path / "pictures.npy", stack.astype(np.uint8))
    Path("some.ppm").write_bytes(b"P6 20 24 255\n" + stack.astype(np.uint8).tobytes())


@contextlib.contextmanager
def killed_after(process: subprocess.Popen[bytes]) -> Iterator[None]:
    try:
        yield
    finally:
        process.kill()
        process.communicate()


@pytest.mark.skipif(os.name != "posix", reason="signals of POSIX")
def test_a_signal_leaves_a_checkpoint(start: Start, invoke: Invoke) -> None:
    log = Path("own.training/log.jsonl")
    # Far more than it will come to.
    arguments = ["train-image", "pictures.npy", "-o", "own", "--checkpoints", "own.training"]
    arguments += ["--steps", 1_000_000, "--every", 2, *SIZES]
    process = start(*arguments, stderr=PIPE)
    with killed_after(process):
        end = time.monotonic() + PATIENCE
        while not (log.exists() and log.read_text()) and time.monotonic() < end:
            time.sleep(0.05)
        process.send_signal(signal.SIGTERM)
        _, message = process.communicate(timeout=PATIENCE)
    assert process.returncode == -signal.SIGTERM
    assert b"the same command goes on" in message
    reached = json.loads(log.read_text().splitlines()[-1])["step"]
    assert sorted(p.name for p in Path().iterdir()) == ["own.training", "pictures.npy", "some.ppm"]

    again = invoke("train-image", "pictures.npy", "-o", "own", *SIZES, "--steps", reached)
    assert again.exit_code == 2
    assert "is of another training" in again.stderr


def test_what_was_trained_is_used(invoke: Invoke) -> None:
    trained = invoke("train-image", "pictures.npy", "-o", "own", "--steps", 2, "-v", *SIZES)
    assert trained.exit_code == 0, trained.stderr
    digest = hashlib.sha256(Path("own").read_bytes()).hexdigest()
    assert digest in trained.stderr
    made = invoke("compress", "-m", "fsar:mode=paper", "--weights", "own", "some.ppm")
    assert made.exit_code == 0, made.stderr

    listed = invoke("list", "--json", "some.ppm.nnc")
    (entry,) = json.loads(listed.stdout)["files"]
    assert entry["archives"][0]["weights_digest"] == digest
    without = invoke("test", "some.ppm.nnc")
    assert without.exit_code == 1
    assert digest in without.stderr
    assert "--weights" in without.stderr
    assert invoke("test", "--weights", "own", "some.ppm.nnc").exit_code == 0
    back = invoke("decompress", "--weights", "own", "-o", "back.ppm", "some.ppm.nnc")
    assert back.exit_code == 0, back.stderr
    assert Path("back.ppm").read_bytes() == Path("some.ppm").read_bytes()


def test_weights_are_neither_replaced_nor_removed(invoke: Invoke) -> None:
    assert invoke("train-image", "pictures.npy", "-o", "own", "--steps", 1, *SIZES).exit_code == 0
    before = Path("own").read_bytes()
    method = ["-m", "fsar:mode=paper", "--weights", "own"]
    over = invoke("compress", *method, "-f", "-o", "own", "some.ppm")
    assert "output own is one of the bases or weights" in over.stderr
    itself = invoke("compress", *method, "--rm", "own")
    assert "skipped: it is one of the bases or weights itself" in itself.stderr
    assert Path("own").read_bytes() == before


@pytest.mark.parametrize(
    ("name", "code", "message"),
    [
        ("some.ppm", 1, "no weights that nncomp train-image made"),
        ("none", 1, "none: No such file"),
        (".", 1, "not a regular file"),
    ],
)
def test_what_is_no_file_of_weights_is_named(
    invoke: Invoke, name: str, code: int, message: str
) -> None:
    result = invoke("compress", "-m", "fsar:mode=paper", "--weights", name, "some.ppm")
    assert result.exit_code == code
    assert message in result.stderr
    assert not Path("some.ppm.nnc").exists()
