"""The operations of `reference.py`, same names and signatures, by the kernels."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from torch import from_numpy

from nncomp.exact import kernels
from nncomp.exact.threads import over

if TYPE_CHECKING:
    from torch import Tensor

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


def _array(x: Tensor) -> Any:
    if x.requires_grad:
        x = x.detach()
    return x.numpy() if x.is_contiguous() else x.contiguous().numpy()


def _matrix(x: Tensor) -> Any:
    """Any shape as a matrix of its last dimension."""
    a = _array(x)
    return a.reshape(-1, a.shape[-1])


def _new(*shape: int, dtype: Any = np.float32) -> Any:
    return np.empty(shape, dtype)


def quantise_rows(x: Tensor, activation: bool = False) -> tuple[Tensor, Tensor]:
    """As `reference.quantise_rows`."""
    a = _array(x)
    q, scale = _new(*a.shape, dtype=np.int8), _new(len(a))
    over(kernels.quantise_rows, len(a), a.size, a, activation, q, scale)
    return from_numpy(q), from_numpy(scale)


def rescale(acc: Tensor, row: Tensor, column: Tensor, bias: Tensor) -> Tensor:
    """As `reference.rescale`."""
    a = _array(acc)
    y = _new(*a.shape)
    args = (a, _array(row), _array(column), _array(bias), y)
    over(kernels.rescale, len(a), a.size, *args)
    return from_numpy(y)


def split_rows(dy: Tensor, column: Tensor) -> tuple[Tensor, Tensor]:
    """As `reference.split_rows`."""
    a = _array(dy)
    q, scale = _new(2, *a.shape, dtype=np.int8), _new(len(a))
    over(kernels.split_rows, len(a), a.size, a, _array(column), q, scale)
    return from_numpy(q), from_numpy(scale)


def split_columns(dy: Tensor, row: Tensor) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.split_columns`."""
    a = _array(dy)
    rows, columns = a.shape
    q, scale, sums = _new(rows, 2 * columns, dtype=np.int8), _new(columns), _new(columns)
    over(kernels.split_columns, columns, a.size, a, _array(row), q, scale, sums)
    return from_numpy(q), from_numpy(scale), from_numpy(sums)


def merge(acc: Tensor, row: Tensor, x: Tensor | None = None) -> Tensor:
    """As `reference.merge`."""
    a = _array(acc)
    y = _new(*a.shape[1:])
    if x is None:
        over(kernels.merge, len(y), y.size, a, _array(row), y)
    else:
        over(kernels.merge_activation, len(y), y.size, a, _array(row), _array(x), y)
    return from_numpy(y)


def column_sum(x: Tensor) -> Tensor:
    """As `reference.column_sum`."""
    a = _array(x)
    y = _new(a.shape[1])
    over(kernels.column_sum, a.shape[1], a.size, a, y)
    return from_numpy(y)


def index_sum(x: Tensor, index: Tensor, size: int) -> Tensor:
    """As `reference.index_sum`."""
    a = _array(x)
    y = _new(size, a.shape[1])
    over(kernels.index_sum, a.shape[1], a.size, a, _array(index), y)
    return from_numpy(y)


def layer_norm(x: Tensor, gain: Tensor, bias: Tensor, eps: float) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.layer_norm`."""
    a = _array(x)
    y, centre, scale = _new(*a.shape), _new(len(a)), _new(len(a))
    args = (a, _array(gain), _array(bias), eps, y, centre, scale)
    over(kernels.layer_norm, len(a), a.size, *args)
    return from_numpy(y), from_numpy(centre), from_numpy(scale)


def layer_norm_backward(
    dy: Tensor, x: Tensor, centre: Tensor, scale: Tensor, gain: Tensor
) -> tuple[Tensor, Tensor, Tensor]:
    """As `reference.layer_norm_backward`."""
    d, a = _array(dy), _array(x)
    dx, product = _new(*a.shape), _new(*a.shape)
    args = (d, a, _array(centre), _array(scale), _array(gain), dx, product)
    over(kernels.layer_norm_backward, len(a), a.size, *args)
    dgain, dbias = _new(a.shape[1]), _new(a.shape[1])
    over(kernels.layer_norm_sums, a.shape[1], 2 * a.size, d, product, dgain, dbias)
    return from_numpy(dx), from_numpy(dgain), from_numpy(dbias)


def _elementwise(kernel: Any, *inputs: Tensor) -> Tensor:
    arrays = [_matrix(x) for x in inputs]
    y = _new(*arrays[0].shape)
    over(kernel, len(y), y.size, *arrays, y)
    return from_numpy(y).view(inputs[0].shape)


def gelu(x: Tensor) -> Tensor:
    """As `reference.gelu`."""
    return _elementwise(kernels.gelu, x)


def gelu_backward(dy: Tensor, x: Tensor) -> Tensor:
    """As `reference.gelu_backward`."""
    return _elementwise(kernels.gelu_backward, dy, x)


def sigmoid(x: Tensor) -> Tensor:
    """As `reference.sigmoid`."""
    return _elementwise(kernels.sigmoid, x)


def sigmoid_backward(dy: Tensor, y: Tensor) -> Tensor:
    """As `reference.sigmoid_backward`."""
    return _elementwise(kernels.sigmoid_backward, dy, y)


def tanh(x: Tensor) -> Tensor:
    """As `reference.tanh`."""
    return _elementwise(kernels.tanh, x)


def tanh_backward(dy: Tensor, y: Tensor) -> Tensor:
    """As `reference.tanh_backward`."""
    return _elementwise(kernels.tanh_backward, dy, y)


def softmax_weights(logits: Tensor) -> Tensor:
    """As `reference.softmax_weights`."""
    a = _array(logits)
    weights = _new(*a.shape, dtype=np.int32)
    over(kernels.softmax_weights, len(a), a.size, a, weights)
    return from_numpy(weights)


def loss_gradient(weights: Tensor, targets: Tensor, count: int) -> Tensor:
    """As `reference.loss_gradient`."""
    a = _array(weights)
    y = _new(*a.shape)
    args = (a, _array(targets), np.float32(1.0 / count), y)
    over(kernels.loss_gradient, len(a), a.size, *args)
    return from_numpy(y)


def adam(w: Tensor, g: Tensor, m: Tensor, v: Tensor, constants: tuple[float, ...]) -> None:
    """As `reference.adam`; the tensors must be contiguous, they are written to."""
    arrays = [_array(x).reshape(-1) for x in (w, g, m, v)]
    over(kernels.adam, w.numel(), 4 * w.numel(), *arrays, np.array(constants, np.float32))
