"""Tokens of other encoders, as differences to what a zlib would choose at the same place.

At each place the lazy choice of `matching` is foretold, in the same chains, but with all
places hashed and nothing remembered of earlier choices: so one difference does not lead to
the next. How many tokens come as foretold is told, then what comes in place of the next one:

    0           a literal
    1           a match: u8 length less 3, u16 distance less 1, little endian
    2 + d       a match that is longer than foretold by d, as a zigzag number (a literal is a
                match of 2), with the least distance that there is for its length

Distances follow from lengths in nearly all encoders, and lengths in many.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.format import END, MATCH_MAX, MATCH_MIN, WINDOW
from nncomp.coding.deflate.matching import WORK, Matcher, insert, longest, matcher
from nncomp.coding.deflate.settings import FILTERED, FILTERED_MIN, Settings
from nncomp.coding.jit import inline, kernel

__all__ = ["FIXES", "FIX_MAX", "PLACE", "RUNS", "RUN_MAX", "Corrections", "corrections", "walk"]

Array = NDArray[Any]

# Fields of the state: bytes of runs and of fixes so far; the place reached, and up to where
# places are hashed; as the settings tell, up to which length the next place is looked at, the
# shortest match, and the greatest distance of one of three bytes.
RUNS, FIXES, PLACE, _HASHED, _LAZY, _SHORTEST, _FAR = range(7)
_FIELDS = 7

RUN_MAX, FIX_MAX = 5, 4
"""Bytes that a run and a fix take at most."""

_LITERAL, _EXPLICIT, _LONGER = range(3)  # fixes
_REACH = WINDOW - MATCH_MAX - MATCH_MIN - 1  # the greatest distance that zlib uses
_TRIES = 4096  # places tried for the least distance
_ZIGZAG_MAX = 255 - _LONGER
# Comparisons for a byte of content, beyond which an archive is taken for one that only wants
# to take time; encoders need about 100.
_WORK_MAX, _WORK_MORE = 1 << 12, 1 << 24


class Corrections(NamedTuple):
    """What foretells, and where corrections are.

    Attributes:
        matcher: Its chains.
        state: int64, see the fields above.
        runs: uint8, varints: how many tokens come as foretold.
        fixes: uint8, what comes then.
    """

    matcher: Matcher
    state: Array
    runs: Array
    fixes: Array


def corrections(settings: Settings, runs: Array, fixes: Array) -> Corrections:
    """At the beginning of a content.

    Args:
        settings: Of the foretold encoder.
        runs: Corrections, or room for `RUN_MAX` bytes for each token of a block and one more.
        fixes: The same, `FIX_MAX` bytes for each token.
    """
    s = np.zeros(_FIELDS, np.int64)
    s[_LAZY] = 0 if settings.greedy else settings.effort[1]
    s[_SHORTEST] = FILTERED_MIN if settings.strategy == FILTERED else MATCH_MIN
    s[_FAR] = settings.far
    return Corrections(matcher(settings), s, runs, fixes)


@kernel
def walk(c: Corrections, raw: Array, tokens: Array, decoding: bool) -> Any:
    """Code the tokens of a block as corrections, or the other way round.

    Args:
        c: Goes on behind the block before.
        raw: uint8, all of the content.
        tokens: int32, of the block.
        decoding: Whether tokens are to be made.

    Returns:
        Whether it went well: else they are not right, or take too much time.
    """
    s, n = c.state, raw.shape[0]
    at, limit = s[PLACE], _WORK_MAX * n + _WORK_MORE
    # What was found at the next place, while looking whether to be lazy.
    next_length, next_start = np.int64(0), np.int64(0)
    right = _get_run(c) if decoding else np.int64(0)
    for k in range(tokens.shape[0]):
        if at >= n or right < 0 or c.matcher.state[WORK] > limit:
            return False
        length, start = next_length, next_start
        if length == 0:
            length, start = _search(c, raw, at, MATCH_MIN - 1)
        next_length = np.int64(0)
        if MATCH_MIN <= length < s[_LAZY]:
            next_length, next_start = _search(c, raw, at + 1, length)
            if next_length <= length:
                next_length = np.int64(0)
        foretold = length if next_length == 0 and length >= MATCH_MIN else MATCH_MIN - 1
        token = np.int64(raw[at]) if foretold < MATCH_MIN else foretold << 16 | at - start
        if decoding and right == 0:
            token = _get_fix(c, raw, at, foretold)
            right = _get_run(c)
            if token < 0:
                return False
        elif decoding:
            right -= 1
        elif token == tokens[k]:
            right += 1
        else:
            token = np.int64(tokens[k])
            _put_run(c, right)
            _put_fix(c, raw, at, foretold, token)
            right = np.int64(0)
        tokens[k] = token
        if token >= END:
            at += token >> 16
            next_length = np.int64(0)
        else:
            at += 1
    if not decoding:
        _put_run(c, right)
        right = np.int64(0)
    s[PLACE] = at
    return right == 0


@inline
def _first(c: Corrections, raw: Array, at: int) -> Any:
    """The newest place with the hash of this one, or -1."""
    m, s, n = c.matcher, c.state, raw.shape[0]
    while s[_HASHED] <= at:
        if n - s[_HASHED] >= MATCH_MIN:
            insert(m, raw, s[_HASHED])
        s[_HASHED] += 1
    return np.int64(m.before[at & m.before.shape[0] - 1]) if n - at >= MATCH_MIN else np.int64(-1)


@inline
def _search(c: Corrections, raw: Array, at: int, least: Any) -> Any:
    """The match that zlib would find, longer than `least`; else a length of 2."""
    length, start = np.int64(least), np.int64(0)
    first = _first(c, raw, at)
    if first > 0 and at - first <= _REACH:
        length, start = longest(c.matcher, raw, at, first, least)
        far = length == MATCH_MIN and at - start > c.state[_FAR]
        if length <= least or length < c.state[_SHORTEST] or far:
            length = np.int64(MATCH_MIN - 1)
    else:
        length = np.int64(MATCH_MIN - 1)
    return length, start


@inline
def _nearest(c: Corrections, raw: Array, at: int, length: Any) -> Any:
    """The least distance of a match so long; 0 if none is found."""
    place, before = _first(c, raw, at), c.matcher.before
    for _ in range(_TRIES):
        if place < 0 or at - place > _REACH:
            break
        k = 0
        while k < length and raw[place + k] == raw[at + k]:
            k += 1
        c.matcher.state[WORK] += k
        if k == length:
            return at - place
        place = np.int64(before[place & before.shape[0] - 1])
    return np.int64(0)


@inline
def _put_run(c: Corrections, run: Any) -> None:
    s = c.state
    while run >= 128:
        c.runs[s[RUNS]] = run & 127 | 128
        s[RUNS] += 1
        run >>= 7
    c.runs[s[RUNS]] = run
    s[RUNS] += 1


@inline
def _get_run(c: Corrections) -> Any:
    """A run, or -1 if there is none."""
    s = c.state
    run = np.int64(0)
    for k in range(RUN_MAX):
        if s[RUNS] >= c.runs.shape[0]:
            return np.int64(-1)
        byte = np.int64(c.runs[s[RUNS]])
        s[RUNS] += 1
        run |= (byte & 127) << 7 * k
        if byte < 128:
            return run
    return np.int64(-1)


@inline
def _put_fix(c: Corrections, raw: Array, at: int, foretold: Any, token: Any) -> None:
    s, length, distance = c.state, token >> 16, token & 0xFFFF
    longer = length - foretold
    zigzag = 2 * longer if longer >= 0 else -2 * longer - 1
    if token < END:
        c.fixes[s[FIXES]] = _LITERAL
    elif zigzag <= _ZIGZAG_MAX and _nearest(c, raw, at, length) == distance:
        c.fixes[s[FIXES]] = _LONGER + zigzag
    else:
        c.fixes[s[FIXES]] = _EXPLICIT
        c.fixes[s[FIXES] + 1] = length - MATCH_MIN
        c.fixes[s[FIXES] + 2] = distance - 1 & 255
        c.fixes[s[FIXES] + 3] = distance - 1 >> 8
        s[FIXES] += 3
    s[FIXES] += 1


@inline
def _get_fix(c: Corrections, raw: Array, at: int, foretold: Any) -> Any:
    """The token, or -1 if there is none, or one that cannot be here."""
    s, left = c.state, c.fixes.shape[0] - c.state[FIXES]
    if left <= 0:
        return np.int64(-1)
    fix = np.int64(c.fixes[s[FIXES]])
    s[FIXES] += 1
    if fix == _LITERAL:
        return np.int64(raw[at])
    length, distance = np.int64(0), np.int64(0)
    if fix >= _LONGER:
        zigzag = fix - _LONGER
        length = foretold + (zigzag >> 1 if zigzag & 1 == 0 else -(zigzag + 1 >> 1))
        if MATCH_MIN <= length <= min(MATCH_MAX, raw.shape[0] - at):
            distance = _nearest(c, raw, at, length)
    elif left >= FIX_MAX:
        length = np.int64(c.fixes[s[FIXES]]) + MATCH_MIN
        distance = (np.int64(c.fixes[s[FIXES] + 1]) | np.int64(c.fixes[s[FIXES] + 2]) << 8) + 1
        s[FIXES] += 3
    if 0 < distance <= min(at, WINDOW) and length <= raw.shape[0] - at:
        return length << 16 | distance
    return np.int64(-1)
