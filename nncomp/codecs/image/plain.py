"""Pixels amid equal ones: most of many pictures, so little is asked of them.

Three adaptive maps tell how likely such a pixel is as all around it: by what experts say, by
pixels further away, by colour and column. One mixer weighs them.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nncomp.codecs.image.around import FACTORS
from nncomp.codecs.image.experts import EXPERTS, RUN, SAYS, Experts
from nncomp.codecs.image.plates import SIDE, Array
from nncomp.codecs.mix.maps import learn
from nncomp.codecs.mix.mixer import Mixer, mix, mixer, train
from nncomp.codecs.mix.slots import scattered
from nncomp.codecs.mix.tables import OUTER
from nncomp.coding.jit import bare_inline as inline

__all__ = ["Plain", "learn_plain", "plain", "plain_odds"]

_OPINIONS = 9  # of an expert
_FAR = 64  # patterns of pixels further away
_BY_COLOUR, _BY_COLUMN = 12, 16  # log2 of cells
_COLOURS = _OPINIONS**EXPERTS
_COLUMNS = _COLOURS + (1 << _BY_COLOUR)
_MAPS = 3
_SURE = 0xF8 << 24  # what a cell begins with
_WEIGHT = 100_000  # of 2**18
_RATE = 4
_LIMITS = (1023, 1023, 255)


class Plain(NamedTuple):
    """The maps and their mixer.

    Attributes:
        cells: uint32, see `maps`.
        at: int64[3], which cells this pixel chose.
        mixer: Of three inputs and a constant.
    """

    cells: Array
    at: Array
    mixer: Mixer


def plain(squash: Array) -> Plain:
    """What knows nothing yet."""
    own = mixer(_MAPS + 1, _FAR, _COLOURS, 1, squash)
    own.weights[:] = _WEIGHT
    cells = np.full(_COLUMNS + (1 << _BY_COLUMN), _SURE, np.uint32)
    return Plain(cells, np.zeros(_MAPS, np.int64), own)


@inline
def _opinions(x: Experts, colour: int) -> Any:
    """What all experts say, as one number."""
    total = 0
    for e in range(EXPERTS):
        run, says = x.fields[e, RUN], x.fields[e, SAYS]
        opinion = 0
        if says >= 0:
            opinion = 1 if says == colour else 5
            opinion += 0 if run < 1 else 1 if run < 16 else 2 if run < 400 else 3
        total = total * _OPINIONS + opinion
    return total


@inline
def _far(v: Array, at: int, stride: int, right: int, colour: int) -> Any:
    """Which pixels further away are others; `right`: how many are right of this one."""
    b = at - 2 * stride
    c = b - stride
    bits = 0
    bits |= 1 if right >= SIDE and v[at - stride + SIDE] != colour else 0
    bits |= 2 if v[b + 2] != colour else 0
    bits |= 4 if v[b - 2] != colour else 0
    bits |= 8 if v[c + 1] != colour else 0
    bits |= 16 if v[c - 1] != colour else 0
    bits |= 32 if v[c + 2] != colour else 0
    return bits


@inline
def plain_odds(
    m: Plain, x: Experts, v: Array, at: int, g: Array, column: int, stretch: Array
) -> Any:
    """The probability, of 2**16, that the pixel at `at` is as all around it: 1 to 65535."""
    colour: Any = np.int64(v[at - 1])
    far = _far(v, at, g[3], g[2] - 1 - column, colour)
    opinions = _opinions(x, colour)
    by_colour = scattered(colour * FACTORS[0] + far * FACTORS[1])
    by_column = scattered(colour * FACTORS[0] + column * FACTORS[2])
    m.at[0] = opinions
    m.at[1] = _COLOURS + (by_colour & (1 << _BY_COLOUR) - 1)
    m.at[2] = _COLUMNS + (by_column & (1 << _BY_COLUMN) - 1)
    for i in range(_MAPS):
        m.mixer.inputs[i] = stretch[m.cells[m.at[i]] >> 20]
    m.mixer.inputs[_MAPS] = 256
    m.mixer.chosen[0] = far
    m.mixer.chosen[1] = 0
    m.mixer.chosen[2] = opinions
    return min(max(m.mixer.squash[mix(m.mixer) + OUTER], 1), 65535)


@inline
def learn_plain(m: Plain, bit: int, reciprocals: Array) -> None:
    """Learn from the bit."""
    train(m.mixer, bit, _RATE)
    for i in range(_MAPS):
        learn(m.cells, m.at[i], bit, _LIMITS[i], reciprocals)
