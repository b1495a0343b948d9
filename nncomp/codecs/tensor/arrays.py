"""Element-wise steps between numbers and byte planes, in NumPy.

This is their specification; `kernels.py` has the same functions compiled, with the same
results, and `ops` chooses. Elements are unsigned integers of 1, 2, 4 or 8 bytes holding
the bit patterns; `out` never overlaps an input.
"""

from __future__ import annotations

import sys
from collections.abc import Callable
from typing import TYPE_CHECKING, Any, Protocol, TypeAlias, cast

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.jit import compiled_module
from nncomp.coding.rans import decode_plane as decode_ans
from nncomp.coding.rans import encode_plane as encode_ans

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer

__all__ = [
    "UNSIGNED",
    "Array",
    "Ops",
    "decode_ans",
    "encode_ans",
    "join",
    "leave_zeros",
    "ops",
    "put_zeros",
    "rotate",
    "split",
    "unrotate",
    "unzigzag",
    "zigzag",
]

Array: TypeAlias = NDArray[Any]

UNSIGNED: dict[int, np.dtype[Any]] = {
    1: np.dtype("<u1"),
    2: np.dtype("<u2"),
    4: np.dtype("<u4"),
    8: np.dtype("<u8"),
}
"""Type of the bit patterns, by width in bytes."""

_TOP = 16  # the bits that are rotated: sign, exponent and what is left of two bytes


Literals: TypeAlias = Callable[[Array], bytes | None]
"""What `coding.literals.encode_literals` is."""


class Ops(Protocol):
    """The functions of this module, wherever they come from."""

    literals: Literals | None
    encode_ans: Callable[[Array], bytes]
    decode_ans: Callable[[Buffer, int], Array]
    rotate: Callable[[Array, Array], None]
    unrotate: Callable[[Array, Array], None]
    zigzag: Callable[[Array, Array], None]
    unzigzag: Callable[[Array, Array], None]
    split: Callable[[Array, Array], None]
    join: Callable[[list[Array], Array], None]
    leave_zeros: Callable[[Array], tuple[Array, Array]]
    put_zeros: Callable[[Array, Array, Array], None]


literals = None  # there is no such coder in NumPy; Zstandard itself serves as one


def rotate(x: Array, out: Array) -> None:
    """Rotate the top 16 bits of each element left by one.

    The sign moves behind exponent and upper mantissa, so that the exponent of bfloat16
    and float32 is one byte. Source: ZipNN (arXiv:2411.05239), section 3.
    """
    bits = 8 * x.itemsize
    low = (1 << bits - _TOP) - 1
    np.left_shift(x, 1, out=out)
    np.bitwise_and(out, (1 << bits) - 1 - (low << 1 | 1), out=out)
    sign = np.right_shift(x, bits - 1)
    np.left_shift(sign, bits - _TOP, out=sign)
    np.bitwise_or(out, sign, out=out)
    if low:
        np.bitwise_and(x, low, out=sign)
        np.bitwise_or(out, sign, out=out)


def unrotate(x: Array, out: Array) -> None:
    """The inverse of `rotate`."""
    bits = 8 * x.itemsize
    low = (1 << bits - _TOP) - 1
    np.right_shift(x, 1, out=out)
    np.bitwise_and(out, (1 << bits - 1) - 1 - low, out=out)
    rest = np.right_shift(x, bits - _TOP)
    np.left_shift(rest, bits - 1, out=rest)
    np.bitwise_or(out, rest, out=out)
    if low:
        np.bitwise_and(x, low, out=rest)
        np.bitwise_or(out, rest, out=out)


def zigzag(x: Array, out: Array) -> None:
    """Numbers near zero, of either sign, to small unsigned ones: 0, -1, 1, -2 to 0, 1, 2, 3."""
    signed = x.view(f"i{x.itemsize}")
    np.left_shift(x, 1, out=out)
    np.bitwise_xor(out, np.right_shift(signed, 8 * x.itemsize - 1).view(x.dtype), out=out)


def unzigzag(x: Array, out: Array) -> None:
    """The inverse of `zigzag`."""
    np.bitwise_and(x, 1, out=out)
    np.negative(out, out=out)
    np.bitwise_xor(out, np.right_shift(x, 1), out=out)


def split(x: Array, planes: Array) -> None:
    """Byte k of each element to row k of `planes` (width, elements), the lowest first."""
    np.copyto(planes[0], x, casting="unsafe")
    shifted = np.empty_like(x)
    for k in range(1, len(planes)):
        np.right_shift(x, 8 * k, out=shifted)
        np.copyto(planes[k], shifted, casting="unsafe")


def join(planes: list[Array], out: Array) -> None:
    """The inverse of `split`; the planes may lie anywhere."""
    if len(planes) > 4:  # with as many, strides are faster than shifts
        octets = out.view(np.uint8)
        for k, plane in enumerate(planes):
            octets[k :: len(planes)] = plane
        return
    np.copyto(out, planes[0])
    shifted = np.empty_like(out)
    for k in range(1, len(planes)):
        np.left_shift(planes[k], 8 * k, out=shifted, dtype=out.dtype, casting="unsafe")
        np.bitwise_or(out, shifted, out=out)


def leave_zeros(x: Array) -> tuple[Array, Array]:
    """A bitmap of the elements that are not 0, packed, the first lowest; and these elements."""
    others = x != 0
    return np.packbits(others, bitorder="little"), x[others]


def put_zeros(bitmap: Array, others: Array, out: Array) -> None:
    """The inverse of `leave_zeros`; `bitmap` has as many bits set as there are `others`."""
    out[:] = 0
    out[np.unpackbits(bitmap, count=len(out), bitorder="little").view(np.bool_)] = others


def ops(*, compiled: bool) -> Ops:
    """The functions to use, compiled if that is asked for and possible."""
    module = (compiled_module("nncomp.codecs.tensor.kernels") if compiled else None) or sys.modules[
        __name__
    ]
    return cast("Ops", module)
