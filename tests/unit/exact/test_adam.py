"""Adam: torch's, within rounding; its scalars, its bounds, its grouping of parameters."""

from __future__ import annotations

import pytest
import torch
from torch import nn

from nncomp.exact import grid
from nncomp.exact.adam import Adam, AdamConfig
from nncomp.exact.ops import force_reference

SETTINGS = [
    AdamConfig(),
    AdamConfig(lr=1e-3, beta1=0.0, beta2=0.9999, eps=1e-8, weight_decay=0.0),
    AdamConfig(lr=3e-2, beta1=0.9, beta2=0.999, eps=1e-5, weight_decay=1e-2),
]
# Above and below the size from which a parameter has a tensor of its own.
SHAPES = [(3,), (130, 130), (5, 7), (1,), (16384,)]


def parameters() -> list[nn.Parameter]:
    generator = torch.Generator().manual_seed(1)
    return [nn.Parameter(torch.randn(s, generator=generator)) for s in SHAPES]


def learn(entries: list[nn.Parameter], config: AdamConfig, steps: int) -> None:
    generator = torch.Generator().manual_seed(2)
    adam = Adam(entries, config)
    for step in range(steps):
        for p in entries:
            p.grad = torch.randn(p.shape, generator=generator) * 10.0 ** -(step % 4)
        adam.step(config.lr)


@pytest.mark.parametrize("config", SETTINGS)
def test_equals_torch_within_rounding(config: AdamConfig) -> None:
    ours, theirs = parameters(), [nn.Parameter(p.detach().double()) for p in parameters()]
    other = torch.optim.Adam(
        theirs,
        lr=config.lr,
        betas=(config.beta1, config.beta2),
        eps=config.eps,
        weight_decay=config.weight_decay,
        foreach=False,
    )
    learn(ours, config, 100)
    generator = torch.Generator().manual_seed(2)
    for step in range(100):
        for p in theirs:
            p.grad = torch.randn(p.shape, generator=generator).double() * 10.0 ** -(step % 4)
        other.step()
    for a, b in zip(ours, theirs, strict=True):
        # Each step moves by about lr; a hundred of them round a hundred times.
        assert (a - b).abs().max() < 1e-4 * config.lr * 100


def test_reference_and_kernel_learn_the_same_bits() -> None:
    by_kernel, by_reference = parameters(), parameters()
    learn(by_kernel, SETTINGS[0], 20)
    with force_reference():
        learn(by_reference, SETTINGS[0], 20)
    assert all(torch.equal(a, b) for a, b in zip(by_kernel, by_reference, strict=True))


def test_gradients_are_cleared_and_shapes_kept() -> None:
    entries = parameters()
    learn(entries, SETTINGS[0], 1)
    assert [tuple(p.shape) for p in entries] == SHAPES
    assert all(p.grad is None for p in entries)


def test_weights_are_bounded() -> None:
    p = nn.Parameter(torch.tensor([grid.WEIGHT_BOUND - 1, 1 - grid.WEIGHT_BOUND]))
    adam = Adam([p], AdamConfig(lr=1.0))
    for _ in range(3):
        p.grad = torch.tensor([-1.0, 1.0])
        adam.step(1.0)
    assert p.tolist() == [grid.WEIGHT_BOUND, -grid.WEIGHT_BOUND]


@pytest.mark.parametrize("value", [3e38, -3e38, 2.0**100, 1e-38, 1e-45])
def test_no_gradient_makes_a_weight_anything_but_a_number(value: float) -> None:
    p = nn.Parameter(torch.tensor([0.5, -0.0]))
    adam = Adam([p], AdamConfig(lr=1.0))
    for gradient in (value, 1.0, -value, 0.0, 1.0):
        p.grad = torch.full((2,), gradient)
        adam.step(1.0)
        assert torch.isfinite(p).all()


def test_a_parameter_without_gradient_is_an_error() -> None:
    used, unused = nn.Parameter(torch.ones(2)), nn.Parameter(torch.ones(2))
    adam = Adam([used, unused], AdamConfig())
    used.grad = torch.ones(2)
    with pytest.raises(ValueError, match="no gradient"):
        adam.step(1e-3)
