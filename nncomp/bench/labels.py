"""Names beside the points of a picture, where they hide no points, lines, nor each other."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from matplotlib.transforms import Bbox

__all__ = ["place_labels"]

_DISTANCES = (7.0, 11.0, 18.0, 28.0, 42.0, 60.0, 84.0)  # points, from the mark
_DIRECTIONS = 12
_MARK = 4.0  # points: half the width of a mark
_LONGEST = 40  # characters of a name


def place_labels(axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Write each text at the nearest place that is free, with a line where that is far.

    Args:
        axes: With final limits and layout.
        points: In data coordinates.
        texts: As many.
    """
    scale = axes.figure.dpi / 72
    centres = [tuple(map(float, each)) for each in axes.transData.transform(points or [(1, 1)])]
    taken = [_around(x, y, _MARK * scale) for x, y in centres]
    taken += [_around(x, y, scale) for x, y in _on_lines(axes)]
    for point, centre, text in zip(points, centres, texts, strict=bool(points)):
        box = _place(axes, point, (centre[0], centre[1]), text, taken)
        taken.append(box)


def _around(x: float, y: float, half: float) -> Bbox:
    from matplotlib.transforms import Bbox

    return Bbox.from_extents(x - half, y - half, x + half, y + half)


def _on_lines(axes: Axes) -> Iterator[tuple[float, float]]:
    """Spots on the lines of the picture, close to each other."""
    for line in axes.get_lines():
        path = line.get_transform().transform_path(line.get_path())
        if len(path) > 1:
            for x, y in np.asarray(path.interpolated(100).vertices):
                yield float(x), float(y)


def _place(
    axes: Axes,
    point: tuple[float, float],
    centre: tuple[float, float],
    text: str,
    taken: Sequence[Bbox],
) -> Bbox:
    """Write one text; of all places none of which is free, the least covered one."""
    scale = axes.figure.dpi / 72
    label = axes.annotate(
        text if len(text) <= _LONGEST else text[: _LONGEST - 3] + "...",
        point,
        xytext=(0, 0),
        textcoords="offset points",
        ha="center",
        va="center",
        fontsize=8,
        zorder=4,
    )
    label.set_parse_math(False)
    box = label.get_window_extent()
    width, height = box.width / 2 / scale, box.height / 2 / scale
    best, least, far = (0.0, 0.0), math.inf, False
    for dx, dy, distance in _places(width, height):
        moved = box.translated(dx * scale, dy * scale)
        covered = _outside(moved, axes.bbox) + sum(_common(moved, other) for other in taken)
        if covered < least:
            best, least, far = (dx, dy), covered, distance > _DISTANCES[1]
        if covered == 0:
            break
    label.set_position(best)
    if far:
        end = (centre[0] + best[0] * scale, centre[1] + best[1] * scale)
        _join(axes, centre, end, (width * scale, height * scale))
    return box.translated(best[0] * scale, best[1] * scale)


def _places(width: float, height: float) -> Iterator[tuple[float, float, float]]:
    """Offsets of the middle of a text, in points: nearest first, beginning on the right above."""
    for distance in _DISTANCES:
        for i in range(_DIRECTIONS):
            angle = math.tau * (1 + (i + 1) // 2 * (-1) ** i) / _DIRECTIONS
            x, y = math.cos(angle), math.sin(angle)
            yield x * (distance + width), y * (distance + height), distance


def _common(one: Bbox, other: Bbox) -> float:
    """The area that both cover."""
    width = min(one.x1, other.x1) - max(one.x0, other.x0)
    height = min(one.y1, other.y1) - max(one.y0, other.y0)
    return width * height if width > 0 and height > 0 else 0.0


def _outside(box: Bbox, frame: Bbox) -> float:
    return box.width * box.height - _common(box, frame)


def _join(
    axes: Axes,
    start: tuple[float, float],
    middle: tuple[float, float],
    half: tuple[float, float],
) -> None:
    """A thin line from the mark to the edge of its text."""
    end = [min(max(s, m - h), m + h) for s, m, h in zip(start, middle, half, strict=True)]
    line = axes.transData.inverted().transform([start, end])
    axes.plot(
        line[:, 0], line[:, 1], color="#888888", linewidth=0.6, zorder=2, scalex=False, scaley=False
    )
