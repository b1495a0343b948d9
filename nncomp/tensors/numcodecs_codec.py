"""A codec for numcodecs, and so for Zarr version 2; found there by its entry point."""

from __future__ import annotations

from typing import Any

import numpy as np
from numcodecs.abc import Codec
from numcodecs.compat import ensure_contiguous_ndarray, ndarray_copy

import nncomp.api
from nncomp.errors import CorruptError
from nncomp.tensors.hints import method_for
from nncomp.tensors.numpy_arrays import bytes_of
from nncomp.tensors.save import METHOD

__all__ = ["Nncomp"]


class Nncomp(Codec):  # type: ignore[misc]  # numcodecs has no types
    """Archives of buffers; the content is the bytes of the buffer alone.

    Args:
        method: As for `nncomp.compress`.
        level: As for `nncomp.compress`.
    """

    codec_id = "nncomp"

    def __init__(self, method: str = METHOD, level: int | None = None) -> None:
        self.method = method
        self.level = level

    def encode(self, buf: Any) -> bytes:
        """The archive of a contiguous buffer; of what type it is goes to the method as a hint.

        Raises:
            UsageError: The method is not valid.
        """
        array = ensure_contiguous_ndarray(buf)
        method = method_for(self.method, array)
        return nncomp.api.compress(bytes_of(array), method, level=self.level)

    def decode(self, buf: Any, out: Any = None) -> Any:
        """The bytes of an archive, or `out` filled with them.

        Raises:
            NncompError: As for `nncomp.decompress`.
            CorruptError: They are not as many as `out` has.
        """
        data = bytes_of(ensure_contiguous_ndarray(buf))
        if out is None:
            return nncomp.api.decompress(data)
        size = ensure_contiguous_ndarray(out).nbytes
        content = nncomp.api.decompress(data)
        if len(content) != size:
            raise CorruptError(f"the content has {len(content)} bytes where {size} are expected")
        return ndarray_copy(np.frombuffer(content, np.uint8), out)
