"""Order-0 coding of bytes by interleaved rANS: the format, and its specification in NumPy.

For planes of bytes that say nothing of one another, where codes of whole bits (Huffman's)
lose too much. `rans_kernels` has the same functions compiled: the same bytes, a hundred times
as fast. Frequencies and tables are described in `rans_table`.

    payload = block*         of 128 KiB of the plane each, but for the last
    block   = kind u8, then
        0 RAW       the bytes
        1 CONSTANT  u8: the byte that all are
        2 TABLE     table, stream
        3 SAME      stream; its table is the last that came before
    stream  = count u24, states 8 x u32, words count x u16         (all little-endian)

**Coder.** Symbol i of a block belongs to state i mod 8, a number from 2^16 to 2^32 - 1. The
decoder takes the symbols in order. With x the state and frequencies that sum to 2^14:

    slot = x mod 2^14; the symbol is the one with start <= slot < start + freq
    x = freq * (x div 2^14) + slot - start
    if x < 2^16: x = x * 2^16 + the next word

Since x div 2^14 is 4 at least, x is 4 at least, and one word is always enough. The encoder
does the same backwards, from the last symbol to the first, and begins with all states 2^16:
so they must be at the end of the decoder's work, when all words are used up. Of changes to
single bits of a stream this overlooks about one in some thousands.

Source: Duda, "Asymmetric numeral systems" (arXiv:1311.2540); Giesen, "Interleaved entropy
coders" (arXiv:1402.3392).
"""

from __future__ import annotations

from functools import cache
from itertools import groupby, islice
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.rans_table import (
    BITS,
    ENDS_EARLY,
    TABLE_MAX,
    frequencies,
    levels_of,
    pack_table,
    unpack_table,
)
from nncomp.coding.rans_table import REASONS as TABLE_REASONS
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]
    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["BLOCK", "LANES", "decode_plane", "encode_plane"]

LANES = 8
"""States of a stream: the fewest that keep one core busy."""
BLOCK = 128 << 10
"""Symbols that a block has at most."""

FIRST = 1 << 16  # state that the encoder begins with, and the least that there is
WORD = 16  # bits
RAW, CONSTANT, TABLE, SAME = range(4)
STREAM_HEAD = 3 + 4 * LANES

BAD_KIND, NO_TABLE, BAD_STATES, BYTES_LEFT = range(len(TABLE_REASONS), len(TABLE_REASONS) + 4)
REASONS = (
    *TABLE_REASONS,
    "a block of rANS is of a kind that does not exist",
    "a block of rANS has the table before it, but there is none",
    "the states of a block of rANS do not end as they began",
    "something follows the last block of rANS",
)
"""What is wrong with a payload, by number."""

UNIT = 1 << 10
"""Of a bit: what costs are counted in, so that sums are exact."""

_TOGETHER = 16  # blocks that NumPy works on side by side


@cache
def costs() -> Array:
    """What a symbol costs by its frequency, int64, in `UNIT`s of a bit; 0 is out of reach.

    No logarithm is within 1e-6 units of where rounding changes: these are the same numbers,
    and so archives the same bytes, on every machine.
    """
    freqs = np.arange(1, (1 << BITS) + 1)
    units = np.rint((BITS - np.log2(freqs)) * UNIT).astype(np.int64)
    return np.concatenate([[1 << 40], units])


def encode_plane(plane: Array) -> bytes:
    """The payload that decodes to `plane`; empty for no bytes.

    Args:
        plane: uint8, contiguous.
    """
    blocks = [plane[at : at + BLOCK] for at in range(0, len(plane), BLOCK)]
    plans = list(_plan(blocks))
    pairs = zip(blocks, plans, strict=True)
    coded = [(block, freqs) for block, (_, freqs) in pairs if freqs is not None]
    streams = (stream for group in _groups(coded) for stream in _encode_group(*group))
    return b"".join(head if freqs is None else head + next(streams) for head, freqs in plans)


def decode_plane(payload: Buffer, size: int) -> Array:
    """The plane of `size` bytes that a payload holds, uint8.

    Raises:
        CorruptError: There is no such plane.
    """
    plane = np.empty(size, np.uint8)
    source = _Bytes(bytes(payload))
    streams = list(_parse(source, plane))
    if source.left:
        raise CorruptError(REASONS[BYTES_LEFT])
    for group in _groups(streams):
        _decode_group(*group)
    return plane


# --- blocks ----------------------------------------------------------------------------


def _plan(blocks: list[Array]) -> Iterator[tuple[bytes, Array | None]]:
    """What each block begins with, and the frequencies of its stream if it has one."""
    by_frequency = costs()
    before: Array | None = None
    for block in blocks:
        counts = np.bincount(block, minlength=256)
        if counts.max() == len(block):
            yield bytes([CONSTANT, block[0]]), None
            continue
        levels = levels_of(counts)
        head = bytes([TABLE]) + pack_table(levels)
        freqs = frequencies(levels)
        units = int(counts @ by_frequency[freqs]) + 8 * UNIT * (len(head) - 1)
        if before is not None and (same := int(counts @ by_frequency[before])) <= units:
            head, freqs, units = bytes([SAME]), before, same
        if units + 8 * UNIT * STREAM_HEAD < 8 * UNIT * len(block):
            before = freqs
            yield head, freqs
        else:
            yield bytes([RAW]) + block.tobytes(), None


class _Bytes:
    """Reads bytes."""

    def __init__(self, data: bytes) -> None:
        self._data = data
        self._at = 0

    @property
    def left(self) -> int:
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        if size > self.left:
            raise CorruptError(REASONS[ENDS_EARLY])
        self._at += size
        return self._data[self._at - size : self._at]

    def table(self) -> Array:
        """The levels of a table."""
        levels, size = unpack_table(self._data[self._at : self._at + TABLE_MAX])
        self._at += size
        return levels


def _parse(source: _Bytes, plane: Array) -> Iterator[tuple[Array, ...]]:
    """Fill in what needs no decoder; symbols, frequencies, states, words of what does."""
    freqs: Array | None = None
    for at in range(0, len(plane), BLOCK):
        block = plane[at : at + BLOCK]
        kind = source.take(1)[0]
        if kind == RAW:
            block[:] = np.frombuffer(source.take(len(block)), np.uint8)
        elif kind == CONSTANT:
            block[:] = source.take(1)[0]
        elif kind in (TABLE, SAME):
            if kind == TABLE:
                freqs = frequencies(source.table())
            if freqs is None:
                raise CorruptError(REASONS[NO_TABLE])
            count = int.from_bytes(source.take(3), "little")
            states = np.frombuffer(source.take(4 * LANES), "<u4")
            words = np.frombuffer(source.take(2 * count), "<u2")
            yield block, freqs, states, words
        else:
            raise CorruptError(REASONS[BAD_KIND])


# --- streams ---------------------------------------------------------------------------


def _groups(streams: Iterable[tuple[Array, ...]]) -> Iterator[list[tuple[Array, ...]]]:
    """Some neighbours of one size, again and again; what is first in all, second and so on."""
    for _, alike in groupby(streams, lambda stream: len(stream[0])):
        while group := list(islice(alike, _TOGETHER)):
            yield list(zip(*group, strict=True))


def _encode_group(blocks: tuple[Array, ...], freqs: tuple[Array, ...]) -> Iterator[bytes]:
    """The streams of blocks of one size."""
    symbols = np.stack(blocks)
    own = np.stack(freqs)
    rows = np.arange(len(blocks))[:, None]
    first = (np.cumsum(own, axis=1) - own).astype(np.uint32)[rows, symbols]
    own = own.astype(np.uint32)[rows, symbols]
    steps = -(-symbols.shape[1] // LANES)
    words = np.zeros((len(blocks), steps, LANES), "<u2")
    written = np.zeros(words.shape, np.bool_)
    states = np.full((len(blocks), LANES), FIRST, np.uint64)
    for step in reversed(range(steps)):
        part = slice(step * LANES, (step + 1) * LANES)
        freq = own[:, part].astype(np.uint64)
        lanes = freq.shape[1]  # fewer in the last step than in the others
        x = states[:, :lanes]
        full = x >> (2 * WORD - BITS) >= freq
        words[:, step, :lanes] = x & 0xFFFF
        written[:, step, :lanes] = full
        quotient, slot = np.divmod(np.where(full, x >> WORD, x), freq)
        states[:, :lanes] = (quotient << BITS) + slot + first[:, part]
    for row, final in enumerate(states.astype("<u4")):
        used = words[row][written[row]]
        yield len(used).to_bytes(3, "little") + final.tobytes() + used.tobytes()


def _decode_group(
    blocks: tuple[Array, ...],
    freqs: tuple[Array, ...],
    states: tuple[Array, ...],
    words: tuple[Array, ...],
) -> None:
    """Fill in blocks of one size.

    Damaged streams may read words of others, or the last again; they do not go unnoticed.
    """
    own = np.stack(freqs).astype(np.uint64)
    first = np.cumsum(own, axis=1) - own
    symbols = np.stack([np.repeat(np.arange(256, dtype=np.uint8), row) for row in freqs])
    rows = np.arange(len(blocks))[:, None]
    every = np.concatenate([*words, np.zeros(1, "<u2")]).astype(np.uint64)
    ends = np.cumsum([len(row) for row in words])
    at = ends - [len(row) for row in words]
    x = np.stack(states).astype(np.uint64)
    size = len(blocks[0])
    out = np.empty((len(blocks), size), np.uint8)
    for start in range(0, size, LANES):
        lanes = min(LANES, size - start)
        slot = x[:, :lanes] & ((1 << BITS) - 1)
        symbol = symbols[rows, slot]
        out[:, start : start + lanes] = symbol
        y = own[rows, symbol] * (x[:, :lanes] >> BITS) + slot - first[rows, symbol]
        low = y < FIRST
        ranks = np.cumsum(low, axis=1)
        word = every.take(at[:, None] + ranks - 1, mode="clip")
        x[:, :lanes] = np.where(low, y << WORD | word, y)
        at += ranks[:, -1]
    if np.any(x != FIRST) or np.any(at != ends):
        raise CorruptError(REASONS[BAD_STATES])
    for block, row in zip(blocks, out, strict=True):
        block[:] = row
