"""One tensor in memory to an archive in memory, and back."""

from __future__ import annotations

import io
import math
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from nncomp.api.encoding import compress_stream, grant, make_context, refuse_above_limit
from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.errors import DeviceError, TensorFileError, UsageError
from nncomp.tensors.arrays import Outline, arrays_for, arrays_of
from nncomp.tensors.file import TensorFile
from nncomp.tensors.numpy_arrays import NumpyArrays, bytes_of
from nncomp.tensors.save import METHOD, Parts, header_of
from nncomp.tensors.shard import Shard, open_content, read_exactly, verify_end

if TYPE_CHECKING:
    from collections.abc import Sequence

    from nncomp.codecs.base import Buffer
    from nncomp.tensors.arrays import Arrays, Framework

__all__ = ["compress_tensor", "decompress_tensor"]

_NAME = "tensor"
# What NumPy reads of a header without being told that the file is trusted.
_NPY_HEADER_MAX = 10_000
_NPY_MAGIC = b"\x93NUMPY"


def compress_tensor(
    tensor: Any, method: str = METHOD, *, level: int | None = None, threads: int = 1
) -> bytes:
    """Compress an array in memory.

    The content is a .npy file for NumPy arrays, except for the types of ml_dtypes, and a
    safetensors file with one tensor for everything else; `nncomp decompress` gives it out.

    Args:
        tensor: A NumPy array (of any type without Python objects, byte order or shape), or a
            dense PyTorch tensor on any device; not changed.
        method: As for `nncomp.compress`.
        level: As for `nncomp.compress`.
        threads: How many threads may work.

    Raises:
        UsageError: An argument is not valid, or the tensor is of no such kind.
        LimitError: Decompressing would take more than the default memory limit.
    """
    arrays = arrays_of(tensor, "the tensor")
    if isinstance(arrays, NumpyArrays) and not _only_by_name(tensor):
        header, content = _to_npy(np.asanyarray(tensor))
    else:
        header = _to_safetensors(tensor)
        content = arrays.content(tensor)
    sink = io.BytesIO()
    compress_stream(
        cast("BinaryIO", Parts([lambda: memoryview(header), lambda: content])),
        sink,
        method=method,
        level=level,
        context=make_context(threads, "auto", None),
        content_size=len(header) + len(content),
    )
    return sink.getvalue()


def decompress_tensor(
    data: Buffer,
    *,
    dtype: str | None = None,
    shape: Sequence[int] | None = None,
    framework: Framework = "np",
    device: str | int | None = None,
    threads: int = 1,
    memory_limit: int | None = None,
) -> Any:
    """What `compress_tensor` was given: a NumPy array or a PyTorch tensor, in fresh memory.

    Dtype, byte order and shape are as before. NumPy arrays in Fortran order stay so; every
    other one is in C order.

    Args:
        data: The archive.
        dtype: For an archive of bytes that were compressed without a header: the element type
            to give to them, as safetensors names it ("bf16", "F32"); they are taken for
            little-endian.
        shape: With `dtype`: the shape, in C order; None: one dimension.
        framework: With `dtype`: "np" for a NumPy array, "pt" for a PyTorch tensor.
        device: Where a PyTorch tensor is put. None: on the CUDA device that it came from; on
            the CPU if it came from elsewhere, or if there is no such device.
        threads: How many threads may work.
        memory_limit: Bytes that decoding, and the array, may take; default three quarters of
            the physical memory.

    Raises:
        UsageError: An argument is not valid.
        DeviceError: `device` is not there.
        TensorFileError: The content is not that of `compress_tensor`.
        FormatError, UnsupportedError, LimitError: The archive cannot be read.
    """
    if shape is not None and dtype is None:
        raise UsageError("shape is for bytes without a header: give their dtype, too")
    context, limit = grant(make_context(threads, "auto", memory_limit))
    with ExitStack() as stack:
        file = open_content(io.BytesIO(data), context, stack)
        if dtype is not None:
            arrays = arrays_for(framework, "cpu" if device is None else device)
            return _from_bytes(file, dtype.upper(), shape, arrays, limit)
        if file.read(len(_NPY_MAGIC)) == _NPY_MAGIC:
            return _from_npy(file, limit)
        shard = Shard(file, context)
        stack.callback(shard.close)
        return _from_safetensors(shard, device)


# --- bytes alone ---------------------------------------------------------------------


def _from_bytes(
    file: BinaryIO, dtype: str, shape: Sequence[int] | None, arrays: Arrays, limit: int
) -> Any:
    bits = DTYPES[dtype].bits if dtype in DTYPES else 0
    if not bits or bits % 8:
        known = ", ".join(name.lower() for name, one in DTYPES.items() if not one.bits % 8)
        raise UsageError(f"dtype={dtype.lower()!r} is not valid here: expected one of {known}")
    size = file.seek(0, io.SEEK_END)
    dimensions = (size * 8 // int(bits),) if shape is None else tuple(shape)
    if min(dimensions, default=0) < 0 or 8 * size != math.prod(dimensions) * bits:
        raise UsageError(
            f"shape={dimensions} of {dtype.lower()} is not valid: the content has {size} bytes"
        )
    refuse_above_limit(size, limit, "the array")
    raw = np.empty(size, np.uint8)
    read_exactly(file, 0, raw.data)
    verify_end(file, size)
    return arrays.wrap(raw, dtype, dimensions)


# --- .npy ----------------------------------------------------------------------------


def _to_npy(array: np.ndarray[Any, Any]) -> tuple[bytes, memoryview]:
    """Header and content."""
    if array.dtype.hasobject or isinstance(array, np.ma.MaskedArray):
        raise UsageError("arrays of Python objects, and masked arrays, cannot be compressed")
    fields = np.lib.format.header_data_from_array_1_0(array)
    header = io.BytesIO()
    try:
        np.lib.format.write_array_header_1_0(header, fields)
    except ValueError as error:  # a structured type with long names, or names beyond Latin-1
        raise UsageError(f"the element type cannot be written to a .npy file: {error}") from error
    if header.tell() > _NPY_HEADER_MAX:
        raise UsageError(f"the element type takes {header.tell()} bytes to describe: too many")
    return header.getvalue(), bytes_of(array.T if fields["fortran_order"] else array)


def _from_npy(file: BinaryIO, limit: int) -> Any:
    end = file.seek(0, io.SEEK_END)
    file.seek(0)
    try:
        version = np.lib.format.read_magic(file)
        if version != (1, 0):
            raise ValueError(f"version {version} is not one that compress_tensor writes")
        shape, fortran, dtype = np.lib.format.read_array_header_1_0(file, _NPY_HEADER_MAX)
    except Exception as error:  # what the parsers of NumPy and Python raise is not documented
        raise TensorFileError(f"the .npy header is not valid: {error}") from error
    start = file.tell()
    size = math.prod(shape) * dtype.itemsize
    if dtype.hasobject or any(count < 0 for count in shape) or size != end - start:
        raise TensorFileError(
            f"the .npy header tells of {size} bytes of {dtype}, which are not there"
        )
    refuse_above_limit(size, limit, "the array")
    array = np.empty(shape, dtype, order="F" if fortran else "C")
    if size:
        flat = (array.T if fortran else array).reshape(-1).view(np.uint8)
        read_exactly(file, start, flat.data)
    verify_end(file, end)
    return array


def _only_by_name(array: Any) -> bool:
    """Whether an element type is registered by ml_dtypes: .npy files keep only its size."""
    return bool(array.dtype.isbuiltin == 2)


# --- safetensors ---------------------------------------------------------------------


def _to_safetensors(tensor: Any) -> bytes:
    """The header of a file with the tensor; with what safetensors has no words for, as text."""
    arrays = arrays_of(tensor, "the tensor")
    metadata = {"format": "np" if isinstance(arrays, NumpyArrays) else "pt"}
    if metadata["format"] == "pt":
        metadata["device"] = str(tensor.device)
    if str(tensor.dtype) == "torch.complex128":
        metadata["dtype"] = "C128"
        outline = Outline("F64", (*tensor.shape, 2), 16 * tensor.numel())
    else:
        outline = arrays.outline(tensor, "the tensor")
    return header_of({_NAME: outline}, metadata)[0]


def _from_safetensors(shard: Shard, device: str | int | None) -> Any:
    metadata = shard.metadata()
    framework = metadata.get("format")
    if shard.keys() != [_NAME] or framework not in ("np", "pt"):
        raise TensorFileError("the archive is not one of compress_tensor: use nncomp.tensors.open")
    if framework == "np":
        where = "cpu" if device is None else device
    else:
        where = _device_of(metadata.get("device", "")) if device is None else device
    tensor = TensorFile(shard, arrays_for(framework, where)).get_tensor(_NAME)
    shard.verify_end()
    if metadata.get("dtype") != "C128":
        return tensor
    import torch

    if tensor.dtype != torch.float64 or tensor.shape[-1:] != (2,):
        raise TensorFileError("the archive does not have the complex numbers that it tells of")
    return torch.view_as_complex(tensor)


def _device_of(recorded: str) -> str:
    """A CUDA device as recorded in the archive, if it is here; else the CPU."""
    if recorded.partition(":")[0] != "cuda":
        return "cpu"
    try:
        arrays_for("pt", recorded)
    except DeviceError:
        return "cpu"
    return recorded
