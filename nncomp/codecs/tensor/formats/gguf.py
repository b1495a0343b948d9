"""GGUF, the format of llama.cpp: fields, a directory of tensors, the aligned tensors.

Source: https://github.com/ggml-org/ggml/blob/master/docs/gguf.md; the layouts of quantised
blocks are those of the structures in ggml-common.h. Little-endian files of version 2 and 3.
GGUF counts dimensions from the innermost; shapes here are turned round, as everywhere else.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES, blocks
from nncomp.codecs.tensor.formats.base import (
    HEADER_MAX,
    Segment,
    Tensor,
    byte_size,
    element_count,
    file_size,
    malformed,
    natural,
)
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator
    from typing import BinaryIO

    from nncomp.codecs.tensor.dtypes import DType
    from nncomp.codecs.tensor.formats.base import Feed

__all__ = ["TYPES", "directory", "matches", "segments"]

_MAGIC = b"GGUF"
_WINDOW = 1 << 20
_NAME_MAX = 0xFFFF
_DIMENSIONS_MAX = 4
_TENSORS_MAX = 1 << 18
_STRING, _ARRAY = 8, 9
_NUMBER_SIZES = {0: 1, 1: 1, 2: 2, 3: 2, 4: 4, 5: 4, 6: 4, 7: 1, 10: 8, 11: 8, 12: 8}
_U32 = 4
_ALIGNMENT = b"general.alignment"

TYPES: dict[int, DType] = {
    0: DTYPES["F32"],
    1: DTYPES["F16"],
    2: blocks("Q4_0", 32, (2, 16)),
    3: blocks("Q4_1", 32, (2, 2, 16)),
    6: blocks("Q5_0", 32, (2, 4, 16)),
    7: blocks("Q5_1", 32, (2, 2, 4, 16)),
    8: blocks("Q8_0", 32, (2, 32)),
    9: blocks("Q8_1", 32, (2, 2, 32)),
    10: blocks("Q2_K", 256, (16, 64, 2, 2)),
    11: blocks("Q3_K", 256, (32, 64, 12, 2)),
    12: blocks("Q4_K", 256, (2, 2, 12, 128)),
    13: blocks("Q5_K", 256, (2, 2, 12, 32, 128)),
    14: blocks("Q6_K", 256, (128, 64, 16, 2)),
    15: blocks("Q8_K", 256, (4, 256, 32)),
    16: blocks("IQ2_XXS", 256, (2, 64)),
    17: blocks("IQ2_XS", 256, (2, 64, 8)),
    18: blocks("IQ3_XXS", 256, (2, 64, 32)),
    19: blocks("IQ1_S", 256, (2, 32, 16)),
    20: blocks("IQ4_NL", 32, (2, 16)),
    21: blocks("IQ3_S", 256, (2, 64, 8, 32, 4)),
    22: blocks("IQ2_S", 256, (2, 32, 32, 8, 8)),
    23: blocks("IQ4_XS", 256, (2, 2, 4, 128)),
    24: DTYPES["I8"],
    25: DTYPES["I16"],
    26: DTYPES["I32"],
    27: DTYPES["I64"],
    28: DTYPES["F64"],
    29: blocks("IQ1_M", 256, (32, 16, 8)),
    30: DTYPES["BF16"],
    34: blocks("TQ1_0", 256, (48, 4, 2)),
    35: blocks("TQ2_0", 256, (64, 2)),
    39: blocks("MXFP4", 32, (1, 16)),
    40: blocks("NVFP4", 64, (4, 32)),
    41: blocks("Q1_0", 128, (2, 16)),
}
"""Element types by their numbers in the format; those missing below 41 have been removed."""


@dataclass(frozen=True)
class _Info:
    """A tensor of the directory; `start` counts from the beginning of the data."""

    name: str
    type_number: int
    shape: tuple[int, ...]
    start: int

    @property
    def dtype(self) -> DType | None:
        return TYPES.get(self.type_number)


@dataclass(frozen=True)
class _Header:
    """Bytes of the header, of which `unread` have not been given as segments yet."""

    size: int
    unread: int
    alignment: int
    infos: list[_Info]


def matches(start: bytes) -> bool:
    """Whether a file that begins with `start` is one."""
    return start.startswith(_MAGIC)


def segments(feed: Feed) -> Iterator[Segment]:
    """The header, the tensors, and the padding between them; see `formats.segments`.

    Raises:
        TensorFileError: What follows the segments so far cannot be interpreted.
    """
    header = yield from _header(feed)
    # To the next tensor belongs what has not been given yet: the padding before it, or
    # before the first the end of the header.
    behind = -(header.unread + _padding(header.size, header.alignment))
    for info, limit in _with_limits(header.infos):
        size = _size(info) if info.dtype else limit and limit - info.start
        if info.start < behind:
            raise malformed(f"tensor {info.name!r} overlaps the one before")
        if info.start > behind:
            yield Segment(info.start - behind, BYTES)
        behind = info.start
        if size != 0:
            yield Segment(size, info.dtype, info.name, info.shape)
            behind += size or 0
    rest = -behind if behind < 0 else _padding(behind, header.alignment)
    if rest and feed.peek(1):
        yield Segment(rest, BYTES)


def directory(file: BinaryIO) -> list[Tensor]:
    """The tensors; see `formats.directory`."""
    header = _read_header(file)
    data = header.size + _padding(header.size, header.alignment)
    tensors = []
    expected = 0
    for info in header.infos:
        if info.dtype is None:
            raise TensorFileError(
                f"tensor {info.name!r} has the unknown element type {info.type_number}; "
                "a newer version of nncomp may know it"
            )
        if info.start != expected:
            kind = "overlaps the one before" if info.start < expected else "follows a gap"
            raise malformed(f"tensor {info.name!r} {kind}", data + info.start)
        stop = info.start + _size(info)
        expected = stop + _padding(stop, header.alignment)
        tensors.append(Tensor(info.name, info.dtype, info.shape, data + info.start, data + stop))
    last = tensors[-1].stop if tensors else header.size
    total = file_size(file)
    if not last <= total <= data + expected:
        raise malformed(f"the tensors end at byte {last}, the file at byte {total}", last)
    return tensors


def _with_limits(infos: list[_Info]) -> Iterator[tuple[_Info, int | None]]:
    """Each tensor with the beginning of the next, in the order of their bytes."""
    return zip_longest(infos, [info.start for info in infos[1:]])


def _size(info: _Info) -> int:
    return byte_size(TYPES[info.type_number], info.shape)


def _padding(position: int, alignment: int) -> int:
    return -position % alignment


class _FileFeed:
    """A file to be read as a stream."""

    def __init__(self, file: BinaryIO) -> None:
        self.file = file
        self.position = 0

    def peek(self, size: int) -> bytes:
        self.file.seek(self.position)
        return self.file.read(size)


def _read_header(file: BinaryIO) -> _Header:
    feed = _FileFeed(file)
    headers = []

    def read() -> Iterator[Segment]:
        headers.append((yield from _header(feed)))

    for part in read():
        feed.position += part.size or 0
    return headers[0]


def _header(feed: Feed) -> Generator[Segment, None, _Header]:
    """Read the header; the segments are the parts of it that have been read.

    Raises:
        TensorFileError: It is damaged or too long, or of another version.
    """
    reader = _Reader(feed)
    magic, version, tensors, fields = yield from reader.unpack("<4sI2Q")
    if magic != _MAGIC or version not in (2, 3):
        raise TensorFileError(f"unknown GGUF version {version}; only 2 and 3 are read", offset=4)
    if tensors > _TENSORS_MAX:
        raise malformed(f"{tensors} tensors; at most {_TENSORS_MAX} are read", 8)
    alignment = 32
    for _ in range(fields):
        key = yield from reader.text()
        value = yield from reader.value()
        if key == _ALIGNMENT:
            alignment = value or 0
            if alignment.bit_count() != 1:
                raise malformed("the alignment is no power of two", reader.position)
    infos = []
    names = set()
    for _ in range(tensors):
        info = yield from reader.info(alignment)
        if info.name in names:
            raise malformed(f"two tensors have the name {info.name!r}", reader.position)
        names.add(info.name)
        infos.append(info)
    infos.sort(key=lambda info: info.start)
    return _Header(reader.position, reader.at, alignment, infos)


class _Reader:
    """Reads a header through a window that moves along; what is behind it are segments.

    Attributes:
        position: Bytes of the header read so far.
        at: Those of them that are in the window, from its beginning.
    """

    def __init__(self, feed: Feed) -> None:
        self.feed = feed
        self.window = b""
        self.at = 0
        self.position = 0

    def need(self, size: int) -> Iterator[Segment]:
        """Have the next `size` bytes in the window."""
        if self.at + size <= len(self.window):
            return
        if self.position + size > HEADER_MAX:
            raise malformed(f"the header is longer than {HEADER_MAX} bytes", self.position)
        if self.at:
            yield Segment(self.at, BYTES)
        self.window = self.feed.peek(_WINDOW)
        self.at = 0
        if len(self.window) < size:
            raise malformed("the file ends within its header", self.position + len(self.window))

    def unpack(self, layout: str) -> Generator[Segment, None, tuple[Any, ...]]:
        """Numbers at the position."""
        size = struct.calcsize(layout)
        yield from self.need(size)
        values = struct.unpack_from(layout, self.window, self.at)
        self.skip(size)
        return values

    def skip(self, size: int) -> None:
        """Go on, maybe beyond the window."""
        self.at += size
        self.position += size

    def text(self) -> Generator[Segment, None, bytes]:
        """A string that is a name."""
        (size,) = yield from self.unpack("<Q")
        if size > _NAME_MAX:
            raise malformed(f"a name of {size} bytes", self.position)
        yield from self.need(size)
        text = self.window[self.at : self.at + size]
        self.skip(size)
        return text

    def value(self) -> Generator[Segment, None, int | None]:
        """The value of a field: its number if it is a U32, else None."""
        (kind,) = yield from self.unpack("<I")
        if kind == _U32:
            (number,) = yield from self.unpack("<I")
            return int(number)
        count = 1
        if kind == _ARRAY:
            kind, count = yield from self.unpack("<IQ")
        if kind == _STRING:
            yield from self.strings(count)
        elif kind in _NUMBER_SIZES:
            self.skip(natural(count * _NUMBER_SIZES[kind], "a field's size", self.position))
        else:
            raise malformed(f"a field of unknown kind {kind}", self.position)
        return None

    def strings(self, count: int) -> Iterator[Segment]:
        """Skip strings; a vocabulary has hundreds of thousands."""
        for _ in range(count):
            if self.at + 8 > len(self.window):
                yield from self.need(8)
            size = 8 + int.from_bytes(self.window[self.at : self.at + 8], "little")
            self.at += size
            self.position += size

    def info(self, alignment: int) -> Generator[Segment, None, _Info]:
        """An entry of the directory."""
        name = yield from self.text()
        (dimensions,) = yield from self.unpack("<I")
        if dimensions > _DIMENSIONS_MAX:
            raise malformed(f"a tensor of {dimensions} dimensions", self.position)
        *lengths, kind, start = yield from self.unpack(f"<{dimensions}QIQ")
        shape = tuple(natural(length, "a length", self.position) for length in reversed(lengths))
        element_count(shape, self.position)
        if natural(start, "an offset", self.position) % alignment:
            raise malformed("a tensor is not aligned", self.position)
        return _Info(name.decode("utf-8", "replace"), kind, shape, start)
