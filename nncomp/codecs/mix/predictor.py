"""The predictor: all parts together, one bit after the other.

    contexts --> slots --> maps --\
    matches ---------------------- mixers --> last mixer --> refinements --> probability
    samples ---------------------/

`begin_byte`, then for each bit `predict` and `update`, then `end_byte`.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix import history
from nncomp.codecs.mix.contexts import record_contexts, text_contexts
from nncomp.codecs.mix.layout import NUMBERS, RECORDS, TEXT, Layout
from nncomp.codecs.mix.maps import learn, refine, refine_learn, refinements
from nncomp.codecs.mix.match import (
    LENGTHS,
    MATCHES,
    find_matches,
    learn_matches,
    match_cell,
    match_maps,
)
from nncomp.codecs.mix.mixer import Mixer, mix, mixer, train
from nncomp.codecs.mix.numeric import (
    PREDICTORS,
    Numeric,
    note_bit,
    numeric,
    numeric_contexts,
    sample_odds,
    start_numeric,
)
from nncomp.codecs.mix.past import (
    AT,
    C4,
    CONTEXTS,
    KIND,
    RATE,
    SELECT,
    new_past,
    note_byte,
)
from nncomp.codecs.mix.slots import BUCKET, find, hashed, note_run
from nncomp.codecs.mix.tables import OUTER, reciprocals, squash_table, stretch_table
from nncomp.coding.jit import bare_inline as inline

__all__ = ["Predictor", "begin_byte", "end_byte", "predict", "predictor", "update"]

Array = NDArray[Any]

_INPUTS = 3  # of each context
_OTHERS = 2 * MATCHES + 2 + PREDICTORS
_PROBABILITY = (1 << 22) - 1
_COUNT = 127
_PLACES = 20  # log2 of the places of a match
_STATE_LIMIT = 255

# Fields of `now`.
_PARTIAL, _DONE, _NODE, _P, _REFINED, _REFINED2, _TOUCHED, _LAST = range(8)

_ROWS_ORDER = 256
_ROWS_MATCH = _ROWS_ORDER + 64 * 8
_ROWS_SELECT = _ROWS_MATCH + 32 * 8
_ROWS_SELECT1 = _ROWS_SELECT + 256 * 8
_ROWS_SELECT2 = _ROWS_SELECT1 + 256
_ROWS = _ROWS_SELECT2 + 256


class Predictor(NamedTuple):
    """All that is learned, and where the current bit stands."""

    table: Array
    buckets: Array
    bytes_buckets: Array
    contexts: Array
    states: Array
    runs: Array
    cells: Array
    places: Array
    match_cells: Array
    match_at: Array
    indirect: Array
    refined: Array
    mixer: Mixer
    numeric: Numeric
    past: Array
    buf: Array
    now: Array
    stretch: Array
    squash: Array
    reciprocals: Array
    follow: Array


def predictor(layout: Layout, size: int, table: int, contexts: int) -> Predictor:
    """A predictor that knows nothing yet.

    Args:
        layout: What the bytes are taken for.
        size: How many there are.
        table: log2 of the buckets of the slot table.
        contexts: How many contexts are in use.
    """
    h = new_past(layout.kind, layout.element, layout.row, layout.plane, contexts)
    start_numeric(h, layout.sample)
    c = history.counts().astype(np.int64)
    cells = ((2 * c[:, 1] + 1 << 22) // (2 * c.sum(1) + 2)) << 10
    squash = squash_table()
    return Predictor(
        table=np.zeros(BUCKET << table, np.uint32),
        buckets=np.zeros(contexts, np.int64),
        bytes_buckets=np.zeros(contexts, np.int64),
        contexts=np.zeros(32, np.int64),
        states=np.zeros(contexts, np.int64),
        runs=np.full(contexts * 512, 1 << 31, np.uint32),
        cells=np.tile(cells, contexts).astype(np.uint32),
        places=np.zeros(MATCHES << min(_PLACES, table), np.int32),
        match_cells=match_maps(),
        match_at=np.zeros(MATCHES, np.int64),
        indirect=np.zeros(256 + 65536, np.int64),
        refined=refinements(65536 + 65536),
        mixer=mixer(_INPUTS * contexts + _OTHERS, _ROWS, squash),
        numeric=numeric(layout),
        past=h,
        buf=np.zeros(size, np.uint8),
        now=np.zeros(8, np.int64),
        stretch=stretch_table(),
        squash=squash,
        reciprocals=reciprocals(),
        follow=history.transitions(),
    )


@inline
def begin_byte(m: Predictor) -> None:
    """Before the first bit of a byte."""
    h = m.past
    if h[KIND] == TEXT:
        text_contexts(h, m.buf, m.indirect, m.contexts)
    elif h[KIND] == RECORDS:
        record_contexts(h, m.buf, m.indirect, m.contexts)
    else:
        numeric_contexts(h, m.buf, m.numeric, m.contexts)
    find_matches(h, m.buf, m.places)
    h[RATE] = max(10, 80 * 16384 // (16384 + h[AT]))
    m.now[_PARTIAL] = 1
    m.now[_DONE] = 0


@inline
def _find_buckets(m: Predictor) -> None:
    """At each half of a byte: the buckets of all contexts."""
    half = 0 if m.now[_DONE] == 0 else m.now[_PARTIAL]
    mask = m.table.shape[0] // BUCKET - 1
    n = m.past[CONTEXTS]
    touched = np.int64(0)
    for i in range(n):
        h = hashed(m.contexts[i], half << 8 | i)
        m.buckets[i] = h
        touched += m.table[(h & mask) * BUCKET]
    m.now[_TOUCHED] = touched
    for i in range(n):
        m.buckets[i] = find(m.table, mask, m.buckets[i])
    if half == 0:
        for i in range(n):
            m.bytes_buckets[i] = m.buckets[i]


@inline
def _context_inputs(m: Predictor, x: Array) -> int:
    """What the contexts say; returns how many know something."""
    partial, done, node = m.now[_PARTIAL], m.now[_DONE], m.now[_NODE]
    known = 0
    for i in range(m.past[CONTEXTS]):
        slot = np.int64(m.table[m.buckets[i] + node])
        state = slot & 0xFF
        j = _INPUTS * i
        if state == 0:
            x[j] = 0
            x[j + 1] = 0
        else:
            x[j] = m.stretch[m.cells[i * 256 + state] >> 20]
            x[j + 1] = m.stretch[(slot >> 16 ^ 0x8000) >> 4]
            known += 1
        word: Any = np.int64(m.table[m.bytes_buckets[i]])
        byte = word >> 16 & 0xFF | 256
        if word >> 24 and byte >> (8 - done) == partial:
            at = i * 512 + min(word >> 24, 127) * 2 + (byte >> (7 - done) & 1)
            m.states[i] = at
            x[j + 2] = m.stretch[m.runs[at] >> 20]
        else:
            m.states[i] = -1
            x[j + 2] = 0
    return known


@inline
def _other_inputs(m: Predictor, x: Array, j: int) -> int:
    """Matches and samples; returns the level of the longest match."""
    partial, done = m.now[_PARTIAL], m.now[_DONE]
    longest = 0
    for k in range(MATCHES):
        at = match_cell(m.past, k, partial, done)
        m.match_at[k] = at
        x[j] = 0
        x[j + 1] = 0
        if at >= 0:
            p = np.int64(m.match_cells[at] >> 20)
            x[j] = m.stretch[p]
            x[j + 1] = p - 2048 >> 1
            if longest == 0:
                longest = (at >> 1) % LENGTHS
        j += 2
    x[j] = 256
    if m.past[KIND] == NUMBERS:
        sample_odds(m.past, m.numeric)
        for k in range(PREDICTORS + 1):
            x[j + 1 + k] = m.stretch[min(m.numeric.odds[k] >> 4, 4095)]
    return longest


@inline
def predict(m: Predictor) -> Any:
    """The probability, of 2**16, that the next bit is a one: 1 to 65535."""
    now, h = m.now, m.past
    partial, done = now[_PARTIAL], now[_DONE]
    if done & 3 == 0:
        _find_buckets(m)
    now[_NODE] = partial if done < 4 else (1 << done - 4) | partial & (1 << done - 4) - 1
    x = m.mixer.inputs
    n = h[CONTEXTS]
    known = _context_inputs(m, x)
    longest = _other_inputs(m, x, _INPUTS * n)
    level = longest if longest < 16 else min(16 + (longest - 16 >> 2), 31)
    chosen = m.mixer.chosen
    chosen[0] = partial
    chosen[1] = _ROWS_ORDER + known * 8 + done
    chosen[2] = _ROWS_MATCH + level * 8 + done
    chosen[3] = _ROWS_SELECT + h[SELECT] * 8 + done
    chosen[4] = _ROWS_SELECT1 + h[SELECT + 1]
    chosen[5] = _ROWS_SELECT2 + h[SELECT + 2]
    last, bit, z = partial, done, np.int32(0)
    if h[KIND] == NUMBERS:
        # What the experts say together, in place of bytes that mean little.
        z = x[_INPUTS * n + _OTHERS - 1] + 2048
        last = bit = (h[AT] & 1) * 8 + done
        chosen[2] = _ROWS_MATCH + (x[_INPUTS * n + 2 * MATCHES + 4] + 2048 >> 8) * 16 + bit
    now[_LAST] = last
    mixed = mix(m.mixer, last)
    p = m.squash[mixed + OUTER]
    now[_P] = p
    c4 = h[C4]
    first = partial | (c4 & 0xFF) << 8
    wide = 65536 + (hashed(c4 & 0xFFFFFF, partial) >> 20 & 0xFFFF)
    if h[KIND] == NUMBERS:
        first = bit << 8 | z >> 4
        wide = 65536 + (h[SELECT] << 4 | bit)
    p1, now[_REFINED] = refine(m.refined, first, mixed)
    p2, now[_REFINED2] = refine(m.refined, wide, mixed)
    return min(max(2 * p + p1 + p2 + 2 >> 2, 1), 65535)


@inline
def update(m: Predictor, bit: int) -> None:
    """Learn from the bit."""
    now, h = m.now, m.past
    train(m.mixer, now[_LAST], now[_P], bit, h[RATE])
    refine_learn(m.refined, now[_REFINED], bit)
    refine_learn(m.refined, now[_REFINED2], bit)
    node = now[_NODE]
    for i in range(h[CONTEXTS]):
        at = m.buckets[i] + node
        slot: Any = np.int64(m.table[at])
        state = slot & 0xFF
        count = slot >> 8 & 0xFF
        p = slot >> 16 ^ 0x8000
        p += (65535 * bit - p) * m.reciprocals[count] >> 16
        state2: Any = np.int64(m.follow[2 * state + bit])
        m.table[at] = (p ^ 0x8000) << 16 | min(count + 1, _COUNT) << 8 | state2
        learn(m.cells, i * 256 + state, bit, _STATE_LIMIT, m.reciprocals)
        if m.states[i] >= 0:
            learn(m.runs, m.states[i], bit, 1023, m.reciprocals)
    if h[KIND] == NUMBERS:
        note_bit(h, m.numeric, bit)
    learn_matches(h, m.match_cells, m.match_at, bit, m.reciprocals)
    now[_PARTIAL] = now[_PARTIAL] << 1 | bit
    now[_DONE] += 1


@inline
def end_byte(m: Predictor) -> None:
    """After the last bit of a byte."""
    byte = m.now[_PARTIAL] & 0xFF
    for i in range(m.past[CONTEXTS]):
        note_run(m.table, m.bytes_buckets[i], byte)
    note_byte(m.past, m.buf, m.indirect, byte)
