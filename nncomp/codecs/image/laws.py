"""Laws of residuals: which probabilities they may have, in integers, the same everywhere.

A residual is what a sample is more than its prediction, modulo the range of samples. It is
coded as a token and some plain bits. With m = r for r >= 0 and -1 - r for r < 0, m below 16
has a token of its own; above, each octave is cut in four, and the place in a quarter is plain.

A prediction has two bits below those of samples, its phase: the law is moved by it. A law has
one of `SHAPES` shapes and one of `SCALES` widths, 2^(i / 8) / 16 for number i, and gives
frequencies to tokens that sum to 2^15, none of which is 0.

    shape 0: normal                         1: logistic
    shape 2: logistic, and 1/4 of it 2.5 times as wide
    shape 3: logistic, and 3/8 of it 4 times as wide
"""

from __future__ import annotations

from decimal import ROUND_HALF_EVEN, Context, Decimal, localcontext
from functools import cache
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

if TYPE_CHECKING:
    from nncomp.codecs.image.plates import Array

__all__ = [
    "BITS",
    "PHASES",
    "SCALES",
    "SHAPES",
    "UNIT",
    "Tokens",
    "all_laws",
    "costs",
    "fitting_laws",
    "frequencies",
    "tokens",
]

BITS = 15
"""Frequencies of a law sum to 2**BITS."""
PHASES = 4
SCALES = 128
SHAPES = 4
UNIT = 1 << 10
"""Of a bit: what costs are counted in."""

_DIRECT = 16  # magnitudes with tokens of their own
_ONE = 1 << 40
_STEP = 64  # entries of a distribution for a width of one
_REACH = 20 * _STEP
_DECIMAL = Context(prec=30, rounding=ROUND_HALF_EVEN, traps=[])  # whatever the caller has set


class Tokens(NamedTuple):
    """How residuals of some depth are told.

    Attributes:
        low: int64[tokens + 1], the first residual of each token; behind the last, 2**depth / 2.
        plain: int64[tokens], plain bits that follow.
        of: uint8[2**depth], the token of each residual plus 2**depth / 2.
    """

    low: Array
    plain: Array
    of: Array


@cache
def tokens(depth: int) -> Tokens:
    """The tokens for samples of so many bits."""
    half = 1 << depth - 1
    starts = list(range(min(_DIRECT, half)))
    at = _DIRECT
    while at < half:
        quarter = (1 << at.bit_length() - 1) // 4
        starts.append(at)
        at += quarter
    ends = [*starts[1:], half]
    low = np.array([-end for end in reversed(ends)] + [*starts, half], np.int64)
    sizes = np.diff(low)
    plain = np.array([int(size).bit_length() - 1 for size in sizes], np.int64)  # powers of two
    of = np.repeat(np.arange(len(sizes), dtype=np.uint8), sizes)
    return Tokens(low, plain, of)


@cache
def _logistic() -> Array:
    """int64[2 * _REACH + 1]: the distribution function, of 2**40."""
    with localcontext(_DECIMAL):
        step, odds, upper = (Decimal(1) / _STEP).exp(), Decimal(1), []
        for _ in range(_REACH + 1):
            upper.append(int(_ONE * odds / (1 + odds)))
            odds *= step
    return _both(upper)


@cache
def _normal() -> Array:
    """The same of the normal law with a standard deviation of one, by Simpson's rule."""
    with localcontext(_DECIMAL):
        density = [(-((Decimal(i) / (2 * _STEP)) ** 2) / 2).exp() for i in range(2 * _REACH + 1)]
        root = (2 * Decimal("3.14159265358979323846264338328")).sqrt()
        total, upper = Decimal(0), [_ONE // 2]
        for i in range(0, 2 * _REACH, 2):
            total += (density[i] + 4 * density[i + 1] + density[i + 2]) / (6 * _STEP)
            upper.append(_ONE // 2 + int(_ONE * min(total / root, Decimal("0.5"))))
    return _both(upper)


def _both(upper: list[int]) -> Array:
    """A symmetric distribution by its upper half."""
    half = np.array(upper, np.int64)
    return np.concatenate([_ONE - half[:0:-1], half])


@cache
def _widths() -> Array:
    """int64[SCALES]: in 2**-16."""
    with localcontext(_DECIMAL):
        eighth = (Decimal(2).ln() / 8).exp()
        return np.array([int((1 << 12) * eighth**i + Decimal("0.5")) for i in range(SCALES)])


def _below(distribution: Array, x: Array, width: Array) -> Array:
    """The distribution at x / width, for x in eighths."""
    at = (x << 16 - 3 + 6 + 8) // width  # in 2**-8 of an entry
    at = np.clip(at + (_REACH << 8), 0, (2 * _REACH << 8) - 1)
    place, part = at >> 8, at & 255
    low = distribution[place]
    result: Array = low + ((distribution[place + 1] - low) * part >> 8)
    return result


# Of each shape: distributions, their shares in eighths, and by how many halves they are wider.
_MIXTURES = (
    ((_normal, 8, 2),),
    ((_logistic, 8, 2),),
    ((_logistic, 6, 2), (_logistic, 2, 5)),
    ((_logistic, 5, 2), (_logistic, 3, 8)),
)


def frequencies(numbers: Array, depth: int) -> Array:
    """The frequencies of tokens, int64[laws, PHASES, tokens].

    Args:
        numbers: int64[laws], shape * SCALES + number of the scale.
        depth: Bits of samples.
    """
    low = tokens(depth).low
    # Edges lie half a sample below residuals; phase f is -2, -1, 0, 1 quarters.
    edges = 8 * low[None, :] - 4 - 2 * (np.arange(PHASES) - 2)[:, None]
    edges = edges[None, :, 1:-1]
    shape, scale = numbers // SCALES, numbers % SCALES
    width = _widths()[scale][:, None, None]
    below = np.empty((len(numbers), *edges.shape[1:]), np.int64)
    for kind, mixture in enumerate(_MIXTURES):
        rows = shape == kind
        total = np.zeros((int(rows.sum()), *edges.shape[1:]), np.int64)
        for distribution, share, wider in mixture:
            total += share * _below(distribution(), edges, width[rows] * wider // 2)
        below[rows] = total >> 3
    count = len(low) - 1
    room = (1 << BITS) - count
    cuts = np.zeros((*below.shape[:2], count + 1), np.int64)
    cuts[..., 1:-1] = np.maximum.accumulate(below, axis=-1) * room >> 40
    cuts[..., -1] = room
    freqs: Array = np.diff(cuts, axis=-1) + 1
    return freqs


@cache
def all_laws(depth: int) -> Array:
    """The frequencies of all laws, int64[SHAPES * SCALES, PHASES, tokens]."""
    return frequencies(np.arange(SHAPES * SCALES), depth)


@cache
def costs() -> Array:
    """What a token costs by its frequency, int64[2**BITS + 1], in `UNIT`s of a bit.

    No logarithm is within 1e-6 units of where rounding changes, so that these are the same
    numbers on every machine.
    """
    freqs = np.arange(1, (1 << BITS) + 1)
    units = np.rint((BITS - np.log2(freqs)) * UNIT).astype(np.int64)
    return np.concatenate([[1 << 40], units])


def fitting_laws(counts: Array, depth: int) -> Array:
    """For each row of counts the law that costs least, int64[rows].

    Args:
        counts: int64[rows, PHASES * tokens] or, where there is one phase, [rows, tokens].
        depth: Of samples.
    """
    laws = costs()[all_laws(depth)]
    if counts.shape[1] == laws.shape[2]:
        laws = laws[:, 2:3]
    # Products and sums are whole numbers below 2^53, and so exact in any order.
    units = counts.astype(np.float64) @ laws.reshape(len(laws), -1).T.astype(np.float64)
    return np.asarray(units.argmin(1))
