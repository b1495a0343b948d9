"""Windows bitmaps of 8 (grey), 24 or 32 bits, without compression.

Source: https://learn.microsoft.com/windows/win32/gdi/bitmap-storage.
"""

from __future__ import annotations

import struct

from nncomp.codecs.image.formats import Found
from nncomp.codecs.image.layout import Layout
from nncomp.codecs.image.plates import Shape

__all__ = ["find"]

_HEAD = struct.Struct("<2sI4xIIiiHHI")
_CHANNELS = {8: 1, 24: 3, 32: 4}
_PLAIN = (0, 3)  # no compression; the same with masks of colours
_ALIGN = 4


def find(head: bytes) -> Found | None:
    """The samples of a file that begins like this, or None."""
    if len(head) < _HEAD.size:
        return None
    magic, _, start, size, width, height, _, bits, packing = _HEAD.unpack_from(head)
    known = magic == b"BM" and size >= 40 and bits in _CHANNELS and packing in _PLAIN
    if not known or width < 1 or height == 0 or start < _HEAD.size:
        return None
    shape = Shape(_CHANNELS[bits], 1, abs(height), width, 8)
    layout = Layout.plain(shape, align=_ALIGN)
    if shape.planes >= 3:  # blue, green, red
        layout = layout._replace(order=(1, 2, 0, 3)[: shape.planes])
    return Found(start, layout._replace(bottom_up=height > 0))
