"""What the readers of file formats give, and what they read from."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Protocol

if TYPE_CHECKING:
    from nncomp.codecs.tensor.dtypes import DType

__all__ = ["PEEK_MAX", "Feed", "Segment", "Tensor"]

PEEK_MAX = 8 << 20
"""How far a reader of formats looks ahead, in bytes: no header above it is interpreted."""


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
