"""Pictures in memory as kernels want them: centred samples with margins around.

A picture is planes x frames x height x width samples of some bits. Samples are centred (less
half of their range), so that they fit 16 bits with a sign, and stand in one flat array per
picture, whose planes follow one another. Every frame has rows above (zeros), one row below
(its last row again) and columns on both sides: on the left the first sample of the row above,
on the right the last sample of the row itself. So neighbours need no case distinctions, and
a neighbour is a constant distance.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "ABOVE",
    "DEPTHS",
    "PLANES_MAX",
    "SIDE",
    "Array",
    "Shape",
    "blank",
    "fill_margins",
    "inner",
    "join_plates",
    "make_plates",
]

Array = NDArray[Any]

SIDE = 3
"""Columns of margin, on each side."""
ABOVE = 3
"""Rows of margin above a frame."""
_BELOW = 1
PLANES_MAX = 4
DEPTHS = (1, 2, 4, 8, 16)


class Shape(NamedTuple):
    """What a picture measures; many pictures of one shape are the frames of one.

    Attributes:
        planes: Of colour, and of opacity.
        frames: Pictures.
        height, width: Of each, at least 1.
        depth: Bits of a sample: 1, 2, 4, 8 or 16.
    """

    planes: int
    frames: int
    height: int
    width: int
    depth: int

    @property
    def samples(self) -> int:
        """Samples in all."""
        return self.planes * self.frames * self.height * self.width

    @property
    def stride(self) -> int:
        """Samples from a row to the next, with margins."""
        return self.width + 2 * SIDE

    @property
    def frame(self) -> int:
        """Samples of a frame of one plane, with margins."""
        return (self.height + ABOVE + _BELOW) * self.stride

    @property
    def plate(self) -> int:
        """Samples of a plane, with margins."""
        return self.frames * self.frame

    @property
    def half(self) -> int:
        """What is taken from samples to centre them."""
        return 1 << self.depth - 1

    def blocks(self, log: int) -> tuple[int, int]:
        """Rows and columns of blocks of 2^log pixels; frames stand below one another."""
        return self.frames * (self.height - 1 >> log) + self.frames, (self.width - 1 >> log) + 1

    def numbers(self) -> Array:
        """For kernels: frames, height, width, stride, frame, plate, half."""
        values = (self.frames, self.height, self.width, self.stride, self.frame, self.plate)
        return np.array([*values, self.half], np.int64)


def blank(shape: Shape) -> Array:
    """Plates of nothing but zeros, int16[planes * plate]."""
    return np.zeros(shape.planes * shape.plate, np.int16)


def inner(plates: Array, shape: Shape) -> Array:
    """The samples in plates, without margins: a view [planes, frames, height, width]."""
    rows = shape.height + ABOVE + _BELOW
    full = plates.reshape(shape.planes, shape.frames, rows, shape.stride)
    return full[:, :, ABOVE : ABOVE + shape.height, SIDE : SIDE + shape.width]


def make_plates(samples: Array, shape: Shape) -> Array:
    """Plates of samples.

    Args:
        samples: uint8 or uint16 [planes, frames, height, width].
        shape: Theirs.
    """
    plates = blank(shape)
    np.subtract(samples, shape.half, out=inner(plates, shape), dtype=np.int32, casting="unsafe")
    fill_margins(plates, shape)
    return plates


def fill_margins(plates: Array, shape: Shape) -> None:
    """Write all margins; rows above stay as they are."""
    rows = shape.height + ABOVE + _BELOW
    full = plates.reshape(shape.planes * shape.frames, rows, shape.stride)
    last = ABOVE + shape.height
    full[:, ABOVE + 1 : last, :SIDE] = full[:, ABOVE : last - 1, SIDE : SIDE + 1]
    full[:, ABOVE:last, -SIDE:] = full[:, ABOVE:last, -SIDE - 1 : -SIDE]
    full[:, last] = full[:, last - 1]


def join_plates(plates: Array, shape: Shape) -> Array:
    """The inverse of `make_plates`: uint8 or uint16 [planes, frames, height, width]."""
    samples = inner(plates, shape).astype(np.int32) + shape.half
    return samples.astype(np.uint8 if shape.depth <= 8 else np.uint16)
