"""Compressors that are run as programs: what to call, and what a call costs."""

from __future__ import annotations

import os
import shlex
import shutil
import subprocess
import tempfile
import time
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp.bench.records import Runs
from nncomp.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["ARCHIVE", "BACK", "DATA", "PROGRAMS", "Commands", "Program", "run"]

DATA, ARCHIVE, BACK = "data", "archive", "back"
"""Names of the files that commands read and write, in a folder of their own."""

_SAID = 400  # bytes of what a failing program said that are worth showing


@dataclass(frozen=True)
class Commands:
    """What to run, in a folder that has the files.

    Attributes:
        compress: Reads `DATA`.
        decompress: Reads `ARCHIVE` with the suffix.
        suffix: What the program wants the names of its archives to end in.
        prints: Whether the archive, and what it held, come on standard output; else the
            program writes `ARCHIVE` and `BACK` itself.
    """

    compress: tuple[str, ...]
    decompress: tuple[str, ...]
    suffix: str
    prints: tuple[bool, bool] = (True, True)


@dataclass(frozen=True)
class Program:
    """A peer on the command line.

    Attributes:
        package: What installs it on Debian and its descendants.
        options: Settings when nobody names others: small before fast.
        commands: From options and a number of threads.
        asking: Arguments that make it say its version.
    """

    package: str
    options: str
    commands: Callable[[tuple[str, ...], int], Commands]
    asking: tuple[str, ...] = ("--version",)

    def with_options(self, text: str, threads: int) -> Commands:
        """What to run with these settings, or its own if the text is empty."""
        return self.commands(tuple(shlex.split(text or self.options)), threads)


def _zstd(options: tuple[str, ...], threads: int) -> Commands:
    many = f"-T{threads}" if threads > 1 else "--single-thread"
    return Commands(
        ("zstd", "-q", *options, many, "-c", DATA),
        ("zstd", "-q", "-d", "--long=31", "-c", f"{ARCHIVE}.zst"),
        ".zst",
    )


def _xz(options: tuple[str, ...], threads: int) -> Commands:
    many = f"-T{threads}"
    return Commands(
        ("xz", *options, many, "-c", DATA), ("xz", "-d", many, "-c", f"{ARCHIVE}.xz"), ".xz"
    )


def _brotli(options: tuple[str, ...], _threads: int) -> Commands:
    return Commands(
        ("brotli", *options, "-c", DATA), ("brotli", "-d", "-c", f"{ARCHIVE}.br"), ".br"
    )


def _bzip3(options: tuple[str, ...], threads: int) -> Commands:
    many = ("-j", str(threads)) if threads > 1 else ()
    return Commands(
        ("bzip3", "-e", *options, *many, "-c", DATA),
        ("bzip3", "-d", *many, "-c", f"{ARCHIVE}.bz3"),
        ".bz3",
    )


def _7z(options: tuple[str, ...], threads: int) -> Commands:
    many = f"-mmt={threads}"
    return Commands(
        ("7z", "a", "-t7z", *options, many, f"{ARCHIVE}.7z", DATA),
        ("7z", "x", "-so", many, f"{ARCHIVE}.7z"),
        ".7z",
        prints=(False, True),
    )


def _zpaq(options: tuple[str, ...], threads: int) -> Commands:
    """It keeps the name and the date of the file as well."""
    archive, many = f"{ARCHIVE}.zpaq", f"-t{threads}"
    return Commands(
        ("zpaq", "add", archive, DATA, *options, many),
        ("zpaq", "extract", archive, DATA, "-to", BACK, many),
        ".zpaq",
        prints=(False, False),
    )


PROGRAMS: dict[str, Program] = {
    "zstd": Program("zstd", "--ultra -22", _zstd),
    "bzip3": Program("bzip3", "-b 16", _bzip3),
    "7z": Program("7zip", "-m0=PPMd", _7z, asking=("i",)),
    "xz": Program("xz-utils", "-9e", _xz),
    "brotli": Program("brotli", "-q 11 --lgwin=24", _brotli),
    "zpaq": Program("zpaq", "-m5", _zpaq, asking=()),
}
"""By the name of the program, the slowest last.

7z's own settings of PPMd are order 6 in 16 MiB.
"""


def run(command: tuple[str, ...], folder: Path, output: str | None) -> Runs:
    """One process, from its start to its end.

    Args:
        command: Its words.
        folder: Where it runs.
        output: A file there for its standard output; None: nobody needs it.

    Returns:
        One run. Its memory is never less than what the process that starts it takes, some
        15 MB, because of how the system counts.

    Raises:
        FileError: The program failed; with what it said.
    """
    sink_path = folder / output if output else os.devnull
    with open(sink_path, "wb") as sink, tempfile.TemporaryFile() as said:  # noqa: PTH123 - or null
        start = time.perf_counter()
        process = subprocess.Popen(  # noqa: S603 - a peer, found on the path
            command, cwd=folder, stdin=subprocess.DEVNULL, stdout=sink, stderr=said
        )
        _, status, usage = os.wait4(process.pid, 0)
        wall = time.perf_counter() - start
        process.returncode = os.waitstatus_to_exitcode(status)
        if process.returncode:
            said.seek(0)
            text = said.read()[-_SAID:].decode(errors="replace").strip()
            raise FileError(f"{' '.join(command)} ended with {process.returncode}: {text}")
    return Runs((wall,), (usage.ru_utime + usage.ru_stime,), usage.ru_maxrss * 1024)


def found(name: str) -> bool:
    """Whether the program is on the path."""
    return shutil.which(name) is not None
