"""What is measured: files, and what compressors of numbers are told about them."""

from __future__ import annotations

import hashlib
from dataclasses import dataclass
from math import prod
from typing import TYPE_CHECKING

from nncomp.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

__all__ = ["BYTES", "WIDTHS", "Subject", "element_type"]

BYTES = "U8"
_BY_WIDTH = {
    1: (BYTES, "I8", "BOOL", "F8_E4M3", "F8_E5M2"),
    2: ("BF16", "F16", "I16", "U16"),
    4: ("F32", "I32", "U32", "C64"),
    8: ("F64", "I64", "U64"),
}
WIDTHS = {name: width for width, names in _BY_WIDTH.items() for name in names}
"""Bytes of each element type, by the names of safetensors; of complex numbers, of a part."""

_SPELLINGS = {
    "F64": ("float64",),
    "F32": ("float32", "fp32"),
    "F16": ("float16", "fp16"),
    "BF16": ("bfloat16",),
    "I16": ("int16", "s16"),
    "I32": ("int32",),
    "I64": ("int64",),
}
_SPELLED = {text: name for name, texts in _SPELLINGS.items() for text in texts}
_PIECE = 1 << 20


@dataclass(frozen=True)
class Subject:
    """One file to be compressed.

    Attributes:
        name: In tables.
        path: Where it is.
        size: Bytes.
        sha256: Of the content, in hexadecimal.
        dtype: Element type, one of `WIDTHS`, for compressors that want to be told.
        base: What differences are taken to, by those that can; or None.
        told: Whether `nncomp` is told the type, too, where its format does not say it.
    """

    name: str
    path: Path
    size: int
    sha256: str
    dtype: str = BYTES
    base: Path | None = None
    told: bool = False

    @classmethod
    def of(cls, path: Path, name: str = "", dtype: str = "", base: Path | None = None) -> Subject:
        """Read a file once, for its size and digest.

        Args:
            path: The file.
            name: In tables; its path if empty.
            dtype: Element type, or empty: by the name of the file, or the header of
                safetensors; bytes if nothing tells.
            base: See above.

        Raises:
            UsageError: There is no such element type; a file is none that can be read twice.
        """
        for each in filter(None, (path, base)):
            if each.exists() and not each.is_file():
                raise UsageError(f"{each} is no regular file, and cannot be measured")
        digest, size = hashlib.sha256(), 0
        with path.open("rb") as file:
            while piece := file.read(_PIECE):
                digest.update(piece)
                size += len(piece)
        known = _known(dtype) if dtype else element_type(path)
        return cls(name or str(path), path, size, digest.hexdigest(), known, base, bool(dtype))


def _known(dtype: str) -> str:
    found = _SPELLED.get(dtype.lower(), dtype.upper())
    if found not in WIDTHS:
        raise UsageError(
            f"there is no element type {dtype!r}. There are {', '.join(map(str.lower, WIDTHS))}"
        )
    return found


def element_type(path: Path) -> str:
    """What most of the file is made of: by a suffix such as .f32, or a safetensors header."""
    if path.suffix == ".safetensors":
        return _most_of(path)
    suffix = path.suffix.lstrip(".").lower()
    spelled = _SPELLED.get(suffix, suffix.upper())
    return spelled if spelled in WIDTHS else BYTES


def _most_of(path: Path) -> str:
    """The type with most bytes in a file of tensors; bytes if its header cannot be read."""
    from nncomp.errors import NncompError
    from nncomp.tensors import open as open_tensors

    sizes: dict[str, int] = {}
    try:
        with open_tensors(str(path)) as file:
            for name in file:
                tensor = file.get_slice(name)
                dtype = tensor.get_dtype()
                size = prod(tensor.get_shape()) * WIDTHS.get(dtype, 1)
                sizes[dtype] = sizes.get(dtype, 0) + size
    except (NncompError, OSError):
        return BYTES
    largest = max(sizes, key=lambda dtype: sizes[dtype], default=BYTES)
    return largest if largest in WIDTHS else BYTES
