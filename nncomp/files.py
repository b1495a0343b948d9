"""Files as users of gzip, xz and zstd expect them.

An output appears complete or not at all: it is written to a temporary file beside its
final name, flushed to the disk, and only then published. `cleanup_on_signal` extends
that promise to SIGINT, SIGTERM and SIGHUP; only the command line installs it.
"""

from __future__ import annotations

import errno
import os
import re
import secrets
import signal
import stat
import threading
from contextlib import AbstractContextManager, contextmanager, suppress
from pathlib import Path
from typing import TYPE_CHECKING, BinaryIO

from nncomp.errors import FileError, OutputExistsError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from types import FrameType

__all__ = [
    "SUFFIX",
    "archive_path",
    "atomic_output",
    "cleanup_on_signal",
    "content_path",
    "die_of",
    "has_suffix",
    "is_terminal",
    "open_source",
    "put_off_signals",
    "same_file",
    "unwind_on_signal",
    "writes_directly",
]

SUFFIX = ".nnc"

# What link(2) answers where hard links do not exist (FAT, some network and FUSE file systems).
_NO_HARD_LINKS = {errno.EPERM, errno.EACCES, errno.ENOSYS, errno.ENOTSUP, errno.EOPNOTSUPP}

# Names of streams that are open already; nothing can be created beside them.
_OPEN_STREAM = re.compile(r"/dev/(stdin|stdout|stderr|fd/\d+)|/proc/self/fd/\d+")

# Files that must not survive an interruption; `_clean_up_and_die` reads it.
_partial: set[Path] = set()


# --- names ---------------------------------------------------------------------------


def has_suffix(path: Path) -> bool:
    """Whether the name is something before `.nnc`."""
    return path.name.endswith(SUFFIX) and path.name != SUFFIX


def archive_path(source: Path) -> Path:
    """Where the archive of `source` goes.

    Raises:
        FileError: `source` has the suffix already.
    """
    if has_suffix(source):
        raise FileError(f"skipped: it ends in {SUFFIX} already; use -o or -c to compress it again")
    return source.with_name(source.name + SUFFIX)


def content_path(archive: Path) -> Path:
    """Where the content of `archive` goes.

    Raises:
        FileError: `archive` does not have the suffix, so that no name can be derived.
    """
    if not has_suffix(archive):
        raise FileError(f"the name does not end in {SUFFIX}; use -o or -c to say where to write")
    return archive.with_name(archive.name[: -len(SUFFIX)])


# --- input ---------------------------------------------------------------------------


def open_source(name: str, *, special: bool) -> BinaryIO:
    """Open a file for reading; symbolic links are followed.

    Args:
        name: The path.
        special: Whether a FIFO or a device may be read.

    Raises:
        FileError: A directory, or not a regular file and `special` is False.
        OSError: The file cannot be opened.
    """
    mode = os.stat(name).st_mode  # noqa: PTH116 - Path("") would be the current directory
    if stat.S_ISDIR(mode):
        raise FileError("is a directory; use -r to go through it")
    if not (stat.S_ISREG(mode) or special):
        raise FileError("skipped: not a regular file; use -f, -o or -c to read it all the same")
    return Path(name).open("rb")


def same_file(status: os.stat_result, path: Path) -> bool:
    """Whether `path` leads to the open file that `status` was taken from."""
    try:
        return os.path.samestat(status, path.stat())
    except OSError:
        return False


def is_terminal(stream: BinaryIO) -> bool:
    """Whether a person sees what is written to `stream`, or types what is read from it."""
    return not stream.closed and stream.isatty()


# --- output --------------------------------------------------------------------------


def writes_directly(path: Path) -> bool:
    """Whether `path` is a device, a FIFO or an open stream: nothing that can be published."""
    try:
        mode = path.stat().st_mode
    except OSError:
        return False
    regular = stat.S_ISREG(mode) or stat.S_ISDIR(mode)
    return not regular or _OPEN_STREAM.fullmatch(str(path)) is not None


@contextmanager
def atomic_output(
    path: Path, *, overwrite: bool, like: os.stat_result | None = None
) -> Iterator[BinaryIO]:
    """Write a file that appears under its name when the block ends without an exception.

    Until then the data stand in a hidden file of mode 0600 in the same folder, which any
    exception removes. Devices, FIFOs and open streams are written directly.

    Args:
        path: The final name.
        overwrite: Replace an existing file. Without it, one that appears while the block
            runs is left alone too.
        like: Source whose mode, times and, where permitted, owner the output takes over.

    Raises:
        OutputExistsError: `path` exists and `overwrite` is False.
        OSError: The folder is missing or not writable, the disk is full, ...
    """
    _refuse_early(path, overwrite)
    if writes_directly(path):
        with path.open("wb") as direct:
            yield direct
        return
    temporary = path.with_name(f".nncomp-{secrets.token_hex(8)}.tmp")
    _partial.add(temporary)  # before it exists, so that no signal falls in between
    try:
        with _create(temporary, path) as stream:
            yield stream
            stream.flush()
            _set_metadata(stream.fileno(), like)
            os.fsync(stream.fileno())
        _publish(temporary, path, overwrite)
        _sync_folder(path.parent)
    finally:
        temporary.unlink(missing_ok=True)
        _partial.discard(temporary)


def _refuse_early(path: Path, overwrite: bool) -> None:
    """Refuse before hours of work what publishing would refuse after them."""
    try:
        mode = path.lstat().st_mode
    except FileNotFoundError:
        return
    if path.is_dir():
        raise OSError(errno.EISDIR, os.strerror(errno.EISDIR), str(path))
    if not overwrite and (stat.S_ISBLK(mode) or not writes_directly(path)):
        raise _exists(path)


def _exists(path: Path) -> OutputExistsError:
    return OutputExistsError(f"output {path} exists already; use -f to overwrite it")


def _create(temporary: Path, path: Path) -> BinaryIO:
    try:
        return os.fdopen(os.open(temporary, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600), "wb")
    except OSError as error:  # name the folder: the temporary file means nothing to the user
        text = f"cannot create a file there: {error.strerror}"
        raise OSError(error.errno, text, str(path.parent)) from error


def _set_metadata(descriptor: int, like: os.stat_result | None) -> None:
    """Take over mode, times and owner; without a source, what a new file would get."""
    if like is None:
        mask = os.umask(0o077)  # can only be read by setting it; for an instant it is stricter
        os.umask(mask)
        os.fchmod(descriptor, 0o666 & ~mask)
        return
    mode = like.st_mode & 0o777  # set-user-id bits belong to the program that was reviewed
    with suppress(OSError):  # only root may give files away
        os.fchown(descriptor, like.st_uid, -1)
    try:
        os.fchown(descriptor, -1, like.st_gid)
    except OSError:
        # The group is now another one: it gets no right that not everybody had.
        shared = mode & (mode >> 3) & 0o7
        mode = (mode & 0o700) | (shared << 3) | shared
    os.fchmod(descriptor, mode)
    os.utime(descriptor, ns=(like.st_atime_ns, like.st_mtime_ns))


def _publish(temporary: Path, path: Path, overwrite: bool) -> None:
    if overwrite:
        temporary.replace(path)
        return
    try:
        os.link(temporary, path)  # fails if `path` exists: check and creation in one step
    except FileExistsError:
        raise _exists(path) from None
    except OSError as error:
        if error.errno not in _NO_HARD_LINKS:
            raise
        _publish_by_reservation(temporary, path)


def _publish_by_reservation(temporary: Path, path: Path) -> None:
    """Publish without hard links: claim the name with an empty file, then replace our own claim.

    O_EXCL is the check and the creation in one step on every file system; renameat2 with
    RENAME_NOREPLACE would be too, but neither Python nor all of those file systems have it.
    """
    try:
        os.close(os.open(path, os.O_WRONLY | os.O_CREAT | os.O_EXCL, 0o600))
    except FileExistsError:
        raise _exists(path) from None
    _partial.add(path)  # not before: until the line above it may be somebody else's
    try:
        temporary.replace(path)
    except OSError:
        path.unlink(missing_ok=True)
        raise
    finally:
        _partial.discard(path)


def _sync_folder(folder: Path) -> None:
    """Make the new name durable, so that removing the source afterwards is safe."""
    with suppress(OSError):  # some file systems cannot; they are no worse than without
        descriptor = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(descriptor)
        finally:
            os.close(descriptor)


# --- signals -------------------------------------------------------------------------


_SIGNALS = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)


class _SignalError(BaseException):
    """A signal came; no error that anybody may catch but who waits for it."""

    def __init__(self, number: int) -> None:
        super().__init__(number)
        self.number = number


def cleanup_on_signal() -> AbstractContextManager[None]:
    """While the block runs, SIGINT, SIGTERM and SIGHUP remove partial outputs and then kill.

    Signals that were ignored stay ignored (nohup, background jobs). Does nothing outside
    the main thread, where Python allows no handlers. The handlers before are restored.
    """
    return _handled_by(_clean_up_and_die)


@contextmanager
def unwind_on_signal() -> Iterator[None]:
    """While the block runs, these signals leave it as an exception would, and then kill.

    For a block that holds processes and folders, which its own `with` statements put away.
    The next signal does not wait for them.
    """
    try:
        with _handled_by(_unwind):
            yield
    except _SignalError as error:
        _clean_up_and_die(error.number, None)


@contextmanager
def put_off_signals() -> Iterator[Callable[[], bool]]:
    """While the block runs, the first of these signals is only noted, and kills behind it.

    For a block that has to come to a place where it can stop, and asks for that: what it
    gets tells whether a signal has come. The next signal does not wait for it.
    """
    seen = list[int]()

    def note(number: int, frame: FrameType | None) -> None:
        if seen:
            _clean_up_and_die(number, frame)
        seen.append(number)

    with _handled_by(note):
        yield lambda: bool(seen)
    if seen:
        _clean_up_and_die(seen[0], None)


@contextmanager
def _handled_by(handler: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    before = {}
    if threading.current_thread() is threading.main_thread():
        for number in _SIGNALS:
            if signal.getsignal(number) not in (signal.SIG_IGN, None):
                before[number] = signal.signal(number, handler)
    try:
        yield
    finally:
        for number, earlier in before.items():
            signal.signal(number, earlier)


def _unwind(number: int, frame: FrameType | None) -> None:
    for each in _SIGNALS:
        if signal.getsignal(each) is _unwind:
            signal.signal(each, _clean_up_and_die)
    raise _SignalError(number)


def _clean_up_and_die(number: int, frame: FrameType | None) -> None:
    for path in list(_partial):
        with suppress(OSError):
            path.unlink()
    die_of(number)


def die_of(number: int) -> None:
    """End the process by a signal, so that the parent sees why it ended."""
    signal.signal(number, signal.SIG_DFL)
    signal.raise_signal(number)
