"""The wire structures of FORMAT.md, each with its packing and unpacking side by side.

Unpacking takes an `Input`, raises `CorruptError` or an `UnsupportedError` with the byte
offset, and accepts only what packing would have written: `pack(unpack(x)) == x`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import xxhash

from nncomp.coding.varint import VARINT_MAX, Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError, FormatVersionError

if TYPE_CHECKING:
    from nncomp.coding.varint import Input

__all__ = [
    "CODED",
    "END",
    "FOOTER_SIZE",
    "FORMAT_VERSION",
    "MAGIC",
    "RECORD_SIZE_MIN",
    "SKIPPABLE",
    "STORED",
    "Footer",
    "Header",
    "RecordHeader",
    "pack_entry",
    "pack_index_start",
]

MAGIC = b"\x89NNC\r\n\x1a\n"
FORMAT_VERSION = 1
CLOSING_MAGIC = b"CNN\x89"

END, CODED, STORED = 0x00, 0x01, 0x02
SKIPPABLE = range(0x40, 0x80)

FOOTER_SIZE = 20
# Kind, raw size, checksum, check; a skippable record may have an empty payload.
RECORD_SIZE_MIN = 14

_FLAG_CONTENT_SIZE = 0x01
_FLAG_WEIGHTS = 0x02
_FLAGS_RESERVED = 0xFF & ~(_FLAG_CONTENT_SIZE | _FLAG_WEIGHTS)
_DIGEST_SIZE = 32
_BODY_SIZE_MAX = (1 << 16) - 1
_NEWER = "A newer version of nncomp may read it"


@dataclass(frozen=True)
class Header:
    """What a member says about itself.

    Attributes:
        codec_id, codec_version, profile: Which code reads the records.
        memory: Bytes that decoding takes at most, the program itself not counted.
        params: Values of the codec's stored parameters, "value,value", printable ASCII.
        content_size: Size of the decoded member in bytes, or None when it was not known.
        weights_digest: SHA-256 of the file of weights in use, or None.
    """

    codec_id: int
    codec_version: int
    profile: int
    memory: int
    params: str
    content_size: int | None = None
    weights_digest: bytes | None = None

    def pack(self) -> bytes:
        """The header from the magic to its checksum, which are the last eight bytes."""
        body = self._pack_body()
        if len(body) > _BODY_SIZE_MAX:
            raise ValueError(f"header body of {len(body)} bytes, above {_BODY_SIZE_MAX}")
        flags = _FLAG_CONTENT_SIZE * (self.content_size is not None)
        flags |= _FLAG_WEIGHTS * (self.weights_digest is not None)
        start = MAGIC + bytes([FORMAT_VERSION, flags]) + len(body).to_bytes(2, "little")
        return start + body + _check64(start + body)

    def _pack_body(self) -> bytes:
        numbers = [self.codec_id, self.codec_version, self.profile, self.memory]
        if self.content_size is not None:
            numbers.append(self.content_size)
        body = b"".join(map(pack_varint, numbers))
        if self.weights_digest is not None:
            if len(self.weights_digest) != _DIGEST_SIZE:
                raise ValueError("a weights digest has 32 bytes")
            body += self.weights_digest
        text = self.params.encode("ascii")
        if not _printable(text):
            raise ValueError(f"parameters {self.params!r} are not printable ASCII")
        return body + pack_varint(len(text)) + text

    @classmethod
    def unpack(cls, source: Input) -> Header:
        """Read a header whose magic has been taken already.

        Raises:
            FormatVersionError: Another format version, or a reserved flag.
            CorruptError: The checksum or a field is wrong.
        """
        at = source.offset
        version = source.take(1)
        if version[0] != FORMAT_VERSION:
            raise FormatVersionError(
                f"archive format version {version[0]}; this nncomp reads version "
                f"{FORMAT_VERSION}. {_NEWER}",
                offset=at,
            )
        fixed = version + source.take(3)
        size = int.from_bytes(fixed[2:4], "little")
        body = source.take(size)
        if source.take(8) != _check64(MAGIC + fixed + body):
            raise CorruptError("the header does not match its checksum", offset=at)
        if fixed[1] & _FLAGS_RESERVED:
            raise FormatVersionError(
                f"the header sets flags {fixed[1]:#04x} that this nncomp does not know. {_NEWER}",
                offset=at + 1,
            )
        return cls._unpack_body(Text(body, at + 4), fixed[1])

    @classmethod
    def _unpack_body(cls, body: Text, flags: int) -> Header:
        codec_id, codec_version, profile, memory = (unpack_varint(body) for _ in range(4))
        content_size = unpack_varint(body) if flags & _FLAG_CONTENT_SIZE else None
        weights = body.take(_DIGEST_SIZE) if flags & _FLAG_WEIGHTS else None
        text = body.take(unpack_varint(body))
        if body.left or not _printable(text):
            raise CorruptError("the header's parameters are malformed", offset=body.offset)
        params = text.decode("ascii")
        return cls(codec_id, codec_version, profile, memory, params, content_size, weights)


@dataclass(frozen=True)
class RecordHeader:
    """What stands before a payload.

    Attributes:
        kind: CODED, STORED, one of SKIPPABLE, or reserved.
        raw_size: Size of the decoded bytes (of the payload, if skippable).
        coded_size: Size of the payload; equals raw_size unless coded.
        checksum: XXH3-64 of the decoded bytes (of the payload, if skippable).
    """

    kind: int
    raw_size: int
    coded_size: int
    checksum: int

    @property
    def skippable(self) -> bool:
        """Whether the payload is no content."""
        return self.kind in SKIPPABLE

    def pack(self, seed: int) -> bytes:
        """The record header with its check.

        Args:
            seed: Header checksum plus record number; ties the record to its place.
        """
        fields = bytes([self.kind]) + pack_varint(self.raw_size)
        if not _sizes_equal(self.kind):
            fields += pack_varint(self.coded_size)
        fields += self.checksum.to_bytes(8, "little")
        return fields + _check32(fields, seed)

    @classmethod
    def unpack(cls, kind: int, source: Input, seed: int) -> RecordHeader:
        """Read a record header whose kind has been taken already.

        Raises:
            CorruptError: The check is wrong.
            FormatVersionError: The check is right, and the kind unknown.
        """
        at = source.offset - 1
        raw_size = unpack_varint(source)
        coded_size = raw_size if _sizes_equal(kind) else unpack_varint(source)
        header = cls(kind, raw_size, coded_size, int.from_bytes(source.take(8), "little"))
        check = source.take(4)
        if header.pack(seed)[-4:] != check:
            raise CorruptError("a record header does not match its check or place", offset=at)
        if kind not in (CODED, STORED) and not header.skippable:
            raise FormatVersionError(
                f"record kind {kind:#04x}, which this nncomp does not know. {_NEWER}", offset=at
            )
        return header


def pack_index_start(header_size: int) -> bytes:
    """What an index has before its entries."""
    return bytes([END]) + pack_varint(header_size)


def pack_entry(record: RecordHeader, disk_size: int) -> bytes:
    """The index entry of one record; `disk_size` counts its header, too."""
    return pack_varint(0 if record.skippable else record.raw_size) + pack_varint(disk_size)


@dataclass(frozen=True)
class Footer:
    """The end of a member.

    Attributes:
        checksum: XXH3-64 of the decoded bytes of the member.
        index_size: Size of the index in bytes, with its kind and checksum.
    """

    checksum: int
    index_size: int

    def pack(self) -> bytes:
        """The footer with its check and the closing magic."""
        fields = self.checksum.to_bytes(8, "little") + self.index_size.to_bytes(4, "little")
        return fields + _check32(fields, 0) + CLOSING_MAGIC

    @classmethod
    def unpack(cls, source: Input) -> Footer:
        """Read the last `FOOTER_SIZE` bytes of a member."""
        at = source.offset
        data = source.take(FOOTER_SIZE)
        footer = cls(int.from_bytes(data[:8], "little"), int.from_bytes(data[8:12], "little"))
        if footer.pack() != data:
            raise CorruptError("the footer does not match its check", offset=at)
        return footer


def _sizes_equal(kind: int) -> bool:
    return kind == STORED or kind in SKIPPABLE


def _printable(text: bytes) -> bool:
    return all(0x20 <= byte <= 0x7E for byte in text)


def _check64(data: bytes) -> bytes:
    return xxhash.xxh3_64_intdigest(data).to_bytes(8, "little")


def _check32(data: bytes, seed: int) -> bytes:
    low = xxhash.xxh3_64_intdigest(data, seed & VARINT_MAX) & 0xFFFFFFFF
    return low.to_bytes(4, "little")
