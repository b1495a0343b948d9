"""The same archive, bit for bit, whatever instructions, libraries and threads compute it.

Each setting has a process of its own, which compresses all inputs and decompresses the
archives that a process with no settings made.
"""

from __future__ import annotations

import hashlib
import io
import json
import os
import struct
import subprocess
import sys
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

import pytest
import torch

import nncomp
from nncomp import weights
from nncomp.container.layout import MAGIC
from nncomp.container.reader import BufferInput, read_members

TEXT = b"How much wood would a woodchuck chuck, if a woodchuck could chuck wood? " * 10
BINARY = b"".join(struct.pack("<IhB", 1000 * i, (i * i) % 301 - 150, 255) for i in range(120))
ALONE = "memory=off"
JOINT = "memory=on,contexts=4,table=256K"
SMALL = "embedding=8,std=0.2,lr=0.03,final=0.5,decay=1K,block=64K,lanes=3,segment=5,stride=2"
METHODS = {
    "sep": "sep:seb=on,mixing=shared,context=8,patch=4,fused=2,direct=3,tokens=1,levels=2,ffn=24,"
    f"optimiser=nncp,{SMALL}",
    "sep, mixed by lane": "sep:seb=on,mixing=lane,context=6,patch=3,fused=1,direct=1,tokens=4,"
    f"levels=3,ffn=16,optimiser=adam,{SMALL}",
    "pac": f"sep:seb=off,mixing=shared,tokens=8,levels=2,ffn=33,optimiser=adam,{SMALL}",
    "pac, mixed by lane": "sep:seb=off,mixing=lane,tokens=4,levels=3,ffn=16,optimiser=nncp,"
    f"{SMALL}",
}
# So wide that torch and the kernels share the work of a segment between threads.
WIDE = (
    "sep:seb=on,mixing=shared,context=12,patch=4,stride=2,fused=1,direct=4,tokens=2,levels=1,"
    "embedding=32,ffn=1024,std=0.05,optimiser=adam,lr=0.003,final=1.0,decay=1M,block=64K,"
    "lanes=8,segment=32"
)
WAVE = b"".join(struct.pack("<h", i * i * 37 % 4001 - 2000) for i in range(900))
PIXELS = bytes((3 * i + 2 * (i // 96) + i % 3 * 50) % 256 for i in range(4800))
MIX = {
    "text, mix": ("mix", TEXT),
    "records, mix": ("mix:contexts=16", BINARY * 2),
    "sound, mix": ("mix", WAVE),
    "picture, mix": ("mix", PIXELS),
    "three records, mix": ("mix:contexts=1,table=256K,block=64K", (TEXT + BINARY) * 90),
}
NOISE = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(250))
SLOPES = [x % 64 + 2 * (x // 64) + (noise & 7) for x, noise in enumerate(NOISE)]
COLOURS = bytes((SLOPES[i // 3 % 2600] + 30 * (i % 3) + (NOISE[i] & 1)) % 256 for i in range(7680))
IMAGE = b"P6 64 40 255\n" + COLOURS
SIGNS = bytes(
    255 * (NOISE[y // 8 * 16 + x // 8] % 4 * 37 >> x % 8 + y % 4 & 1)
    for y in range(24)
    for x in range(32)
)
DEEPER = (150 * x + noise for x, noise in zip(SLOPES[:2560], NOISE[2560:], strict=False))
DEEP = b"P5 64 40 65535\n" + b"".join(struct.pack(">H", x) for x in DEEPER)
FSAR = {
    "picture, fsar": ("fsar", IMAGE),
    "picture, fsar with classes of its own": (
        "fsar:shape=64x40x3,classes=5,rounds=8,step=1",
        b"".join(bytes((x + 40 * k) % 256 for x in COLOURS) for k in range(10)),
    ),
    "picture of 16 bits, fsar": ("fsar:classes=3,patch=16,prior=o1s", DEEP),
    "picture, fsar by the model of the paper": ("fsar:mode=paper", IMAGE),
    "drawn picture, fsar": (
        "fsar:contexts=12",
        b"P6 32 48 255\n" + bytes(x for x in SIGNS * 2 for _ in range(3)),
    ),
    "frames, fsar": ("fsar:shape=8x8x3,prior=o0,step=1,block=64K", COLOURS * 2),
}
CASES = {
    **{f"text, {name}": (f"{method},{ALONE}", TEXT) for name, method in METHODS.items()},
    "binary": (f"{METHODS['sep, mixed by lane']},{ALONE}", BINARY),
    "few bytes": (f"{METHODS['sep']},{ALONE}", b"x" * 20),
    "wide": (f"{WIDE},{ALONE}", TEXT + BINARY),
    **MIX,
    **FSAR,
}
# Networks on top of a memory, of contents that they make smaller than the memory alone does.
WITH_MEMORY = {
    "binary, sep and memory": (f"{METHODS['sep']},{JOINT}", BINARY),
    "binary, pac and memory": (f"{METHODS['pac, mixed by lane']},{JOINT}", BINARY),
    "binary, wide and memory": (f"{WIDE},{JOINT}", BINARY),
}
CASES |= WITH_MEMORY
# For what takes long: no compiler, no kernels.
TINY = {
    "tiny": (
        "sep:seb=on,mixing=shared,context=4,patch=3,stride=2,fused=1,direct=2,tokens=1,levels=1,"
        "embedding=2,ffn=4,std=0.3,optimiser=adam,lr=0.3,final=1.0,decay=1K,block=64K,lanes=2,"
        f"segment=2,{ALONE}",
        b"ab" * 60,
    ),
    "tiny picture": ("fsar:classes=2", b"P5 64 14 255\n" + bytes(SLOPES[:896])),
    "tiny drawn picture": ("fsar:contexts=3", b"P5 32 24 255\n" + SIGNS),
    "tiny deep picture": ("fsar:classes=2,step=1", b"P5 64 12 65535\n" + DEEP[15:1551]),
}
SOME = {
    name: CASES[name] for name in ("text, sep", "binary", "few bytes", "binary, sep and memory")
}


@dataclass(frozen=True)
class Setting:
    """How a process computes."""

    environment: dict[str, str] = field(default_factory=dict)
    capability: str = ""  # the instruction set that torch needs for it
    threads: int = 1
    flush: bool = False
    reference: bool = False
    way: str = ""
    cases: dict[str, tuple[str, bytes]] = field(default_factory=lambda: CASES)


GENERIC = {"NUMBA_CPU_NAME": "generic"}
UNOPTIMISED = {"NUMBA_OPT": "0", "NUMBA_LOOP_VECTORIZE": "0", "NUMBA_SLP_VECTORIZE": "0"}
LOWEST = {
    "ATEN_CPU_CAPABILITY": "default",
    "MKL_ENABLE_INSTRUCTIONS": "SSE4_2",
    "ONEDNN_MAX_CPU_ISA": "SSE41",
}
SETTINGS = {
    "torch default": Setting({"ATEN_CPU_CAPABILITY": "default"}),
    "torch avx2": Setting({"ATEN_CPU_CAPABILITY": "avx2"}, capability="AVX2"),
    "torch avx512": Setting({"ATEN_CPU_CAPABILITY": "avx512"}, capability="AVX512"),
    "one OpenMP thread": Setting({"OMP_NUM_THREADS": "1"}),
    "two OpenMP threads": Setting({"OMP_NUM_THREADS": "2"}),
    "two threads": Setting({"OMP_NUM_THREADS": "2"}, threads=2),
    "three threads": Setting(threads=3),
    "mkl compatible": Setting({"MKL_CBWR": "COMPATIBLE"}),
    "mkl sse4.2": Setting({"MKL_ENABLE_INSTRUCTIONS": "SSE4_2"}),
    "mkl avx2": Setting({"MKL_ENABLE_INSTRUCTIONS": "AVX2"}),
    "onednn sse4.1": Setting({"ONEDNN_MAX_CPU_ISA": "SSE41"}),
    "onednn avx2": Setting({"ONEDNN_MAX_CPU_ISA": "AVX2"}),
    "onednn avx512": Setting({"ONEDNN_MAX_CPU_ISA": "AVX512_CORE"}),
    "numba generic": Setting(GENERIC),
    "numba unoptimised": Setting(UNOPTIMISED, cases={**MIX, **FSAR}),
    "all at their lowest, denormals flushed": Setting({**LOWEST, **GENERIC}, flush=True),
    "no compiler": Setting({"NUMBA_DISABLE_JIT": "1"}, cases=TINY),
    "denormals flushed": Setting(flush=True),
    "denormals flushed, two threads": Setting(flush=True, threads=2),
    "reference": Setting(reference=True, cases=SOME),
    "reference, denormals flushed": Setting(LOWEST, reference=True, flush=True, cases=SOME),
    "products in int8": Setting(way="int8"),
    "products in float32": Setting({"MKL_CBWR": "COMPATIBLE"}, way="float32"),
    "products in float64": Setting(way="float64"),
}


def run(
    setting: Setting, cases: dict[str, tuple[str, bytes]], archives: dict[str, str], cache: Path
) -> dict[str, Any]:
    """What the worker answers."""
    task = {
        "cases": {name: (method, content.hex()) for name, (method, content) in cases.items()},
        "archives": archives,
        "threads": setting.threads,
        "flush": setting.flush,
        "reference": setting.reference,
        "way": setting.way,
    }
    environment = {**os.environ, **setting.environment}
    compiler = {key: value for key, value in setting.environment.items() if "NUMBA" in key}
    if compiler:  # apart from the code without settings
        names = "_".join(f"{key}_{value}" for key, value in sorted(compiler.items()))
        environment["NUMBA_CACHE_DIR"] = str(cache / names)
    process = subprocess.run(
        [sys.executable, Path(__file__).with_name("worker.py")],
        input=json.dumps(task),
        env=environment,
        capture_output=True,
        text=True,
        check=False,
    )
    assert process.returncode == 0, process.stderr
    answer: dict[str, Any] = json.loads(process.stdout)
    return answer


@pytest.fixture(scope="module")
def cache(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Where numba keeps code for other processors and made in other ways, for all workers."""
    folder = tmp_path_factory.getbasetemp()
    if "PYTEST_XDIST_WORKER" in os.environ:
        folder = folder.parent
    return folder / "numba"


@pytest.fixture(scope="module")
def archives(cache: Path) -> dict[str, str]:
    """Of all cases, without any setting."""
    made: dict[str, str] = run(Setting(), {**CASES, **TINY}, {}, cache)["archives"]
    return made


def digests(archives: dict[str, str]) -> dict[str, str]:
    return {name: hashlib.sha256(bytes.fromhex(a)).hexdigest() for name, a in archives.items()}


def test_nothing_is_stored(archives: dict[str, str]) -> None:
    """That would prove nothing. Of few bytes there is the payload alone, no archive."""
    for name in {*CASES, *TINY} - {"few bytes"}:
        (info,) = nncomp.inspect(io.BytesIO(bytes.fromhex(archives[name])))
        assert info.codec == {**CASES, **TINY}[name][0].partition(":")[0]
    assert not archives["few bytes"].startswith(MAGIC.hex())
    for name in WITH_MEMORY:
        member = next(iter(read_members(BufferInput(bytes.fromhex(archives[name])))))
        record = next(iter(member.records(1 << 20)))
        assert record.payload[0] == 0  # by both together
    paper = bytes.fromhex(archives["picture, fsar by the model of the paper"])
    (record,) = next(iter(read_members(BufferInput(paper)))).records(1 << 20)
    assert bytes.fromhex(weights.load("fsar").digest) in bytes(record.payload)


@pytest.mark.parametrize("name", SETTINGS)
def test_same_archive(name: str, archives: dict[str, str], cache: Path) -> None:
    setting = SETTINGS[name]
    here = torch.backends.cpu.get_cpu_capability()
    if setting.capability and (here, setting.capability) not in (
        ("AVX2", "AVX2"),
        ("AVX512", "AVX2"),
        ("AVX512", "AVX512"),
    ):
        pytest.skip(f"{setting.capability} is not on this processor, which has {here}")
    if setting.flush and not torch.set_flush_denormal(False):
        pytest.skip("this processor cannot flush denormals")
    answer = run(setting, setting.cases, archives, cache)
    wanted = {case: digest for case, digest in digests(archives).items() if case in setting.cases}
    assert digests(answer["archives"]) == wanted
    if setting.capability:
        assert answer["capability"] == setting.capability
