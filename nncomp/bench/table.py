"""A record as text: for a terminal, for a Markdown document, and for a spreadsheet."""

from __future__ import annotations

import csv
import io
import re
import textwrap
from typing import TYPE_CHECKING

from nncomp.bench.columns import columns, facts, groups, legend, problem_text
from nncomp.bench.records import WAYS
from nncomp.text import aligned, columns_taken, plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from nncomp.bench.columns import Column, Group
    from nncomp.bench.records import Record, Row

__all__ = ["as_csv", "as_markdown", "as_text"]

_TABLES_AT_MOST = 6  # files; of more, a terminal shows the ratios alone, and the totals in full


# --- terminal ------------------------------------------------------------------------


def as_text(record: Record, *, width: int | None = None) -> str:
    """Aligned tables: each file, then all files together, then how it was measured.

    Of many files there is one table of ratios, a row each, in place of a table each.

    Args:
        record: What was measured.
        width: Columns of the terminal; what does not fit is left out, and named. None: no
            bound.
    """
    found = groups(record)
    there = columns(record)
    shown = _fitting(found, there, width)
    parts = []
    if len(record.inputs) > _TABLES_AT_MOST:
        parts.append(_overview(record, found, width))
        found = found[-1:]
    parts += [_table(group, shown, width) for group in found]
    notes = list(legend(record, shown))
    left_out = [each.one_line for each in there if each not in shown]
    if left_out:
        names = ", ".join(dict.fromkeys(left_out))
        notes.append(f"no room here, but in any other --format, for: {names}")
    parts.append("\n".join(_wrapped(note, width, 2) for note in notes))
    lines = aligned([list(pair) for pair in facts(record)], set())
    parts.append("\n".join(_wrapped(line, width, 4) for line in lines))
    return "\n\n".join(parts)


def _fitting(
    found: Sequence[Group], all_columns: Sequence[Column], width: int | None
) -> Sequence[Column]:
    """The columns, the same in all tables, that the terminal has room for."""
    shown = list(all_columns)
    while width is not None and any(
        columns_taken(line) > width for group in found for line in _lines(group, shown)
    ):
        least = min((column.room for column in shown if column.room is not None), default=None)
        if least is None:
            break
        shown = [column for column in shown if column.room != least]
    return shown


def _table(group: Group, shown: Sequence[Column], width: int | None) -> str:
    lines = [group.title, *_lines(group, shown)]
    return "\n".join([*lines, *(_cut(line, width) for line in _failures(group))])


def _wrapped(line: str, width: int | None, indent: int) -> str:
    if width is None:
        return line
    return textwrap.fill(line, max(width, 20), subsequent_indent=" " * indent)


def _lines(group: Group, shown: Sequence[Column]) -> list[str]:
    """Titles, which end on the line above the figures, and the rows with figures."""
    shown = group.columns(shown)
    titles = [column.title.split("\n") for column in shown]
    first = [title[0] if len(title) > 1 else "" for title in titles]
    rows = [[column.text(row) for column in shown] for row in group.rows if row.problem is None]
    right = {i for i, column in enumerate(shown) if column.right}
    return aligned([first, [title[-1] for title in titles], *rows], right)


def _failures(group: Group) -> list[str]:
    failed = [[printable(row.method), problem_text(row)] for row in group.rows if row.problem]
    return aligned(failed, set()) if failed else []


def _cut(line: str, width: int | None) -> str:
    if width is None or columns_taken(line) <= width:
        return line
    while columns_taken(line) > max(width - 3, 0):
        line = line[:-1]
    return line + "..."


def _overview(record: Record, found: Sequence[Group], width: int | None) -> str:
    """Ratios, a row for each file, a column for each method; in parts where they do not fit."""
    methods = [row.method for row in found[-1].rows]
    ratios = {(row.file, row.method): row.ratio for row in record.rows if row.problem is None}
    names = [_cut(printable(each.name), 32) for each in record.inputs]
    titles = [f"[{i}] " for i in range(1, len(methods) + 1)]
    rows = [_ratios(ratios, each.name, methods) for each in record.inputs]
    cell = max(len(text) for row in [titles, *rows] for text in row) + 2
    room = (width or 10**6) - max(map(columns_taken, names))
    step = max(room // cell, 1)
    parts = []
    for start in range(0, len(methods), step):
        part = slice(start, start + step)
        table = [["file", *titles[part]]]
        table += [[name, *row[part]] for name, row in zip(names, rows, strict=True)]
        parts.append("\n".join(aligned(table, set(range(1, len(table[0]))))))
    key = [f"[{i}] {printable(method)}" for i, method in enumerate(methods, start=1)]
    heading = f"Ratios of {plural(len(names), 'file')} (*: the largest of a file, x: no figures)"
    return "\n\n".join([heading, *parts, "\n".join(key), *_failed_rows(found[:-1], width)])


def _ratios(
    ratios: dict[tuple[str, str], float | None], file: str, methods: Sequence[str]
) -> list[str]:
    best = max((ratios.get((file, method)) or 0.0 for method in methods), default=0.0)

    def text(method: str) -> str:
        if (file, method) not in ratios:
            return "x "
        ratio = ratios[file, method]
        return "- " if ratio is None else f"{ratio:.3f}" + ("*" if ratio == best else " ")

    return [text(method) for method in methods]


def _failed_rows(found: Sequence[Group], width: int | None) -> Iterator[str]:
    rows = [row for group in found for row in group.rows if row.problem]
    if rows:
        table = [[printable(row.file), printable(row.method), problem_text(row)] for row in rows]
        yield "\n".join(_cut(line, width) for line in aligned(table, set()))


# --- Markdown ------------------------------------------------------------------------


def as_markdown(record: Record) -> str:
    """The same tables, all of them, for a document."""
    shown = columns(record)
    parts = [_markdown_table(group, shown) for group in groups(record)]
    parts.append("\n".join(f"- {_escaped(line)}" for line in legend(record, shown)))
    parts.append("\n".join(f"- **{name}:** {_escaped(text)}" for name, text in facts(record)))
    return "\n\n".join(parts)


def _markdown_table(group: Group, shown: Sequence[Column]) -> str:
    shown = group.columns(shown)
    lines = [
        f"**{_escaped(group.title)}**",
        "",
        _markdown_row([column.one_line for column in shown]),
        _markdown_row(["---:" if column.right else "---" for column in shown]),
    ]
    lines += [
        _markdown_row([_escaped(column.text(row)) for column in shown])
        for row in group.rows
        if row.problem is None
    ]
    failed = [row for row in group.rows if row.problem]
    lines += [""] * bool(failed)
    lines += [f"- {_escaped(f'{printable(row.method)}: {problem_text(row)}')}" for row in failed]
    return "\n".join(lines)


def _markdown_row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"


def _escaped(text: str) -> str:
    return re.sub(r"([\\`*_\[\]<>|~&#$])", r"\\\1", text)


# --- CSV -----------------------------------------------------------------------------


def as_csv(record: Record) -> str:
    """Every row with plain numbers, in the order in which they were measured."""
    text = io.StringIO()
    writer = csv.writer(text, lineterminator="\n")
    for i, row in enumerate(record.rows):
        fields = _fields(row)
        if i == 0:
            writer.writerow(fields)
        writer.writerow(fields.values())
    return text.getvalue()


def _fields(row: Row) -> dict[str, object]:
    """Cells by their titles; what is not known is empty."""
    fields: dict[str, object] = {
        "file": printable(row.file),
        "method": printable(row.method),
        "kind": row.kind,
        "original_bytes": row.raw_size,
        "compressed_bytes": row.size,
        "ratio_original_over_compressed": row.ratio,
        "bits_per_byte": row.bits_per_byte,
        "weights_bytes": row.weights,
    }
    for way in WAYS:
        runs = row.runs(way)
        fields |= {
            f"{way}_MB_per_s": row.speed(way),
            f"{way}_seconds_median": runs and runs.seconds,
            f"{way}_spread_of_median": runs and runs.spread,
            f"{way}_cpu_seconds_median": runs and runs.cpu_seconds,
            f"{way}_runs": len(runs.wall) if runs else 0,
            f"{way}_memory_bytes": runs and runs.memory,
            f"{way}_gpu_memory_bytes": runs and runs.gpu_memory,
        }
    error = None if row.problem is None else printable(row.problem)
    return fields | {"verified": int(row.verified), "error": error}
