"""Arrays of NumPy; ml_dtypes, where it is installed, adds the element types NumPy lacks."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncomp.errors import UsageError
from nncomp.tensors.arrays import Outline

if TYPE_CHECKING:
    from nncomp.tensors.arrays import RawBytes

__all__ = ["NumpyArrays", "bytes_of"]

# Names in safetensors, and NumPy's.
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
    "F16": "float16",
    "F32": "float32",
    "F64": "float64",
    "C64": "complex64",
    "C128": "complex128",
}

# Names in safetensors, and those of ml_dtypes.
_EXTRA_TYPES = {
    "BF16": "bfloat16",
    "F8_E5M2": "float8_e5m2",
    "F8_E4M3": "float8_e4m3fn",
    "F8_E8M0": "float8_e8m0fnu",
    "F8_E5M2FNUZ": "float8_e5m2fnuz",
    "F8_E4M3FNUZ": "float8_e4m3fnuz",
}

_NAMES = {theirs: name for name, theirs in (_TYPES | _EXTRA_TYPES).items() if name != "C128"}


class NumpyArrays:
    """`nncomp.tensors.arrays.Arrays` of NumPy."""

    @staticmethod
    def has(array: object) -> bool:
        """Whether `array` is one, or a scalar of NumPy."""
        return isinstance(array, (np.ndarray, np.generic))

    def wrap(self, raw: RawBytes, dtype: str, shape: tuple[int, ...]) -> Any:
        """An array over `raw`."""
        return raw.view(_dtype(dtype)).reshape(shape)

    def cut(self, array: Any, index: tuple[Any, ...]) -> Any:
        """A copy of a part of the array."""
        return array[index].copy()

    def outline(self, array: Any, name: str) -> Outline:
        """What safetensors says of the array."""
        dtype = _NAMES.get(array.dtype.name)
        if dtype is None or isinstance(array, np.ma.MaskedArray):
            what = "is masked" if dtype else f"has dtype {array.dtype}"
            raise UsageError(f"{name} {what}, which safetensors files do not have")
        return Outline(dtype, array.shape, array.nbytes)

    def content(self, array: Any) -> memoryview:
        """The bytes of the array."""
        return bytes_of(np.asarray(array, array.dtype.newbyteorder("<")))


def bytes_of(array: np.ndarray[Any, Any]) -> memoryview:
    """The bytes of an array as its element type has them, C order; no copy if they lie so."""
    if array.nbytes == 0:
        return memoryview(b"")
    flat = np.ascontiguousarray(array).reshape(-1).view(np.ndarray)
    return flat.view(np.uint8).data.toreadonly()


def _dtype(name: str) -> np.dtype[Any]:
    if name in _TYPES:
        return np.dtype(_TYPES[name]).newbyteorder("<")
    try:
        import ml_dtypes
    except ImportError:
        ml_dtypes = None
    if ml_dtypes is None or name not in _EXTRA_TYPES or not hasattr(ml_dtypes, _EXTRA_TYPES[name]):
        how = "install ml_dtypes, or use" if name in _EXTRA_TYPES else "use"
        raise UsageError(f'NumPy has no element type for {name}: {how} framework="pt"')
    dtype: np.dtype[Any] = np.dtype(getattr(ml_dtypes, _EXTRA_TYPES[name]))
    return dtype
