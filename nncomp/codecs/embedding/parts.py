"""Some rows of a table: the rows that differ, once each, and which of them comes where.

    part = head, then, each if its flag is set,
        REPEATED     u8: discount; the sequence of rows
        EXCEPTIONS   their places as planes; their bit patterns as planes
    and then the rows that differ: GROUPED as groups, else u8 width and planes

FORMAT.md says it field by field. Elements that are not QUANTISED are kept exactly.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.embedding.arrays import PATTERNS
from nncomp.codecs.embedding.entropy import (
    decode_groups,
    decode_planes,
    encode_groups,
    encode_planes,
)
from nncomp.codecs.embedding.quantiser import BOUND_MAX, NO_MARGIN, quantise, step_of
from nncomp.codecs.embedding.sequence import (
    DISCOUNT_MAX,
    choose_discount,
    decode_labels,
    encode_labels,
)
from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.codecs.tensor.layouts import PLAIN, ROTATED, Layout
from nncomp.codecs.tensor.planes import size_of
from nncomp.coding.varint import pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer
    from nncomp.codecs.embedding.arrays import Array
    from nncomp.codecs.embedding.machine import Machine
    from nncomp.codecs.tensor.cursor import Cursor

__all__ = ["AUTO", "PartHead", "decode_part", "encode_part", "read_head"]

QUANTISED, REPEATED, EXCEPTIONS, GROUPED = 1, 2, 4, 8
_FLAGS = 15
_NUMBERS = struct.Struct("<dH")
_WHOLE = 65535  # what stands for an error as large as the bound
_MARGIN_ZERO = 1200  # what stands for 2^0
_MARGIN_MAX = 2200  # what stands for 2^1000, which no bound is above
AUTO = "auto"
_SAMPLE = 1 << 12  # codes that are looked at for strings that come again
_ROWS_MIN = 2  # of which one could be like another
_STEPS = Layout(PLAIN, 4)
_COLUMNS_MIN = 4  # of rows that are looked for: narrower ones are hardly larger than their number


# --- head --------------------------------------------------------------------------------


@dataclass(frozen=True)
class PartHead:
    """What a part begins with.

    Attributes:
        flags: Of the names above.
        bound: No element is off by more; 0 where all are exact.
        share: The largest error that was measured, in 65535ths of the bound, rounded up.
        margin: As for `quantiser.step_of`.
        base: Added to codes.
        unique: Rows that differ; 0 if no row comes again.
        exceptions: Elements that are kept exactly beside their codes.
    """

    flags: int
    bound: float = 0.0
    share: int = 0
    margin: int = NO_MARGIN
    base: int = 0
    unique: int = 0
    exceptions: int = 0

    @property
    def error(self) -> float:
        """The largest error."""
        return self.bound * (self.share / _WHOLE)

    def pack(self) -> bytes:
        """As `read_head` reads it."""
        out = bytes([self.flags])
        if self.flags & QUANTISED:
            margin = 0 if self.margin == NO_MARGIN else self.margin + _MARGIN_ZERO
            out += _NUMBERS.pack(self.bound, self.share) + pack_varint(margin)
            out += pack_varint(-2 * self.base - 1 if self.base < 0 else 2 * self.base)
        for flag, count in ((REPEATED, self.unique), (EXCEPTIONS, self.exceptions)):
            out += pack_varint(count) if self.flags & flag else b""
        return out


def read_head(source: Cursor) -> PartHead:
    """The head of a part.

    Raises:
        CorruptError: There is none.
    """
    flags = source.take(1)[0]
    if flags & ~_FLAGS or (flags & (EXCEPTIONS | GROUPED) and not flags & QUANTISED):
        raise CorruptError("a part of a table has flags that contradict each other")
    bound, share, margin, base = 0.0, 0, NO_MARGIN, 0
    if flags & QUANTISED:
        bound, share = _NUMBERS.unpack(source.take(_NUMBERS.size))
        margin, base = unpack_varint(source), unpack_varint(source)
        if not 0 < bound <= BOUND_MAX or margin > _MARGIN_MAX or base > 1 << 32:
            raise CorruptError("a part of a table has a bound, margin or base out of range")
        margin = margin - _MARGIN_ZERO if margin else NO_MARGIN
        base = -(base + 1 >> 1) if base & 1 else base >> 1
    unique = unpack_varint(source) if flags & REPEATED else 0
    exceptions = unpack_varint(source) if flags & EXCEPTIONS else 0
    return PartHead(flags, bound, share, margin, base, unique, exceptions)


# --- parts -------------------------------------------------------------------------------


def encode_part(rows: Array, kind: int, bound: float, coder: str, machine: Machine) -> list[Buffer]:
    """A part, in buffers to be joined.

    Args:
        rows: Bit patterns [n, columns], C order, not empty.
        kind: Of the elements.
        bound: Absolute; 0: keep everything exactly.
        coder: "huffman", "ans", "zstd" or "lz4"; "auto": ANS, or Zstandard where that is
            smaller.
        machine: What computes.
    """
    columns = rows.shape[1]
    index = None
    if columns >= _COLUMNS_MIN:
        rows, index = _join(rows, rows, machine)
    found = quantise(rows.reshape(-1), kind, bound, machine.functions)
    if found is None:
        head = PartHead(REPEATED if _repeats(rows, index) else 0, unique=len(rows))
        body = _encode_exact(rows.reshape(-1), kind, coder, machine)
        return [head.pack(), *_encode_index(rows, index, coder, machine), *body]
    codes, places = found.codes.reshape(-1, columns), found.places
    if index is not None:
        codes, joined = _join(codes, _keys(codes, places), machine)
        places = joined[places // columns] * columns + places % columns
        index = joined[index]
    flags = QUANTISED
    flags |= REPEATED if _repeats(codes, index) else 0
    flags |= EXCEPTIONS if len(places) else 0
    grouped, body = _encode_codes(codes, coder, machine)
    flags |= GROUPED if grouped else 0
    share = math.ceil(found.error / bound * _WHOLE)
    base = int(codes.min())
    head = PartHead(flags, bound, share, found.margin, base, len(codes), len(places))
    parts = [head.pack(), *_encode_index(codes, index, coder, machine)]
    if len(places):
        parts += _encode_exceptions(places, found.exceptions, kind, coder, machine)
    return parts + body


def decode_part(source: Cursor, kind: int, out: Array, machine: Machine) -> None:
    """Fill in the rows of a part, bit patterns [n, columns], C order, not empty.

    Raises:
        CorruptError: There is no such part.
        Exception: Of a library that decodes planes.
    """
    head = read_head(source)
    count, columns = out.shape
    index = None
    if head.flags & REPEATED:
        count = head.unique
        index = _decode_index(source, len(out), count, machine)
    rows = out if index is None else np.empty((count, columns), out.dtype)
    if head.flags & QUANTISED:
        places, exceptions = _decode_exceptions(source, head, rows.size, kind, machine)
        codes = _decode_codes(source, head, (count, columns), machine)
        step = step_of(head.bound, head.margin)
        flat = rows.reshape(-1)
        machine.functions.from_codes(codes, head.base, step, kind, flat)
        flat[places] = exceptions
    else:
        flat = decode_planes(source, rows.size, _exact(kind), machine)
        rows[:] = flat.reshape(rows.shape)
    if index is not None:
        np.take(rows, index, axis=0, out=out, mode="clip")  # "clip" needs no copy


def _exact(kind: int) -> Layout:
    return Layout(ROTATED, PATTERNS[kind].itemsize)


# --- rows --------------------------------------------------------------------------------


def _join(rows: Array, keys: Array, machine: Machine) -> tuple[Array, Array]:
    """The rows whose keys differ, and which of them each is."""
    first, index = machine.functions.find_rows(_octets(keys))
    return rows if len(first) == len(rows) else rows[first], index


def _octets(rows: Array) -> Array:
    """Rows as bytes, filled up to whole words."""
    octets = rows.view(np.uint8)
    missing = -octets.shape[1] % 8
    if not missing:
        return octets
    filled = np.zeros((len(rows), octets.shape[1] + missing), np.uint8)
    filled[:, : octets.shape[1]] = octets
    return filled


def _keys(codes: Array, places: Array) -> Array:
    """What tells rows of codes apart: the codes, and for those with exceptions their number."""
    if not len(places):
        return codes
    numbers = np.zeros((len(codes), 1), np.int32)
    special = places // codes.shape[1]
    numbers[special, 0] = special + 1
    return np.concatenate([codes, numbers], axis=1)


def _repeats(rows: Array, index: Array | None) -> bool:
    return index is not None and len(rows) < len(index)


def _encode_index(rows: Array, index: Array | None, coder: str, machine: Machine) -> list[Buffer]:
    """Which row comes where: u8: discount, or 0 for planes."""
    if index is None or not _repeats(rows, index):
        return []
    planes: list[Buffer] | None = None
    if coder != "ans":
        layout = _index_layout(len(rows))
        numbers = index.astype(UNSIGNED[layout.width])
        library = "zstd" if coder == AUTO else coder
        planes = [bytes([0]), *encode_planes(numbers, layout, library, machine)]
        if coder != AUTO:
            return planes
    discount = choose_discount(index)
    functions = machine.functions
    labels = encode_labels(index, len(rows), discount, functions.find_intervals, functions.push_all)
    own: list[Buffer] = [bytes([discount]) + pack_varint(len(labels)), labels]
    # Whole sequences that come again are nothing to a coder of frequencies.
    return own if planes is None or size_of(own) <= size_of(planes) else planes


def _decode_index(source: Cursor, length: int, count: int, machine: Machine) -> Array:
    """Which of `count` rows comes where."""
    discount = source.take(1)[0]
    if not 0 < count < length or discount > DISCOUNT_MAX:
        raise CorruptError("a part of a table has more rows that differ than rows")
    if discount:
        payload = source.take(unpack_varint(source))
        return decode_labels(payload, length, count, discount, machine.functions.follow)
    index = decode_planes(source, length, _index_layout(count), machine)
    if int(index.max()) >= count:
        raise CorruptError("a part of a table has a row that is none of those that differ")
    return index.astype(np.int64)


def _index_layout(count: int) -> Layout:
    return Layout(PLAIN, 1 if count <= 1 << 8 else 2 if count <= 1 << 16 else 4)


# --- elements ----------------------------------------------------------------------------


def _encode_exceptions(
    places: Array, exceptions: Array, kind: int, coder: str, machine: Machine
) -> list[Buffer]:
    """Planes of the steps from place to place; planes of bit patterns."""
    coder = "ans" if coder == AUTO else coder
    order = np.argsort(places)
    steps = np.diff(places[order], prepend=-1).astype(np.uint32)
    return [
        *encode_planes(steps, _STEPS, coder, machine),
        *encode_planes(exceptions[order], _exact(kind), coder, machine),
    ]


def _decode_exceptions(
    source: Cursor, head: PartHead, size: int, kind: int, machine: Machine
) -> tuple[Array, Array]:
    """Places, int64, and bit patterns."""
    if not head.flags & EXCEPTIONS:
        return np.empty(0, np.int64), np.empty(0, PATTERNS[kind])
    count = head.exceptions
    if not 0 < count <= size:
        raise CorruptError("a part of a table has more exceptions than elements")
    steps = decode_planes(source, count, _STEPS, machine)
    places = np.cumsum(steps, dtype=np.int64) - 1
    if not steps.all() or places[-1] >= size:
        raise CorruptError("an exception lies outside its table")
    return places, decode_planes(source, count, _exact(kind), machine)


def _encode_exact(rows: Array, kind: int, coder: str, machine: Machine) -> list[Buffer]:
    """Planes of bit patterns."""
    coders = ("ans", "zstd") if coder == AUTO else (coder,)
    tried = [encode_planes(rows, _exact(kind), name, machine) for name in coders]
    return min(tried, key=size_of)


def _encode_codes(codes: Array, coder: str, machine: Machine) -> tuple[bool, list[Buffer]]:
    """Whether they are in groups, and these; or u8: bytes of a code, and planes."""
    base = int(codes.min())
    if coder not in ("ans", AUTO):
        return False, _encode_narrow(codes, base, coder, machine)
    groups = encode_groups(codes, base, machine)
    some = codes[: max(1, _SAMPLE // codes.shape[1])]
    if coder == AUTO and len(codes) >= _ROWS_MIN:
        # Strings of codes come again in some tables, which only a part of all shows at once.
        sample = size_of(_encode_narrow(some, base, "zstd", machine))
        if sample * codes.size < size_of(groups) * some.size:
            planes = _encode_narrow(codes, base, "zstd", machine)
            if size_of(planes) < size_of(groups):
                return False, planes
    return True, groups


def _encode_narrow(codes: Array, base: int, coder: str, machine: Machine) -> list[Buffer]:
    layout = _index_layout(int(codes.max()) - base + 1)
    narrow = (codes.reshape(-1) - np.int32(base)).astype(UNSIGNED[layout.width])
    return [bytes([layout.width]), *encode_planes(narrow, layout, coder, machine)]


def _decode_codes(
    source: Cursor, head: PartHead, shape: tuple[int, int], machine: Machine
) -> Array:
    if head.flags & GROUPED:
        return decode_groups(source, shape, machine)
    width = source.take(1)[0]
    if width not in (1, 2, 4):
        raise CorruptError(f"a part of a table has codes of {width} bytes")
    return decode_planes(source, shape[0] * shape[1], Layout(PLAIN, width), machine)
