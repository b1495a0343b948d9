"""The structure of ZIP archives: local headers, data descriptors, the central directory.

Source: PKWARE, APPNOTE.TXT 6.3.10; section numbers below are of that document. The central
directory is read here rather than by `zipfile`, because what lies where in the file counts:
two readers that disagree about an archive is what its tricks are made of.
"""

from __future__ import annotations

import struct
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp.codecs.tensor.formats.base import file_size, malformed, read_at
from nncomp.errors import TensorFileError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from typing import BinaryIO

__all__ = [
    "CENTRAL_MAX",
    "DESCRIPTOR_CRC",
    "DESCRIPTOR_MAX",
    "LOCAL_CRC",
    "LOCAL_MAX",
    "LOCAL_SIZE",
    "STORED",
    "Entry",
    "Local",
    "central_directory",
    "descriptor_size",
    "directory_sums",
    "find_descriptor",
    "goes_on_in_directory",
    "is_archive",
    "is_local",
    "local_header",
]

STORED = 0
LOCAL_SIZE = 30
LOCAL_MAX = LOCAL_SIZE + 2 * 0xFFFF
"""Bytes from the beginning of a local header that are enough for `local_header`."""
LOCAL_CRC = 14
"""Where in a local header the CRC-32 of its entry is, in four bytes."""
DESCRIPTOR_MAX = 24
DESCRIPTOR_CRC = 4
"""Where in a data descriptor the CRC-32 is."""

_LOCAL = b"PK\x03\x04"
_CENTRAL = b"PK\x01\x02"
_END = b"PK\x05\x06"
_END64 = b"PK\x06\x06"
_LOCATOR = b"PK\x06\x07"
_DESCRIPTOR = b"PK\x07\x08"
_LOCAL_FIELDS = struct.Struct("<4s5H3I2H")  # 4.3.7
_CENTRAL_FIELDS = struct.Struct("<4s6H3I5H2I")  # 4.3.12
_END_FIELDS = struct.Struct("<4s4H2IH")  # 4.3.16
_END64_FIELDS = struct.Struct("<4sQ2H2I4Q")  # 4.3.14
_LOCATOR_FIELDS = struct.Struct("<4sIQI")  # 4.3.15
_DIRECTORY_CRC = 16
CENTRAL_MAX = _CENTRAL_FIELDS.size + 3 * 0xFFFF
"""Bytes of an entry of the directory, at most."""
_ENCRYPTED = 1 << 0
_HAS_DESCRIPTOR = 1 << 3
_IN_ZIP64 = 0xFFFFFFFF
_ZIP64 = 1
_COMMENT_MAX = 0xFFFF
# Room for 170,000 entries with names of 50 characters; the list takes some ten times it.
_DIRECTORY_MAX = 16 << 20


@dataclass(frozen=True)
class Local:
    """A local header.

    Attributes:
        name: Of the entry.
        size: Bytes of the header.
        stored: Whether its bytes are in the archive as they are.
        data: Bytes of the entry in the archive; None: only its data descriptor says.
        descriptor: Whether a data descriptor follows the entry.
    """

    name: str
    size: int
    stored: bool
    data: int | None
    descriptor: bool


@dataclass(frozen=True)
class Entry:
    """An entry of the central directory.

    Attributes:
        name: Of the entry.
        method: How it is compressed.
        offset: Of its local header.
        start, stop: Where its bytes are.
    """

    name: str
    method: int
    offset: int
    start: int
    stop: int


def is_archive(start: bytes) -> bool:
    """Whether a file that begins with `start` is an archive; an empty one is its end record."""
    return start.startswith((_LOCAL, _END))


def is_local(start: bytes) -> bool:
    """Whether bytes that begin with `start` are a local header."""
    return start.startswith(_LOCAL)


def local_header(data: bytes, offset: int = 0) -> Local:
    """Read the local header that `data` begins with and that lies at `offset`.

    Raises:
        TensorFileError: It is none, or `data` ends within it.
    """
    if len(data) < LOCAL_SIZE or not is_local(data):
        raise malformed("no header of a ZIP entry", offset)
    fields = _LOCAL_FIELDS.unpack_from(data)
    _, _, flags, method, _, _, _, packed, raw, name_size, extra_size = fields
    size = LOCAL_SIZE + name_size + extra_size
    if len(data) < size:
        raise malformed("the file ends within the header of a ZIP entry", offset)
    if _IN_ZIP64 in (packed, raw):
        extra = data[LOCAL_SIZE + name_size : size]
        raw, packed = _zip64(extra, (raw, packed), offset)
    descriptor = bool(flags & _HAS_DESCRIPTOR)
    return Local(
        name=_name(data[LOCAL_SIZE : LOCAL_SIZE + name_size]),
        size=size,
        stored=method == STORED and packed == raw and not flags & _ENCRYPTED,
        data=None if descriptor and not packed else packed,
        descriptor=descriptor,
    )


def descriptor_size(data: bytes, size: int) -> int | None:
    """Bytes of the data descriptor (4.3.9) that `data` begins with.

    Args:
        data: What follows an entry; `DESCRIPTOR_MAX` bytes and more, if there are.
        size: Bytes of the entry.

    Returns:
        Its size, or None: it is no descriptor of an entry of that many bytes. Those
        without a signature, which no writer of tensors writes, are not found.
    """
    if not data.startswith(_DESCRIPTOR):
        return None
    # The long form counts as such where the short one is not followed by a signature, as
    # any descriptor is; its sizes are in eight bytes.
    short = size <= _IN_ZIP64 and data[8:12] == size.to_bytes(4, "little")
    if short and data[16:18] == b"PK":
        return 16
    if data[8:16] == size.to_bytes(8, "little"):
        return 24
    return None


def find_descriptor(data: bytes, before: int) -> int | None:
    """Where in `data` the descriptor of an entry is, `before` bytes of which came before."""
    at = data.find(_DESCRIPTOR)
    while at >= 0:
        if descriptor_size(data[at : at + DESCRIPTOR_MAX], before + at):
            return at
        at = data.find(_DESCRIPTOR, at + 1)
    return None


def central_directory(file: BinaryIO) -> list[Entry]:
    """All entries, in the order of their bytes.

    Raises:
        TensorFileError: The directory is damaged; entries overlap, have one name, are
            encrypted, or are something else in their local headers.
    """
    start, size, count = _find_directory(file)
    data = read_at(file, start, size)
    entries = []
    at = 0
    for _ in range(count):
        if len(data) - at < _CENTRAL_FIELDS.size or data[at : at + 4] != _CENTRAL:
            raise malformed("the ZIP directory is shorter than it says", start + at)
        fields = _CENTRAL_FIELDS.unpack_from(data, at)
        stop = at + _CENTRAL_FIELDS.size + sum(fields[10:13])
        if stop > len(data):
            raise malformed("an entry of the ZIP directory ends after it", start + at)
        entries.append(_entry(file, fields, data[at + _CENTRAL_FIELDS.size : stop], start + at))
        at = stop
    if at != size:
        raise malformed("the ZIP directory is longer than it says", start + at)
    entries.sort(key=lambda entry: entry.offset)
    _check_entries(entries, start)
    return entries


def directory_sums(data: bytes) -> Iterator[tuple[int, int, int]]:
    """Where each entry's CRC-32 is, the offset of its local header, and where it ends.

    Args:
        data: Begins with an entry of the central directory; what is not whole, or cannot be
            read, ends it.
    """
    at = 0
    while len(data) - at >= _CENTRAL_FIELDS.size and data[at : at + 4] == _CENTRAL:
        fields = _CENTRAL_FIELDS.unpack_from(data, at)
        packed, raw, name_size, extra_size, comment_size, *_, offset = fields[8:]
        names = at + _CENTRAL_FIELDS.size
        end = names + name_size + extra_size + comment_size
        if end > len(data):
            return
        if _IN_ZIP64 in (packed, raw, offset):
            extra = data[names + name_size : names + name_size + extra_size]
            try:
                raw, packed, offset = _zip64(extra, (raw, packed, offset), at)
            except TensorFileError:
                return
        yield at + _DIRECTORY_CRC, offset, end
        at = end


def goes_on_in_directory(start: bytes) -> bool:
    """Whether bytes that begin with `start` may be an entry of the directory."""
    return start[: len(_CENTRAL)] == _CENTRAL[: len(start)]


def _find_directory(file: BinaryIO) -> tuple[int, int, int]:
    """Start, size and number of entries of the central directory."""
    total = file_size(file)
    tail_size = min(total, _END_FIELDS.size + _COMMENT_MAX)
    tail = read_at(file, total - tail_size, tail_size)
    at = tail.rfind(_END)
    end = total - tail_size + at
    if at < 0 or len(tail) - at < _END_FIELDS.size:
        raise malformed("the ZIP archive has no end record: it was cut off", total)
    _, *disks, count, size, start, comment = _END_FIELDS.unpack_from(tail, at)
    if len(tail) - at != _END_FIELDS.size + comment:
        raise malformed("bytes that belong to nothing follow the ZIP archive", end)
    if any(disks[:2]) or disks[2] != count:
        raise TensorFileError("a ZIP archive in several parts; join them first", offset=end)
    locator = end - _LOCATOR_FIELDS.size
    if locator >= 0 and read_at(file, locator, 4) == _LOCATOR:
        start, size, count, end = _find_directory64(file, locator)
    if start + size != end:
        raise malformed("the ZIP directory does not end where its end record begins", end)
    if size > _DIRECTORY_MAX or count * _CENTRAL_FIELDS.size > size:
        raise malformed(f"a ZIP directory of {count} entries in {size} bytes", start)
    return start, size, count


def _find_directory64(file: BinaryIO, locator: int) -> tuple[int, int, int, int]:
    """The same from the records of large archives, and where they begin."""
    _, _, end, _ = _LOCATOR_FIELDS.unpack(read_at(file, locator, _LOCATOR_FIELDS.size))
    if end + _END64_FIELDS.size != locator:
        raise malformed("the end records of the ZIP archive do not meet", locator)
    fields = _END64_FIELDS.unpack(read_at(file, end, _END64_FIELDS.size))
    signature, _, _, _, disk, directory_disk, here, count, size, start = fields
    if signature != _END64 or disk or directory_disk or here != count:
        raise malformed("the large end record of the ZIP archive is damaged", end)
    return start, size, count, end


def _entry(file: BinaryIO, fields: tuple[int, ...], tail: bytes, at: int) -> Entry:
    """The entry of a record of the directory, checked against its local header."""
    _, _, _, flags, method, _, _, _, packed, raw, name_size, extra_size, *_, offset = fields
    name = _name(tail[:name_size])
    if _IN_ZIP64 in (packed, raw, offset):
        extra = tail[name_size : name_size + extra_size]
        raw, packed, offset = _zip64(extra, (raw, packed, offset), at)
    if flags & _ENCRYPTED:
        raise TensorFileError(f"ZIP entry {name!r} is encrypted; decrypt it first", offset=at)
    if method == STORED and packed != raw:
        raise malformed(f"ZIP entry {name!r} is stored with two sizes", at)
    head = read_at(file, offset, LOCAL_SIZE)
    more = sum(struct.unpack_from("<2H", head, LOCAL_SIZE - 4))
    local = local_header(head + file.read(more), offset)
    alike = local.name == name and local.stored == (method == STORED)
    if not alike or local.data not in (None, packed):
        raise malformed(f"ZIP entry {name!r} is another in its own header", offset)
    start = offset + local.size
    return Entry(name, method, offset, start, start + packed)


def _check_entries(entries: list[Entry], directory: int) -> None:
    names = set()
    limits = [*(entry.offset for entry in entries), directory][1:]
    for entry, limit in zip(entries, limits, strict=True):
        if entry.stop > limit:
            raise malformed(f"ZIP entry {entry.name!r} overlaps what follows it", entry.start)
        if entry.name in names:
            raise malformed(f"two ZIP entries have the name {entry.name!r}", entry.start)
        names.add(entry.name)


def _zip64(extra: bytes, fields: tuple[int, ...], offset: int) -> tuple[int, ...]:
    """`fields` with those that do not fit 32 bits from the extra field for them (4.5.3)."""
    at = 0
    while at + 4 <= len(extra):
        kind, size = struct.unpack_from("<2H", extra, at)
        if kind == _ZIP64:
            values = extra[at + 4 : at + 4 + size]
            wide = (values[i : i + 8] for i in range(0, len(values) - 7, 8))
            found = [
                next(wide, b"") if field == _IN_ZIP64 else field.to_bytes(8, "little")
                for field in fields
            ]
            if b"" not in found:
                return tuple(int.from_bytes(value, "little") for value in found)
        at += 4 + size
    raise malformed("sizes of a ZIP entry are not where they should be", offset)


def _name(data: bytes) -> str:
    # Whatever the flags say: both headers of an entry are read in the same way.
    return data.decode("utf-8", "surrogateescape")
