"""Unsigned numbers of variable size, and where they are read from.

A varint is an unsigned LEB128 number: seven bits per byte, lowest first, the high bit
set on all bytes but the last. Only the shortest form of a number is valid.
"""

from __future__ import annotations

from typing import Protocol

from nncomp.errors import CorruptError

__all__ = ["VARINT_MAX", "Input", "Text", "pack_varint", "unpack_varint"]

# An unsigned 64-bit number: ceil(64 / 7) = 10 bytes.
VARINT_MAX = (1 << 64) - 1
_BYTES_MAX = 10


class Input(Protocol):
    """Where unpacking takes its bytes from."""

    @property
    def offset(self) -> int:
        """Archive offset of the next byte."""
        ...

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes, or a `FormatError`."""
        ...


class _Octets(Protocol):
    """What a number is read from: an `Input`, or views of a payload."""

    @property
    def offset(self) -> int: ...

    def take(self, size: int, /) -> bytes | memoryview: ...


class Text:
    """Bytes in memory as an `Input`: running out of them is corruption, not truncation."""

    def __init__(self, data: bytes, offset: int) -> None:
        self._data = data
        self._start = offset
        self._at = 0

    @property
    def offset(self) -> int:
        """Archive offset of the next byte."""
        return self._start + self._at

    @property
    def left(self) -> int:
        """How many bytes have not been taken."""
        return len(self._data) - self._at

    def take(self, size: int) -> bytes:
        """Exactly `size` bytes."""
        if size > self.left:
            raise CorruptError("a field runs past the end of what holds it", offset=self.offset)
        self._at += size
        return self._data[self._at - size : self._at]


def pack_varint(number: int) -> bytes:
    """The shortest LEB128 form of an unsigned number below 2^64."""
    if not 0 <= number <= VARINT_MAX:
        raise ValueError(f"{number} is outside 0 to 2^64 - 1")
    out = bytearray()
    while number > 0x7F:
        out.append(number & 0x7F | 0x80)
        number >>= 7
    out.append(number)
    return bytes(out)


def unpack_varint(source: _Octets) -> int:
    """Read what `pack_varint` writes; longer forms of the same number are corrupt."""
    start = source.offset
    number = source.take(1)[0]
    if number < 0x80:  # most are, and the loop takes three times as long
        return number
    number &= 0x7F
    for place in range(1, _BYTES_MAX):
        byte = source.take(1)[0]
        number |= (byte & 0x7F) << 7 * place
        if byte < 0x80:
            if byte == 0:
                raise CorruptError("a number is not in its shortest form", offset=start)
            if number > VARINT_MAX:
                break
            return number
    raise CorruptError("a number has more than 64 bits", offset=start)
