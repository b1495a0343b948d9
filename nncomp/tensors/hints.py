"""Telling the codec what it cannot find out from bytes without a header."""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING, Any

from nncomp.codecs.base import parse_method
from nncomp.errors import UsageError
from nncomp.tensors.numpy_arrays import NumpyArrays
from nncomp.tensors.save import METHOD

if TYPE_CHECKING:
    import numpy as np

__all__ = ["method_for"]


def method_for(method: str, array: np.ndarray[Any, Any]) -> str:
    """The method for the bytes of an array, with its element type where that is known."""
    name, settings = parse_method(method)
    little = array.dtype.byteorder in ("<", "|") or (
        array.dtype.isnative and sys.byteorder == "little"
    )
    if name != METHOD or "dtype" in settings or not little:
        return method
    try:
        dtype = NumpyArrays().outline(array, "the chunk").dtype
    except UsageError:  # of another kind, to be found out by statistics
        return method
    return f"{method}{',' if settings else ':'}dtype={dtype.lower()}"
