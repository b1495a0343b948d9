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
from nncomp.codecs.embedding.table import decode_rows, encode_patterns, read_shape
from nncomp.codecs.tensor.planes import decode_plane
from nncomp.coding.varint import pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer
    from nncomp.codecs.embedding.arrays import Array
    from nncomp.codecs.embedding.records import Piece, Record
    from nncomp.codecs.tensor.cursor import Cursor

__all__ = ["OTHER", "TABLE", "Wanted", "decode_record", "encode_record"]

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


def encode_record(record: Record, wanted: Wanted) -> bytes:
    """The payload of a record."""
    parts: list[Buffer] = []
    start = 0
    for piece in record.pieces:
        raw = record.raw[start : start + piece.size]
        start += piece.size
        parts.append(pack_varint(piece.size))
        if piece.kind is None:
            parts += [bytes([OTHER]), *_encode_other(raw)]
        else:
            table = _encode_table(raw, piece, wanted)
            parts += [bytes([TABLE]) + pack_varint(len(table)), table]
    return b"".join(parts)


def decode_record(payload: Cursor, out: Array) -> None:
    """Fill in the content of a record, uint8.

    Raises:
        CorruptError: The payload contradicts itself, or the size.
        Exception: Of a library that decodes a plane.
    """
    done = 0
    while done < len(out):
        size = unpack_varint(payload)
        kind = payload.take(1)[0]
        if not 0 < size <= len(out) - done or kind not in (OTHER, TABLE):
            raise CorruptError("a segment has no size that fits, or a kind that does not exist")
        some = out[done : done + size]
        if kind == OTHER:
            some[:] = decode_plane(payload, size, machine(size).planes)
        else:
            _decode_table(type(payload)(payload.take(unpack_varint(payload))), some)
        done += size
    if payload.left:
        raise CorruptError("a payload goes on behind its last segment")


def _encode_other(raw: memoryview) -> list[Buffer]:
    """Headers and names, mostly."""
    return machine(len(raw)).coder("zstd").encode(np.frombuffer(raw, np.uint8), repeats=True)


def _encode_table(raw: memoryview, piece: Piece, wanted: Wanted) -> bytes:
    kind = KINDS.index(piece.kind or "")
    rows = np.frombuffer(raw, PATTERNS[kind]).reshape(-1, piece.columns)
    tools = machine(len(raw))
    bound = wanted.bound
    if wanted.relative:
        bound = absolute_bound(rows.reshape(-1), kind, bound, tools.functions)
    return encode_patterns(rows, kind, bound, wanted.entropy, wanted.bandwidth, tools)[0]


def _decode_table(source: Cursor, out: Array) -> None:
    kind, shape = read_shape(source)
    if math.prod(shape) * PATTERNS[kind].itemsize != len(out):
        raise CorruptError("a table is not as large as its segment")
    # The bytes may lie anywhere in the content, where no float could.
    rows = np.empty(shape, PATTERNS[kind])
    decode_rows(source, kind, rows, machine(len(out)))
    out[:] = rows.reshape(-1).view(np.uint8)
