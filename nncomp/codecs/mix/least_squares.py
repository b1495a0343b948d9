"""Least squares that go with the data: the best linear prediction of what came lately.

The sums of products that the normal equations need are kept for each of several spans of
time and solved every few samples. All is integer arithmetic: the matrix is scaled to a
diagonal of about one (of 2**60), so that its Cholesky factor fits in 32 bits and no sum
leaves 64. The forward substitution goes along with the factorization.

Source: block-wise recursive least squares; Golub, Van Loan, Matrix Computations, 4.2
(outer product Cholesky). In lossless coding: Ye, Hou, "A weighted least squares method
for adaptive prediction in lossless image compression", 2003; Sac and paq8px for sound.
"""

from __future__ import annotations

from functools import cache
from math import isqrt
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.jit import bare_inline as inline

__all__ = ["ONE", "SPANS", "Squares", "learn_squares", "squares"]

Array = NDArray[Any]

SPANS = 3
ONE = 20
"""log2 of a weight of one."""

_EVERY = 8  # samples from one solution to the next, twice that for each longer span
_FORGET = (3, 5, 8)  # of what was before, 2**-this goes away at a solution
_SCALE = 0  # bits below those of a product
_RIDGE = 18  # the diagonal grows by 2**-this of itself
_FINE = 24  # bits of a weight below one while they are solved for
_MOST = (1 << 31) - 1


class Squares(NamedTuple):
    """The equations of each phase (kind of sample), and their solutions.

    Attributes:
        taps: int32[width]: the value foretold, then the known ones, best first.
        sums: int64[phases, width, width]: products since the last solution.
        memory: int64[SPANS, phases, width, width]: those before, fading.
        seen: int64[phases], samples since the last solution.
        work: int64[width, width], the matrix that is factorized.
        factor: int32[width, width], its upper factor, 2**30 for one.
        scales: int64[width], log2 of what rows and columns were multiplied by.
        inverse: int64[width], reciprocals of the factor's diagonal, 2**30 for one.
        solution: int64[width].
        weights: int32[SPANS, phases, width], 2**20 for one.
        roots: int64[256], see `_roots`.
    """

    taps: Array
    sums: Array
    memory: Array
    seen: Array
    work: Array
    factor: Array
    scales: Array
    inverse: Array
    solution: Array
    weights: Array
    roots: Array


def squares(taps: int, phases: int) -> Squares:
    """Weights of zero."""
    width = taps + 1
    square = (width, width)
    return Squares(
        np.zeros(width, np.int32),
        np.zeros((phases, *square), np.int64),
        np.zeros((SPANS, phases, *square), np.int64),
        np.zeros(phases, np.int64),
        np.zeros(square, np.int64),
        np.zeros(square, np.int32),
        np.zeros(width, np.int64),
        np.zeros(width, np.int64),
        np.zeros(width, np.int64),
        np.zeros((SPANS, phases, width), np.int32),
        _roots(),
    )


@cache
def _roots() -> Array:
    """int64[256]: 1 / sqrt(x) for x from i / 256, of 2**30; from 1 / 4 on."""
    table = np.zeros(256, np.int64)
    for i in range(64, 256):
        table[i] = isqrt((1 << 69) // (2 * i + 1))
    return table


@inline
def learn_squares(m: Squares, phase: int, share: int) -> None:
    """Note the sample in `taps`, solve when it is time.

    Args:
        m: The equations.
        phase: Those of which kind of sample.
        share: What the sample counts, as a factor of its values, 2**16 for all of it.
    """
    width = m.taps.shape[0]
    t, sums = m.taps, m.sums
    for i in range(width):
        t[i] = t[i] * share >> 12
    for i in range(width):
        a = np.int64(t[i])
        for k in range(i, width):
            sums[phase, i, k] += a * np.int64(t[k])
    m.seen[phase] += 1
    if m.seen[phase] & _EVERY - 1 == 0:
        for span in range(SPANS):
            forget = _FORGET[span]
            for i in range(width):
                for k in range(i, width):
                    before = m.memory[span, phase, i, k]
                    m.memory[span, phase, i, k] = (
                        before - (before >> forget) + (sums[phase, i, k] << _SCALE)
                    )
            if m.seen[phase] & (_EVERY << span) - 1 == 0:
                _solve(m, phase, span)
        for i in range(width):
            for k in range(i, width):
                sums[phase, i, k] = 0


@inline
def _solve(m: Squares, phase: int, span: int) -> None:
    """From the equations of a phase to its weights."""
    width = m.taps.shape[0]
    _scaled(m, phase, span, width)
    z = m.solution
    for j in range(1, width):
        y = _reciprocal_root(m, j)
        m.inverse[j] = y
        for k in range(j, width):
            value = (m.work[j, k] >> 30) * y >> 30
            m.factor[j, k] = min(max(value, -_MOST), _MOST)
        done = min(max((z[j] >> 30) * y >> 30, -_MOST), _MOST)
        z[j] = done
        for i in range(j + 1, width):
            a = np.int64(m.factor[j, i])
            z[i] -= a * done
            for k in range(i, width):
                m.work[i, k] -= a * np.int64(m.factor[j, k])
    for j in range(width - 1, 0, -1):
        total = z[j] << _FINE
        for k in range(j + 1, width):
            total -= np.int64(m.factor[j, k]) * z[k]
        z[j] = min(max((total >> 30) * m.inverse[j] >> 30, -_MOST), _MOST)
        shift = m.scales[j] - m.scales[0] - (_FINE - ONE)
        value = z[j] >> min(-shift, 63) if shift < 0 else z[j] << min(shift, 31)
        m.weights[span, phase, j] = min(max(value, -_MOST), _MOST)


@inline
def _scaled(m: Squares, phase: int, span: int, width: int) -> None:
    """The matrix with a diagonal from a quarter to one, and a little more on it."""
    for i in range(width):
        a = m.memory[span, phase, i, i]
        a += (a >> _RIDGE) + (1 << _SCALE + 2)
        m.work[i, i] = a
        shift = 0
        for step in (16, 8, 4, 2, 1):
            if a < 1 << 60 - 2 * step:
                a <<= 2 * step
                shift += step
        m.scales[i] = shift
    for i in range(1, width):
        m.solution[i] = m.memory[span, phase, 0, i] << m.scales[0] + m.scales[i]
        m.work[i, i] <<= 2 * m.scales[i]
        for k in range(i + 1, width):
            m.work[i, k] = m.memory[span, phase, i, k] << m.scales[i] + m.scales[k]


@inline
def _reciprocal_root(m: Squares, j: int) -> Any:
    """1 / sqrt of a pivot, of 2**30, by Newton's method."""
    d = max(m.work[j, j], 1 << 40)
    half = 0
    while d < 1 << 58:
        d <<= 2
        half += 1
    d >>= 30
    y = m.roots[min(d >> 22, 255)]
    for _ in range(3):
        y = y * ((3 << 30) - (d * (y * y >> 30) >> 30)) >> 31
    return y << half
