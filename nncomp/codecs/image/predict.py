"""Prediction of samples, one plane at a time.

A class c of places has weights w for neighbours v, of 2^10, and q = (sum of
w v + 2^7) >> 8, held within the range of samples, is a prediction with two bits below those of
samples. The sample is coded as what it is more than (q + 2) >> 2, modulo its range. |4 x - q|
is its error. Errors e around a sample, weighed, and the floor of the class tell how rough it
is here: u = (floor + sum of t e) >> 9, and `_level` of u, four to an octave, and the phase of
q choose a law.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nncomp.codecs.image.plates import ABOVE, SIDE, Array
from nncomp.coding.jit import bare_inline as inline
from nncomp.coding.jit import bare_kernel, kernel

__all__ = [
    "ERROR_MAX",
    "LEVELS",
    "Model",
    "class_of",
    "context_of",
    "end_plane",
    "end_row",
    "judge_plane",
    "level_table",
    "predict_plane",
    "predicted",
    "start_row",
]

LEVELS = 76
ERROR_MAX = (1 << 15) - 1

_LEVEL_TOP = 4095
_ONE, _TWO, _THREE = np.uint64(1), np.uint64(2), np.uint64(3)


class Model(NamedTuple):
    """How a plane is predicted.

    Attributes:
        weights: int64[classes + 1, n], 2**10 for one, in the order of `taps.sample_taps`; the
            last class is that of first rows.
        trust: int64[m], weights of errors, 2**10 for one, in the order of `taps.error_taps`.
        floor: int64[classes + 1], added to these errors.
        places: uint8[rows, columns] of blocks: their classes.
        log: int64[1], log2 of the size of blocks.
    """

    weights: Array
    trust: Array
    floor: Array
    places: Array
    log: Array


@inline
def _level(u: int) -> Any:
    """Four steps to an octave, from 8 on."""
    n = 0
    if u > _LEVEL_TOP:
        n = 32
        u = min(u >> 8, _LEVEL_TOP)
    if u < 8:
        return n + max(u, 0)
    while u >= 16:
        u >>= 1
        n += 4
    return n + 8 + (u - 8 >> 1)


@inline
def _own(v: Array, i: np.uint64, s: np.uint64, w: Array, c: np.uint64) -> Any:
    """Neighbours in the same plane, weighed."""
    a = i - s
    b = a - s
    total = v[i - _ONE] * w[c, 0] + v[a] * w[c, 1] + v[a - _ONE] * w[c, 2]
    total += v[a + _ONE] * w[c, 3] + v[i - _TWO] * w[c, 4] + v[b] * w[c, 5]
    total += v[a - _TWO] * w[c, 6] + v[a + _TWO] * w[c, 7] + v[b - _ONE] * w[c, 8]
    return total + v[b + _ONE] * w[c, 9] + v[i - _THREE] * w[c, 10] + v[b - s] * w[c, 11]


@inline
def _before(v: Array, i: np.uint64, s: np.uint64, w: Array, c: np.uint64, k: int) -> Any:
    """Neighbours in a plane before, weighed from weight k on."""
    a = i - s
    total = v[i] * w[c, k] + v[i - _ONE] * w[c, k + 1] + v[a] * w[c, k + 2]
    total += v[i + _ONE] * w[c, k + 3] + v[i + s] * w[c, k + 4]
    return total + v[a - _ONE] * w[c, k + 5] + v[a + _ONE] * w[c, k + 6]


@inline
def predicted(values: Array, at: int, g: Array, plane: int, m: Model, c: np.uint64) -> Any:
    """The prediction of a sample, in quarters."""
    i, s, half = np.uint64(at), np.uint64(g[3]), g[6]
    total = _own(values, i, s, m.weights, c)
    if plane > 0:
        total += _before(values, np.uint64(at - g[5]), s, m.weights, c, 12)
    if plane > 1:
        total += _before(values, np.uint64(at - 2 * g[5]), s, m.weights, c, 19)
    return min(max((total + 128) >> 8, -4 * half), 4 * half - 4)


@inline
def _rough_own(e: Array, i: np.uint64, s: np.uint64, t: Array) -> Any:
    """Errors in the same plane, weighed."""
    a = i - s
    total = e[i - _ONE] * t[0] + e[a] * t[1] + e[a - _ONE] * t[2]
    return total + e[a + _ONE] * t[3] + e[i - _TWO] * t[4] + e[a - s] * t[5]


@inline
def _rough_before(e: Array, i: np.uint64, s: np.uint64, t: Array, k: int) -> Any:
    """Errors in a plane before, weighed from weight k on."""
    total = e[i] * t[k] + e[i - _ONE] * t[k + 1] + e[i - s] * t[k + 2]
    return total + e[i + _ONE] * t[k + 3] + e[i + s] * t[k + 4]


@inline
def context_of(
    errors: Array, at: int, g: Array, plane: int, m: Model, c: np.uint64, q: int, levels: Array
) -> Any:
    """The context of a residual."""
    i, s = np.uint64(at), np.uint64(g[3])
    total = m.floor[c] + _rough_own(errors, i, s, m.trust)
    if plane > 0:
        total += _rough_before(errors, np.uint64(at - g[5]), s, m.trust, 6)
    if plane > 1:
        total += _rough_before(errors, np.uint64(at - 2 * g[5]), s, m.trust, 11)
    u = min(max(total >> 9, 0), (_LEVEL_TOP << 8) + 255)
    level = np.int64(levels[u]) if u <= _LEVEL_TOP else np.int64(levels[u >> 8]) + 32
    return np.uint64(4 * level + ((q + 2) & 3))


@inline
def class_of(m: Model, y: int, line: int, x: int) -> Any:
    """The class of a place; `line` is the row of blocks."""
    if y == 0:
        return np.uint64(len(m.floor) - 1)
    return np.uint64(m.places[line, x >> m.log[0]])


@inline
def start_row(plates: Array, at: int, stride: int) -> None:
    """The left margin: the first sample of the row above."""
    for k in range(1, SIDE + 1):
        plates[at - k] = plates[at - stride]


@inline
def end_row(plates: Array, at: int) -> None:
    """The right margin, from the first sample behind the row."""
    for k in range(SIDE):
        plates[at + k] = plates[at - 1]


@inline
def end_plane(plates: Array, g: Array, start: int) -> None:
    """The rows below frames."""
    for f in range(g[0]):
        below = start + f * g[4] + (ABOVE + g[1]) * g[3]
        for k in range(g[3]):
            plates[below + k] = plates[below + k - g[3]]


@kernel
def level_table() -> Array:
    """The levels of small numbers, uint8[4096]."""
    levels = np.empty(_LEVEL_TOP + 1, np.uint8)
    for u in range(_LEVEL_TOP + 1):
        levels[u] = _level(u)
    return levels


@bare_kernel
def predict_plane(
    values: Array, errors: Array, g: Array, plane: int, m: Model, predictions: Array
) -> None:
    """Predictions of a plane, and its errors.

    Args:
        values: Plates of samples, with margins.
        errors: Plates of errors; this plane's are filled in.
        g: `Shape.numbers`.
        plane: Which.
        m: Its model; trust and floor do not matter.
        predictions: int32[frames * height, width], in quarters, filled in.
    """
    height, width, stride = g[1], g[2], g[3]
    down = (height - 1 >> m.log[0]) + 1
    for row in range(g[0] * height):
        f, y = row // height, row % height
        line = down * f + (y >> m.log[0])
        at = plane * g[5] + f * g[4] + (ABOVE + y) * stride + SIDE
        for x in range(width):
            q = predicted(values, at + x, g, plane, m, class_of(m, y, line, x))
            predictions[row, x] = q
            errors[np.uint64(at + x)] = min(
                abs(4 * np.int64(values[np.uint64(at + x)]) - q), ERROR_MAX
            )
        if y:
            start_row(errors, at, stride)
        end_row(errors, at + width)
    end_plane(errors, g, plane * g[5])


@bare_kernel
def judge_plane(
    values: Array,
    errors: Array,
    g: Array,
    plane: int,
    m: Model,
    levels: Array,
    predictions: Array,
    contexts: Array,
    residuals: Array,
) -> None:
    """Contexts and residuals of a plane.

    Args:
        values: Plates of samples, with margins.
        errors: Plates of errors of this plane and those before.
        g: `Shape.numbers`.
        plane: Which.
        m: Its model.
        levels: See `level_table`.
        predictions: int32[frames * height, width], in quarters.
        contexts: uint16[frames * height, width], filled in.
        residuals: int32[frames * height, width], filled in.
    """
    height, width, stride, half = g[1], g[2], g[3], g[6]
    down = (height - 1 >> m.log[0]) + 1
    for row in range(g[0] * height):
        f, y = row // height, row % height
        line = down * f + (y >> m.log[0])
        at = plane * g[5] + f * g[4] + (ABOVE + y) * stride + SIDE
        for x in range(width):
            c = class_of(m, y, line, x)
            q: Any = np.int64(predictions[row, x])
            contexts[row, x] = context_of(errors, at + x, g, plane, m, c, q, levels)
            value = np.int64(values[np.uint64(at + x)])
            residuals[row, x] = ((value - ((q + 2) >> 2) + half) & (2 * half - 1)) - half
