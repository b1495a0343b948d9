"""Tables out of files: of any format of tensors, or of numbers alone."""

from __future__ import annotations

import math
import re
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np

from nncomp.bench.embeddings import Table
from nncomp.errors import TensorFileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

__all__ = ["KINDS", "parse_shape", "tables"]

KINDS = {"f16": "F16", "bf16": "BF16", "f32": "F32", "f64": "F64"}
"""Types of elements that raw files may have, by their names on the command line."""

_SUFFIXES = {".gguf", ".nnc", ".npy", ".npz", ".pt", ".pth", ".safetensors"}
_DTYPES = {"F16": "<f2", "BF16": "<u2", "F32": "<f4", "F64": "<f8"}
_NAMES = {"float16": "F16", "bfloat16": "BF16", "float32": "F32", "float64": "F64"}


def parse_shape(text: str) -> tuple[int, int]:
    """Rows and columns, written as in 2048x64.

    Raises:
        UsageError: It is not of that form.
    """
    match = re.fullmatch(r"([1-9]\d{0,9})x([1-9]\d{0,9})", text)
    if not match:
        raise UsageError(f"{text!r} is no shape: expected rows and columns, as in 2048x64")
    return int(match[1]), int(match[2])


def tables(
    paths: Iterable[str], shape: tuple[int, int] | None = None, kind: str = "F32"
) -> Iterator[Table]:
    """The tables of files, one after the other, as they are asked for.

    Args:
        paths: Files of tensors (.npy, .npz, PyTorch, safetensors, GGUF, or archives of
            these), or of numbers alone.
        shape: Of every table in a file of numbers alone.
        kind: Of its elements.

    Raises:
        UsageError: No shape for a file that needs one, or one that its size contradicts.
        TensorFileError: A file of tensors is damaged.
    """
    for name in paths:
        path = Path(name)
        if path.suffix.lower() in _SUFFIXES:
            try:
                yield from _tensors(path)
            except TensorFileError as error:
                raise TensorFileError(f"{path}: {error.message}", offset=error.offset) from error
        else:
            yield from _raw(path, shape, kind)


def _raw(path: Path, shape: tuple[int, int] | None, kind: str) -> Iterator[Table]:
    if shape is None:
        raise UsageError(f"{path} does not say its shape: --shape does, as in 2048x64")
    raw = path.read_bytes()
    dtype = np.dtype(_DTYPES[kind])
    size = math.prod(shape) * dtype.itemsize
    if not raw or len(raw) % size:
        raise UsageError(f"{path} has {len(raw)} bytes, and a table of that shape takes {size}")
    found = np.frombuffer(raw, dtype).reshape(-1, *shape)
    for number, rows in enumerate(found):
        yield Table(f"{path.name}:{number}" if len(found) > 1 else path.name, rows, kind)


def _tensors(path: Path) -> Iterator[Table]:
    """Tensors of floats with two dimensions or more; others are no tables."""
    from nncomp.tensors import open as open_tensors

    with open_tensors(path) as file:
        names = list(file)
        for name in names:
            array = file[name]
            kind = _NAMES.get(array.dtype.name)
            if kind is None or array.ndim < 2 or not array.size:
                continue
            rows = np.ascontiguousarray(array).reshape(-1, array.shape[-1])
            if kind == "BF16":
                rows = rows.view(np.uint16)
            yield Table(path.name if len(names) == 1 else f"{path.name}:{name}", rows, kind)
