"""What the encoder counts: sums of products, and what places cost under classes."""

from __future__ import annotations

from typing import Any

import numpy as np

from nncomp.codecs.image.plates import ABOVE, SIDE, Array
from nncomp.coding.jit import inline, kernel

__all__ = [
    "block_errors",
    "moments",
    "roughness",
    "settle_places",
    "solve",
    "solve_all",
    "trust_moments",
]

_ROUGH = 5  # error taps counted for the weight of a sample


@inline
def _first(g: Array, plane: int, row: int) -> Any:
    """Where a row of a plane begins, rows of all frames counted."""
    f, y = row // g[1], row % g[1]
    return plane * g[5] + f * g[4] + (ABOVE + y) * g[3] + SIDE


@kernel
def roughness(values: Array, g: Array, log: int, out: Array) -> None:
    """The sum of differences to the samples before and above in the first plane, by block."""
    down = (g[1] - 1 >> log) + 1
    for row in range(g[0] * g[1]):
        f, y = row // g[1], row % g[1]
        at = _first(g, 0, row)
        line = down * f + (y >> log)
        for x in range(g[2]):
            v = np.int64(values[at + x])
            total = abs(v - values[at + x - 1]) + abs(v - values[at + x - g[3]])
            out[line, x >> log] += total


@kernel
def moments(
    values: Array,
    g: Array,
    plane: int,
    taps: Array,
    places: Array,
    log: int,
    step: int,
    work: Array,
    sums: Array,
) -> None:
    """Sums of products of neighbours, and of them with the sample, by class.

    Args:
        values: Plates of samples.
        g: `Shape.numbers`.
        plane: Which.
        taps: int64[n + 1], distances, 0 the last.
        places: uint8[rows, columns] of blocks.
        log: log2 of the size of blocks.
        step: Only every so many rows are counted; first rows of frames are in the last class.
        work: int32 or int64 [n + 1, 4**log]: wide enough for sums of products of a block.
        sums: int64[classes + 1, n + 1, n + 1], the upper half is added to.
    """
    size = 1 << log
    down = (g[1] - 1 >> log) + 1
    for line in range(g[0] * down):
        f, top = line // down, line % down << log
        bottom = min(top + size, g[1])
        for left in range(0, g[2], size):
            count = min(size, g[2] - left)
            at = _first(g, plane, f * g[1]) + left
            if top == 0:
                _gather(values, at, count, g[3], 1, 1, taps, work)
                _add_products(work, count, sums[len(sums) - 1])
            begin = max(top, 1) + (step - 1 & -max(top, 1))
            if begin < bottom:
                rows = (bottom - begin - 1) // step + 1
                _gather(values, at + begin * g[3], count, g[3], rows, step, taps, work)
                _add_products(work, rows * count, sums[places[line, left >> log]])


@inline
def _gather(
    values: Array, at: int, count: int, stride: int, rows: int, step: int, taps: Array, work: Array
) -> None:
    """Samples of some rows, as each tap sees them."""
    for i in range(len(taps)):
        for row in range(rows):
            start = at + row * step * stride + taps[i]
            source = values[start : start + count]
            target = work[i, row * count : (row + 1) * count]
            for k in range(count):
                target[k] = source[k]


@inline
def _add_products(work: Array, count: int, sums: Array) -> None:
    for i in range(len(work)):
        a = work[i]
        for j in range(i, len(work)):
            b = work[j]
            total = work.dtype.type(0)
            for k in range(count):
                total = work.dtype.type(total + a[k] * b[k])
            sums[i, j] += total


@kernel
def block_errors(
    values: Array,
    g: Array,
    plane: int,
    taps: Array,
    weights: Array,
    log: int,
    step: int,
    line: Array,
    out: Array,
    counts: Array,
) -> None:
    """Add up the errors of each block under each class, in quarters.

    Args:
        values: Plates of samples.
        g: `Shape.numbers`.
        plane: Which.
        taps: int64[n], distances.
        weights: int32[classes + 1, n].
        log: log2 of the size of blocks.
        step: Only every so many rows are counted.
        line: int32 or int64 [2, width], wide enough for a prediction.
        out: int64[classes, rows, columns] of blocks.
        counts: int64[rows, columns], samples that were counted.
    """
    width, size = g[2], 1 << log
    down = (g[1] - 1 >> log) + 1
    for block in range(g[0] * down):
        f, top = block // down, block % down << log
        begin, bottom = max(top, 1), min(top + size, g[1])
        begin += step - 1 & -begin
        for left in range(0, width, size):
            if begin < bottom:
                rows = (bottom - begin - 1) // step + 1
                counts[block, left >> log] += rows * min(size, width - left)
        for c in range(len(out)):
            line[1] = 0
            for y in range(begin, bottom, step):
                at = _first(g, plane, f * g[1] + y)
                _add_errors(values, at, taps, weights[c], line[0], line[1])
            for left in range(0, width, size):
                total = 0
                for error in line[1, left : min(left + size, width)]:
                    total += error
                out[c, block, left >> log] += total


@inline
def _add_errors(
    values: Array, at: int, taps: Array, weights: Array, line: Array, out: Array
) -> None:
    """Add the errors of a row of samples, in quarters."""
    n, width = len(taps), len(line)
    part = values[at : at + width]
    for x in range(width):
        line[x] = 128 - (np.int32(part[x]) << 10)
    for j in range(0, n - 3, 4):
        p0 = values[at + taps[j] : at + taps[j] + width]
        p1 = values[at + taps[j + 1] : at + taps[j + 1] + width]
        p2 = values[at + taps[j + 2] : at + taps[j + 2] + width]
        p3 = values[at + taps[j + 3] : at + taps[j + 3] + width]
        w0, w1, w2, w3 = weights[j], weights[j + 1], weights[j + 2], weights[j + 3]
        for x in range(width):
            line[x] += p0[x] * w0 + p1[x] * w1 + p2[x] * w2 + p3[x] * w3
    for j in range(n // 4 * 4, n):
        p0 = values[at + taps[j] : at + taps[j] + width]
        w0 = weights[j]
        for x in range(width):
            line[x] += p0[x] * w0
    for x in range(width):
        out[x] += abs(line[x]) >> 8


@kernel
def trust_moments(
    errors: Array,
    g: Array,
    plane: int,
    around: Array,
    places: Array,
    log: int,
    step: int,
    sums: Array,
) -> None:
    """Sums of products of errors around, one, and the error; rough places count less.

    Args:
        errors: Plates of errors, with margins.
        g: `Shape.numbers`.
        plane: Which.
        around: int64[m], distances.
        places: uint8[rows, columns] of blocks.
        log: log2 of the size of blocks.
        step: Only every so many rows are counted.
        sums: float64[classes + 1, m + 2, m + 2], added to.
    """
    m = len(around)
    e = np.empty(m + 2, np.float64)
    down = (g[1] - 1 >> log) + 1
    for row in range(g[0] * g[1]):
        f, y = row // g[1], row % g[1]
        if y and (y + f) % step:
            continue
        at = _first(g, plane, row)
        for x in range(g[2]):
            c = np.int64(places[down * f + (y >> log), x >> log]) if y else len(sums) - 1
            rough = 8.0
            for i in range(m):
                e[i] = errors[at + x + around[i]]
            for i in range(_ROUGH):
                rough += e[i]
            e[m] = 1.0
            e[m + 1] = errors[at + x]
            share = 1.0 / rough
            for i in range(m + 2):
                a = e[i] * share
                for j in range(m + 2):
                    sums[c, i, j] += a * e[j]


@kernel
def solve(matrix: Array, right: Array, out: Array) -> None:
    """Solve a positive definite system by Cholesky's method; float64, in a fixed order.

    Unknowns whose pivots vanish become 0.
    """
    n = len(right)
    low = np.zeros((n, n), np.float64)
    y = np.zeros(n, np.float64)
    for i in range(n):
        for j in range(i + 1):
            total = matrix[j, i]
            for k in range(j):
                total -= low[i, k] * low[j, k]
            if i != j:
                low[i, j] = total / low[j, j] if low[j, j] > 0 else 0.0
            elif total > matrix[i, i] * 1e-9 and total > 0:
                low[i, i] = np.sqrt(total)
        total = right[i]
        for k in range(i):
            total -= low[i, k] * y[k]
        y[i] = total / low[i, i] if low[i, i] > 0 else 0.0
    for i in range(n - 1, -1, -1):
        total = y[i]
        for k in range(i + 1, n):
            total -= low[k, i] * out[k]
        out[i] = total / low[i, i] if low[i, i] > 0 else 0.0


@kernel
def solve_all(matrices: Array, rights: Array, out: Array) -> None:
    """`solve` for each of float64[systems, n, n] and [systems, n]."""
    for k in range(len(rights)):
        solve(matrices[k], rights[k], out[k])


@kernel
def settle_places(costs: Array, prior: Array, alike: float, rounds: int, places: Array) -> None:
    """Give blocks the classes that cost least together with what telling them costs.

    Args:
        costs: float64[classes, rows, columns], bits.
        prior: float64[classes], bits of a class by itself.
        alike: Bits that a neighbour of the same class saves.
        rounds: Of going over all blocks.
        places: uint8[rows, columns], improved.
    """
    rows, columns = places.shape
    for _ in range(rounds):
        for r in range(rows):
            for c in range(columns):
                best, least = 0, np.inf
                for k in range(len(prior)):
                    cost = costs[k, r, c] + prior[k]
                    if r and places[r - 1, c] == k:
                        cost -= alike
                    if c and places[r, c - 1] == k:
                        cost -= alike
                    if r + 1 < rows and places[r + 1, c] == k:
                        cost -= alike
                    if c + 1 < columns and places[r, c + 1] == k:
                        cost -= alike
                    if cost < least:
                        best, least = k, cost
                places[r, c] = best
