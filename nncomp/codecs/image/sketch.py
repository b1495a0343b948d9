r"""What predicts the bits of pixels that are drawn.

    contexts --> slots --> maps --\
    experts --> maps --------------- mixer --> two refinements --> probability

The parts are those of `mix`. A context takes a slot for the questions whether a pixel is like
a neighbour, and one for each half of each part of a pixel that is like none.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nncomp.codecs.image.around import CONTEXTS_MAX, FACTORS, NEIGHBOURS
from nncomp.codecs.image.experts import (
    EXPERTS,
    Experts,
    consult,
    experts,
    learn_experts,
)
from nncomp.codecs.image.plain import Plain, plain
from nncomp.codecs.image.plates import PLANES_MAX, Array
from nncomp.codecs.mix import history
from nncomp.codecs.mix.maps import ask_refine, learn, refine, refine_learn, refinements
from nncomp.codecs.mix.mixer import Mixer, mix, mixer, train
from nncomp.codecs.mix.slots import HISTORIES, LINE, ask_line, find, scattered
from nncomp.codecs.mix.tables import OUTER, reciprocals, squash_table, stretch_table
from nncomp.coding.jit import bare_inline as inline

__all__ = [
    "FLAGS",
    "LINES_MAX",
    "LINES_MIN",
    "PATTERN",
    "STAGES",
    "TWO",
    "Sketch",
    "ask",
    "foretell",
    "look_up",
    "sketch",
    "take_in",
]

FLAGS = 4
"""Neighbours that a pixel may be like."""
STAGES = FLAGS + 8 * PLANES_MAX
"""Questions of which each has maps of its own: flags, then bits of planes."""

PATTERN, TWO, _REFINED, _REFINED2, _DONE = range(5)
"""Of `now`: which neighbours are equal; the contexts of the nearest two."""

LINES_MIN, LINES_MAX = 12, 20
"""log2 of the lines of slots."""

_LEVELS = 8  # of experts
_PATTERNS = 64
_SETS = 3
_BY_PATTERN = STAGES * _LEVELS
_BY_NEAR = _BY_PATTERN + _PATTERNS * 8
_NEAR = 4 << 8
_REFINEMENTS = 13  # log2 of those by the nearest two
_LIMIT = 255  # of maps
_RATE, _RATE_FIRST, _RATE_SPAN = 12, 60, 1 << 14


class Sketch(NamedTuple):
    """All that is learned, and what the current bit is asked of.

    Attributes:
        table: Histories, see `slots`.
        keys: int64[CONTEXTS_MAX], the contexts, see `around`.
        hashes: int64[contexts], of those in use, for this slot.
        slots: int64[contexts], where they stand in `table`.
        states: int64[contexts], the cells that this bit's histories chose.
        cells: uint32, an adaptive map of histories for each context and stage.
        sure: int32[256], 1 for histories of one bit alone.
        experts: See there.
        plain: See there.
        mixer: Weights, by stage, by pattern, by the nearest pixels.
        refined: See `maps`.
        near: int64[NEIGHBOURS].
        now: int64, see the names above.
    """

    table: Array
    keys: Array
    hashes: Array
    slots: Array
    states: Array
    cells: Array
    sure: Array
    experts: Experts
    plain: Plain
    mixer: Mixer
    refined: Array
    near: Array
    now: Array
    stretch: Array
    squash: Array
    reciprocals: Array
    follow: Array


def sketch(lines: int, contexts: int) -> Sketch:
    """What knows nothing yet; at most 80 MiB.

    Args:
        lines: log2 of the lines of slots.
        contexts: How many are in use.
    """
    c = history.counts().astype(np.int64)
    cells = ((2 * c[:, 1] + 1 << 22) // (2 * c.sum(1) + 2)) << 10
    squash = squash_table()
    inputs = 2 * contexts + 2 * EXPERTS + 1
    last = STAGES + _PATTERNS * _LEVELS
    return Sketch(
        table=np.zeros(LINE << lines, np.uint8),
        keys=np.zeros(CONTEXTS_MAX, np.int64),
        hashes=np.zeros(contexts, np.int64),
        slots=np.zeros(contexts, np.int64),
        states=np.zeros(contexts, np.int64),
        cells=np.tile(cells, contexts * STAGES).astype(np.uint32),
        sure=((c.min(1) == 0) & (c.max(1) > 0)).astype(np.int32),
        experts=experts(1 << lines),
        plain=plain(squash),
        mixer=mixer(inputs, _BY_NEAR + _NEAR, last, _SETS, squash),
        refined=refinements(STAGES * _LEVELS + (1 << _REFINEMENTS)),
        near=np.zeros(NEIGHBOURS, np.int64),
        now=np.zeros(5, np.int64),
        stretch=stretch_table(),
        squash=squash,
        reciprocals=reciprocals(),
        follow=history.transitions(),
    )


@inline
def ask(m: Sketch, salt: int) -> None:
    """Ask for the slots of all contexts; `salt` is what they are asked for."""
    for i in range(m.hashes.shape[0]):
        m.hashes[i] = scattered(m.keys[i] + (salt << 4 | i) * FACTORS[11])
        ask_line(m.table, m.hashes[i])


@inline
def look_up(m: Sketch) -> None:
    """Find the slots of all contexts."""
    for i in range(m.hashes.shape[0]):
        m.slots[i] = find(m.table, m.hashes[i])


@inline
def foretell(m: Sketch, node: int, stage: int, kind: int, near: int) -> Any:
    """The probability, of 2**16, that the next bit is a one: 1 to 65535.

    Args:
        m: The sketch.
        node: Of 1 to 15, which bit of the slots it is.
        stage: Which question.
        kind: Of bit, see `experts`.
        near: 0 to 1023, what else chooses weights.
    """
    now, x = m.now, m.mixer.inputs
    two = scattered(now[TWO] + (stage << 8 | node) * FACTORS[2])
    wide = STAGES * _LEVELS + (two & (1 << _REFINEMENTS) - 1)
    ask_refine(m.refined, wide)
    n = m.hashes.shape[0]
    for i in range(n):
        state = np.int64(m.table[m.slots[i] + HISTORIES + node])
        at = (i * STAGES + stage) * history.STATES + state
        m.states[i] = at
        x[i] = m.stretch[m.cells[at] >> 20]
        x[n + i] = x[i] * m.sure[state] >> 1
    level = consult(m.experts, x, 2 * n, kind, m.stretch)
    x[2 * n + 2 * EXPERTS] = 256
    pattern = now[PATTERN] & _PATTERNS - 1
    chosen = m.mixer.chosen
    chosen[0] = stage * _LEVELS + level
    chosen[1] = _BY_PATTERN + pattern * 8 + (stage if stage < FLAGS else FLAGS + kind)
    chosen[2] = _BY_NEAR + near
    chosen[_SETS] = stage
    chosen[_SETS + 1] = STAGES + pattern * _LEVELS + level
    mixed = mix(m.mixer)
    p = m.squash[mixed + OUTER]
    p1, now[_REFINED] = refine(m.refined, stage * _LEVELS + level, mixed)
    p2, now[_REFINED2] = refine(m.refined, wide, mixed)
    return min(max(2 * p + p1 + p2 + 2 >> 2, 1), 65535)


@inline
def take_in(m: Sketch, node: int, bit: int) -> None:
    """Learn from the bit."""
    now = m.now
    train(m.mixer, bit, max(_RATE, _RATE_FIRST * _RATE_SPAN // (_RATE_SPAN + now[_DONE])))
    now[_DONE] += 1
    refine_learn(m.refined, now[_REFINED], bit)
    refine_learn(m.refined, now[_REFINED2], bit)
    for i in range(m.hashes.shape[0]):
        at = m.states[i]
        m.table[m.slots[i] + HISTORIES + node] = m.follow[(at & history.STATES - 1) << 1 | bit]
        learn(m.cells, at, bit, _LIMIT, m.reciprocals)
    learn_experts(m.experts, bit, m.reciprocals)
