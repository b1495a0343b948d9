r"""The predictor: all parts together, one bit after the other.

    contexts --> slots --> maps --\
            \--> counters ---------\
    matches ---------------------- mixers --> last mixer --> refinements --> probability
    samples, network ------------/

`begin_byte`, then for each bit `predict` and `update`, then `end_byte`. What a bit taught
is learned by the next `predict`, while the memory that it asked for is on its way.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix import history
from nncomp.codecs.mix.contexts import letter_contexts, record_contexts, text_contexts
from nncomp.codecs.mix.counters import ask_counters, counters, find_counters
from nncomp.codecs.mix.layout import LETTERS, NUMBERS, RECORDS, TEXT, Layout
from nncomp.codecs.mix.maps import ask_refine, learn, refine, refine_learn, refinements
from nncomp.codecs.mix.match import (
    LENGTHS,
    MATCHES,
    find_matches,
    learn_matches,
    match_cell,
    match_maps,
)
from nncomp.codecs.mix.mixer import Mixer, mix, mixer, train
from nncomp.codecs.mix.network import NODES, network_odds
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
    COLUMN,
    CONTEXTS,
    KIND,
    RATE,
    SELECT,
    new_past,
    note_byte,
)
from nncomp.codecs.mix.slots import HISTORIES, LINE, NEWEST, ask_line, find, hashed, note_run
from nncomp.codecs.mix.tables import OUTER, reciprocals, squash_table, stretch_table
from nncomp.coding.jit import bare_inline as inline

__all__ = [
    "COUNTED",
    "LANE",
    "Predictor",
    "begin_byte",
    "end_byte",
    "predict",
    "predictor",
    "update",
]

if TYPE_CHECKING:
    from collections.abc import Sequence

Array = NDArray[Any]

_MAPS = 9  # of the histories of a context: by the run, and the bit that it expects
_OTHERS = 2 * MATCHES + 2 + PREDICTORS
COUNTED = 8
"""How many contexts have counters, too."""
_COUNT = 1023
_PLACES = 20  # log2 of the places of a match
_STATE_LIMIT = 1023

# Fields of `now`.
_PARTIAL, _DONE, _NODE, _REFINED, _REFINED2, _BIT, LANE, _CODED, _NETWORK = range(9)

_SETS = 6  # of weights, and one more with a network

_ROWS_ORDER = 256
_ROWS_MATCH = _ROWS_ORDER + 64 * 8
_ROWS_SELECT = _ROWS_MATCH + 32 * 8
_ROWS_SELECT1 = _ROWS_SELECT + 256 * 8
_ROWS_SELECT2 = _ROWS_SELECT1 + 256
_ROWS_NETWORK = _ROWS_SELECT2 + 256
_ROWS = _ROWS_NETWORK + 32 * 8
_LAST_SELECT = 256
_LAST_ROWS = _LAST_SELECT + 256 * 8


class Predictor(NamedTuple):
    """All that is learned, and where the current bit stands.

    Attributes:
        table: See `slots`.
        counters: See `counters`.
        contexts: int64, of this byte.
        hashes: int64[contexts], of this half of the byte.
        slots: int64[contexts], where the contexts stand in `table` for this half.
        first_slots: int64[contexts], the same for the first half.
        counts: int64[counted], where contexts stand in `counters`.
        run_bytes: int64[contexts], the newest byte of each with a leading 1, or 0.
        run_maps: int64[contexts], the first cell of the map of its run.
        states: int64[contexts], the cells that this bit's histories chose.
        cells: uint32, an adaptive map of histories for each context and `_MAPS`.
        sure: int32[256], 1 for histories of one bit alone.
    """

    table: Array
    counters: Array
    hashes: Array
    slots: Array
    first_slots: Array
    counts: Array
    run_bytes: Array
    run_maps: Array
    states: Array
    contexts: Array
    cells: Array
    sure: Array
    places: Array
    match_cells: Array
    match_at: Array
    indirect: Array
    refined: Array
    mixer: Mixer
    numeric: Numeric
    pasts: Array
    buf: Array
    now: Array
    network: Array
    stretch: Array
    squash: Array
    reciprocals: Array
    follow: Array


def predictor(
    layout: Layout,
    size: int,
    table: int,
    contexts: int,
    starts: Sequence[int] = (0,),
    network: bool = False,
) -> Predictor:
    """A predictor that knows nothing yet.

    Args:
        layout: What the bytes are taken for.
        size: How many there are.
        table: log2 of the lines of the slot table.
        contexts: How many contexts are in use.
        starts: Where the lanes begin that the bytes are coded in, turn about.
        network: Whether a network's predictions come along, by `note_network`.
    """
    kind = layout.kind, layout.element, layout.row, layout.plane
    pasts = np.stack([new_past(*kind, contexts, start) for start in starts])
    for h in pasts:
        start_numeric(h, layout.sample)
    counted = min(contexts, COUNTED)
    c = history.counts().astype(np.int64)
    cells = ((2 * c[:, 1] + 1 << 22) // (2 * c.sum(1) + 2)) << 10
    squash = squash_table()
    return Predictor(
        table=np.zeros(LINE << table, np.uint8),
        counters=counters(1 << max(table - 2, 0)),
        hashes=np.zeros(contexts, np.int64),
        slots=np.zeros(contexts, np.int64),
        first_slots=np.zeros(contexts, np.int64),
        counts=np.zeros(counted, np.int64),
        run_bytes=np.zeros(contexts, np.int64),
        run_maps=np.zeros(contexts, np.int64),
        states=np.zeros(contexts, np.int64),
        contexts=np.zeros(32, np.int64),
        cells=np.tile(cells, contexts * _MAPS).astype(np.uint32),
        sure=((c.min(1) == 0) & (c.max(1) > 0)).astype(np.int32),
        places=np.zeros(MATCHES << min(_PLACES, table), np.int32),
        match_cells=match_maps(),
        match_at=np.zeros(MATCHES, np.int64),
        indirect=np.zeros(256 + 65536, np.int64),
        refined=refinements(65536 + 65536),
        mixer=mixer(
            2 * contexts + counted + _OTHERS + 2 * network,
            _ROWS,
            _LAST_ROWS,
            _SETS + network,
            squash,
        ),
        numeric=numeric(layout),
        pasts=pasts,
        buf=np.zeros(size, np.uint8),
        now=np.array([0, 0, 0, 0, 0, -1, 0, 0, 0], np.int64),
        network=np.zeros(NODES if network else 0, np.int64),
        stretch=stretch_table(),
        squash=squash,
        reciprocals=reciprocals(),
        follow=history.transitions(),
    )


@inline
def begin_byte(m: Predictor) -> None:
    """Before the first bit of a byte."""
    h = m.pasts[m.now[LANE]]
    if h[KIND] == TEXT:
        text_contexts(h, m.buf, m.indirect, m.contexts)
    elif h[KIND] == RECORDS:
        record_contexts(h, m.buf, m.indirect, m.contexts)
    elif h[KIND] == LETTERS:
        letter_contexts(h, m.contexts)
    else:
        numeric_contexts(h, m.buf, m.numeric, m.contexts)
    find_matches(h, m.buf, m.places)
    h[RATE] = max(10, 80 * 16384 // (16384 + m.now[_CODED]))
    m.now[_CODED] += 1
    m.now[_PARTIAL] = 1
    m.now[_DONE] = 0


@inline
def _ask(m: Predictor) -> None:
    """At each half of a byte: ask for what is known of the contexts."""
    half = 0 if m.now[_DONE] == 0 else m.now[_PARTIAL]
    for i in range(m.pasts[m.now[LANE]][CONTEXTS]):
        h = hashed(m.contexts[i], half << 8 | i)
        m.hashes[i] = h
        ask_line(m.table, h)
    for i in range(m.counts.shape[0]):
        ask_counters(m.counters, m.hashes[i])


@inline
def _find(m: Predictor) -> None:
    """At each half of a byte: look up all contexts."""
    n = m.pasts[m.now[LANE]][CONTEXTS]
    for i in range(n):
        m.slots[i] = find(m.table, m.hashes[i])
    for i in range(m.counts.shape[0]):
        m.counts[i] = find_counters(m.counters, m.hashes[i])
    if m.now[_DONE] == 0:
        for i in range(n):
            slot = m.slots[i]
            m.first_slots[i] = slot
            run = m.table[slot + NEWEST + 1]
            m.run_bytes[i] = np.int64(m.table[slot + NEWEST]) | 256 if run else 0
            m.run_maps[i] = 256 + 512 * (0 if run < 2 else 1 if run < 3 else 2 if run < 6 else 3)


@inline
def _context_inputs(m: Predictor, x: Array) -> int:
    """What the contexts say; returns how many know something."""
    partial, done, node = m.now[_PARTIAL], m.now[_DONE], m.now[_NODE]
    known = 0
    n = m.pasts[m.now[LANE]][CONTEXTS]
    for i in range(n):
        state = np.int64(m.table[m.slots[i] + HISTORIES + node])
        known += 1 if state else 0
        byte = m.run_bytes[i]
        hit = byte >> (8 - done) == partial
        at = i * (256 * _MAPS) + state
        at += m.run_maps[i] + ((byte >> (7 - done) & 1) << 8) if hit else 0
        m.states[i] = at
        x[i] = m.stretch[m.cells[at] >> 20]
        x[n + i] = x[i] * m.sure[state] >> 1
    for i in range(m.counts.shape[0]):
        x[2 * n + i] = m.stretch[m.counters[m.counts[i] + node] >> 20]
    return known


@inline
def _other_inputs(m: Predictor, x: Array, j: int) -> int:
    """Matches, samples, the network; returns the level of the longest match."""
    h = m.pasts[m.now[LANE]]
    partial, done = m.now[_PARTIAL], m.now[_DONE]
    longest = 0
    for k in range(MATCHES):
        at = match_cell(h, k, partial, done)
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
    if h[KIND] == NUMBERS:
        sample_odds(h, m.numeric)
        for k in range(PREDICTORS + 1):
            x[j + 1 + k] = m.stretch[min(m.numeric.odds[k] >> 4, 4095)]
    if m.network.shape[0]:
        p = network_odds(m.network, partial)
        m.now[_NETWORK] = m.stretch[p >> 4]
        x[j + 2 + PREDICTORS] = m.now[_NETWORK]
        x[j + 3 + PREDICTORS] = p - 32768 >> 5
    return longest


@inline
def predict(m: Predictor) -> Any:
    """The probability, of 2**16, that the next bit is a one: 1 to 65535."""
    now, h = m.now, m.pasts[m.now[LANE]]
    partial, done = now[_PARTIAL], now[_DONE]
    if done & 3 == 0:
        _ask(m)
    c4 = h[C4]
    wide = 65536 + (hashed(c4 & 0xFFFFFF, partial) >> 20 & 0xFFFF)
    ask_refine(m.refined, partial | (c4 & 0xFF) << 8)
    ask_refine(m.refined, wide)
    if now[_BIT] >= 0:
        _learn(m)
    if done & 3 == 0:
        _find(m)
    now[_NODE] = partial if done < 4 else (1 << done - 4) | partial & (1 << done - 4) - 1
    x = m.mixer.inputs
    n = h[CONTEXTS]
    known = _context_inputs(m, x)
    others = 2 * n + m.counts.shape[0]
    longest = _other_inputs(m, x, others)
    level = longest if longest < 16 else min(16 + (longest - 16 >> 2), 31)
    chosen = m.mixer.chosen
    chosen[0] = partial
    chosen[1] = _ROWS_ORDER + known * 8 + done
    chosen[2] = _ROWS_MATCH + (h[COLUMN] if h[KIND] == TEXT else level * 8 + done)
    chosen[3] = _ROWS_SELECT + h[SELECT] * 8 + done
    chosen[4] = _ROWS_SELECT1 + h[SELECT + 1]
    chosen[5] = _ROWS_SELECT2 + h[SELECT + 2]
    if m.network.shape[0]:
        chosen[6] = _ROWS_NETWORK + (now[_NETWORK] + 2048 >> 7) * 8 + done
    last = m.mixer.last.shape[1]
    chosen[last] = partial
    first = partial | (c4 & 0xFF) << 8
    if h[KIND] == NUMBERS:
        # What the experts say together, in place of bytes that mean little.
        bit = (h[AT] & 1) * 8 + done
        chosen[2] = _ROWS_MATCH + (x[others + 2 * MATCHES + 4] + 2048 >> 8) * 16 + bit
        chosen[last] = bit
        first = bit << 8 | x[others + 2 * MATCHES + 1 + PREDICTORS] + 2048 >> 4
        wide = 65536 + (h[SELECT] << 4 | bit)
    chosen[last + 1] = _LAST_SELECT + h[SELECT] * 8 + done
    mixed = mix(m.mixer)
    p = m.squash[mixed + OUTER]
    p1, now[_REFINED] = refine(m.refined, first, mixed)
    p2, now[_REFINED2] = refine(m.refined, wide, mixed)
    return min(max(2 * p + p1 + p2 + 2 >> 2, 1), 65535)


@inline
def update(m: Predictor, bit: int) -> None:
    """Note the bit; `predict` learns from it while it waits for memory."""
    m.now[_BIT] = bit
    h = m.pasts[m.now[LANE]]
    if h[KIND] == NUMBERS:
        note_bit(h, m.numeric, bit)
    m.now[_PARTIAL] = m.now[_PARTIAL] << 1 | bit
    m.now[_DONE] += 1


@inline
def _learn(m: Predictor) -> None:
    """Learn from the bit before."""
    now, h = m.now, m.pasts[m.now[LANE]]
    bit = now[_BIT]
    train(m.mixer, bit, h[RATE])
    refine_learn(m.refined, now[_REFINED], bit)
    refine_learn(m.refined, now[_REFINED2], bit)
    node = now[_NODE]
    for i in range(h[CONTEXTS]):
        at = m.states[i]
        m.table[m.slots[i] + HISTORIES + node] = m.follow[(at & 0xFF) << 1 | bit]
        learn(m.cells, at, bit, _STATE_LIMIT, m.reciprocals)
    for i in range(m.counts.shape[0]):
        learn(m.counters, m.counts[i] + node, bit, _COUNT, m.reciprocals)
    learn_matches(h, m.match_cells, m.match_at, bit, m.reciprocals)


@inline
def end_byte(m: Predictor) -> None:
    """After the last bit of a byte."""
    byte = m.now[_PARTIAL] & 0xFF
    for i in range(m.pasts[m.now[LANE]][CONTEXTS]):
        note_run(m.table, m.first_slots[i], byte)
    note_byte(m.pasts[m.now[LANE]], m.buf, m.indirect, byte)
