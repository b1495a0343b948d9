"""Experts: places that look like this one, and what stands there.

Experts 0 and 1 remember where each context of twelve, or of four, neighbours was last. As long
as one is right it goes on to the next pixel, else it looks for a place anew. Expert 2 looks at
the same place of the frame before. An expert says what the pixel is; once a bit shows that it
is wrong, it is silent for the rest of the pixel.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncomp.codecs.mix.maps import learn
from nncomp.codecs.mix.slots import scattered
from nncomp.coding.ahead import prefetch
from nncomp.coding.jit import bare_inline as inline

if TYPE_CHECKING:
    from nncomp.codecs.image.plates import Array

__all__ = [
    "EXPERTS",
    "FLAG",
    "HIGH",
    "LOW",
    "RUN",
    "SAYS",
    "Experts",
    "ask_places",
    "consult",
    "expect_bit",
    "expect_pixel",
    "experts",
    "find_places",
    "go_on",
    "heed",
    "learn_experts",
    "silence",
    "start_row",
]

EXPERTS = 3
_SEARCHING = 2  # the first of them
RUN, _AT, SAYS, _PLACE, _EXPECTED, _CELL = range(6)
"""Of an expert: how often in a row it was right; what it says, -1 for nothing."""
FLAG, HIGH, LOW = range(3)
"""Kinds of bits: whether a pixel is a neighbour's; upper and lower half of a part."""

_KINDS = 3
_LENGTHS = 32
_LONGEST = 4000
_LIMIT = 255  # of the maps


class Experts(NamedTuple):
    """What experts know.

    Attributes:
        fields: int64[EXPERTS, 6], see the names above.
        places: uint32[2, n], where contexts were last, by their hash; 0 for none.
        cells: uint32, adaptive maps by expert, kind of bit, run and the bit that it expects.
    """

    fields: Array
    places: Array
    cells: Array


def experts(places: int) -> Experts:
    """Experts that know nothing, with so many places, a power of two."""
    length = np.arange(_LENGTHS)
    one = (length + 2 << 22) // (length + 3)
    cells = np.stack([(1 << 22) - one, one], axis=1) << 10
    return Experts(
        np.zeros((EXPERTS, 6), np.int64),
        np.zeros((_SEARCHING, places), np.uint32),
        np.tile(cells.ravel(), EXPERTS * _KINDS).astype(np.uint32),
    )


@inline
def start_row(x: Experts) -> None:
    """No place goes on from one row to the next."""
    for e in range(_SEARCHING):
        x.fields[e, RUN] = 0


@inline
def ask_places(x: Experts, wide: int, near: int) -> None:
    """Ask for the places of two contexts ahead of their use."""
    mask = x.places.shape[1] - 1
    x.fields[0, _PLACE] = scattered(wide) >> 20 & mask
    x.fields[1, _PLACE] = scattered(near) >> 20 & mask
    for e in range(_SEARCHING):
        prefetch(x.places[e], x.fields[e, _PLACE])


@inline
def go_on(x: Experts, v: Array, at: int, g: Array, f: int) -> None:
    """What is known of a pixel before its contexts are: of experts that have been right."""
    for e in range(_SEARCHING):
        own = x.fields[e]
        own[_AT] = own[_AT] + 1 if own[RUN] else 0
        own[SAYS] = np.int64(v[own[_AT]]) if own[RUN] else -1
    own = x.fields[_SEARCHING]
    own[_AT] = at - g[4] if f else 0
    own[SAYS] = np.int64(v[own[_AT]]) if f else -1


@inline
def find_places(x: Experts, v: Array, at: int) -> None:
    """Note this place under its contexts; experts that have none take what was there."""
    for e in range(_SEARCHING):
        own = x.fields[e]
        if own[RUN] == 0:
            own[_AT] = x.places[e, own[_PLACE]]
            own[SAYS] = np.int64(v[own[_AT]]) if own[_AT] else -1
        x.places[e, own[_PLACE]] = at


@inline
def expect_pixel(x: Experts, pixel: int) -> None:
    """Which bit each expert expects: 1 if the pixel is this one."""
    for e in range(EXPERTS):
        x.fields[e, _EXPECTED] = 1 if x.fields[e, SAYS] == pixel else 0


@inline
def expect_bit(x: Experts, shift: int) -> None:
    """Which bit each expert expects: one of the pixel's."""
    for e in range(EXPERTS):
        x.fields[e, _EXPECTED] = x.fields[e, SAYS] >> shift & 1


@inline
def consult(x: Experts, inputs: Array, j: int, kind: int, stretch: Array) -> Any:
    """Two inputs for each expert, from input j on; how much the first two know, 0 to 7."""
    level = 0
    for e in range(EXPERTS):
        own = x.fields[e]
        inputs[j] = inputs[j + 1] = 0
        own[_CELL] = -1
        if own[SAYS] >= 0:
            run = own[RUN]
            step = run if run < 16 else min(14 + (run >> 3), _LENGTHS - 1)
            own[_CELL] = ((e * _KINDS + kind) * _LENGTHS + step) * 2 + own[_EXPECTED]
            p = np.int64(x.cells[own[_CELL]] >> 20)
            inputs[j] = stretch[p]
            inputs[j + 1] = p - 2048 >> 1
            if e == 0:
                level = 1 if run == 0 else 2 if run < 16 else 3
            elif e == 1:
                level |= 4 if run > 3 else 0
        j += 2
    return level


@inline
def learn_experts(x: Experts, bit: int, reciprocals: Array) -> None:
    """Learn from a bit what experts were worth; those that were wrong fall silent."""
    for e in range(EXPERTS):
        own = x.fields[e]
        if own[_CELL] >= 0:
            learn(x.cells, own[_CELL], bit, _LIMIT, reciprocals)
        if own[_EXPECTED] != bit:
            own[SAYS] = -1


@inline
def silence(x: Experts, pixel: int) -> None:
    """Experts that say what the pixel is not say nothing any more."""
    for e in range(EXPERTS):
        if x.fields[e, SAYS] == pixel:
            x.fields[e, SAYS] = -1


@inline
def heed(x: Experts, v: Array, pixel: int) -> None:
    """After a pixel: note who was right."""
    for e in range(EXPERTS):
        own = x.fields[e]
        if own[_AT] and v[own[_AT]] == pixel:
            own[RUN] = min(own[RUN] + 1, _LONGEST)
        else:
            own[RUN] = 0
