"""Mixing: stretched predictions, weighed by sets of weights that contexts choose.

Each of several mixers has int32 weights, 2**18 for one, in rows of one array; a context
chooses its row. Its output is the weighted sum. A last mixer weighs the outputs, in rows
chosen by the bits of the byte so far. Each mixer learns on its own to make the coded bit
cheaper: weight += rate * input * (bit - probability).

All sums have 32 bits, so that a processor does many at a time: a weight of 64 and a sum of
64 times the largest input still fit, and what would not fit wraps around.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.tables import LIMIT, OUTER
from nncomp.coding.jit import bare_inline as inline

__all__ = ["Mixer", "mix", "mixer", "train"]

Array = NDArray[Any]

_FIRST = 20000  # of 2**18: there are many inputs
_LANES = 8  # rows are filled up to whole vectors of the processor


class Mixer(NamedTuple):
    """The weights, and what the last call of `mix` left for `train`.

    Attributes:
        inputs: int32[width], stretched predictions; from outside.
        chosen: int64[sets + 1], the row of each set, from outside; place of the last mixer's.
        weights: int32[rows, width].
        last: int32[256 * sets], the last mixer's.
        outputs: int32[sets], stretched.
        squash: See `tables`.
    """

    inputs: Array
    chosen: Array
    weights: Array
    last: Array
    outputs: Array
    squash: Array


def mixer(inputs: int, rows: int, sets: int, squash: Array) -> Mixer:
    """A mixer that averages, more or less."""
    width = -(-inputs // _LANES) * _LANES
    return Mixer(
        np.zeros(width, np.int32),
        np.zeros(sets + 1, np.int64),
        np.full((rows, width), _FIRST, np.int32),
        np.full(256 * sets, 65536 // sets, np.int32),
        np.zeros(sets, np.int32),
        squash,
    )


@inline
def mix(m: Mixer, partial: int) -> Any:
    """The mixed prediction, stretched."""
    x = m.inputs
    sets = m.outputs.shape[0]
    total: Any
    for k in range(sets):
        w = m.weights[m.chosen[k]]
        dot = np.int32(0)
        for i in range(x.shape[0]):
            dot = np.int32(dot + np.int32(x[i] * np.int32(w[i] >> 4)))
        m.outputs[k] = min(max(dot >> 14, -LIMIT), LIMIT)
    m.chosen[sets] = partial * sets
    total = 0
    for k in range(sets):
        total += np.int64(m.outputs[k]) * np.int64(m.last[partial * sets + k])
    return min(max(total >> 16, -OUTER), OUTER)


@inline
def train(m: Mixer, p: int, bit: int, rate: int) -> None:
    """Learn from the bit; `p` is what the last mixer gave it."""
    x = m.inputs
    sets = m.outputs.shape[0]
    target = bit << 16
    for k in range(sets):
        step = np.int32((target - m.squash[m.outputs[k] + OUTER]) * rate >> 4)
        w = m.weights[m.chosen[k]]
        for i in range(x.shape[0]):
            w[i] += np.int32(np.int32(np.int32(x[i] * step) + np.int32(0x2000)) >> np.int32(14))
    error = target - p >> 1
    row = m.chosen[sets]
    for k in range(sets):
        m.last[row + k] += (m.outputs[k] * error + 0x8000) >> 16
