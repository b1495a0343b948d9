"""The guard refuses what differs between machines, and lets the reference pass."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from torch.nn import functional

from nncomp.exact import layers, products, reference
from nncomp.exact.adam import Adam, AdamConfig
from nncomp.exact.guard import ExactGuard, InexactOperationError
from nncomp.exact.ops import force_reference

if TYPE_CHECKING:
    from collections.abc import Callable

X = torch.linspace(-2, 2, 12).view(3, 4)
Q = torch.arange(12.0).view(3, 4) - 6
BIG = torch.full((2, 8), 2.0**12)
INT = torch.arange(12).view(3, 4)
INDEX = torch.tensor([0, 1, 1])

REFUSED: dict[str, Callable[[], object]] = {
    "exp": lambda: torch.exp(X),
    "exp in place": lambda: X.clone().exp_(),
    "exp2": lambda: torch.exp2(X),
    "tanh": lambda: torch.tanh(X),
    "sigmoid": lambda: torch.sigmoid(X),
    "log": lambda: torch.log(X.abs() + 1),
    "pow": lambda: X**3,
    "gelu": lambda: functional.gelu(X),
    "silu": lambda: functional.silu(X),
    "rsqrt": lambda: torch.rsqrt(X.double().abs()),
    "sqrt of float32": lambda: torch.sqrt(X.abs()),
    "sum of floats": lambda: X.sum(),
    "sum of integers in float": lambda: INT.sum(dtype=torch.float32),
    "cumulative sum of floats": lambda: X.cumsum(dim=0),
    "cumulative sum of integers in float": lambda: INT.cumsum(dim=0, dtype=torch.float32),
    "mean": lambda: X.mean(),
    "variance": lambda: X.var(dim=1),
    "norm": lambda: X.norm(),
    "add with alpha": lambda: torch.add(X, X, alpha=3),
    "subtract with alpha": lambda: torch.sub(X, X, alpha=3),
    "reversed subtract with alpha": lambda: torch.rsub(X, X, alpha=3),
    "reversed subtract with alpha by position": lambda: torch.ops.aten.rsub.Scalar(X, 1.0, 3),
    "addcmul": lambda: torch.addcmul(X, X, X),
    "addcdiv": lambda: torch.addcdiv(X, X, X),
    "lerp": lambda: torch.lerp(X, X, 0.3),
    "softmax": lambda: torch.softmax(X, dim=1),
    "log softmax": lambda: torch.log_softmax(X, dim=1),
    "layer norm": lambda: functional.layer_norm(X, (4,)),
    "cross entropy": lambda: functional.cross_entropy(X, INDEX),
    "product of numbers that are not integers": lambda: X @ X.t(),
    "product of one such": lambda: Q @ X.t(),
    "product beyond 24 bits": lambda: BIG @ BIG.t(),
    "product of halves": lambda: Q.half() @ Q.half().t(),
    "batched product of numbers that are not integers": lambda: torch.bmm(X[None], X.t()[None]),
    "product and sum": lambda: torch.addmm(Q[:, :3], Q, Q.t()),
    "linear": lambda: functional.linear(Q, Q, Q[:, 0]),
    "convolution": lambda: functional.conv1d(Q[None], Q[:, :3, None]),
    "index_add_ of floats": lambda: torch.zeros(3, 4).index_add_(0, INDEX, X),
    "scatter_add_ of floats": lambda: torch.zeros(3, 4).scatter_add_(0, INT % 3, X),
    "embedding": lambda: functional.embedding(INDEX, X),
    "random numbers": lambda: torch.randn(3),
    "dropout": lambda: functional.dropout(X),
    "division by a number": lambda: X / 3,
    "round to decimals": lambda: torch.round(X, decimals=2),
}

ALLOWED: dict[str, Callable[[], object]] = {
    "arithmetic": lambda: (X + X - 1) * X / (X.abs() + 1),
    "negative and reciprocal": lambda: -(X.abs() + 1).reciprocal(),
    "rounding and bounds": lambda: X.round().clamp(-1, 1),
    "maxima": lambda: X.amax(dim=1),
    "selection": lambda: torch.where(X > 0, X, X.new_zeros(())),
    "sum of integers": lambda: INT.sum(),
    "cumulative sum of integers": lambda: INT.cumsum(dim=1),
    "sum of truths": lambda: (X > 0).sum(),
    "integer index_add_": lambda: torch.zeros(3, 4, dtype=torch.int64).index_add_(0, INDEX, INT),
    "root by float64": lambda: torch.sqrt(X.abs().double()).float(),
    "product of integers": lambda: Q @ Q.t(),
    "product of 48 bits in float64": lambda: BIG.double() @ BIG.t().double(),
    "bits": lambda: (X.view(torch.int32) >> 23) - 127,
    "moving": lambda: torch.cat((X, X)).t().reshape(2, -1)[:, 1:].unfold(1, 2, 1).contiguous(),
    "windows and lookups": lambda: X[INDEX],
}


@pytest.mark.parametrize("name", REFUSED)
def test_refused(name: str) -> None:
    REFUSED[name]()  # works without the guard
    with pytest.raises(InexactOperationError), ExactGuard():
        REFUSED[name]()


@pytest.mark.parametrize("name", ALLOWED)
def test_allowed(name: str) -> None:
    with ExactGuard() as guard:
        ALLOWED[name]()
    assert guard.seen


def test_the_message_names_the_operation() -> None:
    with pytest.raises(InexactOperationError, match=r"aten\.exp.*not on the list"), ExactGuard():
        torch.exp(X)
    with pytest.raises(InexactOperationError, match="not integers"), ExactGuard():
        X @ X.t()


def test_the_backward_pass_is_guarded_too() -> None:
    x = X.clone().requires_grad_()
    y = torch.tanh(x)
    with pytest.raises(InexactOperationError), ExactGuard():
        y.backward(X)


def test_every_layer_passes_forward_and_backward() -> None:
    table = torch.nn.Parameter(torch.linspace(-1, 1, 80).view(10, 8))
    model = torch.nn.ModuleList(
        [
            layers.LayerNorm(8),
            layers.Linear(torch.ones(6, 8) / 3, torch.zeros(6)),
            layers.Linear(torch.ones(8, 6) / 3, torch.zeros(8), activation=True),
            layers.LaneLinear(torch.ones(2, 8, 8) / 3, torch.zeros(2, 8)),
        ]
    )
    norm, up, down, lane = model
    products.product(up.q, up.q.t())  # chooses a way, by products of random integers
    adam = Adam([table, *model.parameters()], AdamConfig())
    index = torch.tensor([[1, 2, 3], [4, 1, 1]])
    with force_reference(), ExactGuard() as guard:
        x = layers.lookup(layers.sigmoid(table), index).view(6, 8)
        y = layers.gelu(down(up(norm(x))))
        logits = lane(y.view(2, 3, 8)).view(6, 8)
        logits = torch.cat([logits] * 32, dim=1)
        weights = reference.softmax_weights(logits.detach())
        logits.backward(reference.loss_gradient(weights, index.view(-1), 6))
        adam.step(1e-3)
        layers.refresh(model)
    assert {"mul", "add", "sum", "where", "index_add_", "bmm", "sqrt"} <= guard.seen
