"""Tensors in files, to be used in place."""

from __future__ import annotations

import os
from collections.abc import Iterator, Mapping
from pathlib import Path
from typing import TYPE_CHECKING, Any, BinaryIO, Protocol

from nncomp.api.encoding import make_context
from nncomp.errors import UsageError
from nncomp.tensors.arrays import arrays_for
from nncomp.tensors.checkpoint import Checkpoint, find_in_folder, is_index
from nncomp.tensors.regions import Region
from nncomp.tensors.shard import Shard

if TYPE_CHECKING:
    from types import TracebackType

    from nncomp.api.base import BaseLike
    from nncomp.codecs.tensor.formats.base import Tensor
    from nncomp.tensors.arrays import Arrays, Framework

__all__ = ["TensorFile", "TensorSlice", "load_file", "open"]


class Source(Protocol):
    """Where tensors come from: a shard, or a checkpoint of them."""

    def keys(self) -> list[str]: ...

    def locate(self, name: str) -> tuple[Shard, Tensor]: ...

    def metadata(self) -> dict[str, str]: ...

    def close(self) -> None: ...


class TensorSlice:
    """A tensor of which parts are read by indexing, as safetensors' `PySafeSlice`.

    An index is of integers, slices with positive steps, and `...`. Only the range of the
    leading dimensions that it needs is read: whole rows.
    """

    def __init__(self, shard: Shard, tensor: Tensor, arrays: Arrays) -> None:
        self._shard = shard
        self._dtype = tensor.dtype.name
        self._region = Region.of(tensor)
        self._arrays = arrays

    def get_shape(self) -> list[int]:
        """The shape that is indexed; in bytes or pairs where `TensorFile.get_tensor` says so."""
        return list(self._region.shape)

    def get_dtype(self) -> str:
        """The element type as the file has it, named as in safetensors: "F32", "BF16"."""
        return self._dtype

    def __getitem__(self, index: Any) -> Any:
        """An array of its own memory, in C order.

        Raises:
            IndexError: Out of range.
            UsageError: An index of another kind, or an element type the framework lacks.
            NncompError, OSError: As for `TensorFile.get_tensor`.
        """
        region, rest = self._region.narrow(index)
        array = self._arrays.wrap(self._shard.read(region), region.dtype, region.shape)
        return self._arrays.cut(array, rest) if rest else array


class TensorFile(Mapping[str, Any]):
    """The tensors of a file, or of all shards of a checkpoint, by name; read when asked for.

    Made by `nncomp.tensors.open`. Iteration is in the order of the file's directory. Several
    threads may use it at a time.
    """

    def __init__(self, source: Source, arrays: Arrays) -> None:
        self._source = source
        self._arrays = arrays
        self._names = dict.fromkeys(source.keys())

    def __getitem__(self, name: str) -> Any:
        return self.get_tensor(name)

    def __iter__(self) -> Iterator[str]:
        return iter(self._names)

    def __len__(self) -> int:
        return len(self._names)

    def __contains__(self, name: object) -> bool:
        return name in self._names

    def get_tensor(self, name: str) -> Any:
        """One tensor, in memory of its own, writable, in C order.

        Quantised blocks of GGUF are given as they are, as U8: the last dimension counts bytes.
        F4 are given in pairs, as PyTorch has them.

        Raises:
            KeyError: There is none of that name.
            UsageError: The framework has no such element type.
            LimitError: It takes more than the memory limit.
            TensorFileError, FormatError, FileError, OSError: The file is damaged, or not there.
        """
        return self.get_slice(name)[...]

    def get_slice(self, name: str) -> TensorSlice:
        """A tensor to be indexed; nothing of it is read before that.

        Raises:
            As `get_tensor`.
        """
        return TensorSlice(*self._source.locate(name), self._arrays)

    def get_tensors(self) -> dict[str, Any]:
        """All tensors, read in the order in which they lie in the file.

        Raises:
            LimitError: All together take more than the memory limit.
            NncompError, OSError: As for `get_tensor`.
        """
        located = {name: self._source.locate(name) for name in self._names}
        total = sum(Region.of(tensor).size for _, tensor in located.values())
        for shard, _ in located.values():
            shard.refuse_above_limit(total)
        tensors = dict.fromkeys(located)
        for name in self.offset_keys():
            tensors[name] = self.get_tensor(name)
        for shard in dict.fromkeys(shard for shard, _ in located.values()):
            shard.verify_end()
        return tensors

    def offset_keys(self) -> list[str]:
        """The names, as the tensors lie in the file; shard by shard for a checkpoint."""
        located = {name: self._source.locate(name) for name in self._names}
        shards = dict.fromkeys(shard for shard, _ in located.values())
        place = {shard: number for number, shard in enumerate(shards)}
        return sorted(located, key=lambda name: (place[located[name][0]], located[name][1].start))

    def metadata(self) -> dict[str, str]:
        """The text that the file keeps beside its tensors; for a checkpoint, of the index."""
        return self._source.metadata()

    def close(self) -> None:
        """Close the files; arrays that were given stay as they are."""
        self._source.close()

    def __enter__(self) -> TensorFile:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        traceback: TracebackType | None,
    ) -> None:
        self.close()


def open(  # noqa: A001 - named as nncomp.open
    file: str | os.PathLike[str] | BinaryIO,
    *,
    framework: Framework = "np",
    device: str | int = "cpu",
    threads: int = 1,
    memory_limit: int | None = None,
    base: BaseLike = None,
) -> TensorFile:
    """Open a file of tensors, plain or as an archive, without reading the tensors.

    Out of an archive, only the records that a tensor lies in are decoded.

    Args:
        file: A safetensors, .npy, .npz, PyTorch or GGUF file, or an archive of one; by path,
            or as a binary file object that can seek, which is taken from its start and left
            open. Or a checkpoint of several files, by the path of its index
            (`model.safetensors.index.json`) or of its folder; its shards may be archives.
        framework: "np" for NumPy arrays, "pt" for PyTorch tensors. NumPy has BF16 and the
            types of 8 bits only where ml_dtypes is installed.
        device: Where PyTorch tensors are put.
        threads: How many threads may decode.
        memory_limit: Bytes that an array, and decoding, may take; default three quarters of
            the physical memory.
        base: What an archive of differences was made against, as for `nncomp.open`; for a
            single file.

    Raises:
        UsageError: An argument is not valid.
        TensorFileError: The file is damaged, or of no known format.
        FileError: The folder has no checkpoint, or several.
        FormatError, UnsupportedError, LimitError: The archive cannot be read.
    """
    context = make_context(threads, "auto", memory_limit, base)
    arrays = arrays_for(framework, device)
    if isinstance(file, (str, os.PathLike)):
        path = Path(file)
        file = find_in_folder(path) if path.is_dir() else path
        if is_index(file):
            if base is not None:
                raise UsageError(
                    "a checkpoint of several files takes no base: open them one by one"
                )
            return TensorFile(Checkpoint(file, context), arrays)
    return TensorFile(Shard(file, context), arrays)


def load_file(
    filename: str | os.PathLike[str] | BinaryIO,
    device: str | int = "cpu",
    *,
    framework: Framework = "pt",
    threads: int = 1,
    memory_limit: int | None = None,
    base: BaseLike = None,
) -> dict[str, Any]:
    """All tensors of a file, or of a checkpoint, plain or as archives.

    Args:
        filename: As for `open`.
        device: Where PyTorch tensors are put.
        framework, threads, base: As for `open`.
        memory_limit: As for `open`, and for all arrays together.

    Raises:
        NncompError, OSError: As for `open` and `TensorFile.get_tensors`.
    """
    with open(
        filename,
        framework=framework,
        device=device,
        threads=threads,
        memory_limit=memory_limit,
        base=base,
    ) as file:
        return file.get_tensors()
