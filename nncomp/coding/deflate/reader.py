"""Blocks of a deflate stream as tokens: RFC 1951, section 3.2.

Only streams that another decoder has decoded already are read, or heads of blocks from an
archive; both may be wrong, which must do no harm, but need not be told from right ones.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.format import (
    DISTANCE_BASE,
    DISTANCE_BITS,
    DISTANCES,
    DYNAMIC,
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

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["HEAD_BITS", "TOKENS_MAX", "Block", "read_blocks", "read_head"]

Array = NDArray[Any]

TOKENS_MAX = 1 << 20
"""Blocks with more are not read; zlib's have 32767 at most."""

HEAD_BITS = 14 + 3 * len(ORDER) + 14 * (SYMBOLS + DISTANCES + 4)
"""Bits that the head of a block takes at most, beyond its type."""

_AGAIN, _ZEROS = 16, 17  # codes of lengths: the one before again, zeros; else many zeros
_LENGTHS = len(FIXED_LENGTHS) + DISTANCES + 2


class Block(NamedTuple):
    """A block.

    Attributes:
        form: `STORED`, `FIXED` or `DYNAMIC`.
        last: Whether no block follows.
        tokens: int32[n], see `format`; bytes if it is stored.
        head: Place of the first bit of the codes of a dynamic block, and behind the last one.
    """

    form: int
    last: bool
    tokens: Array
    head: tuple[int, int]


def read_blocks(stream: Array) -> Iterator[Block | None]:
    """The blocks of a raw deflate stream, uint8[n]; None for one that is not read, at the end."""
    # A few zero bytes behind the end spare a check for each bit.
    padded = np.concatenate([stream, np.zeros(16, np.uint8)])
    at = np.zeros(1, np.int64)
    room = np.zeros(TOKENS_MAX, np.int32)
    while at[0] < 8 * len(stream):
        first = _bits(padded, at, 3)
        form, last, start = first >> 1, bool(first & 1), int(at[0])
        if form not in (STORED, FIXED, DYNAMIC):
            yield None
            return
        if form == STORED:
            begin = (start + 7) // 8 + 4
            size = int(padded[begin - 4]) | int(padded[begin - 3]) << 8
            at[0] = 8 * (begin + size)
            yield Block(form, last, stream[begin : begin + size].astype(np.int32), (start, start))
        else:
            lengths = np.zeros(_LENGTHS, np.int64)
            symbols = _head(padded, at, form == FIXED, lengths)
            head = start, int(at[0])
            count = _read(padded, at, lengths, symbols, room)
            if count < 0:
                yield None
                return
            yield Block(form, last, room[:count].copy(), head)
        if last:
            return


def read_head(head: Array) -> tuple[Array, Array, int]:
    """The lengths of codes that the head of a dynamic block tells, and its size.

    Args:
        head: uint8[n], whole bytes.

    Returns:
        int64[SYMBOLS] and int64[DISTANCES], bits of each code; bits of the head.
    """
    at, lengths = np.zeros(1, np.int64), np.zeros(_LENGTHS, np.int64)
    symbols = _head(np.concatenate([head, np.zeros(16, np.uint8)]), at, False, lengths)
    far = lengths[symbols : symbols + DISTANCES]
    literals = np.where(np.arange(SYMBOLS) < symbols, lengths[:SYMBOLS], 0)
    return literals, far.copy(), int(at[0])


@kernel
def _head(stream: Array, at: Array, fixed: bool, lengths: Array) -> int:
    """Read lengths of codes, those of distances last; where these begin."""
    symbols, far = len(FIXED_LENGTHS), DISTANCES
    if fixed:
        for k in range(symbols + far):
            lengths[k] = FIXED_LENGTHS[k] if k < symbols else 5
        return symbols
    symbols = _bits(stream, at, 5) + END + 1
    far = _bits(stream, at, 5) + 1
    own = np.zeros(len(ORDER), np.int64)
    for k in range(_bits(stream, at, 4) + 4):
        own[ORDER[k]] = _bits(stream, at, 3)
    counts, sorted_symbols = _decoder(own)
    k = 0
    while k < symbols + far:
        symbol = _symbol(stream, at, counts, sorted_symbols)
        value, run = symbol, 1
        if symbol == _AGAIN:
            value, run = lengths[max(k, 1) - 1], 3 + _bits(stream, at, 2)
        elif symbol == _ZEROS:
            value, run = 0, 3 + _bits(stream, at, 3)
        elif symbol > _ZEROS:
            value, run = 0, 11 + _bits(stream, at, 7)
        for _ in range(min(run, symbols + far - k)):
            lengths[k] = value
            k += 1
    return symbols


@kernel
def _read(stream: Array, at: Array, lengths: Array, symbols: int, tokens: Array) -> int:
    """Read the tokens of a block; how many there are, or -1 if they are too many."""
    counts, sorted_symbols = _decoder(lengths[:symbols])
    far_counts, far_symbols = _decoder(lengths[symbols:])
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
        if 0 <= code - first < counts[bits]:
            return symbols[index + code - first]
        index += counts[bits]
        first = first + counts[bits] << 1
        code <<= 1
    return END
