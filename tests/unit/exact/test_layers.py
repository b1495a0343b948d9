"""The layers: forward row by row, gradients as in float within the quantisation error."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor, nn

from nncomp.exact import layers, reference
from nncomp.exact.ops import force_reference

if TYPE_CHECKING:
    from collections.abc import Callable

F64 = torch.float64
SEEDS = st.integers(0, 2**32 - 1)
SIZES = st.sampled_from([1, 2, 3, 16, 33, 130])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def backward(layer: nn.Module, x: Tensor, dy: Tensor) -> list[Tensor]:
    """The result and the gradients of x and of all parameters."""
    x = x.clone().requires_grad_()
    y = layer(x)
    gradients = torch.autograd.grad(y, [x, *layer.parameters()], dy)
    return [y.detach(), *gradients]


def relative(got: Tensor, want: Tensor) -> float:
    """Error as a share of the size of what it should be."""
    got, want = got.detach(), want.detach()
    return float((got - want).norm() / (want.norm() + 1e-12))


def close_products(got: Tensor, a: Tensor, b: Tensor) -> None:
    """Whether got is a @ b but for 14 bits a row of a, whose largest may lose 1 %."""
    a, b = a.to(F64), b.to(F64)
    tolerance = 0.01 * (a.abs() @ b.abs()) + 5e-4 * a.shape[-1] * a.abs().max() * b.abs().max()
    assert ((got - a @ b).abs() <= tolerance).all()


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def kept(x: Tensor) -> Tensor:
    """What quantisation keeps of the rows of x."""
    q, scale = reference.quantise_rows(x)
    return q.to(F64) * scale.unsqueeze(1)


@pytest.mark.parametrize("activation", [False, True])
@given(seed=SEEDS, r=SIZES, k=SIZES, n=SIZES)
def test_linear_is_exact_but_for_the_quantised_operands(
    activation: bool, seed: int, r: int, k: int, n: int
) -> None:
    x, weight, bias, dy = (
        random(*shape, seed=seed + i) for i, shape in enumerate([(r, k), (n, k), (n,), (r, n)])
    )
    layer = layers.Linear(weight.clone(), bias.clone(), activation)
    y, dx, dw, db = backward(layer, x, dy)
    inputs, weights = kept(reference.gelu(x) if activation else x), kept(weight)
    assert relative(y.to(F64), inputs @ weights.t() + bias) < 1e-6
    slope = reference.gelu_backward(torch.ones_like(x), x) if activation else torch.ones_like(x)
    close_products(dx / slope, dy, weights)
    close_products(dw, dy.t(), inputs)
    assert torch.equal(db, reference.column_sum(dy))


def test_linear_is_near_the_one_in_float() -> None:
    x, weight, bias, dy = random(64, 200), random(100, 200), random(100), random(64, 100)
    got = backward(layers.Linear(weight.clone(), bias.clone(), True), x, dy)

    class InFloat(nn.Module):
        def __init__(self) -> None:
            super().__init__()
            self.weight, self.bias = nn.Parameter(weight.double()), nn.Parameter(bias.double())

        def forward(self, x: Tensor) -> Tensor:
            return quick_gelu(x) @ self.weight.t() + self.bias

    want = backward(InFloat(), x.double(), dy.double())
    # 6 bits and a sign for inputs and weights, in both directions.
    for g, w, tolerance in zip(got, want, (0.04, 0.04, 0.04, 1e-4), strict=True):
        assert relative(g.to(F64), w) < tolerance


@given(seed=SEEDS, lanes=SIZES, steps=st.integers(1, 9), width=SIZES)
def test_lane_linear_is_a_linear_for_every_lane(
    seed: int, lanes: int, steps: int, width: int
) -> None:
    shapes = [(lanes, steps, width), (lanes, width, width), (lanes, width), (lanes, steps, width)]
    x, weight, bias, dy = (random(*shape, seed=seed + i) for i, shape in enumerate(shapes))
    y, dx, dw, db = backward(layers.LaneLinear(weight.clone(), bias.clone()), x, dy)
    for lane in range(lanes):
        alone = layers.Linear(weight[lane].clone(), bias[lane].clone())
        assert relative(y[lane], alone(x[lane])) < 1e-6
        close_products(dx[lane], dy[lane], kept(weight[lane]))
        close_products(dw[lane], dy[lane].t(), kept(x[lane]))
        assert torch.equal(db[lane], reference.column_sum(dy[lane]))


def test_linear_of_a_computed_weight_learns_through_it() -> None:
    x, weight, bias = random(10, 6), random(4, 6).requires_grad_(), random(4).requires_grad_()
    layers.linear(x, weight * 2, bias).backward(random(10, 4, seed=1))
    layer = layers.Linear((weight * 2).detach(), bias.detach())
    _, _, dw, db = backward(layer, x, random(10, 4, seed=1))
    assert torch.equal(weight.grad, dw * 2)
    assert torch.equal(bias.grad, db)


def test_integers_follow_the_weights_only_when_refreshed() -> None:
    model = nn.Sequential(
        layers.Linear(random(4, 4), random(4)), layers.LaneLinear(random(2, 4, 4), random(2, 4))
    )
    before = [m.q.clone() for m in model]
    with torch.no_grad():
        for p in model.parameters():
            p.neg_()
    assert all(torch.equal(m.q, q) for m, q in zip(model, before, strict=True))
    layers.refresh(model)
    assert all(torch.equal(m.q, -q) for m, q in zip(model, before, strict=True))


def test_lookup_sums_gradients_of_equal_indices() -> None:
    table = random(5, 3).requires_grad_()
    index = torch.tensor([[4, 0], [4, 4]])
    y = layers.lookup(table, index)
    assert torch.equal(y, table[index])
    y.backward(torch.arange(12.0).view(2, 2, 3))
    want = torch.zeros(5, 3)
    want[4], want[0] = torch.tensor([15.0, 18.0, 21.0]), torch.tensor([3.0, 4.0, 5.0])
    assert torch.equal(table.grad, want)


@pytest.mark.parametrize(
    ("layer", "function"),
    [
        (layers.gelu, quick_gelu),
        (layers.sigmoid, torch.sigmoid),
        (layers.LayerNorm(8), lambda x: nn.functional.layer_norm(x, (8,), eps=layers.EPS)),
    ],
    ids=["gelu", "sigmoid", "layer norm"],
)
def test_other_layers_and_their_gradients(
    layer: Callable[[Tensor], Tensor], function: Callable[[Tensor], Tensor]
) -> None:
    x, dy = random(6, 8).requires_grad_(), random(6, 8, seed=1)
    exact = x.detach().double().requires_grad_()
    (dx,) = torch.autograd.grad(layer(x), x, dy)
    (want,) = torch.autograd.grad(function(exact), exact, dy.double())
    assert relative(layer(x), function(exact)) < 1e-3
    assert relative(dx, want) < 3e-3


LAYERS: dict[str, tuple[Callable[[], Callable[[Tensor], Tensor]], int]] = {
    "linear": (lambda: layers.Linear(random(30, 20), random(30)), 20),
    "linear of gelu": (lambda: layers.Linear(random(30, 20), random(30), True), 20),
    "layer norm": (lambda: layers.LayerNorm(20), 20),
    "gelu": (lambda: layers.gelu, 20),
    "sigmoid": (lambda: layers.sigmoid, 20),
}


@pytest.mark.parametrize("name", LAYERS)
def test_a_row_depends_on_itself_alone(name: str) -> None:
    """All rows at once, one by one, and among rows a million times larger: the same bits."""
    make, width = LAYERS[name]
    layer = make()
    x = random(17, width)
    together = layer(x)
    assert torch.equal(together, torch.cat([layer(row) for row in x.split(1)]))
    crowd = torch.cat((x[:5], random(300, width, seed=3) * 1e6, x[5:]))
    assert torch.equal(together, torch.cat((layer(crowd)[:5], layer(crowd)[-12:])))


def test_a_lane_depends_on_itself_alone() -> None:
    layer = layers.LaneLinear(random(3, 20, 20), random(3, 20))
    x = random(3, 7, 20)
    together = layer(x)
    assert torch.equal(together, torch.cat([layer(x[:, t : t + 1]) for t in range(7)], dim=1))
    other = x.clone()
    other[1] *= 1e6
    assert torch.equal(together[[0, 2]], layer(other)[[0, 2]])


def test_force_reference_ends_with_its_block() -> None:
    from nncomp.exact import cpu, ops

    cpu_device = torch.device("cpu")
    assert ops.backend(cpu_device) is cpu
    with force_reference():
        assert ops.backend(cpu_device) is reference
        with force_reference():
            pass
        assert ops.backend(cpu_device) is reference
    assert ops.backend(cpu_device) is cpu
    assert ops.backend(torch.device("cuda")) is reference
