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

import numpy as np
import torch
from torch import Tensor, nn
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from nncomp.exact.ops import backend
from nncomp.exact.products import batched, product

__all__ = [
    "LaneLinear",
    "LayerNorm",
    "Linear",
    "backpropagate",
    "gelu",
    "linear",
    "lookup",
    "ordered_mask",
    "refresh",
    "scale_tokens",
    "sigmoid",
    "tanh",
]

EPS = 1e-5
MASK_CLIP = 5.0


def _apply(function: Any, *args: Any) -> Tensor:
    """`Function.apply`, which torch leaves untyped."""
    return cast("Tensor", function.apply(*args))


class _LinearFunction(Function):
    """y = act(x) W^T + b, with W as integers `weight_q` of scales `weight_scale`."""

    @staticmethod
    def forward(
        ctx: Any,
        x: Tensor,
        weight: Tensor,
        bias: Tensor,
        weight_q: Tensor,
        weight_scale: Tensor,
        activation: bool,
    ) -> Tensor:
        ops = backend(x.device)
        q, scale = ops.quantise_rows(x, activation)
        y = ops.rescale(product(q, weight_q.t()), scale, weight_scale, bias)
        saved = x if activation else x.new_empty(0)
        ctx.save_for_backward(saved, q, scale, weight_q, weight_scale)
        return cast("Tensor", y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor | None, ...]:
        x, q, scale, weight_q, weight_scale = ctx.saved_tensors
        ops = backend(dy.device)
        dy = dy.contiguous()
        dx = None
        if ctx.needs_input_grad[0]:
            slices, row = ops.split_rows(dy, weight_scale)
            acc = product(slices.view(-1, dy.shape[1]), weight_q)
            dx = ops.merge(acc.view(2, -1, q.shape[1]), row, x if x.numel() else None)
        slices, row, dbias = ops.split_columns(dy, scale)
        acc = product(slices.t(), q)
        dw = ops.merge(acc.view(2, dy.shape[1], -1), row)
        return dx, dw, dbias, None, None, None


class Linear(nn.Module):
    """Fully connected layer; with `activation`, of gelu of its input.

    Args:
        weight: (N, K) initial weights. bias: (N,).
        activation: Apply `gelu` to the input on its way into the product, which
            saves writing and reading it.
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
        args = (x, self.weight, self.bias, self.q, self.scale, self.activation)
        return _apply(_LinearFunction, *args)


def linear(x: Tensor, weight: Tensor, bias: Tensor) -> Tensor:
    """x W^T + b for a weight that is itself computed: (R, K), (N, K), (N,) to (R, N)."""
    q, scale = backend(x.device).quantise_rows(weight.detach())
    return _apply(_LinearFunction, x, weight, bias, q, scale, False)


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
        return cast("Tensor", y + bias.unsqueeze(1))

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
        return _apply(_LaneLinearFunction, x, self.weight, self.bias, self)


class _LayerNormFunction(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, gain: Tensor, bias: Tensor) -> Tensor:
        x = x.contiguous()
        y, centre, scale = backend(x.device).layer_norm(x, gain, bias, EPS)
        ctx.save_for_backward(x, centre, scale, gain)
        return cast("Tensor", y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, ...]:
        gradients = backend(dy.device).layer_norm_backward(dy.contiguous(), *ctx.saved_tensors)
        return cast("tuple[Tensor, ...]", gradients)


class LayerNorm(nn.Module):
    """Layer norm over the last dimension of (R, K), with gain and bias."""

    def __init__(self, width: int) -> None:
        super().__init__()
        self.gain = nn.Parameter(torch.ones(width))
        self.bias = nn.Parameter(torch.zeros(width))

    def forward(self, x: Tensor) -> Tensor:
        """(R, K) to (R, K)."""
        return _apply(_LayerNormFunction, x, self.gain, self.bias)


class _GeluFunction(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor) -> Tensor:
        x = x.contiguous()
        ctx.save_for_backward(x)
        return cast("Tensor", backend(x.device).gelu(x))

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> Tensor:
        (x,) = ctx.saved_tensors
        return cast("Tensor", backend(dy.device).gelu_backward(dy.contiguous(), x))


def gelu(x: Tensor) -> Tensor:
    """GELU, logistic form, of any shape."""
    return _apply(_GeluFunction, x)


class _SquashFunction(Function):
    """Sigmoid or tanh, whose gradients follow from their results."""

    @staticmethod
    def forward(ctx: Any, x: Tensor, name: str) -> Tensor:
        y = getattr(backend(x.device), name)(x)
        ctx.save_for_backward(y)
        ctx.name = name
        return cast("Tensor", y)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (y,) = ctx.saved_tensors
        gradient = getattr(backend(dy.device), ctx.name + "_backward")
        return gradient(dy.contiguous(), y), None


def sigmoid(x: Tensor) -> Tensor:
    """Logistic function, of any shape."""
    return _apply(_SquashFunction, x, "sigmoid")


def tanh(x: Tensor) -> Tensor:
    """Hyperbolic tangent, of any shape."""
    return _apply(_SquashFunction, x, "tanh")


class _LookupFunction(Function):
    @staticmethod
    def forward(ctx: Any, table: Tensor, index: Tensor) -> Tensor:
        ctx.save_for_backward(index)
        ctx.size = table.shape[0]
        return table[index]

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        (index,) = ctx.saved_tensors
        rows = dy.reshape(-1, dy.shape[-1]).contiguous()
        total = backend(dy.device).index_sum(rows, index.reshape(-1), ctx.size)
        return total, None


def lookup(table: Tensor, index: Tensor) -> Tensor:
    """Rows of a table (S, D) by int64 indices of any shape; appends a dimension D."""
    return _apply(_LookupFunction, table, index)


class _OrderedMaskFunction(Function):
    """Integer weights of the softmax, summed from the oldest to the newest position."""

    @staticmethod
    def forward(ctx: Any, beta: Tensor, tau: float) -> Tensor:
        ops = backend(beta.device)
        ctx.share = float(np.float32(1.0 / tau))
        s = ops.sigmoid(beta.clamp(-MASK_CLIP, MASK_CLIP))
        weights = ops.softmax_weights(s * ctx.share).to(torch.int64)
        sums = weights.cumsum(dim=1).to(torch.float32)
        total = sums[:, -1:]
        mask: Tensor = sums / total
        ctx.save_for_backward(beta, s, weights.to(torch.float32) / total, mask)
        return mask

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, None]:
        beta, s, p, mask = ctx.saved_tensors
        ops = backend(dy.device)
        position = torch.arange(beta.shape[1], device=dy.device)
        # The mask at k holds p_j of every j <= k: d mask_k / d z_j = p_j ([k >= j] - mask_k).
        holds = (position.unsqueeze(1) >= position).to(torch.float32)
        slope = holds.unsqueeze(1) - mask.t().unsqueeze(2)  # (k, L, j)
        terms = dy.t().unsqueeze(2) * slope
        dz = ops.column_sum(terms.reshape(len(position), -1)).view(p.shape) * p
        dbeta = ops.sigmoid_backward(dz * ctx.share, s)
        return torch.where(beta.abs() <= MASK_CLIP, dbeta, torch.zeros_like(dbeta)), None


def ordered_mask(beta: Tensor, tau: float) -> Tensor:
    """Weights of the positions of a context that never fall towards the newest.

    The cumulative sum of softmax(sigmoid(clamp(beta)) / tau), oldest position first, as
    in PAC (Mao et al., DAC 2023). PAC adds Gumbel noise to what enters the softmax; here
    is none, since nothing random may enter an archive.

    Args:
        beta: (L, K), learned; beyond +-5 it counts as +-5 and gets no gradient.
        tau: Temperature.

    Returns:
        (L, K) in 0..1, the newest position exactly 1.
    """
    return _apply(_OrderedMaskFunction, beta, tau)


class _ScaleTokensFunction(Function):
    @staticmethod
    def forward(ctx: Any, x: Tensor, mask: Tensor) -> Tensor:
        ctx.save_for_backward(x, mask)
        return _scaled(x, mask)

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, dy: Tensor) -> tuple[Tensor, Tensor]:
        x, mask = ctx.saved_tensors
        dy = dy.contiguous()
        # A mask value's sum goes over its lane's steps and its token's numbers.
        terms = _tokens(dy * x, mask).permute(1, 3, 0, 2).reshape(-1, mask.numel())
        dmask = backend(dy.device).column_sum(terms).view(mask.shape)
        return _scaled(dy, mask), dmask


def _tokens(x: Tensor, mask: Tensor) -> Tensor:
    """(R, K d) as (L, T, K, d)."""
    lanes, count = mask.shape
    return x.view(lanes, -1, count, x.shape[1] // count)


def _scaled(x: Tensor, mask: Tensor) -> Tensor:
    return (_tokens(x, mask) * mask[:, None, :, None]).view(x.shape)


def scale_tokens(x: Tensor, mask: Tensor) -> Tensor:
    """Every token of (R, K d) times its position's value of its lane's mask (L, K)."""
    return _apply(_ScaleTokensFunction, x, mask)


class _SeedFunction(Function):
    @staticmethod
    def forward(ctx: Any, y: Tensor, gradient: Tensor) -> Tensor:
        ctx.save_for_backward(gradient)
        return y.new_zeros(())

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, _: Tensor) -> tuple[Tensor, None]:
        (gradient,) = ctx.saved_tensors
        return gradient, None


def backpropagate(y: Tensor, gradient: Tensor) -> None:
    """As `y.backward(gradient)`, which would import half a second of symbolic algebra."""
    _apply(_SeedFunction, y, gradient).backward()  # type: ignore[no-untyped-call]  # torch's


def refresh(model: nn.Module) -> None:
    """Make the integers of all layers from their weights, after an update."""
    for module in model.modules():
        if isinstance(module, (Linear, LaneLinear)):
            module.refresh()
