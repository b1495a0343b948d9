"""What a neural network says of the next byte, as the bits ask for it.

A network gives every byte a frequency. Summed up over the bytes that begin with the same
bits, they tell how likely the next bit is a one. The sums are int64[512], a binary tree: all
bytes at 1, those whose first bit is b at 2 + b, and so on, byte v at 256 + v.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nncomp.coding.jit import bare_inline as inline

__all__ = ["NODES", "network_odds", "note_network"]

Array = NDArray[Any]

NODES = 512


@inline
def note_network(sums: Array, frequencies: Array) -> None:
    """Sum up int32[256] frequencies, none of them 0."""
    for k in range(256):
        sums[256 + k] = frequencies[k]
    for k in range(255, 0, -1):
        sums[k] = sums[2 * k] + sums[2 * k + 1]


@inline
def network_odds(sums: Array, partial: int) -> Any:
    """The probability, of 2**16, that a one follows the bits so far: 0 to 65535."""
    return (sums[2 * partial + 1] << 16) // sums[partial]
