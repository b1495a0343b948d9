"""A segment, a run of content of one layout; FORMAT.md describes its bytes."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.codecs.tensor.layouts import (
    BITS,
    BYTEWISE,
    FIELDS,
    PALETTE,
    Layout,
    join_planes,
    plane_sizes,
    split_planes,
)
from nncomp.codecs.tensor.planes import count_bits, decode_plane, size_of
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
_SAMPLE = 1024  # elements that tell whether a zero map pays
_ZEROS_FROM = 0.25  # share of zeros from which it may
_TAKE = 64 << 10  # indices of a palette that are looked up at once


@dataclass(frozen=True)
class Piece:
    """What an encoder has decided about a run of content.

    Attributes:
        size: Bytes.
        layout: How to lay them out.
        repeats: For each plane, whether matches pay in it; missing ones do not.
        palette: Whether a few values seem to be all there are.
        base: Offset in the base of the bytes to take the difference to, or None.
        row: Elements of a row of the matrix that it consists of, or 0.
        unsure: Whether bytes as they are, with matches, may be smaller.
        floats: Name of the element type if it is a floating-point one, for lossy coding.
    """

    size: int
    layout: Layout
    repeats: tuple[bool, ...] = ()
    palette: bool = False
    row: int = 0
    unsure: bool = False
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
    coded = None if body is None else [header.pack(), *body, raw[whole:]]
    if coded is not None and not piece.unsure:
        return coded
    plain = Piece(piece.size, BYTEWISE, (piece.unsure or any(piece.repeats[:1]),))
    other = encode_piece(raw, plain, None, coder, ops)
    return other if coded is None or size_of(other) < size_of(coded) else coded


def _encode_elements(
    elements: Array, header: SegmentHeader, piece: Piece, coder: PlaneCoder, ops: Ops
) -> tuple[SegmentHeader, list[Buffer] | None]:
    layout = piece.layout
    out: list[Buffer] = []
    if piece.palette and (coded := _encode_palette(elements, layout.width, coder)):
        palette = SegmentHeader(header.size, Layout(PALETTE, layout.width))
        return palette, coded
    # Bytes have their own way (SPARSE); and where strings come again, zeros are among them.
    mappable = layout.numeric and layout.width > 1 and not any(piece.repeats)
    if mappable and _many_zeros(elements):
        bitmap, elements = ops.leave_zeros(elements)
        out += coder.encode(bitmap, repeats=any(piece.repeats))
        header = SegmentHeader(header.size, layout, True, header.base)
    if len(elements):
        planes = split_planes(layout, elements, ops)
        if planes is None:
            return header, None
        for k, plane in enumerate(planes):
            # The scale of a row shows in the exponents, which are in the last plane.
            row = piece.row if k == len(planes) - 1 and len(elements) == header.count else 0
            repeats = any(piece.repeats[k : k + 1])
            octets = layout.width == 1 and layout.family != FIELDS
            out += coder.encode(plane, repeats=repeats, row=row, octets=octets)
    return header, out


def decode_segment(source: Cursor, out: Array, base: Base | None, ops: Ops) -> int:
    """Decode the next segment.

    Args:
        source: Stands before it.
        out: uint8, what the record still has to get; the segment goes to its start.
        base: What differences are taken to, if the archive has any.
        ops: What computes.

    Returns:
        Bytes of the segment.

    Raises:
        CorruptError: It contradicts itself, the record or the base.
    """
    header = SegmentHeader.unpack(source)
    if header.size > len(out):
        raise CorruptError(
            f"a segment of {header.size} bytes, where the record has {len(out)} left"
        )
    layout = header.layout
    whole = header.count * layout.unit
    if whole:
        elements = _room(out[:whole], layout)
        _decode_elements(source, header, elements, ops)
        if header.base is not None:
            elements += _elements(_of_base(base, header), layout)
        if elements.base is None:  # no view of `out`, which is not aligned for it
            out[:whole] = elements.view(np.uint8)
    out[whole : header.size] = np.frombuffer(source.take(header.size - whole), np.uint8)
    return header.size


def _room(out: Array, layout: Layout) -> Array:
    """`out` as elements of a layout where its address allows that, else new elements."""
    if layout.width not in UNSIGNED or layout.family in (BITS, FIELDS):
        return out
    dtype = UNSIGNED[layout.width]
    aligned = out.ctypes.data % dtype.itemsize == 0
    return out.view(dtype) if aligned else np.empty(len(out) // dtype.itemsize, dtype)


def _decode_elements(source: Cursor, header: SegmentHeader, out: Array, ops: Ops) -> None:
    layout, count = header.layout, header.count
    if layout.family == PALETTE:
        _decode_palette(source, out, ops)
        return
    if not header.zero_map:
        planes = [decode_plane(source, size, ops) for size in plane_sizes(layout, count)]
        join_planes(layout, planes, out, ops)
        return
    bitmap = decode_plane(source, -(-count // 8), ops)
    left = np.empty(count_bits(bitmap, count), out.dtype)
    if len(left):
        planes = [decode_plane(source, size, ops) for size in plane_sizes(layout, len(left))]
        join_planes(layout, planes, left, ops)
    ops.put_zeros(bitmap, left, out)


def _encode_palette(elements: Array, width: int, coder: PlaneCoder) -> list[Buffer] | None:
    """Table and indices; None if there are more than 256 values."""
    table = np.unique(elements[:: len(elements) // _SAMPLE | 1])
    indices = np.searchsorted(table, elements)
    missed = elements[table[np.minimum(indices, len(table) - 1)] != elements]
    if len(missed):
        table = np.union1d(table, missed)
    if len(table) > 256:
        return None
    if len(missed):
        indices = np.searchsorted(table, elements)
    start: list[Buffer] = [bytes([len(table) - 1]), table.astype(UNSIGNED[width]).tobytes()]
    return start + coder.encode(indices.astype(np.uint8), repeats=False)


def _decode_palette(source: Cursor, out: Array, ops: Ops) -> None:
    size = source.take(1)[0] + 1
    table = np.frombuffer(source.take(size * out.itemsize), out.dtype)
    indices = decode_plane(source, len(out), ops)
    if int(indices.max()) >= size:
        raise CorruptError(f"an index of a palette of {size} values is above it")
    # Piece by piece, since NumPy makes indices of eight bytes of them; "clip" needs no copy.
    for start in range(0, len(out), _TAKE):
        some = slice(start, start + _TAKE)
        np.take(table, indices[some], out=out[some], mode="clip")


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
