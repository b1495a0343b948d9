"""A stream of chunks as a window: looked into ahead, then taken in one piece."""

from __future__ import annotations

from collections import deque
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Iterable

    from nncomp.codecs.base import Buffer

__all__ = ["Window"]


class Window:
    """Chunks of any sizes; a `Feed` for readers of formats.

    There are two places in it: where the last record ended, and, `ahead` of that, where
    the segments that are decided on end. Peeking looks from the second.

    Args:
        chunks: The stream; no chunk is changed or kept longer than it is needed.
    """

    def __init__(self, chunks: Iterable[Buffer]) -> None:
        self._chunks = iter(chunks)
        self._held: deque[memoryview] = deque()
        self._size = 0  # of all that is held
        self._ahead = 0
        self.position = 0  # of the second place in the stream

    def available(self, size: int) -> int:
        """How many of the next `size` bytes there are; fewer only where the stream ends."""
        while self._size < self._ahead + size and (chunk := next(self._chunks, None)) is not None:
            view = memoryview(chunk).cast("B")
            if view:
                self._held.append(view)
                self._size += len(view)
        return min(size, self._size - self._ahead)

    def peek(self, size: int) -> bytes:
        """The next `size` bytes; fewer only where the stream ends."""
        size = self.available(size)
        start, out = self._ahead, []
        for view in self._held:
            part = view[start : start + size]
            out.append(part)
            size -= len(part)
            start = max(0, start - len(view))
            if not size:
                break
        return b"".join(out)

    def advance(self, size: int) -> None:
        """Move the second place on, over bytes that are available."""
        self._ahead += size
        self.position += size

    def take(self, keep: int = 0) -> memoryview:
        """All bytes between the two places, which become one.

        Args:
            keep: How many bytes before the second place are left between the two.
        """
        size = self._ahead - keep
        self._ahead = keep
        self._size -= size
        parts: list[memoryview] = []
        while size:
            view = self._held.popleft()
            if len(view) > size:
                self._held.appendleft(view[size:])
                view = view[:size]
            parts.append(view)
            size -= len(view)
        if len(parts) == 1:
            return parts[0]  # mostly so where the source lies in memory: no copy
        return memoryview(b"".join(parts))
