"""Tensors of PyTorch; importing this loads it."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import torch

from nncomp.errors import DeviceError, UsageError
from nncomp.tensors.arrays import Outline
from nncomp.tensors.numpy_arrays import bytes_of

if TYPE_CHECKING:
    from nncomp.tensors.arrays import RawBytes

__all__ = ["TorchArrays"]

# Names in safetensors, and PyTorch's; older releases lack some.
_TYPES = {
    "BOOL": "bool",
    "U8": "uint8",
    "I8": "int8",
    "U16": "uint16",
    "I16": "int16",
    "U32": "uint32",
    "I32": "int32",
    "U64": "uint64",
    "I64": "int64",
    "F4": "float4_e2m1fn_x2",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
    "F16": "float16",
    "BF16": "bfloat16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "C128": "complex128",
}

_NAMES = {
    getattr(torch, theirs): name
    for name, theirs in _TYPES.items()
    if hasattr(torch, theirs) and name != "C128"
}


class TorchArrays:
    """`nncomp.tensors.arrays.Arrays` of PyTorch.

    Args:
        device: Where tensors are put.

    Raises:
        DeviceError: It is not there.
    """

    def __init__(self, device: str | int = "cpu") -> None:
        try:
            self._device = torch.device(device)
            torch.empty(0, device=self._device)
        except (RuntimeError, AssertionError) as error:  # the latter from builds without CUDA
            reason = str(error).partition("\n")[0]
            raise DeviceError(f"PyTorch has no device {device!r} here: {reason}") from error

    def wrap(self, raw: RawBytes, dtype: str, shape: tuple[int, ...]) -> Any:
        """A tensor over `raw`, moved to the device."""
        theirs = getattr(torch, _TYPES.get(dtype, ""), None)
        if theirs is None:
            raise UsageError(
                f"PyTorch {torch.__version__} has no element type for {dtype}: a newer one may"
            )
        if not len(raw):
            return torch.empty(shape, dtype=theirs, device=self._device)
        return torch.from_numpy(raw).view(theirs).reshape(shape).to(self._device)

    def cut(self, array: Any, index: tuple[Any, ...]) -> Any:
        """A copy of a part of the tensor."""
        return array[index].clone(memory_format=torch.contiguous_format)

    def outline(self, array: Any, name: str) -> Outline:
        """What safetensors says of the tensor."""
        if array.layout != torch.strided or array.is_quantized or array.device.type == "meta":
            raise UsageError(f"{name} is no dense tensor in memory; to_dense() may make it one")
        if array.dtype not in _NAMES:
            raise UsageError(f"{name} has dtype {array.dtype}, which safetensors files do not have")
        dtype, shape = _NAMES[array.dtype], tuple(array.shape)
        if dtype == "F4":  # two to a byte, and PyTorch counts the bytes
            shape = (*shape[:-1], 2 * shape[-1])
        return Outline(dtype, shape, array.numel() * array.element_size())

    def content(self, array: Any) -> memoryview:
        """The bytes of the tensor, fetched from its device."""
        if array.numel() == 0:
            return memoryview(b"")
        plain = array.detach().resolve_conj().resolve_neg().cpu().contiguous()
        return bytes_of(plain.reshape(-1).view(torch.uint8).numpy())
