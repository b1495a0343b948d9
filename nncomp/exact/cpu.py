"""The operations of `reference.py`, same names and signatures, by the kernels."""

from __future__ import annotations

from typing import Any

import numpy as np
import torch
from torch import Tensor

from nncomp.exact import kernels
from nncomp.exact.threads import over

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
    "softmax_weights",
    "split_columns",
    "split_rows",
]

F32, I8, I32 = torch.float32, torch.int8, torch.int32


def _array(x: Tensor) -> Any:
    return x.detach().contiguous().numpy()


def _run(kernel: Any, rows: int, elements: int, *args: Any) -> None:
    """`over`, with tensors passed as arrays."""
    arrays = (_array(a) if isinstance(a, Tensor) else a for a in args)
    over(kernel, rows, elements, torch.get_num_threads(), *arrays)


def quantise_rows(x: Tensor, activation: bool = False) -> tuple[Tensor, Tensor]:
    """As `reference.quantise_rows`."""
    q, scale = torch.empty(x.shape, dtype=I8), torch.empty(x.shape[0], dtype=F32)
    _run(kernels.quantise_rows, x.shape[0], x.numel(), x, activation, q, scale)
    return q, scale


def rescale(acc: Tensor, row: Tensor, column: Tensor, bias: Tensor) -> Tensor:
    """As `reference.rescale`."""
    y = torch.empty(acc.shape, dtype=F32)
    _run(kernels.rescale, acc.shape[0], acc.numel(), acc, row, column, bias, y)
    return y


def split_rows(dy: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.split_rows`."""
    q = torch.empty((2, *dy.shape), dtype=I8)
    scale = torch.empty(dy.shape[0], dtype=F32)
    _run(kernels.split_rows, dy.shape[0], dy.numel(), dy, column, q, scale)
    return q, scale


def _column_exponents(x: Tensor, row: Tensor | None) -> Tensor:
    exponent = torch.empty(x.shape[1], dtype=I32)
    weights = x[:, 0] if row is None else row
    args = (x, weights, row is not None, exponent)
    _run(kernels.column_exponents, x.shape[1], x.numel(), *args)
    return exponent


def split_columns(dy: Tensor, row: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.split_columns`."""
    exponent = _column_exponents(dy, row)
    q = torch.empty((dy.shape[0], 2 * dy.shape[1]), dtype=I8)
    scale = torch.empty(dy.shape[1], dtype=F32)
    _run(kernels.split_columns, dy.shape[0], dy.numel(), dy, row, exponent, q, scale)
    return q, scale


def merge(acc: Tensor, row: Tensor, x: Tensor | None = None) -> Tensor:
    """As `reference.merge`."""
    y = torch.empty(acc.shape[1:], dtype=F32)
    if x is None:
        _run(kernels.merge, y.shape[0], y.numel(), acc, row, y)
    else:
        _run(kernels.merge_activation, y.shape[0], y.numel(), acc, row, x, y)
    return y


def column_sum(x: Tensor) -> Tensor:
    """As `reference.column_sum`."""
    y = torch.empty(x.shape[1], dtype=F32)
    exponent = _column_exponents(x, None)
    _run(kernels.column_sum, x.shape[1], x.numel(), x, exponent, y)
    return y


def index_sum(x: Tensor, index: Tensor, size: int) -> Tensor:
    """As `reference.index_sum`."""
    y = torch.empty((size, x.shape[1]), dtype=F32)
    exponent = int(_column_exponents(x, None).amax())
    _run(kernels.index_sum, x.shape[1], x.numel(), x, index, exponent, y)
    return y


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.layer_norm`."""
    y = torch.empty(x.shape, dtype=F32)
    centre, scale = torch.empty(x.shape[0], dtype=F32), torch.empty(x.shape[0], dtype=F32)
    args = (x, gain, bias, eps, y, centre, scale)
    _run(kernels.layer_norm, x.shape[0], x.numel(), *args)
    return y, centre, scale


def layer_norm_backward(
    dy: Tensor, x: Tensor, centre: Tensor, scale: Tensor, gain: Tensor
) -> tuple[Tensor, Tensor]:
    """As `reference.layer_norm_backward`."""
    dx, product = torch.empty(x.shape, dtype=F32), torch.empty(x.shape, dtype=F32)
    args = (dy, x, centre, scale, gain, dx, product)
    _run(kernels.layer_norm_backward, x.shape[0], x.numel(), *args)
    return dx, product


def _rows(x: Tensor) -> Tensor:
    """Any shape as a matrix of its last dimension."""
    return x.reshape(-1, x.shape[-1])


def gelu(x: Tensor) -> Tensor:
    """As `reference.gelu`."""
    y = torch.empty(x.shape, dtype=F32)
    _run(kernels.gelu, _rows(x).shape[0], x.numel(), _rows(x), _rows(y))
    return y


def gelu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """As `reference.gelu_backward`."""
    y = torch.empty(x.shape, dtype=F32)
    _run(kernels.gelu_backward, _rows(x).shape[0], x.numel(), _rows(dy), _rows(x), _rows(y))
    return y


def softmax_weights(logits: Tensor) -> Tensor:
    """As `reference.softmax_weights`."""
    weights = torch.empty(logits.shape, dtype=I32)
    _run(kernels.softmax_weights, logits.shape[0], logits.numel(), logits, weights)
    return weights


def loss_gradient(weights: Tensor, targets: Tensor, count: int) -> Tensor:
    """As `reference.loss_gradient`."""
    y = torch.empty(weights.shape, dtype=F32)
    share = np.float32(1.0 / count)
    _run(kernels.loss_gradient, y.shape[0], y.numel(), weights, targets, share, y)
    return y


def adam(w: Tensor, g: Tensor, m: Tensor, v: Tensor, constants: tuple[float, ...]) -> None:
    """As `reference.adam`; the tensors must be contiguous, they are written to."""
    c = np.array(constants, np.float32)
    flat = (w.view(-1), g.reshape(-1), m.view(-1), v.view(-1))
    _run(kernels.adam, w.numel(), 4 * w.numel(), *flat, c)
