"""WebP files: what they hold; those of one lossless picture are written anew as PNG files.

An archive is decoded without libwebp: only for `pixels=only`, and before anything is coded,
Pillow decodes a file, and a PNG file takes its place.

Sources: RFC 9649, sections 2.3 to 2.7 (container) and 3.4 (header of the lossless bitstream).
"""

from __future__ import annotations

import io
import struct
import zlib
from typing import NamedTuple

import numpy as np

from nncomp.codecs.image.formats import png
from nncomp.coding.png.chunks import Chunk
from nncomp.errors import MethodError

__all__ = ["Header", "begins", "read", "written_as_png"]

_RIFF = struct.Struct("<4sI4s")
_CHUNK = struct.Struct("<4sI")
_LOSSLESS, _LOSSY, _EXTENDED = b"VP8L", b"VP8 ", b"VP8X"
_FRAMES = b"ANIM"
_LOSSLESS_HEAD = struct.Struct("<BI")
_MAGIC = 0x2F  # of a lossless bitstream
_CANVAS = slice(4, 10)  # in an extended header: its width and height less 1
_SIDE = (1 << 14) - 1
_EXIF_PREFIX = b"Exif\0\0"  # that some write before EXIF, though they should not
_PROFILE_NAME = b"ICC profile"
_XMP_NAME = b"XML:com.adobe.xmp"


class Header(NamedTuple):
    """What a file holds, as far as its chunks say.

    Attributes:
        width, height: Pixels; 0 if it is not one lossless picture.
        channels: 3, or 4 with opacity.
        size: Bytes of the file.
        held: What it is: "lossless", "lossy", "animated" or "damaged".
        chunks: The first of each type.
    """

    width: int
    height: int
    channels: int
    size: int
    held: str
    chunks: dict[bytes, memoryview]

    @property
    def room(self) -> int:
        """Bytes that are enough for the PNG file written anew, and for its lines."""
        return self.height * (self.width * self.channels + 1) + self.size + (1 << 12)


def begins(data: memoryview | bytes) -> bool:
    """Whether a WebP file begins like this."""
    return bytes(data[:4]) == b"RIFF" and bytes(data[8:12]) == b"WEBP"


def read(data: memoryview) -> Header:
    """What a WebP file holds; of one that is cut off, too, as far as it is there."""
    size = 8 + _RIFF.unpack_from(data)[1] if len(data) >= _RIFF.size else 0
    chunks, at = dict[bytes, memoryview](), _RIFF.size
    while at + _CHUNK.size <= min(size, len(data)):
        kind, length = _CHUNK.unpack_from(data, at)
        at += _CHUNK.size
        chunks.setdefault(kind, data[at : at + length])
        at += length + length % 2
    if _FRAMES in chunks:
        return Header(0, 0, 0, size, "animated", chunks)
    if _LOSSY in chunks:
        return Header(0, 0, 0, size, "lossy", chunks)
    stream = chunks.get(_LOSSLESS, memoryview(b""))
    if len(stream) < _LOSSLESS_HEAD.size or stream[0] != _MAGIC:
        return Header(0, 0, 0, size, "damaged", chunks)
    _, bits = _LOSSLESS_HEAD.unpack_from(stream)
    width, height = (bits & _SIDE) + 1, (bits >> 14 & _SIDE) + 1
    canvas = (width - 1 | height - 1 << 24).to_bytes(_CANVAS.stop - _CANVAS.start, "little")
    if _EXTENDED in chunks and chunks[_EXTENDED][_CANVAS] != canvas:
        return Header(0, 0, 0, size, "damaged", chunks)
    return Header(width, height, 3 + (bits >> 28 & 1), size, "lossless", chunks)


def written_as_png(data: memoryview, header: Header) -> bytes | None:
    """A PNG file with the same pixels, colour profile, EXIF and XMP.

    Args:
        data: A file that holds one lossless picture, whose size may be borne.
        header: What `read` says of it.

    Returns:
        None if Pillow cannot decode it.

    Raises:
        MethodError: Pillow is not installed, or cannot read WebP files.
    """
    try:
        from PIL import Image, WebPImagePlugin, features

        able = features.check("webp")
    except ImportError:
        able = False
    if not able:
        raise MethodError(
            "pixels=only decodes WebP files by Pillow, which is not installed or was built "
            "without WebP: pip install 'nncomp[images]', or leave pixels=only out to keep the file"
        )
    try:
        # Not by `Image.open`, which warns of sizes that the caller has agreed to.
        with WebPImagePlugin.WebPImageFile(io.BytesIO(data)) as image:
            if image.size != (header.width, header.height) or image.mode not in ("RGB", "RGBA"):
                return None
            pixels = np.asarray(image)
    except (OSError, SyntaxError, ValueError, Image.DecompressionBombError):
        return None
    return png.new_file(pixels, _metadata(header.chunks))


def _metadata(chunks: dict[bytes, memoryview]) -> list[Chunk]:
    """The chunks of a PNG file that say the same."""
    found = []
    if profile := chunks.get(b"ICCP"):
        content = _PROFILE_NAME + b"\0\0" + zlib.compress(profile, 9)
        found.append(Chunk(b"iCCP", content))
    if exif := chunks.get(b"EXIF"):
        found.append(Chunk(b"eXIf", bytes(exif).removeprefix(_EXIF_PREFIX)))
    if xmp := chunks.get(b"XMP "):
        found.append(Chunk(b"iTXt", _XMP_NAME + bytes(5) + bytes(xmp)))
    return found
