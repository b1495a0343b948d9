"""Machine code of x86: the targets of calls and jumps, from relative to absolute.

Five bytes E8 or E9, three bytes, 00 or FF are most often a call or a jump to so many bytes
further on, least significant byte first. With the place added, all calls of one function
read the same. Only the three bytes change, and bytes that were looked at are passed over,
so that the way back meets the same places.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.jit import bare_kernel

__all__ = ["is_machine_code", "make_absolute", "make_relative"]

Array = NDArray[Any]

_CALL = 5  # bytes
_OFTEN = 200  # at least one call in so many bytes


def is_machine_code(x: Array) -> bool:
    """Whether calls are as frequent as in programs; by chance they are 16,000 bytes apart."""
    first, last = x[: -_CALL + 1], x[_CALL - 1 :]
    calls = (first & 0xFE == 0xE8) & ((last == 0) | (last == 0xFF))
    return int(np.count_nonzero(calls)) * _OFTEN > len(x)


def make_absolute(x: Array) -> None:
    """Turn uint8[n] in place."""
    _turn(x, 1)


def make_relative(x: Array) -> None:
    """Undo `make_absolute` in place."""
    _turn(x, -1)


@bare_kernel
def _turn(x: Array, sign: int) -> None:
    at = 0
    while at + _CALL <= x.shape[0]:
        if x[at] & 0xFE == 0xE8 and (x[at + 4] == 0 or x[at + 4] == 0xFF):
            target = np.int64(x[at + 1]) | np.int64(x[at + 2]) << 8 | np.int64(x[at + 3]) << 16
            target += sign * at
            x[at + 1] = target & 0xFF
            x[at + 2] = target >> 8 & 0xFF
            x[at + 3] = target >> 16 & 0xFF
            at += _CALL
        else:
            at += 1
