"""Coding of residuals to words, one plane at a time.

Four rows are coded together. Lane k is `LAG` pixels behind lane k - 1, so that all
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
from nncomp.codecs.image.predict import (
    ERROR_MAX,
    Model,
    class_of,
    context_of,
    end_plane,
    end_row,
    predicted,
    start_row,
)
from nncomp.coding.jit import bare_inline as inline
from nncomp.coding.jit import bare_kernel

__all__ = [
    "AHEAD",
    "COARSE",
    "FIRST",
    "LANES",
    "Coder",
    "decode_plane",
    "decode_table",
    "encode_plane",
]

LANES = 4
LAG = 4
FIRST = 1 << 16
COARSE = 10
"""log2 of the places of a law from which its tokens are searched."""
AHEAD = LANES * 3
"""Words that a decoder may look at behind the last."""

_FINE = BITS - COARSE
_MASK = (1 << BITS) - 1
_WORDS = 3  # that a sample takes at most
_ONE = np.uint64(1)


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


@inline
def _start_lanes(lanes: Array, group: int, g: Array, plane: int, m: Model, down: int) -> None:
    """Of each lane of a group: where its row begins, which row of a frame and of blocks it is."""
    for lane in range(LANES):
        row = group * LANES + lane
        f, y = row // g[1], row % g[1]
        lanes[0, lane] = plane * g[5] + f * g[4] + (ABOVE + y) * g[3] + SIDE
        lanes[1, lane] = y
        lanes[2, lane] = down * f + (y >> m.log[0])


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
        _start_lanes(lanes, group, g, plane, m, down)
        for t in range(width + (LANES - 1) * LAG):
            if at > last:
                return -1
            for lane in range(LANES):
                row, x = group * LANES + lane, t - lane * LAG
                if x < 0 or x >= width or row >= rows:
                    continue
                y, here = lanes[1, lane], lanes[0, lane] + x
                if x == 0 and y:
                    start_row(values, here, stride)
                    start_row(errors, here, stride)
                c = class_of(m, y, lanes[2, lane], x)
                q = predicted(values, here, g, plane, m, c)
                law = k.law[context_of(errors, here, g, plane, m, c, q, levels)]
                r, states[lane], at = _pull(states[lane], law, k, words, at)
                value = ((r + ((q + 2) >> 2) + half) & (2 * half - 1)) - half
                values[np.uint64(here)] = value
                errors[np.uint64(here)] = min(abs(4 * value - q), ERROR_MAX)
                if x == width - 1:
                    end_row(values, here + 1)
                    end_row(errors, here + 1)
    end_plane(values, g, plane * g[5])
    end_plane(errors, g, plane * g[5])
    return at
