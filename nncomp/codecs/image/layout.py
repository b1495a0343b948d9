"""How the samples of pictures lie in bytes."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np

from nncomp.codecs.image.plates import DEPTHS, PLANES_MAX, Array, Shape
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

__all__ = ["Layout"]

_PLANAR, _BIG, _REVERSED = 1, 2, 4  # flags
_LITTLE_ROOM = 1 << 16  # samples that margins may have at least
_GREEN_FIRST = {3: (1, 0, 2), 4: (1, 0, 2, 3)}


class Layout(NamedTuple):
    """Pictures in bytes: rows of pixels, or of planes, padded with zeros.

    Attributes:
        shape: Of the pictures.
        order: Which channel of a pixel each plane is.
        planar: Whether each channel of a frame stands alone.
        big: Whether the upper byte of a sample is first.
        bottom_up: Whether the last row of a frame is first.
        row: Bytes of a row, of one channel if they stand alone.
    """

    shape: Shape
    order: tuple[int, ...]
    planar: bool
    big: bool
    bottom_up: bool
    row: int

    @classmethod
    def plain(
        cls, shape: Shape, *, planar: bool = False, big: bool = False, align: int = 1
    ) -> Layout:
        """Rows one after another, colours red, green, blue.

        Args:
            shape: Of the pictures.
            planar: See above.
            big: See above.
            align: What rows are padded to.
        """
        order = _GREEN_FIRST.get(shape.planes, tuple(range(shape.planes)))
        row = _row_bytes(shape, planar)
        return cls(shape, order, planar, big, False, -(-row // align) * align)

    @property
    def size(self) -> int:
        """Bytes of all frames."""
        return self.row * self._rows

    @property
    def _rows(self) -> int:
        shape = self.shape
        return shape.frames * shape.height * (shape.planes if self.planar else 1)

    @property
    def fits(self) -> bool:
        """Whether margins are no larger than pictures, so that memory is bounded."""
        shape = self.shape
        return (
            1 <= shape.planes <= PLANES_MAX
            and shape.depth in DEPTHS
            and min(shape.frames, shape.height, shape.width) >= 1
            and shape.planes * shape.plate <= 2 * shape.samples + _LITTLE_ROOM
            and _row_bytes(shape, self.planar) <= self.row
            and sorted(self.order) == list(range(shape.planes))
        )

    def read(self, content: Array) -> Array | None:
        """Samples uint8 or uint16 [planes, frames, height, width].

        Args:
            content: uint8[size].

        Returns:
            None if samples are out of range or padding is not zero: `write` would not give
            the same bytes.
        """
        shape = self.shape
        rows = content.reshape(self._rows, self.row)
        used = _row_bytes(shape, self.planar)
        if rows[:, used:].any():
            return None
        rows = rows[:, :used]
        across = shape.width * (1 if self.planar else shape.planes)
        if shape.depth in (1, 2, 4):
            bits = np.unpackbits(rows, axis=1).reshape(len(rows), -1, shape.depth)
            powers = 1 << np.arange(shape.depth)[::-1].astype(np.uint8)
            flat = (bits * powers).sum(2, dtype=np.uint8)
            if flat[:, across:].any():
                return None
            flat = flat[:, :across]
        elif shape.depth > 8:
            kind = ">u2" if self.big else "<u2"
            flat = np.ascontiguousarray(rows).view(kind).astype(np.uint16)
        else:
            flat = rows
        return np.ascontiguousarray(self._to_planes(flat))

    def _to_planes(self, flat: Array) -> Array:
        frames, height, width = self.shape[1:4]
        if self.planar:
            cube = flat.reshape(frames, self.shape.planes, height, width).swapaxes(0, 1)
        else:
            cube = flat.reshape(frames, height, width, -1).transpose(3, 0, 1, 2)
        cube = cube[list(self.order)]
        return cube[:, :, ::-1] if self.bottom_up else cube

    def write(self, samples: Array) -> Array:
        """The inverse of `read`: uint8[size]."""
        shape = self.shape
        cube = samples[:, :, ::-1] if self.bottom_up else samples
        cube = cube[np.argsort(self.order)]
        moved = cube.swapaxes(0, 1) if self.planar else cube.transpose(1, 2, 3, 0)
        flat = np.ascontiguousarray(moved).reshape(self._rows, -1)
        if shape.depth in (1, 2, 4):
            shifts = np.arange(shape.depth)[::-1].astype(np.uint8)
            bits = (flat[:, :, None] >> shifts & 1).reshape(len(flat), -1)
            rows = np.packbits(bits, axis=1)
        elif shape.depth > 8:
            rows = flat.astype(">u2" if self.big else "<u2").view(np.uint8)
        else:
            rows = flat
        out = np.zeros((self._rows, self.row), np.uint8)
        out[:, : rows.shape[1]] = rows
        return out.ravel()

    def pack(self) -> bytes:
        """As bytes: planes, depth, flags, order, frames, height, width, padding of rows."""
        shape = self.shape
        flags = _PLANAR * self.planar | _BIG * self.big | _REVERSED * self.bottom_up
        numbers = shape.frames, shape.height, shape.width
        padding = self.row - _row_bytes(shape, self.planar)
        head = bytes([shape.planes, shape.depth, flags, *self.order])
        return head + b"".join(pack_varint(number) for number in (*numbers, padding))

    @classmethod
    def unpack(cls, text: Text, most: int) -> Layout:
        """Read what `pack` writes.

        Args:
            text: Where it stands.
            most: Bytes that pictures may have.
        """
        planes, depth, flags = text.take(3)
        order = tuple(text.take(min(planes, PLANES_MAX)))
        frames, height, width, padding = (unpack_varint(text) for _ in range(4))
        large = max(frames, height, width, padding, planes * frames * height * width) > most
        if large or flags > 7 or planes > PLANES_MAX or depth not in DEPTHS:
            raise CorruptError("pictures are larger than what they are in", offset=text.offset)
        shape = Shape(planes, frames, height, width, depth)
        planar = bool(flags & _PLANAR)
        row = _row_bytes(shape, planar) + padding
        layout = cls(shape, order, planar, bool(flags & _BIG), bool(flags & _REVERSED), row)
        if not layout.fits or layout.size > most:
            raise CorruptError("pictures have a shape that there is not", offset=text.offset)
        return layout


def _row_bytes(shape: Shape, planar: bool) -> int:
    """Bytes of a row without padding."""
    bits = shape.depth if shape.depth in (1, 2, 4) else -(-shape.depth // 8) * 8
    return (shape.width * (1 if planar else shape.planes) * bits + 7) // 8
