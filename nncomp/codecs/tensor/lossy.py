"""Losing precision, only when asked, and never more than asked.

    abs=E    |y - x| <= E: rounded to multiples of the largest power of two <= 2 E
    rel=E    |y - x| <= E |x|: rounded to the fewest mantissa bits that hold it
    keep=N   rounded to N mantissa bits

The results have zeros where the mantissa was, which the planes of the codec then code in
next to no space. Every element is checked after rounding, and kept as it was where the
bound does not hold (overflow, denormal numbers); so are NaN and infinities with all their
bits. What follows no element type of floating point is not touched.

Source of the idea: ZipNN, tunable lossy compression (arXiv:2404.15198, section 4).
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.base import Param
from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.codecs.tensor.formats import format_of
from nncomp.errors import MethodError

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer, Params
    from nncomp.codecs.tensor.arrays import Array
    from nncomp.codecs.tensor.records import Record

__all__ = ["HEAD_SIZE", "PARAMS", "Loss", "check", "check_plain"]

PARAMS = (
    Param("abs", "float", 0.0, 0, 1e300, help="lossy: largest absolute error; 0: none"),
    Param("rel", "float", 0.0, 0, 0.5, help="lossy: largest relative error; 0: none"),
    Param("keep", "int", 0, 0, 52, help="lossy: mantissa bits to keep; 0: all"),
)

HEAD_SIZE = 4096
"""Bytes of a stream that tell a file format."""

_ROUNDED = 16 << 10  # elements at once: they become float64, several times
# Bytes and mantissa bits of the types that are rounded.
_TYPES = {
    "F16": (2, 10),
    "BF16": (2, 7),
    "F32": (4, 23),
    "C64": (4, 23),
    "F64": (8, 52),
    "C128": (8, 52),
}


def check(params: Params) -> None:
    """Refuse two kinds of loss at once, and bounds that are no numbers."""
    asked = [p.name for p in PARAMS if params[p.name] != 0]
    if len(asked) > 1:
        raise MethodError(f"{' and '.join(asked)} exclude each other: give one of them")


def check_plain(head: Buffer) -> None:
    """Refuse a file where plain numbers were told.

    Args:
        head: What the stream begins with.

    Raises:
        MethodError: It is of a known format: what stands around its numbers would be changed.
    """
    found = format_of(bytes(memoryview(head)[:HEAD_SIZE]))
    if found:
        raise MethodError(
            f"this is {found}, whose headers would be taken for numbers and changed: leave out "
            "shape= and dtype=, which are of numbers without a file format"
        )


@dataclass(frozen=True)
class Loss:
    """What may be lost.

    Attributes:
        absolute, relative: Bounds of the error; one of them is 0.
        bits: Mantissa bits to keep; 0: as the bounds say.
    """

    absolute: float
    relative: float
    bits: int

    @classmethod
    def of(cls, params: Params) -> Loss | None:
        """What the parameters allow; None where they allow nothing."""
        loss = cls(float(params["abs"]), float(params["rel"]), int(params["keep"]))
        return loss if loss.absolute or loss.relative or loss.bits else None

    def apply(self, record: Record) -> bytearray:
        """The content of a record, rounded; its own memory is left as it is."""
        out = bytearray(record.raw)
        start = 0
        for piece in record.pieces:
            if piece.floats in _TYPES:
                width, _ = _TYPES[piece.floats]
                x = np.frombuffer(out, UNSIGNED[width], piece.size // width, start)
                for some in np.split(x, range(_ROUNDED, len(x), _ROUNDED)):
                    some[:] = self.round(some, piece.floats)
            start += piece.size
        return out

    def round(self, x: Array, dtype: str) -> Array:
        """Bit patterns of a type, rounded."""
        with np.errstate(all="ignore"):  # what is no number, or not after this, is kept
            return self._round(x, dtype)

    def _round(self, x: Array, dtype: str) -> Array:
        _, mantissa = _TYPES[dtype]
        if self.absolute:
            y = _to_grid(x, dtype, self.absolute)
            good = _finite(y, dtype) & (_error(x, y, dtype) <= self.absolute)
        elif self.relative:
            # Half a unit of the last of n kept bits is 2^-(n + 1) of the value or less.
            kept = max(0, math.ceil(-math.log2(self.relative)) - 1)
            y = _shorten(x, mantissa, kept)
            # The product may have been rounded up; the number below it was not.
            bound = np.nextafter(self.relative * np.abs(_values(x, dtype)), 0)
            good = _finite(y, dtype) & (_error(x, y, dtype) <= bound)
        else:
            y = _shorten(x, mantissa, self.bits)
            good = _finite(y, dtype)
        rounded: Array = np.where(good & _finite(x, dtype), y, x)
        return rounded


def _values(x: Array, dtype: str) -> Array:
    """Bit patterns as float64, exactly."""
    if dtype == "BF16":
        values = (x.astype(np.uint32) << 16).view(np.float32)
    else:
        values = x.view(f"<f{x.itemsize}")
    return values.astype(np.float64)


def _patterns(values: Array, dtype: str) -> Array:
    """float64 values that the type has, as its bit patterns."""
    if dtype == "BF16":
        return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
    width, _ = _TYPES[dtype]
    return values.astype(f"<f{width}").view(UNSIGNED[width])


def _finite(x: Array, dtype: str) -> Array:
    finite: Array = np.isfinite(_values(x, dtype))
    return finite


def _error(x: Array, y: Array, dtype: str) -> Array:
    """|y - x|, which is exact: y is x with fewer bits, so that the difference is a float64."""
    error: Array = np.abs(_values(y, dtype) - _values(x, dtype))
    return error


def _to_grid(x: Array, dtype: str, bound: float) -> Array:
    step = 2.0 ** math.floor(math.log2(2 * bound))
    values = _values(x, dtype)
    rounded = np.rint(values / step) * step + 0.0  # + 0.0: no negative zeros
    return _patterns(rounded, dtype)


def _shorten(x: Array, mantissa: int, kept: int) -> Array:
    """Round the mantissa to `kept` bits; a carry goes into the exponent, as it should."""
    drop = mantissa - kept
    if drop <= 0:
        return x
    half = x.dtype.type(1 << drop - 1)
    mask = x.dtype.type(~((1 << drop) - 1) & (1 << 8 * x.itemsize) - 1)
    shortened: Array = (x + half) & mask
    return shortened
