"""Compressors of pictures: of this package, of libraries in this process, and programs.

Each is given pixels, uint8 or uint16 [frames, height, width, channels], and gives files.
"""

from __future__ import annotations

import io
import shutil
import subprocess
import tempfile
from collections.abc import Callable
from dataclasses import dataclass
from importlib.util import find_spec
from pathlib import Path
from typing import Any, Literal, NamedTuple, TypeAlias

import numpy as np

from nncomp.bench import machine
from nncomp.bench.image_files import Array, pixels_of
from nncomp.errors import FileError, UsageError

__all__ = ["Peer", "own", "peers"]

Encode: TypeAlias = Callable[[Array], list[bytes]]
Decode: TypeAlias = Callable[[list[bytes], Array], Array]

_MANY = 64  # frames that programs, which take one at a time, are spared
_PATIENCE = 600.0  # seconds that a program is waited for
_SAID = 200  # characters of what a failing program said


@dataclass(frozen=True)
class Peer:
    """A compressor.

    Attributes:
        name: In tables.
        encode: From pixels to files, one for each frame or one for all.
        decode: Back; it is given an array of the shape wanted.
        runs: What its times hold: a call in this process, or starting a program and files.
        version: Of what does it.
        kinds: Channels that it takes.
        deep: Whether it takes 16 bits.
    """

    name: str
    encode: Encode
    decode: Decode
    runs: Literal["call", "program"] = "call"
    version: str = ""
    kinds: tuple[int, ...] = (1, 2, 3, 4)
    deep: bool = True

    def takes(self, pixels: Array) -> bool:
        """Whether it can code these pictures, in a time that is bearable."""
        frames, _, _, channels = pixels.shape
        fits = channels in self.kinds and (self.deep or pixels.itemsize == 1)
        return fits and (self.runs == "call" or frames <= _MANY)


def own(method: str, level: int | None = None) -> Peer:
    """A method of this package, on plain samples; `fsar` is told their shape."""
    import nncomp

    def full(pixels: Array) -> str:
        if method.partition(":")[0] != "fsar":
            return method
        sizes = "x".join(map(str, pixels.shape))
        told = f"shape={sizes},depth={8 * pixels.itemsize}"
        return f"{method}{',' if ':' in method else ':'}{told}"

    def encode(pixels: Array) -> list[bytes]:
        return [nncomp.compress(pixels.tobytes(), full(pixels), level=level)]

    def decode(files: list[bytes], like: Array) -> Array:
        return np.frombuffer(nncomp.decompress(files[0]), like.dtype).reshape(like.shape)

    name = method if level is None else f"{method} -{level}"
    return Peer(name, encode, decode, version=f"nncomp {nncomp.__version__}")


# --- libraries -----------------------------------------------------------------------


def _framewise(
    encode: Callable[[Array], bytes], decode: Callable[[bytes], Array]
) -> tuple[Encode, Decode]:
    """Functions on stacks, from functions on one frame; of one channel it has two axes."""

    def encode_all(pixels: Array) -> list[bytes]:
        flat = pixels[..., 0] if pixels.shape[-1] == 1 else pixels
        return [encode(frame) for frame in flat]

    def decode_all(files: list[bytes], like: Array) -> Array:
        return np.stack([decode(file) for file in files]).reshape(like.shape)

    return encode_all, decode_all


def _pillow() -> list[Peer]:
    """Formats that Pillow writes."""
    from PIL import Image

    def way(kind: str, **options: Any) -> tuple[Encode, Decode]:
        def encode(frame: Array) -> bytes:
            file = io.BytesIO()
            Image.fromarray(frame).save(file, kind, **options)
            return file.getvalue()

        return _framewise(encode, lambda file: np.asarray(Image.open(io.BytesIO(file))))

    png = way("PNG", optimize=True)
    webp = way("WEBP", lossless=True, quality=100, method=6, exact=True)
    version = f"Pillow {machine.package_version('pillow')}"
    return [
        Peer("png optimised", *png, version=version, kinds=(1, 3, 4), deep=False),
        Peer("webp -z 9", *webp, version=version, kinds=(3, 4), deep=False),
    ]


def _imagecodecs() -> list[Peer]:
    """Formats of the package imagecodecs."""
    import imagecodecs

    def encode(frame: Array) -> bytes:
        return bytes(imagecodecs.jpegxl_encode(frame, lossless=True, effort=7, numthreads=1))

    def decode(file: bytes) -> Array:
        return np.asarray(imagecodecs.jpegxl_decode(file, numthreads=1))

    def plain(frame: Array) -> bytes:
        return bytes(imagecodecs.qoi_encode(frame))

    version = f"imagecodecs {imagecodecs.__version__}"
    qoi = _framewise(plain, imagecodecs.qoi_decode)
    return [
        Peer(
            "jpegxl -e 7",
            *_framewise(encode, decode),
            version=f"{version}, {imagecodecs.jpegxl_version()}",
        ),
        Peer("qoi", *qoi, version=version, kinds=(3, 4), deep=False),
    ]


_LIBRARIES: dict[str, tuple[Callable[[], list[Peer]], tuple[str, ...]]] = {
    "PIL": (_pillow, ("png optimised", "webp -z 9")),
    "imagecodecs": (_imagecodecs, ("jpegxl -e 7", "qoi")),
}
"""Modules, what makes peers of them, and the names of these."""


# --- programs ------------------------------------------------------------------------

_PLAIN, _BACK = "in.ppm", "out.ppm"


class _Program(NamedTuple):
    """A program that makes one file of another.

    Attributes:
        name: In tables.
        package: What installs it.
        coded: What its file is called.
        compress: Makes it of `_PLAIN`.
        decompress: Makes `_BACK` of it.
    """

    name: str
    package: str
    coded: str
    compress: tuple[str, ...]
    decompress: tuple[str, ...]


def _cjxl(effort: str) -> _Program:
    coded, alone = "coded.jxl", "--num_threads=0"
    return _Program(
        f"cjxl -e {effort}",
        "libjxl-tools",
        coded,
        ("cjxl", _PLAIN, coded, "-d", "0", "-e", effort, alone),
        ("djxl", coded, _BACK, alone),
    )


_PROGRAMS = (
    _cjxl("7"),
    _cjxl("9"),
    _Program(
        "cwebp -z 9",
        "webp",
        "coded.webp",
        ("cwebp", "-quiet", "-lossless", "-exact", "-z", "9", _PLAIN, "-o", "coded.webp"),
        ("dwebp", "-quiet", "-ppm", "coded.webp", "-o", _BACK),
    ),
)


def _run(command: tuple[str, ...], given: str, data: bytes, wanted: str) -> bytes:
    """The file that a program makes of another, in a folder of its own.

    Raises:
        FileError: It fails, does not end, or makes none.
    """
    with tempfile.TemporaryDirectory(prefix="nncomp-bench-") as folder:
        Path(folder, given).write_bytes(data)
        try:
            answer = subprocess.run(  # noqa: S603 - the commands are those of `_PROGRAMS`
                command, cwd=folder, capture_output=True, timeout=_PATIENCE, check=False
            )
            if answer.returncode == 0:
                return Path(folder, wanted).read_bytes()
        except subprocess.TimeoutExpired as error:
            raise FileError(f"{command[0]} did not end within {_PATIENCE:g} s") from error
        except OSError as error:
            raise FileError(f"{command[0]} cannot be run, or made no file: {error}") from error
    said = answer.stderr.decode(errors="replace").strip()[-_SAID:]
    raise FileError(f"{command[0]} ended with code {answer.returncode}: {said or 'no message'}")


def _program(program: _Program) -> Peer:
    """A program that takes one file of three colours at a time."""

    def encode(frame: Array) -> bytes:
        data = f"P6\n{frame.shape[1]} {frame.shape[0]}\n255\n".encode() + frame.tobytes()
        return _run(program.compress, _PLAIN, data, program.coded)

    def decode(file: bytes) -> Array:
        back = _run(program.decompress, program.coded, file, _BACK)
        (frame,) = pixels_of(back, program.name)
        return np.asarray(frame)

    ways = _framewise(encode, decode)
    return Peer(program.name, *ways, "program", program.package, kinds=(3,), deep=False)


# --- who is here ---------------------------------------------------------------------


def _of_library(module: str) -> tuple[list[Peer], dict[str, str]]:
    """As `peers`, of one library."""
    make, names = _LIBRARIES[module]
    try:
        return make(), {}
    except ImportError as error:
        wanted = "pip install 'nncomp[bench]'"
        if find_spec(module):
            wanted = f"what is installed cannot be loaded ({error}): {wanted}"
        return [], dict.fromkeys(names, wanted)


def peers(names: tuple[str, ...] = ()) -> tuple[list[Peer], dict[str, str]]:
    """Those that are on this machine, and what would install the others.

    Args:
        names: Only these; all by default.

    Raises:
        UsageError: There is none of such a name.
    """
    found, missing = list[Peer](), dict[str, str]()
    for module in _LIBRARIES:
        here, not_here = _of_library(module)
        found += here
        missing |= not_here
    for program in _PROGRAMS:
        if all(shutil.which(command[0]) for command in (program.compress, program.decompress)):
            found.append(_program(program))
        else:
            missing[program.name] = f"apt-get install {program.package}"
    if names:
        known = [*(peer.name for peer in found), *missing]
        if unknown := [name for name in names if name not in known]:
            raise UsageError(f"there is no peer {unknown[0]!r}. There are {', '.join(known)}")
        found = [peer for peer in found if peer.name in names]
        missing = {name: text for name, text in missing.items() if name in names}
    return found, missing
