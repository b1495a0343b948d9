"""A segment, a run of content of one layout; FORMAT.md describes its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.codecs.tensor.layouts import (
    BITS,
    BYTEWISE,
    PALETTE,
    Layout,
    join_planes,
    plane_sizes,
    split_planes,
)
from nncomp.codecs.tensor.planes import decode_plane, unpack_bitmap
from nncomp.coding.varint import pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.base import Base, Buffer
    from nncomp.codecs.tensor.arrays import Array, Ops
    from nncomp.codecs.tensor.cursor import Cursor
    from nncomp.codecs.tensor.planes import PlaneCoder

__all__ = ["Piece", "SegmentHeader", "decode_segment", "encode_piece"]

_DELTA = 0x40
_ZERO_MAP = 0x80
_FAMILY = 0x0F
_SAMPLE = 4096  # elements that tell whether a zero map pays
_ZEROS_FROM = 0.25  # share of zeros from which it may


@dataclass(frozen=True)
class Piece:
    """What an encoder has decided about a run of content.

    Attributes:
        size: Bytes.
        layout: How to lay them out.
        repeats: For each plane, whether matches pay in it; missing ones do not.
        palette: Whether a few values seem to be all there are.
        base: Offset in the base of the bytes to take the difference to, or None.
        floats: Name of the element type if it is a floating-point one, for lossy coding.
    """

    size: int
    layout: Layout
    repeats: tuple[bool, ...] = ()
    palette: bool = False
    base: int | None = None
    floats: str | None = None


@dataclass(frozen=True)
class SegmentHeader:
    """What stands before the planes of a segment.

    Attributes:
        size: Bytes of content.
        layout: How they are laid out.
        zero_map: Whether zero elements are left out, and a bitmap of the others comes first.
        base: Offset in the base of the bytes to add, or None.
    """

    size: int
    layout: Layout
    zero_map: bool = False
    base: int | None = None

    @property
    def count(self) -> int:
        """How many whole elements it has; the bytes behind them come last, as they are."""
        return self.size // self.layout.unit

    def pack(self) -> bytes:
        """Size, code, layout, offset in the base."""
        code = self.layout.family | _ZERO_MAP * self.zero_map | _DELTA * (self.base is not None)
        start = pack_varint(self.size) + bytes([code]) + self.layout.pack()
        return start if self.base is None else start + pack_varint(self.base)

    @classmethod
    def unpack(cls, source: Cursor) -> SegmentHeader:
        """Read what `pack` writes.

        Raises:
            CorruptError: It writes no such thing.
        """
        size = unpack_varint(source)
        code = source.take(1)[0]
        if not size or code & ~(_FAMILY | _DELTA | _ZERO_MAP):
            raise CorruptError("a segment has no size, or a code that does not exist")
        layout = Layout.unpack(code & _FAMILY, source)
        if code & ~_FAMILY and not layout.numeric:
            raise CorruptError("a segment has a zero map or a base where there can be none")
        base = unpack_varint(source) if code & _DELTA else None
        return cls(size, layout, bool(code & _ZERO_MAP), base)


def encode_piece(
    raw: memoryview, piece: Piece, base: Base | None, coder: PlaneCoder, ops: Ops
) -> list[Buffer]:
    """One segment, in buffers to be joined.

    Args:
        raw: The bytes of the piece.
        piece: What was decided about it; where the content says otherwise, the segment is
            laid out bytewise.
        base: What `piece.base` points into.
        coder: Codes the planes.
        ops: What computes.
    """
    layout = piece.layout
    header = SegmentHeader(piece.size, layout, base=piece.base)
    whole = header.count * layout.unit
    elements = _elements(raw[:whole], layout)
    body: list[Buffer] | None = []
    if header.count:
        if piece.base is not None and base is not None:
            elements = elements - _elements(base.read(piece.base, whole), layout)
        header, body = _encode_elements(elements, header, piece, coder, ops)
    if body is None:
        plain = Piece(piece.size, BYTEWISE, piece.repeats[:1])
        return encode_piece(raw, plain, None, coder, ops)
    return [header.pack(), *body, raw[whole:]]


def _encode_elements(
    elements: Array, header: SegmentHeader, piece: Piece, coder: PlaneCoder, ops: Ops
) -> tuple[SegmentHeader, list[Buffer] | None]:
    layout = piece.layout
    out: list[Buffer] = []
    if piece.palette and (coded := _encode_palette(elements, layout.width, coder)):
        palette = SegmentHeader(header.size, Layout(PALETTE, layout.width))
        return palette, coded
    if layout.numeric and _many_zeros(elements):
        others = elements != 0
        elements = elements[others]
        bitmap = np.packbits(others, bitorder="little")
        out += coder.encode(bitmap, repeats=any(piece.repeats))
        header = SegmentHeader(header.size, layout, True, header.base)
    if len(elements):
        planes = split_planes(layout, elements, ops)
        if planes is None:
            return header, None
        for k, plane in enumerate(planes):
            out += coder.encode(plane, repeats=k < len(piece.repeats) and piece.repeats[k])
    return header, out


def decode_segment(source: Cursor, room: int, base: Base | None, ops: Ops) -> list[Array]:
    """The content of the next segment, as uint8 arrays one after the other.

    Args:
        source: Stands before it.
        room: Bytes that the record still has.
        base: What differences are taken to, if the archive has any.
        ops: What computes.

    Raises:
        CorruptError: It contradicts itself, the record or the base.
    """
    header = SegmentHeader.unpack(source)
    if header.size > room:
        raise CorruptError(f"a segment of {header.size} bytes, where the record has {room} left")
    layout, count = header.layout, header.count
    out: list[Array] = []
    if count:
        elements = _decode_elements(source, header, ops)
        if header.base is not None:
            elements = elements + _elements(_of_base(base, header), layout)
        out.append(elements.view(np.uint8))
    tail = header.size - count * layout.unit
    return [*out, np.frombuffer(source.take(tail), np.uint8)] if tail else out


def _decode_elements(source: Cursor, header: SegmentHeader, ops: Ops) -> Array:
    layout, count = header.layout, header.count
    if layout.family == PALETTE:
        return _decode_palette(source, layout.width, count)
    if not header.zero_map:
        planes = [decode_plane(source, size) for size in plane_sizes(layout, count)]
        return join_planes(layout, planes, count, ops)
    others = unpack_bitmap(decode_plane(source, -(-count // 8)), count)
    left = int(np.count_nonzero(others))
    elements = np.zeros(count, UNSIGNED[layout.width])
    if left:
        planes = [decode_plane(source, size) for size in plane_sizes(layout, left)]
        elements[others] = join_planes(layout, planes, left, ops)
    return elements


def _encode_palette(elements: Array, width: int, coder: PlaneCoder) -> list[Buffer] | None:
    """Table and indices; None if there are more than 256 values."""
    table = np.unique(elements[:: len(elements) // _SAMPLE | 1])
    indices = np.searchsorted(table, elements)
    missed = elements[table[np.minimum(indices, len(table) - 1)] != elements]
    if len(missed):
        table = np.union1d(table, missed)
        indices = np.searchsorted(table, elements)
    if len(table) > 256:
        return None
    start: list[Buffer] = [bytes([len(table) - 1]), table.astype(UNSIGNED[width]).tobytes()]
    return start + coder.encode(indices.astype(np.uint8), repeats=False)


def _decode_palette(source: Cursor, width: int, count: int) -> Array:
    size = source.take(1)[0] + 1
    table = np.frombuffer(source.take(size * width), UNSIGNED[width])
    indices = decode_plane(source, count)
    if int(indices.max()) >= size:
        raise CorruptError(f"an index of a palette of {size} values is above it")
    return table[indices]


def _many_zeros(elements: Array) -> bool:
    sample = elements[:: len(elements) // _SAMPLE | 1]
    return len(sample) - int(np.count_nonzero(sample)) >= _ZEROS_FROM * len(sample)


def _elements(raw: Buffer, layout: Layout) -> Array:
    """Bytes as the elements of a layout, without copying where their address allows it."""
    if not layout.numeric or layout.family == BITS:
        return np.frombuffer(raw, np.uint8)
    return np.require(np.frombuffer(raw, UNSIGNED[layout.width]), requirements="A")


def _of_base(base: Base | None, header: SegmentHeader) -> Buffer:
    size = header.count * header.layout.unit
    if base is None or header.base is None or header.base + size > base.size:
        raise CorruptError("a segment is a difference to bytes that its base does not have")
    return base.read(header.base, size)
