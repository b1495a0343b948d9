"""Compressors as whole processes: what to call, and what a call costs."""

from __future__ import annotations

import os
import re
import shutil
import subprocess
import sys
import tempfile
import time
from dataclasses import dataclass
from pathlib import Path

from common import first_line


@dataclass(frozen=True)
class Method:
    """Two commands; each gets a file's name as its last argument and writes to stdout."""

    name: str
    compress: tuple[str, ...]
    decompress: tuple[str, ...]
    suffix: str


def nncomp_methods(texts: list[str], threads: int, device: str) -> list[Method]:
    """Method strings, each with more options after it if need be: "sep", "sep -9"."""
    command = shutil.which("nncomp", path=str(Path(sys.executable).parent))
    if command is None:
        raise SystemExit(f"there is no nncomp command beside {sys.executable}: install it there")
    common = ("-q", "-c", "-T", str(threads), "--device", device)
    return [
        Method(
            text,
            (command, "compress", *common, "-m", *text.split()),
            (command, "decompress", *common),
            ".nnc",
        )
        for text in texts
    ]


def peers() -> tuple[list[Method], dict[str, str]]:
    """The other compressors on this machine, and what all of them say their versions are."""
    known = (
        Method("xz -9e", ("xz", "-9e", "-T1", "-c"), ("xz", "-d", "-T1", "-c"), ".xz"),
        Method(
            "zstd --ultra -22",
            ("zstd", "-q", "--ultra", "-22", "--single-thread", "-c"),
            ("zstd", "-q", "-d", "-c"),
            ".zst",
        ),
    )
    told = {name: first_line([name, "--version"]) for name in (m.compress[0] for m in known)}
    numbers = {name: re.search(r"\d+(\.\w+)+", line) for name, line in told.items()}
    here = [method for method in known if told[method.compress[0]]]
    return here, {
        name: number[0] if number else told[name] or "missing" for name, number in numbers.items()
    }


def run(command: tuple[str, ...], source: Path, target: Path) -> tuple[float, float]:
    """Wall seconds and processor seconds (user and system) of one process."""
    with target.open("wb") as sink, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen([*command, str(source)], stdout=sink, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if process.returncode:
            told = errors.read()[-2000:].decode(errors="replace")
            raise SystemExit(f"{' '.join(command)} {source} failed: {told}")
    return wall, usage.ru_utime + usage.ru_stime


def there_and_back(method: Method, source: Path) -> tuple[int, dict[str, tuple[float, float]]]:
    """Size of the archive, and the seconds each way."""
    with tempfile.TemporaryDirectory() as folder:
        archive, back = Path(folder) / f"a{method.suffix}", Path(folder) / "b"
        seconds = {
            "compress": run(method.compress, source, archive),
            "decompress": run(method.decompress, archive, back),
        }
        if back.read_bytes() != source.read_bytes():
            raise SystemExit(f"{source} came back different from {method.name}")
        return archive.stat().st_size, seconds


def warm_up(methods: list[Method]) -> None:
    """Let kernels be compiled and files be cached; not counted."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample"
        sample.write_bytes(bytes(range(256)) * 32)
        for method in methods:
            there_and_back(method, sample)
