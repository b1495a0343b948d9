"""Binary arithmetic coder: bits to bytes, for kernels that predict bit by bit.

The coder keeps an interval [low, high] of 32-bit numbers. Each bit cuts it in two, in
proportion to the probability of a one, of 16 bits; leading bytes that both ends agree on
are written. Such an interval may get narrow while its ends differ in the first byte; the
cut is kept inside it, so that this costs size (never correctness), and rarely.

Everything is inline, for loops that know the next probability only after the bit before.
The state is int64[4]: low, high, position in the coded bytes, and the decoder's number.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.jit import bare_inline as inline

__all__ = ["AHEAD", "ROOM", "coder_state", "decode_bit", "encode_bit", "finish_bits", "start_bits"]

Array = NDArray[Any]

AHEAD = 4
"""Bytes that a decoder reads beyond the ones that it has used up."""

ROOM = 40
"""Bytes that coding a byte may take: 8 bits of 32, and the last."""

_TOP = 0xFFFFFFFF


def coder_state() -> Array:
    """A fresh state."""
    return np.array([0, _TOP, 0, 0], np.int64)


@inline
def _cut(state: Array, p: int) -> Any:
    """The last number of the lower part, the one of bit 1, which has p / 65536 of all."""
    width = state[1] - state[0]
    return state[0] + (width >> 16) * p + ((width & 0xFFFF) * p >> 16)


@inline
def encode_bit(state: Array, out: Array, bit: int, p: int) -> None:
    """Code a bit whose probability to be one is p / 65536, 0 < p < 65536.

    `out` must have room for four bytes more for each bit.
    """
    cut = _cut(state, p)
    if bit:
        state[1] = cut
    else:
        state[0] = cut + 1
    while (state[0] ^ state[1]) & 0xFF000000 == 0:
        out[state[2]] = state[1] >> 24
        state[2] += 1
        state[0] = state[0] << 8 & _TOP
        state[1] = (state[1] << 8 & _TOP) | 0xFF


@inline
def finish_bits(state: Array, out: Array) -> None:
    """Write what tells the last interval from others; a decoder reads zeros after it."""
    if state[0]:
        out[state[2]] = (state[0] >> 24) + 1
        state[2] += 1


@inline
def start_bits(state: Array, coded: Array) -> None:
    """Read the first bytes."""
    for _ in range(AHEAD):
        _read(state, coded)


@inline
def _read(state: Array, coded: Array) -> None:
    byte = np.int64(coded[state[2]]) if state[2] < coded.shape[0] else 0
    state[3] = (state[3] << 8 & _TOP) | byte
    state[2] += 1


@inline
def decode_bit(state: Array, coded: Array, p: int) -> int:
    """The inverse of `encode_bit`."""
    cut = _cut(state, p)
    bit = 1 if state[3] <= cut else 0
    if bit:
        state[1] = cut
    else:
        state[0] = cut + 1
    while (state[0] ^ state[1]) & 0xFF000000 == 0:
        state[0] = state[0] << 8 & _TOP
        state[1] = (state[1] << 8 & _TOP) | 0xFF
        _read(state, coded)
    return bit
