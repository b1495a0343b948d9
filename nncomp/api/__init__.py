"""The way in: joins container and codecs, and enforces the limits."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

from nncomp.api.decoding import decompress, decompress_stream
from nncomp.api.encoding import (
    DEFAULT_METHOD,
    Result,
    check_method,
    compress,
    compress_stream,
    make_context,
)
from nncomp.api.inspection import ArchiveInfo, inspect
from nncomp.codecs.base import Context
from nncomp.errors import UsageError

if TYPE_CHECKING:
    import io
    import os

    from nncomp.api.base import BaseLike, WeightsLike

__all__ = [
    "DEFAULT_METHOD",
    "ArchiveInfo",
    "Context",
    "Result",
    "check_method",
    "compress",
    "compress_stream",
    "decompress",
    "decompress_stream",
    "inspect",
    "open",
]


def open(  # noqa: A001 - named as in gzip, lzma and zstandard
    file: str | os.PathLike[str] | BinaryIO,
    mode: str = "rb",
    *,
    method: str = DEFAULT_METHOD,
    level: int | None = None,
    threads: int = 1,
    device: str = "auto",
    memory_limit: int | None = None,
    base: BaseLike = None,
    weights: WeightsLike = None,
) -> io.BufferedIOBase:
    """Open an archive as a binary file object, for anything that takes one.

    Reading in order verifies everything. Where the file can seek, so can the object: by
    record where the codec codes records one by one, else by decoding from the start of
    the member. After a seek each record is verified, but not what spans records.

    Writing to a path publishes the file when the object is closed; leaving a `with` block
    by an exception, or dropping the object unclosed, publishes nothing.

    Args:
        file: A path, or a binary file object, used from its current position and left open.
        mode: "rb" or "wb". An existing file is replaced.
        method: As for `compress`; only for "wb".
        level: As for `compress`; only for "wb".
        threads: How many threads may work.
        device: "auto", "cpu" or "cuda".
        memory_limit: As for `compress` and `decompress`; the content does not count.
        base: As for `compress` and `decompress`.
        weights: The same.

    Raises:
        UsageError: An argument is not valid.
        NncompError: Later, from reading, writing or closing, as for `decompress_stream` and
            `compress_stream`.
    """
    context = make_context(threads, device, memory_limit, base, weights)
    if mode == "rb":
        from nncomp.api.file_reader import open_reader

        return open_reader(file, context)
    if mode == "wb":
        from nncomp.api.file_writer import ArchiveWriter

        check_method(method, level)  # so that its errors come now, and not from the worker
        return ArchiveWriter(file, method, level, context)
    raise UsageError(f"mode {mode!r} is not valid: expected 'rb' or 'wb'")
