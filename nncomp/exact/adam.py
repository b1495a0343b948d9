"""Adam (Kingma and Ba 2015) in exact arithmetic."""

from __future__ import annotations

from dataclasses import dataclass
from math import sqrt
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

from nncomp.exact.ops import backend

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["Adam", "AdamConfig"]


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
    """

    def __init__(self, parameters: Iterable[nn.Parameter], config: AdamConfig) -> None:
        self.config = config
        self._entries = [
            (p, torch.zeros_like(p.data), torch.zeros_like(p.data)) for p in parameters
        ]
        self._power1 = 1.0
        self._power2 = 1.0

    def step(self, lr: float) -> None:
        """One update with learning rate `lr`; parameters without a gradient stay."""
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
        for parameter, first, second in self._entries:
            if parameter.grad is not None:
                ops = backend(parameter.device)
                ops.adam(parameter.data, parameter.grad, first, second, constants)
                parameter.grad = None
