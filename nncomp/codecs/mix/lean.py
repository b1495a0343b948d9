r"""The lean predictor: little of everything, for speed.

    five contexts --> slots --> maps --\
    one match -------------------------- one mixer --> one refinement --> probability

It is made of the same parts as `predictor`, takes all bytes for text and asks each part
once. As there, what a bit taught is learned while memory is on its way.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix import history
from nncomp.codecs.mix.maps import ask_refine, refine, refine_learn, refinements
from nncomp.codecs.mix.slots import HISTORIES, LINE, ask_line, find, hashed
from nncomp.codecs.mix.tables import OUTER, squash_table, stretch_table
from nncomp.codecs.mix.tally import Tally, note_cost, note_weighed
from nncomp.coding.binary_coder import ROOM, decode_bit, encode_bit
from nncomp.coding.jit import bare_inline as inline
from nncomp.coding.jit import bare_kernel

__all__ = ["Lean", "code_lean", "lean"]

Array = NDArray[Any]

_CONTEXTS = 5
_INPUTS = 8  # contexts, a match, a constant
_PLACES = 18  # log2 of the places of the match
_LEAST, _LONGEST = 6, 32  # bytes of a match
_RATE = 7  # of maps
_STEP = 10  # of the mixer, at least
_WEIGHT = 60_000  # 2**18 for one

# Fields of `now`.
_AT, _C8, _WORD, _PARTIAL, _DONE, _NODE, _MIXED, _ROW, _REFINED, _BIT = range(10)
_LENGTH, _MATCH, _EXPECTED, _CELL = range(10, 14)


class Lean(NamedTuple):
    """All that is learned, and where the current bit stands.

    Attributes:
        table: See `slots`.
        contexts: int64[5], of this byte.
        hashes: int64[5], of this half of the byte.
        slots: int64[5], where the contexts stand in `table` for this half.
        states: int64[5], the cells that this bit's histories chose.
        cells: int32[5 * 256], probabilities of 2**16 by history.
        places: int32, where the newest bytes stood before, by their hash.
        match_cells: int32[33], probabilities of 2**16 that a match goes on, by length.
        inputs: int32[8], stretched.
        weights: int32[1024, 8], 2**18 for one, by match and bits of the byte.
        refined: See `maps`.
        buf: uint8, the bytes so far.
        now: int64, see the names above.
    """

    table: Array
    contexts: Array
    hashes: Array
    slots: Array
    states: Array
    cells: Array
    places: Array
    match_cells: Array
    inputs: Array
    weights: Array
    refined: Array
    buf: Array
    now: Array
    stretch: Array
    squash: Array
    follow: Array


def lean(size: int, table: int) -> Lean:
    """A predictor that knows nothing yet, for `size` bytes, with 2**table lines of slots."""
    c = history.counts().astype(np.int64)
    cells = (2 * c[:, 1] + 1 << 16) // (2 * c.sum(1) + 2)
    now = np.zeros(16, np.int64)
    now[_BIT] = -1
    return Lean(
        table=np.zeros(LINE << table, np.uint8),
        contexts=np.zeros(_CONTEXTS, np.int64),
        hashes=np.zeros(_CONTEXTS, np.int64),
        slots=np.zeros(_CONTEXTS, np.int64),
        states=np.zeros(_CONTEXTS, np.int64),
        cells=np.tile(cells, _CONTEXTS).astype(np.int32),
        places=np.zeros(1 << min(_PLACES, table + 2), np.int32),
        match_cells=np.full(_LONGEST + 1, 60000, np.int32),
        inputs=np.zeros(_INPUTS, np.int32),
        weights=np.full((1024, _INPUTS), _WEIGHT, np.int32),
        refined=refinements(65536),
        buf=np.zeros(size, np.uint8),
        now=now,
        stretch=stretch_table(),
        squash=squash_table(),
        follow=history.transitions(),
    )


@inline
def _begin_byte(m: Lean) -> None:
    now = m.now
    c8, word = now[_C8], now[_WORD]
    m.contexts[0] = c8 & 0xFF
    m.contexts[1] = c8 & 0xFFFF
    m.contexts[2] = c8 & 0xFFFFFF
    m.contexts[3] = hashed(word, c8 & 0xFF) if word else c8 & 0xFFFF00
    m.contexts[4] = c8 & 0xFFFFFFFFFF
    _find_match(m)
    now[_PARTIAL] = 1
    now[_DONE] = 0


@inline
def _find_match(m: Lean) -> None:
    """Go on with the match, or look for one."""
    now, at = m.now, m.now[_AT]
    if now[_LENGTH]:
        now[_LENGTH] = min(now[_LENGTH] + 1, _LONGEST)
        now[_MATCH] += 1
    place = hashed(now[_C8] & 0xFFFFFFFFFFFF, 1) >> 20 & (m.places.shape[0] - 1)
    if now[_LENGTH] == 0:
        before: Any = np.int64(m.places[place])
        length, most = 0, min(before, _LONGEST)
        while length < most and m.buf[before - 1 - length] == m.buf[at - 1 - length]:
            length += 1
        if length >= _LEAST:
            now[_LENGTH] = length
            now[_MATCH] = before
    m.places[place] = at
    now[_EXPECTED] = np.int64(m.buf[now[_MATCH]]) | 256


@inline
def _predict(m: Lean) -> Any:
    """The probability, of 2**16, that the next bit is a one."""
    now, x = m.now, m.inputs
    partial, done = now[_PARTIAL], now[_DONE]
    if done & 3 == 0:
        half = 0 if done == 0 else partial
        for i in range(_CONTEXTS):
            m.hashes[i] = hashed(m.contexts[i], half << 8 | i)
            ask_line(m.table, m.hashes[i])
    narrow = partial | (now[_C8] & 0xFF) << 8
    ask_refine(m.refined, narrow)
    if now[_BIT] >= 0:
        _learn(m)
    if done & 3 == 0:
        for i in range(_CONTEXTS):
            m.slots[i] = find(m.table, m.hashes[i])
    node = partial if done < 4 else (1 << done - 4) | partial & (1 << done - 4) - 1
    now[_NODE] = node
    for i in range(_CONTEXTS):
        at = i * 256 + np.int64(m.table[m.slots[i] + HISTORIES + node])
        m.states[i] = at
        x[i] = m.stretch[m.cells[at] >> 4]
    _match_input(m, partial, done)
    mixed = _mix(x, m.weights[now[_ROW]])
    now[_MIXED] = m.squash[mixed + OUTER]
    p, now[_REFINED] = refine(m.refined, narrow, mixed)
    return min(max(now[_MIXED] + p + 1 >> 1, 1), 65535)


@inline
def _mix(x: Array, w: Array) -> Any:
    dot = np.int32(0)
    for i in range(_INPUTS):
        dot = np.int32(dot + np.int32(x[i] * np.int32(w[i] >> 4)))
    return min(max(dot >> 14, -OUTER), OUTER)


@inline
def _match_input(m: Lean, partial: int, done: int) -> None:
    """What the match says, and the row of weights that it chooses."""
    now, x = m.now, m.inputs
    length, expected = now[_LENGTH], now[_EXPECTED]
    now[_ROW] = partial
    x[_CONTEXTS] = 0
    if length:
        if expected >> (8 - done) == partial:
            p = m.stretch[m.match_cells[length] >> 4]
            now[_CELL] = length
            x[_CONTEXTS] = p if expected >> (7 - done) & 1 else -p
            now[_ROW] = partial | (256 if length < 16 else 512 if length < 32 else 768)
        else:
            now[_LENGTH] = 0
    x[_CONTEXTS + 1] = 256


@inline
def _learn(m: Lean) -> None:
    """Learn from the bit before."""
    now, x = m.now, m.inputs
    bit, node = now[_BIT], now[_NODE]
    target = bit << 16
    refine_learn(m.refined, now[_REFINED], bit)
    rate = max(_STEP, 60 * 16384 // (16384 + now[_AT]))
    step = np.int32((target - now[_MIXED]) * rate >> 4)
    w = m.weights[now[_ROW]]
    for i in range(_INPUTS):
        w[i] += np.int32(np.int32(np.int32(x[i] * step) + np.int32(0x2000)) >> np.int32(14))
    target -= bit
    for i in range(_CONTEXTS):
        at = m.states[i]
        m.cells[at] += target - m.cells[at] >> _RATE
        m.table[m.slots[i] + HISTORIES + node] = m.follow[(at & 0xFF) << 1 | bit]
    if x[_CONTEXTS]:
        length = now[_CELL]
        hit = 65535 if (x[_CONTEXTS] > 0) == bit else 0
        m.match_cells[length] += hit - m.match_cells[length] >> _RATE


@inline
def _end_byte(m: Lean) -> int:
    """Remember the byte."""
    now = m.now
    byte: int = now[_PARTIAL] & 0xFF
    m.buf[now[_AT]] = byte
    now[_AT] += 1
    now[_C8] = (now[_C8] << 8 | byte) & 0xFFFFFFFFFFFFFF
    letter = byte | 32
    if 97 <= letter <= 122 or byte >= 128:
        now[_WORD] = hashed(now[_WORD], letter)
    else:
        now[_WORD] = 0
    return byte


@bare_kernel
def code_lean(
    m: Lean, raw: Array, coded: Array, state: Array, decoding: bool, tally: Tally | None
) -> Any:
    """As `coder.code_bytes`, with the lean predictor."""
    for at in range(raw.shape[0]):
        if not decoding and state[2] + ROOM > coded.shape[0]:
            return -1
        byte: Any = np.int64(0) if decoding else np.int64(raw[at])
        _begin_byte(m)
        for k in range(8):
            p = _predict(m)
            if decoding:
                bit = decode_bit(state, coded, p)
            else:
                bit = byte >> 7 - k & 1
                encode_bit(state, coded, bit, p)
            if tally is not None:
                note_cost(tally, m.now[_AT], bit, p)
                note_weighed(tally, m.inputs, m.weights[m.now[_ROW]], bit)
            m.now[_BIT] = bit
            m.now[_PARTIAL] = m.now[_PARTIAL] << 1 | bit
            m.now[_DONE] += 1
        raw[at] = _end_byte(m)
    return state[2]
