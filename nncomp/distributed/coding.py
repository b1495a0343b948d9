"""How tensors become messages, and messages tensors again.

A message is uint8: heads of the tensors for one rank, 13 bytes each, and then their bodies.
A head tells what the body is (0 raw, 1 coded by the embedding codec, 2 coded by nvCOMP), the type
of its elements (the CRC-32 of PyTorch's name for it) and its size. A tensor that coding would not
make smaller goes raw, so that a message is never longer than its tensors and their heads, and
whoever expects one knows how much memory it may ask for.

The codec works on the host, nvCOMP on a CUDA device; a message lies where its bodies were made.
"""

from __future__ import annotations

import math
import struct
import zlib
from dataclasses import dataclass, replace
from numbers import Real
from typing import TYPE_CHECKING, Any

import numpy as np
import torch

from nncomp.codecs.embedding.arrays import KINDS
from nncomp.codecs.embedding.quantiser import BOUND_MAX
from nncomp.codecs.embedding.table import AUTO, CODERS, decode_table, encode_table
from nncomp.distributed import nvcomp
from nncomp.distributed.nvcomp import NVCOMP_CODERS
from nncomp.errors import NncompError, PeerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

__all__ = ["Coding", "as_rows", "as_tensor", "codec_name", "largest_message", "pack", "unpack"]

_HEAD = struct.Struct("<BIQ")
_RAW, _CODED, _NVCOMP = range(3)
_ENTROPIES = (AUTO, *CODERS, *NVCOMP_CODERS)

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
        entropy: "auto" or one of `nncomp.codecs.embedding.table.CODERS`; or one of
            "nvcomp-ans", "nvcomp-cascaded", "nvcomp-lz4" and "nvcomp-zstd": then a CUDA device
            does it all, on all ranks, and nvCOMP has to be installed.
        bandwidth: Bytes per second that one rank sends at; "auto" then takes the coder that is
            fastest by the model of `nncomp.codecs.embedding.model`, and no other takes any.
            0: the size alone counts.

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
        if not all(_is_number(bound) and 0 < bound <= BOUND_MAX for bound in bounds):
            raise UsageError(
                f"bounds are a number above zero, up to {BOUND_MAX:g}, or a tuple of such, not "
                f"{self.bounds}"
            )
        if self.entropy not in _ENTROPIES:
            raise UsageError(f"no coder {self.entropy!r}: there are {', '.join(_ENTROPIES)}")
        if not 0 <= self.bandwidth < math.inf:
            raise UsageError(f"a bandwidth is 0 or more bytes per second, not {self.bandwidth}")
        if self.bandwidth and self.entropy != AUTO:
            raise UsageError(f"with {self.entropy!r} there is nothing to choose by bandwidth")

    def scaled(self, factor: float) -> Coding:
        """The same with bounds `factor` times as large: what a schedule says."""
        if isinstance(self.bounds, tuple):
            return replace(self, bounds=tuple(factor * bound for bound in self.bounds))
        return replace(self, bounds=factor * self.bounds)

    def bounds_of(self, count: int) -> tuple[float, ...]:
        """The bound of each of so many tensors."""
        if not isinstance(self.bounds, tuple):
            return (float(self.bounds),) * count
        if len(self.bounds) != count:
            raise UsageError(f"{len(self.bounds)} bounds for {count} tensors")
        return tuple(map(float, self.bounds))


def _is_number(bound: object) -> bool:
    return isinstance(bound, Real)


# --- tensors and arrays --------------------------------------------------------------


def as_rows(tensor: torch.Tensor) -> NDArray[Any]:
    """The values [rows, width] in the memory of the host; one row where there are no rows.

    NumPy has no bfloat16: such values are bit patterns, uint16.

    Raises:
        UsageError: Of a type that is not coded.
    """
    codec_name(tensor.dtype)  # checks it
    rows = tensor.detach().cpu().contiguous().reshape(_rows_of(tensor.shape))
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
    """How the codec calls a type that it codes.

    Raises:
        UsageError: It does not code it.
    """
    if dtype not in _NAMES:
        raise UsageError(f"only {', '.join(map(str, _NAMES))} are compressed, not {dtype}")
    return _NAMES[dtype]


def _rows_of(shape: Sequence[int]) -> tuple[int, int]:
    """How many rows, and their width; one number each where there are none."""
    return math.prod(shape[:-1]), shape[-1] if shape else 1


def _byte_size(shape: Sequence[int], dtype: torch.dtype) -> int:
    return math.prod(shape) * dtype.itemsize


def _type_number(dtype: torch.dtype) -> int:
    """The same on all ranks, whatever version of PyTorch they have."""
    return zlib.crc32(str(dtype).encode())


def _encode(tensor: torch.Tensor, coding: Coding | None, bound: float) -> tuple[int, torch.Tensor]:
    """What the body is, and the body: uint8."""
    tensor = tensor.detach()
    if coding and tensor.numel():
        kind, coded = _code(tensor, coding, bound)
        if len(coded) < tensor.nbytes:
            return kind, coded
    return _RAW, tensor.contiguous().reshape(-1).view(torch.uint8)


def _code(tensor: torch.Tensor, coding: Coding, bound: float) -> tuple[int, torch.Tensor]:
    name = codec_name(tensor.dtype)
    if coding.entropy in NVCOMP_CODERS:
        rows = tensor.reshape(_rows_of(tensor.shape))
        kind = KINDS.index(name)
        return _NVCOMP, nvcomp.encode(rows, kind, bound, coding.mode, coding.entropy)
    coded = encode_table(
        as_rows(tensor),
        bound=bound,
        mode=coding.mode,
        entropy=coding.entropy,
        bandwidth=coding.bandwidth,
        dtype=name,
    )
    return _CODED, _bytes(coded)


def _bytes(data: bytes) -> torch.Tensor:
    return torch.frombuffer(bytearray(data), dtype=torch.uint8)


def _decode(
    kind: int, body: torch.Tensor, shape: Sequence[int], dtype: torch.dtype
) -> torch.Tensor:
    """Where it was decoded."""
    raw_size = _byte_size(shape, dtype)
    if kind == _CODED:
        rows = decode_table(body.numpy().data, raw_size)
        if rows.nbytes != raw_size or rows.dtype.name != _DECODED.get(dtype):
            raise PeerError(f"{list(shape)} of {dtype} expected, got {rows.shape} of {rows.dtype}")
        return as_tensor(rows, shape, dtype)
    if kind == _NVCOMP:
        found = nvcomp.decode(body, _rows_of(shape), dtype, KINDS.index(codec_name(dtype)))
        return found.reshape(tuple(shape))
    if kind != _RAW or len(body) != raw_size:
        raise PeerError(f"{raw_size} bytes expected, got {len(body)} of kind {kind}")
    result = torch.empty(tuple(shape), dtype=dtype, device=body.device)
    result.view(-1).view(torch.uint8).copy_(body)
    return result


# --- messages ------------------------------------------------------------------------


def pack(tensors: Sequence[torch.Tensor], coding: Coding | None) -> torch.Tensor:
    """A message of the tensors; raw without a coding.

    Raises:
        UsageError: Types that are not coded, bounds that are too few or too many, or nvCOMP or
            a device is missing.
    """
    bounds = coding.bounds_of(len(tensors)) if coding else (0.0,) * len(tensors)
    parts = [_encode(tensor, coding, bound) for tensor, bound in zip(tensors, bounds, strict=True)]
    if not parts:
        return torch.empty(0, dtype=torch.uint8)
    types = [_type_number(tensor.dtype) for tensor in tensors]
    heads = _bytes(
        b"".join(
            _HEAD.pack(kind, type_, len(body))
            for type_, (kind, body) in zip(types, parts, strict=True)
        )
    )
    # On the device if that is where all are: else at least one is on the host, and can stay.
    devices = {body.device for _, body in parts}
    device = devices.pop() if len(devices) == 1 else torch.device("cpu")
    return torch.cat([one.to(device) for one in (heads, *(body for _, body in parts))])


def largest_message(shapes: Sequence[Sequence[int]], dtype: torch.dtype) -> int:
    """The most bytes that a message of such tensors has."""
    return sum(_HEAD.size + _byte_size(shape, dtype) for shape in shapes)


def unpack(
    message: torch.Tensor, shapes: Sequence[Sequence[int]], dtype: torch.dtype
) -> list[torch.Tensor]:
    """The tensors of a message, each where it was decoded.

    Args:
        message: uint8, on the host or on a device.
        shapes, dtype: Of the tensors.

    Raises:
        PeerError: It is no message of such tensors, or nvCOMP or a device is missing.
    """
    tensors, place = [], _HEAD.size * len(shapes)
    if len(message) < place:
        raise PeerError("the message ends within the heads of its tensors")
    heads = list(_HEAD.iter_unpack(message[:place].cpu().numpy().tobytes()))
    if any(type_ != _type_number(dtype) for _, type_, _ in heads):
        raise PeerError(f"tensors of another type than {dtype}")
    if any(kind == _CODED for kind, _, _ in heads):
        message = message.cpu()  # at once
    for number, ((kind, _, size), shape) in enumerate(zip(heads, shapes, strict=True)):
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
