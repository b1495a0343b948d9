"""A codec for Zarr version 3; found there by its entry point.

zarr.create_array(store, data=array, compressors=NncompCodec(level=5))
"""

from __future__ import annotations

import asyncio
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
from zarr.abc.codec import BytesBytesCodec
from zarr.core.common import parse_named_configuration

import nncomp.api
from nncomp.tensors.hints import method_for
from nncomp.tensors.save import METHOD

if TYPE_CHECKING:
    from zarr.core.array_spec import ArraySpec
    from zarr.core.buffer import Buffer
    from zarr.core.common import JSON

__all__ = ["NncompCodec"]

_NAME = "nncomp"


@dataclass(frozen=True)
class NncompCodec(BytesBytesCodec):  # type: ignore[misc]  # not checked where zarr is missing
    """Each chunk is an archive.

    Attributes:
        method: As for `nncomp.compress`.
        level: As for `nncomp.compress`.
    """

    is_fixed_size = False

    method: str = METHOD
    level: int | None = None

    @classmethod
    def from_dict(cls, data: dict[str, JSON]) -> NncompCodec:
        """From the configuration in an array's metadata."""
        _, configuration = parse_named_configuration(data, _NAME, require_configuration=False)
        return cls(**(configuration or {}))

    def to_dict(self) -> dict[str, JSON]:
        """The configuration for an array's metadata."""
        return {"name": _NAME, "configuration": {"method": self.method, "level": self.level}}

    def compute_encoded_size(self, input_byte_length: int, chunk_spec: ArraySpec) -> int:
        """Not known before encoding."""
        raise NotImplementedError

    async def _encode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer | None:
        return await asyncio.to_thread(self._encode, chunk_data, chunk_spec)

    async def _decode_single(self, chunk_data: Buffer, chunk_spec: ArraySpec) -> Buffer:
        return await asyncio.to_thread(self._decode, chunk_data, chunk_spec)

    def _encode(self, chunk: Buffer, spec: ArraySpec) -> Buffer:
        data = memoryview(chunk.as_numpy_array()).cast("B")
        method = method_for(self.method, np.empty(0, spec.dtype.to_native_dtype()))
        archive = nncomp.api.compress(data, method, level=self.level)
        return spec.prototype.buffer.from_bytes(archive)

    def _decode(self, chunk: Buffer, spec: ArraySpec) -> Buffer:
        data = memoryview(chunk.as_numpy_array()).cast("B")
        return spec.prototype.buffer.from_bytes(nncomp.api.decompress(data))
