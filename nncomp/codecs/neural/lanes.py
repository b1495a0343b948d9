"""Cutting a block into lanes that are coded side by side.

Lane l is a contiguous piece of the block; the first lanes are one byte longer where
the size does not divide. Coding order is step by step, and lane by lane within a step;
the last step may have fewer lanes.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

__all__ = ["Layout"]


@dataclass(frozen=True)
class Layout:
    """How `size` bytes lie in `lanes` lanes."""

    size: int
    lanes: int

    @property
    def steps(self) -> int:
        """Bytes of the longest lane."""
        return -(-self.size // self.lanes)

    @property
    def starts(self) -> list[int]:
        """Where in the block each lane begins."""
        full, longer = divmod(self.size, self.lanes)
        return [lane * full + min(lane, longer) for lane in range(self.lanes)]

    def active(self, step: int) -> int:
        """How many lanes have a byte at this step."""
        full = self.size // self.lanes
        return self.lanes if step < full else self.size - full * self.lanes

    def coded(self, start: int, stop: int) -> int:
        """How many bytes the steps start..stop code."""
        return min(stop * self.lanes, self.size) - min(start * self.lanes, self.size)

    def split(self, data: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """uint8[size] to uint8[lanes, steps]; short lanes end in a zero that is not coded."""
        full, longer = divmod(self.size, self.lanes)
        matrix = np.zeros((self.lanes, self.steps), np.uint8)
        head = longer * (full + 1)
        if longer:
            matrix[:longer] = data[:head].reshape(longer, full + 1)
        matrix[longer:, :full] = data[head:].reshape(self.lanes - longer, full)
        return matrix

    def join(self, matrix: NDArray[np.uint8]) -> NDArray[np.uint8]:
        """The inverse of `split`."""
        full, longer = divmod(self.size, self.lanes)
        return np.concatenate((matrix[:longer].reshape(-1), matrix[longer:, :full].reshape(-1)))
