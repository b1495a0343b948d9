"""What training would be like with compressed exchanges, on one rank and without any.

Values are quantised and dequantised where they would be sent, and gradients pass as if they
had not been (straight-through). The bounds that a schedule and classes of tables give can so be
tried on one machine::

    simulation = Simulation([classes.bound(t) for t in range(26)], Schedule("linear", 2, 1000))
    looked_up = simulation(looked_up, iteration)

Results are those that the codec gives back for the same tensors, bit for bit, unless NaN,
infinities and the like make up a quarter of a tensor: it does not quantise such ones, and looks at
different rows only to tell. Those of nvCOMP's coders are the same but for float16, which they round
by way of float32, and but for which parts of large tensors are quantised. An exchange compresses
each rank's part by itself, with a range of its own: cut the tensors the same way to simulate that.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import numpy as np
from torch.autograd import Function

from nncomp.codecs.embedding.machine import machine
from nncomp.codecs.embedding.quantiser import (
    absolute_bound,
    dequantise,
    kind_of,
    patterns_of,
    quantise,
)
from nncomp.codecs.embedding.table import part_rows
from nncomp.distributed.coding import Coding, as_rows, as_tensor, codec_name
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    import torch
    from numpy.typing import NDArray

    from nncomp.distributed.schedules import Schedule

__all__ = ["Simulation", "quantise_dequantise"]


def _rounded(rows: NDArray[Any], name: str, bound: float, mode: str) -> NDArray[Any]:
    """What the codec would give back; in parts, as it takes them."""
    kind = kind_of(rows.dtype, name)
    patterns = patterns_of(rows, kind)
    functions = machine(rows.nbytes).functions
    if mode == "rel":
        bound = absolute_bound(patterns.reshape(-1), kind, bound, functions)
    result = np.empty_like(patterns)
    step = part_rows(rows.shape[1])
    for start in range(0, len(rows) if rows.size else 0, step):
        part = patterns[start : start + step]
        found = quantise(part.reshape(-1), kind, bound, functions)
        values = part if found is None else dequantise(found, functions).reshape(part.shape)
        result[start : start + step] = values
    return result.view(rows.dtype)


class _StraightThrough(Function):
    """Rounded forward; backward the identity."""

    @staticmethod
    def forward(ctx: Any, tensor: torch.Tensor, bound: float, mode: str) -> torch.Tensor:
        rounded = _rounded(as_rows(tensor), codec_name(tensor.dtype), bound, mode)
        return as_tensor(rounded, tensor.shape, tensor.dtype).to(tensor.device)

    @staticmethod
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        return (*gradients, None, None)


def quantise_dequantise(tensor: torch.Tensor, bound: float, mode: str = "rel") -> torch.Tensor:
    """What is left of a tensor after compression within a bound; its gradient is that of x.

    Args:
        tensor: float16, bfloat16, float32 or float64.
        bound: Largest error of an element.
        mode: "rel", of the range of the tensor's finite values, or "abs".

    Raises:
        UsageError: Of the arguments.
    """
    (known,) = Coding(bound, mode).bounds_of(1)  # checks them
    found = _StraightThrough.apply(tensor, known, mode)  # type: ignore[no-untyped-call] # torch's own
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
