"""A record as one page: sortable tables, pictures, and where it was measured.

Nothing is loaded from anywhere: style, script and pictures are in the page, and its content
security policy lets only these run. Names and errors come from outside, and are escaped.
"""

from __future__ import annotations

import base64
import hashlib
import re
from html import escape
from importlib import resources
from typing import TYPE_CHECKING

from nncomp.bench.columns import columns, facts, groups, legend, problem_text
from nncomp.bench.plot import COLOURS, as_svg, check
from nncomp.bench.records import WAYS
from nncomp.errors import UsageError
from nncomp.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Sequence

    from nncomp.bench.columns import Column, Group
    from nncomp.bench.records import Record, Row

__all__ = ["as_html"]


def as_html(record: Record) -> str:
    """The whole page; without matplotlib it says so in place of the pictures."""
    title = _title(record)
    style, script = _resource("page.css"), _resource("page.js")
    parts = [
        "<!DOCTYPE html>",
        '<html lang="en">',
        "<head>",
        '<meta charset="utf-8">',
        f'<meta http-equiv="Content-Security-Policy" content="{_policy(script)}">',
        '<meta name="viewport" content="width=device-width, initial-scale=1">',
        f"<title>{escape(title)}</title>",
        f"<style>{style}</style>",
        "</head>",
        "<body>",
        "<header>",
        f"<h1>{escape(title)}</h1>",
        f'<p class="quiet">{escape(_subtitle(record))}</p>',
        "</header>",
        "<main>",
        *_body(record),
        "</main>",
        f"<script>{script}</script>",
        "</body>",
        "</html>",
    ]
    return "\n".join(parts) + "\n"


def _resource(name: str) -> str:
    return resources.files("nncomp.bench").joinpath(name).read_text(encoding="utf-8")


def _policy(script: str) -> str:
    """Nothing may be loaded, and of scripts only ours may run, by its digest."""
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    rules = (
        "default-src 'none'",
        "style-src 'unsafe-inline'",  # pictures have their colours in style attributes
        f"script-src 'sha256-{digest}'",
        "base-uri 'none'",
        "form-action 'none'",
    )
    return "; ".join(rules)


def _title(record: Record) -> str:
    if len(record.inputs) == 1:
        return f"nncomp bench: {printable(record.inputs[0].name)}"
    return f"nncomp bench: {plural(len(record.inputs), 'file')}"


def _subtitle(record: Record) -> str:
    where = printable(str(record.machine.get("cpu", "")))
    count = plural(len(record.methods), "method")
    return ", ".join(filter(None, (count, where, printable(record.date))))


def _body(record: Record) -> Iterator[str]:
    shown, found = columns(record), groups(record)
    yield '<section aria-label="Ratio against speed">'
    yield from _plots(record)
    yield "</section>"
    yield _FILTER
    files = [each.name for each in record.inputs]
    if len(found) > len(files):  # all files together come first: a page is read from its top
        yield from _section(found[-1], shown, None)
    for group, file in zip(found, files, strict=False):
        yield from _section(group, shown, printable(file))
    yield "<section>"
    yield "<h2>What the columns say</h2>"
    yield _list(legend(record, shown))
    yield "<h2>How it was measured</h2>"
    yield "<dl>"
    yield from (f"<dt>{escape(name)}</dt><dd>{escape(text)}</dd>" for name, text in facts(record))
    yield "</dl>"
    yield "<h2>Files</h2>"
    yield from _inputs(record)
    yield "</section>"


_FILTER = """<div class="filter" role="search" hidden>
<label>File <input type="search" placeholder="all" autocomplete="off"></label>
<label>Method <input type="search" placeholder="all" autocomplete="off"></label>
<output aria-live="polite" class="quiet"></output>
</div>"""


# --- pictures ------------------------------------------------------------------------


def _plots(record: Record) -> Iterator[str]:
    try:
        check()
    except UsageError as error:
        yield f'<p class="quiet">No pictures: {escape(str(error))}</p>'
        return
    yield '<div class="plots">'
    for way in WAYS:
        yield f"<figure>{_inline(as_svg(record, way), way)}</figure>"
    yield "</div>"


def _inline(svg: str, way: str) -> str:
    """A picture as part of a page: its size and colours are the page's, its names its own."""
    svg = svg[svg.index("<svg") :]
    svg = re.sub(r"<metadata>.*?</metadata>|<style .*?</style>", "", svg, flags=re.DOTALL)
    svg = re.sub(r' (width|height)="[0-9.]+pt"', "", svg, count=2)
    for name, colour in COLOURS.items():
        svg = re.sub(rf"(fill|stroke): {colour}", rf"\1: var(--{name})", svg)
    svg = re.sub(r'( id="|url\(#|href="#)', rf"\1{way}-", svg)
    label = f'role="img" aria-label="{way}ion: ratio against speed; the tables have the figures"'
    return svg.replace("<svg", f"<svg {label}", 1)


# --- tables --------------------------------------------------------------------------


def _section(group: Group, shown: Sequence[Column], file: str | None) -> Iterator[str]:
    """A table with its title; `file` is what the filter looks at."""
    shown = group.columns(shown)
    title = escape(group.title)
    data = "" if file is None else f' data-file="{escape(file)}"'
    yield f"<section data-table{data}>"
    yield f"<h2>{title}</h2>"
    yield f'<div class="scroll" role="region" tabindex="0" aria-label="{title}">'
    yield f"<table><caption>{title}</caption>"
    yield f"<thead><tr>{''.join(map(_heading, shown))}</tr></thead>"
    yield "<tbody>"
    best = [_best(column, group.rows) for column in shown]
    yield from (_row(row, shown, best) for row in group.rows)
    yield "</tbody></table></div></section>"


def _heading(column: Column) -> str:
    words = "" if column.right else ' class="words"'
    first = "ascending" if column.better != "more" else "descending"
    return (
        f'<th scope="col"{words} data-first="{first}">'
        f'<button type="button">{escape(column.title)}</button></th>'
    )


def _best(column: Column, rows: Iterable[Row]) -> object:
    """The value to make stand out: that of the best, copying apart, if there are several."""
    values = [
        value
        for row in rows
        if row.problem is None
        and row.kind != "memcpy"
        and isinstance(value := column.value(row), (int, float))
    ]
    if len(values) < 2 or column.better is None:
        return None
    return max(values) if column.better == "more" else min(values)


def _row(row: Row, shown: Sequence[Column], best: Sequence[object]) -> str:
    """The first cell is the heading of its row; what failed says why in place of figures."""
    kind = row.kind if row.kind in ("own", "memcpy") else "peer"
    name = printable(row.method)
    head = f'<th scope="row" data-value="{escape(name)}">{escape(name)}</th>'
    if row.problem is not None:
        reason = f'<td class="reason" colspan="{len(shown) - 1}">{escape(problem_text(row))}</td>'
        return f'<tr class="{kind} failed">{head}{reason}</tr>'
    cells = (_cell(column, row, good) for column, good in zip(shown[1:], best[1:], strict=True))
    return f'<tr class="{kind}">{head}{"".join(cells)}</tr>'


def _cell(column: Column, row: Row, best: object) -> str:
    value = column.value(row)
    names = ["words"] * (not column.right) + ["best"] * (best is not None and value == best)
    classes = f' class="{" ".join(names)}"' if names else ""
    data = "" if value is None else f' data-value="{escape(str(value))}"'
    return f"<td{classes}{data}>{escape(column.text(row))}</td>"


def _list(lines: Iterable[str]) -> str:
    return f"<ul>{''.join(f'<li>{escape(line)}</li>' for line in lines)}</ul>"


def _inputs(record: Record) -> Iterator[str]:
    yield '<div class="scroll" role="region" tabindex="0" aria-label="Files"><table class="plain">'
    yield '<thead><tr><th class="words" scope="col">file</th><th scope="col">bytes</th>'
    yield '<th class="words" scope="col">SHA-256</th></tr></thead><tbody>'
    for each in record.inputs:
        yield (
            f"<tr><td>{escape(printable(each.name))}</td><td>{each.size:,}</td>"
            f'<td class="digest">{escape(printable(each.sha256))}</td></tr>'
        )
    yield "</tbody></table></div>"
