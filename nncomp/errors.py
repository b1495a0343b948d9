"""Every exception that nncomp raises on purpose, on one page.

    NncompError
    |-- UsageError                   the caller asked for something that cannot be
    |   |-- MethodError              unknown method, unknown or invalid parameter
    |   `-- DeviceError              the device asked for is not on this machine
    |-- FormatError                  the bytes are not a valid archive
    |   |-- NotAnArchiveError        the magic bytes are not there
    |   |-- TruncatedError           the data ends before the archive does
    |   |-- TrailingDataError        something that is no archive follows the archive
    |   `-- CorruptError             a checksum, a size or a field contradicts the data
    |-- UnsupportedError             valid, but not for this version of nncomp
    |   |-- FormatVersionError       a container version this reader does not know
    |   |-- UnknownCodecError        a codec, or a codec version, this reader does not know
    |   |-- NumericsProfileError     numerics this reader does not implement
    |   |-- MissingWeightsError      the weights that the archive names are not here
    |   `-- MissingBaseError         the base of an archive of differences was not given
    |-- LimitError                   reading on would cost more memory than the limit allows
    |-- FileError                    a file cannot be read, or its output not be published
    |   `-- OutputExistsError        the output is there already and `force` was not given
    |-- TensorFileError              a file of tensors is damaged or of no known format
    `-- PeerError                    another process of a group failed, left, or sent nonsense

Every message says what happened, where (byte offset in the archive, when there is
one), and what to do next. `OSError` of the operating system is passed on unchanged
by the Python interface; the command line prints it and exits with 1.
"""

from __future__ import annotations

from typing import ClassVar

__all__ = [
    "CorruptError",
    "DeviceError",
    "FileError",
    "FormatError",
    "FormatVersionError",
    "LimitError",
    "MethodError",
    "MissingBaseError",
    "MissingWeightsError",
    "NncompError",
    "NotAnArchiveError",
    "NumericsProfileError",
    "OutputExistsError",
    "PeerError",
    "TensorFileError",
    "TrailingDataError",
    "TruncatedError",
    "UnknownCodecError",
    "UnsupportedError",
    "UsageError",
]


class NncompError(Exception):
    """Base of all exceptions of this package.

    Args:
        message: What happened and, unless the class says it, what to do next.
        offset: Byte offset in the archive, or in what `place` says, at which it was noticed,
            or None.

    Attributes:
        advice: What to do next, the same for all errors of a class; ends the text.
        place: What the offset counts.
    """

    advice: ClassVar[str] = ""
    place: ClassVar[str] = "archive byte"

    def __init__(self, message: str, *, offset: int | None = None) -> None:
        self.message = message
        self.offset = offset
        where = "" if offset is None else f" (at {self.place} {offset})"
        super().__init__(f"{message}{where}{self.advice and '. '}{self.advice}")


class UsageError(NncompError, ValueError):
    """The caller asked for something that cannot be done; exit code 2 on the command line."""


class MethodError(UsageError):
    """Unknown method, unknown parameter, or a value outside its range."""


class DeviceError(UsageError):
    """The device asked for is not available on this machine."""


class FormatError(NncompError):
    """The bytes are not a valid nncomp archive."""


class NotAnArchiveError(FormatError):
    """The magic bytes are missing."""


class TruncatedError(FormatError):
    """The data ends before the archive does."""

    advice = "Get a complete copy of it"


class TrailingDataError(FormatError):
    """Bytes that are no archive follow a complete archive."""

    advice = "Cut off what does not belong to it"


class CorruptError(FormatError):
    """A checksum, a size or a field contradicts the data."""

    advice = "The archive is damaged: get another copy of it"


class UnsupportedError(NncompError):
    """A valid archive that this version of nncomp cannot read."""


class FormatVersionError(UnsupportedError):
    """A container version that this reader does not know."""


class UnknownCodecError(UnsupportedError):
    """A codec, or a version of a codec, that this reader does not know."""


class NumericsProfileError(UnsupportedError):
    """An archive computed with numerics that this reader does not implement."""


class MissingWeightsError(UnsupportedError):
    """The archive names weights that neither the caller nor this installation has."""


class MissingBaseError(UnsupportedError):
    """An archive of differences without the base that they are differences to."""


class LimitError(NncompError, MemoryError):
    """Going on would take more memory than the limit allows."""


class FileError(NncompError):
    """A file cannot be read, or its output cannot be published."""


class OutputExistsError(FileError):
    """The output exists already, and overwriting it was not asked for."""


class TensorFileError(NncompError):
    """A file of tensors is damaged, contradicts itself, or is of no known format.

    Offsets count the bytes of that file, not of an archive that it may be in.
    """

    place = "byte"


class PeerError(NncompError):
    """Another process of a group failed, has gone, or sent what cannot be decoded.

    The group cannot be used any more: what its processes do is no longer in step.
    """

    advice = "Look at what the other processes say, and start them all again"
