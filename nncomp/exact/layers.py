"""Layers in exact arithmetic, with their gradients.

Each is a `torch.nn.Module` around a `torch.autograd.Function` that calls the exact
operations, so that models read like plain torch. The rules they keep:

* Forward is row-wise: a row's result depends on that row and the weights alone. A
  segment computed at once equals the same segment computed step by step.
* Weights are held in float32 and used as 7-bit integers, one power-of-two scale a
  row; `refresh` makes the integers anew after an update of the weights.
* Gradients are 14-bit integers in two slices: two products each for the gradient of
  the input and of the weights.
"""

from __future__ import annotations

from typing import Any, cast

import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from nncomp.exact.ops import backend
from nncomp.exact.products import batched, product

__all__ = ["Embedding", "LaneLinear", "LayerNorm", "Linear", "gelu", "refresh"]

EPS = 1e-5


class _LinearFunction(Function):
    """y = act(x) W^T + b."""

    @staticmethod
    def forward(
        ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: Linear, activation: bool
    ) -> Tensor:
        ops = backend(x.device)
        q, scale = ops.quantise_rows(x, activation)
        y = ops.rescale(product(q, layer.q.t()), scale, layer.scale, bias)
        ctx.save_for_backward(x if activation else x.new_empty(0), q, scale)
        ctx.layer = layer
        return cast(Tensor, y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, q, scale = ctx.saved_tensors
        layer: Linear = ctx.layer
        ops = backend(dy.device)
        dy = dy.contiguous()
        dx = None
        if ctx.needs_input_grad[0]:
            slices, row = ops.split_rows(dy, layer.scale)
            acc = product(slices.view(-1, dy.shape[1]), layer.q)
            dx = ops.merge(acc.view(2, -1, q.shape[1]), row, x if x.numel() else None)
        slices, row = ops.split_columns(dy, scale)
        acc = product(slices.t(), q)
        dw = ops.merge(acc.view(2, dy.shape[1], -1), row)
        return dx, dw, ops.column_sum(dy), None, None


class Linear(nn.Module):
    """Fully connected layer; with `activation`, of gelu of its input.

    Args:
        inputs, outputs: Widths K and N. The weight is (N, K).
        activation: Apply `gelu` to the input on its way into the product, which
            saves writing and reading it.
        weight: Initial weight (N, K) and, of the same generator, bias (N,).
    """

    q: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, bias: Tensor, activation: bool = False) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.activation = activation
        self.register_buffer("q", torch.empty(weight.shape, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(weight.shape[0]))
        self.refresh()

    def refresh(self) -> None:
        """Make the integers from the weights."""
        weight = self.weight.detach()
        self.q, self.scale = backend(weight.device).quantise_rows(weight)

    def forward(self, x: Tensor) -> Tensor:
        """(R, K) to (R, N)."""
        y = _LinearFunction.apply(x, self.weight, self.bias, self, self.activation)
        return cast(Tensor, y)


class _LaneLinearFunction(Function):
    """y[l] = x[l] W[l]^T + b[l], each lane with its own matrix."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, weight: Tensor, bias: Tensor, layer: LaneLinear) -> Tensor:
        lanes, steps, width = x.shape
        ops = backend(x.device)
        q, scale = ops.quantise_rows(x.reshape(-1, width))
        q = q.view(x.shape)
        acc = batched(q, layer.q.transpose(1, 2)).to(torch.float32)
        y = acc * (scale.view(lanes, steps, 1) * layer.scale.view(lanes, 1, -1))
        ctx.save_for_backward(q, scale)
        ctx.layer = layer
        return y + bias.unsqueeze(1)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        q, scale = ctx.saved_tensors
        layer: LaneLinear = ctx.layer
        lanes, steps, width = dy.shape
        ops = backend(dy.device)
        # One grid for all lanes on each side: 14 bits leave room, and a lane's scales
        # fold into dy before it is rounded.
        scaled = (dy * layer.scale.view(lanes, 1, -1)).reshape(-1, width)
        slices, row = ops.split_rows(scaled, torch.ones(width, device=dy.device))
        slices = slices.view(2, lanes, steps, width).transpose(0, 1).reshape(lanes, -1, width)
        acc = batched(slices, layer.q).view(lanes, 2, steps, -1).transpose(0, 1)
        dx = ops.merge(acc.reshape(2, lanes * steps, -1), row).view(q.shape)
        # (lanes, steps, N) as rows (lane, n) of `steps` terms.
        terms = (dy * scale.view(lanes, steps, 1)).transpose(1, 2).reshape(-1, steps)
        slices, row = ops.split_rows(terms, torch.ones(steps, device=dy.device))
        slices = slices.view(2, lanes, width, steps).transpose(0, 1).reshape(lanes, -1, steps)
        acc = batched(slices, q).view(lanes, 2, width, -1).transpose(0, 1)
        dw = ops.merge(acc.reshape(2, lanes * width, -1), row).view(layer.weight.shape)
        by_lane = dy.transpose(0, 1).reshape(steps, -1).contiguous()
        return dx, dw, ops.column_sum(by_lane).view(lanes, width), None


class LaneLinear(nn.Module):
    """A square linear layer of its own for every lane (PAC's batch ensemble, "V map").

    Args:
        weight: (L, N, K) initial weights. bias: (L, N).
    """

    q: Tensor
    scale: Tensor

    def __init__(self, weight: Tensor, bias: Tensor) -> None:
        super().__init__()
        self.weight = nn.Parameter(weight)
        self.bias = nn.Parameter(bias)
        self.register_buffer("q", torch.empty(weight.shape, dtype=torch.int8))
        self.register_buffer("scale", torch.empty(weight.shape[:2]))
        self.refresh()

    def refresh(self) -> None:
        """Make the integers from the weights."""
        weight = self.weight.detach()
        rows = weight.view(-1, weight.shape[2])
        q, scale = backend(weight.device).quantise_rows(rows)
        self.q, self.scale = q.view(weight.shape), scale.view(weight.shape[:2])

    def forward(self, x: Tensor) -> Tensor:
        """(L, T, K) to (L, T, N)."""
        return cast(Tensor, _LaneLinearFunction.apply(x, self.weight, self.bias, self))


class _LayerNormFunction(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous()
        y, centre, scale = backend(x.device).layer_norm(x, gain, bias, EPS)
        ctx.save_for_backward(x, centre, scale, gain)
        return cast(Tensor, y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        dy = dy.contiguous()
        ops = backend(dy.device)
        dx, terms = ops.layer_norm_backward(dy, *ctx.saved_tensors)
        return dx, ops.column_sum(terms), ops.column_sum(dy)


class LayerNorm(nn.Module):
    """Layer norm over the last dimension of (R, K), with gain and bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(R, K) to (R, K)."""
        return cast(Tensor, _LayerNormFunction.apply(x, self.gain, self.bias))


class _GeluFunction(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        return cast(Tensor, backend(x.device).gelu(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return cast(Tensor, backend(dy.device).gelu_backward(dy.contiguous(), x))


def gelu(x: Tensor) -> Tensor:
    """GELU, logistic form, of any shape."""
    return cast(Tensor, _GeluFunction.apply(x))


class _EmbeddingFunction(Function):
    """sigmoid(table)[index]."""

    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        from nncomp.exact import reference

        y = reference.sigmoid(table)
        ctx.save_for_backward(y, index)
        return y[index]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        y, index = ctx.saved_tensors
        rows = dy.reshape(-1, y.shape[1]).contiguous()
        total = backend(dy.device).index_sum(rows, index.reshape(-1), y.shape[0])
        return total * (y - y * y), None


class Embedding(nn.Module):
    """One vector a byte, squashed by a sigmoid (SEP and PAC).

    Args:
        table: (256, D) initial values.
    """

    def __init__(self, table: Tensor) -> None:
        super().__init__()
        self.table = nn.Parameter(table)

    def forward(self, index: Tensor) -> Tensor:
        """int64 of any shape to the same shape with D appended."""
        return cast(Tensor, _EmbeddingFunction.apply(self.table, index))


def refresh(model: nn.Module) -> None:
    """Make the integers of all layers from their weights, after an update."""
    for module in model.modules():
        if isinstance(module, (Linear, LaneLinear)):
            module.refresh()
