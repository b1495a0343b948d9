"""Initial weights that are the same on every machine.

torch's own generators are specified neither across versions nor devices, and go
through vendor log and cos. Here a 64-bit counter hash (SplitMix64, Steele et al. 2014)
gives four 16-bit integers, whose sum is close enough to normal.
"""

from __future__ import annotations

from math import prod, sqrt
from typing import TYPE_CHECKING

import numpy as np
import torch

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from torch import Tensor

__all__ = ["Init"]

# Standard deviation of a sum of four uniform 16-bit integers.
_DEVIATION = sqrt(4 * (65536.0**2 - 1) / 12)
# Drawn at a time: a draw takes ten times the memory of what it gives.
_PIECE = 1 << 18


class Init:
    """Draws tensors one after the other from one seed.

    Args:
        std: Standard deviation where none is given.
        seed: Start of the counter.
    """

    def __init__(self, std: float, seed: int = 0) -> None:
        self._std = std
        self._next = np.uint64(seed)

    def normal(self, *shape: int, std: float | None = None) -> Tensor:
        """float32 of this shape, mean 0, the given deviation, no value beyond 3.5 of it."""
        factor = np.float32((self._std if std is None else std) / (2 * _DEVIATION))
        values = np.empty(prod(shape), np.float32)
        for start in range(0, len(values), _PIECE):
            piece = values[start : start + _PIECE]
            np.multiply(self._centred(len(piece)), factor, out=piece)
        return torch.from_numpy(values).view(shape)

    def _centred(self, count: int) -> NDArray[np.float32]:
        """Sums of four uniform integers, times two, less their mean."""
        z = np.arange(1, count + 1, dtype=np.uint64) * np.uint64(0x9E3779B97F4A7C15) + self._next
        self._next = z[-1]
        z = (z ^ (z >> np.uint64(30))) * np.uint64(0xBF58476D1CE4E5B9)
        z = (z ^ (z >> np.uint64(27))) * np.uint64(0x94D049BB133111EB)
        z ^= z >> np.uint64(31)
        parts = z.view(np.uint16).reshape(count, 4).astype(np.int32)
        centred: NDArray[np.int64] = 2 * parts.sum(axis=1) - 4 * 65535
        result: NDArray[np.float32] = centred.astype(np.float32)
        return result
