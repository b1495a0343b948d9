"""Matches: where the newest bytes stood before, and what followed there.

Two of them, one that begins after 4 equal bytes and one after 7. For each an
int32[size] table gives the position behind the newest bytes with the same hash, and a map
gives the probability that the byte that followed there comes again, by length.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.maps import learn
from nncomp.codecs.mix.past import AT, C4, C8, MATCH_AT, MATCH_BYTE, MATCH_LENGTH
from nncomp.codecs.mix.slots import hashed
from nncomp.coding.jit import bare_inline as inline

__all__ = ["LENGTHS", "MATCHES", "find_matches", "learn_matches", "match_cell", "match_maps"]

Array = NDArray[Any]

MATCHES = 2
LENGTHS = 64
_LONGEST = 400


def match_maps() -> Array:
    """uint32[2 * 64 * 2]: cells by match, length and expected bit, as a length promises."""
    length = np.arange(LENGTHS)
    one = (length + 2 << 22) // (length + 3)
    cells = np.stack([(1 << 22) - one, one], axis=1) << 10
    return np.tile(cells.ravel(), MATCHES).astype(np.uint32)


@inline
def find_matches(h: Array, buf: Array, places: Array) -> None:
    """After a byte: go on with each match, or look for one."""
    at = h[AT]
    size = places.shape[0] // MATCHES
    for k in range(MATCHES):
        least = 7 if k == 0 else 4
        if h[MATCH_LENGTH + k] > 0:
            h[MATCH_LENGTH + k] += 1
            h[MATCH_AT + k] += 1
        if at < least:
            continue
        key = hashed(h[C4], h[C8] & 0xFFFFFF if k == 0 else 4)
        place = k * size + (key >> 20 & (size - 1))
        if h[MATCH_LENGTH + k] == 0:
            before = np.int64(places[place])
            length = 0
            while (
                length < _LONGEST
                and length < before
                and buf[before - 1 - length] == buf[at - 1 - length]
            ):
                length += 1
            if length >= least:
                h[MATCH_LENGTH + k] = length
                h[MATCH_AT + k] = before
        places[place] = at
        if h[MATCH_LENGTH + k] > 0:
            h[MATCH_BYTE + k] = buf[h[MATCH_AT + k]] | 256


@inline
def match_cell(h: Array, k: int, partial: int, done: int) -> Any:
    """The cell of match k, or -1 if it says nothing; forgets a match that has failed."""
    length = h[MATCH_LENGTH + k]
    if length == 0:
        return -1
    byte = h[MATCH_BYTE + k]
    if byte >> (8 - done) != partial:
        h[MATCH_LENGTH + k] = 0
        return -1
    level = length if length < 16 else min(14 + (length >> 3), LENGTHS - 1)
    return (k * LENGTHS + level) * 2 + (byte >> (7 - done) & 1)


@inline
def learn_matches(h: Array, cells: Array, at: Array, bit: int, reciprocals: Array) -> None:
    """Learn from a bit what the matches were worth."""
    for k in range(MATCHES):
        if at[k] >= 0:
            learn(cells, at[k], bit, 1023, reciprocals)
