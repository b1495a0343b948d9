"""ZIP archives of tensors as they stream by: NumPy's .npz and PyTorch's files.

PyTorch writes archives without going back: an entry's size follows it, in a data
descriptor. The sizes of its storages are in the pickle that comes before them; the end of
any other entry is found by a descriptor that names exactly the bytes before it.
"""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

from nncomp.codecs.tensor.dtypes import BYTES
from nncomp.codecs.tensor.formats import npy, torch_archive
from nncomp.codecs.tensor.formats.base import PEEK_MAX, Segment, malformed
from nncomp.codecs.tensor.formats.zip_archive import (
    DESCRIPTOR_MAX,
    LOCAL_SIZE,
    descriptor_size,
    find_descriptor,
    is_archive,
    is_local,
    local_header,
)
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from nncomp.codecs.tensor.dtypes import DType
    from nncomp.codecs.tensor.formats.base import Feed
    from nncomp.codecs.tensor.formats.zip_archive import Local

__all__ = ["matches", "segments"]

_SMALL = 4096  # no tensor worth looking for: versions, byte order, identifiers
_WINDOW = 64 << 10


def matches(start: bytes) -> bool:
    """Whether a file that begins with `start` is one."""
    return is_archive(start)


def segments(feed: Feed) -> Iterator[Segment]:
    """Headers, entries and the directory at the end; see `formats.segments`.

    Raises:
        TensorFileError: What follows the segments so far cannot be interpreted.
    """
    hints: dict[str, Segment] = {}
    gap = 0  # bytes of a descriptor, which go with the header after it
    while is_local(feed.peek(gap + LOCAL_SIZE)[gap:]):
        local = _local(feed, gap)
        if torch_archive.is_pickle(local.name):
            hints.update(_hints(feed, gap + local.size, local))
        elif torch_archive.is_byte_order(local.name):
            start = gap + local.size
            if feed.peek(start + 3)[start:] == b"big":
                hints = {name: replace(hint, dtype=None) for name, hint in hints.items()}
        yield Segment(gap + local.size, BYTES)
        size = yield from _entry(feed, local, hints.get(local.name))
        gap = 0
        if local.descriptor:
            gap = descriptor_size(feed.peek(DESCRIPTOR_MAX), size) or 0
    if feed.peek(gap + 2)[gap:] == b"PK":
        yield Segment(None, BYTES)


def _local(feed: Feed, gap: int) -> Local:
    """The local header after `gap` bytes."""
    head = feed.peek(gap + LOCAL_SIZE)[gap:]
    more = int.from_bytes(head[-4:-2], "little") + int.from_bytes(head[-2:], "little")
    return local_header(feed.peek(gap + LOCAL_SIZE + more)[gap:])


def _hints(feed: Feed, start: int, local: Local) -> dict[str, Segment]:
    """What the pickle at `start` says of the entries after it; nothing, if it is of no use."""
    for window in (_WINDOW, PEEK_MAX):
        data = feed.peek(window)[start:]
        stop = find_descriptor(data, 0) if local.data is None else local.data
        if stop is not None and stop <= len(data) and local.stored:
            try:
                return torch_archive.storage_hints(local.name, data[:stop])
            except TensorFileError:
                return {}
    return {}


def _entry(feed: Feed, local: Local, hint: Segment | None) -> Generator[Segment, None, int]:
    """The bytes of an entry; returns how many there were."""
    size = local.data
    if local.stored and hint and size in (None, hint.size):
        if hint.size:
            yield hint
        return hint.size or 0
    if local.stored and npy.matches(feed.peek(len(npy.MAGIC))):
        array = _array(feed, size)
        if array:
            yield from _array_segments(array, local.name, size)
            return array.header + array.size if size is None else size
    dtype = hint.dtype if hint else None
    if not local.stored or torch_archive.is_pickle(local.name):
        dtype = BYTES
    if size is None:
        return (yield from _to_descriptor(feed, dtype))
    if size:
        yield Segment(size, _unless_small(size, dtype))
    return size


def _array(feed: Feed, size: int | None) -> npy.Array | None:
    """The array that follows, unless it is larger than its entry or no array at all."""
    try:
        array = npy.parse(feed.peek(npy.HEAD_MAX))
    except TensorFileError:
        return None
    return array if size is None or array.header + array.size <= size else None


def _array_segments(array: npy.Array, name: str, size: int | None) -> Iterator[Segment]:
    yield Segment(array.header, BYTES)
    if array.size:
        yield Segment(array.size, array.dtype, name.removesuffix(".npy"), array.shape)
    if size is not None and size > array.header + array.size:
        yield Segment(size - array.header - array.size, None)


def _to_descriptor(feed: Feed, dtype: DType | None) -> Generator[Segment, None, int]:
    """An entry whose size only its data descriptor says; returns its size.

    Raises:
        TensorFileError: There is no descriptor up to the end of the stream.
    """
    done = 0
    window = _WINDOW
    while True:
        data = feed.peek(window)
        at = find_descriptor(data, done)
        if at is not None:
            if at:
                yield Segment(at, _unless_small(done + at, dtype))
            return done + at
        if len(data) < window:
            raise malformed("a ZIP entry has no end")
        if window == PEEK_MAX:
            # The descriptor may lie across the end of the window.
            yield Segment(len(data) - DESCRIPTOR_MAX, dtype)
            done += len(data) - DESCRIPTOR_MAX
        window = PEEK_MAX


def _unless_small(size: int, dtype: DType | None) -> DType | None:
    return BYTES if size < _SMALL else dtype
