"""`nncomp bench`."""

from __future__ import annotations

from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from nncomp.cli import options
from nncomp.cli.bench_parts import METHODS, Choice, Display, Gate
from nncomp.text import printable

if TYPE_CHECKING:
    from nncomp.bench.measure import Plan
    from nncomp.cli.console import Console
    from nncomp.cli.options import Command

__all__ = ["bench"]

_READABLE = click.Path(exists=True, dir_okay=False)
_WRITABLE = click.Path(dir_okay=False, writable=True)


def _choice_options(command: Command) -> Command:
    """What is measured: one `Choice` as `choice`."""

    @wraps(command)
    def wrapped(
        *,
        files: tuple[str, ...],
        corpus: str | None,
        folder: str | None,
        methods: tuple[str, ...],
        peers: tuple[str, ...],
        dtype: str,
        base: str | None,
        **rest: Any,
    ) -> int:
        choice = Choice(files, corpus, folder, methods, peers, dtype, base)
        return command(choice=choice, **rest)

    return options.apply(
        wrapped,
        click.argument("files", nargs=-1, type=_READABLE, metavar="[FILE]..."),
        click.option(
            *("-m", "--method", "methods"),
            multiple=True,
            metavar="METHOD",
            help="One of nncomp's, with a level if need be: 'mix -9'. Again for more. Default: "
            + ", ".join(METHODS),
        ),
        click.option(
            *("--peer", "peers"),
            multiple=True,
            metavar="PEER",
            help="zstd, xz, ..., programs with options if need be: 'zstd -19'. Again for more; "
            "'none' for none. Default: all that are found.",
        ),
        click.option(
            "--corpus",
            metavar="NAME",
            help="Files by the name of their set, such as calgary, or by the path of a manifest, "
            "*.json.",
        ),
        click.option(
            *("--corpus-dir", "folder"),
            metavar="DIR",
            help="Where sets are kept.  [~/.cache/nncomp/corpora]",
        ),
        click.option(
            "--dtype", default="", metavar="TYPE", help="Of all elements: f32, bf16, i16, ..."
        ),
        click.option("--base", type=_READABLE, help="What differences are taken to."),
    )


def _plan_options(command: Command) -> Command:
    """How it is measured: one `Plan` as `plan`."""

    @wraps(command)
    def wrapped(
        *,
        rounds: int,
        seconds: float | None,
        seed: int | None,
        threads: int,
        device: str,
        **rest: Any,
    ) -> int:
        from nncomp.bench.measure import Plan

        plan = Plan(rounds=rounds, seconds=seconds, threads=threads, device=device, seed=seed)
        return command(plan=plan, **rest)

    return options.apply(
        wrapped,
        click.option(
            "--rounds",
            type=click.IntRange(1, 1000),
            default=3,
            show_default=True,
            help="Runs of each on each file; after the first minute, no more than one.",
        ),
        click.option(
            *("--time", "seconds"),
            type=click.FloatRange(0.1),
            metavar="SECONDS",
            help="Bound on the measuring; what has not ended by then is stopped, and said to be. "
            "Default: 45 without files, else none.",
        ),
        click.option("--seed", type=click.IntRange(1), help="Of the built-in files."),
        click.option(
            *("-T", "--threads"),
            type=click.IntRange(1, 1024),
            default=1,
            show_default=True,
            help="For each, one at a time.",
        ),
        click.option(
            "--device",
            type=click.Choice(["cpu", "cuda"]),
            default="cpu",
            show_default=True,
            help="Where neural methods compute.",
        ),
    )


def _display_options(command: Command) -> Command:
    """Where results go: one `Display` as `display`."""

    @wraps(command)
    def wrapped(
        *, form: str, target: str | None, plot: str | None, page: str | None, **rest: Any
    ) -> int:
        return command(display=Display(form, target, plot, page), **rest)

    return options.apply(
        wrapped,
        click.option(
            *("--format", "form"),
            type=click.Choice(["table", "json", "csv", "markdown"]),
            default="table",
            show_default=True,
            help="json has all, and can be shown again.",
        ),
        click.option(
            *("-o", "--output", "target"), type=_WRITABLE, help="A file in place of the terminal."
        ),
        click.option("--plot", type=_WRITABLE, metavar="FILE", help="Ratio and speed: .svg, .png."),
        click.option(
            *("--html", "page"), type=_WRITABLE, metavar="FILE", help="All of it on one page."
        ),
    )


def _gate_options(command: Command) -> Command:
    """When to fail: one `Gate` as `gate`."""

    @wraps(command)
    def wrapped(
        *,
        baseline: str | None,
        conditions: tuple[str, ...],
        reference: str | None,
        **rest: Any,
    ) -> int:
        return command(gate=Gate.of(baseline, conditions, reference), **rest)

    return options.apply(
        wrapped,
        click.option("--baseline", type=_READABLE, help="An earlier run, of --format json."),
        click.option(
            *("--fail-if", "conditions"),
            multiple=True,
            metavar="CONDITION",
            help="Next to the earlier run: 'size>1.001'. Exit with 1 and say where.",
        ),
        click.option(
            "--reference",
            metavar="METHOD",
            help="Of the same run, to which speeds are compared before they are compared.",
        ),
    )


class Bench(click.Command):
    """The command, unless its first word is the name of one for a kind of data."""

    KINDS: ClassVar = {
        "emb": "nncomp.cli.bench_emb:emb",
        "images": "nncomp.cli.bench_images:images",
    }
    """Where those are, "module:attribute"; loaded when they are asked for."""

    def make_context(
        self,
        info_name: str | None,
        args: list[str],
        parent: click.Context | None = None,
        **extra: Any,
    ) -> click.Context:
        """A context of whichever command is to run."""
        if not args or args[0] not in self.KINDS:
            return super().make_context(info_name, args, parent, **extra)
        module, _, attribute = self.KINDS[args[0]].partition(":")
        command: click.Command = getattr(import_module(module), attribute)
        return command.make_context(f"{info_name} {args[0]}", args[1:], parent, **extra)


@click.command(cls=Bench)
@_choice_options
@_plan_options
@click.option("--record", type=_READABLE, help="Show an earlier run, and measure nothing.")
@click.option(
    "--resume",
    type=_WRITABLE,
    metavar="RECORD",
    help="Keep what is measured there, file by file, and go on if there is something.",
)
@_display_options
@_gate_options
@options.console_options
def bench(
    choice: Choice,
    plan: Plan,
    record: str | None,
    resume: str | None,
    display: Display,
    gate: Gate,
    console: Console,
) -> int:
    """Measure methods and other compressors on files, side by side.

    Each has a process of its own, they take turns, and what they decode is compared with the
    original. Without files, small made-up ones give a first look.

    `nncomp bench emb DUMP...` measures embedding tables, `nncomp bench images FILE...` pictures.
    (Files of these names are ./emb and ./images.)
    """
    from nncomp.bench import records

    choice.check(plan.seed, record, resume)
    display.check(resume, [*choice.files, *filter(None, [choice.base])])
    kept = Path(resume) if resume else None
    found = records.load(Path(record)) if record else choice.record(plan, kept, console)
    display.show(found)
    failed = [row for row in found.rows if row.error is not None and not row.stopped]
    for row in failed:
        console.warn(printable(row.file), printable(f"{row.method}: {row.error}"))
    return gate.check(found) + sum(row.kind == "own" for row in failed)
