"""The safetensors format: a JSON directory, then the tensors without gaps.

Source: https://github.com/huggingface/safetensors (README, "Format"). Checked as its own
reader does: tensors in order of offsets without overlaps and gaps, sizes that agree with
shape and element type, no duplicate names, a header of at most 100 MB.
"""

from __future__ import annotations

import json
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats.base import (
    HEADER_MAX,
    PEEK_MAX,
    Segment,
    Tensor,
    byte_size,
    file_size,
    malformed,
    natural,
    read_at,
)
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

    from nncomp.codecs.tensor.dtypes import DType
    from nncomp.codecs.tensor.formats.base import Feed

__all__ = ["directory", "matches", "metadata", "segments"]

_LENGTH_SIZE = 8
_METADATA = "__metadata__"


@dataclass(frozen=True)
class _Entry:
    """A tensor; `dtype` is None for a type that only a later version of the format has."""

    name: str
    type_name: str
    shape: tuple[int, ...]
    start: int
    stop: int

    @property
    def dtype(self) -> DType | None:
        # NumPy's and PyTorch's largest type is the one of DTYPES that the format lacks.
        return DTYPES.get(self.type_name) if self.type_name != "C128" else None


@dataclass(frozen=True)
class _Header:
    """Where the tensors begin, and the tensors in the order of their bytes."""

    size: int
    entries: list[_Entry]
    metadata: dict[str, str]


def matches(start: bytes) -> bool:
    """Whether a file that begins with `start` (16 bytes, if it has them) may be one."""
    length = int.from_bytes(start[:_LENGTH_SIZE], "little")
    return start[_LENGTH_SIZE : _LENGTH_SIZE + 1] == b"{" and 2 <= length <= HEADER_MAX


def segments(feed: Feed) -> Iterator[Segment]:
    """The header, then the tensors; see `formats.segments`.

    Raises:
        TensorFileError: Before the first segment only.
    """
    size = _LENGTH_SIZE + int.from_bytes(feed.peek(_LENGTH_SIZE), "little")
    if size > PEEK_MAX:
        raise TensorFileError("the header is longer than what can be looked ahead")
    data = feed.peek(size)
    if len(data) < size:
        raise malformed("the file ends within its header", len(data))
    header = _parse(data[_LENGTH_SIZE:])
    yield Segment(header.size, BYTES)
    for entry in header.entries:
        if entry.stop > entry.start:
            yield Segment(entry.stop - entry.start, entry.dtype, entry.name, entry.shape)


def directory(file: BinaryIO) -> list[Tensor]:
    """The tensors; see `formats.directory`."""
    header = _read(file)
    tensors = []
    for entry in header.entries:
        if entry.dtype is None:
            raise TensorFileError(
                f"tensor {entry.name!r} has the unknown element type {entry.type_name!r}; "
                "a newer version of nncomp may know it"
            )
        start, stop = header.size + entry.start, header.size + entry.stop
        tensors.append(Tensor(entry.name, entry.dtype, entry.shape, start, stop))
    return tensors


def metadata(file: BinaryIO) -> dict[str, str]:
    """The text under `__metadata__`; see `formats.metadata`."""
    return _read(file).metadata


def _read(file: BinaryIO) -> _Header:
    total = file_size(file)
    length = int.from_bytes(read_at(file, 0, _LENGTH_SIZE), "little")
    if length > total - _LENGTH_SIZE:
        raise malformed(f"a header of {length} bytes in a file of {total} bytes", 0)
    header = _parse(read_at(file, _LENGTH_SIZE, length))
    stop = header.size + (header.entries[-1].stop if header.entries else 0)
    if stop != total:
        raise malformed(f"the tensors end at byte {stop}, the file at byte {total}", stop)
    return header


def _parse(text: bytes) -> _Header:
    if not text.startswith(b"{"):
        raise malformed("the header does not begin with '{'", _LENGTH_SIZE)
    try:
        parsed = json.loads(text.decode(), object_pairs_hook=_no_duplicates)
    except (ValueError, RecursionError) as error:
        raise malformed("the header is no valid JSON", _LENGTH_SIZE) from error
    texts = parsed.pop(_METADATA, {})
    if not isinstance(texts, dict) or not all(isinstance(text, str) for text in texts.values()):
        raise malformed(f"{_METADATA} holds more than texts", _LENGTH_SIZE)
    entries = [_entry(name, fields) for name, fields in parsed.items()]
    entries.sort(key=lambda entry: (entry.start, entry.stop))
    _check_cover(entries)
    return _Header(_LENGTH_SIZE + len(text), entries, texts)


def _no_duplicates(pairs: list[tuple[str, object]]) -> dict[str, object]:
    fields = dict(pairs)
    if len(fields) < len(pairs):
        raise malformed("the header has a name twice", _LENGTH_SIZE)
    return fields


def _entry(name: str, fields: object) -> _Entry:
    where = f"tensor {name!r}"
    if not isinstance(fields, dict) or fields.keys() != {"dtype", "shape", "data_offsets"}:
        raise malformed(f"{where} has not exactly dtype, shape and data_offsets", _LENGTH_SIZE)
    type_name, shape, offsets = fields["dtype"], fields["shape"], fields["data_offsets"]
    if not (isinstance(type_name, str) and isinstance(shape, list) and isinstance(offsets, list)):
        raise malformed(f"{where} has fields of the wrong kind", _LENGTH_SIZE)
    if len(offsets) != 2:
        raise malformed(f"{where} has not two offsets", _LENGTH_SIZE)
    lengths = tuple(natural(length, f"a length of {where}", _LENGTH_SIZE) for length in shape)
    start, stop = (natural(offset, f"an offset of {where}", _LENGTH_SIZE) for offset in offsets)
    entry = _Entry(name, type_name, lengths, start, stop)
    if entry.dtype and stop - start != byte_size(entry.dtype, lengths, _LENGTH_SIZE):
        raise malformed(f"{where} has not the size of its shape and type", _LENGTH_SIZE)
    return entry


def _check_cover(entries: list[_Entry]) -> None:
    """Each tensor begins where the one before ends; there are no bytes of none or of two."""
    covered = 0
    for entry in entries:
        if entry.stop < entry.start:
            raise malformed(f"tensor {entry.name!r} ends before it begins", _LENGTH_SIZE)
        if entry.start != covered:
            kind = "overlaps the one before" if entry.start < covered else "follows a gap"
            raise malformed(f"tensor {entry.name!r} {kind}", _LENGTH_SIZE)
        covered = entry.stop
