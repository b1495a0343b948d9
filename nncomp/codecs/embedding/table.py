"""A whole table to bytes that describe themselves, and back.

    payload = u8 kind of elements, varint rows, varint columns, part*

A part has as many rows as there are left, up to `part_rows`; before each but the last stands
its size. See FORMAT.md. The pair of functions is what the codec `emb` and the exchange between
processes share.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import lz4.block
import numpy as np
import snappy
import zstandard

from nncomp.codecs.embedding.arrays import FLOATS, KINDS, PATTERNS
from nncomp.codecs.embedding.machine import machine
from nncomp.codecs.embedding.model import speedup
from nncomp.codecs.embedding.parts import AUTO, decode_part, encode_part, read_head
from nncomp.codecs.embedding.quantiser import BOUND_MAX, absolute_bound, kind_of, patterns_of
from nncomp.codecs.embedding.sequence import LENGTH_MAX
from nncomp.codecs.tensor.cursor import Cursor
from nncomp.codecs.tensor.planes import size_of
from nncomp.coding.varint import pack_varint, unpack_varint
from nncomp.errors import CorruptError, LimitError, MethodError
from nncomp.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Buffer
    from nncomp.codecs.embedding.arrays import Array
    from nncomp.codecs.embedding.machine import Machine

__all__ = [
    "AUTO",
    "CODERS",
    "LIBRARY_ERRORS",
    "PART_MAX",
    "TableInfo",
    "decode_rows",
    "decode_table",
    "describe_table",
    "encode_patterns",
    "encode_table",
    "part_rows",
    "read_shape",
]

CODERS = ("huffman", "ans", "lz4", "zstd")
"""What codes codes and indices."""
# Nominal speeds in bytes of the table per second, compressing and decompressing: measured on
# one core with look-ups at 1e-2 of their range, and written down once, so that what is chosen
# does not depend on the day.
_SPEEDS = {
    "auto": (0.45e9, 1.5e9),
    "ans": (0.47e9, 1.5e9),
    "huffman": (1.1e9, 4.8e9),
    "lz4": (0.5e9, 5.0e9),
    "zstd": (0.9e9, 3.8e9),
}
PART_MAX = 1 << 22
"""Elements of a part, at most, but for one row."""
_SIZE_MAX = (1 << 31) - 1  # rows, and columns
LIBRARY_ERRORS = (zstandard.ZstdError, lz4.block.LZ4BlockError, snappy.UncompressError)
"""What planes that are none may raise."""


@dataclass(frozen=True)
class TableInfo:
    """What a payload says of its table.

    Attributes:
        dtype: Name of the element type.
        shape: Rows, columns.
        bound: Absolute; 0: kept exactly.
        error: The largest error, up to a 65535th of the bound.
        unique: Rows that are kept; those of different parts count for each.
        exceptions: Elements that are kept exactly beside their codes.
    """

    dtype: str
    shape: tuple[int, int]
    bound: float
    error: float
    unique: int
    exceptions: int


def describe_table(source: Cursor) -> TableInfo:
    """What a payload says of its table, without decoding it.

    Raises:
        CorruptError: There is no such table.
    """
    kind, (rows, columns) = read_shape(source)
    heads = []
    unique, left = 0, rows if columns else 0
    while left:
        size = min(left, part_rows(columns))
        left -= size
        part = Cursor(source.take(unpack_varint(source))) if left else source
        heads.append(read_head(part))
        unique += heads[-1].unique or size
    return TableInfo(
        KINDS[kind],
        (rows, columns),
        max((head.bound for head in heads), default=0.0),
        max((head.error for head in heads), default=0.0),
        unique,
        sum(head.exceptions for head in heads),
    )


def encode_table(
    values: Array,
    *,
    bound: float,
    mode: str = "abs",
    entropy: str = AUTO,
    bandwidth: float = 0.0,
    dtype: str | None = None,
) -> bytes:
    """A table of embeddings as bytes, no element off by more than a bound.

    Args:
        values: float16, float32, float64 or bfloat16 (of `ml_dtypes`, or uint16 bit patterns
            with `dtype="BF16"`), of two dimensions.
        bound: 0 or more; 0 keeps everything exactly, as NaN and infinities are in any case.
        mode: "abs": `bound` is the largest error; "rel": that divided by the difference of
            the largest and the smallest finite value of the table.
        entropy: One of `CODERS`, or "auto": ANS, or Zstandard where that is smaller; or what is
            fastest over a network of some `bandwidth`. Tables of some thousand bytes may be
            smaller with Huffman codes.
        bandwidth: Bytes per second; 0: the size alone counts.
        dtype: "BF16" where the values are bit patterns.

    Returns:
        What `decode_table` takes; it tells type, shape and bound.

    Raises:
        MethodError: An argument is out of range, or of another type.
    """
    if mode not in ("abs", "rel"):
        raise MethodError(f"mode={mode!r} is not valid: expected abs or rel")
    if entropy not in (AUTO, *CODERS):
        raise MethodError(f"entropy={entropy!r} is not valid: expected {AUTO} or one of {CODERS}")
    bound = float(bound)  # NumPy's float16 would take what is computed with it to float16
    if not 0 <= bound <= BOUND_MAX or not bandwidth >= 0:
        raise MethodError(
            f"bound={bound} and bandwidth={bandwidth} are not valid: expected 0 or more, and "
            f"bounds up to {BOUND_MAX:g}"
        )
    if values.ndim != 2 or max(values.shape) > _SIZE_MAX:
        raise MethodError(f"a table has two dimensions below 2^31, not the shape {values.shape}")
    keep_freed_memory()
    kind = kind_of(values.dtype, dtype)
    rows = patterns_of(values, kind)
    tools = machine(rows.nbytes)
    if mode == "rel":
        bound = absolute_bound(rows.reshape(-1), kind, bound, tools.functions)
    return encode_patterns(rows, kind, bound, entropy, bandwidth, tools)


def encode_patterns(
    rows: Array, kind: int, bound: float, entropy: str, bandwidth: float, tools: Machine
) -> bytes:
    """The payload of a table.

    Args:
        rows: Bit patterns [n, columns], C order.
        kind: Of the elements.
        bound: Absolute.
        entropy, bandwidth: As for `encode_table`.
        tools: What computes; makes no difference to the bytes.
    """
    names = [entropy]
    if entropy == AUTO and bandwidth:
        names += [name for name in CODERS if name != "ans"]
    tried = ((name, _encode(rows, kind, bound, name, tools)) for name in names)
    return min(tried, key=lambda one: _time(one[0], len(one[1]), rows.nbytes, bandwidth))[1]


def _time(coder: str, coded: int, size: int, bandwidth: float) -> float:
    """What sending a table takes, of the time without compression."""
    return 1 / speedup(max(size, 1) / coded, *_SPEEDS[coder], bandwidth)


def _encode(rows: Array, kind: int, bound: float, coder: str, tools: Machine) -> bytes:
    out: list[Buffer] = [bytes([kind]) + pack_varint(len(rows)) + pack_varint(rows.shape[1])]
    left = len(rows)
    for part in _parts(rows):
        buffers = encode_part(part, kind, bound, coder, tools)
        left -= len(part)
        out += ([pack_varint(size_of(buffers))] if left else []) + buffers
    return b"".join(out)


def decode_table(payload: Buffer, limit: int) -> Array:
    """The table that `encode_table` was given, but for errors within the bound.

    Args:
        payload: Trusted in nothing.
        limit: Bytes that the table may have; some times as much are taken.

    Returns:
        float16, float32 or float64; uint16 for the bit patterns of bfloat16.

    Raises:
        CorruptError: There is no such table.
        LimitError: It is larger than `limit`.
    """
    keep_freed_memory()
    source = Cursor(payload)
    kind, shape = read_shape(source)
    size = math.prod(shape) * PATTERNS[kind].itemsize
    if size > limit:
        raise LimitError(f"a table takes {size} bytes of memory, the limit is {limit} bytes")
    rows = np.empty(shape, PATTERNS[kind])
    decode_rows(source, kind, rows, machine(size))
    return rows if KINDS[kind] == "BF16" else rows.view(FLOATS[kind])


def read_shape(source: Cursor) -> tuple[int, tuple[int, int]]:
    """What a payload begins with: kind of the elements, rows and columns."""
    kind = source.take(1)[0]
    shape = (unpack_varint(source), unpack_varint(source))
    if kind >= len(KINDS) or max(shape) > _SIZE_MAX:
        raise CorruptError("a table has a type or a shape that does not exist")
    return kind, shape


def decode_rows(source: Cursor, kind: int, rows: Array, tools: Machine) -> None:
    """Fill in bit patterns [n, columns] from the parts, with which `source` must end."""
    left = len(rows)
    try:
        for part in _parts(rows):
            left -= len(part)
            some = Cursor(source.take(unpack_varint(source))) if left else source
            decode_part(some, kind, part, tools)
            if some.left:
                raise CorruptError("a table goes on behind the last row of a part")
    except LIBRARY_ERRORS as error:
        raise CorruptError(f"a plane cannot be decoded: {error}") from error


def _parts(rows: Array) -> Iterator[Array]:
    """Views of the rows of each part; none of an empty table."""
    step = part_rows(rows.shape[1])
    for start in range(0, len(rows) if rows.size else 0, step):
        yield rows[start : start + step]


def part_rows(columns: int) -> int:
    """Rows of a part, but for the last."""
    return max(1, min(LENGTH_MAX, PART_MAX // max(1, columns)))
