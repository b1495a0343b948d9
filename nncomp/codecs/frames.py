"""Zstandard frames without their headers, which say nothing that a record does not know."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Buffer

__all__ = ["frame_blocks", "pack_frame", "unpack_frame"]

# Frame magic, then a descriptor without content size, checksum and dictionary; the sixth
# byte of a header is the window size.
_WRITTEN = b"\x28\xb5\x2f\xfd\x00"
_HEADER_SIZE = 6
# Descriptor of a single segment with its content size in four bytes: the window is the
# content, so that the decoder allocates nothing but the result.
_READ = b"\x28\xb5\x2f\xfd\xa0"
_WINDOW_MAX = 1 << 31
# The header of a block has three bytes: whether it is the last, its type, its size.
_BLOCK_HEADER, _TYPE_BITS, _REPEATED = 3, 3, 1

_local = threading.local()  # a decompressor works for one thread at a time


def pack_frame(compressor: zstandard.ZstdCompressor, raw: Buffer) -> bytes:
    """Compress into one frame, without its header.

    Args:
        compressor: Made to write no content size, checksum or dictionary id.
        raw: At most 4 GiB.
    """
    frame: bytes = compressor.compress(raw)
    if not frame.startswith(_WRITTEN):
        raise RuntimeError("the zstd library writes frame headers of another form")
    return frame[_HEADER_SIZE:]


def unpack_frame(payload: Buffer, raw_size: int) -> bytes:
    """The content of what `pack_frame` gave; never more than `raw_size` bytes.

    Raises:
        zstandard.ZstdError: The payload is no frame of this size.
    """
    if not hasattr(_local, "decompressor"):
        _local.decompressor = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX)
    frame = b"".join((_READ, raw_size.to_bytes(4, "little"), payload))
    content: bytes = _local.decompressor.decompress(frame, allow_extra_data=False)
    return content


def frame_blocks(payload: Buffer, raw_size: int) -> Iterator[tuple[int, int]]:
    """Bytes of content and of payload of each block of a frame.

    Args:
        payload, raw_size: As for `unpack_frame`, which has unpacked them.
    """
    view = memoryview(payload)
    decoder = zstandard.ZstdDecompressor(max_window_size=_WINDOW_MAX).decompressobj()
    decoder.decompress(b"".join((_READ, raw_size.to_bytes(4, "little"))))
    start = 0
    while start < len(view):
        header = int.from_bytes(view[start : start + _BLOCK_HEADER], "little")
        repeated = header >> 1 & 3 == _REPEATED
        size = _BLOCK_HEADER + (1 if repeated else header >> _TYPE_BITS)
        yield len(decoder.decompress(view[start : start + size])), size
        start += size
