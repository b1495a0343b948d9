"""The operations of `reference.py` as fused, compiled loops for CPUs.

Same float32 operations in the same order, same integer sums, hence the same bits; no
fastmath, so that LLVM neither contracts nor reassociates. Every kernel works on a
range of rows (or columns, or elements) given by its first two arguments, so that
`over` can share it between threads: no result depends on how it is cut. Inner loops
run from 0 to an array's length, or LLVM does not vectorise them.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncomp.coding.jit import kernel
from nncomp.exact import grid
from nncomp.exact.functions import Vocabulary, build

F32 = np.float32
I32 = np.int32

_VALUE_LIMIT = F32(grid.VALUE_LIMIT)
_GRAD_LIMIT = F32(grid.GRAD_LIMIT)
_SLICE = F32(grid.SLICE)
_UNIT = F32(1 << grid.UNIT_BITS)
_WEIGHT_BOUND = F32(grid.WEIGHT_BOUND)
_UNIT_BOUND = F32(grid.UNIT_BOUND)
_GRADIENT_BOUND = F32(grid.GRADIENT_BOUND)
_ZERO = F32(0)
_ONE = F32(1)
_PROBABILITY_UNIT = F32(1 << 23)
_GRADIENT_MIN, _FIRST_MIN, _SECOND_MIN = F32(1e-15), F32(1e-25), F32(1e-36)


@kernel
def _pow2(n: Any) -> Any:
    return I32((I32(n) + I32(127)) << I32(23)).view(np.float32)


@kernel
def _rint(x: Any) -> Any:
    return np.rint(x)


@kernel
def _clip(x: Any, low: Any, high: Any) -> Any:
    return min(max(x, low), high)


@kernel
def _select(condition: Any, a: Any, b: Any) -> Any:
    return a if condition else b


@kernel
def _recip(x: Any) -> Any:
    return _ONE / x


FUNCTIONS = build(Vocabulary(_rint, _pow2, _clip, _select, _recip), kernel)
_exp, _sigmoid, _tanh, _gelu, _gelu_slope = FUNCTIONS


@kernel
def _exponent(amax: Any, floor: Any) -> Any:
    return max(I32(F32(amax).view(np.int32) >> I32(23)) - I32(127), floor)


@kernel
def _magnitude(x: Any) -> Any:
    """|x| as its bits: integers, since LLVM vectorises no maximum of floats."""
    return I32(F32(x).view(np.int32) & I32(0x7FFFFFFF))


@kernel
def _ordered(bits: Any) -> Any:
    """Bits of floats to integers of the same order, and back."""
    return I32(bits ^ ((bits >> I32(31)) & I32(0x7FFFFFFF)))


@kernel
def _peak(row: Any) -> Any:
    """Largest value of a row."""
    key = _ordered(F32(row[0]).view(np.int32))
    for j in range(row.shape[0]):
        key = max(key, _ordered(F32(row[j]).view(np.int32)))
    return I32(_ordered(I32(key))).view(np.float32)


@kernel
def _largest(row: Any) -> Any:
    """Largest magnitude of a row."""
    bits = I32(0)
    for j in range(row.shape[0]):
        bits = max(bits, _magnitude(row[j]))
    return I32(bits).view(np.float32)


@kernel
def quantise_rows(lo: int, hi: int, x: Any, activation: bool, q: Any, scale: Any) -> None:
    width = x.shape[1]
    activated = np.empty(width, np.float32)
    for i in range(lo, hi):
        row = x[i]
        if activation:
            for j in range(width):
                activated[j] = _gelu(x[i, j])
            row = activated
        e = _exponent(_largest(row), grid.FLOOR)
        scale[i] = _pow2(e + 1 - grid.VALUE_BITS)
        step = _pow2(grid.VALUE_BITS - 1 - e)
        for j in range(width):
            q[i, j] = np.int8(_clip(np.rint(row[j] * step), -_VALUE_LIMIT, _VALUE_LIMIT))


@kernel
def rescale(lo: int, hi: int, acc: Any, row: Any, column: Any, bias: Any, y: Any) -> None:
    for i in range(lo, hi):
        s = row[i]
        for j in range(acc.shape[1]):
            y[i, j] = F32(acc[i, j]) * (s * column[j]) + bias[j]


@kernel
def split_rows(lo: int, hi: int, dy: Any, column: Any, q: Any, scale: Any) -> None:
    width = dy.shape[1]
    row = np.empty(width, np.float32)
    for i in range(lo, hi):
        for j in range(width):
            row[j] = dy[i, j] * column[j]
        e = _exponent(_largest(row), grid.GRAD_FLOOR)
        scale[i] = _pow2(e + 1 - grid.GRAD_BITS)
        step = _pow2(grid.GRAD_BITS - 1 - e)
        for j in range(width):
            v = I32(_clip(np.rint(row[j] * step), -_GRAD_LIMIT, _GRAD_LIMIT))
            high = I32(v + I32(64)) >> I32(7)
            q[0, i, j] = np.int8(high)
            q[1, i, j] = np.int8(v - high * I32(128))


@kernel
def _column_exponents(lo: int, hi: int, dy: Any, row: Any, weighted: bool) -> Any:
    """Exponents of the columns lo..hi of dy, times the row scales if `weighted`."""
    largest = np.zeros(hi - lo, np.int32)
    for i in range(dy.shape[0]):
        s = row[i] if weighted else _ONE
        line = dy[i][lo:hi]
        for j in range(largest.shape[0]):
            largest[j] = max(largest[j], _magnitude(line[j] * s))
    for j in range(largest.shape[0]):
        largest[j] = max((largest[j] >> I32(23)) - I32(127), grid.GRAD_FLOOR)
    return largest


@kernel
def split_columns(lo: int, hi: int, dy: Any, row: Any, q: Any, scale: Any, sums: Any) -> None:
    """Columns lo..hi."""
    width = dy.shape[1]
    exponent = _column_exponents(lo, hi, dy, row, True)
    step = np.empty(hi - lo, np.float32)
    for j in range(step.shape[0]):
        step[j] = _pow2(grid.GRAD_BITS - 1 - exponent[j])
        scale[lo + j] = _pow2(exponent[j] + 1 - grid.GRAD_BITS)
    for i in range(dy.shape[0]):
        s = row[i]
        line, left, right = dy[i][lo:hi], q[i][lo:hi], q[i][width + lo : width + hi]
        for j in range(step.shape[0]):
            v = I32(_clip(np.rint((line[j] * s) * step[j]), -_GRAD_LIMIT, _GRAD_LIMIT))
            high = I32(v + I32(64)) >> I32(7)
            left[j] = np.int8(high)
            right[j] = np.int8(v - high * I32(128))
    _column_sum(lo, hi, dy, row, sums)


@kernel
def merge(lo: int, hi: int, acc: Any, row: Any, y: Any) -> None:
    for i in range(lo, hi):
        s = row[i]
        for j in range(acc.shape[2]):
            d = (F32(acc[0, i, j]) * _SLICE + F32(acc[1, i, j])) * s
            y[i, j] = _clip(d, -_GRADIENT_BOUND, _GRADIENT_BOUND)


@kernel
def merge_activation(lo: int, hi: int, acc: Any, row: Any, x: Any, y: Any) -> None:
    for i in range(lo, hi):
        s = row[i]
        for j in range(acc.shape[2]):
            d = (F32(acc[0, i, j]) * _SLICE + F32(acc[1, i, j])) * s
            y[i, j] = _clip(d, -_GRADIENT_BOUND, _GRADIENT_BOUND) * _gelu_slope(x[i, j])


@kernel
def _column_sum(lo: int, hi: int, x: Any, row: Any, y: Any) -> None:
    exponent = _column_exponents(lo, hi, x, row, False)
    total = np.zeros(hi - lo, np.int64)
    step = np.empty(hi - lo, np.float32)
    for j in range(step.shape[0]):
        step[j] = _pow2(grid.SUM_BITS - 1 - exponent[j])
    for i in range(x.shape[0]):
        line = x[i][lo:hi]
        for j in range(step.shape[0]):
            total[j] += np.int64(I32(np.rint(line[j] * step[j])))
    for j in range(step.shape[0]):
        y[lo + j] = F32(total[j]) * _pow2(exponent[j] + 1 - grid.SUM_BITS)


@kernel
def column_sum(lo: int, hi: int, x: Any, y: Any) -> None:
    """Columns lo..hi. The integers, of at most 23 bits, are summed in int64."""
    _column_sum(lo, hi, x, x[0], y)


@kernel
def index_sum(lo: int, hi: int, x: Any, index: Any, y: Any) -> None:
    """Columns lo..hi of every row, added to the row of y that `index` names."""
    total = np.zeros((y.shape[0], hi - lo), np.int64)
    exponent = _exponent(_largest(x.reshape(x.size)), grid.GRAD_FLOOR)
    step = _pow2(grid.SUM_BITS - 1 - exponent)
    for i in range(x.shape[0]):
        line = x[i][lo:hi]
        into = total[index[i]]
        for j in range(into.shape[0]):
            into[j] += np.int64(I32(np.rint(line[j] * step)))
    unit = _pow2(exponent + 1 - grid.SUM_BITS)
    for k in range(y.shape[0]):
        line = y[k][lo:hi]
        for j in range(line.shape[0]):
            line[j] = F32(total[k, j]) * unit


@kernel
def layer_norm(
    lo: int, hi: int, x: Any, gain: Any, bias: Any, eps: float, y: Any, centre: Any, scale: Any
) -> None:
    width = x.shape[1]
    for i in range(lo, hi):
        e = _exponent(_largest(x[i]), grid.FLOOR)
        step = _pow2(grid.NORM_BITS - 1 - e)
        total = np.int64(0)
        square = np.int64(0)
        for j in range(width):
            q = np.int64(I32(np.rint(x[i, j] * step)))
            total += q
            square += q * q
        unit = np.float64(_pow2(e + 1 - grid.NORM_BITS))
        mean = np.float64(total) / np.float64(width)
        variance = max(np.float64(square) / np.float64(width) - mean * mean, 0.0)
        deviation = np.sqrt(F32(variance * (unit * unit) + eps))
        s = _ONE / F32(deviation)
        c = F32(mean * unit)
        centre[i] = c
        scale[i] = s
        for j in range(width):
            y[i, j] = _clip((x[i, j] - c) * s, -_UNIT_BOUND, _UNIT_BOUND) * gain[j] + bias[j]


@kernel
def layer_norm_backward(
    lo: int, hi: int, dy: Any, x: Any, centre: Any, scale: Any, gain: Any, dx: Any, product: Any
) -> None:
    width = x.shape[1]
    unit = np.empty(width, np.float32)
    d = np.empty(width, np.float32)
    for i in range(lo, hi):
        c = centre[i]
        s = scale[i]
        for j in range(width):
            unit[j] = _clip((x[i, j] - c) * s, -_UNIT_BOUND, _UNIT_BOUND)
            d[j] = dy[i, j] * gain[j]
            product[i, j] = dy[i, j] * unit[j]
        e = _exponent(_largest(d), grid.GRAD_FLOOR)
        step = _pow2(grid.NORM_BITS - 1 - e)
        total = np.int64(0)
        inner = np.int64(0)
        for j in range(width):
            q = np.int64(I32(np.rint(d[j] * step)))
            total += q
            inner += q * np.int64(I32(np.rint(unit[j] * _UNIT)))
        back = np.float64(_pow2(e + 1 - grid.NORM_BITS)) / np.float64(width)
        m = F32(np.float64(total) * back)
        k = F32(np.float64(inner) * (back / np.float64(_UNIT)))
        for j in range(width):
            v = ((d[j] - m) - unit[j] * k) * s
            dx[i, j] = _clip(v, -_GRADIENT_BOUND, _GRADIENT_BOUND)


@kernel
def layer_norm_sums(lo: int, hi: int, dy: Any, product: Any, gain: Any, bias: Any) -> None:
    """Columns lo..hi of the gradients of gain and bias."""
    _column_sum(lo, hi, product, product[0], gain)
    _column_sum(lo, hi, dy, dy[0], bias)


@kernel
def gelu(lo: int, hi: int, x: Any, y: Any) -> None:
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            y[i, j] = _gelu(x[i, j])


@kernel
def gelu_backward(lo: int, hi: int, dy: Any, x: Any, y: Any) -> None:
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            y[i, j] = dy[i, j] * _gelu_slope(x[i, j])


@kernel
def sigmoid(lo: int, hi: int, x: Any, y: Any) -> None:
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            y[i, j] = _sigmoid(x[i, j])


@kernel
def sigmoid_backward(lo: int, hi: int, dy: Any, y: Any, dx: Any) -> None:
    for i in range(lo, hi):
        for j in range(y.shape[1]):
            dx[i, j] = dy[i, j] * (y[i, j] - y[i, j] * y[i, j])


@kernel
def tanh(lo: int, hi: int, x: Any, y: Any) -> None:
    for i in range(lo, hi):
        for j in range(x.shape[1]):
            y[i, j] = _tanh(x[i, j])


@kernel
def tanh_backward(lo: int, hi: int, dy: Any, y: Any, dx: Any) -> None:
    for i in range(lo, hi):
        for j in range(y.shape[1]):
            dx[i, j] = dy[i, j] * (_ONE - y[i, j] * y[i, j])


@kernel
def softmax_weights(lo: int, hi: int, logits: Any, weights: Any) -> None:
    for i in range(lo, hi):
        peak = _peak(logits[i])
        for j in range(logits.shape[1]):
            weights[i, j] = I32(np.rint(_exp(logits[i, j] - peak) * _PROBABILITY_UNIT))


@kernel
def loss_gradient(lo: int, hi: int, weights: Any, targets: Any, share: Any, y: Any) -> None:
    for i in range(lo, hi):
        if targets[i] < 0:
            y[i] = _ZERO
            continue
        total = np.int64(0)
        for j in range(weights.shape[1]):
            total += np.int64(weights[i, j])
        all_ = F32(total)
        for j in range(weights.shape[1]):
            y[i, j] = F32(weights[i, j]) / all_
        y[i, targets[i]] -= _ONE
        for j in range(weights.shape[1]):
            y[i, j] = y[i, j] * share


@kernel
def adam(lo: int, hi: int, w: Any, g: Any, m: Any, v: Any, c: Any) -> None:
    b1, a1, b2, a2, step, root, eps, decay = c[0], c[1], c[2], c[3], c[4], c[5], c[6], c[7]
    w, g, m, v = w[lo:hi], g[lo:hi], m[lo:hi], v[lo:hi]
    for i in range(w.shape[0]):
        d = g[i] + w[i] * decay
        d = _ZERO if abs(d) < _GRADIENT_MIN else d
        first = m[i] * b1 + d * a1
        first = _ZERO if abs(first) < _FIRST_MIN else first
        second = v[i] * b2 + (d * d) * a2
        second = _ZERO if second < _SECOND_MIN else second
        m[i] = first
        v[i] = second
        change = (first * step) / (F32(np.sqrt(second)) * root + eps)
        w[i] = _clip(w[i] - change, -_WEIGHT_BOUND, _WEIGHT_BOUND)
