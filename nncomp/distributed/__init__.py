"""Compressed exchanges of embeddings, and of gradients, in training on several machines.

`all_to_all` sends what is looked up in tables from the ranks that have them to the ranks
that need it, with bounded errors, and the gradients back; `gradient_hook` does the same for the
gradients of DistributedDataParallel. `Simulation` shows on one machine what both would do to
training. `Classes` says which tables bear larger errors, `Schedule` how bounds fall in the
course of training.

Importing this loads no PyTorch; using what exchanges or simulates does.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nncomp.distributed.classes import Classes, find_classes, homogenisation, load_classes
    from nncomp.distributed.coding import Coding
    from nncomp.distributed.exchange import Traffic, all_to_all
    from nncomp.distributed.hook import GradientState, gradient_hook
    from nncomp.distributed.schedules import Schedule
    from nncomp.distributed.simulate import Simulation, quantise_dequantise

_HOMES = {
    "classes": ("Classes", "find_classes", "homogenisation", "load_classes"),
    "coding": ("Coding",),
    "exchange": ("Traffic", "all_to_all"),
    "hook": ("GradientState", "gradient_hook"),
    "schedules": ("Schedule",),
    "simulate": ("Simulation", "quantise_dequantise"),
}

__all__ = [
    "Classes",
    "Coding",
    "GradientState",
    "Schedule",
    "Simulation",
    "Traffic",
    "all_to_all",
    "find_classes",
    "gradient_hook",
    "homogenisation",
    "load_classes",
    "quantise_dequantise",
]


def __getattr__(name: str) -> object:
    for home, names in _HOMES.items():
        if name in names:
            return getattr(import_module(f"{__name__}.{home}"), name)
    raise AttributeError(f"module {__name__!r} has no attribute {name!r}")


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
