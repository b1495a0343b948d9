"""Which bytes of a file an indexed tensor needs."""

from __future__ import annotations

import math
import operator
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, Any, SupportsIndex, TypeAlias

import numpy as np

from nncomp.codecs.tensor.formats.base import contiguous, unusual_strides
from nncomp.errors import TensorFileError, UsageError

if TYPE_CHECKING:
    from types import EllipsisType

    from nncomp.codecs.tensor.formats.base import Tensor
    from nncomp.tensors.arrays import RawBytes

    Entry: TypeAlias = SupportsIndex | slice | EllipsisType

__all__ = ["Region"]


@dataclass(frozen=True)
class Region:
    """A rectangle of elements in a file.

    Attributes:
        dtype: Element type of the array that it becomes: the tensor's, U8 for quantised
            blocks, of which there are only the bytes.
        unit: Bytes of what the shape counts: an element, a pair of F4, a byte of a block.
        shape: Outermost first.
        strides: How many units lie between neighbours, for each dimension.
        start: File offset of its first unit, in bytes.
    """

    dtype: str
    unit: int
    shape: tuple[int, ...]
    strides: tuple[int, ...]
    start: int

    @classmethod
    def of(cls, tensor: Tensor) -> Region:
        """All of a tensor.

        Raises:
            TensorFileError: It does not fit where its file says that it is.
            UsageError: Its elements are neither whole bytes nor blocks of them.
        """
        dtype, unit, shape = _as_array(tensor)
        strides = contiguous(shape) if tensor.strides is None else tensor.strides
        region = cls(dtype, unit, shape, strides, tensor.start)
        if (
            len(strides) != len(shape)
            or any(number < 0 for number in (*shape, *strides, tensor.start))
            or region.span > tensor.stop - tensor.start
        ):
            raise TensorFileError(
                f"tensor {tensor.name!r} of shape {list(tensor.shape)} does not fit into its "
                f"{tensor.stop - tensor.start} bytes",
                offset=tensor.start,
            )
        return region

    @property
    def size(self) -> int:
        """Bytes of its elements."""
        return self.unit * math.prod(self.shape)

    @property
    def span(self) -> int:
        """Bytes from its first element to the end of its last."""
        if 0 in self.shape:
            return 0
        steps = zip(self.shape, self.strides, strict=True)
        return self.unit * (1 + sum((count - 1) * stride for count, stride in steps))

    def gather(self, raw: RawBytes) -> RawBytes:
        """The elements in C order out of the `span` bytes that they lie in."""
        if unusual_strides(self.shape, self.strides) is None:
            return raw
        strides = tuple(stride * self.unit for stride in self.strides)
        units = np.lib.stride_tricks.as_strided(
            raw[: self.span].view(f"V{self.unit}"), self.shape, strides, writeable=False
        )
        return units.copy(order="C").reshape(-1).view(np.uint8)

    def narrow(self, index: Entry | tuple[Entry, ...]) -> tuple[Region, tuple[Any, ...]]:
        """Take of an index what decides which bytes are read: the leading dimensions.

        Returns:
            The region to read, and the index to apply to what was read; empty if that is
            all that was asked for.

        Raises:
            IndexError: Out of range, or too many dimensions.
            UsageError: Not made of integers, slices with positive steps, and `...`.
        """
        entries = self._full_index(index)
        region = self
        while entries and not isinstance(entries[0], slice):
            region = region._row(entries.pop(0))
        if not entries:
            return region, ()
        for entry, count in zip(entries, region.shape, strict=True):
            if isinstance(entry, slice) and entry.indices(count)[2] < 0:
                raise UsageError("a slice with a negative step is not supported: flip the result")
        low, high, step = entries[0].indices(region.shape[0])
        count = len(range(low, high, step))
        rows = (count - 1) * step + 1 if count else 0
        region = replace(
            region,
            shape=(rows, *region.shape[1:]),
            start=region.start + low * region.strides[0] * region.unit if rows else region.start,
        )
        rest = (slice(None, None, step), *entries[1:])
        return region, () if all(entry == slice(None) for entry in _plain(rest)) else rest

    def _full_index(self, index: Entry | tuple[Entry, ...]) -> list[Any]:
        """One integer or slice for each dimension."""
        entries = [_checked(e) for e in (index if isinstance(index, tuple) else (index,))]
        dots = [at for at, entry in enumerate(entries) if entry is Ellipsis]
        if len(dots) > 1:
            raise IndexError("an index can have only one ellipsis")
        missing = len(self.shape) - len(entries) + len(dots)
        if missing < 0:
            raise IndexError(f"too many indices: the tensor has {len(self.shape)} dimensions")
        at = dots[0] if dots else len(entries)
        return [*entries[:at], *[slice(None)] * missing, *entries[at + len(dots) :]]

    def _row(self, number: int) -> Region:
        """One entry of the first dimension."""
        count = self.shape[0]
        if not -count <= number < count:
            raise IndexError(f"index {number} is out of range for {count} entries")
        start = self.start + number % count * self.strides[0] * self.unit
        return replace(self, shape=self.shape[1:], strides=self.strides[1:], start=start)


def _as_array(tensor: Tensor) -> tuple[str, int, tuple[int, ...]]:
    """Element type, unit in bytes and shape of the array that a tensor becomes."""
    dtype, shape = tensor.dtype, tensor.shape
    if dtype.kind != "blocks" and dtype.bits % 8 == 0:
        return dtype.name, int(dtype.bits) // 8, shape
    if dtype.kind != "blocks" and dtype.name != "F4":
        raise UsageError(
            f"tensor {tensor.name!r} has elements of {dtype.bits:g} bits ({dtype.name}), which "
            "neither NumPy nor PyTorch have: read its bytes from the file"
        )
    row = shape[-1] * dtype.bits / 8 if shape else dtype.bits / 8
    if row != int(row) or tensor.strides is not None:
        raise TensorFileError(
            f"tensor {tensor.name!r} of shape {list(shape)} is not made of whole bytes of "
            f"{dtype.name}",
            offset=tensor.start,
        )
    return "F4" if dtype.name == "F4" else "U8", 1, (*shape[:-1], int(row))


def _checked(entry: Any) -> Any:
    """An entry of an index, if it is of a kind that says which bytes to read."""
    if entry is Ellipsis or isinstance(entry, slice):
        return entry
    if isinstance(entry, bool) or not hasattr(entry, "__index__") or getattr(entry, "shape", False):
        raise UsageError(
            f"an index of type {type(entry).__name__} is not supported: use integers, slices and "
            "..., or get_tensor"
        )
    return operator.index(entry)


def _plain(rest: tuple[Any, ...]) -> list[Any]:
    """The index with steps of 1 left out, which change nothing."""
    return [slice(None) if entry == slice(None, None, 1) else entry for entry in rest]
