"""Samples and pixels: predicted as numbers, then coded around the prediction.

A sample is one byte, or two with the upper one first. Its neighbours (the ones before it
in its row, those around it in the row above, those in the plane before) predict it in
three ways: a linear predictor that learns online, a fixed one, and one across planes. Each
prediction gives every bit a probability, as if the sample followed the logistic law
around it, as wide as errors were of late among neighbours as rough as these; and the
predictions are contexts of the memory, too.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.past import AT, C4, ELEMENT, PLANE, ROW, SAMPLE, SELECT
from nncomp.codecs.mix.slots import hashed
from nncomp.codecs.mix.tables import TAIL, logistic_table
from nncomp.coding.jit import bare_inline as inline

__all__ = ["PREDICTORS", "Numeric", "note_sample", "numeric", "numeric_contexts", "sample_odds"]

Array = NDArray[Any]

PREDICTORS = 3
_TAPS = 18
_IN_PLANE = 10  # taps in the plane of the sample
_SOUND = 16  # taps back in time
_LEVELS = 24  # of roughness
_FINE = 4  # bits of a prediction below those of the sample

# Fields of the past.
_BYTES, _GUESS, _ROUGH, _SO_FAR, _BASE = SAMPLE, SAMPLE + 1, SAMPLE + 5, SAMPLE + 6, SAMPLE + 7
_SCALE = SAMPLE + 8
_MISS = SAMPLE + 12
_NEAR = SAMPLE + 16  # the six nearest taps as they are, and the one in the other plane


class Numeric(NamedTuple):
    """What is learned of numbers.

    Attributes:
        taps: int64[_TAPS], the neighbours, less a base.
        weights: int64[phases * _TAPS], 2**20 for one.
        errors: int64[PREDICTORS * _LEVELS], mean magnitude of errors, 2**8 for one.
        law: See `tables.logistic_table`.
    """

    taps: Array
    weights: Array
    errors: Array
    law: Array


def numeric(width: int) -> Numeric:
    """A predictor of samples of so many bytes that gives the one before."""
    weights = np.zeros(8 * _TAPS, np.int64)
    errors = np.full(PREDICTORS * _LEVELS, 8 << 8 * width, np.int64)
    return Numeric(np.zeros(_TAPS, np.int64), weights, errors, logistic_table())


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
def _gather(h: Array, buf: Array, taps: Array) -> None:
    """The neighbours, nearest first."""
    x, row, plane = h[ELEMENT], h[ROW], h[PLANE]
    n = 0
    if row:
        for back in (
            x,
            row,
            row + x,
            row - x,
            2 * x,
            2 * row,
            row - 2 * x,
            row + 2 * x,
            2 * row - x,
            2 * row + x,
        ):
            taps[n] = _sample(h, buf, back)
            n += 1
        if plane:
            for back in (
                plane,
                plane + x,
                plane + row,
                plane - x,
                plane - row,
                2 * plane,
                plane + row + x,
                plane + row - x,
            ):
                taps[n] = _sample(h, buf, back)
                n += 1
    else:
        for k in range(1, _SOUND + 1):
            taps[n] = _sample(h, buf, k * x)
            n += 1
        if plane:
            for back in (plane, plane + x):
                taps[n] = _sample(h, buf, back)
                n += 1
    while n < _TAPS:
        taps[n] = 0
        n += 1


@inline
def _differ(h: Array, t: Array) -> None:
    """Neighbours, less the base; sounds, less the sample before each."""
    if h[ROW]:
        for k in range(_TAPS if h[PLANE] else _IN_PLANE):
            t[k] -= h[_BASE]
    else:
        for k in range(_SOUND - 1):
            t[k] -= t[k + 1]
        t[_SOUND - 1] = 0
        for k in range(_SOUND, _TAPS if h[PLANE] else _SOUND):
            t[k] -= h[_BASE]


@inline
def _begin(h: Array, buf: Array, m: Numeric) -> None:
    """Predict the next sample."""
    t = m.taps
    _gather(h, buf, t)
    top = (1 << 8 * h[_BYTES]) - 1
    w, n, nw, ne = t[0], t[1], t[2], t[3]
    if h[ROW]:
        h[_BASE] = w + n >> 1
        fixed = min(max(w + n - nw, min(w, n)), max(w, n)) << _FINE
        rough = abs(w - nw) + abs(n - nw) + abs(n - ne)
        if h[PLANE]:
            p, pw, pn = t[10], t[11], t[12]
            other = (w + n << 1) + (4 * p - 2 * (pw + pn)) << _FINE - 2
            rough += abs(2 * p - pw - pn)
        else:
            other = w + ne - n + w << _FINE - 1
    else:
        h[_BASE] = w
        fixed = 2 * w - n << _FINE
        other = 3 * w - 3 * n + nw << _FINE
        rough = abs(w - n) + abs(n - nw)
    for k in range(6):
        h[_NEAR + k] = t[k]
    h[_NEAR + 6] = t[_IN_PLANE] if h[PLANE] and h[ROW] else t[_SOUND]
    _differ(h, t)
    own = (h[AT] % h[ELEMENT] // h[_BYTES]) * _TAPS
    total = 0
    for k in range(_TAPS):
        total += t[k] * m.weights[own + k]
    guess = (h[_BASE] << _FINE) + (total >> 20 - _FINE)
    level = 0
    rough += h[_MISS] >> 8
    while rough > 1 and level < _LEVELS - 1:
        rough = rough * 2 // 3 if rough > 3 else rough - 1
        level += 1
    h[_ROUGH] = level
    h[_GUESS] = min(max(guess, 0), top << _FINE)
    h[_GUESS + 1] = min(max(fixed, 0), top << _FINE)
    h[_GUESS + 2] = min(max(other, 0), top << _FINE)
    for k in range(PREDICTORS):
        error = m.errors[k * _LEVELS + level]
        h[_SCALE + k] = (64 * 1420 << 14 - _FINE + 8) // (1024 * max(error, 24))


@inline
def note_sample(h: Array, buf: Array, m: Numeric) -> None:
    """After a byte: learn from the sample that it ended, and predict the next."""
    size = h[_BYTES]
    if h[AT] % size:
        h[_SO_FAR] = h[C4] & 0xFF
        return
    if h[AT] > 0:
        value = h[C4] & ((1 << 8 * size) - 1)
        for k in range(PREDICTORS):
            at = k * _LEVELS + h[_ROUGH]
            miss = abs((value << _FINE) - h[_GUESS + k]) << 8 - _FINE
            m.errors[at] += miss - m.errors[at] >> 5
            if k == 0:
                h[_MISS] += miss - h[_MISS] >> 2
        error = (value << _FINE) - h[_GUESS]
        power = 0
        for k in range(_TAPS):
            power += m.taps[k] * m.taps[k]
        step = (error << 20 - _FINE) // (power + (16 << 4 * (size - 1)))
        own = ((h[AT] - size) % h[ELEMENT] // size) * _TAPS
        # Pictures stay as they are for longer than sounds do.
        slow = 7 if h[ROW] else 5
        for k in range(_TAPS):
            m.weights[own + k] += step * m.taps[k] >> slow
    h[_SO_FAR] = 0
    _begin(h, buf, m)


@inline
def sample_odds(h: Array, m: Numeric, k: int, partial: int, done: int) -> Any:
    """The probability, of 2**16, that the next bit is a one after prediction k."""
    left = 8 * (h[_BYTES] - h[AT] % h[_BYTES]) - done
    prefix = (h[_SO_FAR] << done) | (partial - (1 << done))
    low = prefix << left << _FINE
    middle = low + (1 << left - 1 + _FINE) - (1 << _FINE - 1)
    high = low + (1 << left + _FINE) - (1 << _FINE - 1)
    low -= 1 << _FINE - 1
    scale, guess = h[_SCALE + k], h[_GUESS + k]
    a = _below(m.law, (low - guess) * scale >> 14)
    b = _below(m.law, (middle - guess) * scale >> 14)
    c = _below(m.law, (high - guess) * scale >> 14)
    return ((c - b + 512) << 16) // (c - a + 1024)


@inline
def _below(law: Array, x: int) -> Any:
    return law[min(max(x, -TAIL), TAIL) + TAIL]


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
    """Predictions and neighbours: 20 contexts."""
    note_sample(h, buf, m)
    c4 = h[C4]
    w, n, nw, ne = h[_NEAR], h[_NEAR + 1], h[_NEAR + 2], h[_NEAR + 3]
    ww, nn, p = h[_NEAR + 4], h[_NEAR + 5], h[_NEAR + 6]
    g, f, o = h[_GUESS] >> _FINE, h[_GUESS + 1] >> _FINE, h[_GUESS + 2] >> _FINE
    second = h[AT] % h[_BYTES]
    known = second << 8 | (h[_SO_FAR] if second else 0)
    phase = h[AT] % h[ELEMENT]
    ctx[0] = hashed(phase, 0)
    ctx[1] = _near(h, w)
    ctx[2] = _near(h, n)
    ctx[3] = _near(h, g)
    ctx[4] = _near(h, f)
    ctx[5] = _near(h, o)
    ctx[6] = hashed(_near(h, g), h[_ROUGH])
    ctx[7] = hashed(_near(h, f), h[_ROUGH])
    ctx[8] = hashed(_near(h, w), _near(h, n))
    ctx[9] = hashed(_near(h, g) >> 1, _near(h, f) >> 1)
    ctx[10] = _near(h, w + n >> 1)
    ctx[11] = hashed(_near(h, n), _near(h, nw))
    ctx[12] = _near(h, 2 * w - ww)
    ctx[13] = _near(h, 2 * n - nn)
    ctx[14] = _near(h, w + ne - n)
    ctx[15] = hashed(_near(h, p), _near(h, g) >> 1)
    ctx[16] = hashed(_near(h, f) >> 1, _near(h, o) >> 1)
    ctx[17] = c4 & 0xFFFF
    ctx[18] = c4 & 0xFFFFFF
    ctx[19] = hashed(h[AT] % max(h[PLANE], h[ROW], 1), _near(h, n) >> 3)
    for i in range(20):
        ctx[i] = hashed(ctx[i], known)
    h[SELECT] = h[_ROUGH] * 8 + min(phase, 7)
    h[SELECT + 1] = (g >> 8 * (h[_BYTES] - 1)) & 0xFF if second == 0 else h[_SO_FAR]
    h[SELECT + 2] = min(h[_MISS] >> 6, 63) << 2 | min(phase, 3)


def start_numeric(h: Array, size: int) -> None:
    """Samples of so many bytes."""
    h[_BYTES] = size
