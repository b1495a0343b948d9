"""`auto`: what it picks, and that nothing comes of it but an archive of that method."""

from __future__ import annotations

import io
import json
import lzma
import struct
import tracemalloc
import zipfile
import zlib
from pathlib import Path

import numpy as np
import pytest

import nncomp
from nncomp import api
from nncomp.api.choice import choose
from nncomp.api.source import BufferSource, StreamSource
from nncomp.codecs.base import Context, resolve_params
from nncomp.codecs.registry import by_name
from nncomp.codecs.samples import shrinks
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.errors import LimitError, MethodError

MIB = 1 << 20
DATA = Path(__file__).parents[3].parent / "shared" / "data"
RANDOM = np.random.default_rng(12)
TEXT = b"".join(b"line %d of a text that compresses\n" % i for i in range(1000))
NOISE = RANDOM.bytes(100_000)
WEIGHTS = RANDOM.normal(0, 0.02, 5000).astype("<f4")


def safetensors(array: np.ndarray) -> bytes:
    entry = {"dtype": "F32", "shape": list(array.shape), "data_offsets": [0, array.nbytes]}
    header = json.dumps({"weights": entry}).encode()
    return len(header).to_bytes(8, "little") + header + array.tobytes()


def saved(function, *arguments: object) -> bytes:
    file = io.BytesIO()
    function(file, *arguments)
    return file.getvalue()


def zipped(name: str, content: bytes, method: int = zipfile.ZIP_STORED) -> bytes:
    file = io.BytesIO()
    with zipfile.ZipFile(file, "w", method) as archive:
        archive.writestr(name, content)
    return file.getvalue()


def picked(content: bytes, level: int | None = None, **grant: int) -> tuple[str, int | None]:
    source = BufferSource(memoryview(content))
    method, level, _ = choose(source, level, Context(**grant))
    return method, level


TENSORS = {
    "safetensors": safetensors(WEIGHTS),
    "npy": saved(np.save, WEIGHTS),
    "npz": saved(np.savez, WEIGHTS),
    "torch": zipped("model/data.pkl", b"\x80\x02}q\x00." + NOISE),
    "gguf": b"GGUF" + bytes(1000),
}
OTHERS = {
    "text": TEXT,
    "picture": np.add.outer(np.arange(200), np.arange(300)).astype(np.uint8).tobytes(),
    # Of so many values that only the differences tell.
    "sound": np.cumsum(RANDOM.integers(-9, 10, 60_000)).astype(np.uint8).tobytes(),
    "little noise": NOISE[:4096],
    "png": b"\x89PNG\r\n\x1a\n" + NOISE,
    "png in an archive": NOISE + b"\x89PNG\r\n\x1a\n" + NOISE,
    "half of it noise": NOISE + TEXT,
    "length and brace": (1 << 40).to_bytes(8, "little") + b"{" + TEXT,
    "zip of text": zipped("text", TEXT),
}


@pytest.mark.parametrize("name", TENSORS)
def test_tensors(name: str) -> None:
    assert picked(TENSORS[name]) == ("zipnn", 5)
    assert picked(TENSORS[name], 9) == ("zipnn", 9)


@pytest.mark.parametrize("name", OTHERS)
def test_others(name: str) -> None:
    assert picked(OTHERS[name]) == ("mix", 6)
    assert picked(OTHERS[name], 2) == ("mix", 2)


@pytest.mark.parametrize(
    "content",
    [NOISE, lzma.compress(NOISE.hex().encode()), zipped("a.npy", NOISE, zipfile.ZIP_DEFLATED)],
    ids=["noise", "compressed", "compressed array"],
)
def test_what_does_not_shrink_costs_little(content: bytes) -> None:
    assert picked(content) == ("zstd", 3)
    assert picked(content, 9) == ("zstd", 9)


def test_files_shrink_as_far_as_they_do() -> None:
    """Sounds, weights and pictures as bytes are no noise; pictures that are compressed are."""
    if not DATA.exists():
        pytest.skip(f"{DATA} with the test data is not here")
    paths = [path for path in DATA.glob("*/**/*") if path.is_file() and path.suffix != ".md"]
    assert len(paths) > 50
    noise = {path.name for path in paths if not shrinks(path.read_bytes())}
    assert noise == {path.name for path in paths if path.suffix == ".png"}


# --- pictures


def pgm(size: int) -> bytes:
    return b"P5 1024 %d 255\n" % (size // 1024) + TEXT


def png(size: int) -> bytes:
    header = (1023).to_bytes(4, "big") + (size // 1024).to_bytes(4, "big") + bytes([8, 0, 0, 0, 0])
    return SIGNATURE + pack_chunk(b"IHDR", header) + NOISE


@pytest.mark.parametrize("picture", [pgm, png])
def test_pictures(picture) -> None:
    """Of whatever length: the head of a file tells how many pixels there are."""
    assert picked(picture(8 * MIB)) == ("mix", 6)
    assert picked(picture(8 * MIB), 5) == ("fsar", 5)
    assert picked(picture(8 * MIB), 6) == ("mix", 6)
    assert picked(picture(9 * MIB)) == ("fsar", 9)
    assert picked(picture(9 * MIB), 1) == ("fsar", 1)
    assert picked(picture(64 * MIB)) == ("fsar", 9)
    assert picked(picture(65 * MIB)) == ("mix", 6)
    assert picked(picture(65 * MIB), 2) == ("mix", 2)
    assert picked(picture(9 * MIB), memory_limit=memory_of("zstd", 3))[0] != "fsar"


# --- by size


@pytest.mark.parametrize(
    ("size", "level", "expected"),
    [
        (0, None, ("store", None)),
        (16, None, ("store", None)),
        (17, None, ("mix", 6)),
        (16 * MIB, None, ("mix", 6)),
        (16 * MIB + 1, None, ("mix", 3)),
        (32 * MIB + 1, None, ("mix", 1)),
        (64 * MIB, None, ("mix", 1)),
        (64 * MIB + 1, None, ("zstd", 8)),
        (32 * MIB + 1, 4, ("mix", 4)),
        (64 * MIB + 1, 5, ("zstd", 5)),
        (64 * MIB + 1, 6, ("mix", 6)),
    ],
)
def test_sizes(size: int, level: int | None, expected: tuple[str, int | None]) -> None:
    content = bytes(size)
    assert picked(content, level) == expected
    source = StreamSource(io.BytesIO(content), None)
    if size <= 64 * MIB:
        assert choose(source, level, Context())[:2] == expected
    else:  # its end is not seen
        assert choose(source, level, Context())[:2] == ("zstd", level or 6)


@pytest.mark.parametrize(
    ("size", "level", "expected"),
    [
        (1 << 30, None, ("zstd", 8)),
        ((1 << 30) + 1, None, ("zstd", 6)),
        (1 << 30, 9, ("mix", 9)),
        ((1 << 30) + 1, 9, ("zstd", 9)),
        (1 << 50, None, ("zstd", 6)),
    ],
)
def test_sizes_that_are_announced(
    size: int, level: int | None, expected: tuple[str, int | None]
) -> None:
    source = StreamSource(io.BytesIO(TEXT), size)
    assert choose(source, level, Context())[:2] == expected


def test_no_more_is_read_than_what_decides(pipe: type) -> None:
    for announced, content, most in (
        (None, bytes(100 * MIB), 64 * MIB + 1),
        (100 * MIB, bytes(100 * MIB), MIB),
        (None, TENSORS["npy"] + bytes(100 * MIB), MIB),
    ):
        stream = io.BytesIO(content)
        choose(StreamSource(stream, announced), None, Context())
        assert stream.tell() <= most


def test_a_long_stream_takes_bounded_memory(pipe: type) -> None:
    class Zeros(pipe):
        left = 300 * MIB

        def readinto(self, target) -> int:
            size = min(len(target), self.left)
            target[:size] = bytes(size)
            self.left -= size
            return size

    tracemalloc.start()
    nncomp.compress_stream(Zeros(), pipe())
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 160 * MIB  # what is looked at, in pieces and in one; then records of 4 MiB


# --- by memory


def memory_of(method: str, level: int) -> int:
    """What decoding takes where nothing is settled by the size of the content."""
    codec = by_name(method)
    return codec.memory(codec.settle(resolve_params(codec, {}, level), b"", False))


@pytest.mark.parametrize(
    ("enough", "level", "expected"),
    [
        (("mix", 6), None, ("mix", 6)),
        (("mix", 3), None, ("mix", 3)),
        (("mix", 1), None, ("mix", 3)),  # of so little content, no more than level 1
        (("zstd", 8), None, ("zstd", 8)),
        (("zstd", 6), None, ("zstd", 6)),
        (("zstd", 3), None, ("zstd", 3)),
        (("mix", 7), 9, ("mix", 7)),
        (("zstd", 8), 9, ("zstd", 8)),
        (("zstd", 3), 5, ("zstd", 5)),
    ],
)
def test_memory(
    enough: tuple[str, int], level: int | None, expected: tuple[str, int | None]
) -> None:
    content = TEXT * 20
    assert picked(content, level, memory_limit=memory_of(*enough)) == expected


def test_memory_limit_holds() -> None:
    limit = memory_of("zstd", 3)
    (info,) = nncomp.inspect(io.BytesIO(nncomp.compress(TEXT, memory_limit=limit)))
    assert info.memory <= limit
    with pytest.raises(LimitError):
        nncomp.compress(TEXT, memory_limit=1000)


# --- archives of it


@pytest.mark.parametrize(
    ("content", "method"),
    [(TEXT, "mix"), (TENSORS["npy"], "zipnn"), (NOISE, "store"), (b"", "store"), (b"x", "store")],
    ids=["text", "tensor", "noise", "nothing", "one byte"],
)
def test_the_method_is_never_auto(content: bytes, method: str, pipe: type) -> None:
    archive = nncomp.compress(content)
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == method
    assert nncomp.decompress(archive) == content
    assert len(archive) <= len(nncomp.compress(content, "store"))
    said: list[str] = []
    sink, written = io.BytesIO(), io.BytesIO()
    context = Context(notice=said.append)
    result = nncomp.compress_stream(pipe(content), sink, method="auto", context=context)
    with nncomp.open(written, "wb") as file:
        file.write(content)
    assert archive == sink.getvalue() == written.getvalue()
    assert result.method.startswith(method)
    assert said[0].startswith("auto: ")


@pytest.mark.parametrize("size", [1, 5, 100, 5000, 70_000, 262_143, 262_144, 300_000, 2 * MIB])
def test_noise_stays_as_large_as_stored(size: int) -> None:
    noise = RANDOM.bytes(size)
    archive = nncomp.compress(noise)
    assert len(archive) <= size + 100 + size // 1000
    assert nncomp.decompress(archive) == noise


def test_a_pipe_gives_the_archive_of_a_file(pipe: type) -> None:
    """Also above what is always looked at: what ends within sight is of known size."""
    content = bytes(300_000) + TEXT
    sink = io.BytesIO()
    nncomp.compress_stream(pipe(content), sink, level=1)
    assert sink.getvalue() == nncomp.compress(content, level=1)


def test_level_is_passed_on() -> None:
    for level in (1, 9):
        assert nncomp.compress(TEXT, level=level) == nncomp.compress(TEXT, "mix", level=level)


def test_bases_need_the_tensor_codec() -> None:
    archive = nncomp.compress(TEXT, base=TEXT[:-1] + b"!")
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == "zipnn"
    assert nncomp.decompress(archive, base=TEXT[:-1] + b"!") == TEXT


@pytest.mark.parametrize(
    ("method", "level", "message"),
    [("auto:block=1M", None, "no parameters"), ("auto", 0, "1 to 9"), ("auto", 10, "1 to 9")],
)
def test_auto_has_levels_and_no_parameters(method: str, level: int | None, message: str) -> None:
    with pytest.raises(MethodError, match=message):
        nncomp.compress(TEXT, method, level=level)
    with pytest.raises(MethodError, match=message):
        nncomp.open(io.BytesIO(), "wb", method=method, level=level)


def test_default() -> None:
    assert api.DEFAULT_METHOD == "auto"


def test_what_nobody_asked_for_is_no_warning() -> None:
    """That a PNG file is kept as it is, is told to who asked for `fsar`."""
    lines = b"".join(b"\0" + NOISE[at : at + 300] for at in range(0, 30_000, 300))
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 100, 100, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines) + b"what is this"),
        (b"IEND", b""),
    )
    picture = SIGNATURE + b"".join(pack_chunk(*part) for part in parts)
    for method, warned in (("fsar", True), ("auto", False)):
        warnings, notices = list[str](), list[str]()
        context = Context(warn=warnings.append, notice=notices.append)
        nncomp.compress_stream(
            io.BytesIO(picture), io.BytesIO(), method=method, level=1, context=context
        )
        told = [any("kept as it is" in text for text in texts) for texts in (warnings, notices)]
        assert told == [warned, not warned]
