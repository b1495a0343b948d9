"""Coding a sequence of labels of which nothing is known but that they come again.

Labels are numbered in the order in which they first appear, so that a new one needs no name.
The probabilities are those of a Pitman-Yor process with discount d/16 and strength 1/2, kept
as whole numbers: after t labels, of which `seen` were different,

    weight of a label that came n times   16 n - d
    weight of a new label                 8 + d seen; 0 when all there are have been seen
    total                                 the sum of these

so that no table is sent. Which row of a batch is looked up follows Zipf's law, which d from 8
to 12 suits; d = 15 suits rows of which next to none comes again.

**Coder.** One rANS state x from 2^30 to 2^62 - 1, words of 32 bits. The interval of a label
begins at the sum `before` of the weights of lower labels; new ones come last:

    start = before * 2^24 div total, end = (before + weight) * 2^24 div total

    payload = x u64, words u32 x n         (little-endian)

    slot = x mod 2^24; the label is that with start <= slot < end
    x = (end - start) * (x div 2^24) + slot - start
    if x < 2^30: x = x * 2^32 + the next word

At the end x is 2^30 and the words are used up. Totals are below 2^24, and no interval empty.

Sources: Pitman and Yor, "The two-parameter Poisson-Dirichlet distribution" (1997); Duda,
"Asymmetric numeral systems" (arXiv:1311.2540).
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable
    from typing import Any, TypeAlias

    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = [
    "DISCOUNT_MAX",
    "LENGTH_MAX",
    "choose_discount",
    "decode_labels",
    "encode_labels",
    "find_intervals",
    "follow",
    "push_all",
]

LENGTH_MAX = 1 << 19
"""Labels of a sequence, at most."""
DISCOUNT_MAX = 15
"""Sixteenths of the discount, at most."""
_FIRST = 1 << 30
_HEAD = 8


def choose_discount(labels: Array) -> int:
    """The discount that suits some labels, by how many come once and twice.

    The estimate of Ney, Essen and Kneser, "On structuring probabilistic dependences in
    stochastic language modelling" (1994).

    Args:
        labels: int64, not negative.
    """
    once, twice = (int(n) for n in np.bincount(np.bincount(labels), minlength=3)[1:3])
    return max(1, min(16 * once // max(1, once + 2 * twice), DISCOUNT_MAX))


def encode_labels(
    labels: Array,
    count: int,
    discount: int,
    find: Callable[[Array, int, int, Array, Array], None],
    push: Callable[[Array, Array, Array], int],
) -> bytes:
    """The payload that decodes to these labels.

    Args:
        labels: int64, each at most one more than all before it.
        count: How many labels there are.
        discount: From 1 to 15, sixteenths.
        find, push: `find_intervals` and `push_all`, or these compiled.
    """
    starts, sizes = np.empty(len(labels), np.int64), np.empty(len(labels), np.int64)
    find(labels, count, discount, starts, sizes)
    words = np.empty(len(labels) + 2, np.int64)
    used = push(starts, sizes, words)
    return words[len(words) - used :].astype("<u4").tobytes()


def decode_labels(
    payload: bytes | memoryview,
    length: int,
    count: int,
    discount: int,
    follow: Callable[[Array, int, int, Array], bool],
) -> Array:
    """int64[length]: the labels of a payload.

    Args:
        payload: From `encode_labels`.
        length: How many labels come.
        count: How many of them differ.
        discount: As it was coded with.
        follow: The function `follow`, or that compiled.

    Raises:
        CorruptError: There are no such labels.
    """
    if len(payload) % 4 or len(payload) < _HEAD or not 0 < count <= length <= LENGTH_MAX:
        raise CorruptError("a sequence of rows has no valid size")
    words = np.frombuffer(payload, "<u4").astype(np.int64)
    labels = np.empty(length, np.int64)
    if not follow(words, count, discount, labels):
        raise CorruptError("a sequence of rows contradicts itself")
    return labels


# What follows is compiled by kernels.py as it stands: int64 and arrays alone, no calls.
# Quotients are those of float64, rounded down: dividends are below 2^48, divisors and
# quotients below 2^24, so that no quotient is nearer to a greater whole number than 2^-24,
# where float64 tells 2^-29 apart. That takes half the time of dividing whole numbers.


def find_intervals(labels: Array, count: int, discount: int, starts: Array, sizes: Array) -> None:
    """Fill in the intervals of labels, int64.

    `own` has the weight of each label, `sums` that of each run of 2^shift labels: frequent
    labels are among the first, so that few runs have to be looked at.
    """
    shift = 0
    while 1 << 2 * shift < count:
        shift += 1
    own, sums = np.zeros(count, np.int64), np.zeros((count >> shift) + 1, np.int64)
    seen = 0
    for t in range(len(labels)):
        label = int(labels[t])
        before = weights = 16 * t - discount * seen
        total = weights + (8 + discount * seen if seen < count else 0)
        weight, step = total - weights, 16 - discount
        if label < seen:
            run = label >> shift
            before = int(sums[:run].sum() + own[run << shift : label].sum())
            weight, step = int(own[label]), 16
        else:
            seen += 1
        start = int((before << 24) / total)
        starts[t] = start
        sizes[t] = int(((before + weight) << 24) / total) - start
        own[label] += step
        sums[label >> shift] += step


def push_all(starts: Array, sizes: Array, words: Array) -> int:
    """Encode intervals into the end of `words`; how many it takes, the state among them."""
    x = 1 << 30
    at = len(words)
    for t in range(len(starts) - 1, -1, -1):
        size = int(sizes[t])
        if x >= size << 38:
            at -= 1
            words[at] = x & 0xFFFFFFFF
            x >>= 32
        x = ((x // size) << 24) + x % size + int(starts[t])
    words[at - 1] = x >> 32
    words[at - 2] = x & 0xFFFFFFFF
    return len(words) - at + 2


def follow(words: Array, count: int, discount: int, labels: Array) -> bool:
    """Fill in the labels; whether the words were those of an encoder."""
    shift = 0
    while 1 << 2 * shift < count:
        shift += 1
    own, sums = np.zeros(count, np.int64), np.zeros((count >> shift) + 1, np.int64)
    x = int(words[0]) | int(words[1]) << 32
    if x < 1 << 30 or x >= 1 << 62:
        return False
    at = 2
    seen = 0
    for t in range(len(labels)):
        before = weights = 16 * t - discount * seen
        total = weights + (8 + discount * seen if seen < count else 0)
        slot = x & 0xFFFFFF
        target = ((slot + 1) * total - 1) >> 24
        label, weight, step = seen, total - weights, 16 - discount
        if target < weights:
            run = before = 0
            while before + sums[run] <= target:
                before += int(sums[run])
                run += 1
            label = run << shift
            while before + own[label] <= target:
                before += int(own[label])
                label += 1
            weight, step = int(own[label]), 16
        else:
            seen += 1
        labels[t] = label
        start = int((before << 24) / total)
        x = (int(((before + weight) << 24) / total) - start) * (x >> 24) + slot - start
        if x < 1 << 30:
            if at >= len(words):
                return False
            x = x << 32 | int(words[at])
            at += 1
        own[label] += step
        sums[label >> shift] += step
    return x == 1 << 30 and at == len(words) and seen == count
