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
from typing import TYPE_CHECKING

from common import first_line

if TYPE_CHECKING:
    from collections.abc import Sequence

WAYS = ("compress", "decompress")
DATA, ARCHIVE, BACK = "data", "archive", "back"
"""Names of the files that commands read and write, in a folder of their own."""


@dataclass(frozen=True)
class Method:
    """Two commands that run in a folder with the files they need.

    Attributes:
        compress: Reads `DATA`.
        decompress: Reads `ARCHIVE` with the suffix.
        suffix: What the command wants the names of its archives to end in.
        prints: Whether the archive, and what it held, come on standard output; else the
            command writes the files itself.
        asking: A command that says which version it is, in the first line that it prints.
    """

    name: str
    compress: tuple[str, ...]
    decompress: tuple[str, ...]
    suffix: str
    prints: tuple[bool, bool] = (True, True)
    asking: tuple[str, ...] = ()


def nncomp_methods(texts: list[str], threads: int, device: str) -> list[Method]:
    """Method strings, each with more options after it if need be: "sep", "sep -9"."""
    command = shutil.which("nncomp", path=str(Path(sys.executable).parent))
    if command is None:
        raise SystemExit(f"there is no nncomp command beside {sys.executable}: install it there")
    common = ("-q", "-c", "-T", str(threads), "--device", device)
    return [
        Method(
            text,
            (command, "compress", *common, "-m", *text.split(), DATA),
            (command, "decompress", *common, f"{ARCHIVE}.nnc"),
            ".nnc",
        )
        for text in texts
    ]


def _filter(name: str, compress: str, decompress: str, suffix: str) -> Method:
    """One that takes a file and writes to standard output."""
    words, back = compress.split(), decompress.split()
    asking = words[0], "--version"
    return Method(name, (*words, DATA), (*back, ARCHIVE + suffix), suffix, asking=asking)


def _zpaq(level: int) -> Method:
    """It keeps the name and the date of the file as well."""
    archive = f"{ARCHIVE}.zpaq"
    return Method(
        f"zpaq -m{level}",
        ("zpaq", "add", archive, DATA, f"-m{level}", "-t1"),
        ("zpaq", "extract", archive, DATA, "-to", BACK, "-t1"),
        ".zpaq",
        prints=(False, False),
        asking=("zpaq",),
    )


PEERS = {
    method.name: method
    for method in (
        _zpaq(5),
        _zpaq(4),
        _filter("xz -9e", "xz -9e -T1 -c", "xz -d -T1 -c", ".xz"),
        Method(
            "7z PPMd",
            ("7z", "a", "-t7z", "-m0=PPMd", "-mmt=1", f"{ARCHIVE}.7z", DATA),
            ("7z", "x", "-so", "-mmt=1", f"{ARCHIVE}.7z"),
            ".7z",
            prints=(False, True),
            asking=("7z", "i"),
        ),
        _filter("bzip3", "bzip3 -e -c", "bzip3 -d -c", ".bz3"),
        _filter("brotli -q 11", "brotli -q 11 --lgwin=24 -c", "brotli -d -c", ".br"),
        _filter(
            "zstd --ultra -22",
            "zstd -q --ultra -22 --single-thread -c",
            "zstd -q -d -c",
            ".zst",
        ),
    )
}
"""Other compressors, each on one thread.

7z's own settings of PPMd are order 6 in 16 MiB; bzip3's are blocks of 16 MiB.
"""


def peers(names: Sequence[str]) -> tuple[list[Method], dict[str, str]]:
    """Those of `PEERS` that are on this machine, and what all say their versions are."""
    wanted = {name: PEERS[name] for name in names}
    told = {method.asking[0]: first_line(method.asking) for method in wanted.values()}
    numbers = {name: re.search(r"\d+(\.\w+)+", line) for name, line in told.items()}
    here = [method for method in wanted.values() if told[method.asking[0]]]
    return here, {
        name: number[0] if number else told[name] or "missing" for name, number in numbers.items()
    }


def run(command: tuple[str, ...], folder: Path, output: str | None) -> tuple[float, float]:
    """Wall seconds and processor seconds (user and system) of one process.

    Args:
        command: Its words.
        folder: Where it runs.
        output: A file there for its standard output; None: nobody needs it.
    """
    target = folder / output if output else Path(os.devnull)
    with target.open("wb") as sink, tempfile.TemporaryFile() as errors:
        start = time.perf_counter()
        process = subprocess.Popen(command, cwd=folder, stdout=sink, stderr=errors)
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        errors.seek(0)
        if process.returncode:
            told = errors.read()[-2000:].decode(errors="replace")
            raise SystemExit(f"{' '.join(command)} failed: {told}")
    return wall, usage.ru_utime + usage.ru_stime


def there_and_back(method: Method, source: Path) -> tuple[int, dict[str, tuple[float, float]]]:
    """Size of the archive, and the seconds each way."""
    with tempfile.TemporaryDirectory() as name:
        folder = Path(name)
        shutil.copyfile(source, folder / DATA)
        archive = ARCHIVE + method.suffix
        seconds = {"compress": run(method.compress, folder, archive if method.prints[0] else None)}
        original = (folder / DATA).read_bytes()
        (folder / DATA).unlink()  # nobody shall take it instead of decoding
        seconds["decompress"] = run(method.decompress, folder, BACK if method.prints[1] else None)
        if (folder / BACK).read_bytes() != original:
            raise SystemExit(f"{source} came back different from {method.name}")
        return (folder / archive).stat().st_size, seconds


def warm_up(methods: list[Method]) -> None:
    """Let kernels be compiled and files be cached; not counted."""
    with tempfile.TemporaryDirectory() as folder:
        sample = Path(folder) / "sample"
        sample.write_bytes(bytes(range(256)) * 32)
        for method in methods:
            there_and_back(method, sample)
