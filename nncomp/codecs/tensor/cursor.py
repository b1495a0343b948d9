"""Reading a payload without copying it."""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer

__all__ = ["Cursor"]


class Cursor:
    """A payload as an `Input` of coding/varint.py, whose pieces are views.

    Attributes:
        offset: Position in the payload; the place of a record in the archive is known to
            who reads the records, and replaces it in errors.
    """

    def __init__(self, payload: Buffer) -> None:
        self._view = memoryview(payload).cast("B")
        self.offset = 0

    @property
    def left(self) -> int:
        """How many bytes have not been taken."""
        return len(self._view) - self.offset

    def take(self, size: int) -> memoryview:
        """Exactly `size` bytes, still in the payload."""
        if size > self.left:
            raise CorruptError("a payload of planes ends too early")
        self.offset += size
        return self._view[self.offset - size : self.offset]
