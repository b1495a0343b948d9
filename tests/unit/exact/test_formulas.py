"""Each operation against an independent formula in float64, within a stated tolerance."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st
from torch import Tensor
from torch.nn import functional

from nncomp.exact import grid, reference

if TYPE_CHECKING:
    from collections.abc import Callable

F64 = torch.float64
SEEDS = st.integers(0, 2**32 - 1)
ROWS, WIDTHS = st.integers(1, 12), st.sampled_from([1, 2, 3, 16, 65, 256])


def random(*shape: int, seed: int = 0) -> Tensor:
    return torch.randn(shape, generator=torch.Generator().manual_seed(seed))


def close(got: Tensor, want: Tensor, tolerance: float | Tensor) -> None:
    """|got - want| <= tolerance everywhere; both are compared in float64."""
    error = (got.to(F64) - want.to(F64)).abs() - tolerance
    assert error.max() <= 0, f"beyond the tolerance by {float(error.max()):.3g}"


def gradient(function: Callable[[Tensor], Tensor], x: Tensor, dy: Tensor) -> Tensor:
    """By torch's autograd, in float64."""
    x = x.to(F64).requires_grad_()
    (dx,) = torch.autograd.grad(function(x), x, dy.to(F64))
    return dx


# ---------------------------------------------------------------- element by element


def test_exp_is_within_four_millionths() -> None:
    x = torch.linspace(-80, 0, 400_001)
    got, want = reference.FUNCTIONS.exp(x).to(F64), torch.exp(x.to(F64))
    assert ((got - want) / want).abs().max() < 4e-6
    assert float(got[-1]) == 1.0


def test_exp_ends_at_minus_80() -> None:
    x = torch.tensor([-80.0, -80.1, -1e30, -torch.inf])
    assert reference.FUNCTIONS.exp(x).unique().numel() == 1


def test_sigmoid_and_its_gradient() -> None:
    x = torch.linspace(-40, 40, 100_001)
    y = reference.sigmoid(x)
    close(y, torch.sigmoid(x.to(F64)), 4e-6)
    dy = torch.full_like(x, 3.0)
    close(reference.sigmoid_backward(dy, y), gradient(torch.sigmoid, x, dy), 3e-5)


def test_tanh_and_its_gradient() -> None:
    x = torch.linspace(-40, 40, 100_001)
    y = reference.tanh(x)
    close(y, torch.tanh(x.to(F64)), 2e-6)
    dy = torch.full_like(x, 3.0)
    close(reference.tanh_backward(dy, y), gradient(torch.tanh, x, dy), 6e-5)


def quick_gelu(x: Tensor) -> Tensor:
    return x * torch.sigmoid(1.702 * x)


def test_gelu_and_its_gradient() -> None:
    x = torch.linspace(-40, 40, 100_001)
    close(reference.gelu(x), quick_gelu(x.to(F64)), 5e-6 * (1 + x.abs()))
    dy = torch.full_like(x, -2.0)
    close(reference.gelu_backward(dy, x), gradient(quick_gelu, x, dy), 5e-5 * (1 + x.abs()))


def test_gelu_is_near_the_exact_one() -> None:
    x = torch.linspace(-10, 10, 10_001)
    close(reference.gelu(x), functional.gelu(x.to(F64)), 0.0204)  # known for this form


@given(seed=SEEDS, spread=st.floats(0.01, 30))
def test_softmax_weights(seed: int, spread: float) -> None:
    logits = random(7, 256, seed=seed) * spread
    weights = reference.softmax_weights(logits)
    exact = logits.to(F64)
    want = torch.exp(exact - exact.amax(dim=1, keepdim=True)) * 2**23
    close(weights, want, 0.5 + 5e-6 * want)
    assert (weights.amax(dim=1) == 1 << 23).all()


@given(seed=SEEDS)
def test_loss_gradient_is_that_of_the_mean_cross_entropy(seed: int) -> None:
    logits = random(9, 256, seed=seed) * 3
    targets = torch.randint(0, 256, (9,), generator=torch.Generator().manual_seed(seed))
    coded = torch.arange(9) < 7
    got = reference.loss_gradient(
        reference.softmax_weights(logits), torch.where(coded, targets, -1), 7
    )

    def loss(x: Tensor) -> Tensor:
        return functional.cross_entropy(x[coded], targets[coded])

    close(got, gradient(loss, logits, torch.ones(())), 1e-6)
    assert not got[7:].any()


# ---------------------------------------------------------------- quantisation


def on_grid(scale: Tensor) -> bool:
    return torch.equal(torch.exp2(torch.log2(scale.to(F64)).round()), scale.to(F64))


@given(seed=SEEDS, r=ROWS, k=WIDTHS, magnitude=st.integers(-40, 40))
def test_quantised_rows_are_within_half_a_step(seed: int, r: int, k: int, magnitude: int) -> None:
    x = random(r, k, seed=seed) * 2.0**magnitude
    q, scale = reference.quantise_rows(x)
    assert on_grid(scale)
    assert q.abs().max() <= grid.VALUE_LIMIT
    # Half a step, and what is left of the largest ones above 63 of 64 steps.
    step = scale.to(F64).unsqueeze(1)
    close(q.to(F64) * step, x, torch.where(x.abs() > 63.5 * step, step, step / 2))
    # The grid is the finest that holds the largest: it uses at least half the range.
    assert (q.abs().amax(dim=1)[scale > 2.0 ** (grid.FLOOR - 5)] >= 32).all()


def test_quantised_activation_is_that_of_gelu() -> None:
    x = random(5, 70)
    assert all(
        torch.equal(a, b)
        for a, b in zip(
            reference.quantise_rows(x, activation=True),
            reference.quantise_rows(reference.gelu(x)),
            strict=True,
        )
    )


def slices(q: Tensor, dim: int) -> Tensor:
    high, low = q.unbind(dim)
    assert all(s.min() >= -64 and s.max() <= 63 for s in (high, low))
    return high.to(F64) * 128 + low


def close_slices(got: Tensor, want: Tensor, step: Tensor) -> None:
    """Within half a step but for the largest, of which at most 1 % is cut off."""
    close(got, want, torch.where(want.abs() > 8127 * step, 65 * step, step / 2))


@given(seed=SEEDS, r=ROWS, k=WIDTHS, magnitude=st.integers(-60, 60))
def test_two_slices_hold_fourteen_bits(seed: int, r: int, k: int, magnitude: int) -> None:
    dy = random(r, k, seed=seed) * 2.0**magnitude
    column = torch.exp2(torch.arange(k) % 5 - 2.0)
    q, scale = reference.split_rows(dy, column)
    assert on_grid(scale)
    step = scale.to(F64).unsqueeze(1)
    close_slices(slices(q, 0) * step, dy.to(F64) * column, step)

    row = torch.exp2(torch.arange(r) % 5 - 2.0)
    q, scale, sums = reference.split_columns(dy, row)
    step = scale.to(F64)
    close_slices(slices(q.view(r, 2, k), 1) * step, dy.to(F64) * row.unsqueeze(1), step)
    assert torch.equal(sums, reference.column_sum(dy))


@given(seed=SEEDS, k=WIDTHS)
def test_products_back_to_numbers(seed: int, k: int) -> None:
    generator = torch.Generator().manual_seed(seed)
    acc = torch.randint(-(2**20), 2**20, (2, 4, k), generator=generator, dtype=torch.int32)
    row, column = torch.exp2(torch.arange(4) - 9.0), torch.exp2(torch.arange(k) % 7 - 5.0)
    bias, x = random(k, seed=seed), random(4, k, seed=seed + 1)

    want = acc[0].to(F64) * row.to(F64).unsqueeze(1) * column
    close(reference.rescale(acc[0], row, column, bias), want + bias, 2e-7 * (want.abs() + 4))

    want = (acc[0].to(F64) * 128 + acc[1]) * row.unsqueeze(1)
    close(reference.merge(acc, row), want, 2e-7 * (1 + want.abs()))
    slope = gradient(quick_gelu, x, torch.ones_like(x))
    close(reference.merge(acc, row, x), want * slope, 3e-5 * (1 + want.abs()))


def test_merged_gradients_are_bounded() -> None:
    acc = torch.full((2, 1, 3), 2**31 - 1, dtype=torch.int32)
    largest = reference.merge(acc, torch.tensor([2.0**114]))
    assert torch.equal(largest, torch.full((1, 3), grid.GRADIENT_BOUND))


# ---------------------------------------------------------------- sums


def sum_error(x: Tensor, rows: int) -> Tensor:
    """Half a step of 2**-21 of the largest for each term, and the rounding of the result."""
    return x.abs().max().to(F64) * rows * 2.0**-21


@given(seed=SEEDS, r=st.sampled_from([1, 2, 33, 1000]), k=WIDTHS)
def test_column_sum(seed: int, r: int, k: int) -> None:
    x = random(r, k, seed=seed)
    close(reference.column_sum(x), x.to(F64).sum(dim=0), sum_error(x, r))


@given(seed=SEEDS, m=st.sampled_from([1, 2, 33, 1000]), d=WIDTHS)
def test_index_sum(seed: int, m: int, d: int) -> None:
    x = random(m, d, seed=seed)
    index = torch.randint(0, 5, (m,), generator=torch.Generator().manual_seed(seed))
    want = torch.zeros(5, d, dtype=F64).index_add_(0, index, x.to(F64))
    close(reference.index_sum(x, index, 5), want, sum_error(x, m))


# ---------------------------------------------------------------- layer norm


@given(seed=SEEDS, r=ROWS, k=st.sampled_from([2, 3, 16, 65, 256]), magnitude=st.integers(-3, 20))
def test_layer_norm_and_its_gradient(seed: int, r: int, k: int, magnitude: int) -> None:
    """Statistics of 15 bits: a thousandth of the deviation; gradients likewise."""
    generator = torch.Generator().manual_seed(seed)
    x = torch.randn(r, k, generator=generator) * 2.0**magnitude + 2.0**magnitude
    if k < 16:  # few values may all be close, which makes any error large: keep them apart
        x = x + torch.arange(k) * 2.0 ** (magnitude + 2)
    gain, bias, dy = (torch.randn(s, generator=generator) for s in (k, k, (r, k)))

    def norm(x: Tensor) -> Tensor:
        return functional.layer_norm(x, (k,), gain.to(F64), bias.to(F64), 1e-5)

    y, centre, scale = reference.layer_norm(x, gain, bias, 1e-5)
    close(y, norm(x.to(F64)), 2e-3 * (1 + gain.abs().max()))
    dx, dgain, dbias = reference.layer_norm_backward(dy, x, centre, scale, gain)
    size = (dy * gain).abs().amax() * scale.amax() + 1e-30
    close(dx / size, gradient(norm, x, dy) / size, 4e-3)
    unit = functional.layer_norm(x.to(F64), (k,), eps=1e-5)
    close(dgain, (dy * unit).sum(dim=0), 4e-3 * r * (1 + unit.abs().max()) * dy.abs().max())
    close(dbias, dy.to(F64).sum(dim=0), 1e-5 * r)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.0, -3.14159, 4096.0, 1e9, 1e18])
@pytest.mark.parametrize("width", [1, 2, 255])
def test_constant_rows_stay_finite_and_bounded(value: float, width: int) -> None:
    """Nothing is left of them but rounding, which must not blow up."""
    x, ones = torch.full((2, width), value), torch.ones(width)
    y, centre, scale = reference.layer_norm(x, ones, torch.zeros(width), 1e-5)
    assert y.abs().max() <= grid.UNIT_BOUND
    if abs(value) <= 1:
        assert y.abs().max() < 0.02
    gradients = reference.layer_norm_backward(torch.ones_like(x), x, centre, scale, ones)
    assert all(torch.isfinite(g).all() for g in gradients)


def test_gradients_of_layer_norm_are_bounded() -> None:
    x, ones = random(2, 4) * 1e-6, torch.ones(4)
    _, centre, scale = reference.layer_norm(x, ones, ones, 1e-5)
    dx, *_ = reference.layer_norm_backward(random(2, 4) * 2.0**100, x, centre, scale, ones)
    assert dx.abs().max() == grid.GRADIENT_BOUND
