"""PyTorch's files: a ZIP archive of a pickle and one entry of raw bytes per storage.

Source: torch/serialization.py and torch/storage.py. Nothing is unpickled.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.codecs.tensor.formats.base import (
    HEADER_MAX,
    Segment,
    Tensor,
    byte_size,
    element_count,
    malformed,
    read_at,
    unusual_strides,
)
from nncomp.codecs.tensor.formats.torch_pickle import load, named_tensors
from nncomp.codecs.tensor.formats.zip_archive import STORED
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from typing import BinaryIO

    from nncomp.codecs.tensor.dtypes import DType
    from nncomp.codecs.tensor.formats.torch_pickle import StorageRef, TensorRef
    from nncomp.codecs.tensor.formats.zip_archive import Entry

__all__ = ["PICKLE", "is_byte_order", "is_pickle", "storage_hints", "tensors"]

PICKLE = "data.pkl"
_STORAGES = "data/"
_BYTE_ORDER = "byteorder"

# Storages have the element type in the name of their class; those of later types are
# untyped and have it next to the tensor. Quantised ones have the type of their integers.
_TYPES = {
    "DoubleStorage": "F64",
    "double": "F64",
    "float64": "F64",
    "FloatStorage": "F32",
    "float": "F32",
    "float32": "F32",
    "HalfStorage": "F16",
    "float16": "F16",
    "BFloat16Storage": "BF16",
    "bfloat16": "BF16",
    "LongStorage": "I64",
    "int64": "I64",
    "IntStorage": "I32",
    "int32": "I32",
    "ShortStorage": "I16",
    "int16": "I16",
    "CharStorage": "I8",
    "int8": "I8",
    "ByteStorage": "U8",
    "uint8": "U8",
    "BoolStorage": "BOOL",
    "bool": "BOOL",
    "ComplexFloatStorage": "C64",
    "complex64": "C64",
    "ComplexDoubleStorage": "C128",
    "complex128": "C128",
    "QInt8Storage": "I8",
    "QUInt8Storage": "U8",
    "QInt32Storage": "I32",
    "uint16": "U16",
    "uint32": "U32",
    "uint64": "U64",
    "float8_e5m2": "F8_E5M2",
    "float8_e4m3fn": "F8_E4M3",
    "float8_e5m2fnuz": "F8_E5M2FNUZ",
    "float8_e4m3fnuz": "F8_E4M3FNUZ",
    "float8_e8m0fnu": "F8_E8M0",
}
_UNTYPED = "UntypedStorage"


def is_pickle(name: str) -> bool:
    """Whether a ZIP entry of this name is the pickle of a PyTorch file."""
    return name.rpartition("/")[2] == PICKLE


def is_byte_order(name: str) -> bool:
    """Whether a ZIP entry of this name says "little" or "big", as PyTorch's do."""
    return name.rpartition("/")[2] == _BYTE_ORDER


def storage_hints(name: str, data: bytes) -> dict[str, Segment]:
    """What the entries of the storages hold.

    A storage has the name and shape of the first tensor that is all of it; one without
    such a tensor has those of its entry, and no shape.

    Args:
        name: Of the entry of the pickle.
        data: The pickle.

    Returns:
        Segments by name of entry; also with size 0. Those of unknown size are left out.

    Raises:
        TensorFileError: The pickle is damaged, or of an unknown kind.
    """
    root, storages = load(data)
    whole: dict[str, tuple[str, TensorRef]] = {}
    types: dict[str, set[DType | None]] = {key: set() for key in storages}
    for path, tensor in named_tensors(root):
        types[tensor.storage.key].add(_dtype(tensor))
        if _is_whole(tensor):
            whole.setdefault(tensor.storage.key, (path, tensor))
    hints = {}
    for key, storage in storages.items():
        size = _storage_size(storage)
        if size is None:
            continue
        entry = _entry_name(name, key)
        dtype = _known(storage.type.name)
        if dtype is None and len(types[key]) == 1:
            dtype = next(iter(types[key]))
        if key in whole:
            hints[entry] = Segment(size, dtype, whole[key][0], whole[key][1].shape)
        else:
            hints[entry] = Segment(size, dtype, entry)
    return hints


def tensors(file: BinaryIO, entries: list[Entry], pickle: Entry) -> list[Tensor]:
    """The tensors of a file by their dotted names; see `formats.directory`."""
    by_name = {entry.name: entry for entry in entries}
    root = pickle.name[: -len(PICKLE)]
    order = by_name.get(root + _BYTE_ORDER)
    if order and read_at(file, order.start, min(order.stop - order.start, 16)) == b"big":
        raise TensorFileError("big-endian numbers; save the file anew with PyTorch")
    if pickle.stop - pickle.start > HEADER_MAX:
        raise malformed(f"a pickle of more than {HEADER_MAX} bytes", pickle.start)
    value, _ = load(read_at(file, _stored(pickle).start, pickle.stop - pickle.start))
    found = []
    names = set()
    for name, ref in named_tensors(value):
        if name in names:
            raise malformed(f"two tensors have the name {name!r}", pickle.start)
        names.add(name)
        entry = by_name.get(_entry_name(pickle.name, ref.storage.key))
        if entry is None:
            raise malformed(f"tensor {name!r} has no data in the file", pickle.start)
        found.append(_located(name, ref, _stored(entry)))
    return sorted(found, key=lambda tensor: tensor.start)


def _entry_name(pickle: str, key: str) -> str:
    return pickle[: -len(PICKLE)] + _STORAGES + key


def _stored(entry: Entry) -> Entry:
    if entry.method != STORED:
        raise TensorFileError(
            f"ZIP entry {entry.name!r} is compressed; save the file anew with PyTorch",
            offset=entry.start,
        )
    return entry


def _located(name: str, ref: TensorRef, entry: Entry) -> Tensor:
    dtype = _dtype(ref)
    if dtype is None:
        kind = ref.dtype or ref.storage.type
        raise TensorFileError(
            f"tensor {name!r} has the unknown element type {kind.name!r}; "
            "a newer version of nncomp may know it"
        )
    elements = element_count(ref.shape, entry.start)
    reach = 0
    if elements:
        reach = 1 + sum((n - 1) * step for n, step in zip(ref.shape, ref.strides, strict=True))
    unit = int(dtype.bits) // 8
    start = entry.start + ref.offset * unit
    stop = start + reach * unit
    if stop > entry.stop or _storage_size(ref.storage) != entry.stop - entry.start:
        raise malformed(f"tensor {name!r} is larger than its data", entry.start)
    return Tensor(name, dtype, ref.shape, start, stop, unusual_strides(ref.shape, ref.strides))


def _is_whole(ref: TensorRef) -> bool:
    """Whether a tensor is all of its storage, in the order of its elements."""
    dtype = _dtype(ref)
    if dtype is None or ref.offset or unusual_strides(ref.shape, ref.strides):
        return False
    return byte_size(dtype, ref.shape) == _storage_size(ref.storage)


def _storage_size(storage: StorageRef) -> int | None:
    """Bytes of a storage; None: of unknown type."""
    if storage.type.name == _UNTYPED:
        return storage.elements
    dtype = _known(storage.type.name)
    return byte_size(dtype, (storage.elements,)) if dtype else None


def _dtype(ref: TensorRef) -> DType | None:
    return _known((ref.dtype or ref.storage.type).name)


def _known(name: str) -> DType | None:
    return DTYPES.get(_TYPES.get(name, ""))
