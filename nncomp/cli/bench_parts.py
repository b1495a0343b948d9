"""What the options of `nncomp bench` stand for: what is measured, shown, and held against."""

from __future__ import annotations

import sys
import tempfile
from contextlib import contextmanager
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nncomp import files as file_rules
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nncomp.bench.baseline import Condition
    from nncomp.bench.measure import Plan
    from nncomp.bench.records import Record
    from nncomp.bench.subjects import Subject
    from nncomp.cli.console import Console

__all__ = ["METHODS", "Choice", "Display", "Gate"]

METHODS = ("lz4", "zstd", "zipnn", "mix -1", "mix")
"""Those that are measured where nobody says which; `sep` takes too long for most files."""
_FIRST_LOOK_SECONDS = 45.0  # a busy machine needs more, and some rows will say so


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
        chosen = contestants.methods(self.methods or METHODS)
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
        """Write all that was asked for, what needs other libraries last."""
        from nncomp.bench import page, plot

        text = self._text(record).rstrip("\n")
        if self.target is None:
            click.echo(text)
        else:
            Path(self.target).write_text(f"{text}\n", encoding="utf-8")
        if self.plot is not None:
            plot.save(record, Path(self.plot))
        if self.page is not None:
            Path(self.page).write_text(page.as_html(record), encoding="utf-8")

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
