"""What the payloads of `emb` hold, found without decoding them."""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp.codecs.embedding.payload import OTHER, TABLE, decode_segment, read_fitting_shape
from nncomp.codecs.embedding.table import TableInfo, describe_table
from nncomp.codecs.tensor.cursor import Cursor
from nncomp.codecs.tensor.summary import SegmentSummary, skip_plane
from nncomp.coding.varint import unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Base, Params
    from nncomp.codecs.tensor.summary import Payload

__all__ = ["TableSegment", "describe_loss", "read_segment", "summarise"]


@dataclass(frozen=True)
class TableSegment(SegmentSummary):
    """A segment that is a table.

    Attributes:
        table: What its payload says.
    """

    table: TableInfo | None = None


def summarise(payload: Payload, size: int) -> Iterator[SegmentSummary]:
    """The segments of a payload, one after the other.

    Args:
        payload: Stands at its start; is passed over.
        size: Bytes of content that the record has.

    Raises:
        CorruptError: The payload contradicts itself, or the size.
    """
    done = 0
    while done < size:
        start = payload.offset
        content = unpack_varint(payload)
        kind = payload.take(1)[0]
        if not 0 < content <= size - done or kind not in (OTHER, TABLE):
            raise CorruptError("a segment has no size that fits, or a kind that does not exist")
        done += content
        if kind == TABLE:
            coded = payload.take(unpack_varint(payload))
            read_fitting_shape(Cursor(coded), content)  # else there could be any number of parts
            table = describe_table(Cursor(coded))
            parts = {"tables": payload.offset - start}
            yield TableSegment(content, start, payload.offset, False, parts, parts, table)
        else:
            skip_plane(payload, content)
            parts = {"other bytes": payload.offset - start}
            yield SegmentSummary(content, start, payload.offset, False, parts, parts)
    if payload.left:
        raise CorruptError("a payload goes on behind its last segment")


def read_segment(payload: Payload, segment: SegmentSummary, base: Base | None) -> bytes:
    """The content of one segment; not verified, since checksums are of whole records.

    Args:
        payload: Moves.
        segment: From `summarise`.
        base: There is none.

    Raises:
        CorruptError: It contradicts itself.
        Exception: Of a library that decodes a plane.
    """
    payload.offset = segment.start
    out = bytearray(segment.size)
    decode_segment(Cursor(payload.take(segment.stop - segment.start)), memoryview(out))
    return bytes(out)


def describe_loss(params: Params) -> str | None:
    """What may have been lost, for people: "rel<=0.01"; None: nothing."""
    return f"{params['mode']}<={params['bound']}" if params["bound"] else None
