"""Adam (Kingma and Ba 2015) in exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor, nn

from nncomp.exact.ops import backend

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Adam", "AdamConfig"]

# Parameters with fewer weights share a tensor.
_SMALL = 1 << 14


@dataclass(frozen=True)
class AdamConfig:
    """Settings of Adam.

    SEP, PAC and TRACE use lr 1e-3, betas (0.9, 0.999), eps 1e-8, weight decay 1e-7;
    tensorflow-compress and NNCP betas (0, 0.9999), eps 1e-5.
    """

    lr: float = 1e-3
    beta1: float = 0.9
    beta2: float = 0.999
    eps: float = 1e-8
    weight_decay: float = 1e-7


class Adam:
    """Updates the parameters of a model in place, and clears their gradients.

    The scalars of a step are computed in float64 by multiplication, division and
    square root alone, all correctly rounded, then rounded to float32.

    Small parameters are moved into one tensor, of which they become views: a step is
    then a few operations, not one for every bias.
    """

    def __init__(self, parameters: Iterable[nn.Parameter], config: AdamConfig) -> None:
        self.config = config
        every = list(parameters)
        small = [p for p in every if p.numel() < _SMALL]
        groups = [[p] for p in every if p.numel() >= _SMALL] + ([small] if small else [])
        self._groups = [_Group(group) for group in groups]
        self._power1 = 1.0
        self._power2 = 1.0

    def step(self, lr: float) -> None:
        """One update with learning rate `lr`; every parameter must have a gradient."""
        c = self.config
        self._power1 *= c.beta1
        self._power2 *= c.beta2
        scalars = (
            c.beta1,
            1.0 - c.beta1,
            c.beta2,
            1.0 - c.beta2,
            lr / (1.0 - self._power1),
            1.0 / sqrt(1.0 - self._power2),
            c.eps,
            c.weight_decay,
        )
        constants = tuple(float(np.float32(s)) for s in scalars)
        for group in self._groups:
            group.step(constants)

    def learned(self) -> tuple[Tensor, ...]:
        """A copy of weights and moments; see `forget`."""
        powers = torch.tensor([self._power1, self._power2], dtype=torch.float64)
        return (powers, *(x.clone() for group in self._groups for x in group.tensors))

    def forget(self, learned: tuple[Tensor, ...]) -> None:
        """Go back to what `learned` gave."""
        self._power1, self._power2 = learned[0].tolist()
        own = [x for group in self._groups for x in group.tensors]
        for x, before in zip(own, learned[1:], strict=True):
            x.copy_(before)


class _Group:
    """Parameters that are updated together, as one flat tensor."""

    def __init__(self, parameters: list[nn.Parameter]) -> None:
        self._parameters = parameters
        self._flat = torch.cat([p.data.reshape(-1) for p in parameters])
        start = 0
        for p in parameters:
            p.data = self._flat[start : start + p.numel()].view(p.shape)
            start += p.numel()
        self._first = torch.zeros_like(self._flat)
        self._second = torch.zeros_like(self._flat)

    @property
    def tensors(self) -> tuple[Tensor, ...]:
        """Weights and both moments, all flat."""
        return self._flat, self._first, self._second

    def step(self, constants: tuple[float, ...]) -> None:
        gradients = [p.grad.reshape(-1) for p in self._parameters if p.grad is not None]
        if len(gradients) < len(self._parameters):
            raise ValueError("a parameter has no gradient: the model does not use it")
        gradient = gradients[0] if len(gradients) == 1 else torch.cat(gradients)
        ops = backend(self._flat.device)
        ops.adam(self._flat, gradient, self._first, self._second, constants)
        for p in self._parameters:
            p.grad = None
