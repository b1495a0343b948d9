"""What stands in the payload of a record: pictures, and what lies around them.

    payload = u8 kind, then
        0 BYTES     a Zstandard frame of all bytes
        1 PICTURES  layout, piece before, piece behind, pixels
        2 PNG       piece recipe, varint palette, layout, pixels
        3 PNG_LINES piece recipe, varint n, a Zstandard frame of n bytes of content
    piece   = varint n, varint z, z bytes: a Zstandard frame of n bytes; if z is 0, the bytes

FORMAT.md describes layouts and pixels. The recipe of a PNG file makes it of its pixels, see
`coding/png/parts.py`. Where `palette` is not 0, samples are ranks of colours by brightness, of
8 bits whatever the layout says, and the palette is at that byte of the recipe.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np
import zstandard

from nncomp.codecs.frames import pack_frame, unpack_frame
from nncomp.codecs.image.coding import decode_picture, encode_picture
from nncomp.codecs.image.formats.png import layout_of, ranks
from nncomp.codecs.image.layout import Layout
from nncomp.coding.png.parts import Parts, put_together
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.image.fit import Effort
    from nncomp.codecs.image.plates import Array
    from nncomp.weights import Weights

__all__ = ["Settings", "decode_payload", "encode_bytes", "encode_pictures", "encode_png"]

_BYTES, _PICTURES, _PNG, _PNG_LINES = range(4)
_PALETTE = b"PLTE"
_COLOUR = 3  # bytes of one
_RANK_DEPTH = 8  # bits of ranks of colours
_QUICK = 1
# What quick Zstandard leaves of pixels that it suits; that are drawn rather than photographed.
_FLAT, _DRAWN = 0.8, 0.35


class Settings(NamedTuple):
    """How an encoder works.

    Attributes:
        effort: On pictures.
        order: Of the tables of classes.
        level: Of Zstandard.
        most: Bytes that pixels, or anything else, may have.
    """

    effort: Effort
    order: int
    level: int
    most: int


def encode_bytes(raw: bytes, settings: Settings) -> bytes:
    """The payload of bytes that are no picture."""
    return bytes([_BYTES]) + _frame(raw, settings.level)


def encode_pictures(raw: bytes, start: int, layout: Layout, settings: Settings) -> bytes:
    """The payload of pictures that lie in bytes."""
    end = start + layout.size
    content = np.frombuffer(raw, np.uint8)[start:end]
    samples = layout.read(content)
    found, left = [], _left(content)
    if samples is None or left < _FLAT:
        found.append(encode_bytes(raw, settings))
    if samples is not None:
        drawn = left < _DRAWN and _seems_drawn(samples)
        quick = int(left * len(content))
        pixels = encode_picture(
            samples, layout.shape, settings.effort, settings.order, drawn, quick
        )
        around = _piece(raw[:start]) + _piece(raw[end:])
        found.append(b"".join([bytes([_PICTURES]), layout.pack(), around, pixels]))
    return min(found, key=len)


def encode_png(parts: Parts, settings: Settings) -> bytes:
    """The payload of a PNG file."""
    recipe = _piece(parts.recipe)
    layout = layout_of(parts)
    if layout is not None and layout.shape.samples > settings.most:
        layout = None  # of less than 8 bits: more samples than bytes, and a decoder has no room
    samples = None if layout is None else layout.read(parts.content)
    found, left = [], _left(parts.content)
    if layout is None or samples is None or left < _FLAT:
        size = pack_varint(len(parts.content))
        frame = _frame(parts.content, settings.level)
        found.append(b"".join([bytes([_PNG_LINES]), recipe, size, frame]))
    if layout is not None and samples is not None:
        place, shape = 0, layout.shape
        palette = parts.header is not None and parts.header.palette
        if palette and shape.depth <= _RANK_DEPTH:  # a file may claim more, which no palette has
            place = parts.recipe.find(_PALETTE) + len(_PALETTE)
            rank, _ = ranks(_palette(parts.recipe, place))
            samples = rank[samples]
            shape = shape._replace(depth=_RANK_DEPTH)
        drawn = place > 0 or (left < _DRAWN and _seems_drawn(samples))
        quick = int(left * len(parts.content))
        pixels = encode_picture(samples, shape, settings.effort, settings.order, drawn, quick)
        head = [bytes([_PNG]), recipe, pack_varint(place), layout.pack()]
        found.append(b"".join([*head, pixels]))
    return min(found, key=len)


def decode_payload(
    payload: memoryview, size: int, most: int, given: Weights | None = None
) -> bytes:
    """The bytes of a record.

    Args:
        payload: What one of the functions above gave.
        size: Bytes that come out.
        most: Bytes that pixels may have.
        given: Weights, as for `decode_picture`.

    Raises:
        CorruptError: The payload is damaged.
        zstandard.ZstdError: Likewise.
    """
    text = Text(bytes(payload), 0)
    kind = text.take(1)[0]
    if kind == _BYTES:
        return unpack_frame(payload[1:], size)
    if kind == _PICTURES:
        layout = Layout.unpack(text, most)
        if layout.size > size:  # before work is done that is for nothing
            raise CorruptError("pictures are larger than their record", offset=text.offset)
        before, behind = _read_piece(text, size), _read_piece(text, size)
        samples = decode_picture(payload[text.offset :], layout.shape, given)
        raw = b"".join([before, layout.write(samples).data, behind])
        if len(raw) != size:
            raise CorruptError("a record with pictures has another size than told")
        return raw
    if kind not in (_PNG, _PNG_LINES):
        raise CorruptError(f"a payload of pictures is of kind {kind}, which there is not")
    recipe = _read_piece(text, most)
    if kind == _PNG_LINES:
        count = unpack_varint(text)
        if count > most:
            raise CorruptError("the lines of a PNG file are larger than they can be")
        content = np.frombuffer(unpack_frame(payload[text.offset :], count), np.uint8)
    else:
        content = _pixels(text, payload, recipe, most, given)
    return put_together(content, recipe, size)


def _pixels(
    text: Text, payload: memoryview, recipe: bytes, most: int, given: Weights | None
) -> Array:
    """The content of a PNG file."""
    place = unpack_varint(text)
    layout = Layout.unpack(text, most)
    shape = layout.shape._replace(depth=_RANK_DEPTH) if place else layout.shape
    samples = decode_picture(payload[text.offset :], shape, given)
    if place:
        _, places = ranks(_palette(recipe, place))
        samples = places[samples]
    return layout.write(samples)


def _palette(recipe: bytes, place: int) -> Array:
    """The palette at a place of a recipe, uint8[colours, 3]."""
    rest = recipe[place : place + 256 * _COLOUR]
    return np.frombuffer(rest[: len(rest) // _COLOUR * _COLOUR], np.uint8).reshape(-1, _COLOUR)


def _left(content: Array) -> float:
    """How much of bytes quick Zstandard leaves."""
    return len(_frame(content, _QUICK)) / max(len(content), 1)


def _seems_drawn(samples: Array) -> bool:
    """Whether planes that shrink seem drawn: a grey photograph in three shrinks to one, too."""
    others = [plane for plane in samples[1:] if not np.array_equal(plane, samples[0])]
    return len(others) == len(samples) - 1 or _left(np.stack([samples[0], *others])) < _DRAWN


def _frame(data: bytes | Array, level: int) -> bytes:
    """A Zstandard frame."""
    params = zstandard.ZstdCompressionParameters.from_level(
        level,
        source_size=len(data),
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
    )
    return pack_frame(zstandard.ZstdCompressor(compression_params=params), bytes(data))


def _piece(data: bytes) -> bytes:
    """Bytes that are few."""
    frame = _frame(data, 19)
    coded = frame if 0 < len(frame) < len(data) else b""
    return pack_varint(len(data)) + pack_varint(len(coded)) + (coded or data)


def _read_piece(text: Text, most: int) -> bytes:
    """Read what `_piece` makes."""
    size, coded = unpack_varint(text), unpack_varint(text)
    if size > most:
        raise CorruptError("a piece around pictures is larger than it can be", offset=text.offset)
    return unpack_frame(text.take(coded), size) if coded else text.take(size)
