"""NumPy's .npy: a header in Python's notation, then one array.

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html. The header
is matched, not evaluated: what `numpy.save` writes for arrays of numbers fits the pattern,
and what does not (records, objects) holds no plain numbers.
"""

from __future__ import annotations

import re
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats.base import (
    Segment,
    Tensor,
    contiguous,
    element_count,
    file_size,
    malformed,
    natural,
    unusual_strides,
)
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from nncomp.codecs.tensor.dtypes import DType
    from nncomp.codecs.tensor.formats.base import Feed

__all__ = ["HEAD_MAX", "MAGIC", "Array", "directory", "matches", "parse", "segments", "tensor"]

MAGIC = b"\x93NUMPY"
_TEXT_MAX = 10_000  # numpy's own limit of what it evaluates
_LENGTH_AT = len(MAGIC) + 2
HEAD_MAX = _LENGTH_AT + 4 + _TEXT_MAX
"""Bytes from the beginning of a file that are enough for `parse`."""

_NUMBERS = {
    "b1": "BOOL",
    "u1": "U8",
    "i1": "I8",
    "u2": "U16",
    "i2": "I16",
    "u4": "U32",
    "i4": "I32",
    "u8": "U64",
    "i8": "I64",
    "f2": "F16",
    "f4": "F32",
    "f8": "F64",
    "c8": "C64",
    "c16": "C128",
}
# Version 1 files of Python 2 have long integers: 3L.
_ITEM = re.compile(
    r"\s*'(?P<key>\w+)'\s*:\s*(?P<value>'[^'\\]*'|True|False|\((?:\s*\d+L?\s*,)*(?:\s*\d+L?)?\s*\))"
    r"\s*(?:,|(?=\}))",
    re.ASCII,
)
_DESCR = re.compile(r"(?P<order>[<>|=])(?P<kind>[a-zA-Z])(?P<size>\d+)(?:\[\w+\])?", re.ASCII)
_KEYS = {"descr", "fortran_order", "shape"}


@dataclass(frozen=True)
class Array:
    """What a header says.

    Attributes:
        header: Bytes before the array.
        dtype: Its element type; None: not little-endian plain numbers.
        descr: Its element type as NumPy writes it.
        shape: Its shape.
        size: Its bytes.
        fortran: Whether the first index is the fastest.
    """

    header: int
    dtype: DType | None
    descr: str
    shape: tuple[int, ...]
    size: int
    fortran: bool


def matches(start: bytes) -> bool:
    """Whether a file that begins with `start` is one."""
    return start.startswith(MAGIC)


def segments(feed: Feed) -> Iterator[Segment]:
    """The header, then the array; see `formats.segments`.

    Raises:
        TensorFileError: Before the first segment only.
    """
    array = parse(feed.peek(HEAD_MAX))
    yield Segment(array.header, BYTES)
    if array.size:
        yield Segment(array.size, array.dtype, "", array.shape)


def directory(file: BinaryIO) -> list[Tensor]:
    """The one array, under the empty name; see `formats.directory`."""
    total = file_size(file)
    file.seek(0)
    return [tensor("", parse(file.read(HEAD_MAX)), 0, total)]


def tensor(name: str, array: Array, start: int, stop: int) -> Tensor:
    """The tensor of a file that lies at `start` to `stop` of another.

    Raises:
        TensorFileError: It is not exactly that long, or holds no plain numbers.
    """
    what = f"array {name!r}" if name else "the array"
    if array.dtype is None:
        raise TensorFileError(
            f"{what} of type {array.descr!r} holds no little-endian numbers; load it with numpy",
            offset=start,
        )
    data = start + array.header
    if data + array.size != stop:
        raise malformed(f"{what} ends at byte {data + array.size}, its file at byte {stop}", start)
    strides = None
    if array.fortran:
        strides = unusual_strides(array.shape, contiguous(array.shape[::-1])[::-1])
    return Tensor(name, array.dtype, array.shape, data, stop, strides)


def parse(start: bytes, offset: int = 0) -> Array:
    """Read the header of a file that begins with `start` and lies at `offset`.

    Raises:
        TensorFileError: It is none, or describes records or objects.
    """
    if not start.startswith(MAGIC):
        raise malformed("no .npy file", offset)
    version = start[len(MAGIC)] if len(start) > len(MAGIC) else 0
    if version not in (1, 2, 3):
        raise TensorFileError(f"unknown .npy version {version}; load it with numpy", offset=offset)
    text_at = _LENGTH_AT + (2 if version == 1 else 4)
    length = int.from_bytes(start[_LENGTH_AT:text_at], "little")
    text = start[text_at : text_at + length]
    if length > _TEXT_MAX or len(text) < length:
        raise malformed(f"an .npy header of {length} bytes is too long", offset)
    fields = _fields(text.decode("utf-8" if version == 3 else "latin-1", "replace"), offset)
    order = fields["fortran_order"]
    descr = fields["descr"]
    if order not in ("True", "False") or descr[0] != "'" or fields["shape"][0] != "(":
        raise malformed("an .npy header has values of the wrong kind", offset)
    shape = tuple(
        natural(int(digits) if len(digits) < 20 else None, "a length of an array", offset)
        for digits in re.findall("[0-9]+", fields["shape"])
    )
    dtype, item = _element(descr[1:-1], offset)
    elements = element_count(shape, offset)
    size = natural(elements * item, "the size of an array", offset)
    return Array(text_at + length, dtype, descr[1:-1], shape, size, order == "True")


def _fields(text: str, offset: int) -> dict[str, str]:
    """The values of the header's dictionary, as text."""
    text = text.strip()
    fields: dict[str, str] = {}
    at = 1
    while text.startswith("{") and (item := _ITEM.match(text, at)):
        if item["key"] in fields:
            raise malformed(f"an .npy header has {item['key']!r} twice", offset)
        fields[item["key"]] = item["value"]
        at = item.end()
    if fields.keys() != _KEYS or text[at:].strip() != "}":
        raise TensorFileError(
            "an .npy header that is damaged, or for records or objects; load it with numpy",
            offset=offset,
        )
    return fields


def _element(descr: str, offset: int) -> tuple[DType | None, int]:
    """Element type, or None, and bytes of an element."""
    parts = _DESCR.fullmatch(descr)
    if parts is None or parts["kind"] == "O" or len(parts["size"]) > 9:
        raise TensorFileError(
            f"elements of type {descr[:20]!r} have no fixed size; load them with numpy",
            offset=offset,
        )
    size = int(parts["size"])
    name = _NUMBERS.get(parts["kind"] + parts["size"])
    if parts["order"] == ">" or name is None:
        return None, size * (4 if parts["kind"] == "U" else 1)
    return DTYPES[name], size
