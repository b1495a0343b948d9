"""What training would be like with compressed exchanges, on one rank and without any.

Values are quantised and dequantised where they would be sent, and gradients pass as if they
had not been (straight-through). The bounds that a schedule and classes of tables give can so be
tried on one machine::

    simulation = Simulation([classes.bound(t) for t in range(26)], Schedule("linear", 2, 1000))
    looked_up = simulation(looked_up, iteration)

Results are, bit for bit, those that the codec gives back for the same tensors. An exchange
compresses each rank's part by itself, with a range of its own: cut the tensors the same way
to simulate that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
from torch.autograd import Function

from nncomp.codecs.embedding.quantise import dequantise, quantise
from nncomp.distributed.coding import as_rows
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncomp.distributed.schedules import Schedule

__all__ = ["Simulation", "quantise_dequantise"]


class _StraightThrough(Function):
    """Rounded forward; backward the identity."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, bound: float, mode: str) -> torch.Tensor:
        rows = as_rows(tensor)
        rounded = dequantise(quantise(rows, bound=bound, mode=mode))
        return torch.from_numpy(rounded).reshape(tensor.shape).to(tensor.device)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (*gradients, None, None)


def quantise_dequantise(tensor: torch.Tensor, bound: float, mode: str = "rel") -> torch.Tensor:
    """What is left of a tensor after compression within a bound; its gradient is that of x.

    Args:
        tensor: float32 or float64.
        bound: Largest error of an element.
        mode: "rel", of the range of the tensor's finite values, or "abs".

    Raises:
        UsageError: Of the arguments.
    """
    found = _StraightThrough.apply(tensor, bound, mode)  # type: ignore[no-untyped-call] # torch's own
    return cast("torch.Tensor", found)


@dataclass(frozen=True)
class Simulation:
    """Bounds of tables over the iterations of training.

    Args:
        bounds: Of each table, at the end of the schedule.
        schedule: By what they are multiplied; as they are without one.
        mode: "rel" or "abs".
    """

    bounds: Sequence[float]
    schedule: Schedule | None = None
    mode: str = "rel"

    def __call__(self, tensors: Sequence[torch.Tensor], iteration: int) -> list[torch.Tensor]:
        """What other ranks would see of the rows that are looked up in each table.

        Raises:
            UsageError: Not as many tensors as bounds.
        """
        if len(tensors) != len(self.bounds):
            raise UsageError(f"{len(self.bounds)} bounds for {len(tensors)} tables")
        factor = self.schedule(iteration) if self.schedule else 1.0
        return [
            quantise_dequantise(tensor, factor * bound, self.mode)
            for tensor, bound in zip(tensors, self.bounds, strict=True)
        ]
