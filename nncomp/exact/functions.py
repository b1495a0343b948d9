"""Transcendental functions built from correctly rounded operations only.

Each formula is written once, over a small vocabulary (`rint`, `pow2`, `clip`,
`select`, `recip` and the operators), and bound twice: to torch tensors in
`reference.py` and to compiled scalars in `kernels.py`. Both evaluate the same
float32 operations in the same order, hence the same bits. Constants stand to the
right of a tensor, so that the operator called is always the tensor's.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import Any, NamedTuple

import numpy as np

__all__ = ["Functions", "Vocabulary", "build"]

Fn = Callable[..., Any]

_LOG2E = np.float32(1.4426950408889634)
# ln 2 in two parts (Cody and Waite, 1980): n * _LN2_HIGH is exact for |n| < 2**14.
_LN2_HIGH = np.float32(0.693359375)
_LN2_LOW = np.float32(-2.12194440e-4)
# Polynomial of exp(r) for |r| <= ln(2)/2, relative error 3.3e-6: a millionth of a bit.
_C5, _C4, _C3, _C2 = (np.float32(c) for c in (8.3334519e-3, 4.1665795e-2, 1.6666665e-1, 0.5))
_ONE = np.float32(1)
_TWO = np.float32(2)
# Below this, exp is taken at the bound: the result stays far above the denormals.
_EXP_LOW = np.float32(-80)
_SIGMOID_BOUND = np.float32(30)
_GELU_SLOPE = np.float32(1.702)


class Vocabulary(NamedTuple):
    """The operations the formulas may use besides + - * and abs."""

    rint: Fn  # round to nearest, ties to even
    pow2: Fn  # 2.0**n for integral n in [-126, 127], by bit cast
    clip: Fn  # clip(x, low, high)
    select: Fn  # select(condition, where true, where false)
    recip: Fn  # 1 / x, correctly rounded


class Functions(NamedTuple):
    """The formulas, bound to one vocabulary."""

    exp: Fn
    sigmoid: Fn
    tanh: Fn
    gelu: Fn
    gelu_slope: Fn


def build(vocabulary: Vocabulary, compile_: Callable[[Fn], Fn] = lambda f: f) -> Functions:
    """Bind the formulas to a vocabulary; `compile_` wraps each of them."""
    rint, pow2, clip, select, recip = vocabulary

    def exp(x: Any) -> Any:
        """exp(x) for x <= 0; arguments below -80 count as -80."""
        x = clip(x, _EXP_LOW, _ONE)
        n = rint(x * _LOG2E)
        r = (x - n * _LN2_HIGH) - n * _LN2_LOW
        p = ((((r * _C5 + _C4) * r + _C3) * r + _C2) * r + _ONE) * r + _ONE
        return p * pow2(n)

    exp = compile_(exp)

    def sigmoid(x: Any) -> Any:
        """1 / (1 + exp(-x)); |x| above 30 counts as 30."""
        e = exp(-clip(abs(x), -_SIGMOID_BOUND, _SIGMOID_BOUND))
        d = recip(e + _ONE)
        return select(x >= 0, d, e * d)

    sigmoid = compile_(sigmoid)

    def tanh(x: Any) -> Any:
        """2 sigmoid(2 x) - 1; within 2e-6 of the true value."""
        return sigmoid(x * _TWO) * _TWO - _ONE

    def gelu(x: Any) -> Any:
        """x * sigmoid(1.702 x): GELU in its logistic form (Hendrycks and Gimpel 2016, sec. 2)."""
        return x * sigmoid(x * _GELU_SLOPE)

    def gelu_slope(x: Any) -> Any:
        """Derivative of `gelu`: s + 1.702 x s (1 - s) with s = sigmoid(1.702 x)."""
        s = sigmoid(x * _GELU_SLOPE)
        return s + (x * _GELU_SLOPE) * (s - s * s)

    return Functions(exp, sigmoid, compile_(tanh), compile_(gelu), compile_(gelu_slope))
