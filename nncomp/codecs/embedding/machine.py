"""What computes: functions compiled or in NumPy, to the same results."""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache
from typing import TYPE_CHECKING

from nncomp.codecs.embedding.arrays import ops
from nncomp.codecs.tensor.arrays import ops as plane_ops
from nncomp.codecs.tensor.planes import PlaneCoder, Settings

if TYPE_CHECKING:
    from nncomp.codecs.embedding.arrays import Ops
    from nncomp.codecs.tensor.arrays import Ops as PlaneOps

__all__ = ["Machine", "machine"]

_COMPILED_FROM = 16 << 10  # bytes of a table from which compiled functions are worth loading


@dataclass(frozen=True)
class Machine:
    """Functions that belong together.

    Attributes:
        functions: On elements and rows of tables.
        planes: On planes.
        compiled: Whether they are compiled, if they can be.
    """

    functions: Ops
    planes: PlaneOps
    compiled: bool

    def coder(self, backend: str) -> PlaneCoder:
        """What codes planes with "huffman", "ans", "zstd" or "lz4"."""
        return _coder(backend, compiled=self.compiled)


def machine(size: int) -> Machine:
    """What suits a table of `size` bytes."""
    return _machine(compiled=size >= _COMPILED_FROM)


@cache
def _machine(*, compiled: bool) -> Machine:
    return Machine(ops(compiled=compiled), plane_ops(compiled=compiled), compiled)


@cache
def _coder(backend: str, *, compiled: bool) -> PlaneCoder:
    return PlaneCoder(Settings(backend, threshold=1.0), plane_ops(compiled=compiled))
