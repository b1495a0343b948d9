"""What the payloads of `zipnn` hold, found without decoding them.

Only bitmaps are decoded, which tell how many bytes the planes behind them have.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, BinaryIO

import numpy as np

from nncomp.codecs.account import HEADERS
from nncomp.codecs.tensor.arrays import ops
from nncomp.codecs.tensor.cursor import Cursor
from nncomp.codecs.tensor.layouts import PALETTE, plane_names, plane_sizes
from nncomp.codecs.tensor.lossy import PARAMS
from nncomp.codecs.tensor.planes import (
    ANS,
    CONSTANT,
    LZ4_BLOCK,
    METHODS,
    RAW,
    ROWS,
    SNAPPY_STREAM,
    SPARSE,
    ZSTD,
    decode_plane,
    read_classes,
    unpack_bitmap,
)
from nncomp.codecs.tensor.segments import SegmentHeader, decode_segment
from nncomp.coding.varint import unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Base, Params
    from nncomp.codecs.tensor.dtypes import DType

__all__ = [
    "KINDS",
    "Payload",
    "SegmentSummary",
    "describe_loss",
    "read_segment",
    "skip_plane",
    "summarise",
]

_OPS = ops(compiled=False)  # for next to no data, compiled ones need not be loaded

KINDS = (*METHODS, "zeros", "palette", "stored", "overhead")
"""What the bytes of a payload are for: planes by their method, maps of zeros, palettes,
content that is stored, and headers."""

_LOSSES = {"abs": "abs<={}", "rel": "rel<={}", "keep": "{} mantissa bits"}


class Payload(Cursor):
    """A payload in a file, of which only what is taken is read.

    Args:
        file: Nothing else may move it while a method is running.
        start: Position of the payload.
        size: Its bytes.
    """

    def __init__(self, file: BinaryIO, start: int, size: int) -> None:
        super().__init__(b"")
        self._file = file
        self._start = start
        self._size = size

    @property
    def left(self) -> int:
        """How many bytes have been neither taken nor skipped."""
        return self._size - self.offset

    def take(self, size: int) -> memoryview:
        """Exactly `size` bytes."""
        self.skip(size)
        self._file.seek(self._start + self.offset - size)
        data = self._file.read(size)
        if len(data) < size:
            raise CorruptError("the archive ends within a payload")
        return memoryview(data)

    def skip(self, size: int) -> None:
        """Leave out `size` bytes without reading them."""
        if size > self.left:
            raise CorruptError("a payload of planes ends too early")
        self.offset += size


@dataclass(frozen=True)
class SegmentSummary:
    """One segment of a payload.

    Attributes:
        size: Bytes of content.
        start, stop: Where it is in the payload.
        delta: Whether it is a difference to a base.
        kinds: Bytes in the payload by what they are for, see `KINDS`.
        parts: The same by what they hold: planes by their names, see `layouts.plane_names`.
    """

    size: int
    start: int
    stop: int
    delta: bool
    kinds: dict[str, int] = field(default_factory=dict)
    parts: dict[str, int] = field(default_factory=dict)


def summarise(payload: Payload, size: int) -> Iterator[SegmentSummary]:
    """The segments of a payload, one after the other.

    Args:
        payload: Stands at its start; is passed over.
        size: Bytes of content that the record has.

    Raises:
        CorruptError: The payload contradicts itself, or the size.
        Exception: Of a library that decodes a bitmap.
    """
    done = 0
    while done < size:
        segment = _summarise_one(payload, size - done)
        done += segment.size
        yield segment
    if payload.left:
        raise CorruptError("a payload goes on behind its last segment")


def _summarise_one(payload: Payload, room: int) -> SegmentSummary:
    start = payload.offset
    header = SegmentHeader.unpack(payload)
    if header.size > room:
        raise CorruptError(f"a segment of {header.size} bytes, where the record has {room} left")
    kinds: dict[str, int] = {"overhead": payload.offset - start}
    parts: dict[str, int] = {HEADERS: payload.offset - start}
    names = plane_names(header.layout)
    group = names[0].partition(",")[0]
    count = header.count
    tail = header.size - count * header.layout.unit
    if header.layout.family == PALETTE and count:
        before = payload.offset
        payload.skip((payload.take(1)[0] + 1) * header.layout.width)
        kinds["palette"] = parts[f"{group}, table"] = payload.offset - before
    if header.zero_map and count:
        before = payload.offset
        bitmap = unpack_bitmap(decode_plane(payload, -(-count // 8), _OPS), count)
        count = int(np.count_nonzero(bitmap))
        kinds["zeros"] = parts[f"{group}, map of zeros"] = payload.offset - before
    for name, plane in zip(names, plane_sizes(header.layout, count), strict=True):
        before = payload.offset
        if count:
            method = METHODS[skip_plane(payload, plane)]
            kinds[method] = kinds.get(method, 0) + payload.offset - before
            parts[name] = parts.get(name, 0) + payload.offset - before
    if tail:
        payload.skip(tail)
        kinds["raw"] = kinds.get("raw", 0) + tail
        parts[f"{group}, odd bytes"] = tail
    delta = header.base is not None
    if delta:
        mark = {HEADERS: ""}
        parts = {name + mark.get(name, ", difference"): size for name, size in parts.items()}
    return SegmentSummary(header.size, start, payload.offset, delta, kinds, parts)


def skip_plane(payload: Payload, size: int, *, nested: bool = False) -> int:
    """Pass over a plane of `size` bytes; its method.

    Args:
        payload: Stands before it.
        size: Bytes of the plane.
        nested: Whether it is a plane in a plane.

    Raises:
        CorruptError: There is no such plane.
    """
    if not size:
        return RAW
    method = payload.take(1)[0]
    if method == RAW:
        payload.skip(size)
    elif method == CONSTANT:
        payload.skip(1)
    elif method in (ZSTD, LZ4_BLOCK, SNAPPY_STREAM, ANS):
        payload.skip(unpack_varint(payload))
    elif method == SPARSE and not nested:
        payload.skip(1)
        others = unpack_bitmap(decode_plane(payload, -(-size // 8), _OPS, nested=True), size)
        skip_plane(payload, int(np.count_nonzero(others)), nested=True)
    elif method == ROWS and not nested:
        row, classes = read_classes(payload, size, _OPS)
        for count in np.bincount(classes):
            skip_plane(payload, row * int(count), nested=True)
    else:
        raise CorruptError(f"a plane is coded by method {method}, which does not exist")
    return method


def read_segment(payload: Payload, segment: SegmentSummary, base: Base | None) -> bytes:
    """The content of one segment; not verified, since checksums are of whole records.

    Args:
        payload: Moves.
        segment: From `summarise`.
        base: What a difference is taken to.

    Raises:
        CorruptError: It contradicts itself or the base.
        Exception: Of a library that decodes a plane.
    """
    payload.offset = segment.start
    source = Cursor(payload.take(segment.stop - segment.start))
    out = np.empty(segment.size, np.uint8)
    decode_segment(source, out, base, _OPS)
    return out.tobytes()


def describe_loss(params: Params, dtype: DType | None = None) -> str | None:
    """What may have been lost, for people: "abs<=0.001"; None: nothing.

    Args:
        params: Of the codec.
        dtype: An element type, for those of which nothing is lost in any case.
    """
    if dtype is not None and (dtype.kind != "float" or dtype.unit == 1):
        return None
    losses = [_LOSSES[p.name].format(p.format(params[p.name])) for p in PARAMS if params[p.name]]
    return losses[0] if losses else None
