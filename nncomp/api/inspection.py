"""Listing: what an archive says about itself, without decoding."""

from __future__ import annotations

import os
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nncomp.codecs.base import format_params, unpack_params
from nncomp.codecs.registry import by_id, name_of
from nncomp.container.seeking import SeekableArchive
from nncomp.errors import MethodError, UnknownCodecError, UsageError

if TYPE_CHECKING:
    from nncomp.container.layout import Header
    from nncomp.container.seeking import MemberInfo

__all__ = ["ArchiveInfo", "inspect"]


@dataclass(frozen=True)
class ArchiveInfo:
    """One member of an archive.

    Attributes:
        codec: Name of the codec, "unknown-N" if this nncomp does not have it.
        codec_id, codec_version, profile: What a reader must have.
        params: The stored parameters, "key=value,key=value"; the bare values where the
            codec, or this version of it, is unknown.
        memory: Bytes that decoding takes at most, the program itself not counted.
        weights_digest: SHA-256 of the file of weights in use, hexadecimal, or None.
        raw_size: Size of the content in bytes.
        archive_size: Size of the member in bytes.
        offset: Archive offset of the member.
        records: How many records the content is in.
        checksum: XXH3-64 of the content, hexadecimal.
    """

    codec: str
    codec_id: int
    codec_version: int
    params: str
    profile: int
    memory: int
    weights_digest: str | None
    raw_size: int
    archive_size: int
    offset: int
    records: int
    checksum: str


def inspect(file: str | os.PathLike[str] | BinaryIO) -> list[ArchiveInfo]:
    """List the members of an archive from their headers, indexes and footers.

    The records are not read: damage to them goes unnoticed. Codecs need not be known.

    Args:
        file: A path, or a binary file object that can seek, which is read from its current
            position to its end and left open at any position.

    Raises:
        FormatError, UnsupportedError: This is no archive, or it is damaged.
        UsageError: The file cannot seek.
    """
    if isinstance(file, (str, os.PathLike)):
        with Path(file).open("rb") as stream:
            return inspect(stream)
    if not file.seekable():
        raise UsageError("an archive is listed from its end: this needs a file that can seek")
    return [_info(member) for member in SeekableArchive(file).members()]


def _params(header: Header) -> str:
    """The parameters with their names, if this nncomp knows the codec."""
    try:
        codec = by_id(header.codec_id)
        if codec.version != header.codec_version:
            return header.params
        return format_params(codec, unpack_params(codec, header.params))
    except (UnknownCodecError, MethodError):
        return header.params


def _info(member: MemberInfo) -> ArchiveInfo:
    header = member.header
    digest = header.weights_digest
    return ArchiveInfo(
        codec=name_of(header.codec_id) or f"unknown-{header.codec_id}",
        codec_id=header.codec_id,
        codec_version=header.codec_version,
        params=_params(header),
        profile=header.profile,
        memory=header.memory,
        weights_digest=digest.hex() if digest else None,
        raw_size=member.raw_size,
        archive_size=member.size,
        offset=member.offset,
        records=member.records,
        checksum=f"{member.checksum:016x}",
    )
