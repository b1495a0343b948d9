"""The tables of the logistic domain: stretch, squash, reciprocals; in integers.

Probabilities have 16 bits. "Stretched" is ln(p / (1 - p)) in steps of 1 / 256, where
predictions can be added and weighed.
"""

from __future__ import annotations

from decimal import Decimal, localcontext
from functools import cache
from typing import Any

import numpy as np
from numpy.typing import NDArray

__all__ = [
    "LIMIT",
    "OUTER",
    "TAIL",
    "logistic_table",
    "reciprocals",
    "squash_table",
    "stretch_table",
]

Array = NDArray[Any]

LIMIT = 2047
"""The largest stretched input: p = 0.99966."""

OUTER = 2816
"""The largest stretched output: p = 1 - 2**-15.9."""


TAIL = 64 * 20
"""Where the logistic law is as good as over: 20, in steps of 1 / 64."""


@cache
def squash_table() -> Array:
    """int32[2 * OUTER + 1]: the probability of stretched x at x + OUTER, 1 to 65535."""
    with localcontext() as context:
        context.prec = 30
        step = (Decimal(1) / 256).exp()
        odds = Decimal(1)
        half = []
        for _ in range(OUTER + 1):
            half.append(int(65536 * odds / (1 + odds) + Decimal("0.5")))
            odds *= step
    upper = np.minimum(np.array(half, np.int32), 65535)
    return np.concatenate([65536 - upper[:0:-1], upper]).astype(np.int32)


@cache
def stretch_table() -> Array:
    """int32[4096]: the inverse of squash, by the upper 12 bits of the probability."""
    squashed = squash_table()
    middle = np.arange(4096) * 16 + 8
    return np.clip(np.searchsorted(squashed, middle) - OUTER, -LIMIT, LIMIT).astype(np.int32)


@cache
def reciprocals() -> Array:
    """int32[1024]: 65536 / (n + 1.5), the step of an average that n values went into."""
    return (131072 // (2 * np.arange(1024) + 3)).astype(np.int32)


@cache
def logistic_table() -> Array:
    """int64[2 * TAIL + 1]: the distribution function of the logistic law, of 2**40."""
    with localcontext() as context:
        context.prec = 30
        step = (Decimal(1) / 64).exp()
        odds = Decimal(1)
        upper = []
        for _ in range(TAIL + 1):
            upper.append(int((1 << 40) * odds / (1 + odds)))
            odds *= step
    half = np.array(upper, np.int64)
    return np.concatenate([(1 << 40) - half[:0:-1], half])
