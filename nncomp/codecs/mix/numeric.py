"""Samples and pixels: predicted as numbers, then coded around the predictions.

A sample is one byte, or two with the upper one first. Its neighbours (the ones before it,
those around it in the row above, those in planes before) predict it: by least squares over
three spans of time, and by fixed rules. Experts take a prediction for the middle and a
roughness (how wrong predictions were around here) for the width of a logistic law, which
gives every bit a probability. The experts together are one more: a mixture by how well each
foretold the samples before (fixed share: Herbster, Warmuth, "Tracking the best expert",
1998). All are inputs of the mixer; the predictions are contexts of the memory, too.
"""

from __future__ import annotations

from math import isqrt
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.least_squares import ONE, SPANS, Squares, learn_squares, squares
from nncomp.codecs.mix.neighbours import SOUND, places
from nncomp.codecs.mix.past import AT, C4, ELEMENT, PLANE, ROW, SAMPLE, SELECT
from nncomp.codecs.mix.slots import hashed
from nncomp.codecs.mix.tables import TAIL, logistic_table
from nncomp.coding.jit import bare_inline as inline

if TYPE_CHECKING:
    from nncomp.codecs.mix.layout import Layout

__all__ = [
    "EXPERTS",
    "PREDICTORS",
    "Numeric",
    "note_bit",
    "note_sample",
    "numeric",
    "numeric_contexts",
    "sample_odds",
]

Array = NDArray[Any]

PREDICTORS = 8
_LEVELS = 64  # of roughness
_FINE = 4  # bits of a prediction below those of the sample

_SHARE = 4
_ROOM = 64  # for neighbours; beyond those of a layout are zeros
_RING = 1 << 16  # samples whose errors are remembered
_EXPERT_GUESS = (0, 0, 1, 1, 2, 2, 3, 4)  # what each expert takes for the middle,
_EXPERT_LEVEL = (0, 1, 0, 1, 0, 1, 1, 1)  # and which roughness tells it how wide errors are
_GUESSES = (
    *(f"least squares, {span} span" for span in ("short", "middle", "long")),
    "first fixed rule",
    "second fixed rule",
)
EXPERTS = (*(_GUESSES[guess] for guess in _EXPERT_GUESS), "all experts together")
"""What the inputs of the mixer from `Numeric.odds` know."""

# Fields of the past.
_BYTES, _SO_FAR, _BASE, _PHASE = SAMPLE, SAMPLE + 1, SAMPLE + 2, SAMPLE + 3
_LEVEL = SAMPLE + 4  # two of them
_FAST, _SLOW = SAMPLE + 6, SAMPLE + 7  # mean magnitude of errors
_GUESS = SAMPLE + 8  # the guesses
_SCALE = SAMPLE + 16  # of the experts
_LOW, _WIDTH = SAMPLE + 24, SAMPLE + 25  # what the sample may be yet
_ROUGH = SAMPLE + 26  # of the neighbours
_NEAR = SAMPLE + 32  # the six nearest taps as they are, and the one in the other plane


class Numeric(NamedTuple):
    """What is learned of numbers.

    Attributes:
        places: int64[6, taps]: columns and lines to each neighbour, bytes to its plane, the
            two neighbours whose mean is its base, planes to its plane.
        near: int64[_ROOM], the neighbours as they are.
        around: int64[_ROOM], the magnitudes of the errors there.
        squares: The linear predictors.
        errors: int64[PREDICTORS * _LEVELS], mean magnitude of errors, 2**8 for one.
        misses: int64[_RING], magnitudes of errors of the newest samples, 2**4 for one.
        shares: int64[_LEVELS], what samples count with errors at a level, 2**16 for one.
        low: int64[PREDICTORS], what each expert gives to all below what is open yet,
        middle: of the sample, to all below its middle,
        high: to all below its end.
        odds: int64[PREDICTORS + 1], of the next bit; the last one of all together.
        trust: int64[PREDICTORS], the weight of each expert in that.
        law: See `tables.logistic_table`.
    """

    places: Array
    near: Array
    around: Array
    squares: Squares
    errors: Array
    misses: Array
    shares: Array
    low: Array
    middle: Array
    high: Array
    odds: Array
    trust: Array
    law: Array


def numeric(layout: Layout) -> Numeric:
    """A predictor of samples that gives the base."""
    where = places(layout)
    n = where.shape[1]
    phases = layout.element // layout.sample * (3 if layout.plane > layout.row else 1)
    return Numeric(
        where,
        np.zeros(_ROOM, np.int64),
        np.zeros(_ROOM, np.int64),
        squares(n, phases),
        np.tile(_nominal(), phases * PREDICTORS),
        np.zeros(_RING, np.int64),
        _shares(2 if layout.row else 1),
        np.zeros(PREDICTORS, np.int64),
        np.zeros(PREDICTORS, np.int64),
        np.zeros(PREDICTORS, np.int64),
        np.zeros(PREDICTORS + 1, np.int64),
        np.full(PREDICTORS, 1 << 34, np.int64),
        logistic_table(),
    )


def _nominal() -> Array:
    """The magnitude of errors that a level begins with, 2**8 for one."""
    levels = np.arange(_LEVELS, dtype=np.int64)
    mantissa = np.where(levels < 8, levels, 8 + 2 * (levels & 3) + 1)
    nominal: Array = np.maximum(mantissa << np.maximum(levels // 4 - 2, 0) + 6, 32)
    return nominal


def _shares(power: int) -> Array:
    """By level: samples with wide errors say less; pictures need this more than sounds."""
    nominal = [max(int(x) >> 6, 4) for x in _nominal()]
    return np.array([isqrt((1 << 32) * 4**power // n**power) for n in nominal], np.int64)


@inline
def _level(x: int) -> Any:
    """Four steps to an octave of x."""
    n = 0
    while x >= 16:
        x >>= 1
        n += 4
    if x >= 8:
        n += 8 + (x - 8 >> 1)
    else:
        n = x
    return min(n, _LEVELS - 1)


@inline
def _sample(h: Array, buf: Array, back: int) -> Any:
    """The sample so many bytes back."""
    at = h[AT] - back
    if back <= 0 or at < 0:
        return 0
    if h[_BYTES] == 1:
        return np.int64(buf[at])
    return np.int64(buf[at]) << 8 | np.int64(buf[at + 1])


@inline
def _gather(h: Array, buf: Array, m: Numeric) -> None:
    """The neighbours; for those beyond an edge, the nearest ones inside."""
    element, row = h[ELEMENT], h[ROW]
    inside = True
    column = columns = line = 0
    if row:
        columns = max(row // element, 1)
        column = h[AT] % row // element
        line = h[AT] % h[PLANE] // row if h[PLANE] > row else h[AT] // row
        inside = column >= 2 and column < columns - 2 and line >= 2
    for k in range(m.places.shape[1]):
        dx, dy, base = m.places[0, k], m.places[1, k], m.places[2, k]
        if not inside:
            dx = min(max(column + dx, 0), columns - 1) - column
            dy = max(line + dy, 0) - line
            if base == 0 and dy == 0 and dx >= 0:
                if line > 0:
                    dy = -1
                else:
                    dx = -1
        back = base - dy * row - dx * element
        m.near[k] = _sample(h, buf, back)
        m.around[k] = m.misses[(h[AT] - back) // h[_BYTES] & _RING - 1]


@inline
def _differ(h: Array, m: Numeric) -> None:
    """Neighbours, less the base of their plane; sounds, less the sample before each."""
    t, near = m.squares.taps, m.near
    own = h[_PHASE] if h[PLANE] > h[ROW] else 9
    for k in range(m.places.shape[1]):
        t[k + 1] = near[k] - (near[m.places[3, k]] + near[m.places[4, k]] >> 1)
        if m.places[5, k] > own:
            t[k + 1] = 0


@inline
def _guess(h: Array, m: Numeric, span: int) -> Any:
    """A linear prediction."""
    total = np.int64(0)
    s = m.squares
    phase = h[_PHASE]
    for k in range(m.places.shape[1]):
        total += np.int64(s.taps[k + 1]) * np.int64(s.weights[span, phase, k + 1])
    return (h[_BASE] << _FINE) + (total >> ONE - _FINE)


@inline
def _look(h: Array, m: Numeric) -> tuple[Any, Any]:
    """Two fixed predictions; and how rough it is here."""
    t = m.near
    w, n, nw, ne = t[0], t[1], t[2], t[3]
    if h[ROW]:
        h[_BASE] = w + n >> 1
        fixed = min(max(w + n - nw, min(w, n)), max(w, n)) << _FINE
        rough = abs(w - nw) + abs(n - nw) + abs(n - ne)
        if h[PLANE]:
            p, pw, pn = t[4], t[5], t[6]
            other = (w + n << 1) + (4 * p - 2 * (pw + pn)) << _FINE - 2
            rough += abs(2 * p - pw - pn)
        else:
            other = w + ne - n + w << _FINE - 1
        h[_ROUGH] = _level(rough)
        e = m.around
        q = 12 if h[PLANE] else 4
        energy = 2 * (e[0] + e[1]) + e[2] + e[3] + e[q] + e[q + 1]
        energy += e[q + 2] + e[q + 3] + e[q + 4] >> 1
        if h[_PHASE]:
            energy += 2 * e[4]
        h[_LEVEL] = _level(2 * (e[0] + e[1]) + e[2] + e[3] >> 3)
        h[_LEVEL + 1] = _level(energy >> 4)
    else:
        h[_BASE] = w
        fixed = 2 * w - n << _FINE
        other = 3 * w - 3 * n + nw << _FINE
        h[_ROUGH] = h[_LEVEL] = _level(h[_FAST] >> 6)
        h[_LEVEL + 1] = _level(h[_SLOW] >> 6)
    return fixed, other


@inline
def _begin(h: Array, buf: Array, m: Numeric) -> None:
    """Predict the next sample."""
    t = m.near
    own = h[AT] % h[ELEMENT] // h[_BYTES]
    if h[PLANE] > h[ROW]:
        own += h[AT] // h[PLANE] % 3 * (h[ELEMENT] // h[_BYTES])
    h[_PHASE] = own
    _gather(h, buf, m)
    top = (1 << 8 * h[_BYTES]) - 1
    fixed, other = _look(h, m)
    for k in range(4):
        h[_NEAR + k] = t[k]
    q = 12 if h[PLANE] and h[ROW] else 4
    h[_NEAR + 4] = t[q]
    h[_NEAR + 5] = t[q + 1]
    h[_NEAR + 6] = t[4] if h[PLANE] and h[ROW] else t[SOUND]
    _differ(h, m)
    for span in range(SPANS):
        h[_GUESS + span] = min(max(_guess(h, m, span), 0), top << _FINE)
    h[_GUESS + SPANS] = min(max(fixed, 0), top << _FINE)
    h[_GUESS + SPANS + 1] = min(max(other, 0), top << _FINE)
    for k in range(PREDICTORS):
        error = m.errors[(own * PREDICTORS + k) * _LEVELS + h[_LEVEL + _EXPERT_LEVEL[k]]]
        h[_SCALE + k] = (64 * 1420 << 24 - _FINE + 8) // (1024 * max(error, 24))


@inline
def note_sample(h: Array, buf: Array, m: Numeric) -> None:
    """After a byte: learn from the sample that it ended, and predict the next."""
    size = h[_BYTES]
    if h[AT] % size:
        h[_SO_FAR] = h[C4] & 0xFF
        return
    if h[AT] > 0:
        value = (h[C4] & ((1 << 8 * size) - 1)) << _FINE
        for k in range(PREDICTORS):
            at = (h[_PHASE] * PREDICTORS + k) * _LEVELS + h[_LEVEL + _EXPERT_LEVEL[k]]
            miss = abs(value - h[_GUESS + _EXPERT_GUESS[k]]) << 8 - _FINE
            m.errors[at] += miss - m.errors[at] >> 5
        miss = abs(value - h[_GUESS + 1])
        m.misses[h[AT] // size - 1 & _RING - 1] = miss
        near = (h[_FAST] >> 4) + miss
        h[_FAST] += (miss << 4) - h[_FAST] >> 2
        h[_SLOW] += (miss << 4) - h[_SLOW] >> 5
        m.squares.taps[0] = (value >> _FINE) - h[_BASE]
        learn_squares(m.squares, h[_PHASE], m.shares[_level(near >> 2)])
        _share(m)
    h[_SO_FAR] = 0
    _begin(h, buf, m)
    _open(h, m)


@inline
def _open(h: Array, m: Numeric) -> None:
    """Before the first bit of a sample: the whole range is open."""
    top = (1 << 8 * h[_BYTES] + _FINE) - (1 << _FINE - 1)
    h[_LOW], h[_WIDTH] = 0, 1 << 8 * h[_BYTES]
    for k in range(PREDICTORS):
        scale, guess = h[_SCALE + k], h[_GUESS + _EXPERT_GUESS[k]]
        m.low[k] = _below(m.law, (-(1 << _FINE - 1) - guess) * scale >> 16)
        m.high[k] = _below(m.law, (top - guess) * scale >> 16)


@inline
def sample_odds(h: Array, m: Numeric) -> None:
    """The probabilities, of 2**16, that the next bit is a one: of each expert, of all."""
    half = h[_WIDTH] >> 1
    middle = (h[_LOW] + half << _FINE) - (1 << _FINE - 1)
    total = np.int64(0)
    ones = np.int64(0)
    for k in range(PREDICTORS):
        scale, guess = h[_SCALE + k], h[_GUESS + _EXPERT_GUESS[k]]
        b = _below(m.law, (middle - guess) * scale >> 16)
        m.middle[k] = b
        p = ((m.high[k] - b + 512) << 16) // (m.high[k] - m.low[k] + 1024)
        m.odds[k] = p
        ones += m.trust[k] * p
        total += m.trust[k]
    m.odds[PREDICTORS] = min(max(ones // total, 1), 65535)


@inline
def note_bit(h: Array, m: Numeric, bit: int) -> None:
    """After a bit of a sample: what is left open, and who foretold it."""
    h[_WIDTH] >>= 1
    if bit:
        h[_LOW] += h[_WIDTH]
    total = np.int64(0)
    for k in range(PREDICTORS):
        p = m.odds[k]
        if bit:
            m.low[k] = m.middle[k]
        else:
            m.high[k] = m.middle[k]
            p = 65536 - p
        m.trust[k] = m.trust[k] * max(p, 1) >> 16
        total += m.trust[k]
    if total < 1 << 24:
        for k in range(PREDICTORS):
            m.trust[k] = m.trust[k] + 1 << 10


@inline
def _share(m: Numeric) -> None:
    """After a sample: no expert is distrusted for ever."""
    total = np.int64(0)
    for k in range(PREDICTORS):
        total += m.trust[k]
    for k in range(PREDICTORS):
        part = (m.trust[k] << 24) // total
        m.trust[k] = (part << 10) - (part << 10 - _SHARE) + (1 << 34 - _SHARE) // PREDICTORS


@inline
def _below(law: Array, x: int) -> Any:
    x = min(max(x, -TAIL << 8), TAIL - 1 << 8)
    at, part = (x >> 8) + TAIL, x & 255
    return law[at] + ((law[at + 1] - law[at]) * part >> 8)


@inline
def _near(h: Array, value: int) -> Any:
    """A prediction as a context: by what is left to say of the sample."""
    if h[_BYTES] == 1:
        return value
    if h[AT] % 2 == 0:
        return value >> 5
    return min(max(value - (h[_SO_FAR] << 8), -256), 511) >> 1


@inline
def numeric_contexts(h: Array, buf: Array, m: Numeric, ctx: Array) -> None:
    """Predictions and neighbours: 14 contexts."""
    note_sample(h, buf, m)
    c4 = h[C4]
    w, n, nw, ne = h[_NEAR], h[_NEAR + 1], h[_NEAR + 2], h[_NEAR + 3]
    nn, p = h[_NEAR + 5], h[_NEAR + 6]
    g, f = h[_GUESS + 1] >> _FINE, h[_GUESS + SPANS] >> _FINE
    second = h[AT] % h[_BYTES]
    known = second << 8 | (h[_SO_FAR] if second else 0)
    phase = h[AT] % h[ELEMENT]
    ctx[0] = hashed(_near(h, g), h[_LEVEL] >> 1)
    ctx[1] = hashed(_near(h, w), _near(h, n))
    ctx[2] = c4 & 0xFFFFFF
    ctx[3] = _near(h, w)
    ctx[4] = hashed(_near(h, n), _near(h, nw))
    ctx[5] = hashed(h[AT] % max(h[PLANE], h[ROW], 1), _near(h, n) >> 3)
    ctx[6] = _near(h, f)
    ctx[7] = c4 & 0xFFFF
    ctx[8] = hashed(_near(h, p), _near(h, g) >> 1)
    ctx[9] = _near(h, n)
    ctx[10] = hashed(_near(h, g) >> 1, _near(h, f) >> 1)
    ctx[11] = _near(h, w + ne - n)
    ctx[12] = hashed(_near(h, f), h[_ROUGH])
    ctx[13] = _near(h, 2 * n - nn)
    for i in range(14):
        ctx[i] = hashed(ctx[i], known)
    h[SELECT] = (h[_LEVEL + 1] >> 1) * 8 + min(phase, 7)
    h[SELECT + 1] = (g >> 8 * (h[_BYTES] - 1)) & 0xFF if second == 0 else h[_SO_FAR]
    h[SELECT + 2] = h[_ROUGH] << 2 | min(phase, 3)


def start_numeric(h: Array, size: int) -> None:
    """Samples of so many bytes."""
    h[_BYTES] = size
