"""NumPy's .npz: a ZIP archive of .npy files."""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nncomp.codecs.tensor.formats import npy
from nncomp.codecs.tensor.formats.base import read_at
from nncomp.codecs.tensor.formats.zip_archive import STORED
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from nncomp.codecs.tensor.formats.base import Tensor
    from nncomp.codecs.tensor.formats.zip_archive import Entry

__all__ = ["SUFFIX", "tensors"]

SUFFIX = ".npy"


def tensors(file: BinaryIO, entries: list[Entry], *, strict: bool) -> Iterator[Tensor]:
    """The arrays by their names without `SUFFIX`; see `formats.directory`."""
    left_out = () if strict else (TensorFileError,)
    for entry in entries:
        with suppress(*left_out):
            yield _tensor(file, entry)


def _tensor(file: BinaryIO, entry: Entry) -> Tensor:
    name = entry.name.removesuffix(SUFFIX)
    if entry.method != STORED:
        raise TensorFileError(
            f"array {name!r} is compressed, as by numpy.savez_compressed; load it with numpy",
            offset=entry.start,
        )
    head = read_at(file, entry.start, min(entry.stop - entry.start, npy.HEAD_MAX))
    return npy.tensor(name, npy.parse(head, entry.start), entry.start, entry.stop)
