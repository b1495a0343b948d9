"""`load_file` and `save_file` as in safetensors.torch, for archives."""

from __future__ import annotations

from typing import TYPE_CHECKING

import nncomp.tensors.file
from nncomp.tensors.save import METHOD
from nncomp.tensors.save import save_file as _save_file

if TYPE_CHECKING:
    import os

    import torch

__all__ = ["load_file", "save_file"]


def load_file(
    filename: str | os.PathLike[str],
    device: str | int = "cpu",
    *,
    threads: int = 1,
    memory_limit: int | None = None,
) -> dict[str, torch.Tensor]:
    """`nncomp.tensors.load_file` for PyTorch tensors."""
    return nncomp.tensors.file.load_file(
        filename, device, framework="pt", threads=threads, memory_limit=memory_limit
    )


def save_file(
    tensors: dict[str, torch.Tensor],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
    *,
    method: str = METHOD,
    level: int | None = None,
    threads: int = 1,
) -> None:
    """`nncomp.tensors.save_file` for PyTorch tensors."""
    _save_file(tensors, filename, metadata, method=method, level=level, threads=threads)
