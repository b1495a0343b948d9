"""What the command line says, and where: messages and progress on standard error."""

from __future__ import annotations

import sys
import traceback
from contextlib import contextmanager
from functools import partial
from typing import TYPE_CHECKING, Any

import click

from nncomp.errors import NncompError
from nncomp.text import ratio_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["SILENT", "Console", "Progress", "terminal_stderr"]


def terminal_stderr() -> bool:
    """Whether a person watches standard error."""
    return sys.stderr is not None and sys.stderr.isatty()


class Progress:
    """Where a running job reports to; this one, without a bar, only passes texts on."""

    def __init__(self, notice: Callable[[str], None], warn: Callable[[str], None]) -> None:
        self._notice, self._warn = notice, warn

    def advance(self, done: int) -> None:
        """Another `done` raw bytes are done."""

    def notice(self, text: str) -> None:
        """Something slow and silent begins."""
        self._notice(text)

    def warn(self, text: str) -> None:
        """This may not be what was meant."""
        self._warn(text)


SILENT = Progress(lambda text: None, lambda text: None)
"""Of work that is none of its own."""


class _Bar(Progress):
    """A line with rate, ratio and remaining time, redrawn in place."""

    def __init__(
        self,
        bar: Any,
        archive_bytes: Callable[[], int | None],
        notice: Callable[[str], None],
        warn: Callable[[str], None],
    ) -> None:
        super().__init__(notice, warn)
        self._bar = bar
        self._archive_bytes = archive_bytes
        self._done = 0

    def advance(self, done: int) -> None:
        self._done += done
        archive = self._archive_bytes()
        if archive:
            self._bar.set_postfix_str(f"ratio {ratio_text(self._done, archive)}", refresh=False)
        self._bar.update(done)

    def notice(self, text: str) -> None:
        self._bar.set_postfix_str(text)  # stands until the next bytes are done
        super().notice(text)

    def warn(self, text: str) -> None:
        self._bar.clear()
        super().warn(text)


class Console:
    """Standard error, at one verbosity.

    Args:
        verbosity: -1 for errors only, 0 with warnings, 1 and up with a summary per file.
        progress: Whether a bar may be drawn; it is, where standard error is a terminal.
    """

    def __init__(self, verbosity: int = 0, *, progress: bool = False) -> None:
        self.verbosity = verbosity
        self.shows_progress = progress and verbosity >= 0 and terminal_stderr()

    def info(self, text: str) -> None:
        """Say what was asked for with -v."""
        if self.verbosity > 0:
            click.echo(text, err=True)

    def warn(self, name: str, text: str) -> None:
        """Say what -q silences."""
        if self.verbosity >= 0:
            click.echo(f"nncomp: {name}: {text}", err=True)

    def failure(self, name: str | None, error: BaseException) -> None:
        """Say why something failed; defects of the program itself ask to be reported."""
        if self.verbosity > 0 and _is_defect(error):
            click.echo("".join(traceback.format_exception(error)), err=True, nl=False)
        prefix = "nncomp" if name is None else f"nncomp: {name}"
        click.echo(f"{prefix}: {_describe(error, name)}", err=True)

    @contextmanager
    def status(self) -> Iterator[Callable[[str], None]]:
        """A line that says what is being done, where bars are shown; else what -v asks for."""
        if not self.shows_progress:
            yield self.info
            return
        from tqdm import tqdm

        tqdm.monitor_interval = 0
        with tqdm(bar_format="{elapsed} {desc}", leave=False, file=sys.stderr) as line:
            yield lambda text: line.set_description_str(text)

    @contextmanager
    def progress(
        self, name: str, total: int | None, archive_bytes: Callable[[], int | None]
    ) -> Iterator[Progress]:
        """Show a bar for one file while the block runs, where bars are shown.

        Args:
            name: What is being worked on.
            total: Raw bytes to come, or None when nobody knows.
            archive_bytes: Tells how many bytes of archive were written or read so far.
        """
        warn = partial(self.warn, name)
        if not self.shows_progress:
            yield Progress(self.info, warn)
            return
        from tqdm import tqdm

        tqdm.monitor_interval = 0  # no watchdog thread beside the codec's own
        with tqdm(
            desc=click.format_filename(name, shorten=True),
            total=total,
            unit="B",
            unit_scale=True,
            unit_divisor=1024,
            dynamic_ncols=True,
            leave=False,  # the summary of -v takes its place
            file=sys.stderr,
        ) as bar:
            yield _Bar(bar, archive_bytes, self.info, warn)


def _is_defect(error: BaseException) -> bool:
    return not isinstance(error, (NncompError, OSError, MemoryError))


def _describe(error: BaseException, name: str | None) -> str:
    if isinstance(error, NncompError):
        return str(error)
    if isinstance(error, OSError):
        elsewhere = error.filename not in (None, name)
        text = error.strerror or str(error)
        return f"{error.filename}: {text}" if elsewhere else text
    if isinstance(error, MemoryError):
        return "out of memory; -M sets a limit that is checked before the work starts"
    text = f"{type(error).__name__}: {error}".splitlines()[0]
    return f"internal error ({text}); please report it, with the output of the same command and -v"
