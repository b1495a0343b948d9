"""Options that several commands share, their types, and the environment behind them."""

from __future__ import annotations

import os
import re
import stat
from collections.abc import Callable
from dataclasses import dataclass, replace
from functools import wraps
from typing import TYPE_CHECKING, Any, TypeAlias

import click

from nncomp.cli.bases import NO_BASES, Bases, open_bases
from nncomp.cli.console import SILENT, Console, Progress
from nncomp.errors import FileError, MethodError

if TYPE_CHECKING:
    from nncomp.codecs.base import Context
    from nncomp.weights import Weights

__all__ = [
    "Command",
    "Output",
    "Resources",
    "apply",
    "base_option",
    "console_options",
    "files_argument",
    "method_options",
    "output_options",
    "resource_options",
]

Command: TypeAlias = Callable[..., int]


# --- types ---------------------------------------------------------------------------

_UNITS = ("", "K", "M", "G", "T")


def parse_size(text: str) -> int:
    """A number of bytes: "4096", "500M", "2G", "1GiB"; powers of 1024."""
    match = re.fullmatch(r"([1-9]\d{0,14})(?:([KMGT])(?:iB)?)?", text, re.IGNORECASE)
    if not match:
        raise click.BadParameter(f"{text!r} is not a size such as 500M or 2G (powers of 1024).")
    return int(match[1]) << 10 * _UNITS.index((match[2] or "").upper())


def check_method(text: str) -> str:
    """A method string, once it was found to agree with what its codec declares."""
    from nncomp import api

    try:
        api.check_method(text, None)
    except MethodError as error:
        raise click.BadParameter(str(error)) from error
    return text


def _or_environment(variable: str, kind: Callable[[str], Any]) -> Callable[..., Any]:
    """Option callback: without the option, read the variable; errors name the variable."""

    def callback(ctx: click.Context, param: click.Parameter, value: Any) -> Any:
        text = os.environ.get(variable, "")
        if value is not None or not text:
            return value
        try:
            return kind(text)
        except click.BadParameter as error:
            message = f"environment variable {variable}={text!r}: {error.message}"
            raise click.UsageError(message, ctx) from error

    return callback


# --- what commands receive -----------------------------------------------------------


@dataclass(frozen=True)
class Output:
    """Where results go, and what happens to the sources.

    Attributes:
        target: The file of -o, or None.
        stdout: Write to standard output.
        remove: Remove each source after success.
        force: Overwrite, write archives to terminals, read devices and FIFOs.
        recursive: Go through directories.
    """

    target: str | None
    stdout: bool
    remove: bool
    force: bool
    recursive: bool


@dataclass(frozen=True)
class Resources:
    """What a codec may use: threads (at least 1), bytes of memory or None, device, files."""

    threads: int
    memory: int | None
    device: str
    bases: Bases = NO_BASES
    weights: Weights | None = None

    def context(self, progress: Progress) -> Context:
        """The grant for one file, reporting to `progress`."""
        from nncomp.codecs.base import Context

        return Context(
            threads=self.threads,
            device=self.device,
            memory_limit=self.memory,
            progress=progress.advance,
            notice=progress.notice,
            warn=progress.warn,
            base=self.bases.content,
            weights=self.weights,
        )

    def with_bases(self, names: tuple[str, ...]) -> Resources:
        """The same with the bases of --base, opened."""
        if not names:
            return self
        bases = open_bases(names, self.context(SILENT))
        statuses = (*bases.statuses, *self.bases.statuses)
        return replace(self, bases=replace(bases, statuses=statuses))

    def with_weights(self, name: str | None) -> Resources:
        """The same with the weights of --weights, read."""
        if name is None:
            return self
        from nncomp.weights import read

        status = os.stat(name)  # noqa: PTH116 - "" is no Path
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"the weights {name!r} are not a regular file")
        bases = replace(self.bases, statuses=(*self.bases.statuses, status))
        return replace(self, bases=bases, weights=read(name))


def _usable_cores() -> int:
    if hasattr(os, "sched_getaffinity"):  # not on macOS
        return len(os.sched_getaffinity(0))
    return os.cpu_count() or 1


# --- decorators ----------------------------------------------------------------------


def apply(command: Command, *decorators: Callable[[Command], Command]) -> Command:
    """A command with several decorators, the first of them outermost."""
    for decorator in reversed(decorators):
        command = decorator(command)
    return command


def files_argument(command: Command) -> Command:
    """`[FILE]...`; none at all means standard input."""
    return click.argument(
        "files",
        nargs=-1,
        type=click.Path(readable=False),  # one that cannot be read does not stop the others
        metavar="[FILE]...",
        callback=lambda ctx, param, value: value or ("-",),
    )(command)


def method_options(command: Command) -> Command:
    """-m and -1 to -9, or NNCOMP_METHOD and NNCOMP_LEVEL: `method`, `level` (None if unset)."""
    help_texts = {1: "Fastest; -2 to -8 lie in between.", 9: "Smallest."}
    levels = [
        click.option(
            f"-{digit}",
            "level",
            flag_value=digit,
            type=int,
            default=None,
            help=help_texts.get(digit),
            hidden=digit not in help_texts,
            callback=_or_environment("NNCOMP_LEVEL", click.IntRange(1, 9)),
        )
        for digit in range(1, 10)
    ]
    return apply(
        command,
        click.option(
            "-m",
            "--method",
            type=check_method,
            metavar="METHOD",
            callback=_or_environment("NNCOMP_METHOD", check_method),
            help="How to compress: NAME or NAME:KEY=VALUE,...",
        ),
        *levels,
    )


def output_options(command: Command) -> Command:
    """-o, -c, -k, --rm, -f, -r: one `Output` as `output`."""

    @wraps(command)
    def wrapped(
        *,
        target: str | None,
        stdout: bool,
        keep: bool,
        remove: bool,
        force: bool,
        recursive: bool,
        files: tuple[str, ...],
        **rest: Any,
    ) -> int:
        if keep and remove:
            raise click.UsageError("-k and --rm contradict each other.")
        if target == "-":
            target, stdout = None, True
        elif target is not None and stdout:
            raise click.UsageError("-o and -c contradict each other.")
        if target is not None and (recursive or len(files) > 1):
            raise click.UsageError("-o takes exactly one input, and no -r.")
        if remove and stdout:
            raise click.UsageError("--rm needs an output file; it cannot be used with -c.")
        output = Output(target, stdout, remove, force, recursive)
        return command(files=files, output=output, **rest)

    return apply(
        wrapped,
        click.option(
            "-o", "--output", "target", metavar="FILE", help="Write to FILE; - is standard output."
        ),
        click.option("-c", "--stdout", is_flag=True, help="Write to standard output."),
        click.option("-k", "--keep", is_flag=True, help="Keep the source files (default)."),
        click.option("--rm", "remove", is_flag=True, help="Remove each source file after success."),
        click.option(
            "-f",
            "--force",
            is_flag=True,
            help="Overwrite files; write to a terminal; read devices and FIFOs.",
        ),
        recursive_option,
    )


def recursive_option(command: Command) -> Command:
    """-r: `recursive`."""
    return click.option("-r", "--recursive", is_flag=True, help="Go through directories.")(command)


_base_option = click.option(
    "--base",
    "base_names",
    multiple=True,
    type=click.Path(readable=False),
    metavar="FILE",
    help="What differences are taken to, plain or an archive; the base of that comes next.",
)


_weights_option = click.option(
    "--weights",
    type=click.Path(readable=False),
    metavar="FILE",
    help="What train-image made, for methods that take it; decompressing takes the same.",
)


def resource_options(command: Command) -> Command:
    """-T, -M, --device, --base, --weights: one `Resources` as `resources`."""

    @wraps(command)
    def wrapped(
        *,
        threads: int | None,
        memory: int | None,
        device: str,
        base_names: tuple[str, ...],
        weights: str | None,
        **rest: Any,
    ) -> int:
        resources = Resources(threads or _usable_cores(), memory, device)
        resources = resources.with_weights(weights).with_bases(base_names)
        return command(resources=resources, **rest)

    count = click.IntRange(min=0, max=1024)
    return apply(
        wrapped,
        click.option(
            "-T",
            "--threads",
            type=count,
            metavar="N",
            callback=_or_environment("NNCOMP_NBTHREADS", count),
            help="Threads to use; 0, the default, is all cores.",
        ),
        click.option(
            "-M",
            "--memory",
            type=parse_size,
            metavar="SIZE",
            help="Refuse what needs more memory, e.g. 500M or 2G.",
        ),
        click.option(
            "--device",
            type=click.Choice(["auto", "cpu", "cuda"]),
            default="auto",
            help="Where neural methods compute.",
            show_default=True,
        ),
        _base_option,
        _weights_option,
    )


def base_option(command: Command) -> Command:
    """--base alone: `Bases` as `bases`."""

    @wraps(command)
    def wrapped(*, base_names: tuple[str, ...], **rest: Any) -> int:
        resources = Resources(1, None, "auto").with_bases(base_names)
        return command(bases=resources.bases, **rest)

    return _base_option(wrapped)


def console_options(command: Command) -> Command:
    """-q, -v, --no-progress: one `Console` as `console`."""

    @wraps(command)
    def wrapped(*, quiet: bool, verbose: int, no_progress: bool, **rest: Any) -> int:
        console = Console(-1 if quiet else verbose, progress=not no_progress)
        # Whoever catches an error that no command handles finds the verbosity there.
        click.get_current_context().find_root().obj = console
        return command(console=console, **rest)

    return apply(
        wrapped,
        click.option("-q", "--quiet", is_flag=True, help="No warnings, no progress."),
        click.option("-v", "--verbose", count=True, help="A line for each file; repeat for more."),
        click.option("--no-progress", is_flag=True, help="No progress bar on the terminal."),
    )
