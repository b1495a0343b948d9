"""What is compressed: looked into as far as somebody wants, then taken in order."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, Protocol

from nncomp.container.limits import PIECE
from nncomp.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Buffer

__all__ = ["BufferSource", "Source", "StreamSource"]


class Source(Protocol):
    """Content, before and while it is coded.

    Attributes:
        size: Of the content in bytes, as far as it is known by now, or None.
    """

    size: int | None

    def look(self, size: int) -> Buffer:
        """The first `size` bytes; fewer only where the content ends."""
        ...

    def chunks(self) -> Iterator[Buffer]:
        """All of the content, once; nothing can be looked at any more."""
        ...


class BufferSource:
    """Content in memory."""

    def __init__(self, view: memoryview) -> None:
        self._view = view
        self.size: int | None = len(view)

    def look(self, size: int) -> Buffer:
        """No copy."""
        return self._view[:size]

    def chunks(self) -> Iterator[Buffer]:
        """In one piece."""
        yield self._view


class StreamSource:
    """A stream; what was looked at is kept until it is taken.

    Args:
        stream: Read to its end; need not be seekable.
        announced: How many bytes it will give, if somebody said so.
    """

    def __init__(self, stream: BinaryIO, announced: int | None) -> None:
        self._stream = stream
        self._announced = announced
        self._head = b""
        self.size = announced

    def look(self, size: int) -> Buffer:
        """Read on as far as needed. Where the stream ends, its size becomes known."""
        wanted = size - len(self._head)
        if wanted > 0:
            self._head = b"".join((self._head, *self._pieces(wanted)))
            if len(self._head) < size and self.size is None:
                self.size = len(self._head)
        return memoryview(self._head)[:size]

    def chunks(self) -> Iterator[Buffer]:
        """The head, which is let go, and the rest.

        Raises:
            FileError: The stream gives another number of bytes than announced.
        """
        total = 0
        for chunk in self._all():
            total += len(chunk)
            if self._announced is not None and total > self._announced:
                break
            yield chunk
        if self._announced not in (None, total):
            given = "more" if total > (self._announced or 0) else total
            raise FileError(
                f"the source was announced with {self._announced} bytes and gave {given}; it "
                "changed while it was read, or content_size is wrong"
            )

    def _all(self) -> Iterator[Buffer]:
        head, self._head = memoryview(self._head), b""
        if head:
            yield head
        del head
        while piece := self._stream.read(PIECE):
            yield piece

    def _pieces(self, size: int) -> Iterator[bytes]:
        """`size` bytes, fewer only where the stream ends."""
        while size and (piece := self._stream.read(min(size, PIECE))):
            size -= len(piece)
            yield piece
