"""Peaks of memory, in processes of their own, are within what the codec says."""

from __future__ import annotations

import json
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

from nncomp.codecs.base import Context, resolve_params
from nncomp.codecs.image.fsar import FSAR
from nncomp.codecs.parallel import threads_within

# What little content reaches first is the program's, and that of the tables of kernels.
_MEASURE = """
import ctypes, json, pathlib, sys
from nncomp.codecs.base import Context, resolve_params
from nncomp.codecs.image.fsar import FSAR

def read(name):
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith(name)).split()[1])

def encode(path):
    data = pathlib.Path(path).read_bytes()
    params = FSAR.settle(resolve_params(FSAR, json.loads(settings), None), data, True)
    (block,) = FSAR.encode([data], params, Context())
    assert block.payload is not None
    return block, params

def decode(block, params):
    (raw,) = FSAR.decode([block], params, Context())
    assert raw == block.raw

little, large, settings = sys.argv[1:]
decode(*encode(little))
before = read("VmHWM")
block, params = encode(large)
encoding = read("VmHWM") - before
ctypes.CDLL(None).malloc_trim(0)
pathlib.Path("/proc/self/clear_refs").write_text("5")  # the peak is now what there is
before = read("VmRSS")
decode(block, params)
print(json.dumps([encoding, read("VmHWM") - before]))
"""
_RANDOM = np.random.default_rng(3)
QUICK = {"classes": "1", "rounds": "1", "step": "8"}
MANY = {"classes": "64", "patch": "4", "rounds": "1", "step": "8"}


def noisy(*shape: int) -> bytes:
    return _RANDOM.integers(0, 90, shape).astype(np.uint8).tobytes()


def sparse(size: int) -> bytes:
    return (255 * (_RANDOM.random(size) < 0.05)).astype(np.uint8).tobytes()


@pytest.mark.skipif(not Path("/proc/self/clear_refs").exists(), reason="no /proc to measure by")
@pytest.mark.parametrize(
    ("settings", "little", "large"),
    [
        (QUICK, b"P6 90 60 255\n" + noisy(90, 60, 3), b"P6 1500 1200 255\n" + noisy(5_400_000)),
        (MANY, b"P5 90 60 255\n" + noisy(90, 60), b"P5 1200 1000 255\n" + noisy(1_200_000)),
        (
            {**QUICK, "contexts": "12"},
            b"P5 90 60 255\n" + noisy(90, 60),
            b"P5 1200 1000 255\n" + sparse(1_200_000),
        ),
        ({**QUICK, "shape": "12x12"}, noisy(40, 144), noisy(20_000, 144)),
    ],
    ids=["colours", "many classes", "drawn", "small frames"],
)
def test_peaks(settings: dict[str, str], little: bytes, large: bytes, tmp_path: Path) -> None:
    for name, content in (("little", little), ("large", large)):
        (tmp_path / name).write_bytes(content)
    words = [tmp_path / "little", tmp_path / "large", json.dumps(settings)]
    answer = subprocess.run(
        [sys.executable, "-c", _MEASURE, *words], capture_output=True, text=True, check=True
    )
    encoding, decoding = json.loads(answer.stdout)
    params = FSAR.settle(resolve_params(FSAR, settings, None), large, True)
    assert len(large) < encoding < FSAR.encoding_memory(params)
    assert len(large) < decoding < FSAR.memory(params)


def test_threads_that_encode_fit_the_limit() -> None:
    params = resolve_params(FSAR, MANY, None)
    each = FSAR.encoding_memory(params)
    assert each > 3 * FSAR.memory(params)
    assert threads_within(Context(8, memory_limit=2 * each), each) == 2
