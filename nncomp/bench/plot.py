"""Ratio against speed as a picture: the further up and to the right, the better."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

from nncomp.bench.records import WAYS, totals
from nncomp.errors import UsageError
from nncomp.text import plural, printable

if TYPE_CHECKING:
    from collections.abc import Sequence
    from pathlib import Path

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure
    from matplotlib.text import Text

    from nncomp.bench.records import Kind, Record, Row

__all__ = [
    "COLOURS",
    "FORMATS",
    "SETTINGS",
    "as_svg",
    "check",
    "figure",
    "metadata",
    "pareto",
    "save",
]

FORMATS = (".svg", ".png")

COLOURS = {"ink": "#333336", "own": "#d55e00", "peer": "#0072b2"}
"""Of Okabe and Ito, told apart by colour-blind people, too; the shapes differ as well."""

_TITLES = {"compress": "Compression", "decompress": "Decompression"}
SETTINGS: dict[Any, Any] = {  # names of settings are a type of their own in some versions
    "svg.fonttype": "none",  # text stays text
    "svg.hashsalt": "nncomp",  # the same record gives the same file
    "font.size": 9,
    "axes.spines.top": False,
    "axes.spines.right": False,
    "axes.edgecolor": COLOURS["ink"],
    "axes.labelcolor": COLOURS["ink"],
    "text.color": COLOURS["ink"],
    "xtick.color": COLOURS["ink"],
    "ytick.color": COLOURS["ink"],
}


@dataclass(frozen=True)
class Point:
    """A method in one of the pictures."""

    method: str
    kind: Kind
    speed: float
    ratio: float


def check(path: Path | None = None) -> None:
    """Find out before measuring whether a picture can be made.

    Args:
        path: Where it shall go to; None: into a page.

    Raises:
        UsageError: matplotlib is missing, or the suffix is of no known format.
    """
    if path is not None and path.suffix.lower() not in FORMATS:
        raise UsageError(f"{path}: pictures are written as {' or '.join(FORMATS)}; name it so")
    try:
        import matplotlib  # noqa: F401  (what is asked is whether it is there)
    except ImportError as error:
        raise UsageError(
            "pictures are drawn by matplotlib, which is not installed: pip install 'nncomp[plot]'"
        ) from error


def save(record: Record, path: Path) -> None:
    """Draw it into a file, as its suffix says.

    Raises:
        UsageError: matplotlib is missing, or the suffix is of no known format.
    """
    check(path)
    import matplotlib

    kind = path.suffix.lower()[1:]
    with matplotlib.rc_context(SETTINGS):
        drawn = figure(record)
        drawn.savefig(path, format=kind, dpi=150, metadata=metadata(kind))


def as_svg(record: Record, way: str) -> str:
    """One direction as SVG, on whatever stands behind it.

    Raises:
        UsageError: matplotlib is missing.
    """
    check()
    import io

    import matplotlib

    text = io.StringIO()
    with matplotlib.rc_context(SETTINGS):
        drawn = figure(record, (way,))
        drawn.savefig(text, format="svg", transparent=True, metadata=metadata("svg"))
    return text.getvalue()


def metadata(kind: str) -> dict[str, str | None]:
    """Nothing that changes from one day, or version, to the next."""
    return {"Date": None, "Creator": None} if kind == "svg" else {"Software": None}


def figure(record: Record, ways: Sequence[str] = WAYS) -> Figure:
    """Ratio and speed over all files, a picture for each direction.

    Methods without a result for some file are left out, and named; plain copying is a line.

    Raises:
        UsageError: matplotlib is missing.
    """
    check()
    import matplotlib
    from matplotlib.backends.backend_agg import FigureCanvasAgg
    from matplotlib.figure import Figure

    from nncomp.bench.labels import place_labels

    with matplotlib.rc_context(SETTINGS):
        drawn = Figure(figsize=(6.4 * len(ways), 4.8), layout="constrained")
        FigureCanvasAgg(drawn)  # measures the labels
        found = totals(record)
        panels = drawn.subplots(1, len(ways), squeeze=False)[0]
        for axes, way in zip(panels, ways, strict=True):
            _frame(axes, way, record)
            _draw(axes, _points(found, way), _copying(found, way))
        left_out = [printable(row.method) for row in found if row.problem]
        if left_out:
            note = f"not for all files, so not shown: {', '.join(left_out)}"
            _plain(drawn.supxlabel(note, fontsize=8, x=0.01, ha="left", wrap=True))
        drawn.draw_without_rendering()  # the layout, which labels must know
        for axes, way in zip(panels, ways, strict=True):
            points = _points(found, way)
            texts = [printable(each.method) for each in points]
            place_labels(axes, [(each.speed, each.ratio) for each in points], texts)
    return drawn


def _points(rows: Sequence[Row], way: str) -> list[Point]:
    """What can be drawn: on a logarithmic axis nothing is zero."""
    points = []
    for row in rows:
        speed, ratio = row.speed(way), row.ratio
        if row.problem or row.kind == "memcpy" or not speed or not ratio:
            continue
        if math.isfinite(speed):
            points.append(Point(row.method, row.kind, speed, ratio))
    return points


def _copying(rows: Sequence[Row], way: str) -> float | None:
    found = [row.speed(way) for row in rows if row.kind == "memcpy" and row.problem is None]
    return next((speed for speed in found if speed and math.isfinite(speed)), None)


def pareto(points: Sequence[Point]) -> list[Point]:
    """Those that no other is at least as fast as and better than, the slowest first."""
    best: list[Point] = []
    for point in sorted(points, key=lambda each: (-each.speed, -each.ratio)):
        if not best or point.ratio > best[-1].ratio:
            best.append(point)
    return best[::-1]


def _frame(axes: Axes, way: str, record: Record) -> None:
    files = record.inputs[0].name if len(record.inputs) == 1 else plural(len(record.inputs), "file")
    _plain(axes.set_title(f"{_TITLES[way]}, {printable(files)}", loc="left", fontsize=10))
    axes.set_xscale("log")
    axes.set_xlabel(f"{_TITLES[way].lower()} speed, MB/s (log scale)")
    axes.set_ylabel("ratio: original size / compressed size")
    axes.grid(visible=True, which="major", color="#8888", linewidth=0.4)


def _draw(axes: Axes, points: Sequence[Point], copying: float | None) -> None:
    from matplotlib.ticker import FuncFormatter

    line = pareto(points)
    axes.plot(
        [each.speed for each in line],
        [each.ratio for each in line],
        color="#888888",
        linestyle="--",
        linewidth=1,
        label="Pareto line: none is faster and smaller",
        zorder=1,
    )
    _scatter(axes, [each for each in points if each.kind == "own"], "nncomp", "own", "o")
    _scatter(axes, [each for each in points if each.kind != "own"], "others", "peer", "s")
    if copying is not None:
        axes.axvline(copying, color="#888888", linewidth=1, linestyle=":", label="memcpy")
    axes.margins(x=0.12, y=0.12)
    axes.xaxis.set_major_formatter(FuncFormatter(lambda value, _: f"{value:g}"))
    axes.legend(fontsize=8, loc="upper center", bbox_to_anchor=(0.5, -0.14), ncols=4, frameon=False)


def _scatter(axes: Axes, points: Sequence[Point], label: str, colour: str, marker: str) -> None:
    if points:
        axes.scatter(
            [each.speed for each in points],
            [each.ratio for each in points],
            s=34,
            marker=marker,
            color=COLOURS[colour],
            label=label,
            zorder=3,
        )


def _plain(text: Text) -> None:
    """Names are no formulas: a dollar sign is a dollar sign."""
    text.set_parse_math(False)
