"""Cutting a stream into records, and each record into tables and other bytes.

A table is never cut unless it is larger than a record. Then the rows of each record are a
table of their own, with the range of their own values: never a larger one than that of all.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from itertools import repeat
from typing import TYPE_CHECKING

from nncomp.codecs.embedding.table import PART_MAX
from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.codecs.tensor.formats import segments
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.codecs.tensor.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nncomp.codecs.base import Buffer
    from nncomp.codecs.tensor.dtypes import DType

__all__ = ["Piece", "Record", "Shape", "cut"]

# What a component of these is.
_FLOATS = {
    "F16": "F16",
    "BF16": "BF16",
    "F32": "F32",
    "F64": "F64",
    "C64": "F32",
    "C128": "F64",
}
_OTHERS = 1 << 20  # bytes of a piece that is no table
_HEADERS, _HEADER_MAX = 2, 4096  # before a table: pieces, and bytes of each


@dataclass(frozen=True)
class Shape:
    """What a stream without a format holds: tables, one after the other.

    Attributes:
        rows, columns: Of each.
        dtype: Of the elements.
    """

    rows: int
    columns: int
    dtype: DType

    @property
    def size(self) -> int:
        """Bytes of a table."""
        return self.rows * self.columns * self.dtype.unit


@dataclass(frozen=True)
class Piece:
    """A run of a record.

    Attributes:
        size: Bytes.
        kind: Name of the type of floats; None: these are no floats.
        columns: Of the table that it is.
        first: Whether it begins a segment of the file.
    """

    size: int
    kind: str | None = None
    columns: int = 1
    first: bool = False


@dataclass(frozen=True)
class Record:
    """A record to be coded.

    Attributes:
        raw: Its content.
        pieces: Their sizes add up to its size.
    """

    raw: memoryview
    pieces: list[Piece]


def cut(chunks: Iterable[Buffer], block: int, shape: Shape | None) -> Iterator[Record]:
    """The records of a stream, each of 1 to `block` bytes.

    Args:
        chunks: The stream.
        block: Bytes of a record at most.
        shape: What the stream holds; None: look for a file format.
    """
    window = Window(chunks)
    pieces: list[Piece] = []
    room = block
    for segment in _known(shape) if shape else segments(window):
        done = 0
        while segment.size is None or done < segment.size:
            piece = _next_piece(window, segment, done, block)
            if piece is None:
                break
            if piece.size > room:
                kept = _headers(pieces) if piece.kind else []
                size = sum(one.size for one in kept)
                if len(kept) == len(pieces) or size + piece.size > block:
                    kept, size = [], 0
                yield Record(window.take(size), pieces[: len(pieces) - len(kept)])
                pieces, room = kept, block - size
            pieces.append(replace(piece, first=not done))
            window.advance(piece.size)
            done += piece.size
            room -= piece.size
        if not window.available(1):
            break
    if pieces:
        yield Record(window.take(), pieces)


def _headers(pieces: list[Piece]) -> list[Piece]:
    """The last pieces as far as they are small and no tables: what stands before a table.

    They go into the record of the table, since a sum of its bytes may be in them: nothing
    has to wait for a table that ends in that record.
    """
    count = 0
    while count < min(len(pieces), _HEADERS) and not (
        pieces[-1 - count].kind or pieces[-1 - count].size > _HEADER_MAX
    ):
        count += 1
    return pieces[len(pieces) - count :]


def _known(shape: Shape) -> Iterator[Segment]:
    return repeat(Segment(shape.size, shape.dtype, shape=(shape.rows, shape.columns)))


def _next_piece(window: Window, segment: Segment, done: int, block: int) -> Piece | None:
    """What comes next of a segment; None: nothing.

    Args:
        window: Stands behind `done` bytes of it.
        segment: Its size may be more than there is.
        done: Its bytes so far.
        block: Bytes of a piece at most.
    """
    left = block if segment.size is None else min(block, segment.size - done)
    kind = _FLOATS.get(segment.dtype.name) if segment.dtype else None
    if kind is None:
        size = window.available(min(left, _OTHERS))
        return Piece(size) if size else None
    have = window.available(left)
    unit = DTYPES[kind].unit
    columns = _columns(segment, unit)
    if columns * unit > block or columns > PART_MAX:
        columns = 1
    size = have - have % (columns * unit)
    if size:
        return Piece(size, kind, columns)
    return Piece(have) if have else None


def _columns(segment: Segment, unit: int) -> int:
    """Of the table that a tensor is: its last dimension, if it has two or more."""
    shape = segment.shape or ()
    if len(shape) < 2 or segment.size is None or not math.prod(shape):
        return 1
    return shape[-1] * (segment.size // unit // math.prod(shape))
