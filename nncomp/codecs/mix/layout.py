"""How a block is looked at: as text, records or numbers, or hardly; told in the payload.

A payload begins with a byte: the kind in bits 0 to 2 (one of them is no layout: see
`payload.py`); in bit 5 whether samples of numbers are narrow; in bit 6 whether it is machine
code whose calls were made absolute, see `machine`; and in bit 7 whether the bytes of elements
stand reversed, the most significant one first, so that they are met in the order of their
weight. Records and numbers go on with u8 the size of an element, u16 bytes in a row, and
numbers with u16 bytes to the plane before (0: none, for both); all little endian.
"""

from __future__ import annotations

import struct
from typing import Any, NamedTuple

from numpy.typing import NDArray

from nncomp.codecs.mix.machine import make_absolute, make_relative
from nncomp.errors import CorruptError

__all__ = [
    "FILES",
    "KINDS",
    "LEAN",
    "LETTERS",
    "NAMES",
    "NUMBERS",
    "RECORDS",
    "TEXT",
    "Layout",
    "arranged",
    "read_layout",
    "restored",
]

Array = NDArray[Any]

TEXT, RECORDS, NUMBERS, LEAN, LETTERS, FILES = range(6)

NAMES = {
    TEXT: (
        "order 1",
        "order 2",
        "order 3",
        "order 4",
        "word",
        "word, word before",
        "classes of 10 bytes",
        "column, byte above",
        "order 6",
        "what followed this byte",
        "bytes 2 and 3 back",
        "bracket, line start, order 2",
        "word, line start",
        "order 3, the upper halves",
        "word, second word before",
        "column, order 1",
        "word, tag",
        "classes of 16 bytes",
    ),
    RECORDS: (
        "place in the element",
        "order 1",
        "order 2",
        "order 3",
        "order 4",
        "order 6",
        "word",
        "byte 2 back",
        "bytes 2 and 3 back",
        "1 and 2 elements back",
        "what followed this byte",
        "what followed these 2 bytes",
        "row above, column",
        "row above, order 1",
        "2 rows above",
        "row above: 3 bytes, order 1",
        "rows above: 4 bytes, order 2",
        "2 elements back, this one so far",
        "1 element back, this one so far",
        "this element so far",
        "1 element back, order 1",
        "column, order 1",
        "left + above - corner",
        "row above, 1 element back, order 1",
    ),
    NUMBERS: (
        "prediction, roughness",
        "left, above",
        "order 3",
        "left",
        "above, corner",
        "above, column",
        "fixed rule",
        "order 2",
        "other plane, prediction",
        "above",
        "prediction, fixed rule",
        "left + upper right - above",
        "fixed rule, roughness",
        "line through 2 above",
    ),
    LEAN: ("order 1", "order 2", "order 3", "word", "order 5"),
    LETTERS: tuple(f"{n} letters" for n in (2, 3, 4, 6, 8, 11, 12, 14, 16, 18, 20, 24, 9)),
}
"""What the contexts of a kind know, by their numbers."""

KINDS = {kind: len(names) for kind, names in NAMES.items()}
"""How many contexts a kind has."""

_TITLES = {
    TEXT: "text",
    RECORDS: "records, element {1}, row {2} bytes",
    NUMBERS: "numbers of {sample} bits, row {2} bytes",
    LEAN: "bytes, lean",
    LETTERS: "letters of 2 bits",
}
_NONE = struct.Struct("<")
_FIELDS = {
    TEXT: _NONE,
    RECORDS: struct.Struct("<BH"),
    NUMBERS: struct.Struct("<BHH"),
    LEAN: _NONE,
    LETTERS: _NONE,
}
_FIELD_NAMES = ("element", "row", "plane")
_REVERSED, _MACHINE, _NARROW = 0x80, 0x40, 0x20
_ELEMENT_MAX = 8


class Layout(NamedTuple):
    """What a block is taken for.

    Attributes:
        kind: `TEXT`, `RECORDS`, `NUMBERS`, `LEAN` (for speed) or `LETTERS` (as of DNA).
        element: Bytes of an element, or from a pixel to the next.
        row: Bytes of a row; at least 1 for records, 0 for sound.
        plane: Bytes back to the same place in another colour, or 0.
        reverse: Whether the bytes of elements are reversed.
        machine: Whether it is code of x86.
        narrow: Whether samples have one byte although elements have an even number.
    """

    kind: int = TEXT
    element: int = 1
    row: int = 1
    plane: int = 0
    reverse: bool = False
    machine: bool = False
    narrow: bool = False

    @property
    def sample(self) -> int:
        """Bytes of a sample of numbers."""
        wide = self.kind == NUMBERS and self.element % 2 == 0 and not self.narrow
        return 2 if wide else 1

    @property
    def title(self) -> str:
        """For people."""
        text = _TITLES[self.kind].format(*self, sample=8 * self.sample)
        return text + ", x86 code" * self.machine

    def pack(self) -> bytes:
        """The beginning of a payload."""
        fields = _FIELDS[self.kind]
        values = (self.element, self.row, self.plane)[: len(fields.format) - 1]
        flags = self.reverse * _REVERSED | self.machine * _MACHINE | self.narrow * _NARROW
        return bytes([self.kind | flags]) + fields.pack(*values)


def read_layout(payload: memoryview) -> tuple[Layout, memoryview]:
    """The layout at the beginning of a payload, and the rest.

    Raises:
        CorruptError: There is none, or one that no encoder writes.
    """
    kind = payload[0] & ~(_REVERSED | _MACHINE | _NARROW) if len(payload) else -1
    if kind not in _FIELDS or len(payload) <= _FIELDS[kind].size:
        raise CorruptError("a payload begins with no layout. The file is damaged")
    fields = _FIELDS[kind]
    told = fields.unpack_from(payload, 1)
    layout = Layout(kind)._replace(**dict(zip(_FIELD_NAMES, told, strict=False)))
    flags = payload[0]
    layout = layout._replace(
        reverse=flags & _REVERSED > 0, machine=flags & _MACHINE > 0, narrow=flags & _NARROW > 0
    )
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
    if layout.machine:
        make_absolute(coded)
    return coded


def restored(coded: Array, layout: Layout) -> Array:
    """The inverse of `arranged`."""
    coded = coded.copy()
    if layout.machine:
        make_relative(coded)
    if layout.sample == 2:
        coded[: len(coded) // 2 * 2 : 2] ^= 0x80
    return _turned(coded, layout)


def _turned(x: Array, layout: Layout) -> Array:
    result = x.copy()
    size = layout.sample if layout.kind == NUMBERS else layout.element
    if layout.reverse and size > 1:
        whole = len(x) // size * size
        result[:whole] = x[:whole].reshape(-1, size)[:, ::-1].ravel()
    return result
