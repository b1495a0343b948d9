"""How zlib chooses literals and matches; its `algorithm.txt` describes it.

Places with the same hash of three bytes hang in chains, the newest first. A match is looked
for along the chain, so far and so long as the settings say, and the longest one, of these the
newest, is taken; in the lazy way only after the next place has none longer.

zlib works in a window of twice its size, from which the older half goes when it has moved
nearly to the end. This shows in the result in three ways only: no match is as far away as the
window is large less the bytes looked ahead, the very first place is never found, and a
block whose start has left cannot be stored (`BASE` says what is left).
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.format import MATCH_MAX, MATCH_MIN
from nncomp.coding.deflate.settings import FILTERED, FILTERED_MIN, HUFFMAN, RUNS, Settings
from nncomp.coding.jit import inline, kernel

__all__ = [
    "BASE",
    "BLOCK_END",
    "WORK",
    "Matcher",
    "insert",
    "longest",
    "matcher",
    "next_block",
]

Array = NDArray[Any]

# Fields of the state.
_AT = 0  # the place reached
BASE = 1  # where the window begins
BLOCK_END = 2  # where the content of the last block ends
_FILLED = 3  # where it ends
_LENGTH, _START, _WAITING = 4, 5, 6  # lazy: the match, or the literal, of the place before
_WAY, _GOOD, _LAZY, _NICE, _TRIES, _SHORTEST, _FAR, _SYMBOLS, _WINDOW, _SHIFT = range(8, 18)
WORK = 18  # bytes that were compared
_FIELDS = 19

_GREEDY_WAY, _LAZY_WAY, _NO_MATCH_WAY, _RUN_WAY = range(4)
_AHEAD = MATCH_MAX + MATCH_MIN + 1  # bytes that zlib wants to have in the window


class Matcher(NamedTuple):
    """The state of choosing.

    Attributes:
        state: int64, see the fields above.
        newest: int32[hash], place of the newest three bytes of each hash, or -1.
        before: int32[window], the place before in the same chain, for each in the window.
        tokens: int32[symbols], of a block, see `format`.
    """

    state: Array
    newest: Array
    before: Array
    tokens: Array


def matcher(settings: Settings) -> Matcher:
    """At the beginning of the content."""
    s = np.zeros(_FIELDS, np.int64)
    s[_WAY] = _GREEDY_WAY if settings.greedy else _LAZY_WAY
    s[_WAY] = {HUFFMAN: _NO_MATCH_WAY, RUNS: _RUN_WAY}.get(settings.strategy, s[_WAY])
    s[_GOOD : _TRIES + 1] = settings.effort
    s[_SHORTEST] = FILTERED_MIN if settings.strategy == FILTERED else MATCH_MIN
    s[_FAR], s[_SYMBOLS], s[_WINDOW] = settings.far, settings.symbols, 1 << settings.window
    s[_LENGTH] = MATCH_MIN - 1
    bits = settings.memory + 7
    s[_SHIFT] = (bits + MATCH_MIN - 1) // MATCH_MIN
    newest = np.full(1 << bits, -1, np.int32)
    before = np.full(1 << settings.window, -1, np.int32)
    return Matcher(s, newest, before, np.zeros(settings.symbols, np.int32))


@kernel
def next_block(m: Matcher, raw: Array) -> tuple[int, bool]:
    """The tokens of the next block.

    Returns:
        How many, and whether it is the last block.
    """
    way = m.state[_WAY]
    if way == _GREEDY_WAY:
        return _greedy(m, raw)
    if way == _LAZY_WAY:
        return _lazy(m, raw)
    if way == _NO_MATCH_WAY:
        return _literals(m, raw)
    return _runs(m, raw)


@inline
def _look_ahead(s: Array, at: int, end: int, least: int) -> None:
    """Move the window on as zlib does when fewer than so many bytes are left in it."""
    if s[_FILLED] - at >= least:
        return
    if at >= s[BASE] + 2 * s[_WINDOW] - _AHEAD:
        s[BASE] += s[_WINDOW]
    s[_FILLED] = min(end, s[BASE] + 2 * s[_WINDOW])


@inline
def insert(m: Matcher, raw: Array, at: int) -> Any:
    """Hang a place into its chain; returns the one before."""
    shift = m.state[_SHIFT]
    a, b, c = np.int64(raw[at]), np.int64(raw[at + 1]), np.int64(raw[at + 2])
    h = (a << 2 * shift ^ b << shift ^ c) & m.newest.shape[0] - 1
    first = m.newest[h]
    m.before[at & m.before.shape[0] - 1] = first
    m.newest[h] = at
    return np.int64(first)


@inline
def longest(m: Matcher, raw: Array, at: int, first: Any, least: int) -> Any:
    """The longest match along a chain that is longer than `least`.

    Returns:
        Its length, `least` if there is none, and where it starts.
    """
    s, mask = m.state, m.before.shape[0] - 1
    end = min(MATCH_MAX, raw.shape[0] - at)
    nice = min(s[_NICE], end)
    tries = s[_TRIES] >> 2 if least >= s[_GOOD] else s[_TRIES]
    limit = max(at - (s[_WINDOW] - _AHEAD), 0)
    best: Any = least
    start: Any = np.int64(0)
    # All that is wanted is longer than what is left: nothing will be taken.
    if best >= end:
        return best, start
    place: Any = first
    while True:
        if raw[place + best] == raw[at + best] and raw[place + best - 1] == raw[at + best - 1]:
            length = 0
            while length < end and raw[place + length] == raw[at + length]:
                length += 1
            s[WORK] += length
            if length > best:
                best, start = length, place
                if length >= nice:
                    break
        place = np.int64(m.before[place & mask])
        tries -= 1
        if place <= limit or tries == 0:
            break
    return best, start


@inline
def _greedy(m: Matcher, raw: Array) -> tuple[int, bool]:
    """Levels 1 to 3: the first match, and no hashing inside of long ones."""
    s, tokens, n = m.state, m.tokens, raw.shape[0]
    reach, full = s[_WINDOW] - _AHEAD, s[_SYMBOLS]
    at, count = s[_AT], 0
    while at < n and count < full:
        _look_ahead(s, at, n, _AHEAD)
        length: Any = MATCH_MIN - 1
        start: Any = np.int64(0)
        if n - at >= MATCH_MIN:
            first = insert(m, raw, at)
            if first > 0 and at - first <= reach:
                length, start = longest(m, raw, at, first, MATCH_MIN - 1)
        if length < MATCH_MIN:
            tokens[count] = raw[at]
            at += 1
        else:
            tokens[count] = length << 16 | at - start
            if length <= s[_LAZY] and n - at - length >= MATCH_MIN:
                for k in range(at + 1, at + length):
                    insert(m, raw, k)
            at += length
        count += 1
    s[_AT] = s[BLOCK_END] = at
    return count, count < full


@inline
def _lazy(m: Matcher, raw: Array) -> tuple[int, bool]:
    """Levels 4 to 9: a match is taken if the next place has none longer."""
    s, tokens, n = m.state, m.tokens, raw.shape[0]
    reach, full = s[_WINDOW] - _AHEAD, s[_SYMBOLS]
    at, length, start, waiting = s[_AT], s[_LENGTH], s[_START], s[_WAITING]
    count, last = 0, True
    while at < n:
        _look_ahead(s, at, n, _AHEAD)
        first = insert(m, raw, at) if n - at >= MATCH_MIN else np.int64(-1)
        old, old_start = length, start
        length = MATCH_MIN - 1
        if first > 0 and old < s[_LAZY] and at - first <= reach:
            length, start = longest(m, raw, at, first, old)
            if length < s[_SHORTEST] or (length == MATCH_MIN and at - start > s[_FAR]):
                length = MATCH_MIN - 1
        s[BLOCK_END] = at
        if old >= MATCH_MIN and length <= old:
            tokens[count] = old << 16 | at - 1 - old_start
            count += 1
            for k in range(at + 1, min(at + old - 1, n - MATCH_MIN + 1)):
                insert(m, raw, k)
            at += old - 1
            length, waiting = MATCH_MIN - 1, 0
            s[BLOCK_END] = at
        else:
            if waiting:
                tokens[count] = raw[at - 1]
                count += 1
            at += 1
            waiting = 1
        if count == full:
            last = False
            break
    if last:
        if waiting:
            tokens[count] = raw[n - 1]
            count += 1
        s[BLOCK_END] = n
    s[_AT], s[_LENGTH], s[_START], s[_WAITING] = at, length, start, waiting
    return count, last


@inline
def _literals(m: Matcher, raw: Array) -> tuple[int, bool]:
    """No matches."""
    s, n = m.state, raw.shape[0]
    at, count = s[_AT], 0
    while at < n and count < s[_SYMBOLS]:
        _look_ahead(s, at, n, 1)
        m.tokens[count] = raw[at]
        at += 1
        count += 1
    s[_AT] = s[BLOCK_END] = at
    return count, count < s[_SYMBOLS]


@inline
def _runs(m: Matcher, raw: Array) -> tuple[int, bool]:
    """Matches with the byte before only."""
    s, n = m.state, raw.shape[0]
    at, count = s[_AT], 0
    while at < n and count < s[_SYMBOLS]:
        _look_ahead(s, at, n, MATCH_MAX + 1)
        length, end = 0, min(MATCH_MAX, n - at)
        while at > 0 and length < end and raw[at + length] == raw[at - 1]:
            length += 1
        if length < MATCH_MIN:
            m.tokens[count] = raw[at]
            at += 1
        else:
            m.tokens[count] = length << 16 | 1
            at += length
        count += 1
    s[_AT] = s[BLOCK_END] = at
    return count, count < s[_SYMBOLS]
