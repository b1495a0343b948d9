"""What stands in the payload of a record: coded bytes, or a file undone.

    payload = layout (see `layout.py`), coded bits
            | UNDONE, varint n, varint r, varint c, recipe, payload of the content

A PNG file holds its pixels as a deflate stream, in which no model sees anything. So it is
coded as its pixels, n bytes of content, and a recipe of r bytes that makes the same file of
them again (`coding/png/parts.py`). The recipe takes c bytes as a payload of its own, or
stands as it is where c is 0.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.coder import decode_block, encode_block
from nncomp.codecs.mix.detect import find_layout
from nncomp.codecs.mix.layout import KINDS, LEAN, NUMBERS, UNDONE, Layout, read_layout
from nncomp.coding.png.parts import Parts, put_together, take_apart
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.coding.png.chunks import Header

__all__ = ["decode_payload", "encode_payload"]

Array = NDArray[Any]

_ROW_MAX = 0xFFFF  # as a layout tells it
_NUMBERS_MAX = 3 * 10  # bytes of three varints
_SMALL_TABLE = 14  # log2 of the lines for a small recipe


def encode_payload(raw: bytes, table: int, contexts: int, most: int) -> bytes | None:
    """The payload of a block, or None if it is not smaller.

    Args:
        raw: The block.
        table: log2 of the lines of the slot table.
        contexts: The most contexts in use.
        most: The most bytes of content.
    """
    data = np.frombuffer(raw, np.uint8)
    if contexts <= KINDS[LEAN]:
        return encode_block(data, Layout(LEAN), table, contexts)
    parts = take_apart(raw, most)
    if parts is not None and len(parts.recipe) <= most:
        payload = _encode_parts(parts, table, contexts)
        if payload is not None and len(payload) < len(raw):
            return payload
    return encode_block(data, find_layout(data), table, contexts)


def decode_payload(
    payload: memoryview, size: int, table: int, contexts: int, most: int
) -> bytes | memoryview:
    """The bytes of a block, `size` of them; the other arguments are those of `encode_payload`.

    Raises:
        CorruptError: The payload is damaged, or asks for more content than allowed.
    """
    if not payload or payload[0] != UNDONE:
        return _decode(payload, size, table, contexts).data
    head = Text(bytes(payload[1 : 1 + _NUMBERS_MAX]), 1)
    content_size, recipe_size, coded_size = (unpack_varint(head) for _ in range(3))
    recipe_at = head.offset
    content_at = recipe_at + (coded_size or recipe_size)
    if content_size > most or recipe_size > most or content_at > len(payload):
        raise CorruptError("the parts of a file are larger than they can be", offset=recipe_at)
    recipe = payload[recipe_at:content_at]
    if coded_size:
        small = _recipe_table(recipe_size, table)
        recipe = memoryview(_decode(recipe, recipe_size, small, contexts).tobytes())
    content = _decode(payload[content_at:], content_size, table, contexts)
    return put_together(content, bytes(recipe), size)


def _decode(payload: memoryview, size: int, table: int, contexts: int) -> Array:
    """Bytes by their layout and bits."""
    layout, rest = read_layout(payload)
    return decode_block(np.frombuffer(rest, np.uint8), size, layout, table, contexts)


def _encode_parts(parts: Parts, table: int, contexts: int) -> bytes | None:
    """The payload of a file taken apart; None if its content does not get smaller."""
    layout = _pixel_layout(parts.header) or find_layout(parts.content)
    content = encode_block(parts.content, layout, table, contexts)
    if content is None:
        return None
    recipe = np.frombuffer(parts.recipe, np.uint8)
    coded = encode_block(recipe, Layout(), _recipe_table(len(recipe), table), contexts)
    sizes = len(parts.content), len(recipe), 0 if coded is None else len(coded)
    head = bytes([UNDONE]) + b"".join(pack_varint(size) for size in sizes)
    return b"".join([head, parts.recipe if coded is None else coded, content])


def _recipe_table(size: int, table: int) -> int:
    """log2 of the lines for a recipe, of which most are small."""
    return min(table, max(_SMALL_TABLE, size.bit_length() + 5))


def _pixel_layout(header: Header | None) -> Layout | None:
    """How pixels look, where samples are numbers of whole bytes."""
    if header is None or header.palette or header.depth < 8 or header.row > _ROW_MAX:
        return None
    sample, element = header.depth // 8, header.step
    plane = sample if header.channels > 1 else 0
    return Layout(NUMBERS, element, header.row, plane, narrow=sample == 1 and element % 2 == 0)
