"""Tables of committed records, in Markdown: whatever a document shows is made here."""

from __future__ import annotations

from dataclasses import replace
from statistics import median
from typing import TYPE_CHECKING

from common import markdown_table

from nncomp.bench.columns import facts, figure_text
from nncomp.bench.records import WAYS, totals
from nncomp.text import human_size, plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable

    from nncomp.bench.records import Input, Record, Row

LARGE = 100_000  # bytes; files above count in the totals
CORPUS = "canterbury/"  # files that are summed on their own, since many are small


# --- parts ---------------------------------------------------------------------------


def place(record: Record) -> str:
    """One paragraph under a table: how, where, when and with what it was measured."""
    known = dict(facts(record))
    how = record.extras.get("how", "nncomp and libraries ran in memory, programs as commands")
    threads = plural(record.settings["threads"], "thread")
    return (
        f"{how}. {_rounds(record)}, {threads}, taking turns. {known['machine']}; "
        f"{record.date[:10]}; {known['versions']}."
    )


def _rounds(record: Record) -> str:
    counts = {len(runs.wall) for row in record.rows for way in WAYS if (runs := row.runs(way))}
    if counts <= {1}:
        return "One run each"
    least, most = min(counts), max(counts)
    return f"Medians of {least if least == most else f'{least} to {most}'} runs"


def _part(record: Record, wanted: Callable[[Input], bool]) -> Record:
    """Some of the files."""
    inputs = tuple(filter(wanted, record.inputs))
    names = {each.name for each in inputs}
    return replace(record, inputs=inputs, rows=tuple(r for r in record.rows if r.file in names))


def _large(each: Input) -> bool:
    return each.size > LARGE


def _in_corpus(each: Input) -> bool:
    return each.name.startswith(CORPUS)


def _ours(record: Record) -> str:
    """The method of ours that the others are compared with: the first one."""
    return next(row.method for row in record.rows if row.kind == "own")


def _strongest(found: Iterable[Row]) -> str | None:
    """The peer with the smallest total."""
    peers = [row for row in found if row.kind in ("program", "library") and row.problem is None]
    best = min(peers, key=lambda row: row.size or 0, default=None)
    return best and best.method


def _above(size: int | None, other: int | None, digits: int = 1) -> str:
    return "-" if size is None or not other else f"{100 * (size / other - 1):+.{digits}f}%"


def _count(row: Row | None) -> str:
    return "-" if row is None or row.problem or row.size is None else f"{row.size:,}"


def _speeds(row: Row) -> list[str]:
    """Millions of bytes in a second of processors, each way: other work slows a clock more."""
    used = [runs.cpu_seconds if (runs := row.runs(way)) else 0.0 for way in WAYS]
    return [figure_text(row.raw_size / 1e6 / each if each else None) for each in used]


def _memory(row: Row) -> str:
    known = [runs.memory for way in WAYS if (runs := row.runs(way)) and runs.memory is not None]
    return human_size(max(known)) if known else "-"


def _failures(found: Iterable[Row]) -> str:
    lines = [f"\n- `{row.method}`: {row.problem}" for row in found if row.problem]
    return "\n" + "".join(lines) if lines else ""


# --- files ---------------------------------------------------------------------------


def methods(record: Record) -> str:
    """A row for each method, over all files of the record, the smallest first."""
    return _methods(record, record, None)


def large_and_corpus(record: Record) -> str:
    """A row for each method: the files above 100 KB, and a corpus that has small ones, too."""
    return _methods(record, _part(record, _large), _part(record, _in_corpus))


def _methods(record: Record, main: Record, beside: Record | None) -> str:
    found = sorted(totals(main), key=lambda row: (row.kind == "memcpy", row.size or 0))
    there = [row for row in found if row.problem is None]
    others = {row.method: row for row in totals(beside)} if beside else {}
    with_memory = any(_memory(row) != "-" for row in there)
    reference = _strongest(there)
    strongest = next((row.size for row in there if row.method == reference), None)
    several = f"{plural(len(main.inputs), 'file')}" + (" above 100 KB" if beside else "")
    headings = ["method", several if len(main.inputs) > 1 else main.inputs[0].name, "ratio"]
    headings += [f"to `{reference}`"] if reference else []
    headings += [f"{len(beside.inputs)} of Canterbury"] if beside else []
    headings += [f"{way}, MB/cpu s" for way in WAYS] + ["memory"] * with_memory
    rows = []
    for row in there:
        cells = [f"`{row.method}`", _count(row), f"{row.ratio:.3f}" if row.ratio else "-"]
        cells += [_above(row.size, strongest if row.kind != "memcpy" else None)] * bool(reference)
        cells += [_count(others.get(row.method))] if beside else []
        rows.append([*cells, *_speeds(row), *([_memory(row)] * with_memory)])
    note = "MB/cpu s: millions of bytes of the original in a second of processors. "
    note += "Memory: resident at most, of the process that works, in either way. " * with_memory
    return f"{markdown_table(headings, rows)}{_failures(found)}\n\n{note}{place(record)}"


def folders(record: Record) -> str:
    """A row for each folder of the large files: ours next to the strongest peer of all of them."""
    large = _part(record, _large)
    ours, peer = _ours(record), _strongest(totals(large))
    headings = ["kind", "files", "bytes", f"`{ours}`", f"`{peer}`", "difference"]
    headings += ["smallest of the others", "its size"]
    rows = []
    for folder in dict.fromkeys(each.name.split("/")[0] for each in large.inputs):
        part = _part(large, lambda each, folder=folder: each.name.startswith(f"{folder}/"))
        found = {row.method: row for row in totals(part)}
        best = _strongest(found.values())
        cells = [folder, str(len(part.inputs)), f"{sum(each.size for each in part.inputs):,}"]
        cells += [_count(found.get(ours)), _count(found.get(peer or ""))]
        cells.append(_above(found[ours].size, found[peer].size) if peer else "-")
        rows.append([*cells, f"`{best}`" if best else "-", _count(found.get(best or ""))])
    if len([row for row in totals(large) if row.kind in ("program", "library")]) == 1:
        headings, rows = headings[:-2], [row[:-2] for row in rows]
    return markdown_table(headings, rows)


def files(record: Record) -> str:
    """A row for each file, a column for each method, the smallest in bold."""
    names = [name for name in record.methods if name != "memcpy"]
    rows = []
    for each in record.inputs:
        found = {row.method: row for row in record.rows if row.file == each.name}
        sizes = [row.size for row in found.values() if row.problem is None and row.kind != "memcpy"]
        best = min(filter(None, sizes), default=None)
        cells = [_marked(_count(found.get(name)), found, name, best) for name in names]
        rows.append([each.name, f"{each.size:,}", *cells])
    return markdown_table(["file", "bytes", *(f"`{name}`" for name in names)], rows)


def _marked(text: str, found: dict[str, Row], name: str, best: int | None) -> str:
    return f"**{text}**" if name in found and found[name].size == best else text


# --- numbers -------------------------------------------------------------------------


def numbers(record: Record) -> str:
    """Sizes in percent of the original, and how many times faster than zipnn nncomp is."""
    names = [name for name in record.methods if name != "memcpy"]
    ours, theirs = _ours(record), "zipnn"
    clocks = ["cpu"] if record.settings["threads"] == 1 else ["cpu", "wall"]
    ratios = [(way, clock) for way in WAYS for clock in clocks] if theirs in names else []
    limits = record.extras.get("order0", {})
    headings = ["data", "bytes", "order-0 %", f"`{ours}` %", "above order-0"]
    headings += [f"{name} %" for name in names if name != ours]
    headings += [f"{way}, {clock}" for way, clock in ratios]
    rows = []
    for each in record.inputs:
        found = {row.method: row for row in record.rows if row.file == each.name}
        row, limit = found[ours], limits.get(each.name)
        cells = [each.name, f"{each.size:,}", *_limit(row, limit)]
        cells += [_percent(found[name]) for name in names if name != ours]
        cells += [_times_faster(row, found[theirs], *ratio) for ratio in ratios]
        rows.append(cells)
    return f"{markdown_table(headings, rows)}\n\n{_told(record, ours, bool(ratios))}"


def _told(record: Record, ours: str, faster: bool) -> str:
    text = f"Sizes in % of the original, `{ours}` in points above the order-0 limit"
    if faster:
        text += "; times faster than zipnn"
    compiled = f"In memory, compiled kernels {record.extras.get('compiled', 'on')}"
    return f"{text}. {place(replace(record, extras={**record.extras, 'how': compiled}))}"


def _percent(row: Row) -> str:
    if row.problem or row.size is None:
        return "failed"
    return f"{100 * row.size / row.raw_size:.2f}"


def _limit(row: Row, limit: int | None) -> list[str]:
    """The limit, our size, and how far it is above."""
    if limit is None or row.size is None:
        return ["-", _percent(row), "-"]
    above = 100 * (row.size - limit) / row.raw_size
    return [f"{100 * limit / row.raw_size:.2f}", _percent(row), f"{above:+.2f}"]


def _times_faster(ours: Row, theirs: Row, way: str, clock: str) -> str:
    one, other = ours.runs(way), theirs.runs(way)
    if one is None or other is None or ours.problem or theirs.problem:
        return "-"
    return f"{median(getattr(other, clock)) / median(getattr(one, clock)):.2f}"


KINDS: dict[str, Callable[[Record], str]] = {
    "methods": methods,
    "large and corpus": large_and_corpus,
    "folders": folders,
    "files": files,
    "numbers": numbers,
}
"""By the words that stand behind the name of a record in a document."""
