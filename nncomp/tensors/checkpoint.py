"""A checkpoint in several files, as Hugging Face lays it out: an index beside its shards.

The index, `model.safetensors.index.json`, is a JSON object with `weight_map`, from names of
tensors to names of files in the same folder, and `metadata`.
"""

from __future__ import annotations

import json
import threading
from contextlib import ExitStack
from typing import TYPE_CHECKING, Any

from nncomp.errors import FileError, TensorFileError
from nncomp.files import SUFFIX
from nncomp.tensors.shard import Shard, open_content

if TYPE_CHECKING:
    from pathlib import Path

    from nncomp.codecs.base import Context
    from nncomp.codecs.tensor.formats.base import Tensor

__all__ = ["Checkpoint", "find_in_folder", "is_index"]

# As large as safetensors lets a header be; the largest known index has 10 MB.
_INDEX_SIZE_MAX = 100_000_000
_INDEX_ENDING = ".index.json"


def is_index(path: Path) -> bool:
    """Whether a file is, by its name, the index of a checkpoint, or an archive of it."""
    return path.name.removesuffix(SUFFIX).endswith(_INDEX_ENDING)


def find_in_folder(folder: Path) -> Path:
    """The file that stands for the checkpoint in a folder: its index, else its only shard.

    Raises:
        FileError: There is none, or more than one that it could be.
    """
    for pattern in ("*.safetensors" + _INDEX_ENDING, "*.safetensors", "*.bin" + _INDEX_ENDING):
        found = sorted(folder.glob(pattern)) or sorted(folder.glob(pattern + SUFFIX))
        usual = [path for path in found if path.name.startswith("model.")]
        if len(found) == 1 or len(usual) == 1:
            return (usual or found)[0]
        if found:
            names = ", ".join(path.name for path in found[:3])
            raise FileError(f"{folder} has several checkpoints ({names}): open one of them")
    raise FileError(f"{folder} has neither a *.safetensors{_INDEX_ENDING} nor a *.safetensors")


class Checkpoint:
    """All shards of a checkpoint; each is opened when a tensor in it is first asked for.

    Args:
        path: The index. A shard may be there as an archive, with `.nnc` after its name.
        context: Threads, and the memory limit for an array.

    Raises:
        TensorFileError: The index is damaged, or names files outside its folder.
    """

    def __init__(self, path: Path, context: Context) -> None:
        self._folder = path.parent
        self._context = context
        self._lock = threading.Lock()
        self._shards: dict[str, Shard] = {}
        self._closed = False
        self._files, self._metadata = _read_index(path, context)

    def keys(self) -> list[str]:
        """The names of all tensors, in the order of the index."""
        return list(self._files)

    def locate(self, name: str) -> tuple[Shard, Tensor]:
        """The shard with a tensor, and where it is in there.

        Raises:
            KeyError: There is none of that name.
            FileError: The shard is not there.
            TensorFileError: The shard is damaged, or does not have the tensor.
        """
        file = self._files[name]
        shard = self._shard(file)
        if name not in shard.tensors:
            raise TensorFileError(f"the index has tensor {name!r} in {file}, which is without it")
        return shard, shard.tensors[name]

    def metadata(self) -> dict[str, str]:
        """What the index has as `metadata`, as text."""
        return {str(key): str(value) for key, value in self._metadata.items()}

    def close(self) -> None:
        """Close all shards."""
        with self._lock:
            self._closed = True
            for shard in self._shards.values():
                shard.close()

    def _shard(self, file: str) -> Shard:
        with self._lock:
            if self._closed:
                raise ValueError("I/O operation on closed file")
            if file not in self._shards:
                self._shards[file] = Shard(self._path(file), self._context)
            return self._shards[file]

    def _path(self, file: str) -> Path:
        for path in (self._folder / file, self._folder / (file + SUFFIX)):
            if path.exists():
                return path
        raise FileError(f"the checkpoint in {self._folder} is incomplete: {file} is not there")


def _read_index(path: Path, context: Context) -> tuple[dict[str, str], dict[str, Any]]:
    """`weight_map` and `metadata`."""
    with ExitStack() as stack:
        text = open_content(path, context, stack).read(_INDEX_SIZE_MAX + 1)
    if len(text) > _INDEX_SIZE_MAX:
        raise TensorFileError(f"{path.name} has more than {_INDEX_SIZE_MAX} bytes")
    try:
        index = json.loads(text, object_pairs_hook=_without_duplicates)
    except (ValueError, RecursionError) as error:
        raise TensorFileError(f"{path.name} is not valid JSON: {error}") from error
    files = index.get("weight_map") if isinstance(index, dict) else None
    metadata = index.get("metadata") or {} if isinstance(index, dict) else None
    if not isinstance(files, dict) or not isinstance(metadata, dict):
        raise TensorFileError(f"{path.name} has no weight_map from tensors to files")
    for name, file in files.items():
        if not isinstance(file, str) or not _is_plain_name(file):
            raise TensorFileError(
                f"{path.name} has tensor {name!r} in {file!r}, which is no name of a file in the "
                "same folder"
            )
    return files, metadata


def _without_duplicates(pairs: list[tuple[str, Any]]) -> dict[str, Any]:
    found = dict(pairs)
    if len(found) != len(pairs):
        raise ValueError("a name occurs twice in an object")
    return found


def _is_plain_name(file: str) -> bool:
    """Whether it leads nowhere but into the folder, on Windows either."""
    return file not in ("", ".", "..") and not set(file) & set("/\\:\0")
