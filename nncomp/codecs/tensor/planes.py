"""A plane, bytes of like meaning, and the ways to code it.

    plane = method u8, then
        RAW       the bytes
        CONSTANT  u8: the byte that all are
        ZSTD      varint size, one Zstandard frame without its header (see `frames`)
        LZ4       varint size, one LZ4 block
        SNAPPY    varint size, one raw Snappy stream without its length
        SPARSE    u8: the most frequent byte; plane of the bitmap (1: another byte), then
                  plane of the other bytes
        ROWS      varint length of a row, 16 at least; plane of the classes of the rows (0 to
                  63), then for each class from 0 to the highest a plane of all of its rows

        ANS       varint size, one payload of coding/rans.py

    Planes in a plane are neither SPARSE nor ROWS.

A plane of no bytes takes no bytes. A decoder knows the size of every plane beforehand.

Zstandard serves as a Huffman coder, too: with matches of seven bytes at least and a table
of 64 positions next to nothing is found, and the literals, Huffman coded in blocks of
128 KiB, are what is left.
"""

from __future__ import annotations

import math
import threading
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import zstandard

from nncomp.codecs.frames import pack_frame, unpack_frame
from nncomp.codecs.general import LZ4, SNAPPY
from nncomp.coding.varint import pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer
    from nncomp.codecs.tensor.arrays import Array, Ops
    from nncomp.codecs.tensor.cursor import Cursor

__all__ = [
    "METHODS",
    "PlaneCoder",
    "Settings",
    "count_bits",
    "decode_plane",
    "order0",
    "read_classes",
    "sample_counts",
    "size_of",
    "unpack_bitmap",
]

RAW, CONSTANT, ZSTD, LZ4_BLOCK, SNAPPY_STREAM, SPARSE, ROWS, ANS = range(8)
METHODS = ("raw", "constant", "zstd", "lz4", "snappy", "sparse", "rows", "ans")
"""Names of the methods, for people."""

_SAMPLE = 4096  # bytes of a plane that are looked at before it is coded
_SPARSE_FROM = 0.6  # share of one byte from which a bit for it is dearer than its entropy
_RUNS_FROM = 0.95  # the same from which runs of it take less than Huffman's whole bits
_X_LOG_X = np.arange((1 << 16) + 1) * np.log2(np.maximum(1, np.arange((1 << 16) + 1)))
_CORRECTION = 1 / (2 * math.log(2))  # of Miller and Madow, in bits for each symbol seen but one
_CLASSES_MAX = 64
_ROW_MIN = 16  # bytes: indices of rows, of eight bytes each, take less than the rows
_CLASS_SIZE = 32 << 10  # bytes that a class of rows has at least, to be worth its own code
_HUFFMAN = zstandard.ZstdCompressionParameters(
    strategy=zstandard.STRATEGY_FAST,
    window_log=17,
    min_match=7,
    hash_log=6,
    chain_log=6,
    search_log=1,
    target_length=0,
    write_content_size=False,
    write_checksum=False,
    write_dict_id=False,
)


@dataclass(frozen=True)
class Settings:
    """How hard an encoder tries.

    Attributes:
        backend: "auto", "huffman", "ans", "zstd", "lz4" or "snappy".
        ans: Whether "auto" tries ANS wherever it would take Huffman codes.
        level: Of zstd, and of lz4 where that is the backend.
        threshold: A plane is coded if it shrinks to this share of its size or less.
        block: Bytes of a record at most.
    """

    backend: str = "auto"
    ans: bool = False
    level: int = 3
    threshold: float = 0.99
    block: int = 1 << 20


class PlaneCoder:
    """Codes planes; one object serves many threads.

    Args:
        settings: How hard it tries.
        ops: What computes.
    """

    def __init__(self, settings: Settings, ops: Ops) -> None:
        self._settings = settings
        self._ops = ops
        self._local = threading.local()  # a compressor works for one thread at a time
        self._lz4 = LZ4.encoder({"level": max(0, min(settings.level, 12))})
        self._snappy = SNAPPY.encoder({})

    def encode(
        self, plane: Array, *, repeats: bool, row: int = 0, octets: bool = False
    ) -> list[Buffer]:
        """The plane coded, in pieces to be joined.

        Args:
            plane: uint8, contiguous.
            repeats: Whether strings of bytes come again in it, so that matches pay.
            row: Length of the rows that it is made of, whose scales may differ; 0: none.
            octets: Whether it is all there is of its elements: for eight-bit types Huffman
                codes lose a hundredth, and "auto" takes ANS, which is fast if compiled.
        """
        if not len(plane):
            return []
        counts = sample_counts(plane)
        total = int(counts.sum())
        common = int(counts.argmax())
        if counts[common] == total and not np.any(plane != common):
            return [bytes([CONSTANT, common])]
        sparse = self._settings.backend == "auto" and counts[common] >= _SPARSE_FROM * total
        # Where nothing comes again, a byte that is as common makes codes of whole bits lose.
        best = None
        if repeats or not sparse:
            best = self._dense(plane, counts, repeats=repeats, octets=octets)
        if sparse:
            best = min(filter(None, (self._sparse(plane, common), best)), key=size_of)
        whole = row >= _ROW_MIN and not len(plane) % row
        if best is not None and whole and len(plane) >= 2 * _CLASS_SIZE:
            best = min(best, self._rows(plane.reshape(-1, row)), key=size_of)
        if best is None or size_of(best) > self._settings.threshold * len(plane):
            return [bytes([RAW]), plane.data]
        return best

    def _dense(
        self, plane: Array, counts: Array, *, repeats: bool, octets: bool = False
    ) -> list[Buffer] | None:
        """Coded by one of the libraries; None where that is not worth a try."""
        backend = self._settings.backend
        if backend == "lz4":
            return _sized(LZ4_BLOCK, self._lz4(plane.data))
        if backend == "snappy":
            return _sized(SNAPPY_STREAM, self._snappy(plane.tobytes()))
        if backend == "zstd" or (backend == "auto" and repeats):
            return _sized(ZSTD, pack_frame(self._compressor("zstd"), plane.data))
        if order0(counts) > 8 * self._settings.threshold:
            return None
        fast = self._ops.literals is not None
        if backend == "ans" or (backend == "auto" and octets and fast):
            return _sized(ANS, self._ops.encode_ans(plane))
        frame = self._ops.literals(plane) if self._ops.literals else None
        huffman = _sized(ZSTD, frame or pack_frame(self._compressor("huffman"), plane.data))
        if backend == "auto" and self._settings.ans:
            return min(huffman, _sized(ANS, self._ops.encode_ans(plane)), key=size_of)
        return huffman

    def _sparse(self, plane: Array, common: int) -> list[Buffer]:
        """A bit for each byte that is not `common`, and these bytes."""
        bitmap, others = self._ops.leave_zeros(plane ^ np.uint8(common))
        pieces: list[Buffer] = [bytes([SPARSE, common])]
        for part in (bitmap, others ^ np.uint8(common)):
            counts = sample_counts(part)
            pieces += self._nested(part, repeats=bool(counts.max() > _RUNS_FROM * counts.sum()))
        return pieces

    def _rows(self, rows: Array) -> list[Buffer]:
        """Rows of like means together: where the means are exponents, rows of one scale."""
        count = min(_CLASSES_MAX, rows.size // _CLASS_SIZE, len(rows))
        rank = np.argsort(np.argsort(rows.sum(axis=1), kind="stable"), kind="stable")
        classes = (rank * count // len(rows)).astype(np.uint8)
        pieces: list[Buffer] = [bytes([ROWS]) + pack_varint(rows.shape[1])]
        for part in (classes, *(rows[classes == k].reshape(-1) for k in range(count))):
            pieces += self._nested(part)
        return pieces

    def _nested(self, part: Array, *, repeats: bool = False) -> list[Buffer]:
        """A plane in a plane."""
        dense = self._dense(part, sample_counts(part), repeats=repeats) if len(part) else []
        if dense is None or size_of(dense) > len(part):
            return [bytes([RAW]), part.data]
        return dense

    def _compressor(self, kind: str) -> zstandard.ZstdCompressor:
        """The compressor of this thread: "huffman", or "zstd" at the level."""
        compressor: zstandard.ZstdCompressor | None = getattr(self._local, kind, None)
        if compressor is None:
            params = _HUFFMAN
            if kind == "zstd":
                params = zstandard.ZstdCompressionParameters.from_level(
                    self._settings.level,
                    source_size=self._settings.block,
                    write_content_size=False,
                    write_checksum=False,
                    write_dict_id=False,
                )
            compressor = zstandard.ZstdCompressor(compression_params=params)
            setattr(self._local, kind, compressor)
        return compressor


def decode_plane(source: Cursor, size: int, ops: Ops, *, nested: bool = False) -> Array:
    """Read a plane of `size` bytes; it may lie in the payload itself.

    Args:
        source: Stands before it.
        size: How many bytes it has.
        ops: What computes.
        nested: Whether it is a plane in a plane.

    Raises:
        CorruptError: There is no such plane.
    """
    if not size:
        return np.empty(0, np.uint8)
    method = source.take(1)[0]
    if method == RAW:
        return np.frombuffer(source.take(size), np.uint8)
    if method == CONSTANT:
        return np.full(size, source.take(1)[0], np.uint8)
    if method == SPARSE and not nested:
        return _decode_sparse(source, size, ops)
    if method == ROWS and not nested:
        return _decode_rows(source, size, ops)
    if method not in (ZSTD, LZ4_BLOCK, SNAPPY_STREAM, ANS):
        raise CorruptError(f"a plane is coded by method {method}, which does not exist")
    payload = source.take(unpack_varint(source))
    if method == ANS:
        return ops.decode_ans(payload, size)
    if method == ZSTD:
        raw = unpack_frame(payload, size)
    else:
        raw = (LZ4 if method == LZ4_BLOCK else SNAPPY).decode_payload(payload, size)
    if len(raw) != size:
        raise CorruptError(f"a plane of {size} bytes decodes to {len(raw)}")
    return np.frombuffer(raw, np.uint8)


def _decode_sparse(source: Cursor, size: int, ops: Ops) -> Array:
    common = np.uint8(source.take(1)[0])
    bitmap = decode_plane(source, -(-size // 8), ops, nested=True)
    others = decode_plane(source, count_bits(bitmap, size), ops, nested=True)
    plane = np.empty(size, np.uint8)
    ops.put_zeros(bitmap, others ^ common, plane)
    plane ^= common
    return plane


def read_classes(source: Cursor, size: int, ops: Ops) -> tuple[int, Array]:
    """What a plane of `size` bytes in ROWS begins with: length of a row, class of each."""
    row = unpack_varint(source)
    if row < _ROW_MIN or size % row:
        raise CorruptError(f"a plane of {size} bytes has no rows of {row}")
    classes = decode_plane(source, size // row, ops, nested=True)
    if classes.max() >= _CLASSES_MAX:
        raise CorruptError("a row has a class that does not exist")
    return row, classes


def _decode_rows(source: Cursor, size: int, ops: Ops) -> Array:
    row, classes = read_classes(source, size, ops)
    plane = np.empty((size // row, row), np.uint8)
    for k in range(int(classes.max()) + 1):
        of_class = classes == k
        part = decode_plane(source, row * int(np.count_nonzero(of_class)), ops, nested=True)
        plane[of_class] = part.reshape(-1, row)
    return plane.reshape(-1)


def unpack_bitmap(packed: Array, count: int) -> Array:
    """The bits as booleans; those behind the last must be zero."""
    if count % 8 and packed[-1] >> count % 8:
        raise CorruptError("a bitmap has bits behind its end")
    return np.unpackbits(packed, count=count, bitorder="little").view(np.bool_)


def count_bits(packed: Array, count: int) -> int:
    """How many of `count` bits are set; those behind the last must be zero."""
    return int(np.count_nonzero(unpack_bitmap(packed, count)))


def sample_counts(plane: Array) -> Array:
    """How often each byte is among some thousand bytes from all over a plane."""
    return np.bincount(plane[:: len(plane) // _SAMPLE | 1], minlength=256)


def order0(counts: Array) -> float:
    """Entropy in bits per symbol of a sample of at most 65,536, corrected for its size."""
    total = int(counts.sum())
    if total >= len(_X_LOG_X):
        raise ValueError(f"{total} symbols are no sample")
    # Rounding may bring it below zero, where a single symbol is.
    bits = max(0.0, float(_X_LOG_X[total] - _X_LOG_X[counts].sum()) / total)
    return bits + (int(np.count_nonzero(counts)) - 1) * _CORRECTION / total


def _sized(method: int, coded: bytes) -> list[Buffer]:
    return [bytes([method]) + pack_varint(len(coded)), coded]


def size_of(pieces: list[Buffer]) -> int:
    """Bytes of all of them."""
    return sum(map(len, pieces))
