"""`nncomp bench`."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from functools import wraps
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any, ClassVar

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.errors import UsageError
from nncomp.text import printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nncomp.bench.baseline import Condition
    from nncomp.bench.measure import Plan
    from nncomp.bench.records import Record
    from nncomp.bench.subjects import Subject
    from nncomp.cli.console import Console
    from nncomp.cli.options import Command

__all__ = ["bench"]

_METHODS = ("lz4", "zstd", "zipnn", "mix -1", "mix")
_FIRST_LOOK = (*_METHODS, "sep -1")  # 15 KB/s, which only small files are for


_FIRST_LOOK_SECONDS = 45.0  # a busy machine needs more, and some rows will say so

# --- what the options say ------------------------------------------------------------


@dataclass(frozen=True)
class Choice:
    """What is measured: files by path, or of a corpus, and who takes part."""

    files: tuple[str, ...]
    corpus: str | None
    folder: str | None
    methods: tuple[str, ...]
    peers: tuple[str, ...]
    dtype: str
    base: str | None

    @property
    def made_up(self) -> bool:
        """Whether the built-in files are measured."""
        from nncomp.bench import synthetic

        return self.corpus == synthetic.NAME or not (self.files or self.corpus)

    def check(self, seed: int | None, shown: str | None, kept: str | None) -> None:
        """Refuse what would make no difference.

        Raises:
            UsageError: A seed, and nothing made of it; a folder, and no corpus to look for in
                it; a choice, and nothing to measure since the record `shown` is shown.
        """
        if shown is not None and (kept is not None or any(vars(self).values())):
            raise UsageError(
                "--record shows an earlier run and measures nothing: leave out files, --corpus, "
                "-m, --peer, --dtype, --base and --resume"
            )
        if seed is not None and not self.made_up:
            raise UsageError("--seed makes the built-in files, which are not measured here")
        if self.folder is not None and self.corpus is None:
            raise UsageError("--corpus-dir says where --corpus NAME is kept, which is missing")

    def record(self, plan: Plan, kept: Path | None, console: Console) -> Record:
        """Measure it.

        Args:
            plan: How.
            kept: A file that has the record so far after each file, and is gone on with.
            console: Is told what goes on.
        """
        from nncomp.bench import contestants, records, synthetic
        from nncomp.bench.measure import measure

        small = not self.files and self.corpus is None
        if small and plan.seconds is None:
            plan = replace(plan, seconds=_FIRST_LOOK_SECONDS)
        if self.made_up:
            plan = replace(plan, seed=plan.seed or synthetic.SEED)
        chosen = contestants.methods(self.methods or (_FIRST_LOOK if small else _METHODS))
        others, missing = ([], {}) if self.peers == ("none",) else contestants.peers(self.peers)
        for name, install in missing.items():
            console.info(f"{name} is not on this machine; {install}")
        with (
            file_rules.unwind_on_signal(),  # workers and folders go before the process does
            self._subjects(plan, console) as subjects,
            console.status() as tell,
        ):
            return measure(
                subjects,
                [*others, *chosen],
                plan,
                missing=missing,
                arguments=sys.argv[2:],
                tell=tell,
                earlier=records.load(kept) if kept is not None and kept.exists() else None,
                keep=lambda record: None if kept is None else records.save(kept, record),
            )

    @contextmanager
    def _subjects(self, plan: Plan, console: Console) -> Iterator[list[Subject]]:
        from nncomp.bench import corpus, synthetic
        from nncomp.bench.subjects import Subject

        base = None if self.base is None else Path(self.base)
        with tempfile.TemporaryDirectory(prefix="nncomp-bench-") as folder:
            paths = {name: Path(name) for name in self.files}
            if self.corpus is not None and self.corpus != synthetic.NAME:
                found = corpus.manifest(self.corpus)
                where = Path(self.folder) if self.folder else corpus.cache()
                kept = corpus.fetch(found, where, console.info)
                paths |= {f"{found.name}/{path.name}": path for path in kept}
            elif self.made_up:
                made = synthetic.write(Path(folder), plan.seed or synthetic.SEED)
                paths |= {f"{synthetic.NAME}/{path.name}": path for path in made}
            yield [Subject.of(path, name, self.dtype, base) for name, path in paths.items()]


@dataclass(frozen=True)
class Display:
    """Where results go: a table in some format, and a plot and a page beside it."""

    format: str
    target: str | None
    plot: str | None
    page: str | None

    def check(self, kept: str | None, inputs: Iterable[str]) -> None:
        """Refuse now what would fail only after minutes of measuring, or cost an input.

        Args:
            kept: A file of a record that is kept beside.
            inputs: Files that are measured.
        """
        if self.plot is not None or self.page is not None:
            from nncomp.bench import plot

            plot.check(Path(self.plot) if self.plot is not None else None)
        for name in (self.target, self.plot, self.page, kept):
            if name is not None and not Path(name).parent.is_dir():
                raise UsageError(f"{name} cannot be written: there is no {Path(name).parent}")
            if name is not None and any(_is_same(name, each) for each in inputs):
                raise UsageError(f"{name} is measured, and would be overwritten")

    def show(self, record: Record) -> None:
        """Write all that was asked for."""
        from nncomp.bench import page, plot

        if self.plot is not None:
            plot.save(record, Path(self.plot))
        if self.page is not None:
            Path(self.page).write_text(page.as_html(record), encoding="utf-8")
        text = self._text(record).rstrip("\n")
        if self.target is None:
            click.echo(text)
        else:
            Path(self.target).write_text(f"{text}\n", encoding="utf-8")

    def _text(self, record: Record) -> str:
        from nncomp.bench import table

        if self.format == "json":
            return record.to_json()
        if self.format == "csv":
            return table.as_csv(record)
        if self.format == "markdown":
            return table.as_markdown(record)
        watched = self.target is None and sys.stdout.isatty()
        return table.as_text(record, width=_terminal_width() if watched else None)


def _is_same(output: str, path: str) -> bool:
    return Path(output).exists() and Path(output).samefile(path)


def _terminal_width() -> int:
    import shutil

    return shutil.get_terminal_size().columns


@dataclass(frozen=True)
class Gate:
    """What makes the command fail: conditions on a record next to an earlier one."""

    baseline: Record | None
    conditions: tuple[Condition, ...]
    reference: str | None

    @classmethod
    def of(cls, baseline: str | None, conditions: tuple[str, ...], reference: str | None) -> Gate:
        """Read what there is to read, before minutes of measuring."""
        from nncomp.bench import baseline as comparing
        from nncomp.bench import records

        if baseline is None and conditions:
            raise UsageError("--fail-if compares with an earlier record: --baseline says which")
        parsed = tuple(map(comparing.parse_condition, conditions))
        if baseline is None:
            if reference is not None:
                raise UsageError("--reference is for comparing speeds: --baseline says with what")
            return cls(None, parsed, reference)
        earlier = records.load(Path(baseline))
        comparing.check(earlier, parsed, reference)
        return cls(earlier, parsed, reference)

    def check(self, record: Record) -> int:
        """How many comparisons broke a condition; all of them are printed."""
        from nncomp.bench import baseline as comparing

        if self.baseline is None:
            return 0
        found = comparing.compare(self.baseline, record, self.conditions, self.reference)
        click.echo(comparing.as_text(found), err=True)
        return len(found)


# --- the command ---------------------------------------------------------------------

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
            + ", ".join(_METHODS),
        ),
        click.option(
            *("--peer", "peers"),
            multiple=True,
            metavar="PEER",
            help="zstd, xz, ..., programs with options if need be: 'zstd -19'. Again for more; "
            "'none' for none. Default: all that are found.",
        ),
        click.option("--corpus", metavar="NAME", help="Files by the name of their set."),
        click.option(
            *("--corpus-dir", "folder"), metavar="DIR", help="Where sets are kept.  [~/.cache]"
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

    KINDS: ClassVar = {"emb": "nncomp.cli.bench_emb:emb"}
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

    `nncomp bench emb DUMP...` measures embedding tables. (A file of that name is ./emb.)
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
