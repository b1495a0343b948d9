"""The functions of rans_groups.py, compiled: the same bytes and reasons, many times as fast."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.jit import kernel, sealed
from nncomp.coding.rans import BAD_KIND, BAD_STATES, LANES, REASONS
from nncomp.coding.rans_groups import CONSTANT, STATES, TABLE
from nncomp.coding.rans_kernels import (
    _FIRST,
    _ONE,
    _U,
    _copy,
    _decoder_table,
    _encoder_table,
    _pull,
    _push,
    _put_groups,
    _take_groups,
)
from nncomp.coding.rans_table import BITS, ENDS_EARLY, OK, TABLE_MAX
from nncomp.coding.rans_table_kernels import frequencies, levels_of, put_table, take_table
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["decode_groups", "encode_groups"]


def encode_groups(symbols: Array, sizes: Array) -> bytes:
    """See rans_groups.py."""
    room = 2 * len(symbols) + len(sizes) * (1 + TABLE_MAX) + STATES
    out = np.empty(room, np.uint8)
    return out[: _encode(sealed(symbols), sizes, out)].tobytes()


def decode_groups(payload: Buffer, sizes: Array) -> Array:
    """See rans_groups.py."""
    symbols = np.empty(int(sizes.sum()), np.uint8)
    reason = _decode(sealed(np.frombuffer(payload, np.uint8)), sizes, symbols)
    if reason != OK:
        raise CorruptError(REASONS[reason])
    return symbols


@kernel
def _encode(symbols: Array, sizes: Array, out: Array) -> int:
    """Size of the payload in `out`."""
    counts, levels = np.empty(256, np.int64), np.empty(256, np.int64)
    freqs = np.zeros((len(sizes), 256), np.int64)
    at, stop, coded = 0, 0, 0
    for k in range(len(sizes)):
        group = symbols[stop : stop + sizes[k]]
        stop += sizes[k]
        if not len(group):
            continue
        counts[:] = 0
        for symbol in group:
            counts[symbol] += 1
        if counts.max() == len(group):
            out[at], out[at + 1] = CONSTANT, group[0]
            at += 2
            continue
        levels_of(counts, len(group), levels)
        frequencies(levels, freqs[k])
        out[at] = TABLE
        at = put_table(levels, out, at + 1)
        coded += len(group)
    return _put_stream(symbols, sizes, freqs, out, at) if coded else at


@kernel
def _put_stream(symbols: Array, sizes: Array, freqs: Array, out: Array, at: int) -> int:
    """Write the stream of all groups that have frequencies; where it ends."""
    table = np.empty(4 * 256, np.uint64)
    words = np.empty(len(symbols) + 1, np.uint16)
    states = np.empty(LANES, np.uint64)
    states[:] = _FIRST
    place = _U(len(words) - 1)
    stop = len(symbols)
    for k in range(len(sizes) - 1, -1, -1):
        x = symbols[stop - sizes[k] : stop]
        stop -= sizes[k]
        if freqs[k].max() == 0:
            continue
        _encoder_table(freqs[k], table)
        whole = len(x) // LANES * LANES
        for i in range(len(x) - 1, whole - 1, -1):
            states[i - whole], place = _push(states[i - whole], x[i], table, words, place)
        place = _put_groups(states, table, words, place, x)
    used = words[place + _ONE :]
    _copy(states.astype(np.uint32).view(np.uint8), out[at:])
    _copy(used.view(np.uint8), out[at + STATES :])
    return at + STATES + 2 * len(used)


@kernel
def _decode(data: Array, sizes: Array, out: Array) -> int:
    """Fill in the groups; `OK`, or the number of what is wrong."""
    levels = np.empty(256, np.int64)
    freqs = np.zeros((len(sizes), 256), np.int64)
    at, start, coded = 0, 0, 0
    for k in range(len(sizes)):
        group = out[start : start + sizes[k]]
        start += sizes[k]
        if not len(group):
            continue
        if at >= len(data):
            return ENDS_EARLY
        kind = data[at]
        if kind == CONSTANT:
            if at + 1 >= len(data):
                return ENDS_EARLY
            group[:] = data[at + 1]
            at += 2
        elif kind == TABLE:
            reason, at = take_table(data, at + 1, levels)
            if reason != OK:
                return reason
            frequencies(levels, freqs[k])
            coded += 1
        else:
            return BAD_KIND
    if not coded:
        return OK if at == len(data) else BAD_STATES
    return _take_stream(data[at:], sizes, freqs, out)


@kernel
def _take_stream(data: Array, sizes: Array, freqs: Array, out: Array) -> int:
    """Read the stream; `OK`, or what is wrong with it."""
    if len(data) < STATES or len(data) % 2:
        return ENDS_EARLY
    count = (len(data) - STATES) // 2
    if count > len(out):  # no symbol takes more than one word
        return BAD_STATES
    start = np.empty(LANES, np.uint32)
    _copy(data[:STATES], start.view(np.uint8))
    words = np.zeros(count + 2 * LANES, np.uint16)  # to spare for a step that is damaged
    _copy(data[STATES:], words.view(np.uint8))
    states = start.astype(np.uint64)
    symbols = np.empty(1 << BITS, np.uint8)
    table = np.empty(2 * 256, np.uint64)
    place, stop = _U(0), 0
    for k in range(len(sizes)):
        group = out[stop : stop + sizes[k]]
        stop += sizes[k]
        if not len(group) or freqs[k].max() == 0:
            continue
        _decoder_table(freqs[k], symbols, table)
        i, used = _take_groups(states, symbols, table, words[place:], _U(count) - place, group)
        place += used
        if place > count:
            return BAD_STATES
        for lane in range(len(group) % LANES):
            group[i + _U(lane)], states[lane], place = _pull(
                states[lane], symbols, table, words, place
            )
        if place > count:
            return BAD_STATES
    if place != count or states.min() != _FIRST or states.max() != _FIRST:
        return BAD_STATES
    return OK
