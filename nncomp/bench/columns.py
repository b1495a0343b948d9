"""What is shown of a record, and in which words: the same for terminal, Markdown and page."""

from __future__ import annotations

import shlex
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, TypeAlias

from nncomp.bench.records import WAYS, totals
from nncomp.text import human_size, plural, printable

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nncomp.bench.records import Record, Row, Runs

__all__ = ["Column", "Group", "columns", "facts", "figure_text", "groups", "legend", "problem_text"]

Value: TypeAlias = float | int | str | None


@dataclass(frozen=True)
class Column:
    """A column of the tables.

    Attributes:
        title: Two lines at most.
        text: The cell.
        value: What to sort by; None where there is nothing.
        room: The smaller, the sooner it gives way in a narrow terminal; None: it stays.
        right: Whether cells end on the right, as numbers do.
        better: Which figures are the good ones, if any are.
    """

    title: str
    text: Callable[[Row], str]
    value: Callable[[Row], Value]
    room: int | None = None
    right: bool = True
    better: Literal["more", "less"] | None = None

    @property
    def one_line(self) -> str:
        """The title on one line: a word cut in two is joined."""
        return self.title.replace("/\n", "/").replace("\n", " ")


@dataclass(frozen=True)
class Group:
    """A table: the rows of one file, or of all files together."""

    title: str
    rows: tuple[Row, ...]

    def columns(self, shown: Iterable[Column]) -> list[Column]:
        """Those of the columns that something stands in: sums have no spread."""
        done = [row for row in self.rows if row.problem is None]
        return [
            column
            for column in shown
            if column.room is None or any(column.value(row) is not None for row in done)
        ]


def groups(record: Record) -> tuple[Group, ...]:
    """A table for each file and, of several files, one for all: that comes last.

    The smallest comes first, plain copying after them, what has no result at the end.
    """
    by_file: dict[str, list[Row]] = {each.name: [] for each in record.inputs}
    for row in sorted(record.rows, key=_rank):
        by_file[row.file].append(row)
    found = [
        Group(f"{printable(each.name)}: {each.size:,} bytes", tuple(by_file[each.name]))
        for each in record.inputs
    ]
    if len(found) > 1:
        size = sum(each.size for each in record.inputs)
        title = f"All {plural(len(found), 'file')}: {size:,} bytes"
        found.append(Group(title, tuple(sorted(totals(record), key=_rank))))
    return tuple(found)


def _rank(row: Row) -> tuple[bool, bool, int]:
    return row.problem is not None, row.kind == "memcpy", row.size or 0


def columns(record: Record) -> tuple[Column, ...]:
    """Those that this record has something to show in."""
    measured = [runs for row in record.rows for way in WAYS if (runs := row.runs(way))]
    found = [
        Column("method", lambda row: printable(row.method), lambda row: row.method, right=False),
        Column("size", lambda row: _count(row.size), lambda row: row.size, better="less"),
        Column("ratio", lambda row: _decimals(row.ratio), lambda row: row.ratio, better="more"),
        Column(
            "bits/\nbyte",
            lambda row: _decimals(row.bits_per_byte),
            lambda row: row.bits_per_byte,
            room=1,
            better="less",
        ),
    ]
    for way in WAYS:
        found.append(_speed(way))
        if any(len(runs.wall) > 1 for runs in measured):
            found.append(_spread(way))
    if any(runs.memory is not None for runs in measured):
        found += [_memory(way) for way in WAYS]
    if any(runs.gpu_memory is not None for runs in measured):
        found.append(_sized("GPU\nmemory", _gpu_memory, room=3))
    if any(row.weights for row in record.rows):
        found.append(_sized("weights\nnot in size", lambda row: row.weights or None, room=5))
    found.append(Column("verified", _verified, _verified, room=4, right=False))
    return tuple(found)


def _speed(way: str) -> Column:
    return Column(
        f"{way}\nMB/s",
        lambda row: figure_text(row.speed(way)),
        lambda row: row.speed(way),
        better="more",
    )


def _spread(way: str) -> Column:
    """Of the column before it: its title is a mark."""

    def value(row: Row) -> float | None:
        runs = row.runs(way)
        return runs.spread if runs and len(runs.wall) > 1 else None

    def text(row: Row) -> str:
        share = value(row)
        return "" if share is None else f"±{100 * share:.0f}%"

    return Column("±", text, value, room=2)


def _memory(way: str) -> Column:
    return _sized(f"{way}\nmemory", lambda row: _of(row.runs(way)), room=6)


def _of(runs: Runs | None) -> int | None:
    return runs.memory if runs else None


def _gpu_memory(row: Row) -> int | None:
    """The larger of both ways."""
    known = [
        runs.gpu_memory
        for way in WAYS
        if (runs := row.runs(way)) is not None and runs.gpu_memory is not None
    ]
    return max(known, default=None)


def _sized(title: str, value: Callable[[Row], int | None], room: int) -> Column:
    def text(row: Row) -> str:
        size = value(row)
        return "-" if size is None else human_size(size)

    return Column(title, text, value, room, better="less")


def _verified(row: Row) -> str:
    return "yes" if row.verified else "no"


def _count(value: int | None) -> str:
    return "-" if value is None else f"{value:,}"


def _decimals(value: float | None) -> str:
    return "-" if value is None else f"{value:.3f}"


def problem_text(row: Row) -> str:
    """Why there are no figures, on one line."""
    return "no figures: " + printable(" ".join((row.problem or "").split()))


def figure_text(value: float | None) -> str:
    """A speed in three digits, or all those before the point."""
    if value is None:
        return "-"
    for limit, digits in ((0.1, 4), (1, 3), (10, 2), (100, 1)):
        if value < limit:
            return f"{value:.{digits}f}"
    return f"{value:,.0f}"


def legend(record: Record, shown: Iterable[Column]) -> tuple[str, ...]:
    """What the titles of the columns do not say."""
    found = [
        "ratio: original size / compressed size, larger is better",
        "MB/s: millions of bytes of the original per second by the clock, median of all runs",
    ]
    titles = [column.title for column in shown]
    if "±" in titles:
        found.append("±: half the distance from the fastest to the slowest run, of the median")
    if any("memory" in title for title in titles):
        found.append("memory: largest resident set of the process that did the work")
    if any("weights" in title for title in titles):
        found.append("weights: shipped with nncomp, needed to decode, not counted in size")
    if "verified" in titles:
        found.append(
            "verified: what every run decoded is the original, compared outside the timing"
        )
    if any(row.kind == "memcpy" for row in record.rows):
        found.append("memcpy: plain copying, the bound of any speed")
    return tuple(found)


def facts(record: Record) -> tuple[tuple[str, str], ...]:
    """Where, when, how and with what it was measured, as pairs of a word and its text."""
    pairs = [
        ("measured", printable(record.date)),
        ("machine", _machine(record)),
        ("versions", _listed(record.versions.items())),
        ("settings", _listed(record.settings.items())),
        ("environment", _listed(record.environment.items(), sign="=")),
        ("command", printable(" ".join(["nncomp bench", *map(shlex.quote, record.arguments)]))),
        ("not found", "; ".join(_missing(record))),
    ]
    return tuple((name, text) for name, text in pairs if text)


_MACHINE = {"cores": "{} cores", "memory_gib": "{} GiB", "load_at_start": "load {} at the start"}


def _machine(record: Record) -> str:
    known = [(name, value) for name, value in record.machine.items() if value not in (None, "")]
    texts = [_MACHINE.get(name, "{}").format(_scalar(value)) for name, value in known]
    return printable(", ".join(texts))


def _missing(record: Record) -> list[str]:
    return [printable(f"{peer} ({how})") for peer, how in record.missing.items()]


def _listed(pairs: Iterable[tuple[str, Any]], sign: str = " ") -> str:
    known = [(name, value) for name, value in pairs if value is not None]
    return printable(", ".join(f"{name}{sign}{_scalar(value)}" for name, value in known))


def _scalar(value: object) -> str:
    """A value of the record; floats are shortened, not rounded to nothing."""
    return f"{value:.4g}" if isinstance(value, float) else str(value)
