"""The functions of arrays.py, compiled: the same results, several times as fast.

Constants and widths are written out, since the compiler makes vector code of loops with
constant shifts alone.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.coding.jit import kernel
from nncomp.coding.literals import encode_literals as literals
from nncomp.coding.rans_kernels import decode_plane as decode_ans
from nncomp.coding.rans_kernels import encode_plane as encode_ans

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncomp.codecs.tensor.arrays import Array

__all__ = [
    "decode_ans",
    "encode_ans",
    "join",
    "leave_zeros",
    "literals",
    "put_zeros",
    "rotate",
    "split",
    "unrotate",
    "unzigzag",
    "zigzag",
]


@kernel
def _rotate2(x: Array, out: Array) -> None:
    for i in range(len(x)):
        out[i] = np.uint16(x[i] << 1 | x[i] >> 15)


@kernel
def _rotate4(x: Array, out: Array) -> None:
    for i in range(len(x)):
        u = x[i]
        out[i] = np.uint32(u << 1 & 0xFFFE0000 | u >> 15 & 0x10000 | u & 0xFFFF)


@kernel
def _rotate8(x: Array, out: Array) -> None:
    top, sign, low = np.uint64(0xFFFE << 48), np.uint64(1 << 48), np.uint64((1 << 48) - 1)
    one, fifteen = np.uint64(1), np.uint64(15)
    for i in range(len(x)):
        u = x[i]
        out[i] = u << one & top | u >> fifteen & sign | u & low


@kernel
def _unrotate2(x: Array, out: Array) -> None:
    for i in range(len(x)):
        out[i] = np.uint16(x[i] >> 1 | x[i] << 15)


@kernel
def _unrotate4(x: Array, out: Array) -> None:
    for i in range(len(x)):
        u = x[i]
        out[i] = np.uint32(u >> 1 & 0x7FFF0000 | (u & 0x10000) << 15 | u & 0xFFFF)


@kernel
def _unrotate8(x: Array, out: Array) -> None:
    rest, sign, low = np.uint64(0x7FFF << 48), np.uint64(1 << 48), np.uint64((1 << 48) - 1)
    one, fifteen = np.uint64(1), np.uint64(15)
    for i in range(len(x)):
        u = x[i]
        out[i] = u >> one & rest | (u & sign) << fifteen | u & low


@kernel
def _zigzag(x: Array, signed: Array, out: Array, top: int) -> None:
    for i in range(len(x)):
        out[i] = x[i] << 1 ^ signed[i] >> top


@kernel
def _unzigzag(x: Array, out: Array) -> None:
    for i in range(len(x)):
        out[i] = x[i] >> 1 ^ -(x[i] & 1)


@kernel
def _split2(x: Array, a: Array, b: Array) -> None:
    for i in range(len(x)):
        a[i] = np.uint8(x[i])
        b[i] = np.uint8(x[i] >> 8)


@kernel
def _split4(x: Array, a: Array, b: Array, c: Array, d: Array) -> None:
    for i in range(len(x)):
        a[i] = np.uint8(x[i])
        b[i] = np.uint8(x[i] >> 8)
        c[i] = np.uint8(x[i] >> 16)
        d[i] = np.uint8(x[i] >> 24)


@kernel
def _split8(x: Array, planes: Array) -> None:
    for k in range(8):
        line = planes[k]
        shift = np.uint64(8 * k)
        for i in range(len(x)):
            line[i] = np.uint8(x[i] >> shift)


@kernel
def _join2(a: Array, b: Array, out: Array) -> None:
    for i in range(len(out)):
        out[i] = np.uint16(np.uint16(a[i]) | np.uint16(b[i]) << 8)


@kernel
def _join4(a: Array, b: Array, c: Array, d: Array, out: Array) -> None:
    for i in range(len(out)):
        low = np.uint32(a[i]) | np.uint32(b[i]) << 8
        out[i] = np.uint32(low | np.uint32(c[i]) << 16 | np.uint32(d[i]) << 24)


@kernel
def _add8(plane: Array, shift: int, out: Array) -> None:
    by = np.uint64(shift)
    for i in range(len(out)):
        out[i] |= np.uint64(plane[i]) << by


@kernel
def _leave_zeros(x: Array, bitmap: Array, others: Array) -> int:
    count = 0
    whole = len(x) // 8
    for octet in range(whole):
        bits = 0
        for k in range(8):
            # Written in any case: whether it stays is known without a branch.
            element = x[8 * octet + k]
            others[count] = element
            some = int(element != 0)
            count += some
            bits |= some << k
        bitmap[octet] = bits
    for i in range(8 * whole, len(x)):
        others[count] = x[i]
        some = int(x[i] != 0)
        count += some
        bitmap[whole] |= some << i % 8
    return count


@kernel
def _put_zeros(bitmap: Array, others: Array, out: Array) -> None:
    at = 0
    whole = len(out) // 8
    for octet in range(whole):
        bits = int(bitmap[octet])
        for k in range(8):
            some = bits >> k & 1
            out[8 * octet + k] = others[at] * some
            at += some
    for i in range(8 * whole, len(out)):
        some = int(bitmap[whole]) >> i % 8 & 1
        out[i] = others[at] * some
        at += some


_ROTATE: dict[int, Callable[[Array, Array], None]] = {2: _rotate2, 4: _rotate4, 8: _rotate8}
_UNROTATE: dict[int, Callable[[Array, Array], None]] = {
    2: _unrotate2,
    4: _unrotate4,
    8: _unrotate8,
}


def rotate(x: Array, out: Array) -> None:
    """See arrays.py."""
    _ROTATE[x.itemsize](x, out)


def unrotate(x: Array, out: Array) -> None:
    """See arrays.py."""
    _UNROTATE[x.itemsize](x, out)


def zigzag(x: Array, out: Array) -> None:
    """See arrays.py."""
    _zigzag(x, x.view(f"i{x.itemsize}"), out, 8 * x.itemsize - 1)


def unzigzag(x: Array, out: Array) -> None:
    """See arrays.py."""
    _unzigzag(x, out)


def split(x: Array, planes: Array) -> None:
    """See arrays.py."""
    if len(planes) == 2:
        _split2(x, *planes)
    elif len(planes) == 4:
        _split4(x, *planes)
    elif len(planes) == 8:
        _split8(x, planes)
    else:
        planes[0] = x


def leave_zeros(x: Array) -> tuple[Array, Array]:
    """See arrays.py."""
    bitmap = np.zeros(-(-len(x) // 8), np.uint8)
    others = np.empty(len(x) + 1, x.dtype)
    return bitmap, others[: _leave_zeros(x, bitmap, others)]


def put_zeros(bitmap: Array, others: Array, out: Array) -> None:
    """See arrays.py."""
    _put_zeros(bitmap, np.append(others, others.dtype.type(0)), out)


def join(planes: list[Array], out: Array) -> None:
    """See arrays.py."""
    if len(planes) == 2:
        _join2(planes[0], planes[1], out)
    elif len(planes) == 4:
        _join4(planes[0], planes[1], planes[2], planes[3], out)
    else:
        out[:] = planes[0]
        for k in range(1, len(planes)):
            _add8(planes[k], 8 * k, out)
