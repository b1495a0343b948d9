"""Weights to frequencies: the only place where numbers become what the coder uses.

A model ends in integer weights, one row of 256 per byte to be coded. The coder needs
integer frequencies that are at least 1 (every byte stays possible) and sum to exactly
2**24:

    frequency = 1 + floor(weight * (2**24 - 256) / sum of the row's weights)

and what the floors leave over, less than 256, goes to the largest weight, the first of
them if several are equal. Two ways to the same integers stand side by side, for NumPy
arrays and for torch tensors on any device.

The compiled way divides in float64, because processors have vector instructions for
that. It is exact. Let a = weight * (2**24 - 256) < 2**47 and s = row sum <= 2**31; both
are integers below 2**53 and so have float64 values, and a / s rounds correctly. If s
divides a, the quotient is an integer and rounding leaves it alone. Otherwise let n be
the integer next above a / s. Rounding is monotonic, so it cannot fall below the integer
n - 1, and it can reach n only if n - a / s is at most half the spacing of float64
numbers just below n, which is less than n * 2**-53. But n - a / s >= 1 / s, and
n * s < a + s < 2**48, so 1 / s > n * 2**-48. The floor of the rounded quotient is the
floor of the quotient, on every machine whose division is correctly rounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.coding.jit import kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = [
    "BITS",
    "MAX_WEIGHT",
    "SYMBOLS",
    "fill_frequencies",
    "frequencies",
    "frequencies_torch",
]

SYMBOLS = 256
BITS = 24
MAX_WEIGHT = 1 << 23

_SHARED = (1 << BITS) - SYMBOLS  # what weights divide up, after each symbol got its 1


def frequencies(weights: NDArray[np.int32]) -> NDArray[np.int32]:
    """Frequencies of each row of weights.

    Args:
        weights: int32[n, 256], each from 0 to `MAX_WEIGHT`, no row all zero.

    Returns:
        int32[n, 256]: every entry at least 1, every row's sum exactly 2**BITS.

    Raises:
        TypeError: Not int32.
        ValueError: Another shape, a weight outside its range, or a row of zeros.

    >>> import numpy as np
    >>> weights = np.zeros((1, 256), np.int32)
    >>> weights[0, :3] = 1, 1, 2
    >>> frequencies(weights)[0, :4].tolist()
    [4194241, 4194241, 8388481, 1]
    """
    if weights.dtype != np.int32:
        raise TypeError(f"weights must be int32, not {weights.dtype}")
    if weights.ndim != 2 or weights.shape[1] != SYMBOLS:
        raise ValueError(f"weights must have the shape [n, {SYMBOLS}], not {weights.shape}")
    freqs = np.empty(weights.shape, np.int32)
    bad = fill_frequencies(np.ascontiguousarray(weights), freqs)
    if bad >= 0:
        raise ValueError(f"row {bad} of the weights is all zero or leaves 0..{MAX_WEIGHT}")
    return freqs


@kernel
def fill_frequencies(weights: NDArray[np.int32], freqs: NDArray[np.int32]) -> int:
    """Fill `freqs`; return -1, or the first row whose weights are not valid."""
    for row in range(weights.shape[0]):
        total = np.int64(0)
        lowest = np.int32(0)
        highest = np.int32(0)
        for symbol in range(SYMBOLS):
            weight = weights[row, symbol]
            total += weight
            lowest = min(lowest, weight)
            highest = max(highest, weight)
        if lowest < 0 or highest > MAX_WEIGHT or highest == 0:
            return row

        divisor = np.float64(total)
        left = np.int64(_SHARED)
        for symbol in range(SYMBOLS):
            share = np.int32(np.float64(weights[row, symbol]) * np.float64(_SHARED) / divisor)
            freqs[row, symbol] = share + 1
            left -= share

        largest = 0
        while weights[row, largest] != highest:
            largest += 1
        freqs[row, largest] += left
    return -1


def frequencies_torch(weights: Tensor) -> Tensor:
    """The same frequencies for a torch tensor, computed on its device.

    Integer operations only, so that no device's way with floating point matters. Unlike
    `frequencies` it trusts the values, since to look at them would make the host wait.

    Args:
        weights: int32[n, 256], each from 0 to `MAX_WEIGHT`, no row all zero.

    Returns:
        int32[n, 256] on the same device, bit for bit what `frequencies` returns.
    """
    import torch

    wide = weights.to(torch.int64)
    total = wide.sum(dim=1, keepdim=True)
    share = torch.div(wide * _SHARED, total, rounding_mode="floor")
    left = _SHARED - share.sum(dim=1, keepdim=True)
    largest = wide.argmax(dim=1, keepdim=True)  # documented: the first of equal ones
    return (share + 1).scatter_add_(1, largest, left).to(torch.int32)
