"""`load_file` and `save_file` as in safetensors.numpy, for archives."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import nncomp.tensors.file
from nncomp.tensors.save import METHOD
from nncomp.tensors.save import save_file as _save_file

if TYPE_CHECKING:
    import os

    import numpy as np

__all__ = ["load_file", "save_file"]


def load_file(
    filename: str | os.PathLike[str], *, threads: int = 1, memory_limit: int | None = None
) -> dict[str, np.ndarray[Any, Any]]:
    """`nncomp.tensors.load_file` for NumPy arrays."""
    return nncomp.tensors.file.load_file(
        filename, framework="np", threads=threads, memory_limit=memory_limit
    )


def save_file(
    tensor_dict: dict[str, np.ndarray[Any, Any]],
    filename: str | os.PathLike[str],
    metadata: dict[str, str] | None = None,
    *,
    method: str = METHOD,
    level: int | None = None,
    threads: int = 1,
) -> None:
    """`nncomp.tensors.save_file` for NumPy arrays."""
    _save_file(tensor_dict, filename, metadata, method=method, level=level, threads=threads)
