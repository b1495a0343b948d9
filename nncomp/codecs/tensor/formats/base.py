"""What the readers of file formats give, and what they read from."""

from __future__ import annotations

import os
from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Sequence
    from typing import BinaryIO

    from nncomp.codecs.tensor.dtypes import DType

__all__ = [
    "HEADER_MAX",
    "PEEK_MAX",
    "Feed",
    "Segment",
    "Tensor",
    "byte_size",
    "contiguous",
    "element_count",
    "file_size",
    "malformed",
    "natural",
    "read_at",
    "unusual_strides",
]

PEEK_MAX = 8 << 20
"""How far a reader of formats looks ahead, in bytes: no header above it is interpreted."""

HEADER_MAX = 100_000_000
"""Bytes of the largest header read from a file that can seek; the limit of safetensors."""

_DIMENSIONS_MAX = 64
_SIZE_MAX = (1 << 63) - 1


@dataclass(frozen=True)
class Segment:
    """A run of content of one element type, as found in a stream.

    Attributes:
        size: Bytes; None: to the end of the stream.
        dtype: Its element type; None: not known, to be found by statistics.
        name, shape: Of the tensor that it is, or None.
    """

    size: int | None
    dtype: DType | None
    name: str | None = None
    shape: tuple[int, ...] | None = None


@dataclass(frozen=True)
class Tensor:
    """A tensor of a file that can seek.

    Attributes:
        name: Its name in the file.
        dtype: Its element type.
        shape: As the file gives it, outermost first.
        start, stop: Where its bytes are in the content; a dense little-endian C-order
            array, unless `strides` says otherwise.
        strides: In elements, where they are not those of a C-order array, else None.
    """

    name: str
    dtype: DType
    shape: tuple[int, ...]
    start: int
    stop: int
    strides: tuple[int, ...] | None = None


class Feed(Protocol):
    """A stream that can be looked into ahead of where it stands.

    A generator of segments looks at what follows the last segment that it gave: whoever
    takes the segments from it moves the stream on by the size of each before asking for
    the next.
    """

    def peek(self, size: int) -> bytes:
        """The next `size` bytes, at most `PEEK_MAX`; fewer only where the stream ends."""
        ...


def malformed(problem: str, offset: int | None = None) -> TensorFileError:
    """The error for a file that contradicts its own format."""
    return TensorFileError(f"{problem}; get another copy of the file", offset=offset)


def natural(value: object, what: str, offset: int | None = None) -> int:
    """`value` if it is an integer that can be a size; it comes from untrusted bytes.

    Raises:
        TensorFileError: It is no integer, or not from 0 to 2**63 - 1.
    """
    # type(), because True and False are integers to isinstance(); the value stays out of
    # the message, because Python does not print integers of any length.
    if type(value) is not int or not 0 <= value <= _SIZE_MAX:
        raise malformed(f"{what} is no integer from 0 to 2**63 - 1", offset)
    return value


def element_count(shape: Sequence[int], offset: int | None = None) -> int:
    """Number of elements of a tensor.

    Raises:
        TensorFileError: More dimensions than NumPy and PyTorch have, or a product above
            2**63 - 1 on the way (as in safetensors, also when a later factor is 0).
    """
    if len(shape) > _DIMENSIONS_MAX:
        raise malformed(f"a tensor has more than {_DIMENSIONS_MAX} dimensions", offset)
    elements = 1
    for length in shape:
        elements *= length
        if elements > _SIZE_MAX:
            raise malformed("a tensor has more than 2**63 - 1 elements", offset)
    return elements


def byte_size(dtype: DType, shape: Sequence[int], offset: int | None = None) -> int:
    """Bytes of a dense tensor.

    Raises:
        TensorFileError: Too large, or no whole number of bytes, or of blocks in a row.
    """
    elements = element_count(shape, offset)
    if dtype.kind == "blocks":
        weights = round(8 * dtype.unit / dtype.bits)
        if (shape[-1] if shape else 1) % weights:
            raise malformed(f"rows are no whole number of {dtype.name} blocks", offset)
        return elements // weights * dtype.unit
    bits = elements * int(dtype.bits)
    if bits % 8:
        raise malformed(f"{elements} elements of {dtype.name} do not end at a byte", offset)
    if bits > 8 * _SIZE_MAX:
        raise malformed("a tensor has more than 2**63 - 1 bytes", offset)
    return bits // 8


def contiguous(shape: Sequence[int]) -> tuple[int, ...]:
    """Strides in elements of a dense array in C order."""
    strides = []
    step = 1
    for length in reversed(shape):
        strides.append(step)
        step *= length
    return tuple(reversed(strides))


def unusual_strides(shape: Sequence[int], strides: tuple[int, ...]) -> tuple[int, ...] | None:
    """`strides`, or None where they place the elements as a dense array in C order does."""
    if 0 in shape:
        return None
    along = zip(shape, strides, contiguous(shape), strict=True)
    dense = all(length == 1 or stride == step for length, stride, step in along)
    return None if dense else strides


def file_size(file: BinaryIO) -> int:
    """Size of a file that can seek; where it stands changes."""
    return file.seek(0, os.SEEK_END)


def read_at(file: BinaryIO, offset: int, size: int) -> bytes:
    """`size` bytes at `offset`.

    Raises:
        TensorFileError: The file ends before.
    """
    total = file_size(file)
    # Compared before seeking: no system seeks to everything that 64 bits can say.
    if offset + size > total:
        raise malformed("the file ends too early", total)
    file.seek(offset)
    return file.read(size)
