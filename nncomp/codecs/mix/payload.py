"""What stands in the payload of a record: coded bytes, or files undone and what lies around.

    payload = layout (see `layout.py`), coded bits
            | FILES, varint k, k * (varint gap, varint size, varint p), varint c, file*, around

A PNG file holds its pixels as a deflate stream, in which no model sees anything. So each of
the k files in a block is coded as its pixels, n bytes of content, and a recipe of r bytes that
makes the same file of them again (`coding/png/parts.py`):

    file = varint n, varint r, varint q, recipe, payload of the content

`gap` bytes lie before a file of `size` bytes, which takes p bytes here. All that lies around
files is one payload of c bytes, and a recipe is a payload of q bytes; where c or q is 0, the
bytes stand as they are.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.coder import decode_block, encode_block
from nncomp.codecs.mix.detect import find_layout
from nncomp.codecs.mix.layout import FILES, KINDS, LEAN, NUMBERS, Layout, read_layout
from nncomp.coding.png.chunks import SIGNATURE
from nncomp.coding.png.parts import Parts, put_together, take_apart
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.mix.tally import Note
    from nncomp.coding.png.chunks import Header

__all__ = ["decode_payload", "encode_payload", "read_file_head", "read_places"]

Array = NDArray[Any]

_ROW_MAX = 0xFFFF  # as a layout tells it
_VARINT = 10  # bytes of one at most
# Files have so many bytes, or more than half of the block: each takes a predictor of its own.
_FILE_MIN = 1 << 12
_FAILURES = 100  # signatures without a file that can be undone, before no more are tried
_SMALL_TABLE = 14  # log2 of the lines for a small recipe


def encode_payload(raw: bytes, table: int, contexts: int, most: int) -> bytes | None:
    """The payload of a block, or None if it is not smaller.

    Args:
        raw: The block.
        table: log2 of the lines of the slot table.
        contexts: The most contexts in use.
        most: The most bytes of content of a file.
    """
    if contexts <= KINDS[LEAN]:
        return encode_block(np.frombuffer(raw, np.uint8), Layout(LEAN), table, contexts)
    files = list(_coded_files(raw, table, contexts, most))
    if not files:
        return _encode(raw, table, contexts)
    places = [0, *(at for file in files for at in (file.start, file.start + file.size)), len(raw)]
    around = b"".join(raw[a:b] for a, b in zip(places[::2], places[1::2], strict=True))
    coded = _encode(around, table, contexts) if around else None
    numbers, end = [len(files)], 0
    for file in files:
        numbers += file.start - end, file.size, len(file.payload)
        end = file.start + file.size
    numbers.append(len(coded) if coded else 0)
    head = bytes([FILES]) + b"".join(pack_varint(number) for number in numbers)
    payload = b"".join([head, *(file.payload for file in files), coded or around])
    return payload if len(payload) < len(raw) else _encode(raw, table, contexts)


def decode_payload(
    payload: memoryview,
    size: int,
    table: int,
    contexts: int,
    most: int,
    note: Note | None = None,
) -> bytearray | memoryview:
    """The bytes of a block.

    Args:
        payload: As `encode_payload` gives it.
        size: Of the block.
        table, contexts, most: As there.
        note: Gets what the bits of each run of coded bytes went to, if somebody wants to
            know: what lies around files, then of each file the recipe and the content.

    Raises:
        CorruptError: The payload is damaged, or asks for more content than allowed.
    """
    if not payload or payload[0] != FILES:
        return _decode(payload, size, table, contexts, note).data
    places, coded, at = read_places(payload, size)
    raw, around_size = bytearray(size), size - sum(place.size for place in places)
    around_at = at + sum(place.coded for place in places)
    around = payload[around_at:]
    if coded and around_size:
        around = _decode(around, around_size, table, contexts, note).data
    if len(around) != around_size or around_at > len(payload):
        raise CorruptError("what lies around files in a block has another size than told")
    end = used = 0
    for place in places:
        start = end + place.gap
        raw[end:start] = around[used : used + place.gap]
        end, used = start + place.size, used + place.gap
        file = payload[at : at + place.coded]
        raw[start:end] = _decode_file(file, place.size, table, contexts, most, note)
        at += place.coded
    raw[end:] = around[used:]
    return raw


class _Place(NamedTuple):
    """A file in a block: bytes since the one before, of the file, of its payload."""

    gap: int
    size: int
    coded: int


def read_places(payload: memoryview, size: int) -> tuple[list[_Place], int, int]:
    """The files of a block, bytes that code what lies around, and where these numbers end."""
    longest = _VARINT * (2 + 3 * max(1, size // _FILE_MIN))
    head = Text(bytes(payload[1 : 1 + longest]), 1)
    count = unpack_varint(head)
    if not count or (count > 1 and count * _FILE_MIN > size):
        raise CorruptError(f"a block has {count} files", offset=head.offset)
    places = [_Place(*(unpack_varint(head) for _ in range(3))) for _ in range(count)]
    if sum(place.gap + place.size for place in places) > size:
        raise CorruptError("files are larger than their block", offset=head.offset)
    return places, unpack_varint(head), head.offset


class _CodedFile(NamedTuple):
    """A file that was found in a block."""

    start: int
    size: int
    payload: bytes


def _coded_files(raw: bytes, table: int, contexts: int, most: int) -> Iterator[_CodedFile]:
    """The files in a block that get smaller, one after the other."""
    at = failed = 0
    while failed < _FAILURES and (at := raw.find(SIGNATURE, at)) >= 0:
        parts, payload = take_apart(memoryview(raw)[at:], most), None
        if parts is not None and _large_enough(parts, len(raw), most):
            payload = _encode_file(parts, table, contexts)
        if parts is None or payload is None or len(payload) >= parts.size:
            failed += 1
            at += len(SIGNATURE)
        else:
            yield _CodedFile(at, parts.size, payload)
            at += parts.size


def _large_enough(parts: Parts, block: int, most: int) -> bool:
    """Whether a file is worth a predictor, and what a decoder takes."""
    return (parts.size >= _FILE_MIN or 2 * parts.size > block) and len(parts.recipe) <= most


def _encode_file(parts: Parts, table: int, contexts: int) -> bytes | None:
    """The payload of a file taken apart; None if its content does not get smaller."""
    layout = _pixel_layout(parts.header) or find_layout(parts.content)
    content = encode_block(parts.content, layout, table, contexts)
    if content is None:
        return None
    recipe = np.frombuffer(parts.recipe, np.uint8)
    coded = encode_block(recipe, Layout(), _recipe_table(len(recipe), table), contexts)
    sizes = len(parts.content), len(recipe), 0 if coded is None else len(coded)
    head = b"".join(pack_varint(size) for size in sizes)
    return b"".join([head, parts.recipe if coded is None else coded, content])


def read_file_head(payload: memoryview) -> tuple[int, int, int, int]:
    """Bytes of a file's content, its recipe, the recipe coded (0: as it is), and these numbers."""
    head = Text(bytes(payload[: 3 * _VARINT]), 0)
    return unpack_varint(head), unpack_varint(head), unpack_varint(head), head.offset


def _decode_file(
    payload: memoryview,
    size: int,
    table: int,
    contexts: int,
    most: int,
    note: Note | None,
) -> bytes:
    """A file of so many bytes."""
    content_size, recipe_size, coded_size, recipe_at = read_file_head(payload)
    content_at = recipe_at + (coded_size or recipe_size)
    if content_size > most or recipe_size > most or content_at > len(payload):
        raise CorruptError("the parts of a file are larger than they can be")
    recipe = payload[recipe_at:content_at]
    if coded_size:
        lines = _recipe_table(recipe_size, table)
        recipe = _decode(recipe, recipe_size, lines, contexts, note).data
    content = _decode(payload[content_at:], content_size, table, contexts, note, picture=True)
    return put_together(content, bytes(recipe), size)


def _encode(raw: bytes, table: int, contexts: int) -> bytes | None:
    """Layout and bits of bytes."""
    data = np.frombuffer(raw, np.uint8)
    return encode_block(data, find_layout(data), table, contexts)


def _decode(
    payload: memoryview,
    size: int,
    table: int,
    contexts: int,
    note: Note | None = None,
    *,
    picture: bool = False,
) -> Array:
    """The inverse of `_encode`."""
    layout, rest = read_layout(payload)
    coded = np.frombuffer(rest, np.uint8)
    return decode_block(coded, size, layout, table, contexts, note, picture)


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
