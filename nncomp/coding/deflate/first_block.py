"""The first coded block of a deflate stream: RFC 1951, section 3.2.

It tells much of how the encoder was set. Only the encoder of an archive looks at it.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.format import (
    DISTANCE_BASE,
    DISTANCE_BITS,
    DISTANCES,
    END,
    FIXED,
    FIXED_LENGTHS,
    LENGTH_BASE,
    LENGTH_BITS,
    ORDER,
    STORED,
    SYMBOLS,
)
from nncomp.coding.deflate.trees import BITS_MAX
from nncomp.coding.jit import kernel

__all__ = ["TOKENS_MAX", "FirstBlock", "first_block"]

Array = NDArray[Any]

TOKENS_MAX = 1 << 15
"""No block of zlib has more."""

_AGAIN, _ZEROS = 16, 17  # codes of lengths: the one before again, zeros; else many zeros


class FirstBlock(NamedTuple):
    """What is read.

    Attributes:
        tokens: int32[n], see `format`.
        last: Whether no block follows.
    """

    tokens: Array
    last: bool


def first_block(stream: Array) -> FirstBlock | None:
    """The first block of a raw deflate stream, uint8[n]; None if it has no codes or no zlib's.

    The stream is one that can be decoded.
    """
    last, form = int(stream[0]) & 1, int(stream[0]) >> 1 & 3
    if form == STORED:
        return None
    # A few zero bytes behind the end spare a check for each bit.
    padded = np.concatenate([stream[: 8 * TOKENS_MAX], np.zeros(16, np.uint8)])
    tokens = np.zeros(TOKENS_MAX, np.int32)
    count = _read(padded, form == FIXED, tokens)
    return FirstBlock(tokens[:count], bool(last)) if count >= 0 else None


@kernel
def _read(stream: Array, fixed: bool, tokens: Array) -> int:
    """How many tokens the first block has; -1 if they are too many."""
    at = np.zeros(1, np.int64)
    at[0] = 3  # behind what says so
    lengths = np.zeros(len(FIXED_LENGTHS) + DISTANCES + 2, np.int64)
    symbols, far = len(FIXED_LENGTHS), DISTANCES
    if fixed:
        for k in range(symbols + far):
            lengths[k] = FIXED_LENGTHS[k] if k < symbols else 5
    else:
        symbols = _bits(stream, at, 5) + END + 1
        far = _bits(stream, at, 5) + 1
        _read_lengths(stream, at, symbols + far, lengths)
    counts, sorted_symbols = _decoder(lengths[:symbols])
    far_counts, far_symbols = _decoder(lengths[symbols : symbols + far])
    end = 8 * (stream.shape[0] - 8)
    n = 0
    while at[0] < end:
        symbol = _symbol(stream, at, counts, sorted_symbols)
        if symbol == END:
            return n
        if n == tokens.shape[0] or symbol >= SYMBOLS:
            break
        if symbol < END:
            tokens[n] = symbol
        else:
            code = symbol - END - 1
            length = LENGTH_BASE[code] + _bits(stream, at, LENGTH_BITS[code])
            code = min(_symbol(stream, at, far_counts, far_symbols), DISTANCES - 1)
            distance = DISTANCE_BASE[code] + _bits(stream, at, DISTANCE_BITS[code])
            tokens[n] = length << 16 | distance
        n += 1
    return -1


@kernel
def _read_lengths(stream: Array, at: Array, total: int, lengths: Array) -> None:
    """The lengths of the codes of a block."""
    own = np.zeros(len(ORDER), np.int64)
    for k in range(_bits(stream, at, 4) + 4):
        own[ORDER[k]] = _bits(stream, at, 3)
    counts, symbols = _decoder(own)
    k = 0
    while k < total:
        symbol = _symbol(stream, at, counts, symbols)
        value, run = symbol, 1
        if symbol == _AGAIN:
            value, run = lengths[max(k, 1) - 1], 3 + _bits(stream, at, 2)
        elif symbol == _ZEROS:
            value, run = 0, 3 + _bits(stream, at, 3)
        elif symbol > _ZEROS:
            value, run = 0, 11 + _bits(stream, at, 7)
        for _ in range(min(run, total - k)):
            lengths[k] = value
            k += 1


@kernel
def _bits(stream: Array, at: Array, count: int) -> int:
    """An unsigned number, its lowest bit first; zero beyond the end."""
    value = 0
    for k in range(count):
        place = min(at[0] >> 3, stream.shape[0] - 1)
        value |= (np.int64(stream[place]) >> (at[0] & 7) & 1) << k
        at[0] += 1
    return value


@kernel
def _decoder(lengths: Array) -> tuple[Array, Array]:
    """How many codes have each length, and the symbols in the order of their codes."""
    counts = np.zeros(BITS_MAX + 1, np.int64)
    for length in lengths:
        counts[length] += 1
    counts[0] = 0
    after = np.zeros(BITS_MAX + 1, np.int64)
    for bits in range(1, BITS_MAX):
        after[bits + 1] = after[bits] + counts[bits]
    symbols = np.zeros(len(lengths), np.int64)
    for s in range(len(lengths)):
        if lengths[s]:
            symbols[after[lengths[s]]] = s
            after[lengths[s]] += 1
    return counts, symbols


@kernel
def _symbol(stream: Array, at: Array, counts: Array, symbols: Array) -> Any:
    """The next symbol; the end of a block for bits that are no code."""
    code, first, index = 0, 0, 0
    for bits in range(1, BITS_MAX + 1):
        code |= _bits(stream, at, 1)
        if code - first < counts[bits]:
            return symbols[index + code - first]
        index += counts[bits]
        first = first + counts[bits] << 1
        code <<= 1
    return END
