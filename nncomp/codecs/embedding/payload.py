"""The payload of a record: tables and other bytes, one after the other.

segment = varint content size, u8 kind, then
    OTHER    a plane of the tensor codec
    TABLE    varint size, a table as in table.py
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.embedding.arrays import KINDS, PATTERNS
from nncomp.codecs.embedding.machine import machine
from nncomp.codecs.embedding.quantiser import absolute_bound
from nncomp.codecs.embedding.table import PART_MAX, decode_rows, encode_patterns, read_shape
from nncomp.codecs.tensor.cursor import Cursor
from nncomp.codecs.tensor.formats.zip_sums import Span
from nncomp.codecs.tensor.mending import Coded
from nncomp.codecs.tensor.planes import decode_plane
from nncomp.coding.varint import pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer
    from nncomp.codecs.embedding.arrays import Array
    from nncomp.codecs.embedding.records import Piece, Record

__all__ = [
    "OTHER",
    "TABLE",
    "CodedTables",
    "Wanted",
    "decode_record",
    "decode_segment",
    "encode_record",
    "read_fitting_shape",
]

OTHER, TABLE = range(2)


@dataclass(frozen=True)
class Wanted:
    """What is asked of an encoder.

    Attributes:
        bound: 0: everything exactly.
        relative: Whether it is a share of the range of each table.
        entropy, bandwidth: As for `table.encode_table`.
    """

    bound: float
    relative: bool
    entropy: str
    bandwidth: float


class CodedTables(Coded):
    """A record whose tables are coded; nothing else in it changes but checksums."""

    def encode(self, number: int, content: memoryview) -> list[Buffer]:
        """Of bytes that are no table."""
        return _encode_other(content)

    def decode(self) -> bytearray:
        """The content again."""
        content = bytearray(self.size)
        decode_record(Cursor(self.payload()), memoryview(content))
        return content


def encode_record(record: Record, wanted: Wanted) -> CodedTables:
    """Code the pieces of a record."""
    content = bytearray(record.raw)
    decoded = np.frombuffer(content, np.uint8)
    parts: list[list[Buffer]] = []
    start = 0
    for piece in record.pieces:
        raw = record.raw[start : start + piece.size]
        if piece.kind is None:
            parts.append(_encode_other(raw))
        else:
            table = _encode_table(raw, piece, wanted)
            head = pack_varint(piece.size) + bytes([TABLE]) + pack_varint(len(table))
            parts.append([head, table])
            if wanted.bound:
                _decode_table(Cursor(table), decoded[start : start + piece.size])
        start += piece.size
    sizes = [piece.size for piece in record.pieces]
    spans = [Span(piece.size, piece.first, piece.kind is not None) for piece in record.pieces]
    return CodedTables(record.raw, content, sizes, spans, parts)


def decode_record(payload: Cursor, out: memoryview) -> None:
    """Fill in the content of a record.

    Raises:
        CorruptError: The payload contradicts itself, or the size.
        Exception: Of a library that decodes a plane.
    """
    done = 0
    while done < len(out):
        done += decode_segment(payload, out[done:])
    if payload.left:
        raise CorruptError("a payload goes on behind its last segment")


def decode_segment(payload: Cursor, out: memoryview) -> int:
    """Decode the next segment to the start of `out`; its size."""
    size = unpack_varint(payload)
    kind = payload.take(1)[0]
    if not 0 < size <= len(out) or kind not in (OTHER, TABLE):
        raise CorruptError("a segment has no size that fits, or a kind that does not exist")
    some = np.frombuffer(out, np.uint8, size)
    if kind == OTHER:
        some[:] = decode_plane(payload, size, machine(size).planes)
    else:
        _decode_table(Cursor(payload.take(unpack_varint(payload))), some)
    return size


def _encode_other(raw: memoryview) -> list[Buffer]:
    """Headers and names, mostly."""
    head = pack_varint(len(raw)) + bytes([OTHER])
    return [
        head,
        *machine(len(raw)).coder("zstd").encode(np.frombuffer(raw, np.uint8), repeats=True),
    ]


def _encode_table(raw: memoryview, piece: Piece, wanted: Wanted) -> bytes:
    kind = KINDS.index(piece.kind or "")
    rows = np.frombuffer(raw, PATTERNS[kind]).reshape(-1, piece.columns)
    tools = machine(len(raw))
    bound = wanted.bound
    if wanted.relative:
        bound = absolute_bound(rows.reshape(-1), kind, bound, tools.functions)
    return encode_patterns(rows, kind, bound, wanted.entropy, wanted.bandwidth, tools)


def read_fitting_shape(source: Cursor, size: int) -> tuple[int, tuple[int, int]]:
    """`read_shape`, of a table that a segment of `size` bytes is."""
    kind, shape = read_shape(source)
    if math.prod(shape) * PATTERNS[kind].itemsize != size:
        raise CorruptError("a table is not as large as its segment")
    if shape[1] > PART_MAX:  # a part of it would take more memory than an archive tells
        raise CorruptError(
            f"a table has rows of {shape[1]} elements, where {PART_MAX} are the most"
        )
    return kind, shape


def _decode_table(source: Cursor, out: Array) -> None:
    kind, shape = read_fitting_shape(source, len(out))
    # The bytes may lie anywhere in the content, where no float could.
    rows = np.empty(shape, PATTERNS[kind])
    decode_rows(source, kind, rows, machine(len(out)))
    out[:] = rows.reshape(-1).view(np.uint8)
