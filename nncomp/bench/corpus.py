"""Sets of files by name: a manifest of addresses and digests, and a folder that keeps them.

A manifest is a file of JSON: {"about": TEXT, "files": [{"name", "address", "size", "sha256",
"member"}]}. `member` is the file inside of a .zip or .tar.gz at the address; what ends in .bz2
is unpacked, too. Of a longer file the first `size` bytes are taken. A file is used only if its
size and digest are those of the manifest, wherever it comes from.
"""

from __future__ import annotations

import bz2
import gzip
import hashlib
import json
import os
import re
import shutil
import tarfile
import tempfile
import zipfile
import zlib
from contextlib import contextmanager
from dataclasses import dataclass
from http.client import HTTPException
from importlib import resources
from pathlib import Path
from typing import IO, TYPE_CHECKING, Any, cast
from urllib.parse import urlsplit
from urllib.request import urlopen

from nncomp.bench import synthetic
from nncomp.errors import FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

__all__ = ["CORPORA", "Corpus", "Entry", "cache", "fetch", "manifest"]

CORPORA = ("artificial", "calgary", "canterbury", "enwik", "kodak")
"""Those whose manifests come with the package."""

_TIMEOUT = 60  # seconds without a byte
_PIECE = 1 << 20
_LARGEST = 1 << 40
_UNPACKING_ERRORS = (
    *(tarfile.TarError, zipfile.BadZipFile, zlib.error, gzip.BadGzipFile, EOFError, KeyError),
    NotImplementedError,
)


@dataclass(frozen=True)
class Entry:
    """One file: where it comes from, and what it must be.

    Attributes:
        name: Of the file, within the folder of its corpus.
        address: URL of it, or of what it is packed in.
        size: Bytes.
        sha256: Hexadecimal.
        member: Its name inside of the .zip or .tar.gz, or empty.
    """

    name: str
    address: str
    size: int
    sha256: str
    member: str = ""


@dataclass(frozen=True)
class Corpus:
    """A named set of files."""

    name: str
    about: str
    files: tuple[Entry, ...]


def cache() -> Path:
    """Where corpora are kept, one folder each, unless the caller says otherwise."""
    base = os.environ.get("XDG_CACHE_HOME") or Path.home() / ".cache"
    return Path(base) / "nncomp" / "corpora"


# --- manifests -----------------------------------------------------------------------


def manifest(name: str) -> Corpus:
    """Read a manifest that comes with the package, or one by its path.

    Raises:
        UsageError: There is none of that name, or it is not as described above.
    """
    if name in CORPORA:
        text = (resources.files(__package__) / "corpora" / f"{name}.json").read_bytes()
    elif name.endswith(".json"):
        text = Path(name).read_bytes()
    else:
        raise UsageError(
            f"there is no corpus {name!r}. There are {', '.join(CORPORA)}, {synthetic.NAME} (made "
            "from a seed), and manifests of your own by their path, ending in .json"
        )
    try:
        found = json.loads(text)
        files = tuple(map(_entry, found["files"]))
        if len({entry.name for entry in files}) < len(files):
            raise ValueError("a name is there twice")
        return Corpus(Path(name).stem, str(found["about"]), files)
    except (ValueError, KeyError, TypeError, RecursionError) as error:
        raise UsageError(f"{name} is no manifest of a corpus: {error}") from error


def _entry(found: dict[str, Any]) -> Entry:
    entry = Entry(**found)
    for text in (entry.name, entry.address, entry.sha256, entry.member):
        if not isinstance(text, str):
            raise TypeError(f"{text!r:.80} is no text")
    if not re.fullmatch(r"[\w.+-]+", entry.name, re.ASCII) or entry.name.startswith("."):
        raise ValueError(f"{entry.name!r} cannot be the name of a file in a folder")
    if not isinstance(entry.size, int) or not 0 <= entry.size <= _LARGEST:
        raise ValueError(f"{entry.size!r} is not the size of a file")
    if not re.fullmatch("[0-9a-f]{64}", entry.sha256):
        raise ValueError(f"{entry.sha256!r} is no SHA-256 in hexadecimal")
    if urlsplit(entry.address).scheme not in ("http", "https"):
        raise ValueError(f"{entry.address!r} is no address that begins with http:// or https://")
    return entry


# --- files ---------------------------------------------------------------------------


def fetch(corpus: Corpus, folder: Path, tell: Callable[[str], None]) -> list[Path]:
    """Paths of all files of a corpus; those that the folder does not have are downloaded.

    Args:
        corpus: Which.
        folder: Has a folder with the name of the corpus, or will have.
        tell: Called with a line before something is downloaded.

    Raises:
        FileError: A file there is another one, or cannot be had, or what was downloaded is
            not what the manifest says.
    """
    paths = {entry: folder / corpus.name / entry.name for entry in corpus.files}
    absent: dict[str, list[Entry]] = {}
    for entry, path in paths.items():
        if path.exists():
            _check(entry, path)
        else:
            absent.setdefault(entry.address, []).append(entry)
    for address, entries in absent.items():
        tell(f"downloading {address}")
        with _downloaded(address, folder / corpus.name) as packed:
            for entry in entries:
                _unpack(entry, packed, paths[entry])
    return list(paths.values())


def _check(entry: Entry, path: Path) -> None:
    with path.open("rb") as file:
        found = _digest(file, None)
    if found != (entry.size, entry.sha256):
        raise FileError(
            f"{path} is not the file of the manifest ({found[0]} bytes, SHA-256 {found[1]} instead "
            f"of {entry.size}, {entry.sha256}). Remove it, to have it downloaded again"
        )


def _digest(file: IO[bytes], copy: IO[bytes] | None, limit: int = _LARGEST) -> tuple[int, str]:
    """Size and SHA-256 of what follows, copied on the way, up to a limit."""
    digest, size = hashlib.sha256(), 0
    while piece := file.read(min(_PIECE, limit - size)):
        digest.update(piece)
        size += len(piece)
        if copy is not None:
            copy.write(piece)
    return size, digest.hexdigest()


@contextmanager
def _downloaded(address: str, folder: Path) -> Iterator[Path]:
    """What is at an address, in a file that goes away."""
    folder.mkdir(parents=True, exist_ok=True)
    with tempfile.TemporaryDirectory(dir=folder, prefix=".download-") as name:
        path = Path(name) / "packed"
        try:
            with urlopen(address, timeout=_TIMEOUT) as source, path.open("wb") as sink:  # noqa: S310 - http, see _entry
                shutil.copyfileobj(source, sink, _PIECE)
        except (OSError, ValueError, HTTPException) as error:
            raise FileError(
                f"{address} cannot be downloaded: {error}. Its files can be put into {folder} "
                "by hand"
            ) from error
        yield path


def _unpack(entry: Entry, packed: Path, target: Path) -> None:
    """Take one file out, check it, and put it in its place at once."""
    part = packed.with_name(entry.name)
    try:
        with _member(entry, packed) as source, part.open("wb") as sink:
            found = _digest(source, sink, entry.size)
    except (OSError, *_UNPACKING_ERRORS) as error:
        raise FileError(
            f"{entry.address} cannot be unpacked for {entry.name}: {error}. It may have changed "
            "since the manifest was made"
        ) from error
    if found != (entry.size, entry.sha256):
        raise FileError(
            f"{entry.address} has another {entry.name} than the manifest: {found[0]} bytes, "
            f"SHA-256 {found[1]}. It may have changed since the manifest was made"
        )
    part.replace(target)


@contextmanager
def _member(entry: Entry, packed: Path) -> Iterator[IO[bytes]]:
    path = urlsplit(entry.address).path
    if path.endswith(".zip"):
        with zipfile.ZipFile(packed) as archive, archive.open(entry.member) as file:
            yield file
    elif path.endswith((".tar.gz", ".tgz")):
        with tarfile.open(packed, "r:gz") as tar:
            file_or_none = tar.extractfile(entry.member)
            if file_or_none is None:
                raise KeyError(f"{entry.member} is no file")
            yield file_or_none
    elif path.endswith(".bz2"):
        with bz2.open(packed) as file:
            yield cast("IO[bytes]", file)
    else:
        with packed.open("rb") as file:
            yield file
