"""tanh: the same bits both ways, near the true value, and its gradient."""

from __future__ import annotations

import torch

from nncomp.exact import cpu, reference
from nncomp.exact.layers import tanh


def test_kernel_equals_reference_and_truth() -> None:
    x = torch.linspace(-40, 40, 4001).view(1, -1)
    y = reference.tanh(x)
    assert torch.equal(y, cpu.tanh(x))
    assert torch.equal(reference.tanh_backward(x, y), cpu.tanh_backward(x, y))
    assert (y.double() - torch.tanh(x.double())).abs().max() < 2e-6


def test_gradient() -> None:
    x = torch.linspace(-3, 3, 101).requires_grad_()
    tanh(x).backward(torch.ones(101))  # type: ignore[no-untyped-call]  # torch's
    assert x.grad is not None
    assert (x.grad - (1 - torch.tanh(x.detach()) ** 2)).abs().max() < 1e-5
