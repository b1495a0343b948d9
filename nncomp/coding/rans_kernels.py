"""The functions of rans.py, compiled: the same bytes and reasons, many times as fast.

Numbers are unsigned throughout the loops over symbols: an index that may be negative, or a
shift that may, costs as much as a step of the coder.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.jit import inline, kernel, sealed
from nncomp.coding.literals import _count
from nncomp.coding.rans import (
    BAD_KIND,
    BAD_STATES,
    BLOCK,
    BYTES_LEFT,
    CONSTANT,
    FIRST,
    LANES,
    NO_TABLE,
    RAW,
    REASONS,
    SAME,
    STREAM_HEAD,
    TABLE,
    UNIT,
    WORD,
    costs,
)
from nncomp.coding.rans_table import BITS, ENDS_EARLY, OK, TABLE_MAX
from nncomp.coding.rans_table_kernels import frequencies, levels_of, put_table, take_table
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["decode_plane", "encode_plane"]

_U = np.uint64
_ONE, _WORD, _BITS = _U(1), _U(WORD), _U(BITS)
_FIRST = _U(FIRST)
_SLOT = _U((1 << BITS) - 1)
_SCALE = _U(2 * WORD + BITS)
_LANES = _U(LANES)


# Where the second and later entries of a symbol begin in tables.
_SECOND, _THIRD, _FOURTH = _U(256), _U(512), _U(768)


def encode_plane(plane: Array) -> bytes:
    """See rans.py."""
    if plane.ctypes.data % 8:  # it is counted eight bytes at a time
        plane = plane.copy()
    blocks = -(-len(plane) // BLOCK)
    out = np.empty(2 * len(plane) + blocks * (1 + TABLE_MAX + STREAM_HEAD), np.uint8)
    size = _encode(sealed(plane), costs(), out)
    return out[:size].tobytes()


def decode_plane(payload: Buffer, size: int) -> Array:
    """See rans.py."""
    plane = np.empty(size, np.uint8)
    reason = _decode(sealed(np.frombuffer(payload, np.uint8)), plane)
    if reason != OK:
        raise CorruptError(REASONS[reason])
    return plane


# --- blocks ----------------------------------------------------------------------------


@kernel
def _encode(x: Array, by_frequency: Array, out: Array) -> int:
    """Size of the payload in `out`."""
    counts, levels = np.empty(256, np.int64), np.empty(256, np.int64)
    freqs, before = np.empty(256, np.int64), np.empty(256, np.int64)
    table = np.empty(4 * 256, np.uint64)
    words = np.empty(BLOCK + 1, np.uint16)
    known = False
    at = 0
    for start in range(0, len(x), BLOCK):
        block = x[start : start + BLOCK]
        _count(block, counts)
        if counts.max() == len(block):
            out[at], out[at + 1] = CONSTANT, block[0]
            at += 2
            continue
        levels_of(counts, len(block), levels)
        frequencies(levels, freqs)
        end = put_table(levels, out, at + 1)
        units = _cost(counts, freqs, by_frequency) + 8 * UNIT * (end - at - 1)
        kind = TABLE
        if known:
            same = _cost(counts, before, by_frequency)
            if same <= units:
                kind, units, end = SAME, same, at + 1
        if units + 8 * UNIT * STREAM_HEAD >= 8 * UNIT * len(block):
            out[at] = RAW
            out[at + 1 : at + 1 + len(block)] = block
            at += 1 + len(block)
            continue
        out[at] = kind
        if kind == TABLE:
            before[:] = freqs
            _encoder_table(freqs, table)
            known = True
        at = _put_stream(block, table, words, out, end)
    return at


@kernel
def _decode(data: Array, out: Array) -> int:
    """Fill in the plane; `OK`, or the number of what is wrong."""
    levels, freqs = np.empty(256, np.int64), np.empty(256, np.int64)
    symbols = np.empty(1 << BITS, np.uint8)
    table = np.empty(2 * 256, np.uint64)
    words = np.empty(BLOCK + 2 * LANES, np.uint16)
    known = False
    at = 0
    for start in range(0, len(out), BLOCK):
        block = out[start : start + BLOCK]
        if at >= len(data):
            return ENDS_EARLY
        kind = data[at]
        at += 1
        if kind == RAW:
            if len(data) - at < len(block):
                return ENDS_EARLY
            block[:] = data[at : at + len(block)]
            at += len(block)
        elif kind == CONSTANT:
            if at >= len(data):
                return ENDS_EARLY
            block[:] = data[at]
            at += 1
        elif kind in (TABLE, SAME):
            if kind == TABLE:
                reason, at = take_table(data, at, levels)
                if reason != OK:
                    return reason
                frequencies(levels, freqs)
                _decoder_table(freqs, symbols, table)
                known = True
            if not known:
                return NO_TABLE
            reason, at = _take_stream(data, at, symbols, table, words, block)
            if reason != OK:
                return reason
        else:
            return BAD_KIND
    return OK if at == len(data) else BYTES_LEFT


@inline
def _cost(counts: Array, freqs: Array, by_frequency: Array) -> int:
    total = 0
    for s in range(256):
        total += counts[s] * by_frequency[freqs[s]]
    return total


# --- streams ---------------------------------------------------------------------------


@inline
def _encoder_table(freqs: Array, table: Array) -> None:
    """For each symbol: the state from which a word is written, start, 2^46 / freq, 2^14 - freq.

    With x < freq * 2^18 the product x * ceil(2^46 / freq) is below 2^64, and divided by
    2^46 it is x div freq: the ceiling adds less than x / 2^46 < freq / 2^28 < 1 / freq.
    """
    start = 0
    for s in range(256):
        freq = freqs[s]
        scale = 1 << 2 * WORD + BITS
        table[s] = freq << 2 * WORD - BITS
        table[s + 256] = start
        table[s + 512] = (scale + freq - 1) // freq if freq else 0
        table[s + 768] = (1 << BITS) - freq
        start += freq


@inline
def _push(
    x: np.uint64, symbol: np.uint8, table: Array, words: Array, at: np.uint64
) -> tuple[np.uint64, np.uint64]:
    """The state after a symbol, and where the next word goes, which is before this one.

    There is no branch to be mispredicted: the word is written in any case.
    """
    s = _U(symbol)
    words[at] = np.uint16(x)
    full = _U(x >= table[s])
    x = x >> (full << _U(4))
    quotient = x * table[s + _THIRD] >> _SCALE
    return x + table[s + _SECOND] + quotient * table[s + _FOURTH], at - full


@kernel
def _put_stream(x: Array, table: Array, words: Array, out: Array, at: int) -> int:
    """Write the stream of a block; where it ends."""
    states = np.empty(LANES, np.uint64)
    states[:] = _FIRST
    place = _U(len(words) - 1)
    whole = len(x) // LANES * LANES
    for i in range(len(x) - 1, whole - 1, -1):
        states[i - whole], place = _push(states[i - whole], x[i], table, words, place)
    place = _put_groups(states, table, words, place, x)
    used = words[place + _ONE :]
    for k in range(3):
        out[at + k] = len(used) >> 8 * k & 255
    _copy(states.astype(np.uint32).view(np.uint8), out[at + 3 :])
    _copy(used.view(np.uint8), out[at + STREAM_HEAD :])
    return at + STREAM_HEAD + 2 * len(used)


@inline
def _put_groups(states: Array, table: Array, words: Array, at: np.uint64, x: Array) -> np.uint64:
    """Encode symbols by `LANES`, what is left at the end apart; where the next word goes.

    The states have names, so that they can be in registers.
    """
    a, b, c, d = states[0], states[1], states[2], states[3]
    e, f, g, h = states[4], states[5], states[6], states[7]
    i = _U(len(x)) // _LANES * _LANES
    while i > _U(0):
        i -= _LANES
        h, at = _push(h, x[i + _U(7)], table, words, at)
        g, at = _push(g, x[i + _U(6)], table, words, at)
        f, at = _push(f, x[i + _U(5)], table, words, at)
        e, at = _push(e, x[i + _U(4)], table, words, at)
        d, at = _push(d, x[i + _U(3)], table, words, at)
        c, at = _push(c, x[i + _U(2)], table, words, at)
        b, at = _push(b, x[i + _U(1)], table, words, at)
        a, at = _push(a, x[i], table, words, at)
    states[0], states[1], states[2], states[3] = a, b, c, d
    states[4], states[5], states[6], states[7] = e, f, g, h
    return at


@inline
def _copy(source: Array, target: Array) -> None:
    for k in range(len(source)):
        target[k] = source[k]


@inline
def _decoder_table(freqs: Array, symbols: Array, table: Array) -> None:
    """The symbol of each slot; for each symbol its frequency and its start."""
    start = 0
    for s in range(256):
        symbols[start : start + freqs[s]] = s
        table[s] = freqs[s]
        table[s + 256] = start
        start += freqs[s]


@inline
def _pull(
    x: np.uint64, symbols: Array, table: Array, words: Array, at: np.uint64
) -> tuple[np.uint8, np.uint64, np.uint64]:
    """A symbol, the state after it, and where the next word is."""
    slot = x & _SLOT
    symbol = symbols[slot]
    x = table[symbol] * (x >> _BITS) + (slot - table[_U(symbol) + _SECOND])
    longer = x << _WORD | _U(words[at])
    low = x < _FIRST
    return symbol, longer if low else x, at + _U(low)


@kernel
def _take_stream(
    data: Array, at: int, symbols: Array, table: Array, words: Array, out: Array
) -> tuple[int, int]:
    """Read the stream of a block; `OK` or what is wrong, and where the stream ends."""
    if len(data) - at < STREAM_HEAD:
        return ENDS_EARLY, at
    count = int(data[at]) | int(data[at + 1]) << 8 | int(data[at + 2]) << 16
    if len(data) - at - STREAM_HEAD < 2 * count:
        return ENDS_EARLY, at
    if count > len(out):  # no symbol takes more than one word
        return BAD_STATES, at
    start = np.empty(LANES, np.uint32)
    _copy(data[at + 3 : at + STREAM_HEAD], start.view(np.uint8))
    end = at + STREAM_HEAD + 2 * count
    _copy(data[at + STREAM_HEAD : end], words.view(np.uint8))
    states = start.astype(np.uint64)
    i, place = _take_groups(states, symbols, table, words, _U(count), out)
    # With words to spare for a group, reading on beyond the end is noticed afterwards.
    for k in range(len(out) % LANES if place <= count else 0):
        out[i + _U(k)], states[k], place = _pull(states[k], symbols, table, words, place)
    if place != count or states.min() != _FIRST or states.max() != _FIRST:
        return BAD_STATES, at
    return OK, end


@inline
def _take_groups(
    states: Array, symbols: Array, table: Array, words: Array, count: np.uint64, out: Array
) -> tuple[np.uint64, np.uint64]:
    """Decode symbols by `LANES` while there are words; where symbols and words go on.

    The states have names, as in `_put_groups`.
    """
    a, b, c, d = states[0], states[1], states[2], states[3]
    e, f, g, h = states[4], states[5], states[6], states[7]
    i, at = _U(0), _U(0)
    size = _U(len(out))
    while i + _LANES <= size and at <= count:
        out[i], a, at = _pull(a, symbols, table, words, at)
        out[i + _U(1)], b, at = _pull(b, symbols, table, words, at)
        out[i + _U(2)], c, at = _pull(c, symbols, table, words, at)
        out[i + _U(3)], d, at = _pull(d, symbols, table, words, at)
        out[i + _U(4)], e, at = _pull(e, symbols, table, words, at)
        out[i + _U(5)], f, at = _pull(f, symbols, table, words, at)
        out[i + _U(6)], g, at = _pull(g, symbols, table, words, at)
        out[i + _U(7)], h, at = _pull(h, symbols, table, words, at)
        i += _LANES
    states[0], states[1], states[2], states[3] = a, b, c, d
    states[4], states[5], states[6], states[7] = e, f, g, h
    return i, at
