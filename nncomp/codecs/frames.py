"""Zstandard frames without their headers, which say nothing that a record does not know."""

from __future__ import annotations

import threading
from typing import TYPE_CHECKING

import zstandard

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer

__all__ = ["pack_frame", "unpack_frame"]

# Frame magic, then a descriptor without content size, checksum and dictionary; the sixth
# byte of a header is the window size.
_WRITTEN = b"\x28\xb5\x2f\xfd\x00"
_HEADER_SIZE = 6
# Descriptor of a single segment with its content size in four bytes: the window is the
# content, so that the decoder allocates nothing but the result.
_READ = b"\x28\xb5\x2f\xfd\xa0"
_WINDOW_MAX = 1 << 31

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
