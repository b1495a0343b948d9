"""Which implementation of the exact operations runs: the same bits, whichever it is."""

from __future__ import annotations

from contextlib import contextmanager
from typing import TYPE_CHECKING

from nncomp.exact import cpu, reference

if TYPE_CHECKING:
    from collections.abc import Iterator
    from types import ModuleType

    import torch

__all__ = ["backend", "force_reference"]

_reference_only = False


def backend(device: torch.device) -> ModuleType:
    """The compiled kernels on a CPU, the torch reference elsewhere."""
    return reference if _reference_only or device.type != "cpu" else cpu


@contextmanager
def force_reference() -> Iterator[None]:
    """Run the reference on the CPU too: for tests, which compare and guard it."""
    global _reference_only
    before, _reference_only = _reference_only, True
    try:
        yield
    finally:
        _reference_only = before
