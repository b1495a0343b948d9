r"""What the bits of a stream cost, and which inputs foretold them: counted beside coding.

The cost of a bit is -log2 of the probability that it was given, which is what the coder
takes for it, but for rounding. Costs are summed up in cells, runs of bytes or squares of
pixels.

An input's contribution to a bit is the stretched prediction that it gave, times the weight
that the mixers together gave it, counted positive if that went the way of the bit that came,
else negative. The contributions of all inputs to a bit add up to what the last mixers had to
say, ln(p / (1 - p)) of the bit; their sums, as shares of the sum of all, tell who carried the
prediction. Refinements behind the mixers are not counted.
"""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from functools import cache
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.account import HEADERS, Picture, Stretch, spread
from nncomp.codecs.mix.layout import KINDS, LEAN, NAMES, NUMBERS, RECORDS, Layout
from nncomp.codecs.mix.mixer import LAST, Mixer
from nncomp.codecs.mix.numeric import EXPERTS
from nncomp.codecs.mix.predictor import COUNTED
from nncomp.coding.jit import bare_inline as inline

__all__ = [
    "ROUNDING",
    "Note",
    "Stream",
    "Tally",
    "byte_cells",
    "new_tally",
    "note_cost",
    "note_mixed",
    "note_weighed",
]

Array = NDArray[Any]

ROUNDING = "rounding of the coder"
"""The part of what streams take beside the costs of their bits; it may be below zero."""

_CELLS = 4096  # at most, to a stream
_SIDE = 256  # the same, to a side of a picture
_WEIGHT = 1.0 / (1 << 18)  # as in `mixer`; a last one has 2**16 for one,
_SHARE = 1.0 / (LAST << 16)
_STRETCHED = 1.0 / 256  # and so many stretched steps are one


class Tally(NamedTuple):
    """What is counted.

    Attributes:
        cells: float64[rows, columns], bits.
        grid: int64[3], bytes of a line, lines in a cell, bytes of a line in a cell.
        gains: float64[n], contributions of the inputs, at least as many as the mixer has.
        costs: float64[65537], bits of an event of a probability of 2**16.
    """

    cells: Array
    grid: Array
    gains: Array
    costs: Array


def new_tally(
    layout: Layout, size: int, contexts: int, *, network: bool = False, picture: bool = False
) -> Tally:
    """Nothing was counted yet.

    Args:
        layout: What the bytes are taken for.
        size: How many there are, at least 1.
        contexts: The most contexts in use.
        network: Whether a network's predictions come along.
        picture: Whether rows of the layout are rows of a picture.
    """
    line, lines, width = max(size, 1), 1, _run(size)
    if picture and layout.kind in (NUMBERS, RECORDS) and layout.row:
        line = layout.row
        lines = -(-max(-(-line // layout.element), -(-size // line)) // _SIDE)
        width = lines * layout.element
    rows = -(-size // (line * lines))
    inputs = len(_columns(layout, contexts, network))
    return Tally(
        np.zeros((rows, -(-line // width))),
        np.array([line, lines, width], np.int64),
        np.zeros(inputs + 8),  # rows of mixers are filled up to whole vectors
        _costs(),
    )


def byte_cells(size: int) -> tuple[Array, Array]:
    """Cells and ends, as a `Stream` has them, of content of which nothing was counted yet."""
    width = _run(size)
    ends = np.minimum(np.arange(1, -(-size // width) + 1) * width, size)
    return np.zeros((1, len(ends))), ends


def _run(size: int) -> int:
    """Bytes in a cell."""
    return max(-(-size // _CELLS), 1)


@cache
def _costs() -> Array:
    with np.errstate(divide="ignore"):
        costs: Array = 16 - np.log2(np.arange(65537))
    return costs


@inline
def note_cost(t: Tally, at: int, bit: int, p: int) -> None:
    """Count a bit of the byte at a place, whose probability to be one was p / 65536."""
    line = at // t.grid[0]
    t.cells[line // t.grid[1], (at - line * t.grid[0]) // t.grid[2]] += t.costs[
        p if bit else 65536 - p
    ]


@inline
def note_mixed(t: Tally, m: Mixer, bit: int) -> None:
    """Count what the inputs of all mixers had to say of a bit."""
    sets = m.last.shape[1]
    sign = _SHARE if bit else -_SHARE
    for k in range(sets):
        share = np.int64(0)
        for j in range(sets, sets + LAST):
            share += np.int64(m.last[m.chosen[j], k])
        _note(t, m.inputs, m.weights[m.chosen[k]], sign * share)


@inline
def note_weighed(t: Tally, inputs: Array, weights: Array, bit: int) -> None:
    """Count what the inputs of a single mixer had to say of a bit."""
    _note(t, inputs, weights, 1.0 if bit else -1.0)


@inline
def _note(t: Tally, inputs: Array, weights: Array, scale: float) -> None:
    for i in range(inputs.shape[0]):
        t.gains[i] += scale * (np.int64(inputs[i]) * np.int64(weights[i]))


def _columns(layout: Layout, contexts: int, network: bool) -> list[str]:
    """The name of each input of the mixers; those of a context share its name."""
    if layout.kind == LEAN:
        return [*NAMES[LEAN], "match", "constant"]
    names = NAMES[layout.kind][: min(contexts, KINDS[layout.kind])]
    matches = ["match of 7 or more"] * 2 + ["match of 4 or more"] * 2
    others = [*matches, "constant", *EXPERTS, *["network"] * (2 * network)]
    return [*names, *names, *names[:COUNTED], *others]


Note: TypeAlias = Callable[["Stream"], object]


@dataclass(frozen=True)
class Stream:
    """What the bits of one run of coded content went to.

    Attributes:
        title: What it is, as the name of a part.
        size: Bytes of content.
        coded: Bytes that code it.
        cells: float64[rows, columns], bits.
        ends: int64[rows or columns], bytes of content up to the end of each row of cells, or
            of each column if there is one row.
        inputs: Contributions, in units of ln(p / (1 - p)), by name.
        picture: The same cells as a picture, if they are one.
    """

    title: str
    size: int
    coded: int
    cells: Array
    ends: Array
    inputs: dict[str, float]
    picture: Picture | None = None

    @classmethod
    def of(
        cls,
        tally: Tally,
        layout: Layout,
        coded: int,
        size: int,
        contexts: int,
        network: bool = False,
    ) -> Stream:
        """What a tally of such a stream has counted."""
        line, lines, width = map(int, tally.grid)
        rows, columns = tally.cells.shape
        step, count = (width, columns) if rows == 1 else (line * lines, rows)
        inputs: dict[str, float] = {}
        names = _columns(layout, contexts, network)
        for name, gain in zip(names, tally.gains.tolist(), strict=False):
            inputs[name] = inputs.get(name, 0.0) + gain * _WEIGHT * _STRETCHED
        return cls(
            layout.title,
            size,
            coded,
            tally.cells,
            np.minimum(np.arange(1, count + 1) * step, size),
            {name: gain for name, gain in inputs.items() if gain},
            _picture(tally, layout, size) if rows > 1 else None,
        )

    def stretches(self, size: int, payload: int, title: str | None = None) -> list[Stretch]:
        """All bits of a payload, over bytes that the content stands for.

        Args:
            size: How many bytes it stands for: its own, or those of a file made of it.
            payload: Bytes of it, with all that stands around the coded bytes.
            title: Name of the part, if another than the stream's.
        """
        bits = self.cells.sum(axis=1) if len(self.cells) > 1 else self.cells[0]
        stretches: list[Stretch] = []
        start, waiting = 0, 0.0
        for end, cost in zip((self.ends * size // self.size).tolist(), bits.tolist(), strict=True):
            waiting += cost
            if end > start:
                stretches.append(Stretch(end - start, {title or self.title: waiting}))
                start, waiting = end, 0.0
        stretches = spread(stretches, HEADERS, 8.0 * (payload - self.coded))
        return spread(stretches, ROUNDING, 8.0 * self.coded - float(bits.sum()))


def _picture(tally: Tally, layout: Layout, size: int) -> Picture:
    """Cells as squares of pixels; those at the edges have fewer."""
    line, scale, _ = map(int, tally.grid)
    rows, columns = tally.cells.shape
    width, height = -(-line // layout.element), -(-size // line)
    high = np.minimum(scale, height - scale * np.arange(rows))
    wide = np.minimum(scale, width - scale * np.arange(columns))
    return Picture(width, height, scale, tally.cells / (high[:, None] * wide))
