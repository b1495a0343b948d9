"""Range coder: frequencies to bits and back, in integers, without loss of precision.

A symbol is the interval [start, start + freq) of [0, 2**bits): the frequencies of a row
laid end to end. The coder narrows one interval of numbers, symbol by symbol; whatever
number lies in the last interval names all symbols.

Encoder. Let `code` be the bytes written so far, as one big-endian integer, and `low`
and `width` 64-bit integers. The interval is [V, V + width) with V = code * 2**64 + low.

    narrow      r = width >> bits;  low += start * r;  width = freq * r
    write       while width < 2**48: append low's top 16 bits to the code, and shift
                both low and width left by 16
    finish      append the fewest bytes such that the code, followed by zeros for ever,
                lies in the interval

Invariants, with P bytes written:

 1. 2**48 <= width < 2**64 before each symbol. It starts at 2**64 - 1. A symbol leaves
    width >= r >= 2**(48 - bits) >= 2**17, so at most two writes restore it (four bytes).
 2. V + width < 2**(64 + 8 * P). It holds at the start; narrowing stays inside the
    interval, since (start + freq) * r <= 2**bits * r <= width; writing multiplies both
    sides by 2**16.
 3. Carry. V + start * r may pass a multiple of 2**64: then `low` wraps and the code must
    grow by 1. By (2) the new V is below 2**(64 + 8 * P), so the code stays below
    2**(8 * P): some written byte is not 0xFF and takes the carry, and the run of 0xFF
    behind it turns to 0x00. The code is in memory, so the carry is simply added there.
    A byte of a run was written once for each time it is cleared, so carries cost
    constant time per byte on average, whatever the input.

Decoder. It keeps offset = N - V, where N is as much of the data (followed by zeros) as
V covers: at the start its first 8 bytes, then 2 more with every write of the encoder's.
Knowing only the offset, it never has to know a carry.

 4. offset < width, for data of an encoder and for garbage alike: a symbol is accepted
    only if 0 <= start <= offset / r < start + freq <= 2**bits, which also gives
    offset - start * r < freq * r. A quotient from 2**bits on is refused so: no encoder
    makes it. Nor can a row that is not one make width 0, and so the loop endless.
 5. It reads 8 + P bytes where the encoder wrote P and finished with k. With 64 bits in
    hand and width >= 2**48, k <= 2. So it misses from 6 to 8 bytes at the end. More means
    that the data were cut; fewer, that something follows them.

Cost. Rounding r down wastes less than r of every width: log2(1 / (1 - 2**(bits - 48)))
bits per symbol at worst, 9e-8 at 24 bits and 1.1e-5 at 31, and finishing costs at most 2
bytes per stream. This is why words of 16 bits: writing 32 at once would let width fall
to 2**32 and lose up to 0.006 bits per symbol at 24 bits, and single bytes would take
more steps for nothing.

See G. N. N. Martin, "Range encoding: an algorithm for removing redundancy from a
digitised message", 1979.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncomp.coding.cdf import BITS, SYMBOLS
from nncomp.coding.jit import kernel, sealed
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["MAX_BITS", "Decoder", "Encoder", "gather"]

MAX_BITS = 31

_FULL = (1 << 64) - 1  # width of the first interval
_LEAST = np.uint64(1 << 48)  # width that the coder restores after each symbol
_WORD = np.uint64(16)  # bits written or read at once
_AHEAD = 8  # bytes that the decoder reads beyond those written
_LAST = 2  # bytes that finishing appends at most

_OK = -1  # kernels return this, or the index of the symbol that they refuse


class Encoder:
    """Codes symbols into a growing buffer.

    >>> import numpy as np
    >>> freqs = np.full((3, 256), 1 << 16, np.int32)
    >>> symbols = np.frombuffer(b"abc", np.uint8)
    >>> encoder = Encoder()
    >>> encoder.encode(*gather(freqs, symbols))
    >>> data = encoder.finish()
    >>> data
    b'abc'
    >>> decoder = Decoder(data)
    >>> decoder.decode(freqs).tobytes()
    b'abc'
    >>> decoder.finish()
    """

    def __init__(self) -> None:
        self._reset()

    def _reset(self) -> None:
        # state: low, width, bytes written
        self._state = np.array([0, _FULL, 0], np.uint64)
        self._buffer = np.empty(0, np.uint8)

    def encode(
        self, starts: NDArray[np.uint32], freqs: NDArray[np.uint32], bits: int = BITS
    ) -> None:
        """Append symbols, in order, each given by its interval.

        Args:
            starts: uint32[n], sum of the frequencies before the symbol's own.
            freqs: uint32[n], its own frequency, at least 1.
            bits: The frequencies of a row sum to 2**bits; from 1 to `MAX_BITS`. May
                change from call to call.

        Raises:
            TypeError: Not uint32.
            ValueError: Other shapes, or an interval that is empty or leaves 2**bits; the
                symbols before it have been coded then.
        """
        starts = _checked("starts", starts, np.uint32, (len(starts),))
        freqs = _checked("freqs", freqs, np.uint32, (len(starts),))
        self._reserve(4 * len(starts))
        bad = _encode(starts, freqs, _checked_bits(bits), self._state, self._buffer)
        if bad != _OK:
            raise ValueError(
                f"symbol {bad} has the interval {starts[bad]} + {freqs[bad]}, which is empty or "
                f"not within 2**{bits}"
            )

    def _reserve(self, extra: int) -> None:
        written = int(self._state[2])
        if written + extra > len(self._buffer):
            buffer = np.empty(max(written + extra, 2 * len(self._buffer)), np.uint8)
            buffer[:written] = self._buffer[:written]
            self._buffer = buffer

    def finish(self) -> bytes:
        """The coded stream; the encoder is then as new, ready for another one."""
        low, width, written = (int(value) for value in self._state)
        for count in range(_LAST + 1):
            step = 1 << (64 - 8 * count)
            value = -(-low // step) * step  # the first multiple of step from low on
            if value < low + width:
                break
        if value > _FULL:
            _carry(self._buffer, np.int64(written))
        last = (value & _FULL).to_bytes(8, "big")[:count]
        data = self._buffer[:written].tobytes() + last
        self._reset()
        return data


class Decoder:
    """Decodes what an `Encoder` has written.

    It takes any bytes whatever: from garbage it decodes symbols that mean nothing, or
    raises `CorruptError`. After an error it is of no further use.

    Args:
        data: The whole stream, from `Encoder.finish`. It is not copied and must not
            change meanwhile.
    """

    def __init__(self, data: bytes | bytearray | memoryview) -> None:
        self._data = sealed(np.frombuffer(data, np.uint8))
        # state: offset, width, bytes read
        first = bytes(self._data[:_AHEAD]).ljust(_AHEAD, b"\0")
        self._state = np.array([int.from_bytes(first, "big"), _FULL, _AHEAD], np.uint64)

    def decode(self, freqs: NDArray[np.int32], bits: int = BITS) -> NDArray[np.uint8]:
        """Decode the next symbols, in order.

        Args:
            freqs: int32[n, 256], the frequencies of each symbol, those it was coded
                with; every row sums to 2**bits.
            bits: As the encoder was told.

        Returns:
            uint8[n].

        Raises:
            CorruptError: The data are not those of an encoder, or end too early.
            TypeError: Not int32.
            ValueError: Another shape, or a row that has no symbol to offer because it
                does not sum to 2**bits.
        """
        freqs = _checked("freqs", freqs, np.int32, (len(freqs), SYMBOLS))
        symbols = np.empty(len(freqs), np.uint8)
        bad = _decode(freqs, _checked_bits(bits), self._state, self._data, symbols)
        if bad != _OK:
            self._refuse(freqs[bad], bits)
        return symbols

    def _refuse(self, row: NDArray[np.int32], bits: int) -> None:
        read = int(self._state[2])
        if row.min() < 0 or row.sum(dtype=np.int64) != 1 << bits:
            raise ValueError(f"a row of frequencies does not sum to 2**{bits}")
        if read > len(self._data) + _AHEAD:
            raise CorruptError(
                f"the coded data end after {len(self._data)} bytes, before their symbols do. "
                "The file is damaged: take another copy"
            )
        raise CorruptError(
            f"the coded data are not valid before byte {min(read, len(self._data))} of "
            f"{len(self._data)}. The file is damaged: take another copy"
        )

    def finish(self) -> None:
        """Check that the decoded symbols account for all of the data.

        Raises:
            CorruptError: There is more data than the symbols took.
        """
        end = int(self._state[2]) - _AHEAD + _LAST
        if len(self._data) > end:
            raise CorruptError(
                f"the coded data go on after their last symbol, from byte {end} to "
                f"{len(self._data)}. The file is damaged: take another copy"
            )


# ---------------------------------------------------------------- one symbol's interval


def gather(
    freqs: NDArray[np.int32], symbols: NDArray[np.uint8]
) -> tuple[NDArray[np.uint32], NDArray[np.uint32]]:
    """The interval of each symbol in its row, as `Encoder.encode` takes it.

    Args:
        freqs: int32[n, 256], rows as `Decoder.decode` takes them.
        symbols: uint8[n].

    Returns:
        starts, freqs: uint32[n] each.

    Raises:
        TypeError: Not int32 and uint8.
        ValueError: Other shapes.
    """
    freqs = _checked("freqs", freqs, np.int32, (len(freqs), SYMBOLS))
    symbols = _checked("symbols", symbols, np.uint8, (len(freqs),))
    starts = np.empty(len(freqs), np.uint32)
    chosen = np.empty(len(freqs), np.uint32)
    _gather(freqs, symbols, starts, chosen)
    return starts, chosen


@kernel
def _gather(
    freqs: NDArray[np.int32],
    symbols: NDArray[np.uint8],
    starts: NDArray[np.uint32],
    chosen: NDArray[np.uint32],
) -> None:
    for i in range(len(symbols)):
        start = np.uint32(0)
        for symbol in range(symbols[i]):
            start = np.uint32(start + np.uint32(freqs[i, symbol]))
        starts[i] = start
        chosen[i] = np.uint32(freqs[i, symbols[i]])


@kernel
def _locate(row: NDArray[np.int32], target: np.int64) -> tuple[int, np.int64]:
    """The symbol whose interval holds `target`, and the interval's start.

    Sums blocks of 16 first: those are vector instructions, and the search that cannot
    be predicted takes 16 + 16 steps at most instead of 256.
    """
    start = np.int64(0)
    symbol = 0
    while symbol < SYMBOLS - 16:
        block = np.int64(0)
        for j in range(16):
            block += row[symbol + j]
        if start + block > target:
            break
        start += block
        symbol += 16
    while symbol < SYMBOLS - 1 and start + row[symbol] <= target:
        start += row[symbol]
        symbol += 1
    return symbol, start


# ---------------------------------------------------------------- the coder itself


@kernel
def _encode(
    starts: NDArray[np.uint32],
    freqs: NDArray[np.uint32],
    bits: int,
    state: NDArray[np.uint64],
    buffer: NDArray[np.uint8],
) -> int:
    """Narrow and write; the caller has reserved 4 bytes per symbol."""
    low, width, position = state[0], state[1], np.int64(state[2])
    shift = np.uint64(bits)
    total = np.uint64(1) << shift
    bad = _OK
    for i in range(len(starts)):
        start, freq = np.uint64(starts[i]), np.uint64(freqs[i])
        if freq == 0 or start + freq > total:
            bad = i
            break
        r = width >> shift
        add = start * r
        low += add
        width = freq * r
        if low < add:
            _carry(buffer, position)
        while width < _LEAST:
            buffer[position] = low >> np.uint64(56)
            buffer[position + 1] = (low >> np.uint64(48)) & np.uint64(0xFF)
            position += 2
            low <<= _WORD
            width <<= _WORD
    state[0], state[1], state[2] = low, width, np.uint64(position)
    return bad


@kernel
def _carry(buffer: NDArray[np.uint8], position: np.int64) -> None:
    """Add 1 to the code in buffer[:position]; by invariant 3 it does not run over."""
    position -= 1
    while buffer[position] == 0xFF:
        buffer[position] = 0
        position -= 1
    buffer[position] += 1


@kernel
def _decode(
    freqs: NDArray[np.int32],
    bits: int,
    state: NDArray[np.uint64],
    data: NDArray[np.uint8],
    symbols: NDArray[np.uint8],
) -> int:
    """Find the symbol, narrow and read; beyond the end of the data there are zeros."""
    offset, width, position = state[0], state[1], np.int64(state[2])
    shift = np.uint64(bits)
    total = np.int64(1) << bits
    limit = len(data) + _AHEAD
    bad = _OK
    for i in range(len(symbols)):
        r = width >> shift
        quotient = np.int64(offset // r)  # below 2**47, since r >= 2**17
        symbol, start = _locate(freqs[i], quotient)
        freq = np.int64(freqs[i, symbol])
        if not 0 <= start <= quotient < start + freq <= total:
            bad = i
            break
        symbols[i] = symbol
        offset -= np.uint64(start) * r
        width = np.uint64(freq) * r
        while width < _LEAST:
            word = np.uint64(0)
            for _ in range(2):
                byte = data[position] if position < len(data) else np.uint8(0)
                word = (word << np.uint64(8)) | np.uint64(byte)
                position += 1
            offset = (offset << _WORD) | word
            width <<= _WORD
        if position > limit:
            bad = i
            break
    state[0], state[1], state[2] = offset, width, np.uint64(position)
    return bad


# ---------------------------------------------------------------- arguments


def _checked(name: str, array: NDArray[Any], dtype: type, shape: tuple[int, ...]) -> NDArray[Any]:
    """A contiguous read-only view (or copy) of the array, if it is what it has to be."""
    if array.dtype != dtype:
        raise TypeError(f"{name} must be {np.dtype(dtype)}, not {array.dtype}")
    if array.shape != shape:
        raise ValueError(f"{name} must have the shape {shape}, not {array.shape}")
    return sealed(np.ascontiguousarray(array))


def _checked_bits(bits: int) -> int:
    if not 1 <= bits <= MAX_BITS:
        raise ValueError(f"bits must be from 1 to {MAX_BITS}, not {bits}")
    return bits
