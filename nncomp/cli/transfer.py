"""One file after the other: what compress, decompress, test and list share."""

from __future__ import annotations

import io
import os
import stat
import sys
import time
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nncomp import files
from nncomp.errors import FileError, NncompError, UsageError
from nncomp.text import ratio_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nncomp.api import Result
    from nncomp.cli.bases import Bases
    from nncomp.cli.console import Console
    from nncomp.cli.options import Output

__all__ = [
    "Batch",
    "Source",
    "bytes_through",
    "content_size",
    "convert",
    "open_input",
    "refuse_typed_archive",
    "summary",
]


# --- many files ----------------------------------------------------------------------


@dataclass
class Batch:
    """Runs an action on each file; one that fails is reported and does not stop the others.

    Attributes:
        console: Where failures are reported.
        failures: How many there were so far.
    """

    console: Console
    failures: int = 0

    def run(
        self,
        names: Iterable[str],
        action: Callable[[str], None],
        *,
        recursive: bool,
        wanted: Callable[[Path], bool],
    ) -> int:
        """Do it.

        Args:
            names: Files, directories and "-", as given by the user.
            action: What to do with one file, or with "-".
            recursive: Whether to go through directories.
            wanted: Which of the files found in directories to take.

        Returns:
            The number of failures.

        Raises:
            UsageError: The request itself cannot be met, so neither for the other files.
            BrokenPipeError: Nobody reads standard output any more.
        """
        for name in self._expand(names, recursive, wanted):
            self._attempt(name, action)
        return self.failures

    def _attempt(self, name: str, action: Callable[[str], None]) -> None:
        try:
            action(name)
        except (UsageError, BrokenPipeError):
            raise
        except Exception as error:
            self._fail(name, error)

    def _expand(
        self, names: Iterable[str], recursive: bool, wanted: Callable[[Path], bool]
    ) -> Iterator[str]:
        for name in names:
            if recursive and name != "-" and os.path.isdir(name):  # noqa: PTH112 - "" is no Path
                yield from self._walk(name, wanted)
            else:
                yield name

    def _walk(self, top: str, wanted: Callable[[Path], bool]) -> Iterator[str]:
        """Files below a directory in a fixed order; linked directories could be loops: left out."""
        for folder, subfolders, names in os.walk(top, onerror=lambda e: self._fail(top, e)):
            subfolders.sort()
            for path in (Path(folder, name) for name in sorted(names)):
                if wanted(path) and not _is_special(path):
                    yield str(path)

    def _fail(self, name: str, error: Exception) -> None:
        self.failures += 1
        self.console.failure("(stdin)" if name == "-" else name, error)


def _is_special(path: Path) -> bool:
    """Whether there is a device, FIFO or socket; what cannot be seen is left to fail aloud."""
    try:
        return not stat.S_ISREG(path.stat().st_mode)
    except OSError:
        return False


# --- one input -----------------------------------------------------------------------


@dataclass(frozen=True)
class Source:
    """An open input.

    Attributes:
        name: For messages.
        stream: The bytes.
        status: Of a regular file, for its size and its metadata; else None.
        path: Of a named file, else None.
    """

    name: str
    stream: BinaryIO
    status: os.stat_result | None
    path: Path | None

    def remaining(self) -> int | None:
        """Bytes to come, when they can be known."""
        if self.status is None or not self.status.st_size:  # files in /proc claim to be empty
            return None
        return self.status.st_size - self.stream.tell()


@contextmanager
def open_input(name: str, *, special: bool) -> Iterator[Source]:
    """Open a file, or standard input for "-".

    Args:
        name: What the user typed.
        special: Whether a FIFO or device may be read.

    Raises:
        FileError: Nothing that is read.
        OSError: It cannot be opened.
    """
    if name == "-":
        if sys.stdin is None:
            raise FileError("standard input is closed")
        yield Source("(stdin)", sys.stdin.buffer, _regular(sys.stdin.buffer), None)
        return
    with files.open_source(name, special=special) as stream:
        yield Source(name, stream, _regular(stream), Path(name))


def _regular(stream: BinaryIO) -> os.stat_result | None:
    try:
        status = os.fstat(stream.fileno())
    except io.UnsupportedOperation:  # a stream of Python's own in place of standard input
        return None
    return status if stat.S_ISREG(status.st_mode) else None


def refuse_typed_archive(source: Source, force: bool) -> None:
    """Nobody types an archive: somebody forgot the file name.

    Raises:
        FileError: The archive would be read from a terminal.
    """
    if files.is_terminal(source.stream) and not force:
        raise FileError("an archive is not read from a terminal; name a file, or see --help")


def content_size(source: Source) -> int | None:
    """The size of the decoded data, as far as it can be told without decoding."""
    from nncomp import api

    if source.status is None:
        return None
    start = source.stream.tell()
    try:
        return sum(info.raw_size for info in api.inspect(source.stream))
    except NncompError:
        return None  # decoding will find the error again, and report it
    finally:
        source.stream.seek(start)


# --- one output ----------------------------------------------------------------------


def convert(
    name: str,
    output: Output,
    console: Console,
    target_of: Callable[[Path], Path],
    work: Callable[[Source, BinaryIO], Result],
    bases: Bases,
) -> None:
    """Read one input, write its output, and keep the promises about both.

    Args:
        name: What the user typed.
        output: What the user asked for.
        console: Gets the summary.
        target_of: Derives the output's name from the input's.
        work: Reads the source and writes the sink.
        bases: Are neither replaced nor removed.
    """
    start = time.perf_counter()
    with open_input(name, special=output.force or output.stdout or bool(output.target)) as source:
        with _open_output(source, output, target_of, bases) as (sink, published):
            result = work(source, sink)
        if output.remove and source.path is not None:
            if not published:
                console.warn(source.name, "kept: its output is not a regular file")
            elif bases.have(source.path):
                console.warn(source.name, "kept: it is one of the bases or weights")
            else:
                source.path.unlink()  # a link, where the user named a link
    console.info(summary(source.name, result, time.perf_counter() - start))


@contextmanager
def _open_output(
    source: Source, output: Output, target_of: Callable[[Path], Path], bases: Bases
) -> Iterator[tuple[BinaryIO, bool]]:
    """Open where the result goes, and say whether it becomes a regular file at the end."""
    if output.stdout or (source.path is None and output.target is None):
        if sys.stdout is None:
            raise FileError("standard output is closed")
        yield sys.stdout.buffer, False
        sys.stdout.buffer.flush()  # a full disk has to fail here, not after exit code 0
        return
    path = Path(output.target) if output.target else target_of(source.path or Path())
    if source.status is not None and files.same_file(source.status, path):
        raise FileError("input and output are the same file")
    bases.refuse_output(path)
    like = source.status if source.path else None
    published = not files.writes_directly(path)
    with files.atomic_output(path, overwrite=output.force, like=like) as sink:
        yield sink, published


def bytes_through(stream: BinaryIO) -> Callable[[], int | None]:
    """A function that tells how far `stream` has moved since now; None for pipes."""

    def position() -> int | None:
        try:
            return stream.tell()
        except OSError:
            return None

    start = position()

    def moved() -> int | None:
        now = position()
        return None if now is None or start is None else now - start

    return moved


def summary(name: str, result: Result, seconds: float) -> str:
    """The line of -v: sizes, ratio, bits per byte, time, speed, method."""
    raw, archive = result.raw_size, result.archive_size
    bits = f"{8 * archive / raw:.3f}" if raw else "-"
    speed = raw / 1000 / max(seconds, 1e-9)
    return (
        f"{name}: {raw:,} raw, {archive:,} archive, ratio {ratio_text(raw, archive)}, "
        f"{bits} bits/byte, {seconds:.2f} s, {speed:,.0f} KB/s, {result.method}"
    )
