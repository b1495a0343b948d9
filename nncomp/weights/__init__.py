"""Weights: those that come with the package, by name, and those of files; whole or refused.

They are safetensors files (8 bytes of size, JSON, data); those beside this module have no more
than 1 MB each. Two digests name one. `digest` is the XXH3-64 of its entries, as compact JSON with
sorted keys and without `__metadata__`, and of its data behind it; it stands in the metadata, too.
`sha256` is of the file as it is: what `sha256sum` prints, and the header of an archive holds. How
those of the package were made is told in README.md here.
"""

from __future__ import annotations

import hashlib
import json
import math
import operator
import os
from dataclasses import dataclass
from functools import cache
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import xxhash

from nncomp.errors import FileError, MissingWeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["FILE_MAX", "Weights", "folder", "load", "pack", "read", "unpack"]

FILE_MAX = 32 << 20
"""Bytes of a file: what memory it takes is known before it is read."""

_SIZE = 8  # bytes in front that tell the size of the JSON
_ALIGN = 8
_AXES_MAX = 8
_TYPES: dict[str, np.dtype[Any]] = {
    "F16": np.dtype("<f2"),
    "F32": np.dtype("<f4"),
    "I8": np.dtype("i1"),
    "I16": np.dtype("<i2"),
    "I32": np.dtype("<i4"),
    "U8": np.dtype("u1"),
    "U16": np.dtype("<u2"),
}
_NAMES = {dtype: name for name, dtype in _TYPES.items()}


@dataclass(frozen=True, eq=False)  # compared as objects, so that what is made of one can be kept
class Weights:
    """What a file holds.

    Attributes:
        tensors: By name; not to be written to.
        metadata: Text by name: at least `digest`.
        digest: 16 hexadecimal digits.
        sha256: 32 bytes.
    """

    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str]
    digest: str
    sha256: bytes


def folder() -> Path:
    """Where those of the package are."""
    return Path(__file__).resolve().parent


def load(name: str, digest: str | None = None) -> Weights:
    """The weights of that name, which come with the package; read once.

    Args:
        name: As "fsar".
        digest: What they must be; None takes whatever there is.

    Raises:
        MissingWeightsError: They are not there, are damaged, or have another digest.
    """
    path = folder() / f"{name}.safetensors"
    found = _shipped(path)
    if digest is not None and digest != found.digest:
        raise MissingWeightsError(
            f"the weights {digest} are needed, and this version of nncomp has {found.digest} in "
            f"{path.name}. Use the version that wrote the archive"
        )
    return found


@cache
def _shipped(path: Path) -> Weights:
    try:
        return unpack(path.read_bytes())
    except OSError as error:
        raise MissingWeightsError(
            f"the weights {path} cannot be read ({error.strerror}). Install nncomp again"
        ) from error
    except ValueError as error:
        raise MissingWeightsError(
            f"the weights {path} are damaged ({error}). Install nncomp again"
        ) from error


def read(source: str | os.PathLike[str] | Buffer) -> Weights:
    """Weights that somebody made, as `nncomp train-image` does.

    Args:
        source: A path, or the bytes of a file.

    Raises:
        FileError: These are no weights, or they are damaged.
        OSError: The file cannot be read.
    """
    where = "these bytes"
    if isinstance(source, (str, os.PathLike)):
        where = os.fspath(source)
        with Path(source).open("rb") as file:
            source = file.read(FILE_MAX + 1)
    try:
        return unpack(bytes(source))
    except ValueError as error:
        raise FileError(
            f"{where}: these are no weights that nncomp train-image made ({error}). Name the file "
            "of its -o, or train again"
        ) from error


def pack(tensors: Mapping[str, NDArray[Any]], metadata: Mapping[str, str]) -> bytes:
    """A file that `unpack` reads, with the digest added to its metadata."""
    entries, data = dict[str, Any](), bytearray()
    # The widest first, as safetensors does, which keeps all of them aligned.
    for name in sorted(tensors, key=lambda name: (-tensors[name].itemsize, name)):
        array = np.ascontiguousarray(tensors[name])
        start = len(data)
        data += array.tobytes()
        kind = _NAMES[array.dtype.newbyteorder("<")]
        offsets = [start, len(data)]
        entries[name] = {"dtype": kind, "shape": list(array.shape), "data_offsets": offsets}
    known = {**metadata, "digest": _digest(entries, data)}
    text = json.dumps({"__metadata__": known, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN)
    return len(text).to_bytes(_SIZE, "little") + text + data


def unpack(file: bytes) -> Weights:
    """Read it back.

    Raises:
        ValueError: It is not what `pack` writes.
    """
    if len(file) > FILE_MAX:
        raise ValueError(f"a file of weights has at most {FILE_MAX} bytes")
    size = int.from_bytes(file[:_SIZE], "little")
    data = memoryview(file)[_SIZE + size :]
    try:
        entries = json.loads(file[_SIZE : _SIZE + size])
        metadata = entries.pop("__metadata__", None) if isinstance(entries, dict) else None
        digest = _digest(entries, data)
    except RecursionError as error:
        raise ValueError("its JSON is nested too deeply") from error
    if not isinstance(metadata, dict) or not all(isinstance(x, str) for x in metadata.values()):
        raise ValueError("it has no metadata")
    if digest != metadata.get("digest"):
        raise ValueError(f"its digest is {digest}, and should be {metadata.get('digest')!r:.40}")
    tensors = {name: _tensor(name, entry, data) for name, entry in entries.items()}
    return Weights(tensors, metadata, digest, hashlib.sha256(file).digest())


def _tensor(name: str, entry: Any, data: memoryview) -> NDArray[Any]:
    """What an entry of the JSON says."""
    try:
        dtype = _TYPES[entry["dtype"]]
        shape = [operator.index(n) for n in entry["shape"]]
        start, end = (operator.index(n) for n in entry["data_offsets"])
    except (KeyError, TypeError, ValueError) as error:
        raise ValueError(f"{name!r:.80} has no type, shape or place") from error
    fits = 0 <= start <= end <= len(data) and len(shape) <= _AXES_MAX and min(shape, default=0) >= 0
    if not fits or end - start != math.prod(shape) * dtype.itemsize:
        raise ValueError(f"{name!r:.80} lies outside of it")
    return np.frombuffer(data[start:end], dtype).reshape(shape)


def _digest(entries: Mapping[str, Any], data: Buffer) -> str:
    state = xxhash.xxh3_64(json.dumps(entries, separators=(",", ":"), sort_keys=True).encode())
    state.update(data)
    return state.hexdigest()
