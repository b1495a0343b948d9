"""Names beside the points of a picture, where they hide no points, lines, nor each other.

Boxes are rows of an array: left, bottom, right, top, in pixels.
"""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from matplotlib.axes import Axes
    from numpy.typing import NDArray

__all__ = ["place_labels"]

_DISTANCES = (7.0, 11.0, 18.0, 28.0, 42.0, 60.0, 84.0)  # points, from the mark
_JOINED = 11.0  # points: of more than these a line leads to the text
_DIRECTIONS = 12
_MARK = 4.0  # points: half the width of a mark
_SEEMS_ANOTHERS = 0.1  # as bad as that share of the text being covered
_LONGEST = 40  # characters of a name


def place_labels(axes: Axes, points: Sequence[tuple[float, float]], texts: Sequence[str]) -> None:
    """Write each text at the nearest place that is free, with a line where that is far.

    Args:
        axes: With final limits and layout.
        points: In data coordinates.
        texts: As many.
    """
    if not points:
        return
    scale = axes.figure.dpi / 72
    centres = np.asarray(axes.transData.transform(points))
    taken = np.concatenate([_around(centres, _MARK * scale), _around(_on_lines(axes), scale)])
    for i in sorted(range(len(points)), key=lambda i: -len(texts[i])):  # the hardest first
        others = np.delete(centres, i, axis=0)
        taken = np.concatenate([taken, [_place(axes, points[i], texts[i], taken, others)]])


def _around(spots: NDArray[np.float64], half: float) -> NDArray[np.float64]:
    return np.concatenate([spots - half, spots + half], axis=1)


def _on_lines(axes: Axes) -> NDArray[np.float64]:
    """Spots on the lines of the picture, close to each other."""
    paths = [line.get_transform().transform_path(line.get_path()) for line in axes.get_lines()]
    spots = [np.asarray(path.interpolated(100).vertices) for path in paths if len(path) > 1]
    return np.concatenate([np.empty((0, 2)), *spots])


def _place(
    axes: Axes,
    point: tuple[float, float],
    text: str,
    taken: NDArray[np.float64],
    others: NDArray[np.float64],
) -> NDArray[np.float64]:
    """Write one text; of all places none of which is free, the least covered one.

    Args:
        axes: Where.
        point: What it belongs to.
        text: What to write.
        taken: Boxes to keep clear of.
        others: The other points, in pixels, which it must not seem to belong to.

    Returns:
        Its box.
    """
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
    found = np.array(label.get_window_extent().extents)
    half = (found[2:] - found[:2]) / 2
    area = 4 * half.prod()
    frame = np.array([axes.bbox.extents])
    centre = np.asarray(axes.transData.transform(point))
    best, least, far = np.zeros(2), math.inf, False
    for offset, distance in _places(half / scale):
        box = found + np.tile(offset * scale, 2)
        covered = 3 * (area - _common(box, frame)) + _common(box, taken)
        away = _distances(box, centre[None])[0]
        if distance <= _JOINED and _distances(box, others).min(initial=np.inf) <= away:
            covered += area * _SEEMS_ANOTHERS
        if covered < least - 1e-6:
            best, least, far = offset, covered, distance > _JOINED
        if least < 1e-6:
            break
    label.set_position((float(best[0]), float(best[1])))
    if far:
        _join(axes, centre, centre + best * scale, half + scale)
    moved: NDArray[np.float64] = found + np.tile(best * scale, 2)
    return moved


def _places(half: NDArray[np.float64]) -> Iterator[tuple[NDArray[np.float64], float]]:
    """Offsets of the middle of a text, in points: nearest first, beginning on the right above."""
    for distance in _DISTANCES:
        for i in range(_DIRECTIONS):
            angle = math.tau * (1 + (i + 1) // 2 * (-1) ** i) / _DIRECTIONS
            yield np.array([math.cos(angle), math.sin(angle)]) * (half + distance), distance


def _common(box: NDArray[np.float64], others: NDArray[np.float64]) -> float:
    """The area that a box has in common with others, added up."""
    sides = np.minimum(box[2:], others[:, 2:]) - np.maximum(box[:2], others[:, :2])
    return float(sides.clip(0).prod(axis=1).sum())


def _distances(box: NDArray[np.float64], spots: NDArray[np.float64]) -> NDArray[np.float64]:
    """From a box to some spots."""
    nearest = spots.clip(box[:2], box[2:])
    found: NDArray[np.float64] = np.hypot(*(spots - nearest).T)
    return found


def _join(
    axes: Axes,
    start: NDArray[np.float64],
    middle: NDArray[np.float64],
    half: NDArray[np.float64],
) -> None:
    """A thin line from the mark to the edge of its text."""
    end = start.clip(middle - half, middle + half)
    line = axes.transData.inverted().transform([start, end])
    axes.plot(*line.T, color="#888888", linewidth=0.6, zorder=2, scalex=False, scaley=False)
