"""How tensors become messages, and messages tensors again.

A message is the tensors for one rank, one after the other, each after a head of nine bytes:
what it is (0 raw, 1 coded by the embedding codec) and its size. A tensor that coding would
not make smaller goes raw, so that a message is never longer than its tensors and their heads,
and whoever expects one knows how much memory it may ask for.
"""

from __future__ import annotations

import math
import struct
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nncomp.codecs.embedding.table import AUTO, CODERS, decode_table, encode_table
from nncomp.errors import NncompError, PeerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Coding", "as_rows", "as_tensor", "codec_name", "largest_message", "pack", "unpack"]

_HEAD = struct.Struct("<BQ")
_RAW, _CODED = range(2)

_NAMES = {
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.float32: "F32",
    torch.float64: "F64",
}
"""What is coded, and how the codec calls it."""
_DECODED = {
    torch.float16: "float16",
    torch.bfloat16: "uint16",
    torch.float32: "float32",
    torch.float64: "float64",
}
"""As what it comes back."""


@dataclass(frozen=True)
class Coding:
    """How large errors may be, and how what is left is coded.

    Args:
        bounds: For all tensors, or for each of those that go to one rank, in their order.
        mode: "rel", of the range of a tensor's finite values, or "abs".
        entropy: "auto" or one of `nncomp.codecs.embedding.table.CODERS`.
        bandwidth: Bytes per second that one rank sends at; "auto" then takes the coder that is
            fastest by the model of `nncomp.codecs.embedding.model`. 0: the size alone counts.

    Raises:
        UsageError: Of the arguments.
    """

    bounds: float | tuple[float, ...]
    mode: str = "rel"
    entropy: str = AUTO
    bandwidth: float = 0.0

    def __post_init__(self) -> None:
        if self.mode not in ("abs", "rel"):
            raise UsageError(f"the mode of a bound is abs or rel, not {self.mode!r}")
        bounds = self.bounds if isinstance(self.bounds, tuple) else (self.bounds,)
        if not all(0 < bound < math.inf for bound in bounds):
            raise UsageError(f"bounds are above zero and finite, not {self.bounds}")
        if self.entropy not in (AUTO, *CODERS):
            raise UsageError(f"no coder {self.entropy!r}: there are {', '.join((AUTO, *CODERS))}")
        if not 0 <= self.bandwidth < math.inf:
            raise UsageError(f"a bandwidth is 0 or more bytes per second, not {self.bandwidth}")

    def scaled(self, factor: float) -> Coding:
        """The same with bounds `factor` times as large: what a schedule says."""
        if isinstance(self.bounds, tuple):
            return replace(self, bounds=tuple(factor * bound for bound in self.bounds))
        return replace(self, bounds=factor * self.bounds)

    def bounds_of(self, count: int) -> tuple[float, ...]:
        """The bound of each of so many tensors."""
        if not isinstance(self.bounds, tuple):
            return (self.bounds,) * count
        if len(self.bounds) != count:
            raise UsageError(f"{len(self.bounds)} bounds for {count} tensors")
        return self.bounds


# --- tensors and arrays --------------------------------------------------------------


def as_rows(tensor: torch.Tensor) -> NDArray[Any]:
    """The values [rows, width] in the memory of the host; one row where there are no rows.

    NumPy has no bfloat16: such values are bit patterns, uint16.

    Raises:
        UsageError: Of a type that is not coded.
    """
    if tensor.dtype not in _NAMES:
        raise UsageError(f"only {', '.join(map(str, _NAMES))} are compressed, not {tensor.dtype}")
    count, width = math.prod(tensor.shape[:-1]), tensor.shape[-1] if tensor.dim() else 1
    rows = tensor.detach().cpu().contiguous().reshape(count, width)
    if tensor.dtype == torch.bfloat16:
        rows = rows.view(torch.int16)
    found: NDArray[Any] = rows.numpy()
    return found.view(np.uint16) if tensor.dtype == torch.bfloat16 else found


def as_tensor(rows: NDArray[Any], shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """The inverse of `as_rows`, on the host."""
    if dtype == torch.bfloat16:
        return torch.from_numpy(rows.view(np.int16)).view(dtype).reshape(tuple(shape))
    return torch.from_numpy(rows).reshape(tuple(shape))


def codec_name(dtype: torch.dtype) -> str:
    """How the codec calls a type that it codes."""
    return _NAMES[dtype]


def _byte_size(shape: Sequence[int], dtype: torch.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _encode(tensor: torch.Tensor, coding: Coding | None, bound: float) -> tuple[int, bytes]:
    raw_size = _byte_size(tensor.shape, tensor.dtype)
    if coding and raw_size:
        coded = encode_table(
            as_rows(tensor),
            bound=bound,
            mode=coding.mode,
            entropy=coding.entropy,
            bandwidth=coding.bandwidth,
            dtype=_NAMES[tensor.dtype],
        )
        if len(coded) < raw_size:
            return _CODED, coded
    flat = tensor.detach().cpu().contiguous().reshape(-1)
    return _RAW, flat.view(torch.uint8).numpy().tobytes()


def _decode(kind: int, body: memoryview, shape: Sequence[int], dtype: torch.dtype) -> torch.Tensor:
    """On the host."""
    raw_size = _byte_size(shape, dtype)
    if kind == _CODED:
        rows = decode_table(body, raw_size)
        if rows.nbytes != raw_size or rows.dtype.name != _DECODED.get(dtype):
            raise PeerError(f"{list(shape)} of {dtype} expected, got {rows.shape} of {rows.dtype}")
        return as_tensor(rows, shape, dtype)
    if kind != _RAW or len(body) != raw_size:
        raise PeerError(f"{raw_size} bytes expected, got {len(body)} of kind {kind}")
    result = torch.empty(tuple(shape), dtype=dtype)
    if raw_size:
        result.view(-1).view(torch.uint8).numpy()[:] = np.frombuffer(body, np.uint8)
    return result


# --- messages ------------------------------------------------------------------------


def pack(tensors: Sequence[torch.Tensor], coding: Coding | None) -> bytes:
    """A message of the tensors; raw without a coding.

    Raises:
        UsageError: Types that are not coded, or bounds that are too few or too many.
    """
    bounds = coding.bounds_of(len(tensors)) if coding else (0.0,) * len(tensors)
    parts = []
    for tensor, bound in zip(tensors, bounds, strict=True):
        kind, body = _encode(tensor, coding, bound)
        parts += [_HEAD.pack(kind, len(body)), body]
    return b"".join(parts)


def largest_message(shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> int:
    """The most bytes that a message of such tensors has."""
    return sum(_HEAD.size + _byte_size(shape, dtype) for shape in shapes)


def unpack(
    message: memoryview, shapes: Sequence[Sequence[int]], dtype: torch.dtype
) -> list[torch.Tensor]:
    """The tensors of a message, on the host.

    Raises:
        PeerError: It is no message of such tensors.
    """
    tensors, place = [], 0
    for number, shape in enumerate(shapes):
        if len(message) - place < _HEAD.size:
            raise PeerError(f"the message ends before tensor {number}")
        kind, size = _HEAD.unpack_from(message, place)
        place += _HEAD.size
        if size > len(message) - place:
            raise PeerError(f"tensor {number} is said to have {size} bytes, which are not there")
        try:
            tensors.append(_decode(kind, message[place : place + size], shape, dtype))
        except NncompError as error:
            raise PeerError(f"tensor {number}: {error.message}") from error
        place += size
    if place < len(message):
        raise PeerError(f"{len(message) - place} bytes follow the last tensor")
    return tensors
