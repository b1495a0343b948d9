"""NumPy's .npy: stacks of pictures, (N, H, W, C), (N, C, H, W), (H, W, C), (N, H, W) or (H, W).

Source: https://numpy.org/doc/stable/reference/generated/numpy.lib.format.html.
"""

from __future__ import annotations

import re
import struct

from nncomp.codecs.image.formats import Found
from nncomp.codecs.image.layout import Layout
from nncomp.codecs.image.plates import PLANES_MAX, Shape

__all__ = ["find", "stack"]

_MAGIC = b"\x93NUMPY"
_DESCR = re.compile(rb"'descr': *'([<>|])u([12])'")
_SHAPE = re.compile(rb"'shape': *\(([\d, ]*)\)")
_HEAD_MAX = 10_000


def find(head: bytes) -> Found | None:
    """The samples of a file that begins like this, or None."""
    if not head.startswith(_MAGIC) or len(head) < 12:
        return None
    if head[6] == 1:
        start = 10 + struct.unpack_from("<H", head, 8)[0]
    else:
        start = 12 + struct.unpack_from("<I", head, 8)[0]
    text = head[: min(start, _HEAD_MAX)]
    descr, shape = _DESCR.search(text), _SHAPE.search(text)
    if descr is None or shape is None or b"'fortran_order': False" not in text:
        return None
    sizes = [int(part) for part in shape[1].split(b",") if part.strip()]
    layout = stack(sizes, 8 * int(descr[2]), planar=None, big=descr[1] == b">")
    return None if layout is None else Found(start, layout)


def stack(sizes: list[int], depth: int, *, planar: bool | None, big: bool) -> Layout | None:
    """The layout of an array of pictures, or None if it is none.

    Args:
        sizes: Of its axes.
        depth: Bits of its numbers.
        planar: Whether channels stand before rows; None: as the sizes look.
        big: Whether the upper byte of a number is first.
    """
    if not 2 <= len(sizes) <= 4 or min(sizes) < 1:
        return None
    last, first = sizes[-1] <= PLANES_MAX, len(sizes) > 2 and sizes[-3] <= PLANES_MAX
    if planar is None:
        planar = len(sizes) == 4 and first and not last
    if planar:
        sizes = [1] * (4 - len(sizes)) + sizes
        frames, planes, height, width = sizes
    elif len(sizes) == 4 or (len(sizes) == 3 and last):
        frames, height, width, planes = [1] * (4 - len(sizes)) + sizes
    else:
        frames, height, width = [1] * (3 - len(sizes)) + sizes
        planes = 1
    if planes > PLANES_MAX:
        return None
    shape = Shape(planes, frames, height, width, depth)
    return Layout.plain(shape, planar=planar, big=big)
