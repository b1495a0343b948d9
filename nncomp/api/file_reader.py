"""An archive as a file object to read from."""

from __future__ import annotations

import io
import os
from bisect import bisect_right
from contextlib import contextmanager
from functools import cached_property
from itertools import accumulate
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nncomp.api.decoding import Decoder, decode_member
from nncomp.api.encoding import grant
from nncomp.container.reader import StreamInput, read_members
from nncomp.container.seeking import SeekableArchive

if TYPE_CHECKING:
    from collections.abc import Generator, Iterator

    from nncomp.codecs.base import Buffer, Context
    from nncomp.container.seeking import Index, MemberInfo

__all__ = ["ArchiveReader", "open_reader"]


_BUFFER_SIZE = 128 << 10


def open_reader(file: str | os.PathLike[str] | BinaryIO, context: Context) -> io.BufferedReader:
    """A buffered reader of the content; a path is closed with it, a file object left open."""
    if isinstance(file, (str, os.PathLike)):
        return io.BufferedReader(
            ArchiveReader(Path(file).open("rb"), context, close=True), _BUFFER_SIZE
        )
    return io.BufferedReader(ArchiveReader(file, context, close=False), _BUFFER_SIZE)


class ArchiveReader(io.RawIOBase):
    """Reads the content of an archive; one decoded record is held at a time.

    Args:
        file: The archive, from its current position on.
        context: Threads, device, memory limit.
        close: Whether closing this closes `file`.
    """

    def __init__(self, file: BinaryIO, context: Context, *, close: bool) -> None:
        self._file = file
        self._close = close
        self._context, self._limit = grant(context)
        self._map = _Map(file, self._context, self._limit) if file.seekable() else None
        self._pieces = _decode_all(StreamInput(file), self._context)
        self._piece = memoryview(b"")
        self._start = 0  # content position of the piece
        self._position = 0
        self._failure: Exception | None = None

    def readable(self) -> bool:
        """Always."""
        return True

    def seekable(self) -> bool:
        """Whether the archive's file is."""
        return self._map is not None

    def tell(self) -> int:
        """Content position of the next byte."""
        return self._position

    def seek(self, offset: int, whence: int = io.SEEK_SET, /) -> int:
        """Move to a content position; nothing is decoded before the next read."""
        if self._map is None:
            raise io.UnsupportedOperation("the archive comes from a stream that cannot seek")
        if whence == io.SEEK_CUR:
            offset += self._position
        elif whence == io.SEEK_END:
            offset += self._map.size
        elif whence != io.SEEK_SET:
            raise ValueError(f"whence={whence} is not valid: expected 0, 1 or 2")
        if offset < 0:
            raise ValueError(f"position {offset} is before the start")
        self._position = offset
        return offset

    def readinto(self, target: Buffer, /) -> int:  # type: ignore[override]  # any writable buffer
        """Fill `target` as far as one record goes; 0 only at the end."""
        source = self._available()
        view = memoryview(target).cast("B")
        size = min(len(view), len(source))
        view[:size] = source[:size]
        self._position += size
        return size

    def readall(self) -> bytes:
        """Everything from here to the end."""
        out = bytearray()
        while piece := self._available():
            out += piece
            self._position += len(piece)
        return bytes(out)

    def close(self) -> None:
        """Stop decoding."""
        if self.closed:
            return
        try:
            self._pieces.close()
            if self._close:
                self._file.close()
        finally:
            super().close()

    @property
    def _end(self) -> int:
        """Content position behind the piece; decoding goes on from there."""
        return self._start + len(self._piece)

    def _available(self) -> memoryview:
        """What is decoded from the position on; empty only at the end of the content."""
        if self.closed:
            raise ValueError("I/O operation on closed file")
        if self._failure is not None:
            # The generator has ended: without this, the next read would look like the end.
            raise self._failure
        try:
            self._decode_to_position()
        except Exception as error:
            self._failure = error
            raise
        return self._piece[self._position - self._start :]

    def _decode_to_position(self) -> None:
        """Make the piece the one with the position, or leave it where the content ends."""
        if self._map is not None and not self._start <= self._position <= self._end:
            if self._position >= self._map.size:
                self._start, self._piece = self._position, memoryview(b"")
                self._pieces.close()
                return
            self._jump(self._map)
        while self._position >= self._end:
            piece = next(self._pieces, None)
            if piece is None:
                return
            self._start, self._piece = self._end, memoryview(piece).cast("B")

    def _jump(self, archive: _Map) -> None:
        """Decode from the nearest possible place before the position, if not there already."""
        member, number, start = archive.find(self._position)
        if start <= self._end <= self._position:
            return
        self._pieces.close()
        self._pieces = archive.decode_from(member, number)
        self._start, self._piece = start, memoryview(b"")


class _Map:
    """Which content is where in an archive that can seek; found when first asked for.

    Asking moves the file and puts it back, since a decoder may be reading from it.
    """

    def __init__(self, file: BinaryIO, context: Context, limit: int) -> None:
        self._file = file
        self._context = context
        self._limit = limit
        self._archive = SeekableArchive(file)
        self._index: tuple[int, Index] | None = None  # of the member that was used last

    @cached_property
    def _members(self) -> list[MemberInfo]:
        with self._file_put_back():
            return self._archive.members()

    @cached_property
    def _ends(self) -> list[int]:
        """Content positions behind the members."""
        return list(accumulate(member.raw_size for member in self._members))

    @property
    def size(self) -> int:
        """Size of the whole content in bytes."""
        return self._ends[-1]

    def find(self, position: int) -> tuple[int, int, int]:
        """Where decoding must start to reach `position`.

        Returns:
            Member, record in the member, and content position of that record.
        """
        number = bisect_right(self._ends, position)
        member = self._members[number]
        start = self._ends[number] - member.raw_size
        if not Decoder.prepare(member.header, self._context).codec.independent:
            return number, 0, start
        index = self._index_of(number)
        record = index.find(position - start)
        return number, record, start + index.raw_start(record)

    def decode_from(self, number: int, record: int) -> Generator[Buffer, None, None]:
        """The content from a record of a member on; whole members are verified as such."""
        if record:
            member = self._members[number]
            decoder = Decoder.prepare(member.header, self._context)
            index = self._index_of(number)
            yield from decoder.decode(self._archive.records(member, index, record, decoder.largest))
            number += 1
        if number < len(self._members):
            source = self._archive.input_at(self._members[number].offset)
            yield from _decode_all(source, self._context)

    def _index_of(self, number: int) -> Index:
        if self._index is None or self._index[0] != number:
            with self._file_put_back():
                index = self._archive.index(self._members[number], self._limit)
            self._index = number, index
        return self._index[1]

    @contextmanager
    def _file_put_back(self) -> Iterator[None]:
        here = self._file.tell()
        try:
            yield
        finally:
            self._file.seek(here)


def _decode_all(source: StreamInput, context: Context) -> Generator[Buffer, None, None]:
    """The content of all members from here on."""
    for member in read_members(source):
        yield from decode_member(member, Decoder.prepare(member.header, context))
