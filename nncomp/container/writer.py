"""Writing a member, record by record, to any binary stream."""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol, TypeAlias

import xxhash

from nncomp.container.layout import (
    CODED,
    STORED,
    Footer,
    Header,
    RecordHeader,
    pack_entry,
    pack_index_start,
)
from nncomp.container.limits import INDEX_SIZE_MAX
from nncomp.errors import LimitError

if TYPE_CHECKING:
    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["MemberWriter", "Sink", "write_all"]


class Sink(Protocol):
    """What can be written to: a binary file object, or as much of one."""

    def write(self, data: Buffer, /) -> int | None:
        """Take some of `data`; how much, or None for all."""
        ...


def write_all(sink: Sink, data: Buffer) -> None:
    """Write everything, also to raw streams, which may take less than they are given."""
    view = memoryview(data).cast("B")
    while view:
        taken = sink.write(view)
        # Simple file-like objects take everything and return nothing.
        view = view[len(view) if taken is None else taken :]


class MemberWriter:
    """Writes one member; `sink` need not be seekable.

    Memory: the index, 4 to 8 bytes per record.

    Args:
        sink: Where the member goes; left open.
        header: Written at once.
    """

    def __init__(self, sink: Sink, header: Header) -> None:
        packed = header.pack()
        self._sink = sink
        self._seed = int.from_bytes(packed[-8:], "little")
        self._number = 0
        self._content = xxhash.xxh3_64()
        self._index = bytearray(pack_index_start(len(packed)))
        self.raw_size = 0
        self.disk_size = 0
        self._write(packed)

    def add(self, raw: Buffer, payload: Buffer | None) -> None:
        """Write one record of at least one byte.

        Args:
            raw: The decoded bytes.
            payload: The coded bytes. With None, or when they are not fewer than `raw`,
                the record is stored.
        """
        raw_view = memoryview(raw).cast("B")
        size = len(raw_view)
        if not size:
            raise ValueError("a record has at least one byte")
        if payload is None or len(memoryview(payload).cast("B")) >= size:
            kind, data = STORED, raw_view
        else:
            kind, data = CODED, memoryview(payload).cast("B")
        record = RecordHeader(kind, size, len(data), xxhash.xxh3_64_intdigest(raw_view))
        packed = record.pack(self._seed + self._number)
        self._index += pack_entry(record, len(packed) + len(data))
        self._number += 1
        self._content.update(raw_view)
        self.raw_size += size
        self._write(packed)
        self._write(data)

    def finish(self) -> int:
        """Write index and footer; the size of the whole member in bytes.

        Raises:
            LimitError: More records than one member can index.
        """
        size = len(self._index) + 8
        if size > INDEX_SIZE_MAX:
            raise LimitError("too many records for one archive member; split the input")
        self._write(self._index)
        self._write(xxhash.xxh3_64_intdigest(self._index).to_bytes(8, "little"))
        self._write(Footer(self._content.intdigest(), size).pack())
        return self.disk_size

    def _write(self, data: Buffer) -> None:
        write_all(self._sink, data)
        self.disk_size += len(data)
