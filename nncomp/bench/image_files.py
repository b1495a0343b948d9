"""The pixels of files, for `bench images`."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nncomp.errors import FileError, UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["Array", "Stack", "load", "pixels_of"]

Array: TypeAlias = NDArray[Any]

_LINES_MAX = 1 << 30  # bytes that a PNG file may decode to


class Stack(NamedTuple):
    """Pictures of one shape.

    Attributes:
        name: Of their file.
        pixels: uint8 or uint16 [frames, height, width, channels].
        file: Bytes of their file.
    """

    name: str
    pixels: Array
    file: int


def load(path: Path, shape: str = "auto", *, planar: bool = False, depth: int = 8) -> Stack:
    """The pixels of a file: PNG, Netpbm, BMP, .npy, or plain ones of a shape that is told.

    Raises:
        UsageError: The shape is none.
        FileError: It holds no pixels that are known.
    """
    data = path.read_bytes()
    pixels = pixels_of(data, str(path), shape, planar=planar, depth=depth)
    return Stack(path.name, pixels, len(data))


def pixels_of(
    data: bytes, name: str, shape: str = "auto", *, planar: bool = False, depth: int = 8
) -> Array:
    """As `load`, of the bytes of a file: uint8 or uint16 [frames, height, width, channels]."""
    from nncomp.codecs.image.formats import Found, bmp, netpbm, npy, png

    found = png.pixels(memoryview(data), _LINES_MAX)
    if found is not None:
        content, layout = found
    else:
        place = netpbm.find(data) or bmp.find(data) or npy.find(data)
        if place is None and shape != "auto":
            sizes = [int(part) for part in shape.split("x") if part.isdecimal()]
            if len(sizes) != shape.count("x") + 1:
                raise UsageError(f"--shape {shape} is not valid: expected sizes like 10x32x32x3")
            told = npy.stack(sizes, depth, planar=planar, big=False)
            place = None if told is None else Found(0, told)
        if place is None or place.start + place.layout.size > len(data):
            raise FileError(
                f"{name} holds no picture that is known, or a damaged one: PNG (not interlaced), "
                "PGM, PPM, PAM, BMP and .npy are; --shape tells how plain pixels lie"
            )
        layout = place.layout
        content = np.frombuffer(data, np.uint8)[place.start : place.start + layout.size]
    samples = layout.read(content)
    if samples is None:
        raise FileError(f"{name} holds samples that are out of range")
    return np.ascontiguousarray(samples[np.argsort(layout.order)].transpose(1, 2, 3, 0))
