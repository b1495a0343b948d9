"""The description of a Huffman tree in Zstandard frames: RFC 8878, sections 4.1.1 and 4.2.1.

The tree is told by a weight for each symbol: 0 for none, else the longest length plus one
minus the symbol's own. The weight of the last symbol follows from the others. The weights
are coded by FSE, finite state entropy, with two states in turn; or, if that is no smaller,
with four bits each.

All functions here become part of the kernel that calls them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.jit import inline

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["TREE_MAX", "put_tree"]

TREE_MAX = 1 + 128
"""Bytes that a description takes at most."""

_LOG = 6  # accuracy of the FSE table, the highest that there may be
_STATES = 1 << _LOG
_WEIGHTS = 13  # weights are below this: lengths of 11 bits, and 0
_DIRECT = 127  # added to the number of weights in the direct form, which has 128 at most


@inline
def put_tree(lengths: Array, out: Array, at: int) -> int:
    """Write the description at `out[at:]`; where it ends, or 0 if there is none.

    Args:
        lengths: Length of the code of each of 256 symbols, at least two of them not 0.
        out: Has `TREE_MAX` bytes there at least.
        at: Where to write.
    """
    most, last = 0, 0
    for s in range(256):
        if lengths[s]:
            most = max(most, lengths[s])
            last = s
    weights = np.zeros(256, np.int64)
    for s in range(last):
        if lengths[s]:
            weights[s] = most + 1 - lengths[s]
    bits = np.zeros(8 * 256 * 2, np.uint8)  # one bit in each: there are few
    count = _fse(weights[:last], bits)
    size = (count + 7) // 8
    if 0 < size < 128 and (last > 128 or size < (last + 1) // 2):
        out[at] = size
        for i in range(size):
            value = 0
            for k in range(8):
                value |= bits[8 * i + k] << k
            out[at + 1 + i] = value
        return at + 1 + size
    if last > 128:
        return 0
    out[at] = _DIRECT + last
    for i in range(0, last, 2):
        out[at + 1 + i // 2] = weights[i] << 4 | weights[i + 1]
    return at + 1 + (last + 1) // 2


@inline
def _add(bits: Array, count: int, size: int, value: int) -> int:
    """Append bits, the lowest first; how many there are."""
    for k in range(size):
        bits[count + k] = value >> k & 1
    return count + size


@inline
def _fse(weights: Array, bits: Array) -> int:
    """Write table and states; how many bits, or 0 if this form is not for these weights."""
    shares = np.zeros(_WEIGHTS, np.int64)
    for weight in weights:
        shares[weight] += 1
    if len(weights) < 2 or shares.max() == len(weights):
        return 0
    _normalise(shares, len(weights))
    count = _put_shares(shares, bits)
    return _put_weights(weights, shares, bits, count)


@inline
def _normalise(shares: Array, total: int) -> None:
    """Scale counts to a sum of `_STATES`, none of them to nothing."""
    left = _STATES
    largest = 0
    for w in range(_WEIGHTS):
        if shares[w]:
            shares[w] = max(1, (shares[w] * _STATES + total // 2) // total)
            left -= shares[w]
            if shares[w] > shares[largest]:
                largest = w
    shares[largest] += left  # at most 12 others are rounded: it stays positive


@inline
def _put_shares(shares: Array, bits: Array) -> int:
    """Write the table of probabilities; ends at a whole byte. How many bits."""
    count = _add(bits, 0, 4, _LOG - 5)
    left = _STATES
    w = 0
    while left > 0:
        size = 1
        while left + 1 >> size:
            size += 1
        # Values below `short` take a bit less, those that have no room beside them move up.
        short = (1 << size) - 1 - (left + 1)
        value = shares[w] + 1
        if value < short:
            count = _add(bits, count, size - 1, value)
        elif value < 1 << size - 1:
            count = _add(bits, count, size, value)
        else:
            count = _add(bits, count, size, value + short)
        left -= shares[w]
        w += 1
        if shares[w - 1] == 0:
            zeros = 0
            while shares[w + zeros] == 0:
                zeros += 1
            w += zeros
            while zeros >= 3:
                count = _add(bits, count, 2, 3)
                zeros -= 3
            count = _add(bits, count, 2, zeros)
    return (count + 7) // 8 * 8


@inline
def _put_weights(weights: Array, shares: Array, bits: Array, count: int) -> int:
    """Write the weights, the last first, by two states in turn; how many bits in all."""
    table, delta_bits, delta_state = _tables(shares)
    states = np.zeros(2, np.int64)
    n = len(weights)
    for i in range(n - 1, -1, -1):
        weight, which = weights[i], i & 1
        if i >= n - 2:  # each state begins with a symbol, at no cost
            size = delta_bits[weight] + (1 << 15) >> 16
            value = (size << 16) - delta_bits[weight]
        else:
            value = states[which]
            size = value + delta_bits[weight] >> 16
            count = _add(bits, count, size, value & (1 << size) - 1)
        states[which] = table[(value >> size) + delta_state[weight]]
    count = _add(bits, count, _LOG, states[1] & _STATES - 1)
    count = _add(bits, count, _LOG, states[0] & _STATES - 1)
    return _add(bits, count, 1, 1)


@inline
def _tables(shares: Array) -> tuple[Array, Array, Array]:
    """For coding a symbol in a state: next states; bits and place in them, by symbol."""
    spread = np.zeros(_STATES, np.int64)
    at = 0
    for w in range(_WEIGHTS):
        for _ in range(shares[w]):
            spread[at] = w
            at = at + (_STATES >> 1) + (_STATES >> 3) + 3 & _STATES - 1
    starts = np.zeros(_WEIGHTS, np.int64)
    delta_bits = np.zeros(_WEIGHTS, np.int64)
    delta_state = np.zeros(_WEIGHTS, np.int64)
    total = 0
    for w in range(_WEIGHTS):
        starts[w] = total
        if shares[w] == 1:
            delta_bits[w] = (_LOG << 16) - _STATES
            delta_state[w] = total - 1
        elif shares[w] > 1:
            most = _LOG
            while shares[w] - 1 >> _LOG - most + 1:
                most -= 1
            delta_bits[w] = (most << 16) - (shares[w] << most)
            delta_state[w] = total - shares[w]
        total += shares[w]
    table = np.zeros(_STATES, np.int64)
    for u in range(_STATES):
        table[starts[spread[u]]] = _STATES + u
        starts[spread[u]] += 1
    return table, delta_bits, delta_state
