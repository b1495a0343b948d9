"""Bit histories: what happened in a context so far, in one byte.

A state stands for the numbers of zeros and ones, bounded together, and the newest bit.
When a bit comes, its number grows; a large number of the other bit shrinks, so that the
state leans to what is new. States are numbered from 0, the empty history, in order of
first use; the tables are generated from these rules and not stored.
"""

from __future__ import annotations

from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = ["STATES", "counts", "transitions"]

Array = NDArray[Any]
State = tuple[int, int, int]

STATES = 256

# The most of one bit, by the number of the other.
_BOUNDS = (41, 24, 12, 8, 6, 5)


@cache
def _states() -> tuple[dict[State, int], list[tuple[State, State]]]:
    start: State = (0, 0, 0)
    numbers, order, follow = {start: 0}, [start], list[tuple[State, State]]()
    for state in order:
        both = (_after(state, 0), _after(state, 1))
        for target in both:
            if target not in numbers:
                numbers[target] = len(order)
                order.append(target)
        follow.append(both)
    return numbers, follow


def _after(state: State, bit: int) -> State:
    counts = list(state[:2])
    other = counts[1 - bit]
    if other > 2:
        counts[1 - bit] = other = _aged(other)
    counts[bit] += 1
    low, high = sorted(counts)
    if low >= len(_BOUNDS):
        counts = [c * (len(_BOUNDS) - 1) // high for c in counts]
    else:
        while high > _BOUNDS[low]:
            high -= 1
        big = 0 if counts[0] > counts[1] else 1
        counts[big] = max(high, low)
    return counts[0], counts[1], bit


def _aged(count: int) -> int:
    """Less of what did not happen: an old certainty should not last."""
    return min(count - 1, 2 + (count + 1) // 3) if count > 3 else count - 1 if count == 3 else count


@cache
def transitions() -> Array:
    """uint8[512]: the state after `state` and a bit, at 2 * state + bit."""
    numbers, follow = _states()
    table = np.zeros(2 * STATES, np.uint8)
    flat = [numbers[target] for both in follow for target in both]
    table[: len(flat)] = flat
    return table


@cache
def counts() -> Array:
    """int32[256, 2]: zeros and ones of each state."""
    numbers, _ = _states()
    table = np.zeros((STATES, 2), np.int32)
    for (zeros, ones, _last), number in numbers.items():
        table[number] = zeros, ones
    return table
