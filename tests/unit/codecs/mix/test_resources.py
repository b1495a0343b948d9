"""`mix` on what it is granted: memory, threads, records one by one, no place for a cache."""

from __future__ import annotations

import hashlib
import io
import json
import os
import shutil
import struct
import subprocess
import sys
import zlib
from pathlib import Path

import numpy as np
import pytest

import nncomp
from nncomp.codecs.mix import payload
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.errors import LimitError

ROOT = Path(__file__).parents[4]
RANDOM = np.random.default_rng(8)
SHORT = "mix:contexts=2,table=256K,block=64K"
TEXT = b"".join(b"%d bottles of beer on the wall, " % (i * i % 977) for i in range(6000))


def noisy(size: int) -> bytes:
    """Bytes that shrink a little, and of which each context is a new one."""
    return RANDOM.integers(0, 200, size).astype(np.uint8).tobytes()


def png(width: int, height: int) -> bytes:
    """A picture of grey noise, which its stream nearly holds as it is."""
    lines = RANDOM.integers(0, 200, (height, 1 + width)).astype(np.uint8)
    lines[:, 0] = 0
    header = struct.pack(">IIBBBBB", width, height, 8, 0, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"IDAT", zlib.compress(lines.tobytes())), (b"IEND", b""))
    return SIGNATURE + b"".join(pack_chunk(*chunk) for chunk in chunks)


# --- memory


# A process of its own reaches a peak with little content, then decodes the archive in
# question; what that adds must be within what its header states. (`getrusage` would count
# what the process had before it became this program, which is the tests' own memory.)
_MEASURE = """
import hashlib, json, pathlib, sys
import nncomp
from nncomp.codecs.base import Context

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

class Digest:
    def __init__(self):
        self.state = hashlib.sha256()
    def write(self, data):
        self.state.update(data)
        return len(data)

def decode(path, limit):
    sink = Digest()
    with open(path, "rb") as archive:
        context = Context(memory_limit=limit)
        nncomp.decompress_stream(archive, sink, context=context)
    return sink.state.hexdigest()

little, large, limit = sys.argv[1:]
decode(little, None)
before = peak()
digest = decode(large, int(limit))
print(json.dumps([digest, peak() - before]))
"""
_PROGRAM = 8 << 20  # what the interpreter and the container take beside the codec
LARGE = {
    "table": ("mix:contexts=24,table=64M,block=64K", noisy(60_000)),
    "block": ("mix:contexts=1,table=256K,block=4M", noisy(2_500_000)),
    "pixels": ("mix:contexts=1,table=256K,block=4M", png(2000, 1000)),
    "numbers": ("mix:table=32M,block=64K", RANDOM.normal(0, 1, 7_000).astype("<f8").tobytes()),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to measure by")
@pytest.mark.parametrize("name", LARGE)
def test_peak_memory_is_within_what_the_header_states(name: str, tmp_path: Path) -> None:
    method, content = LARGE[name]
    sink = io.BytesIO()
    with nncomp.open(sink, "wb", method=method) as file:
        file.write(content + bytes(300_000))  # so much that nothing is settled by its size
    sink.seek(0)
    (info,) = nncomp.inspect(sink)
    assert info.codec == "mix"
    little, large = tmp_path / "little", tmp_path / "large"
    little.write_bytes(nncomp.compress(content[:2000] + bytes(1000), "mix:contexts=1,table=256K"))
    large.write_bytes(sink.getvalue())
    process = subprocess.run(
        [sys.executable, "-c", _MEASURE, little, large, str(info.memory)],
        capture_output=True,
        text=True,
        check=True,
    )
    digest, taken = json.loads(process.stdout)
    assert digest == hashlib.sha256(content + bytes(300_000)).hexdigest()
    assert taken < info.memory + _PROGRAM


def test_memory_is_stated_and_obeyed() -> None:
    archive = nncomp.compress(TEXT, SHORT)
    (info,) = nncomp.inspect(io.BytesIO(archive))
    for threads in (1, 4):
        assert nncomp.decompress(archive, memory_limit=info.memory, threads=threads) == TEXT
    with pytest.raises(LimitError, match=f"takes {info.memory} bytes"):
        nncomp.decompress(archive, memory_limit=info.memory - 1)
    with pytest.raises(LimitError, match=f"takes {info.memory} bytes"):
        nncomp.compress(TEXT, SHORT, memory_limit=info.memory - 1)


# --- records


def test_only_the_records_that_are_needed_are_decoded(monkeypatch: pytest.MonkeyPatch) -> None:
    decoded: list[int] = []
    decode_block = payload.decode_block

    def counted(coded: object, size: int, *rest: object) -> object:
        decoded.append(size)
        return decode_block(coded, size, *rest)

    archive = nncomp.compress(TEXT, SHORT)
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.records == 4
    monkeypatch.setattr(payload, "decode_block", counted)
    with nncomp.open(io.BytesIO(archive)) as file:
        for start in (3 * 65536 - 20, 100, 70_000):
            file.seek(start)
            decoded.clear()
            assert file.read(20) == TEXT[start : start + 20]
            assert decoded == [65536]


@pytest.mark.parametrize("threads", [1, 3])
def test_any_place_can_be_read(threads: int) -> None:
    archive = nncomp.compress(TEXT, SHORT, threads=threads)
    assert archive == nncomp.compress(TEXT, SHORT)
    assert nncomp.decompress(archive, threads=threads) == TEXT
    with nncomp.open(io.BytesIO(archive), threads=threads) as file:
        for start in (150_000, 65_530, len(TEXT) - 5, 0):
            file.seek(start)
            assert file.read(50) == TEXT[start : start + 50]


# --- kernels


@pytest.fixture
def uncached(tmp_path: Path) -> dict[str, str]:
    """An environment with a copy of the package, and no place where kernels could be kept.

    Files stand where the folders would be: that holds for those who may write everywhere, too.
    """
    package = tmp_path / "copy" / "nncomp"
    shutil.copytree(ROOT / "nncomp", package, ignore=shutil.ignore_patterns("__pycache__"))
    for folder in [package, *(path for path in package.rglob("*") if path.is_dir())]:
        (folder / "__pycache__").touch()
    nowhere = tmp_path / "a file"
    nowhere.touch()
    places = ("HOME", "XDG_CACHE_HOME", "NUMBA_CACHE_DIR")
    kept = {key: value for key, value in os.environ.items() if not key.startswith("NUMBA")}
    return {**kept, **dict.fromkeys(places, str(nowhere)), "PYTHONPATH": str(package.parent)}


def test_without_a_place_for_kernels_it_works_and_says_what_it_does(
    uncached: dict[str, str], tmp_path: Path
) -> None:
    """Compiles all kernels, which takes a while."""
    (tmp_path / "text").write_bytes(TEXT[:3000])
    archive = nncomp.compress(TEXT[:3000], "mix")
    command = [sys.executable, "-m", "nncomp", "compress", "-v", "-m", "mix", "-T1", "text"]
    run = subprocess.run(
        command, cwd=tmp_path, env=uncached, capture_output=True, text=True, check=True
    )
    assert "compiling kernels, at first use only\n" in run.stderr
    assert (tmp_path / "text.nnc").read_bytes() == archive
    code = "import nncomp; print(nncomp.__file__)"
    told = subprocess.run(
        [sys.executable, "-c", code],
        cwd=tmp_path,
        env=uncached,
        capture_output=True,
        text=True,
        check=True,
    )
    assert told.stdout.startswith(str(tmp_path))  # it was the copy that did it
    assert not list(tmp_path.rglob("*.nb?"))
