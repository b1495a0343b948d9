"""Prediction of samples and coding of residuals, one plane at a time.

**Prediction.** A class c of places has weights w for neighbours v, of 2^10, and q = (sum of
w v + 2^7) >> 8, held within the range of samples, is a prediction with two bits below those of
samples. The sample is coded as what it is more than (q + 2) >> 2, modulo its range. |4 x - q|
is its error. Errors e around a sample, weighed, and the floor of the class tell how rough it
is here: u = (floor + sum of t e) >> 9, and `_level` of u, four to an octave, and the phase of
q choose a law.

**Lanes.** Four rows are coded together. Lane k is `LAG` pixels behind lane k - 1, so that all
neighbours are there; at each step, each lane that is inside its row codes one sample. Lanes
have states of their own and share the words:

    slot = x mod 2^15; the token is the one with start <= slot < start + freq
    x = freq * (x div 2^15) + slot - start; if x < 2^16: x = x * 2^16 + the next word

and for n plain bits likewise, with freq = 2^(15 - n). States are from 2^16 to 2^32 - 1; the
encoder goes backwards from states of 2^16.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np

from nncomp.codecs.image.laws import BITS
from nncomp.codecs.image.plates import ABOVE, SIDE, Array
from nncomp.coding.jit import bare_inline as inline
from nncomp.coding.jit import bare_kernel, kernel

__all__ = [
    "AHEAD",
    "COARSE",
    "FIRST",
    "LANES",
    "LEVELS",
    "Coder",
    "Model",
    "decode_plane",
    "decode_table",
    "encode_plane",
    "judge_plane",
    "level_table",
    "predict_plane",
]

LANES = 4
LAG = 4
FIRST = 1 << 16
LEVELS = 76
COARSE = 10
"""log2 of the places of a law from which its tokens are searched."""
AHEAD = LANES * 3
"""Words that a decoder may look at behind the last."""

_FINE = BITS - COARSE
_MASK = (1 << BITS) - 1
_ERROR_MAX = (1 << 15) - 1
_WORDS = 3  # that a sample takes at most
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


class Coder(NamedTuple):
    """The laws of a plane.

    Attributes:
        law: uint64[LEVELS * PHASES], which law a context has.
        start: int64[laws, tokens + 1], where the slots of tokens begin.
        coarse: uint8[laws, 2**COARSE], tokens of slots that are multiples of 32.
        low: int64[tokens], the first residual of each.
        plain: int64[tokens], plain bits that follow.
    """

    law: Array
    start: Array
    coarse: Array
    low: Array
    plain: Array


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
def _predicted(values: Array, at: int, g: Array, plane: int, m: Model, c: np.uint64) -> Any:
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
def _context(
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
def _class(m: Model, y: int, line: int, x: int) -> Any:
    """The class of a place; `line` is the row of blocks."""
    if y == 0:
        return np.uint64(len(m.floor) - 1)
    return np.uint64(m.places[line, x >> m.log[0]])


@inline
def _start_row(plates: Array, at: int, stride: int) -> None:
    """The left margin: the first sample of the row above."""
    for k in range(1, SIDE + 1):
        plates[at - k] = plates[at - stride]


@inline
def _end_row(plates: Array, at: int) -> None:
    """The right margin, from the first sample behind the row."""
    for k in range(SIDE):
        plates[at + k] = plates[at - 1]


@inline
def _end_plane(plates: Array, g: Array, start: int) -> None:
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
            q = _predicted(values, at + x, g, plane, m, _class(m, y, line, x))
            predictions[row, x] = q
            errors[np.uint64(at + x)] = min(
                abs(4 * np.int64(values[np.uint64(at + x)]) - q), _ERROR_MAX
            )
        if y:
            _start_row(errors, at, stride)
        _end_row(errors, at + width)
    _end_plane(errors, g, plane * g[5])


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
            c = _class(m, y, line, x)
            q: Any = np.int64(predictions[row, x])
            contexts[row, x] = _context(errors, at + x, g, plane, m, c, q, levels)
            value = np.int64(values[np.uint64(at + x)])
            residuals[row, x] = ((value - ((q + 2) >> 2) + half) & (2 * half - 1)) - half


@inline
def _push(x: int, start: int, freq: int, words: Array, at: int) -> Any:
    """The state after a symbol, and where the next word goes, which is before this one."""
    if x >= freq << 32 - BITS:
        words[at] = x & 0xFFFF
        at -= 1
        x >>= 16
    return (x // freq << BITS) + x % freq + start, at


@bare_kernel
def encode_plane(
    contexts: Array,
    residuals: Array,
    half: int,
    of: Array,
    k: Coder,
    states: Array,
    words: Array,
    at: int,
) -> int:
    """Push a plane, backwards; where the next word goes, -1 if there is no more room."""
    rows, width = contexts.shape
    groups = (rows - 1) // LANES + 1
    for group in range(groups - 1, -1, -1):
        for t in range(width + (LANES - 1) * LAG - 1, -1, -1):
            if at < LANES * _WORDS:
                return -1
            for lane in range(LANES - 1, -1, -1):
                row, x = group * LANES + lane, t - lane * LAG
                if x < 0 or x >= width or row >= rows:
                    continue
                r = residuals[row, x]
                token = np.int64(of[r + half])
                law = k.law[contexts[row, x]]
                state = states[lane]
                plain = k.plain[token]
                if plain:
                    free = BITS - plain
                    state, at = _push(state, (r - k.low[token]) << free, 1 << free, words, at)
                start = k.start[law, token]
                states[lane], at = _push(state, start, k.start[law, token + 1] - start, words, at)
    return at


@inline
def _pull(state: Any, law: int, k: Coder, words: Array, at: int) -> Any:
    """A residual, the state after it, and where the next word is."""
    slot = state & _MASK
    token = np.uint64(k.coarse[law, np.uint64(slot >> _FINE)])
    while slot >= k.start[law, token + _ONE]:
        token += _ONE
    start = k.start[law, token]
    state = (k.start[law, token + _ONE] - start) * (state >> BITS) + slot - start
    if state < FIRST:
        state = state << 16 | np.int64(words[np.uint64(at)])
        at += 1
    r = k.low[token]
    plain = k.plain[token]
    if plain:
        free = BITS - plain
        slot = state & _MASK
        r += slot >> free
        state = (state >> BITS << free) + (slot & (1 << free) - 1)
        if state < FIRST:
            state = state << 16 | np.int64(words[np.uint64(at)])
            at += 1
    return r, state, at


@bare_kernel
def decode_table(
    k: Coder, contexts: Array, states: Array, words: Array, at: int, out: Array
) -> int:
    """Fill in int64[rows, columns] of contexts uint16[rows, columns]; see `decode_plane`."""
    last = len(words) - LANES * _WORDS
    rows, width = out.shape
    for group in range((rows - 1) // LANES + 1):
        for t in range(width + (LANES - 1) * LAG):
            if at > last:
                return -1
            for lane in range(LANES):
                row, x = group * LANES + lane, t - lane * LAG
                if 0 <= x < width and row < rows:
                    law = k.law[contexts[row, x]]
                    out[row, x], states[lane], at = _pull(states[lane], law, k, words, at)
    return at


@bare_kernel
def decode_plane(
    values: Array,
    errors: Array,
    g: Array,
    plane: int,
    m: Model,
    levels: Array,
    k: Coder,
    states: Array,
    words: Array,
    at: int,
    lanes: Array,
) -> int:
    """Fill in a plane; where the next word is, -1 if there are none left.

    Args:
        values: Plates of samples, of which the planes before are there.
        errors: Plates of errors, likewise.
        g: `Shape.numbers`.
        plane: Which.
        m: Its model.
        levels: See `level_table`.
        k: Its laws.
        states: int64[LANES].
        words: uint16[n], with `LANES * 3` more behind the last.
        at: Where the next word is.
        lanes: int64[3, LANES], room for where lanes are.
    """
    height, width, stride, half = g[1], g[2], g[3], g[6]
    rows = g[0] * height
    down = (height - 1 >> m.log[0]) + 1
    last = len(words) - LANES * _WORDS
    for group in range((rows - 1) // LANES + 1):
        for lane in range(LANES):
            row = group * LANES + lane
            lanes[0, lane] = plane * g[5] + row // height * g[4]
            lanes[1, lane] = row % height
            lanes[0, lane] += (ABOVE + lanes[1, lane]) * stride + SIDE
            lanes[2, lane] = down * (row // height) + (lanes[1, lane] >> m.log[0])
        for t in range(width + (LANES - 1) * LAG):
            if at > last:
                return -1
            for lane in range(LANES):
                row, x = group * LANES + lane, t - lane * LAG
                if x < 0 or x >= width or row >= rows:
                    continue
                y, here = lanes[1, lane], lanes[0, lane] + x
                if x == 0 and y:
                    _start_row(values, here, stride)
                    _start_row(errors, here, stride)
                c = _class(m, y, lanes[2, lane], x)
                q = _predicted(values, here, g, plane, m, c)
                law = k.law[_context(errors, here, g, plane, m, c, q, levels)]
                r, states[lane], at = _pull(states[lane], law, k, words, at)
                value = ((r + ((q + 2) >> 2) + half) & (2 * half - 1)) - half
                values[np.uint64(here)] = value
                errors[np.uint64(here)] = min(abs(4 * value - q), _ERROR_MAX)
                if x == width - 1:
                    _end_row(values, here + 1)
                    _end_row(errors, here + 1)
    _end_plane(values, g, plane * g[5])
    _end_plane(errors, g, plane * g[5])
    return at
