"""Weights that come with the package, by name, found whole or refused.

They are safetensors files (8 bytes of size, JSON, data) beside this module, no more than 1 MB
each. The digest of one is the XXH3-64 of its entries, as compact JSON with sorted keys and
without `__metadata__`, and of its data behind it; it stands in the metadata, too. How each was
made is told in README.md here.
"""

from __future__ import annotations

import json
import math
from pathlib import Path
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import xxhash

from nncomp.errors import MissingWeightsError

if TYPE_CHECKING:
    from collections.abc import Mapping

    from numpy.typing import NDArray

__all__ = ["Weights", "folder", "load", "pack", "unpack"]

_SIZE = 8  # bytes in front that tell the size of the JSON
_ALIGN = 8
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


class Weights(NamedTuple):
    """What a file holds.

    Attributes:
        tensors: By name; not to be written to.
        metadata: Text by name: at least `recipe` and `digest`.
        digest: 16 hexadecimal digits.
    """

    tensors: dict[str, NDArray[Any]]
    metadata: dict[str, str]
    digest: str


def folder() -> Path:
    """Where they are."""
    return Path(__file__).resolve().parent


def load(name: str, digest: str | None = None) -> Weights:
    """The weights of that name.

    Args:
        name: As "fsar".
        digest: What they must be; None takes whatever there is.

    Raises:
        MissingWeightsError: They are not there, are damaged, or have another digest.
    """
    path = folder() / f"{name}.safetensors"
    try:
        found = unpack(path.read_bytes())
    except OSError as error:
        raise MissingWeightsError(
            f"the weights {path} cannot be read ({error.strerror}). Install nncomp again"
        ) from error
    except (ValueError, KeyError, TypeError) as error:
        raise MissingWeightsError(
            f"the weights {path} are damaged ({error}). Install nncomp again"
        ) from error
    if digest is not None and digest != found.digest:
        raise MissingWeightsError(
            f"the weights {digest} are needed, and this version of nncomp has {found.digest} in "
            f"{path.name}. Use the version that wrote the archive"
        )
    return found


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
    known = {**metadata, "digest": _digest(entries, bytes(data))}
    text = json.dumps({"__metadata__": known, **entries}, separators=(",", ":")).encode()
    text += b" " * (-len(text) % _ALIGN)
    return len(text).to_bytes(_SIZE, "little") + text + data


def unpack(file: bytes) -> Weights:
    """Read it back.

    Raises:
        ValueError, KeyError, TypeError: It is not what `pack` writes.
    """
    size = int.from_bytes(file[:_SIZE], "little")
    data = file[_SIZE + size :]
    entries = json.loads(file[_SIZE : _SIZE + size])
    metadata = entries.pop("__metadata__")
    digest = _digest(entries, data)
    if digest != metadata["digest"]:
        raise ValueError(f"its digest is {digest}, and should be {metadata['digest']}")
    tensors = dict[str, Any]()
    for name, entry in entries.items():
        start, end = entry["data_offsets"]
        dtype, shape = _TYPES[entry["dtype"]], tuple(entry["shape"])
        if not 0 <= start <= end <= len(data) or end - start != math.prod(shape) * dtype.itemsize:
            raise ValueError(f"{name} lies outside of it")
        tensors[name] = np.frombuffer(data[start:end], dtype).reshape(shape)
    return Weights(tensors, metadata, digest)


def _digest(entries: Mapping[str, Any], data: bytes) -> str:
    text = json.dumps(entries, separators=(",", ":"), sort_keys=True).encode()
    return xxhash.xxh3_64_hexdigest(text + data)
