"""Compressors of pictures, measured on pixels: sizes, speeds, and time for one picture.

Everyone codes the same pixels and must give them back. Libraries and this package run in
this process; programs are run with files in a folder of its own, and what a process costs is
counted with them. Times are the least of some rounds, by the clock and of the processor:
what other work on the machine adds is no part of a compressor.
"""

from __future__ import annotations

import io
import json
import resource
import shutil
import subprocess
import tempfile
import time
from collections.abc import Callable
from dataclasses import asdict, dataclass, field
from importlib.util import find_spec
from pathlib import Path
from typing import Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nncomp.bench import machine
from nncomp.errors import UsageError

__all__ = ["Peer", "Result", "Stack", "as_json", "as_text", "load", "measure", "peers"]

Array = NDArray[Any]
Encode: TypeAlias = Callable[[Array], list[bytes]]
Decode: TypeAlias = Callable[[list[bytes], Array], Array]

_MANY = 64  # frames that programs, which take one at a time, are spared


class Stack(NamedTuple):
    """Pictures of one shape.

    Attributes:
        name: Of their file.
        pixels: uint8 or uint16 [frames, height, width, channels].
        file: Bytes of their file.
    """

    name: str
    pixels: Array
    file: int


@dataclass(frozen=True)
class Peer:
    """A compressor.

    Attributes:
        name: In tables.
        encode: From pixels to files, one for each frame or one for all.
        decode: Back; it is given an array of the shape wanted.
        version: Of what does it.
        single: Whether it takes one frame at a time.
        kinds: Channels that it takes.
        deep: Whether it takes 16 bits.
    """

    name: str
    encode: Encode
    decode: Decode
    version: str = ""
    single: bool = False
    kinds: tuple[int, ...] = (1, 2, 3, 4)
    deep: bool = True

    def takes(self, stack: Stack) -> bool:
        """Whether it can code these pictures, in a time that is bearable."""
        frames, _, _, channels = stack.pixels.shape
        fits = channels in self.kinds and (self.deep or stack.pixels.itemsize == 1)
        return fits and (not self.single or frames <= _MANY)


@dataclass
class Result:
    """What one compressor did, file by file.

    Attributes:
        name: Of the compressor.
        description: Its version.
        results: Lists by the name of the quantity, with one entry for each file.
    """

    name: str
    description: str
    results: dict[str, list[Any]] = field(default_factory=dict)

    def add(self, **quantities: Any) -> None:
        """One entry of each quantity."""
        for key, value in quantities.items():
            self.results.setdefault(key, []).append(value)


def load(path: Path, shape: str = "auto", *, planar: bool = False, depth: int = 8) -> Stack:
    """The pixels of a file: PNG, Netpbm, BMP, .npy, or plain ones of a shape that is told.

    Raises:
        UsageError: It holds no pixels that are known.
    """
    from nncomp.codecs.image.formats import Found, bmp, netpbm, npy, png

    data = path.read_bytes()
    found = png.pixels(memoryview(data), 1 << 32)
    if found is not None:
        content, layout = found
    else:
        place = netpbm.find(data) or bmp.find(data) or npy.find(data)
        if place is None and shape != "auto":
            sizes = [int(part) for part in shape.split("x") if part.isdecimal()]
            if len(sizes) != shape.count("x") + 1:
                raise UsageError(f"--shape {shape} is not valid: expected sizes like 10x32x32x3")
            layout_or_none = npy.stack(sizes, depth, planar=planar, big=False)
            place = None if layout_or_none is None else Found(0, layout_or_none)
        if place is None or place.start + place.layout.size > len(data):
            raise UsageError(f"{path} holds no picture that is known; --shape tells what plain one")
        layout = place.layout
        content = np.frombuffer(data, np.uint8)[place.start : place.start + layout.size]
    samples = layout.read(content)
    if samples is None:
        raise UsageError(f"{path} holds samples that are out of range")
    pixels = samples[np.argsort(layout.order)].transpose(1, 2, 3, 0)
    return Stack(path.name, np.ascontiguousarray(pixels), len(data))


# --- who takes part ------------------------------------------------------------------


def own(method: str, level: int | None = None) -> Peer:
    """A method of this package; `fsar` is told the shape of the pixels."""
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

    return Peer(method if level is None else f"{method} -{level}", encode, decode)


def _pillow(kind: str, name: str, **options: Any) -> Peer:
    """A format that Pillow writes."""
    from PIL import Image

    def encode(pixels: Array) -> list[bytes]:
        files = []
        for frame in pixels:
            file = io.BytesIO()
            Image.fromarray(frame.squeeze(-1) if frame.shape[-1] == 1 else frame).save(
                file, kind, **options
            )
            files.append(file.getvalue())
        return files

    def decode(files: list[bytes], like: Array) -> Array:
        frames = [np.asarray(Image.open(io.BytesIO(file))) for file in files]
        return np.stack(frames).reshape(like.shape)

    kinds = (1, 3, 4) if kind == "PNG" else (3, 4)
    return Peer(name, encode, decode, machine.package_version("pillow"), kinds=kinds, deep=False)


class _Program(NamedTuple):
    """A program with files: commands with the names `in`, `coded` and `out`."""

    name: str
    compress: tuple[str, ...]
    decompress: tuple[str, ...]
    package: str
    given: str = ".ppm"
    coded: str = ".coded"


_PROGRAMS = (
    _Program(
        "cjxl -e 7",
        ("cjxl", "in", "coded", "-d", "0", "-e", "7", "--num_threads=0"),
        ("djxl", "coded", "out", "--num_threads=0"),
        "libjxl-tools",
        coded=".jxl",
    ),
    _Program(
        "cjxl -e 9",
        ("cjxl", "in", "coded", "-d", "0", "-e", "9", "--num_threads=0"),
        ("djxl", "coded", "out", "--num_threads=0"),
        "libjxl-tools",
        coded=".jxl",
    ),
    _Program(
        "cwebp -z 9",
        ("cwebp", "-quiet", "-lossless", "-exact", "-z", "9", "in", "-o", "coded"),
        ("dwebp", "-quiet", "-ppm", "coded", "-o", "out"),
        "webp",
    ),
    _Program("flif", ("flif", "-e", "in", "coded"), ("flif", "-d", "coded", "out"), "flif"),
    _Program("qoiconv", ("qoiconv", "in", "coded"), ("qoiconv", "coded", "out"), "qoi", ".png"),
)


def _run(command: tuple[str, ...], folder: Path, names: dict[str, str]) -> None:
    words = [names.get(word, word) for word in command]
    # The commands are those of `_PROGRAMS`.
    subprocess.run(words, cwd=folder, check=True, capture_output=True)  # noqa: S603 - see above


def _program(program: _Program) -> Peer:
    """A program that takes one Netpbm file at a time."""
    names = {"in": f"in{program.given}", "coded": f"coded{program.coded}", "out": "out.ppm"}

    def encode(pixels: Array) -> list[bytes]:
        files = []
        for frame in pixels:
            with tempfile.TemporaryDirectory(prefix="nncomp-bench-") as folder:
                (Path(folder) / names["in"]).write_bytes(_netpbm(frame))
                _run(program.compress, Path(folder), names)
                files.append((Path(folder) / names["coded"]).read_bytes())
        return files

    def decode(files: list[bytes], like: Array) -> Array:
        frames = []
        for file in files:
            with tempfile.TemporaryDirectory(prefix="nncomp-bench-") as folder:
                (Path(folder) / names["coded"]).write_bytes(file)
                _run(program.decompress, Path(folder), names)
                frames.append(load(Path(folder) / names["out"]).pixels[0])
        return np.stack(frames).reshape(like.shape)

    return Peer(program.name, encode, decode, program.package, True, (3,), deep=False)


def _netpbm(frame: Array) -> bytes:
    height, width, channels = frame.shape
    kind = {1: "P5", 3: "P6"}[channels]
    return f"{kind}\n{width} {height}\n255\n".encode() + frame.tobytes()


def peers(names: tuple[str, ...] = ()) -> tuple[list[Peer], dict[str, str]]:
    """Those that are on this machine, and what would install the others.

    Args:
        names: Only these; all by default.

    Raises:
        UsageError: There is none of such a name.
    """
    found, missing = [], dict[str, str]()
    if find_spec("PIL"):
        found += [
            _pillow("PNG", "png optimised", optimize=True),
            _pillow("WEBP", "webp -z 9", lossless=True, quality=100, method=6, exact=True),
        ]
    else:
        missing |= dict.fromkeys(("png optimised", "webp -z 9"), "pip install pillow")
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


# --- measuring -----------------------------------------------------------------------


def _cpu() -> float:
    """Seconds of the processor that this process and its children took."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


def _timed(work: Callable[[], Any], rounds: int) -> tuple[Any, float, float]:
    """What some work gives, and its least seconds by the clock and of the processor."""
    wall, cpu, given = [], [], None
    for _ in range(rounds):
        begin, own_begin = time.perf_counter(), _cpu()
        given = work()
        cpu.append(_cpu() - own_begin)
        wall.append(time.perf_counter() - begin)
    return given, min(wall), min(cpu)


def measure(
    stacks: list[Stack],
    contestants: list[Peer],
    rounds: int = 2,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Result]:
    """Let all contestants code all pictures.

    Args:
        stacks: The pictures.
        contestants: Who takes part.
        rounds: Runs of each; one more comes before, which is not counted.
        tell: Called with what is being done.

    Raises:
        UsageError: Somebody gave other pixels back.
    """
    results = []
    for peer in contestants:
        result = Result(peer.name, peer.version)
        for stack in filter(peer.takes, stacks):
            tell(f"{peer.name}: {stack.name}")
            if not result.results:  # kernels are compiled, libraries loaded
                small = stack.pixels[:1, :64, :64]
                peer.decode(peer.encode(np.ascontiguousarray(small)), small)
            _measure_one(peer, stack, rounds, result)
        if result.results:
            results.append(result)
    return results


def _measure_one(peer: Peer, stack: Stack, rounds: int, result: Result) -> None:
    pixels = stack.pixels
    files, encoding, encoding_cpu = _timed(lambda: peer.encode(pixels), rounds)
    back, decoding, decoding_cpu = _timed(lambda: peer.decode(files, pixels), rounds)
    if not np.array_equal(back, pixels):
        raise UsageError(f"{peer.name} gives other pixels back than those of {stack.name}")
    size, megabytes = sum(map(len, files)), pixels.nbytes / 1e6
    result.add(
        image=stack.name,
        bytes=size,
        bpsp=8 * size / pixels.size,
        ratio=pixels.nbytes / size,
        encoding_time=encoding / len(pixels),
        decoding_time=decoding / len(pixels),
        encoding_cpu=encoding_cpu / len(pixels),
        decoding_cpu=decoding_cpu / len(pixels),
        encoding_speed=megabytes / encoding,
        decoding_speed=megabytes / decoding,
        samples=pixels.size,
        megabytes=megabytes,
        frames=len(pixels),
    )


# --- showing -------------------------------------------------------------------------


def as_json(results: list[Result]) -> str:
    """In the shape of CompressAI: a list of name, description and lists of results."""
    return json.dumps([asdict(result) for result in results], indent=1) + "\n"


def as_text(results: list[Result]) -> str:
    """A table: of all files together, then bits per sub-pixel file by file."""
    head = f"{'':16} {'bits/sub-pixel':>14} {'ratio':>6} {'MB/s in':>9} {'out':>9} "
    lines = [f"{head}{'by CPU in':>9} {'out':>9} {'ms/image in':>12} {'out':>8}  files"]
    for result in results:
        r = result.results
        size, samples, mb = sum(r["bytes"]), sum(r["samples"]), sum(r["megabytes"])
        seconds = {
            key: sum(t * n for t, n in zip(r[key], r["frames"], strict=True))
            for key in ("encoding_time", "decoding_time", "encoding_cpu", "decoding_cpu")
        }
        speeds = (f"{mb / max(value, 1e-9):9.2f}" for value in seconds.values())
        times = [1000 * seconds[key] / sum(r["frames"]) for key in list(seconds)[:2]]
        lines.append(
            f"{result.name:16} {8 * size / samples:14.4f} {mb * 1e6 / size:6.3f} "
            f"{' '.join(speeds)} {times[0]:12.1f} {times[1]:8.1f}  {len(r['image'])}"
        )
    for result in results:
        pairs = zip(result.results["image"], result.results["bpsp"], strict=True)
        lines.append(f"{result.name:16} " + "  ".join(f"{n} {b:.4f}" for n, b in pairs))
    return "\n".join(lines) + "\n"
