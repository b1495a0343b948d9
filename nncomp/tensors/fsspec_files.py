"""Archives in fsspec: `nncomp::` before any address, and compression "nncomp".

fsspec has entry points for file systems, not for compressions. So `nncomp::s3://bucket/file.nnc`
reads an archive wherever nncomp is installed; `compression="nncomp"`, and `"infer"` for names in
`.nnc`, read and write them once this module is loaded: by an import, or by the first `nncomp::`.
"""

from __future__ import annotations

import io
from typing import Any, BinaryIO, cast

from fsspec import AbstractFileSystem, filesystem
from fsspec.compression import register_compression
from fsspec.implementations.chained import ChainedFileSystem

import nncomp.api
from nncomp.api.encoding import make_context
from nncomp.api.file_reader import ArchiveReader
from nncomp.errors import UsageError
from nncomp.files import SUFFIX

__all__ = ["NncompFileSystem", "open_compressed"]


def open_compressed(infile: BinaryIO, mode: str = "rb", **options: Any) -> Any:
    """The content of a file object; the form that fsspec wants of a compression.

    Args:
        infile: The archive, left open.
        mode: "rb" or "wb", or the letter that fsspec makes of it.
        options: As for `nncomp.open`.
    """
    return nncomp.api.open(infile, mode.replace("b", "") + "b", **options)


class NncompFileSystem(ChainedFileSystem):  # type: ignore[misc]  # fsspec has no types
    """Another file system, for reading, in which every file is taken for an archive.

    Args:
        target_protocol: The other file system; "file" is the local one.
        target_options: For it.
        fs: The other file system itself, instead of the two.
        options: For `AbstractFileSystem`.
    """

    protocol = "nncomp"

    def __init__(
        self,
        target_protocol: str = "file",
        target_options: dict[str, Any] | None = None,
        fs: AbstractFileSystem | None = None,
        **options: Any,
    ) -> None:
        super().__init__(**options)
        self.fs = fs or filesystem(target_protocol, **(target_options or {}))

    def _open(self, path: str, mode: str = "rb", **options: Any) -> io.BufferedReader:
        if mode != "rb":
            raise UsageError('nncomp:: is for reading: write with compression="nncomp"')
        file = cast("BinaryIO", self.fs.open(path, "rb"))
        return io.BufferedReader(ArchiveReader(file, make_context(1, "auto", None), close=True))

    def ls(self, path: str, detail: bool = True, **options: Any) -> list[Any]:
        """What the other file system lists; sizes of content are not known before opening."""
        listed = self.fs.ls(path, detail=True, **options)
        if not detail:
            return [entry["name"] for entry in listed]
        return [entry | {"size": None} if entry["type"] == "file" else entry for entry in listed]

    def info(self, path: str, **options: Any) -> dict[str, Any]:
        """What the other file system says, with the size of the content."""
        path = self._strip_protocol(path)
        entry: dict[str, Any] = self.fs.info(path, **options)
        if entry["type"] != "file":
            return entry
        with self.fs.open(path, "rb") as file:
            return entry | {"size": sum(member.raw_size for member in nncomp.api.inspect(file))}


register_compression("nncomp", open_compressed, SUFFIX.removeprefix("."), force=True)
