"""How a block is looked at: as text, as records, as numbers; told in the payload.

A payload begins with a byte: the kind in bits 0 and 1, and in bit 7 whether the bytes of
elements stand reversed, the most significant one first, so that they are met in the order
of their weight. Text ends there. Records and numbers go on with u8 the size of an element,
u16 bytes in a row, and numbers with u16 bytes to the plane before (0: none, for both); all
little endian.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from numpy.typing import NDArray

from nncomp.errors import CorruptError

__all__ = ["KINDS", "NUMBERS", "RECORDS", "TEXT", "Layout", "arranged", "read_layout", "restored"]

Array = NDArray[Any]

TEXT, RECORDS, NUMBERS = range(3)

KINDS = {TEXT: 20, RECORDS: 24, NUMBERS: 14}
"""How many contexts a kind has."""

_FIELDS = {TEXT: struct.Struct("<"), RECORDS: struct.Struct("<BH"), NUMBERS: struct.Struct("<BHH")}
_NAMES = ("element", "row", "plane")
_REVERSED = 0x80
_ELEMENT_MAX = 8


class Layout(NamedTuple):
    """What a block is taken for.

    Attributes:
        kind: `TEXT`, `RECORDS` or `NUMBERS`.
        element: Bytes of an element, or from a pixel to the next.
        row: Bytes of a row; at least 1 for records, 0 for sound.
        plane: Bytes back to the same place in another colour, or 0.
        reverse: Whether the bytes of elements are reversed.
    """

    kind: int = TEXT
    element: int = 1
    row: int = 1
    plane: int = 0
    reverse: bool = False

    @property
    def sample(self) -> int:
        """Bytes of a sample of numbers."""
        return 2 if self.kind == NUMBERS and self.element % 2 == 0 else 1

    def pack(self) -> bytes:
        """The beginning of a payload."""
        values = (self.element, self.row, self.plane)[: 1 + self.kind if self.kind else 0]
        first = self.kind | (_REVERSED if self.reverse else 0)
        return bytes([first]) + _FIELDS[self.kind].pack(*values)


def read_layout(payload: memoryview) -> tuple[Layout, memoryview]:
    """The layout at the beginning of a payload, and the rest.

    Raises:
        CorruptError: There is none, or one that no encoder writes.
    """
    kind = payload[0] & ~_REVERSED if len(payload) else -1
    if kind not in _FIELDS or len(payload) <= _FIELDS[kind].size:
        raise CorruptError("a payload begins with no layout. The file is damaged")
    fields = _FIELDS[kind]
    told = fields.unpack_from(payload, 1)
    layout = Layout(kind)._replace(**dict(zip(_NAMES, told, strict=False)))
    layout = layout._replace(reverse=payload[0] >= _REVERSED)
    if not 1 <= layout.element <= _ELEMENT_MAX or (kind == RECORDS and not layout.row):
        raise CorruptError(f"{layout} is not possible. The file is damaged")
    return layout, payload[1 + fields.size :]


def arranged(raw: Array, layout: Layout) -> Array:
    """The bytes in the order of coding, in a new array.

    Samples of two bytes, which may be signed, then count up from the least one.
    """
    coded = _turned(raw, layout)
    if layout.sample == 2:
        coded[: len(raw) // 2 * 2 : 2] ^= 0x80
    return coded


def restored(coded: Array, layout: Layout) -> Array:
    """The inverse of `arranged`."""
    if layout.sample == 2:
        coded = coded.copy()
        coded[: len(coded) // 2 * 2 : 2] ^= 0x80
    return _turned(coded, layout)


def _turned(x: Array, layout: Layout) -> Array:
    result = x.copy()
    size = layout.sample if layout.kind == NUMBERS else layout.element
    if layout.reverse and size > 1:
        whole = len(x) // size * size
        result[:whole] = x[:whole].reshape(-1, size)[:, ::-1].ravel()
    return result
