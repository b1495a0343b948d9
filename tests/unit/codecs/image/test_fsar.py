"""Files of pictures, stacks and plain pixels through the codec; what is none of them, too."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest

import nncomp
from nncomp.codecs.base import Context, resolve_params
from nncomp.codecs.image.fit import Effort
from nncomp.codecs.image.fsar import FSAR
from nncomp.codecs.image.payload import Settings as Way
from nncomp.codecs.image.payload import decode_payload, encode_png
from nncomp.coding.deflate.encoder import deflate
from nncomp.coding.deflate.settings import Settings
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.coding.png.filters import filter_lines, least_types
from nncomp.coding.png.parts import take_apart
from nncomp.errors import CorruptError, MethodError, NncompError

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6
KINDS = ["bytes", "pictures", "png", "png lines"]
QUICK = Way(Effort(classes=4, log=3, rounds=1, step=2, drop=1), 2, 3, 1 << 16)


def picture(planes: int, frames: int, height: int, width: int, depth: int = 8) -> np.ndarray:
    """Smooth samples with some noise, uint8 or uint16 [planes, frames, height, width]."""
    random = np.random.default_rng(planes * 1000 + height + width)
    top = (1 << depth) - 1
    y, x = np.mgrid[:height, :width]
    base = np.sin(x / 9) + np.cos(y / 7) + x * y / (height * width + 1)
    stack = np.stack([base * (1 + k / 5) for k in range(planes)])[:, None]
    noise = random.normal(0, 0.03, (planes, frames, height, width))
    samples = ((stack + noise) * top / 6 + top / 2).clip(0, top)
    return samples.astype(np.uint16 if depth > 8 else np.uint8)


def png(
    samples: np.ndarray, colour: int, depth: int = 8, palette: bytes = b"", foreign: bool = False
) -> bytes:
    """A PNG file of [channels, 1, height, width]; `foreign`: with more behind its stream."""
    channels, _, height, width = samples.shape
    if depth < 8:
        bits = samples[0, 0, :, :, None] >> np.arange(depth)[::-1].astype(np.uint8) & 1
        pixels = np.packbits(bits.reshape(height, -1), axis=1)
    else:
        pixels = samples[:, 0].transpose(1, 2, 0).astype(">u2" if depth == 16 else np.uint8)
        pixels = np.ascontiguousarray(pixels).view(np.uint8).reshape(height, -1)
    step = max(1, channels * depth // 8)
    lines = filter_lines(pixels, least_types(pixels, step), step).ravel()
    stream = b"\x78\x9c" + deflate(lines, Settings(6)) + struct.pack(">I", zlib.adler32(lines.data))
    stream += b"what is this" * foreign
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = [(b"IHDR", header), (b"PLTE", palette), (b"tEXt", b"a note"), (b"IDAT", stream)]
    chunks.append((b"IEND", b""))
    return SIGNATURE + b"".join(
        pack_chunk(*chunk) for chunk in chunks if chunk[0] != b"PLTE" or palette
    )


def rgb(height: int = 50, width: int = 60) -> bytes:
    return picture(3, 1, height, width)[:, 0].transpose(1, 2, 0).tobytes()


def bmp(bits: int, flip: bool = False) -> bytes:
    planes = bits // 8
    rows = picture(planes, 1, 30, 37)[:, 0].transpose(1, 2, 0).reshape(30, -1)
    padded = np.zeros((30, -(-rows.shape[1] // 4) * 4), np.uint8)
    padded[:, : rows.shape[1]] = rows
    palette = bytes(1024) if bits == 8 else b""
    start = 54 + len(palette)
    height = -30 if flip else 30
    head = struct.pack("<2sIII", b"BM", start + padded.size, 0, start)
    head += struct.pack("<IiiHHIIiiII", 40, 37, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return head + palette + padded.tobytes()


def npy(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, samples)
    return file.getvalue()


def pam(depth: int) -> bytes:
    head = f"P7\nWIDTH 40\nHEIGHT 30\nDEPTH {depth}\nMAXVAL 255\nTUPLTYPE X\nENDHDR\n"
    return head.encode() + picture(depth, 1, 30, 40)[:, 0].transpose(1, 2, 0).tobytes()


DRAWN = np.tile(np.random.default_rng(1).integers(0, 256, (1, 1, 20, 20)), (1, 1, 9, 9))
COLOURS = np.random.default_rng(2).integers(0, 256, (90, 3)).astype(np.uint8)
BY_BRIGHTNESS = np.argsort(COLOURS.astype(int) @ [3, 6, 1])
PLACES = BY_BRIGHTNESS[picture(1, 1, 100, 120) // 3]
FILES = {
    "ppm": (b"P6 60 50 255\n" + rgb(), "pictures"),
    "pgm": (b"P5\n#\n60\n50 255\n" + picture(1, 1, 50, 60).tobytes() + b"\n", "pictures"),
    "pgm 16": (b"P5 60 50 4095\n" + picture(1, 1, 50, 60, 12).astype(">u2").tobytes(), "pictures"),
    "pam 2": (pam(2), "pictures"),
    "pam 4": (pam(4), "pictures"),
    "two ppm": (2 * (b"P6 60 50 255\n" + rgb()), "pictures"),
    "bmp 8": (bmp(8), "pictures"),
    "bmp 24": (bmp(24), "pictures"),
    "bmp 32 flipped": (bmp(32, flip=True), "pictures"),
    "npy HW": (npy(picture(1, 1, 50, 60)[0, 0]), "pictures"),
    "npy HWC": (npy(picture(3, 1, 50, 60)[:, 0].transpose(1, 2, 0)), "pictures"),
    "npy NHWC": (npy(picture(3, 9, 28, 30).transpose(1, 2, 3, 0)), "pictures"),
    "npy NCHW": (npy(picture(3, 9, 28, 30).swapaxes(0, 1)), "pictures"),
    "npy NHW, 16 bits": (npy(picture(1, 9, 28, 30, 16)[0]), "pictures"),
    "npy of floats": (npy(np.arange(500.0)), "bytes"),
    "png grey": (png(picture(1, 1, 50, 60), GREY), "png"),
    "png grey 1": (png(picture(1, 1, 99, 93, 1), GREY, 1), None),
    "png grey 4": (png(picture(1, 1, 50, 61, 4), GREY, 4), "png"),
    "png grey 16": (png(picture(1, 1, 50, 60, 16), GREY, 16), "png"),
    "png grey alpha": (png(picture(2, 1, 50, 60), GREY_ALPHA), "png"),
    "png rgb": (png(picture(3, 1, 50, 60), RGB), "png"),
    "png rgb 16": (png(picture(3, 1, 50, 60, 16), RGB, 16), "png"),
    "png rgba": (png(picture(4, 1, 50, 60), RGBA), "png"),
    "png palette": (png(PLACES.astype(np.uint8), PALETTE, palette=COLOURS.tobytes()), "png"),
    "png grey 4, larger in samples than in bytes": (
        png(picture(1, 1, 300, 301, 4), GREY, 4),
        "png",
    ),
    "png drawn": (png(DRAWN.astype(np.uint8), GREY), "png lines"),
    "png foreign": (png(picture(3, 1, 50, 60), RGB, foreign=True), None),
    "text": (b"a text that is no picture at all, " * 30, "bytes"),
}


def kind_of(data: bytes, method: str = "fsar") -> str | None:
    """The kind of the first record of an archive."""
    params = resolve_params(FSAR, dict(nncomp.codecs.base.parse_method(method)[1]), None)
    block = next(iter(FSAR.encode([data], FSAR.settle(params, data, True), Context())))
    return None if block.payload is None else KINDS[bytes(block.payload)[0]]


@pytest.mark.parametrize("name", FILES)
def test_files(name: str) -> None:
    data, kind = FILES[name]
    archive = nncomp.compress(data, "fsar")
    assert nncomp.decompress(archive) == data
    assert len(archive) <= len(data) + 100 + len(data) // 1000
    if kind is not None:
        assert kind_of(data) == kind


def test_more_samples_than_a_record_holds() -> None:
    """Of less than 8 bits: what is read back must have no more than records have bytes."""
    data = FILES["png grey 4, larger in samples than in bytes"][0]
    assert kind_of(data, "fsar:block=64K") == "png lines"
    assert nncomp.decompress(nncomp.compress(data, "fsar:block=64K")) == data


@pytest.mark.parametrize("width", [1, 2, 43])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_of_any_depth(depth: int, width: int, monkeypatch: pytest.MonkeyPatch) -> None:
    # Pictures as small as these would go to Zstandard.
    monkeypatch.setattr("nncomp.codecs.image.payload._drawn", lambda content: False)
    colours = np.random.default_rng(3).integers(0, 256, (1 << depth, 3)).astype(np.uint8)
    data = png(picture(1, 1, 30, width, depth), PALETTE, depth, palette=colours.tobytes())
    parts = take_apart(memoryview(data), 1 << 16)
    assert parts is not None
    payload = encode_png(parts, QUICK)
    assert KINDS[payload[0]] == "png"
    assert decode_payload(memoryview(payload), len(data), 1 << 16) == data


@pytest.mark.parametrize("level", range(1, 10))
def test_levels(level: int) -> None:
    data = b"P6 90 70 255\n" + rgb(70, 90)
    archive = nncomp.compress(data, "fsar", level=level)
    assert nncomp.decompress(archive) == data
    assert len(archive) < 0.7 * len(data)


@pytest.mark.parametrize("cut", [1, 9, 20, 2000])
@pytest.mark.parametrize("name", ["ppm", "bmp 24", "npy NHWC", "png rgb", "pam 4"])
def test_files_cut_off(name: str, cut: int) -> None:
    data = FILES[name][0][:-cut]
    assert nncomp.decompress(nncomp.compress(data, "fsar")) == data


@pytest.mark.parametrize("planar", ["on", "off"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("extra", [0, 1, 700])
def test_plain_pixels(planar: str, depth: int, extra: int) -> None:
    samples = picture(3, 40, 28, 30, depth)
    moved = samples.swapaxes(0, 1) if planar == "on" else samples.transpose(1, 2, 3, 0)
    data = np.ascontiguousarray(moved).tobytes() + bytes(extra)
    sizes = "x".join(map(str, moved.shape))
    for block in ("64K", "64M"):
        method = f"fsar:shape={sizes},planar={planar},depth={depth},block={block}"
        assert kind_of(data, method) == "pictures"
        archive = nncomp.compress(data, method)
        assert nncomp.decompress(archive) == data
        assert len(archive) < 0.75 * len(data)


def test_stacks_larger_than_records() -> None:
    data = npy(picture(3, 60, 28, 30).transpose(1, 2, 3, 0))
    for threads in (1, 3):
        archive = nncomp.compress(data, "fsar:block=64K", threads=threads)
        assert nncomp.decompress(archive, threads=threads) == data
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.records == 3
    assert len(archive) < 0.6 * len(data)


def test_frames_larger_than_records() -> None:
    data = b"P6 200 200 255\n" + rgb(200, 200)
    assert nncomp.decompress(nncomp.compress(data, "fsar:block=64K")) == data


@pytest.mark.parametrize(
    "method",
    [
        "shape=0x3",
        "shape=3",
        "shape=9x9x9x9",
        "shape=2x3x4x5x6",
        "shape=9x9,depth=12",
        "patch=7",
        "shape=1x20000x1x1",
        "shape=ax3",
    ],
)
def test_parameters_that_cannot_be(method: str) -> None:
    with pytest.raises(MethodError):
        nncomp.compress(b"x" * 100, f"fsar:{method}")


def test_foreign_png_is_kept_and_said_so() -> None:
    data = FILES["png foreign"][0]
    said: list[str] = []
    params = FSAR.settle(resolve_params(FSAR, {}, None), data, True)
    (block,) = FSAR.encode([data], params, Context(notice=said.append))
    assert block.raw == data
    assert any("kept as it is" in text for text in said)


def test_pixels_only_writes_another_png() -> None:
    data = FILES["png foreign"][0]
    archive = nncomp.compress(data, "fsar:pixels=only")
    other = nncomp.decompress(archive)
    assert other != data
    assert len(archive) < len(nncomp.compress(data, "fsar"))
    parts = take_apart(memoryview(other), 1 << 20)
    assert parts is not None
    pixels = picture(3, 1, 50, 60)[:, 0].transpose(1, 2, 0)
    assert np.array_equal(parts.content, np.ascontiguousarray(pixels).ravel())
    assert b"a note" in other
    # One that can be made again is left alone.
    kept = FILES["png rgb"][0]
    assert nncomp.decompress(nncomp.compress(kept, "fsar:pixels=only")) == kept


@pytest.mark.parametrize("name", ["ppm", "png rgb", "png palette", "png drawn", "text"])
def test_damage(name: str) -> None:
    """Below the container, whose checksums notice all of this: errors of ours or some bytes."""
    data = FILES[name][0]
    params = FSAR.settle(resolve_params(FSAR, {}, None), data, True)
    (block,) = FSAR.encode([data], params, Context())
    payload = bytes(block.payload or b"")
    assert payload
    random = np.random.default_rng(4)
    for size in [*range(min(len(payload), 60)), *random.integers(0, len(payload), 40)]:
        check_damaged(payload[:size], len(data), params)
    for bit in [*range(300), *random.integers(0, 8 * len(payload), 200)]:
        flipped = bytearray(payload)
        flipped[bit // 8 % len(payload)] ^= 1 << bit % 8
        check_damaged(bytes(flipped), len(data), params)


def test_pictures_larger_than_their_record_are_not_decoded() -> None:
    data = FILES["ppm"][0]
    params = FSAR.settle(resolve_params(FSAR, {}, None), data, True)
    (block,) = FSAR.encode([data], params, Context())
    assert block.payload is not None
    with pytest.raises(CorruptError, match="larger than their record"):
        decode_payload(memoryview(block.payload), 60 * 50 * 3 - 1, len(data))


def check_damaged(payload: bytes, size: int, params: object) -> None:
    with suppress(NncompError):
        (raw,) = FSAR.decode([nncomp.codecs.base.Block(size, payload)], params, Context())
        assert len(raw) == size
