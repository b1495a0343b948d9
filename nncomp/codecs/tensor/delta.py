"""Which tensor of a base belongs to which tensor of a stream."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.codecs.tensor.formats import directory
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from nncomp.codecs.base import Base
    from nncomp.codecs.tensor.formats.base import Segment, Tensor

__all__ = ["BaseTensors"]


class BaseTensors:
    """A base, by the names of its tensors.

    Args:
        base: A file of tensors of a known format, or any bytes: then what has no name is
            compared with what is at the same place.

    Attributes:
        size: Of the base, in bytes.
    """

    def __init__(self, base: Base) -> None:
        self._base = base
        self.size = base.size
        self._tensors: dict[str, Tensor] = {}
        with base.file() as file:
            try:
                self._tensors = {tensor.name: tensor for tensor in directory(file)}
            except TensorFileError:
                return  # bytes of no format that has names

    def start_of(self, segment: Segment, position: int, done: int) -> int | None:
        """Offset in the base of what corresponds to the start of a segment, or None.

        The base may end before what corresponds to the end of the segment.

        Args:
            segment: From the stream; its size is what is left of it, None if not known.
            position: Where it begins in the stream.
            done: Bytes of it that are behind.
        """
        tensor = self._tensors.get(segment.name) if segment.name is not None else None
        if tensor is not None:
            same = tensor.dtype == segment.dtype and tensor.shape == segment.shape
            return tensor.start if same and tensor.strides is None else None
        if segment.name is not None and self._tensors:
            return None
        return position if position + done < self.size else None

    def changes(self, offset: int, sample: bytes, width: int) -> bytes:
        """A sample minus what the base has at `offset`, as integers of `width` bytes."""
        size = len(sample) // width * width
        of_base = np.frombuffer(self._base.read(offset, size), UNSIGNED[width])
        difference: bytes = (np.frombuffer(sample[:size], UNSIGNED[width]) - of_base).tobytes()
        return difference
