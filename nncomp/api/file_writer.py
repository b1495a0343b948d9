"""An archive as a file object to write to.

Codecs pull their input, a file object is pushed: a thread stands between.
"""

from __future__ import annotations

import io
import os
from contextlib import AbstractContextManager, nullcontext, suppress
from pathlib import Path
from queue import Queue
from threading import Thread
from typing import TYPE_CHECKING, BinaryIO, cast

from nncomp.api.encoding import compress_stream
from nncomp.container.limits import PIECE
from nncomp.files import atomic_output

if TYPE_CHECKING:
    from types import TracebackType

    from nncomp.codecs.base import Buffer, Context

__all__ = ["ArchiveWriter"]

# Pieces between writer and worker.
_QUEUE_LENGTH = 2


class ArchiveWriter(io.BufferedIOBase):
    """Writes an archive; at most a few MiB wait between the caller and the codec.

    An error of the codec or of the file is raised by the next `write`, or by `close`.

    Args:
        file: A path, published on a clean close, or a file object, left open.
        method, level, context: As for `compress_stream`.
    """

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        method: str,
        level: int | None,
        context: Context,
    ) -> None:
        self._pending = bytearray()
        self._position = 0
        self._worker: _Worker | None = _Worker(file, method, level, context)

    def writable(self) -> bool:
        """Always."""
        return True

    def tell(self) -> int:
        """How many bytes have been written."""
        return self._position

    def write(self, data: Buffer, /) -> int:  # type: ignore[override]  # any contiguous buffer
        """Take all of `data`."""
        if self._worker is None:
            raise ValueError("I/O operation on closed file")
        view = memoryview(data).cast("B")
        for start in range(0, len(view), PIECE):
            self._pending += view[start : start + PIECE]
            if len(self._pending) >= PIECE:
                self._worker.put(bytes(self._pending))
                self._pending.clear()
        self._position += len(view)
        return len(view)

    def close(self) -> None:
        """Finish the archive, and publish it if it was opened by its path."""
        worker, self._worker = self._worker, None
        try:
            if worker is not None:
                worker.put(bytes(self._pending))
                worker.finish(publish=True)
        finally:
            super().close()

    def abort(self) -> None:
        """Stop without publishing; a file object is left with an incomplete archive."""
        worker, self._worker = self._worker, None
        if worker is not None:
            worker.finish(publish=False)
        super().close()

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        if kind is None:
            self.close()
        else:
            self.abort()

    def __del__(self) -> None:
        # IOBase would close, and so publish what nobody finished.
        if getattr(self, "_worker", None) is not None:
            self.abort()


class _Aborted(Exception):  # noqa: N818 - no error: nobody but the worker sees it
    """The writer was left without a clean close."""


class _Worker:
    """Compresses what is put, in a thread of its own, which does not know the writer."""

    def __init__(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        method: str,
        level: int | None,
        context: Context,
    ) -> None:
        self._source = _QueueSource()
        self._error: BaseException | None = None
        arguments = (file, method, level, context)
        self._thread = Thread(target=self._run, args=arguments, name="nncomp-writer", daemon=True)
        self._thread.start()

    def put(self, piece: bytes) -> None:
        """Hand over a piece; blocks while several are waiting."""
        if self._error is not None:
            raise self._error
        if piece:
            self._source.queue.put(piece)

    def finish(self, *, publish: bool) -> None:
        """End the archive, wait for it, and raise what went wrong."""
        self._source.queue.put(None if publish else _Aborted())
        self._thread.join()
        if self._error is not None and not isinstance(self._error, _Aborted):
            raise self._error

    def _run(
        self,
        file: str | os.PathLike[str] | BinaryIO,
        method: str,
        level: int | None,
        context: Context,
    ) -> None:
        source = cast("BinaryIO", self._source)
        try:
            with _output(file) as sink:
                compress_stream(source, sink, method=method, level=level, context=context)
        except BaseException as error:  # raised again in the caller's thread
            self._error = error
            self._source.drain()


class _QueueSource(io.RawIOBase):
    """The end of the queue that is read from.

    Attributes:
        queue: Pieces of the content; at the end None, or the exception to end with.
    """

    def __init__(self) -> None:
        self.queue: Queue[bytes | _Aborted | None] = Queue(_QUEUE_LENGTH)
        self._piece = memoryview(b"")
        self._ended = False

    def readable(self) -> bool:
        """Always."""
        return True

    def readinto(self, target: Buffer, /) -> int:  # type: ignore[override]  # any writable buffer
        """Wait for the next piece, or give what is left of the last one."""
        if not self._piece and not self._ended:
            self._piece = memoryview(self._next() or b"")
        view = memoryview(target).cast("B")
        size = min(len(view), len(self._piece))
        view[:size] = self._piece[:size]
        self._piece = self._piece[size:]
        return size

    def drain(self) -> None:
        """Take what is still put, so that the writer does not wait for ever."""
        while not self._ended:
            with suppress(_Aborted):
                self._next()

    def _next(self) -> bytes | None:
        item = self.queue.get()
        self._ended = not isinstance(item, bytes)
        if isinstance(item, _Aborted):
            raise item
        return item


def _output(
    file: str | os.PathLike[str] | BinaryIO,
) -> AbstractContextManager[BinaryIO]:
    if isinstance(file, (str, os.PathLike)):
        return atomic_output(Path(file), overwrite=True)
    return nullcontext(file)
