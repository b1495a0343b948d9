"""Which codes are alike: rows and columns of a table by their scales.

A row that was trained longer has larger numbers than others, and so have some columns. With
h a whole number of half octaves, class of a row and class of a column add up to the scale of
an element; scales next to each other share a context while that takes less space than two
tables of frequencies.

    element (i, j) belongs to context map[rows[i] + columns[j]]

All decisions are whole numbers: the same archive on every machine.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING, Protocol

import numpy as np

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = [
    "CLASSES",
    "COLUMNS_MAX",
    "SCALES",
    "TABLE",
    "UNIT",
    "Contexts",
    "Functions",
    "choose_contexts",
    "context_sizes",
    "costs",
    "histograms",
    "log_table",
    "run_costs",
    "scales",
]

CLASSES = 16
"""Classes of rows, and of columns."""
SCALES = 2 * CLASSES - 1
"""Sums of a class of a row and one of a column."""
_SAMPLE = 1 << 15  # elements looked at, at most
COLUMNS_MAX = _SAMPLE
"""Of tables with contexts: these take memory for each class of rows and each column."""
UNIT = 256
"""Of a bit: what costs are counted in."""
TABLE = 6 * UNIT
"""What one more symbol in a table costs."""
_STREAM = 40 * 8 * UNIT  # of one more stream
_BINS = 256


class Functions(Protocol):
    """What computes: the functions of this module, or these compiled."""

    scales: Callable[[Array, int], tuple[Array, Array]]
    histograms: Callable[[Array, Array, Array, int, int], Array]
    costs: Callable[[Array, Array], Array]
    run_costs: Callable[[Array, Array], Array]
    context_sizes: Callable[[Array, Array, Array], Array]


@dataclass(frozen=True)
class Contexts:
    """Where each element of a table belongs.

    Attributes:
        rows, columns: Classes, uint8, below `CLASSES`.
        map: uint8: the context by sum of classes, ascending from 0 by 0 or 1.
        sizes: int64: how many elements each context has.
    """

    rows: Array
    columns: Array
    map: Array
    sizes: Array

    @property
    def count(self) -> int:
        """How many contexts there are."""
        return len(self.sizes)


def context_sizes(rows: Array, columns: Array, map_: Array) -> Array:
    """How many elements each context has, int64; see `Contexts`."""
    of_rows = np.bincount(rows, minlength=CLASSES)
    of_columns = np.bincount(columns, minlength=CLASSES)
    of_scales = np.convolve(of_rows, of_columns)
    sizes: Array = np.bincount(map_, of_scales, int(map_[-1]) + 1).astype(np.int64)
    return sizes


@cache
def log_table() -> Array:
    """n log2 n in `UNIT`s of a bit, int64, for n to `_SAMPLE`."""
    n = np.arange(_SAMPLE + 1)
    return np.rint(UNIT * n * np.log2(np.maximum(n, 1))).astype(np.int64)


def costs(counts: Array, table: Array) -> Array:
    """What symbols that come so often take, and the table of each row, in `UNIT`s.

    Args:
        counts: int64[n, symbols].
        table: `log_table`.
    """
    entropy = table[counts.sum(axis=1)] - table[counts].sum(axis=1)
    total: Array = entropy + TABLE * np.count_nonzero(counts, axis=1)
    return total


def run_costs(sums: Array, table: Array) -> Array:
    """`costs` of each run of rows, int64[n, n]: of those from i to j - 1 at [i, j], else 0.

    Args:
        sums: int64[n, symbols]: counts of all rows before each.
        table: `log_table`.
    """
    starts, stops = np.triu_indices(len(sums), 1)
    found = np.zeros((len(sums), len(sums)), np.int64)
    found[starts, stops] = costs(sums[stops] - sums[starts], table)
    return found


def scales(codes: Array, centre: int) -> tuple[Array, Array]:
    """Sums of what codes are away from a centre, for each row and each column, int64."""
    size = np.abs(codes - np.int32(centre))
    return size.sum(axis=1, dtype=np.int64), size.sum(axis=0, dtype=np.int64)


def histograms(codes: Array, rows: Array, columns: Array, low: int, shift: int) -> Array:
    """How often each run of neighbouring codes is at each scale, int64[SCALES, 256].

    Args:
        codes: int32[rows, columns].
        rows, columns: Classes, uint8.
        low: The least code.
        shift: Such that no code less `low` has more than 8 bits above.
    """
    bins = codes - np.int32(low) >> shift
    sums = rows.astype(np.int32)[:, None] + columns.astype(np.int32)
    joint = np.bincount((sums * np.int32(_BINS) + bins).reshape(-1), minlength=_BINS * SCALES)
    return joint.reshape(SCALES, _BINS).astype(np.int64)


def choose_contexts(codes: Array, functions: Functions) -> Contexts | None:
    """Contexts for a table; None where one for all is best.

    Args:
        codes: int32[rows, columns], both at least 1.
        functions: `scales`, `histograms` and `costs`, or these compiled.
    """
    few = _SAMPLE // codes.shape[1]
    if not few:
        return None
    step = -(-len(codes) // few)
    centre = int(codes.sum(dtype=np.int64)) // codes.size
    of_rows, of_columns = functions.scales(codes, centre)
    total = int(of_columns.sum())
    rows = _classes(of_rows, codes.shape[1], total, codes.size)
    columns = _classes(of_columns, codes.shape[0], total, codes.size)
    if not rows.any() and not columns.any():
        return None
    low = int(codes.min())
    shift = max(0, (int(codes.max()) - low).bit_length() - 8)
    counts = functions.histograms(codes[::step], rows[::step], columns, low, shift)
    found = _merge(counts, functions)
    if found is None:
        return None
    map_, gain = found
    told = np.stack(
        [np.bincount(classes, minlength=CLASSES) for classes in (rows[::step], columns)]
    )
    if gain <= functions.costs(told, log_table()).sum():
        return None
    return Contexts(rows, columns, map_, functions.context_sizes(rows, columns, map_))


def _classes(sums: Array, count: int, total: int, size: int) -> Array:
    """Half octaves that a mean is above the least, as far as there are classes.

    Args:
        sums: Of rows or columns of `count` elements.
        count: At least 1.
        total: Sum of all `size` elements.
        size: How many they are.
    """
    # In sixteenths of a code, and 2 of them more, since less than a tenth is as good as 0.
    means = half_octaves(16 * sums // count + 2)
    middle = int(half_octaves(np.array([16 * total // size + 2]))[0])
    near = np.minimum(np.maximum(means - middle, -CLASSES // 2), CLASSES // 2 - 1)
    classes: Array = (near - near.min()).astype(np.uint8)
    return classes


def half_octaves(n: Array) -> Array:
    """Twice the binary logarithm, rounded down; of whole numbers from 1, up to 2^31."""
    found: Array = np.searchsorted(_half_powers(), n, side="right") - 1
    return found


@cache
def _half_powers() -> Array:
    """The least whole numbers that are not below 2^(k/2), for k to 62."""
    return np.array([math.isqrt((1 << k) - 1) + 1 for k in range(63)], np.int64)


def _merge(counts: Array, functions: Functions) -> tuple[Array, int] | None:
    """The best way to cut scales into runs, and what it gains; None: not at all."""
    there = np.flatnonzero(counts.any(axis=1))
    sums = np.concatenate([np.zeros((1, _BINS), np.int64), np.cumsum(counts[there], axis=0)])
    costs = functions.run_costs(sums, log_table()) + _STREAM
    best, cut = [0], [0]
    for stop in range(1, len(sums)):
        ways = np.array(best) + costs[:stop, stop]
        cut.append(int(np.argmin(ways)))
        best.append(int(ways.min()))
    if cut[-1] == 0:
        return None
    map_ = np.zeros(SCALES, np.uint8)
    stop = len(there)
    while stop := cut[stop]:
        map_[there[stop] :] += 1
    return map_, int(costs[0, -1]) - best[-1]
