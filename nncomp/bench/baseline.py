"""A run next to an earlier one: what grew, what slowed down, what is gone.

A condition is a figure, `<` or `>`, and a factor: "size>1.001" is broken where something is
more than 1.001 times what it was. The figures:

    size                              of each method on each file
    memory                            the same; the larger one of both directions
    compress-speed, decompress-speed  of each method over all files, as a share of the speed of
                                      the reference method in the same run

Seconds of two runs say as much about two machines, or two hours, as about two programs; what
is left of that when both runs are divided by their reference is what can be compared.
Whatever the conditions, a row that fails, or is gone, breaks the comparison.
"""

from __future__ import annotations

import math
import re
from dataclasses import dataclass
from typing import TYPE_CHECKING, Literal, TypeAlias, cast, get_args

from nncomp.bench.records import WAYS
from nncomp.errors import UsageError
from nncomp.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

    from nncomp.bench.records import Input, Record, Row

__all__ = [
    "Comparison",
    "Condition",
    "Difference",
    "as_text",
    "check",
    "check_inputs",
    "compare",
    "parse_condition",
]

Figure: TypeAlias = Literal["size", "memory", "compress-speed", "decompress-speed"]

_SPEEDS = {f"{way}-speed": way for way in WAYS}
_NAMED_AT_MOST = 5


@dataclass(frozen=True)
class Condition:
    """What must not be: a figure more, or less, than so many times what it was."""

    figure: Figure
    sign: Literal["<", ">"]
    factor: float

    def broken(self, change: float) -> bool:
        """Whether a change, new over old, is what must not be."""
        return change > self.factor if self.sign == ">" else change < self.factor

    def __str__(self) -> str:
        return f"{self.figure}{self.sign}{self.factor:g}"


def parse_condition(text: str) -> Condition:
    """Read one, as in "size>1.001", "memory>1.2" or "compress-speed<0.8".

    Raises:
        UsageError: It says something else.
    """
    found = re.fullmatch(r"\s*([a-z-]+)\s*([<>])\s*([0-9.e+-]+)\s*", text)
    if found is None or found[1] not in get_args(Figure):
        raise UsageError(
            f"{text!r} is no condition. One is a figure ({', '.join(get_args(Figure))}), < or >, "
            "and a factor, as in 'size>1.001': fail when it is more than 1.001 times what it was"
        )
    try:
        factor = float(found[3])
    except ValueError:
        factor = math.nan
    if not 0 < factor < math.inf:
        raise UsageError(f"{text!r}: {found[3]!r} is no factor above 0. Try 1.001")
    return Condition(cast("Figure", found[1]), cast("Literal['<', '>']", found[2]), factor)


@dataclass(frozen=True)
class Difference:
    """One reason to fail.

    Attributes:
        file: Its name, or how many files it is about.
        method: Its name, or empty for all of them.
        text: What was, and what is.
        condition: Which one this breaks; None: it fails whatever the conditions are.
        change: New over old, if there are both.
    """

    file: str
    method: str
    text: str
    condition: Condition | None = None
    change: float | None = None

    def __str__(self) -> str:
        where = ": ".join(printable(name) for name in (self.file, self.method) if name)
        change = "" if self.change is None else f", {self.change:.4f} times as much"
        limit = "" if self.condition is None else f" ({self.condition})"
        return f"{where}: {printable(self.text)}{change}{limit}"


@dataclass(frozen=True)
class Comparison:
    """What came out; as long as there are reasons to fail.

    Attributes:
        differences: The reasons to fail.
        notes: What else to know.
    """

    differences: tuple[Difference, ...]
    notes: tuple[str, ...]

    def __len__(self) -> int:
        return len(self.differences)


def as_text(comparison: Comparison) -> str:
    """A line each: the reasons to fail, then what else to know."""
    count = plural(len(comparison), "reason")
    title = f"Next to the baseline: {count} to fail" if len(comparison) else "As in the baseline"
    lines = [f"  {difference}" for difference in comparison.differences]
    return "\n".join([title, *lines, *(f"  note: {printable(note)}" for note in comparison.notes)])


# --- before measuring ----------------------------------------------------------------


def check(baseline: Record, conditions: Sequence[Condition], reference: str | None) -> None:
    """Refuse now what would be refused after measuring.

    Raises:
        UsageError: Speeds have no reference, or the baseline has none of that name.
    """
    speeds = [condition for condition in conditions if condition.figure in _SPEEDS]
    if reference is None and speeds:
        raise UsageError(
            f"{speeds[0]} compares speeds, which only ratios allow: --reference names the "
            "method of the same run that they are divided by, such as memcpy"
        )
    if reference is not None:
        _require_method(baseline, reference, "the baseline")


def _require_method(record: Record, method: str, where: str) -> None:
    if method not in record.methods:
        names = ", ".join(map(printable, record.methods)) or "none"
        raise UsageError(f"{where} has no method {printable(method)!r} to refer to: it has {names}")


def check_inputs(baseline: Record, inputs: Sequence[Input]) -> None:
    """Refuse to compare what was made of different content.

    Raises:
        UsageError: A file has not the content that it had, or none was measured before.
    """
    before = {each.name: each for each in baseline.inputs}
    changed = [
        each.name
        for each in inputs
        if each.name in before
        and (each.size, each.sha256) != (before[each.name].size, before[each.name].sha256)
    ]
    if changed:
        raise UsageError(
            f"not the content that the baseline was measured on: {_names(changed)}. Bring that "
            "content back, or write a new baseline with --format json"
        )
    if not any(each.name in before for each in inputs):
        raise UsageError(
            f"no file is in the baseline, which has {_names(list(before))}. Files are compared "
            "by their names as they are given"
        )


def _names(names: Sequence[str]) -> str:
    """Some names, and how many more there are."""
    more = len(names) - _NAMED_AT_MOST
    text = ", ".join(map(printable, names[:_NAMED_AT_MOST])) or "none"
    return f"{text} and {more} more" if more > 0 else text


# --- comparing -----------------------------------------------------------------------


def compare(
    baseline: Record,
    record: Record,
    conditions: Sequence[Condition] = (),
    reference: str | None = None,
) -> Comparison:
    """Hold a run against an earlier one.

    Args:
        baseline: The earlier run.
        record: The later one.
        conditions: What must not be.
        reference: The method that speeds are divided by.

    Raises:
        UsageError: See `check` and `check_inputs`; or the reference is in one run only.
    """
    check(baseline, conditions, reference)
    check_inputs(baseline, record.inputs)
    if reference is not None:
        _require_method(record, reference, "this run")
    pair = _Pair(baseline, record)
    differences = [*pair.failures(), *pair.gone()]
    for condition in conditions:
        if condition.figure in _SPEEDS:
            differences += pair.speeds(condition, reference or "")
        else:
            differences += pair.figures(condition)
    return Comparison(tuple(differences), tuple(pair.notes()))


class _Pair:
    """Two runs, row by row."""

    def __init__(self, baseline: Record, record: Record) -> None:
        self._baseline, self._record = baseline, record
        self._old = {(row.file, row.method): row for row in baseline.rows}
        self._new = {(row.file, row.method): row for row in record.rows}
        self._both = [
            (self._old[key], row)
            for key, row in self._new.items()
            if key in self._old and row.problem is None and self._old[key].problem is None
        ]

    def failures(self) -> Iterator[Difference]:
        """Rows without a result, but those that time stopped as it did before."""
        for key, row in self._new.items():
            before = self._old.get(key)
            if row.problem is None or (row.stopped and (before is None or before.problem)):
                continue
            yield Difference(row.file, row.method, f"no figures: {' '.join(row.problem.split())}")

    def gone(self) -> Iterator[Difference]:
        """What was measured before and was not now; peers come and go with the machine."""
        files = {each.name for each in self._record.inputs}
        for each in self._baseline.inputs:
            if each.name not in files:
                yield Difference(each.name, "", "is in the baseline and was not measured")
        for (file, method), row in self._old.items():
            if file in files and (file, method) not in self._new and row.kind == "own":
                yield Difference(file, method, "is in the baseline and was not measured")

    def figures(self, condition: Condition) -> Iterator[Difference]:
        """Rows that break a condition on a figure of their own."""
        for old, new in self._both:
            before, now = (_figure(row, condition.figure) for row in (old, new))
            if before is None or now is None:
                continue
            change = now / before if before else math.inf if now else 1.0
            if condition.broken(change):
                text = f"{condition.figure} was {before:,} and is {now:,} bytes"
                yield Difference(new.file, new.method, text, condition, change)

    def speeds(self, condition: Condition, reference: str) -> Iterator[Difference]:
        """Methods that break a condition on their speed next to that of the reference."""
        way = _SPEEDS[condition.figure]
        measured = {(new.file, new.method) for _, new in self._both}
        methods = dict.fromkeys(new.method for _, new in self._both if new.kind != "memcpy")
        for method in methods:
            if method == reference:
                continue
            files = [
                each.name
                for each in self._record.inputs
                if {(each.name, method), (each.name, reference)} <= measured
            ]
            before, now = (
                _relative(rows, files, method, reference, way) for rows in (self._old, self._new)
            )
            if before is None or now is None:
                continue
            if condition.broken(now / before):
                text = f"{condition.figure} was {before:.4g} and is {now:.4g} times {reference}'s"
                yield Difference(plural(len(files), "file"), method, text, condition, now / before)

    def notes(self) -> Iterator[str]:
        """What no condition is about, and what makes a comparison less of one."""
        sizes = [(old.size or 0, new.size or 0) for old, new in self._both if new.kind == "own"]
        yield (
            f"sizes of nncomp's methods: {sum(old == new for old, new in sizes)} the same, "
            f"{sum(old < new for old, new in sizes)} larger, "
            f"{sum(old > new for old, new in sizes)} smaller"
        )
        yield from self._rows_of_one()
        for name in ("threads", "device", "seed"):
            pair = [record.settings.get(name) for record in (self._baseline, self._record)]
            if pair[0] != pair[1]:
                yield f"{name} was {pair[0]} and is {pair[1]}"
        for name in ("cpu", "cores"):
            pair = [record.machine.get(name) for record in (self._baseline, self._record)]
            if pair[0] != pair[1]:
                yield f"another machine: {name} was {pair[0]} and is {pair[1]}"
        versions = list(_changed(self._baseline.versions, self._record.versions))
        if versions:
            yield f"other versions: {', '.join(versions)}"

    def _rows_of_one(self) -> Iterator[str]:
        fresh = [
            f"{row.file}: {row.method}" for key, row in self._new.items() if key not in self._old
        ]
        if fresh:
            yield f"not in the baseline: {_names(fresh)}"
        gone = [row for key, row in self._old.items() if key not in self._new]
        peers = dict.fromkeys(row.method for row in gone if row.kind != "own")
        if peers:
            yield f"in the baseline only: {_names(list(peers))}"
        stopped = [f"{row.file}: {row.method}" for row in self._new.values() if row.stopped]
        if stopped:
            yield f"stopped before it ended: {_names(stopped)}"


def _figure(row: Row, figure: Figure) -> int | None:
    if figure == "size":
        return row.size
    known = [runs.memory for way in WAYS if (runs := row.runs(way)) and runs.memory is not None]
    return max(known, default=None)


def _relative(
    rows: Mapping[tuple[str, str], Row], files: Sequence[str], method: str, reference: str, way: str
) -> float | None:
    """How many times as fast as the reference a method is over the files; None: unknown."""
    taken = []
    for each in (reference, method):
        runs = [rows[file, each].runs(way) for file in files]
        taken.append(sum(run.seconds for run in runs if run))
        if not all(runs):
            return None
    return taken[0] / taken[1] if all(taken) else None


def _changed(before: Mapping[str, str], now: Mapping[str, str]) -> Iterator[str]:
    """Versions of what both runs know, where they differ."""
    for name in before:
        if name in now and before[name] != now[name]:
            yield f"{name} {before[name]} -> {now[name]}"
