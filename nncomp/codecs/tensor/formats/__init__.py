"""File formats of tensors: where in a file which numbers are.

Known are safetensors, NumPy's .npy and .npz, PyTorch's files since 1.6 (ZIP archives) and
GGUF. All of it works on untrusted bytes: nothing is executed, and what a file says takes
memory only in proportion to its headers, which are bounded.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncomp.codecs.tensor.formats import gguf, npy, npz, safetensors, torch_archive, zip_stream
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.codecs.tensor.formats.zip_archive import central_directory, local_header
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from nncomp.codecs.tensor.formats.base import Feed, Tensor

__all__ = ["directory", "format_of", "metadata", "segments"]

_START_SIZE = 16


def format_of(start: bytes) -> str | None:
    """What a file is, in words, as far as its beginning tells; None: no file of tensors.

    Args:
        start: Some kilobytes, if it has them; of ZIP archives the first entry counts, which
            is the pickle of a PyTorch file, and one of the arrays of an .npz file.
    """
    if gguf.matches(start):
        return "a GGUF file"
    if npy.matches(start):
        return "an .npy file"
    if not zip_stream.matches(start):
        return "a safetensors file" if safetensors.matches(start[:_START_SIZE]) else None
    try:
        first = local_header(start)
    except TensorFileError:
        return None
    if torch_archive.is_pickle(first.name):
        return "a PyTorch file"
    return "an .npz file" if first.stored and first.name.endswith(npz.SUFFIX) else None


def segments(feed: Feed) -> Iterator[Segment]:
    """What a stream holds, from where it stands to its end, as far as it can be known.

    Whatever the bytes are, nothing is raised: what cannot be interpreted is a segment of
    unknown type. Sizes are what the headers say, so that the last may be more than the
    stream has; they are never 0.

    Args:
        feed: The stream; the caller moves it on by the size of each segment before it asks
            for the next.

    Yields:
        The segments, one after the other without gaps; the last has no size, unless the
        stream ends with one that has.
    """
    start = feed.peek(_START_SIZE)
    try:
        if gguf.matches(start):
            yield from gguf.segments(feed)
        elif npy.matches(start):
            yield from npy.segments(feed)
        elif zip_stream.matches(start):
            yield from zip_stream.segments(feed)
        elif safetensors.matches(start):
            yield from safetensors.segments(feed)
    except TensorFileError:
        # The encoder takes any bytes; only the hints about them end here.
        pass
    if feed.peek(1):
        yield Segment(None, None)


def directory(file: BinaryIO, *, strict: bool = True) -> list[Tensor]:
    """All tensors of a file, in the order of their bytes, checked strictly.

    Names are those of safetensors and GGUF; in .npz files those of the entries without
    `.npy`; the one array of an .npy file has the empty name. Tensors of PyTorch files have
    the dotted path to them (`model.layers.0.weight`), with indices for lists and attribute
    names for objects; only dense tensors are listed, and the number of elements may be more
    than the bytes of one that was expanded (see its strides). Shapes are as in NumPy, for
    GGUF as well, which has them the other way round.

    Args:
        file: The whole file, from byte 0; it must be able to seek.
        strict: Without it, arrays of an .npz file that are not in place as plain numbers
            are left out.

    Raises:
        TensorFileError: Of no known format; damaged or contradicting itself anywhere; or
            with tensors that are not in place as plain numbers (compressed, big-endian).
        OSError: As raised by the file.
    """
    file.seek(0)
    start = file.read(_START_SIZE)
    if gguf.matches(start):
        return gguf.directory(file)
    if npy.matches(start):
        return npy.directory(file)
    if zip_stream.matches(start):
        return _zip_directory(file, strict)
    if safetensors.matches(start):
        return safetensors.directory(file)
    raise TensorFileError(
        "no safetensors, .npy, .npz, PyTorch or GGUF file; open it as plain bytes instead"
    )


def metadata(file: BinaryIO) -> dict[str, str]:
    """The texts that a safetensors file holds for its users; {} for other formats.

    Raises:
        TensorFileError: A damaged safetensors file.
        OSError: As raised by the file.
    """
    file.seek(0)
    start = file.read(_START_SIZE)
    if zip_stream.matches(start) or not safetensors.matches(start):
        return {}
    return safetensors.metadata(file)


def _zip_directory(file: BinaryIO, strict: bool) -> list[Tensor]:
    entries = central_directory(file)
    pickles = [entry for entry in entries if torch_archive.is_pickle(entry.name)]
    if len(pickles) == 1:
        return torch_archive.tensors(file, entries, pickles[0])
    if all(entry.name.endswith(npz.SUFFIX) for entry in entries):
        return list(npz.tensors(file, entries, strict=strict))
    raise TensorFileError("a ZIP archive of neither NumPy nor PyTorch; open it as plain bytes")
