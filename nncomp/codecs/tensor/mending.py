"""Coded records that have lost precision, until the checksums in them fit.

The CRC-32 in a local header of a ZIP archive is that of an entry that ends any number of
records later. Until then records wait as what they were coded to, which is small, and are
decoded where they have to change.
"""

from __future__ import annotations

from abc import ABC, abstractmethod
from bisect import bisect_right
from collections import deque
from dataclasses import dataclass, field
from itertools import accumulate
from typing import TYPE_CHECKING, Generic, TypeVar

from nncomp.codecs.tensor.formats.zip_sums import ZipSums
from nncomp.text import plural

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nncomp.codecs.base import Buffer
    from nncomp.codecs.tensor.formats.zip_sums import Patch, Span

__all__ = ["HELD_MAX", "Coded", "mended"]

HELD_MAX = 256 << 20
"""Coded bytes that wait for the end of one entry, at most."""


@dataclass
class Coded(ABC):
    """A record whose pieces are coded.

    Attributes:
        raw: As it was; empty once it waits.
        content: What will be decoded; empty while it waits.
        sizes: Bytes of the pieces.
        spans: Those of the file, as `ZipSums` wants them.
        parts: For each piece, what it is coded to.
        size: Bytes of content.
    """

    raw: memoryview
    content: bytearray
    sizes: list[int]
    spans: list[Span]
    parts: list[list[Buffer]]
    size: int = field(init=False)
    _changes: dict[int, int] = field(init=False, default_factory=dict)
    _waiting: int | None = field(init=False, default=None)  # bytes; None: it does not wait

    def __post_init__(self) -> None:
        self.size = len(self.content)

    @abstractmethod
    def encode(self, number: int, content: memoryview) -> list[Buffer]:
        """Code a piece, which is none of numbers, anew."""

    @abstractmethod
    def decode(self) -> bytearray:
        """The content again, from `payload`."""

    def payload(self) -> bytes:
        """The payload of the record."""
        return b"".join(part for parts in self.parts for part in parts)

    @property
    def waiting(self) -> int:
        """Bytes that are held while it waits; 0: it does not."""
        return self._waiting or 0

    def wait(self) -> int:
        """Let go of the content; how many bytes more are held for it now."""
        if self._waiting is None:
            joined = [b"".join(parts) for parts in self.parts]
            self.parts = [[part] for part in joined]
            self.raw, self.content = memoryview(b""), bytearray()
            self._waiting = sum(map(len, joined))
            return self._waiting
        return 0

    def change(self, at: int, byte: int) -> None:
        """Have another byte at a place of the content, once this is finished."""
        self._changes[at] = byte

    def finish(self) -> None:
        """Make content and payload what they will be."""
        if self._waiting is not None:
            self.content, self._waiting = self.decode(), None
        ends = list(accumulate(self.sizes))
        for at, byte in self._changes.items():
            self.content[at] = byte
        for number in {bisect_right(ends, at) for at in self._changes}:
            start = ends[number] - self.sizes[number]
            self.parts[number] = self.encode(number, memoryview(self.content)[start : ends[number]])
        self._changes = {}


_Record = TypeVar("_Record", bound=Coded)


def mended(records: Iterable[_Record], warn: Callable[[str], None]) -> Iterator[_Record]:
    """The records of a stream, with checksums of ZIP archives that fit.

    Args:
        records: In their order.
        warn: Told of an archive in which not all of them can be, or could be, made to fit.
    """
    queue = _Queue[_Record]()
    for record in records:
        queue.add(record)
        yield from queue.ready()
        if queue.wait() > HELD_MAX:
            queue.sums.give_up()
            yield from queue.ready()
    yield from queue.rest()
    if stale := queue.sums.stale:
        others = f" (and {len(stale) - 1} more)" * (len(stale) > 1)
        warn(
            f"the local header of ZIP entry {stale[0]!r}{others} keeps the CRC-32 of what it "
            "was, since what it became is too large to be held back: NumPy and PyTorch read the "
            "archive, by the CRC-32 in its directory, but unzip finds fault with it. Give each "
            "array a file of its own (.npy) if that matters"
        )
    if unlisted := queue.sums.unlisted:
        warn(
            "the ZIP archive is damaged, or cut off: its directory was not found, or lacks "
            f"{plural(unlisted, 'array')} that changed, and readers may refuse what comes back for "
            "a CRC-32 of what it was. Make the archive anew, or compress it without loss"
        )


class _Queue(Generic[_Record]):
    """Records that wait, the first first."""

    def __init__(self) -> None:
        self.sums = ZipSums()
        self._records: deque[_Record] = deque()
        self._start = 0  # of the first, in the stream
        self._held = 0  # coded bytes of those that wait, which are all but the last, at most

    def add(self, record: _Record) -> None:
        patches = self.sums.follow(record.raw, memoryview(record.content), record.spans)
        self._records.append(record)
        for patch in patches:
            self._change(patch)

    def ready(self) -> Iterator[_Record]:
        """Those in which nothing will change any more."""
        while self._records and self._start + self._records[0].size <= self.sums.settled:
            yield self._next()

    def rest(self) -> Iterator[_Record]:
        """All, at the end of the stream."""
        while self._records:
            yield self._next()

    def wait(self) -> int:
        """Coded bytes of those that are left."""
        if self._records:
            self._held += self._records[-1].wait()
        return self._held

    def _next(self) -> _Record:
        record = self._records.popleft()
        self._start += record.size
        self._held -= record.waiting
        record.finish()
        return record

    def _change(self, patch: Patch) -> None:
        """A checksum may lie across the end of a record."""
        for position, byte in enumerate(patch.content, patch.position):
            start = self._start
            for record in self._records:
                if position < start + record.size:
                    record.change(position - start, byte)
                    break
                start += record.size
