"""Mixing: stretched predictions, weighed by sets of weights that contexts choose.

Each of several mixers has int32 weights, 2**18 for one, in rows of one array; a context
chooses its row. Its output is the weighted sum. Two last mixers weigh the outputs, again
in rows that contexts choose, and the mean of both is the result. Each mixer learns on its
own to make the coded bit cheaper: weight += rate * input * (bit - probability).

All sums have 32 bits, so that a processor does many at a time: a weight of 64 and a sum of
64 times the largest input still fit, and what would not fit wraps around.
"""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.tables import LIMIT, OUTER
from nncomp.coding.jit import bare_inline as inline

__all__ = ["LAST", "Mixer", "mix", "mixer", "train"]

Array = NDArray[Any]

LAST = 2
"""How many last mixers there are."""

_FIRST = 20000  # of 2**18: there are many inputs
_LANES = 8  # rows are filled up to whole vectors of the processor


class Mixer(NamedTuple):
    """The weights, and what the last call of `mix` left for `train`.

    Attributes:
        inputs: int32[width], stretched predictions; from outside.
        chosen: int64[sets + LAST], the row of each mixer; from outside.
        weights: int32[rows, width].
        last: int32[rows, sets], the last mixers', 2**16 for one.
        outputs: int32[sets + LAST], stretched.
        squash: See `tables`.
    """

    inputs: Array
    chosen: Array
    weights: Array
    last: Array
    outputs: Array
    squash: Array


def mixer(inputs: int, rows: int, last_rows: int, sets: int, squash: Array) -> Mixer:
    """A mixer that averages, more or less."""
    width = -(-inputs // _LANES) * _LANES
    return Mixer(
        np.zeros(width, np.int32),
        np.zeros(sets + LAST, np.int64),
        np.full((rows, width), _FIRST, np.int32),
        np.full((last_rows, sets), 65536 // sets, np.int32),
        np.zeros(sets + LAST, np.int32),
        squash,
    )


@inline
def mix(m: Mixer) -> Any:
    """The mixed prediction, stretched."""
    x = m.inputs
    sets = m.last.shape[1]
    total: Any
    for k in range(sets):
        w = m.weights[m.chosen[k]]
        dot = np.int32(0)
        for i in range(x.shape[0]):
            dot = np.int32(dot + np.int32(x[i] * np.int32(w[i] >> 4)))
        m.outputs[k] = min(max(dot >> 14, -LIMIT), LIMIT)
    mixed = 0
    for k in range(sets, sets + LAST):
        w = m.last[m.chosen[k]]
        total = 0
        for i in range(sets):
            total += np.int64(m.outputs[i]) * np.int64(w[i])
        m.outputs[k] = min(max(total >> 16, -OUTER), OUTER)
        mixed += m.outputs[k]
    return mixed // LAST


@inline
def train(m: Mixer, bit: int, rate: int) -> None:
    """Learn from the bit."""
    x = m.inputs
    sets = m.last.shape[1]
    target = bit << 16
    for k in range(sets):
        if m.outputs[k] == (LIMIT if bit else -LIMIT):
            continue  # right, and as sure as can be: larger weights would only overflow
        step = np.int32((target - m.squash[m.outputs[k] + OUTER]) * rate >> 4)
        w = m.weights[m.chosen[k]]
        for i in range(x.shape[0]):
            w[i] += np.int32(np.int32(np.int32(x[i] * step) + np.int32(0x2000)) >> np.int32(14))
    for k in range(sets, sets + LAST):
        error = target - m.squash[m.outputs[k] + OUTER] >> 1
        w = m.last[m.chosen[k]]
        for i in range(sets):
            w[i] += (m.outputs[i] * error + 0x8000) >> 16
