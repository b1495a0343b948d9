"""How the bytes of a segment are laid out as planes, and back.

PLAIN    byte k of every element is plane k; elements of 1 to 32 bytes
ROTATED  floating point of 2, 4 or 8 bytes: `arrays.rotate`, then as PLAIN
ZIGZAG   signed integers of 1, 2, 4 or 8 bytes: `arrays.zigzag`, then as PLAIN
BITS     bytes that are 0 or 1: eight to a byte, the first lowest; one plane
PALETTE  elements of 2, 4 or 8 bytes, at most 256 different ones: the table, sorted,
         then a plane of indices
FIELDS   blocks of up to 64 fields of up to 255 bytes each: plane k has field k of
         every block
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.tensor.arrays import Array, Ops
    from nncomp.codecs.tensor.cursor import Cursor
    from nncomp.codecs.tensor.dtypes import DType

__all__ = [
    "BYTEWISE",
    "NAMES",
    "Layout",
    "join_planes",
    "layout_of",
    "plane_names",
    "plane_sizes",
    "split_planes",
]

PLAIN, ROTATED, ZIGZAG, BITS, PALETTE, FIELDS = range(6)
NAMES = ("plain", "rotated", "zigzag", "bits", "palette", "fields")
"""Names of the families, for people."""

_WIDTHS: dict[int, tuple[int, ...]] = {
    PLAIN: tuple(range(1, 33)),
    ROTATED: (2, 4, 8),
    ZIGZAG: (1, 2, 4, 8),
    BITS: (1,),
    PALETTE: (2, 4, 8),
    FIELDS: tuple(range(1, 65)),
}


@dataclass(frozen=True)
class Layout:
    """One way to lay out a segment.

    Attributes:
        family: PLAIN to FIELDS.
        width: Bytes of an element; number of fields for FIELDS.
        fields: Bytes of each field, for FIELDS only.
    """

    family: int
    width: int
    fields: tuple[int, ...] = ()

    @property
    def unit(self) -> int:
        """Bytes of what is laid out as one."""
        return sum(self.fields) if self.family == FIELDS else self.width

    @property
    def numeric(self) -> bool:
        """Whether its elements are integers that a zero map or a difference applies to."""
        return self.family in (PLAIN, ROTATED, ZIGZAG) and self.width in UNSIGNED

    def pack(self) -> bytes:
        """Width, then the fields."""
        return bytes([self.width, *self.fields])

    @classmethod
    def unpack(cls, family: int, source: Cursor) -> Layout:
        """Read what `pack` writes.

        Raises:
            CorruptError: No such layout.
        """
        width = source.take(1)[0]
        if width not in _WIDTHS.get(family, ()):
            raise CorruptError(f"a segment has layout {family} of width {width}: there is none")
        fields = tuple(source.take(width)) if family == FIELDS else ()
        if 0 in fields:
            raise CorruptError("a segment has fields of no bytes")
        return cls(family, width, fields)


BYTEWISE = Layout(PLAIN, 1)
"""Bytes as they are, in one plane."""


def plane_names(layout: Layout) -> list[str]:
    """What each of the planes of `plane_sizes` holds, for people: "kind of element, plane"."""
    width = layout.width
    if layout.family == BITS:
        return ["booleans, bits"]
    if layout.family == PALETTE:
        return [f"palette of {8 * width}-bit values, indices"]
    if layout.family == FIELDS:
        return [f"blocks of {layout.unit} bytes, field {k}" for k in range(width)]
    if layout == BYTEWISE:
        return ["bytes, as they are"]
    planes = [f"byte {k}" for k in range(width)]
    if layout.family == ROTATED:
        lowest = [f"mantissa byte {k}" for k in range(width - 2)]
        planes = [*lowest, "sign and mantissa byte", "exponent byte"]
    kind = {ROTATED: "floats", ZIGZAG: "integers"}.get(layout.family, "elements")
    return [f"{8 * width}-bit {kind}, {plane}" for plane in planes]


def layout_of(dtype: DType, *, groups: int = 0, sign: bool = True) -> Layout:
    """The layout for an element type.

    Args:
        dtype: Type of the elements.
        groups: If not 0, so many groups of bytes, whatever the type.
        sign: Whether the sign may move away from the exponent.
    """
    if groups:
        return Layout(PLAIN, groups)
    if dtype.kind == "blocks":
        # Two bytes are a float16, a scale: its bytes are of two kinds.
        fields = [part for size in dtype.fields for part in ((1, 1) if size == 2 else (size,))]
        fits = len(fields) <= max(_WIDTHS[FIELDS]) and max(fields) <= 255
        return Layout(FIELDS, len(fields), tuple(fields)) if fits else BYTEWISE
    if dtype.kind == "bool":
        return Layout(BITS, 1)
    if dtype.kind == "float" and dtype.unit > 1:
        return Layout(ROTATED if sign else PLAIN, dtype.unit)
    if dtype.kind == "int":
        return Layout(ZIGZAG, dtype.unit)
    return Layout(PLAIN, dtype.unit)


def split_planes(layout: Layout, elements: Array, ops: Ops) -> list[Array] | None:
    """The planes of some elements.

    Args:
        layout: PLAIN, ROTATED or ZIGZAG of a width in `UNSIGNED`: `elements` are
            unsigned integers of that width; else they are bytes.
        elements: Contiguous.
        ops: What computes.

    Returns:
        uint8 planes; None where the elements are not what the layout is for.
    """
    if layout.family == BITS:
        return [np.packbits(elements, bitorder="little")] if elements.max() <= 1 else None
    if layout.family == FIELDS:
        rows = elements.reshape(-1, layout.unit)
        ends = np.cumsum(layout.fields)
        return [
            np.ascontiguousarray(rows[:, end - size : end]).reshape(-1)
            for size, end in zip(layout.fields, ends, strict=True)
        ]
    if not layout.numeric:
        return list(np.ascontiguousarray(elements.reshape(-1, layout.width).T))
    if layout.width == 1 and layout.family == PLAIN:
        return [elements]
    moved = elements
    if layout.family != PLAIN:
        moved = np.empty_like(elements)
        (ops.rotate if layout.family == ROTATED else ops.zigzag)(elements, moved)
    planes = np.empty((layout.width, len(elements)), np.uint8)
    ops.split(moved, planes)
    return list(planes)


def plane_sizes(layout: Layout, count: int) -> list[int]:
    """Bytes of each plane of `count` elements; PALETTE: of the indices."""
    if layout.family == BITS:
        return [-(-count // 8)]
    if layout.family == FIELDS:
        return [count * size for size in layout.fields]
    return [count] * (1 if layout.family == PALETTE else layout.width)


def join_planes(layout: Layout, planes: list[Array], out: Array, ops: Ops) -> None:
    """The inverse of `split_planes`.

    Args:
        layout, ops: As there.
        planes: As there.
        out: Where the elements go: unsigned integers of the layout's width if that is in
            `UNSIGNED`, else bytes.
    """
    if layout.family == BITS:
        if len(out) % 8 and planes[0][-1] >> len(out) % 8:
            raise CorruptError("packed bits go on behind the last element")
        out[:] = np.unpackbits(planes[0], count=len(out), bitorder="little")
    elif not layout.numeric:
        rows = out.reshape(-1, layout.unit)
        sizes = layout.fields or (1,) * layout.width
        for plane, size, end in zip(planes, sizes, np.cumsum(sizes), strict=True):
            rows[:, end - size : end] = plane.reshape(-1, size)
    elif layout.family == PLAIN:
        ops.join(planes, out)
    else:
        joined = np.empty_like(out)
        ops.join(planes, joined)
        (ops.unrotate if layout.family == ROTATED else ops.unzigzag)(joined, out)
