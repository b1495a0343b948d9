"""Arrays of NumPy and PyTorch behind one interface: bytes in memory to arrays, and back."""

from __future__ import annotations

import sys
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, Literal, Protocol, TypeAlias

from nncomp.errors import UsageError

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    RawBytes: TypeAlias = NDArray[np.uint8]

__all__ = ["Arrays", "Framework", "Outline", "arrays_for", "arrays_of"]

Framework: TypeAlias = Literal["np", "numpy", "pt", "torch", "pytorch"]


@dataclass(frozen=True)
class Outline:
    """What a safetensors header says of an array.

    Attributes:
        dtype: Its element type, as safetensors names it.
        shape: Its shape, in elements of that type.
        size: Its bytes.
    """

    dtype: str
    shape: tuple[int, ...]
    size: int


class Arrays(Protocol):
    """What a framework can do."""

    def wrap(self, raw: RawBytes, dtype: str, shape: tuple[int, ...]) -> Any:
        """An array that takes over the bytes `raw`, C order, little-endian.

        Args:
            raw: As many bytes as the array has; nobody else may hold them.
            dtype: Name as in safetensors, or C128.
            shape: In elements of the array; for F4, which has none smaller than a byte, in
                pairs.

        Raises:
            UsageError: The framework has no such element type.
        """
        ...

    def cut(self, array: Any, index: tuple[Any, ...]) -> Any:
        """`array[index]` in memory of its own, so that the rest of `array` can go."""
        ...

    def outline(self, array: Any, name: str) -> Outline:
        """What is to be written of `array`; `name` is for the message.

        Raises:
            UsageError: It is no dense array, or of a type that safetensors does not have.
        """
        ...

    def content(self, array: Any) -> memoryview:
        """Its bytes, C order, little-endian: read-only, and no copy where memory has them so."""
        ...


def arrays_for(framework: str, device: str | int = "cpu") -> Arrays:
    """The framework of that name, as safetensors writes it too.

    Args:
        framework: "np" or "numpy"; "pt", "torch" or "pytorch".
        device: Where PyTorch puts its tensors; as `torch.device` takes it.

    Raises:
        UsageError: There is no such framework, or NumPy is to use a device.
        DeviceError: PyTorch has no such device here.
    """
    if framework in ("np", "numpy"):
        from nncomp.tensors.numpy_arrays import NumpyArrays

        if device != "cpu":
            raise UsageError(f"device={device!r} is not valid: NumPy has arrays on the CPU only")
        return NumpyArrays()
    if framework in ("pt", "torch", "pytorch"):
        from nncomp.tensors.torch_arrays import TorchArrays

        return TorchArrays(device)
    raise UsageError(f"framework={framework!r} is not valid: expected 'np' or 'pt'")


def arrays_of(array: object, name: str) -> Arrays:
    """The framework that `array` is of; PyTorch is not loaded to find out.

    Raises:
        UsageError: Neither NumPy's nor PyTorch's.
    """
    torch = sys.modules.get("torch")
    if torch is not None and isinstance(array, torch.Tensor):
        return arrays_for("pt")
    from nncomp.tensors.numpy_arrays import NumpyArrays

    if NumpyArrays.has(array):
        return NumpyArrays()
    raise UsageError(
        f"{name} is of type {type(array).__name__}: expected a NumPy array or a PyTorch tensor"
    )
