"""Coding of groups of bytes by rANS, each with its own table, all in one stream.

For what `rans` does block by block, where the groups are small: one set of states for all of
them. Frequencies and tables are those of `rans_table`; this is the specification in NumPy,
`rans_groups_kernels` has the same functions compiled.

    payload = head*, states 8 x u32, words x u16          (little-endian)
    head    = kind u8, then                      for each group that is not empty
        0 CONSTANT  u8: the byte that all are
        1 TABLE     table

Symbols are coded group after group. Symbol i of a group belongs to state i mod 8; a group of
kind CONSTANT has none in the stream. Coder, states and words are as in `rans`. If there is no
TABLE, the payload ends with the heads.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.rans import BAD_KIND, BAD_STATES, FIRST, LANES, REASONS, WORD
from nncomp.coding.rans_table import (
    BITS,
    ENDS_EARLY,
    TABLE_MAX,
    frequencies,
    levels_of,
    pack_table,
    unpack_table,
)
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["CONSTANT", "STATES", "TABLE", "decode_groups", "encode_groups"]

CONSTANT, TABLE = range(2)
STATES = 4 * LANES
"""Bytes of the states."""


def encode_groups(symbols: Array, sizes: Array) -> bytes:
    """The payload of some groups.

    Args:
        symbols: uint8, the groups one after the other.
        sizes: int64, of the groups.
    """
    head = b""
    groups: list[tuple[Array, Array]] = []
    for group in _split(symbols, sizes):
        counts = np.bincount(group, minlength=256)
        if counts.max() == len(group):
            head += bytes([CONSTANT, group[0]])
        else:
            levels = levels_of(counts)
            head += bytes([TABLE]) + pack_table(levels)
            groups.append((group, frequencies(levels)))
    if not groups:
        return head
    states = np.full(LANES, FIRST, np.uint64)
    words = [step for group, freqs in reversed(groups) for step in _push(group, freqs, states)]
    stream = np.concatenate(words[::-1]).astype("<u2").tobytes()
    return head + states.astype("<u4").tobytes() + stream


def decode_groups(payload: Buffer, sizes: Array) -> Array:
    """The groups of these sizes that a payload holds, one after the other, uint8.

    Raises:
        CorruptError: There are no such groups.
    """
    symbols = np.empty(int(sizes.sum()), np.uint8)
    data = bytes(payload)
    at = 0
    groups: list[tuple[Array, Array]] = []
    for group in _split(symbols, sizes):
        kind = data[at : at + 1]
        if kind == bytes([CONSTANT]) and len(data) > at + 1:
            group[:] = data[at + 1]
            at += 2
        elif kind == bytes([TABLE]):
            levels, size = unpack_table(data[at + 1 : at + 1 + TABLE_MAX])
            groups.append((group, frequencies(levels)))
            at += 1 + size
        else:
            raise CorruptError(REASONS[BAD_KIND if kind and kind[0] > TABLE else ENDS_EARLY])
    rest = len(data) - at
    if not groups:
        if rest:
            raise CorruptError(REASONS[BAD_STATES])
        return symbols
    if rest < STATES or rest % 2:
        raise CorruptError(REASONS[ENDS_EARLY])
    states = np.frombuffer(data, "<u4", LANES, at).astype(np.uint64)
    words = np.frombuffer(data, "<u2", offset=at + STATES).astype(np.uint64)
    place = 0
    for group, freqs in groups:
        place = _pull(group, freqs, states, words, place)
    if np.any(states != FIRST) or place != len(words):
        raise CorruptError(REASONS[BAD_STATES])
    return symbols


def _split(symbols: Array, sizes: Array) -> list[Array]:
    """The groups that are not empty."""
    return [group for group in np.split(symbols, np.cumsum(sizes)[:-1]) if len(group)]


def _push(symbols: Array, freqs: Array, states: Array) -> list[Array]:
    """Encode a group from its end; the words, from the last step's to the first's."""
    own = freqs.astype(np.uint64)[symbols]
    first = (np.cumsum(freqs) - freqs).astype(np.uint64)[symbols]
    words = []
    for start in range(-(-len(symbols) // LANES) * LANES - LANES, -1, -LANES):
        freq = own[start : start + LANES]
        x = states[: len(freq)]  # fewer in the last step than in the others
        full = x >> (2 * WORD - BITS) >= freq
        words.append(x[full] & 0xFFFF)
        quotient, slot = np.divmod(np.where(full, x >> WORD, x), freq)
        states[: len(freq)] = (quotient << BITS) + slot + first[start : start + LANES]
    return words


def _pull(out: Array, freqs: Array, states: Array, words: Array, at: int) -> int:
    """Decode a group; which word comes next. Damaged streams may use the last one again."""
    own = freqs.astype(np.uint64)
    first = np.cumsum(own) - own
    symbols = np.repeat(np.arange(256, dtype=np.uint8), freqs)
    every = words if len(words) else np.zeros(1, np.uint64)
    for start in range(0, len(out), LANES):
        group = out[start : start + LANES]
        x = states[: len(group)]
        slot = x & ((1 << BITS) - 1)
        group[:] = symbols[slot]
        y = own[group] * (x >> BITS) + slot - first[group]
        low = y < FIRST
        ranks = np.cumsum(low)
        word = every.take(at + ranks - 1, mode="clip")
        states[: len(group)] = np.where(low, y << WORD | word, y)
        at += int(ranks[-1])
    return at
