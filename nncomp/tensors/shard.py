"""One file of tensors, plain or as an archive."""

from __future__ import annotations

import os
import threading
from contextlib import ExitStack
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, cast

import numpy as np

from nncomp.api.encoding import grant, refuse_above_limit
from nncomp.api.file_reader import open_reader
from nncomp.codecs.tensor import formats
from nncomp.container.layout import MAGIC
from nncomp.container.limits import PIECE
from nncomp.errors import TensorFileError, UsageError

if TYPE_CHECKING:
    from nncomp.codecs.base import Context
    from nncomp.codecs.tensor.formats.base import Tensor
    from nncomp.tensors.arrays import RawBytes
    from nncomp.tensors.regions import Region

__all__ = ["Shard", "open_content", "read_exactly", "verify_end"]


def open_content(
    file: str | os.PathLike[str] | BinaryIO, context: Context, stack: ExitStack
) -> BinaryIO:
    """A file, or the content of an archive, as a seekable file object at its start.

    Args:
        file: A path; or a binary file object that can seek, taken from its start.
        context: Threads, memory limit and base of a decoder.
        stack: Closes what is opened here, not what the caller has opened.

    Raises:
        UsageError: The file object cannot seek.
    """
    if isinstance(file, (str, os.PathLike)):
        stream: BinaryIO = Path(file).open("rb")  # noqa: SIM115 - the stack closes it
        stack.enter_context(stream)
    elif not file.seekable():
        raise UsageError("a file of tensors is read here and there: the file object must seek")
    else:
        stream = file
    stream.seek(0)
    archive = stream.read(len(MAGIC)) == MAGIC
    stream.seek(0)
    if not archive:
        return stream
    return cast("BinaryIO", stack.enter_context(open_reader(stream, context)))


def read_exactly(file: BinaryIO, start: int, target: memoryview) -> None:
    """Fill `target` from a position on.

    Raises:
        TensorFileError: The file ends before.
    """
    file.seek(start)
    done = 0
    while done < len(target):
        count = cast("Any", file).readinto(target[done:])
        if not count:
            raise TensorFileError("the file ends within a tensor", offset=start + done)
        done += count


def verify_end(file: BinaryIO, position: int) -> None:
    """Read from a position to the end, for what an archive's decoder verifies only there.

    Raises:
        FormatError: The archive is damaged.
    """
    file.seek(position)
    while file.read(PIECE):
        pass


class Shard:
    """A file of tensors that is open; for several threads at a time.

    Args:
        file: As for `open_content`.
        context: Threads, and the memory limit for an array.

    Attributes:
        tensors: What is in it, by name, in the order of the file's own directory.

    Raises:
        TensorFileError: It is of no known format, or damaged.
        OSError, NncompError: It cannot be opened.
    """

    def __init__(self, file: str | os.PathLike[str] | BinaryIO, context: Context) -> None:
        context, self._limit = grant(context)
        self._lock = threading.Lock()
        with ExitStack() as stack:
            self._file = open_content(file, context, stack)
            self.tensors = _by_name(formats.directory(self._file))
            self._stack = stack.pop_all()

    def keys(self) -> list[str]:
        """The names of all tensors."""
        return list(self.tensors)

    def locate(self, name: str) -> tuple[Shard, Tensor]:
        """This shard, and where the tensor is in it.

        Raises:
            KeyError: There is none of that name.
        """
        return self, self.tensors[name]

    def metadata(self) -> dict[str, str]:
        """The text that the format keeps beside the tensors."""
        with self._lock:
            self._file.seek(0)
            return formats.metadata(self._file)

    def read(self, region: Region) -> RawBytes:
        """The bytes of a region, in C order, in memory of their own.

        Raises:
            LimitError: They take more than the memory limit.
            TensorFileError, FormatError: The file is damaged.
        """
        self.refuse_above_limit(max(region.size, region.span))
        raw = np.empty(region.span, np.uint8)
        with self._lock:
            read_exactly(self._file, region.start, raw.data)
        return region.gather(raw)

    def verify_end(self) -> None:
        """Verify what comes after the last tensor; when all were read in order."""
        with self._lock:
            verify_end(self._file, max((t.stop for t in self.tensors.values()), default=0))

    def refuse_above_limit(self, size: int) -> None:
        """Raise `LimitError` if arrays of that many bytes are more than the memory limit."""
        refuse_above_limit(size, self._limit, "reading these tensors")

    def close(self) -> None:
        """Close what was opened here."""
        with self._lock:
            self._stack.close()


def _by_name(tensors: list[Tensor]) -> dict[str, Tensor]:
    found: dict[str, Tensor] = {}
    for tensor in tensors:
        if tensor.name in found:
            raise TensorFileError(f"two tensors have the name {tensor.name!r}", offset=tensor.start)
        found[tensor.name] = tensor
    return found
