"""Bases: content that both sides have, which an archive may hold differences to."""

from __future__ import annotations

import io
import os
import threading
import weakref
from dataclasses import replace
from functools import cached_property
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO, TypeAlias

import xxhash

from nncomp.container.layout import MAGIC
from nncomp.container.limits import PIECE
from nncomp.container.seeking import SeekableArchive
from nncomp.errors import FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncomp.codecs.base import Base, Buffer, Context

    One: TypeAlias = str | os.PathLike[str] | Buffer
    BaseLike: TypeAlias = One | Sequence[One] | None
    WeightsLike: TypeAlias = One | None

__all__ = ["BaseLike", "WeightsLike", "open_base"]


def open_base(base: BaseLike, context: Context) -> Base | None:
    """Content to take differences to.

    Args:
        base: A path, or bytes: a file as it is, or an archive, whose content is meant and
            which is decoded where it is used. Several: a chain, in which each is an
            archive of differences to the next; the first is the base.
            What begins as an archive is taken for one.
        context: For decoding archives.

    Raises:
        UsageError: An empty chain.
        FileError: Not a file that can seek.
        FormatError: An archive that is damaged.
    """
    if base is None or isinstance(base, (str, os.PathLike, bytes, bytearray, memoryview)):
        return None if base is None else _open_one(base, context)
    chain: Base | None = None
    for one in reversed(base):
        chain = _open_one(one, replace(context, base=chain))
    if chain is None:
        raise UsageError("a chain of bases has at least one")
    return chain


def _open_one(base: One, context: Context) -> Base:
    if isinstance(base, (str, os.PathLike)):
        with Path(base).open("rb") as file:
            if not file.seekable():
                raise FileError(f"the base {os.fspath(base)!r} is not a file that can seek")
            archive = file.read(len(MAGIC)) == MAGIC
        return _ArchiveBase(base, context) if archive else _FileBase(base)
    data = bytes(base)  # no copy of bytes
    return _ArchiveBase(data, context) if data.startswith(MAGIC) else _FileBase(data)


class _FileBase:
    """A file, or bytes, as they are; see `codecs.base.Base`."""

    def __init__(self, source: str | os.PathLike[str] | bytes) -> None:
        self._source = source
        self._lock = threading.Lock()
        self._reader = self.file()
        weakref.finalize(self, self._reader.close)  # nobody else knows when it was read last
        self.size = self._reader.seek(0, io.SEEK_END)

    @cached_property
    def digest(self) -> str:
        """XXH3-64 of the content."""
        return self._hash()

    def _hash(self) -> str:
        state = xxhash.xxh3_64()
        with self.file() as file:
            while piece := file.read(PIECE):
                state.update(piece)
        return state.hexdigest()

    def read(self, offset: int, size: int) -> Buffer:
        """Some of the content."""
        if isinstance(self._source, bytes):
            return memoryview(self._source)[offset : offset + size]
        with self._lock:
            self._reader.seek(offset)
            data = self._reader.read(size)
        if len(data) < size:
            raise FileError(f"the base {os.fspath(self._source)!r} changed while it was read")
        return data

    def file(self) -> BinaryIO:
        """Another file object with the content."""
        if isinstance(self._source, bytes):
            return io.BytesIO(self._source)
        return Path(self._source).open("rb")


class _ArchiveBase(_FileBase):
    """The content of an archive, decoded where it is used."""

    def __init__(self, source: str | os.PathLike[str] | bytes, context: Context) -> None:
        self._context = context
        super().__init__(source)

    @cached_property
    def digest(self) -> str:
        """XXH3-64 of the content, which an archive of one member tells."""
        with super().file() as archive:
            members = SeekableArchive(archive).members()
        if len(members) == 1:
            return f"{members[0].checksum:016x}"
        return self._hash()

    def read(self, offset: int, size: int) -> Buffer:
        """Some of the content; every record is verified."""
        with self._lock:
            self._reader.seek(offset)
            return self._reader.read(size)

    def file(self) -> BinaryIO:
        """A reader of the content."""
        from nncomp.api.file_reader import ArchiveReader

        raw = ArchiveReader(super().file(), self._context, close=True)
        return io.BufferedReader(raw)
