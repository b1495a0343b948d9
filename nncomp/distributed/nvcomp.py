"""Tensors coded on a CUDA device by nvCOMP, an optional extra.

    body   = checksum, head, stream
    stream = what nvCOMP makes of: rows that differ, which of them each row is, places of
             exceptions, their bit patterns; each as planes of bytes, and all in one

Rows are codes of `nncomp.distributed.quantiser`. Nothing of them passes through the host, but
for a few numbers.

nvCOMP says of most of its decoders that damaged data makes them do anything, and on a device
that may cost the whole process. So nothing is given to them before the checksum of body was found
right, and no memory is taken before all sizes were found to be those of the expected tensor. The
checksum is against accidents and mistakes, not against forgers: ranks of a group trust each
other that far.

Written by the documentation of nvCOMP 6 and not yet run on a device.
"""

from __future__ import annotations

import math
import struct
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, NamedTuple

import torch
from torch.utils.dlpack import from_dlpack

from nncomp.distributed.quantiser import INTEGERS, Quantised, dequantise, narrow, quantise
from nncomp.errors import DeviceError, PeerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

__all__ = ["NVCOMP_CODERS", "decode", "encode"]

NVCOMP_CODERS = {
    "nvcomp-ans": "ANS",
    "nvcomp-cascaded": "Cascaded",
    "nvcomp-lz4": "LZ4",
    "nvcomp-zstd": "Zstd",
}
"""As nvCOMP calls them, in the order of their numbers in messages."""

_CHECKSUM = 8  # bytes
_COLUMNS_MIN = 4  # of rows that are looked for: narrower ones are hardly larger than their number
_TOGETHER = 1 << 22  # elements at once: they become int64


class _Head(NamedTuple):
    """What a stream holds.

    Attributes:
        coder: Which of `NVCOMP_CODERS`.
        kind: Of the elements.
        size: Bytes of a code, or of an element.
        index_size: Bytes of an index; 0: no row comes again.
        step, origin: As of `Quantised`.
        unique: Rows that differ.
        exceptions: Elements that have no code.
    """

    coder: int
    kind: int
    size: int
    index_size: int
    step: float
    origin: int
    unique: int
    exceptions: int

    def fits(self, count: int, columns: int, dtype: torch.dtype) -> bool:
        """Whether this can be of so many rows and columns."""
        if self.step == 0:
            good = self.size == dtype.itemsize and self.exceptions == 0
        else:
            good = self.size in (1, 2, 4) and 0 < self.step < math.inf
        return (
            good
            and self.coder < len(NVCOMP_CODERS)
            and self.index_size in (0, 1, 2, 4)
            and 0 < self.unique <= count
            and (self.index_size > 0 or self.unique == count)
            and self.exceptions <= count * columns
        )


_HEAD = struct.Struct("<4B4xdqQQ")


def encode(rows: torch.Tensor, kind: int, bound: float, mode: str, coder: str) -> torch.Tensor:
    """The body of a message: uint8, on the device where it was made.

    Args:
        rows: [n, columns], not empty.
        kind, bound, mode: As for `quantise`.
        coder: One of `NVCOMP_CODERS`.

    Raises:
        UsageError: Without nvCOMP.
        DeviceError: Without a CUDA device.
    """
    device = _device(rows.device)
    found = quantise(rows.to(device).contiguous().reshape(-1), kind, bound, mode)
    different, index = _join(found.numbers.reshape(rows.shape))
    parts = [different, index, found.places, found.patterns]
    stream = _compress(torch.cat([_planes(part) for part in parts]), coder)
    head = _Head(
        list(NVCOMP_CODERS).index(coder),
        kind,
        different.element_size(),
        index.element_size() if len(index) else 0,
        found.step,
        found.origin,
        len(different),
        len(found.places),
    )
    packed = torch.tensor(list(_HEAD.pack(*head)), dtype=torch.uint8).to(device)
    checked = torch.cat([packed, stream])
    return torch.cat([_checksum(checked), checked])


def decode(body: torch.Tensor, shape: Sequence[int], dtype: torch.dtype, kind: int) -> torch.Tensor:
    """The rows [n, columns] of a body, on a CUDA device.

    Args:
        body: uint8, wherever it is; trusted as the head of this module says.
        shape: Of the rows.
        dtype, kind: Of their elements.

    Raises:
        PeerError: It is no body of such rows, or was damaged.
        UsageError, DeviceError: As of `encode`.
    """
    body = body.to(_device(body.device))
    checked = body[_CHECKSUM:]
    if len(checked) < _HEAD.size or not torch.equal(body[:_CHECKSUM], _checksum(checked)):
        raise PeerError("what nvCOMP coded was damaged on its way")
    head = _Head(*_HEAD.unpack(bytes(checked[: _HEAD.size].tolist())))
    count, columns = shape
    if head.kind != kind or not head.fits(count, columns, dtype):
        raise PeerError(f"what nvCOMP coded is no tensor of {list(shape)} {dtype}")
    sizes = (head.size, max(1, head.index_size), 8, dtype.itemsize)
    indices = count if head.index_size else 0
    counts = (head.unique * columns, indices, head.exceptions, head.exceptions)
    ends = [a * b for a, b in zip(sizes, counts, strict=True)]
    plain = _decompress(checked[_HEAD.size :], sum(ends), list(NVCOMP_CODERS)[head.coder])
    parts = zip(torch.split(plain, ends), sizes, strict=True)
    numbers, index, places, patterns = (_integers(part, size) for part, size in parts)
    if indices:
        chosen = index.to(torch.int64) + head.unique // 2
        _check(chosen, head.unique)
        numbers = numbers.reshape(head.unique, columns)[chosen].reshape(-1)
    _check(places, count * columns)
    found = Quantised(numbers, head.step, head.origin, places, patterns)
    return dequantise(found, dtype).reshape(count, columns)


def _check(places: torch.Tensor, count: int) -> None:
    """A place that does not exist would end the process, on a CUDA device."""
    if ((places < 0) | (places >= count)).any():
        raise PeerError("what nvCOMP coded points behind the end of a tensor")


# --- rows ----------------------------------------------------------------------------


def _join(rows: torch.Tensor) -> tuple[torch.Tensor, torch.Tensor]:
    """Rows that differ, and which of them each row is, less `unique // 2`; none if all differ.

    Rows are told apart by hashes, and then compared.
    """
    count, columns = rows.shape
    none = torch.empty(0, dtype=torch.int8, device=rows.device)
    if columns < _COLUMNS_MIN:
        return rows, none
    weights = _weights(columns, rows.device)
    parts = torch.split(rows, max(1, _TOGETHER // columns))
    hashes = torch.cat([(part.to(torch.int64) * weights).sum(1) for part in parts])
    different, index = torch.unique(hashes, return_inverse=True)
    unique = len(different)
    numbers, _ = narrow(index, 0, unique - 1)
    if (count - unique) * columns * rows.element_size() <= numbers.nbytes:
        return rows, none
    # Any of the rows with a hash will do, since they are equal or all is given up.
    some = torch.empty_like(different).scatter_(0, index, torch.arange(count, device=rows.device))
    kept = rows[some]
    return (kept, numbers) if torch.equal(kept[index], rows) else (rows, none)


def _weights(count: int, device: torch.device) -> torch.Tensor:
    """Odd numbers that look random, for sums modulo 2^64.

    With the constants of splitmix64, signed, as PyTorch's integers are.
    """
    x = torch.arange(1, count + 1, device=device) * -0x61C8864680B583EB
    x = (x ^ x >> 30) * -0x40A7B892E31B1A47
    return x ^ x >> 27 | 1


def _checksum(data: torch.Tensor) -> torch.Tensor:
    """8 bytes, other ones if anything changes within 8 bytes, and else very likely."""
    words = torch.zeros(-(-len(data) // 8) + 1, dtype=torch.int64, device=data.device)
    words.view(torch.uint8)[: len(data)] = data
    words[-1] = len(data)
    return (words * _weights(len(words), data.device)).sum().reshape(1).view(torch.uint8)


# --- planes --------------------------------------------------------------------------


def _planes(numbers: torch.Tensor) -> torch.Tensor:
    """All first bytes, then all second ones, and so on: nvCOMP codes bytes."""
    size = numbers.element_size()
    return numbers.reshape(-1).view(torch.uint8).reshape(-1, size).T.reshape(-1)


def _integers(planes: torch.Tensor, size: int) -> torch.Tensor:
    """The inverse; a copy, since planes may begin where no number may."""
    rows = planes.reshape(size, -1).T.clone(memory_format=torch.contiguous_format)
    return rows.view(INTEGERS[size]).reshape(-1)


# --- nvCOMP --------------------------------------------------------------------------


def _device(device: torch.device) -> torch.device:
    """A CUDA device: this one, or else the current one."""
    _library()
    if device.type == "cuda":
        return device
    if not torch.cuda.is_available():
        raise DeviceError(
            "nvCOMP codes on CUDA devices, and PyTorch finds none: choose another entropy coder "
            "than the nvcomp ones, on all ranks"
        )
    return torch.device("cuda", torch.cuda.current_device())


def _library() -> Any:
    try:
        from nvidia import nvcomp
    except ImportError as error:
        raise UsageError(
            "nvCOMP is not installed: pip install 'nncomp[nvcomp]', or choose another entropy "
            "coder than the nvcomp ones, on all ranks"
        ) from error
    return nvcomp


@contextmanager
def _codec(coder: str, device: torch.device) -> Iterator[tuple[Any, int]]:
    """nvCOMP's codec, on the stream on which PyTorch computes, and this stream.

    Streams are told as DLPack does: the default one is 1.
    """
    stream = torch.cuda.current_stream(device).cuda_stream or 1
    with torch.cuda.device(device):
        name = NVCOMP_CODERS[coder]
        yield _library().Codec(algorithm=name, device_id=device.index, cuda_stream=stream), stream


def _compress(plain: torch.Tensor, coder: str) -> torch.Tensor:
    with _codec(coder, plain.device) as (codec, stream):
        coded = codec.encode(_library().as_array(plain, cuda_stream=stream))
        return from_dlpack(coded).view(torch.uint8)


def _decompress(coded: torch.Tensor, size: int, coder: str) -> torch.Tensor:
    """uint8 of that size."""
    coded = coded.clone()  # nvCOMP's data begin at multiples of 16
    with _codec(coder, coded.device) as (codec, stream):
        array = _library().as_array(coded, cuda_stream=stream)
        found = codec.get_uncomp_buffer_size(array)
        if found != size:
            raise PeerError(f"what nvCOMP coded has {found} bytes, not {size}")
        try:
            return from_dlpack(codec.decode(array)).view(torch.uint8)
        except (RuntimeError, ValueError) as error:
            raise PeerError(f"nvCOMP cannot decode it: {error}") from error
