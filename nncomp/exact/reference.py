"""The specification of every exact operation, in torch.

Runs on any device, one allowed torch operation after the other (`guard.py` holds the
list). `kernels.py` computes the same bits in fused loops on a CPU; the tests hold the
two together. Shapes: R rows (lanes times steps), K inputs, N outputs.
"""

from __future__ import annotations

import torch
from torch import Tensor

from nncomp.exact import grid
from nncomp.exact.functions import Vocabulary, build

__all__ = [
    "adam",
    "column_sum",
    "gelu",
    "gelu_backward",
    "index_sum",
    "layer_norm",
    "layer_norm_backward",
    "loss_gradient",
    "merge",
    "quantise_rows",
    "rescale",
    "sigmoid",
    "sigmoid_backward",
    "softmax_weights",
    "split_columns",
    "split_rows",
    "tanh",
    "tanh_backward",
]


def _pow2(n: Tensor) -> Tensor:
    """2.0**n by building the bits; n integral, in -126..127."""
    return ((n.to(torch.int32) + 127) << 23).view(torch.float32)


FUNCTIONS = build(
    Vocabulary(
        rint=torch.round,
        pow2=_pow2,
        clip=lambda x, low, high: torch.clamp(x, float(low), float(high)),
        select=torch.where,
        recip=torch.reciprocal,
    )
)


def _sqrt(x: Tensor) -> Tensor:
    """Correctly rounded root of float32.

    Vendor libraries differ in the last bit of float64's root; the rounding loses it.
    """
    return torch.sqrt(x.to(torch.float64)).to(torch.float32)


def _exponent(amax: Tensor, floor: int) -> Tensor:
    """floor(log2(amax)) from the bits, at least `floor`; zero and denormals give `floor`."""
    return ((amax.view(torch.int32) >> 23) - 127).clamp(min=floor)


def _quantise(x: Tensor, exponent: Tensor, bits: int, limit: int) -> Tensor:
    """Integers, still as float32, of x on the grid of `exponent`."""
    return torch.round(x * _pow2(bits - 1 - exponent)).clamp(-limit, limit)


def quantise_rows(x: Tensor, activation: bool = False) -> tuple[Tensor, Tensor]:
    """Rows to int8 on a grid of their own; with `activation`, of gelu(x).

    Args:
        x: (R, K) float32.

    Returns:
        (R, K) int8 in -63..63 and (R,) float32 scales, powers of two.
    """
    if activation:
        x = FUNCTIONS.gelu(x)
    e = _exponent(x.abs().amax(dim=1), grid.FLOOR)
    q = _quantise(x, e.unsqueeze(1), grid.VALUE_BITS, grid.VALUE_LIMIT)
    return q.to(torch.int8), _pow2(e + 1 - grid.VALUE_BITS)


def rescale(acc: Tensor, row: Tensor, column: Tensor, bias: Tensor) -> Tensor:
    """Integer products back to float32: acc * row scale * column scale + bias.

    Args:
        acc: (R, N) int32. row: (R,), column: (N,) powers of two. bias: (N,).
    """
    return acc.to(torch.float32) * (row.unsqueeze(1) * column) + bias


def split_rows(dy: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """dy * column by rows, as two int8 slices.

    Returns:
        (2, R, N) int8, high slice first, and (R,) float32 scales.
    """
    v = dy * column
    e = _exponent(v.abs().amax(dim=1), grid.GRAD_FLOOR)
    return _slices(v, e.unsqueeze(1), dim=0), _pow2(e + 1 - grid.GRAD_BITS)


def split_columns(dy: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """dy * row by columns, as two int8 slices side by side; and the column sums of dy.

    Returns:
        (R, 2 N) int8, high slice left, (N,) float32 scales, and (N,) `column_sum(dy)`.
    """
    v = dy * row.unsqueeze(1)
    e = _exponent(v.abs().amax(dim=0), grid.GRAD_FLOOR)
    slices = _slices(v, e, dim=1).reshape(v.shape[0], -1)
    return slices, _pow2(e + 1 - grid.GRAD_BITS), column_sum(dy)


def _slices(v: Tensor, exponent: Tensor, dim: int) -> Tensor:
    q = _quantise(v, exponent, grid.GRAD_BITS, grid.GRAD_LIMIT).to(torch.int32)
    high = (q + grid.SLICE // 2) >> 7
    return torch.stack((high, q - high * grid.SLICE), dim=dim).to(torch.int8)


def merge(acc: Tensor, row: Tensor, x: Tensor | None = None) -> Tensor:
    """Products of two slices back to one float32 matrix; times gelu'(x) if x is given.

    Args:
        acc: (2, R, K) int32, from the high and the low slice. row: (R,) scales.
        x: (R, K) argument of the activation, or None.
    """
    high, low = acc[0].to(torch.float32), acc[1].to(torch.float32)
    y = _bounded((high * float(grid.SLICE) + low) * row.unsqueeze(1))
    return y if x is None else y * FUNCTIONS.gelu_slope(x)


def _bounded(gradient: Tensor) -> Tensor:
    return gradient.clamp(-grid.GRADIENT_BOUND, grid.GRADIENT_BOUND)


def column_sum(x: Tensor) -> Tensor:
    """Sum over rows, of x rounded to 22 bits on one grid a column. (R, N) to (N,)."""
    e = _exponent(x.abs().amax(dim=0), grid.GRAD_FLOOR)
    q = torch.round(x * _pow2(grid.SUM_BITS - 1 - e)).to(torch.int64)
    return q.sum(dim=0).to(torch.float32) * _pow2(e + 1 - grid.SUM_BITS)


def index_sum(x: Tensor, index: Tensor, size: int) -> Tensor:
    """Sum of the rows of x (M, D) that share an index (M,) int64, to (size, D)."""
    e = _exponent(x.abs().amax(), grid.GRAD_FLOOR)
    q = torch.round(x * _pow2(grid.SUM_BITS - 1 - e)).to(torch.int64)
    total = torch.zeros(size, x.shape[1], dtype=torch.int64, device=x.device)
    return total.index_add_(0, index, q).to(torch.float32) * _pow2(e + 1 - grid.SUM_BITS)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """Layer norm over rows (Ba et al. 2016), statistics from integer sums.

    Returns:
        y (R, K), and for the backward pass the mean (R,) and 1/deviation (R,).
    """
    e = _exponent(x.abs().amax(dim=1), grid.FLOOR)
    q = torch.round(x * _pow2(grid.NORM_BITS - 1 - e).unsqueeze(1)).to(torch.int64)
    unit = _pow2(e + 1 - grid.NORM_BITS).to(torch.float64)
    width = _width(x)
    mean = q.sum(dim=1).to(torch.float64) / width
    square = (q * q).sum(dim=1).to(torch.float64) / width
    variance = (square - mean * mean).clamp(min=0.0) * (unit * unit)
    scale = torch.reciprocal(_sqrt((variance + eps).to(torch.float32)))
    centre = (mean * unit).to(torch.float32)
    return _unit(x, centre, scale) * gain + bias, centre, scale


def _width(x: Tensor) -> Tensor:
    """Length of a row, as a tensor: by a Python number, CUDA multiplies with 1 / number."""
    return torch.full((), x.shape[1], dtype=torch.float64, device=x.device)


def _unit(x: Tensor, centre: Tensor, scale: Tensor) -> Tensor:
    """Rows normalised by their statistics."""
    unit = (x - centre.unsqueeze(1)) * scale.unsqueeze(1)
    return unit.clamp(-grid.UNIT_BOUND, grid.UNIT_BOUND)


def layer_norm_backward(
    dy: Tensor, x: Tensor, centre: Tensor, scale: Tensor, gain: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """Gradient of `layer_norm`: of x (R, K), of the gain (K,) and of the bias (K,)."""
    unit = _unit(x, centre, scale)
    d = dy * gain
    e = _exponent(d.abs().amax(dim=1), grid.GRAD_FLOOR)
    q = torch.round(d * _pow2(grid.NORM_BITS - 1 - e).unsqueeze(1)).to(torch.int64)
    u = torch.round(unit * float(1 << grid.UNIT_BITS)).to(torch.int64)
    step = _pow2(e + 1 - grid.NORM_BITS).to(torch.float64) / _width(x)
    mean = (q.sum(dim=1).to(torch.float64) * step).to(torch.float32)
    inner = (q * u).sum(dim=1).to(torch.float64) * (step * 2.0**-grid.UNIT_BITS)
    inner = inner.to(torch.float32)
    dx = ((d - mean.unsqueeze(1)) - unit * inner.unsqueeze(1)) * scale.unsqueeze(1)
    return _bounded(dx), column_sum(dy * unit), column_sum(dy)


def gelu(x: Tensor) -> Tensor:
    """GELU, logistic form, element by element."""
    y: Tensor = FUNCTIONS.gelu(x)
    return y


def gelu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """Gradient of `gelu`."""
    y: Tensor = dy * FUNCTIONS.gelu_slope(x)
    return y


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function, element by element."""
    y: Tensor = FUNCTIONS.sigmoid(x)
    return y


def sigmoid_backward(dy: Tensor, y: Tensor) -> Tensor:
    """Gradient of `sigmoid`, from its result y."""
    return dy * (y - y * y)


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, element by element."""
    y: Tensor = FUNCTIONS.tanh(x)
    return y


def tanh_backward(dy: Tensor, y: Tensor) -> Tensor:
    """Gradient of `tanh`, from its result y."""
    return dy * (1 - y * y)


def softmax_weights(logits: Tensor) -> Tensor:
    """exp(logit - largest logit of the row) in units of 2**-23, (R, 256) int32."""
    peak = logits.amax(dim=1, keepdim=True)
    return torch.round(FUNCTIONS.exp(logits - peak) * float(1 << 23)).to(torch.int32)


def loss_gradient(weights: Tensor, targets: Tensor, count: int) -> Tensor:
    """Gradient of the mean cross-entropy in the logits: (softmax - one hot) / count.

    Args:
        weights: (R, 256) int32 from `softmax_weights`.
        targets: (R,) int64; a negative target marks a row that is not coded: gradient 0.
        count: Number of coded rows.
    """
    total = weights.to(torch.int64).sum(dim=1, keepdim=True).to(torch.float32)
    p = weights.to(torch.float32) / total
    symbols = torch.arange(p.shape[1], device=p.device)
    p = p - (symbols == targets.unsqueeze(1)).to(torch.float32)
    share = _reciprocal(count)
    return torch.where(targets.unsqueeze(1) >= 0, p * share, torch.zeros_like(p))


def _reciprocal(count: int) -> float:
    """1/count rounded to float32, as the kernels hold it."""
    return float(torch.tensor(1.0 / count, dtype=torch.float32))


def adam(w: Tensor, g: Tensor, m: Tensor, v: Tensor, constants: tuple[float, ...]) -> None:
    """One step of Adam (Kingma and Ba 2015, alg. 1), in place on w, m, v.

    Args:
        w, g, m, v: Weights, gradient, first and second moment, same shape, float32.
        constants: beta1, 1 - beta1, beta2, 1 - beta2, step size lr / (1 - beta1**t),
            1 / sqrt(1 - beta2**t), eps, weight decay; each exactly a float32.
    """
    b1, a1, b2, a2, step, root, eps, decay = constants
    g = g + w * decay
    # Tiny values become zero here, so that neither squares nor moments turn denormal.
    g = torch.where(g.abs() < 1e-15, torch.zeros_like(g), g)
    first = m * b1 + g * a1
    first = torch.where(first.abs() < 1e-25, torch.zeros_like(g), first)
    second = v * b2 + (g * g) * a2
    second = torch.where(second < 1e-36, torch.zeros_like(g), second)
    m.copy_(first)
    v.copy_(second)
    change = (first * step) / (_sqrt(second) * root + eps)
    w.copy_((w - change).clamp(-grid.WEIGHT_BOUND, grid.WEIGHT_BOUND))
