"""Where the bits of an archive went, drawn: `nncomp explain --plot`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from nncomp.bench.plot import COLOURS, SETTINGS, check, metadata
from nncomp.text import printable

if TYPE_CHECKING:
    from collections.abc import Callable

    from matplotlib.axes import Axes
    from matplotlib.figure import Figure

    from nncomp.api.explanation import Explanation

__all__ = ["draw"]

_WIDTH = 10.0  # inches
_BARS = 14  # of a chart, at most
_BAR = 0.24  # inches
_NAME = 44  # characters of a name
_HEAT = "inferno"
_QUIET, _LINE, _BAR_COLOUR = "#9a9a9a", COLOURS["ink"], COLOURS["peer"]
_FEW = 8  # parts of tensors that get a colour of their own


def draw(found: Explanation, sink: BinaryIO, *, title: str, kind: str) -> None:
    """Draw all that an explanation has: heat strip, picture, parts, inputs, tensors.

    Args:
        found: From `nncomp.explain`.
        sink: Gets the drawing.
        title: What was explained.
        kind: "svg" or "png".

    Raises:
        UsageError: There is no matplotlib.
    """
    check()
    import matplotlib as mpl
    from matplotlib.figure import Figure

    charts = _charts(found)
    heights = [height for height, _ in charts]
    # Names come from files: none of them is a formula.
    with mpl.rc_context({**SETTINGS, "text.parse_math": False}):
        figure = Figure(figsize=(_WIDTH, sum(heights) + 0.9), layout="constrained")
        figure.suptitle(_headline(found, title), fontsize=10, x=0.01, ha="left")
        rows = figure.subplots(len(charts), 1, height_ratios=heights, squeeze=False)[:, 0]
        for (_, chart), axes in zip(charts, rows, strict=True):
            chart(found, axes)
        figure.savefig(sink, format=kind, dpi=130, metadata=metadata(kind))


def _charts(found: Explanation) -> list[tuple[float, Callable[[Explanation, Axes], None]]]:
    """What there is to be drawn, each with its height in inches."""
    charts: list[tuple[float, Callable[[Explanation, Axes], None]]] = []
    if found.regions:
        charts.append((2.3, _heat))
    if len(found.pictures) == 1:
        picture = found.pictures[0]
        charts.append((min(6.5, 0.9 * _WIDTH * picture.height / picture.width), _picture))
    charts.append((_bars_height(len(found.parts)), _parts))
    if found.inputs:
        charts.append((_bars_height(len(found.inputs)), _inputs))
    if found.tensors:
        charts.append((_bars_height(len(found.tensors)) + 0.3, _tensors))
    return charts


def _bars_height(count: int) -> float:
    return 0.7 + _BAR * min(count, _BARS)


def _headline(found: Explanation, title: str) -> str:
    sizes = f"{found.raw_size:,} bytes in {found.archive_size:,}"
    ratio = f"ratio {found.raw_size / found.archive_size:.3f}"
    methods = ", ".join(dict.fromkeys(method.partition(":")[0] for method in found.methods))
    return f"{_short(title, 80)}: {sizes}, {ratio} ({methods})"


def _heat(found: Explanation, axes: Axes) -> None:
    """Bits a byte along the content, as a curve over a strip of colours."""
    costs = np.array([region.bits_per_byte for region in found.regions])
    edges = np.array([0, *(region.start + region.size for region in found.regions)])
    top = max(float(costs.max()), 0.1) * 1.08
    mesh = axes.pcolormesh(
        edges, [-0.22 * top, 0.0], costs[None, :], cmap=_HEAT, vmin=0, rasterized=True
    )
    axes.stairs(costs, edges, color=_LINE, linewidth=0.9)
    mean = 8 * sum(region.cost for region in found.regions) / found.raw_size
    axes.axhline(mean, color=_QUIET, linewidth=0.8, linestyle="--")
    axes.set_xlim(0, found.raw_size)
    axes.set_ylim(-0.22 * top, top)
    axes.set_yticks([tick for tick in axes.get_yticks() if 0 <= tick <= top])
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")
    known = "" if found.units in ((), ("byte",)) else f"; even within each {found.units[-1]}"
    text = f"cost of the content, {mean:.3f} bits/byte on average{known}"
    axes.set_title(text, fontsize=9, loc="left")
    axes.set_ylabel("bits/byte")
    axes.set_xlabel("byte of the content")
    _figure(axes).colorbar(mesh, ax=axes, pad=0.01, label="bits/byte")


def _picture(found: Explanation, axes: Axes) -> None:
    """The picture by what its pixels cost."""
    (picture,) = found.pictures
    rows, columns = picture.bits.shape
    extent = (0, columns * picture.scale, rows * picture.scale, 0)
    image = axes.imshow(
        picture.bits,
        cmap=_HEAT,
        vmin=0,
        vmax=float(np.quantile(picture.bits, 0.995)) or None,
        extent=extent,
        interpolation="nearest",
    )
    axes.set_xlim(0, picture.width)
    axes.set_ylim(picture.height, 0)
    side = f", squares of {picture.scale}" if picture.scale > 1 else ""
    axes.set_title(
        f"cost of the pixels, {picture.width} x {picture.height}{side}", fontsize=9, loc="left"
    )
    _figure(axes).colorbar(image, ax=axes, pad=0.01, label="bits/pixel")


def _parts(found: Explanation, axes: Axes) -> None:
    """What the bytes of the archive are for."""
    costs = [(part.name, part.cost) for part in found.parts]
    texts = [f"{cost:,.0f} ({100 * cost / found.archive_size:.2f}%)" for _, cost in costs]
    _bars(axes, costs, texts)
    axes.set_title("bytes of the archive, by what they are for", fontsize=9, loc="left")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")


def _inputs(found: Explanation, axes: Axes) -> None:
    """Who carried the prediction."""
    shares = [(one.name, 100 * one.share) for one in found.inputs]
    _bars(axes, shares, [f"{share:.1f}%" for _, share in shares])
    axes.set_title(
        "inputs of the predictor, by their share of the prediction", fontsize=9, loc="left"
    )
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:g}%")


def _bars(axes: Axes, values: list[tuple[str, float]], texts: list[str]) -> None:
    """Horizontal bars, the first on top."""
    shown = values[:_BARS]
    places = range(len(shown))
    bars = axes.barh(places, [value for _, value in shown], color=_BAR_COLOUR, height=0.72)
    axes.bar_label(bars, texts[:_BARS], padding=3, fontsize=8, color=_LINE)
    left = len(values) - len(shown)
    _name(axes, [name for name, _ in shown], f"and {left} smaller ones" if left else "")


def _tensors(found: Explanation, axes: Axes) -> None:
    """The costliest tensors, each by its parts."""
    costly = sorted(found.tensors, key=lambda tensor: -tensor.cost)[:_BARS]
    totals: dict[str, float] = {}
    for tensor in costly:
        for part in tensor.parts:
            totals[part.name] = totals.get(part.name, 0.0) + part.cost
    names = sorted(totals, key=lambda name: -totals[name])
    starts = np.zeros(len(costly))
    for k, name in enumerate(names[:_FEW]):
        costs = np.array([sum(p.cost for p in t.parts if p.name == name) for t in costly])
        axes.barh(range(len(costly)), costs, left=starts, label=name, height=0.72, color=f"C{k}")
        starts += costs
    rest = np.array([tensor.cost for tensor in costly]) - starts
    if len(names) > _FEW:
        axes.barh(range(len(costly)), rest, left=starts, label="others", height=0.72, color=_QUIET)
    for place, tensor in enumerate(costly):
        bits = tensor.bits_per_weight
        text = "" if bits is None else f" {bits:.2f} bits/weight"
        axes.text(tensor.cost, place, text, va="center", fontsize=8, color=_LINE)
    left = len(found.tensors) - len(costly)
    _name(axes, [f"{t.name} {t.dtype}" for t in costly], f"and {left} smaller ones" if left else "")
    axes.legend(fontsize=8, loc="lower right", frameon=False)
    axes.set_title("bytes of the archive, by tensors", fontsize=9, loc="left")
    axes.xaxis.set_major_formatter(lambda x, _: f"{x:,.0f}")


def _name(axes: Axes, names: list[str], below: str) -> None:
    """Names for bars, and room for the texts at their ends."""
    axes.set_yticks(range(len(names)), [_short(name, _NAME) for name in names])
    axes.invert_yaxis()
    axes.margins(x=0.22)
    if below:
        axes.set_xlabel(below, loc="left", color=_QUIET)


def _short(name: str, most: int) -> str:
    """A name that fits."""
    text = printable(name)
    if len(text) <= most:
        return text
    start = most // 3
    return f"{text[:start]}...{text[start + 3 - most :]}"


def _figure(axes: Axes) -> Figure:
    figure: Figure = axes.get_figure(root=True)  # type: ignore[assignment]  # it is in one
    return figure
