"""Files of pictures, stacks and plain pixels through the codec; what is none of them, too."""

from __future__ import annotations

import io
import struct
import zlib
from contextlib import suppress
from typing import TYPE_CHECKING

import numpy as np
import pytest

import nncomp
from nncomp.codecs.base import Context, resolve_params
from nncomp.codecs.image.fit import Effort
from nncomp.codecs.image.fsar import FSAR
from nncomp.codecs.image.payload import Settings, decode_payload, encode_png
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.coding.png.parts import take_apart
from nncomp.errors import CorruptError, MethodError, NncompError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

PALETTE = 3  # colour type of PNG
FILES = {
    "ppm": "pictures",
    "pgm": "pictures",
    "pgm 16": "pictures",
    "pbm": None,
    "pbm, larger in samples than in bytes": "pictures",
    "pam 2": "pictures",
    "pam 4": "pictures",
    "two ppm": "pictures",
    "bmp 8": "pictures",
    "bmp 24": "pictures",
    "bmp 32 flipped": "pictures",
    "npy HW": "pictures",
    "npy HWC": "pictures",
    "npy NHWC": "pictures",
    "npy NCHW": "pictures",
    "npy NHW, 16 bits": "pictures",
    "npy of floats": "bytes",
    "png grey": "png",
    "png grey 1": None,
    "png grey 4": "png",
    "png grey 16": "png",
    "png grey alpha": "png",
    "png rgb": "png",
    "png rgb 16": "png",
    "png rgba": "png",
    "png palette": "png",
    "png grey 4, larger in samples than in bytes": "png",
    "png drawn": "png",
    "png foreign": None,
    "text": "bytes",
}
"""Names of files, and the kind of payload that they get; None: none."""
KINDS = ["bytes", "pictures", "png", "png lines"]
QUICK = Settings(Effort(classes=4, log=3, rounds=1, step=2, drop=1), 2, 3, 1 << 16)


def kind_of(data: bytes, method: str = "fsar") -> str | None:
    """The kind of the first record of an archive."""
    params = resolve_params(FSAR, dict(nncomp.codecs.base.parse_method(method)[1]), None)
    block = next(iter(FSAR.encode([data], FSAR.settle(params, data, True), Context())))
    return None if block.payload is None else KINDS[bytes(block.payload)[0]]


@pytest.mark.parametrize("name", FILES)
def test_files(name: str, files: Mapping[str, bytes]) -> None:
    data, kind = files[name], FILES[name]
    archive = nncomp.compress(data, "fsar")
    assert nncomp.decompress(archive) == data
    assert len(archive) <= len(data) + 100 + len(data) // 1000
    if kind is not None:
        assert kind_of(data) == kind


@pytest.mark.parametrize(("name", "kind"), [("png grey 4", "png lines"), ("pbm", "bytes")])
def test_more_samples_than_a_record_holds(name: str, kind: str, files: Mapping[str, bytes]) -> None:
    """Of less than 8 bits: what is read back must have no more than records have bytes."""
    data = files[f"{name}, larger in samples than in bytes"]
    assert kind_of(data, "fsar:block=64K") == kind
    assert nncomp.decompress(nncomp.compress(data, "fsar:block=64K")) == data


@pytest.mark.parametrize("width", [1, 2, 43])
@pytest.mark.parametrize("depth", [1, 2, 4, 8])
def test_palettes_of_any_depth(
    depth: int,
    width: int,
    monkeypatch: pytest.MonkeyPatch,
    picture: Callable[..., np.ndarray],
    png: Callable[..., bytes],
) -> None:
    # Pictures as small as these would go to Zstandard.
    monkeypatch.setattr("nncomp.codecs.image.payload._left", lambda content: 1.0)
    colours = np.random.default_rng(3).integers(0, 256, (1 << depth, 3)).astype(np.uint8)
    data = png(picture(1, 1, 30, width, depth), PALETTE, depth, palette=colours.tobytes())
    parts = take_apart(memoryview(data), 1 << 16)
    assert parts is not None
    payload = encode_png(parts, QUICK)
    assert KINDS[payload[0]] == "png"
    assert decode_payload(memoryview(payload), len(data), 1 << 16) == data


@pytest.mark.parametrize("level", range(1, 10))
def test_levels(
    level: int, picture: Callable[..., np.ndarray], ppm: Callable[[np.ndarray], bytes]
) -> None:
    data = ppm(picture(3, 1, 70, 90))
    archive = nncomp.compress(data, "fsar", level=level)
    assert nncomp.decompress(archive) == data
    assert len(archive) < 0.7 * len(data)


@pytest.mark.parametrize("cut", [1, 9, 20, 2000])
@pytest.mark.parametrize("name", ["ppm", "bmp 24", "npy NHWC", "png rgb", "pam 4"])
def test_files_cut_off(name: str, cut: int, files: Mapping[str, bytes]) -> None:
    data = files[name][:-cut]
    assert nncomp.decompress(nncomp.compress(data, "fsar")) == data


@pytest.mark.parametrize("planar", ["on", "off"])
@pytest.mark.parametrize("depth", [8, 16])
@pytest.mark.parametrize("extra", [0, 1, 700])
def test_plain_pixels(
    planar: str, depth: int, extra: int, picture: Callable[..., np.ndarray]
) -> None:
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


def test_stacks_larger_than_records(
    picture: Callable[..., np.ndarray], npy: Callable[[np.ndarray], bytes]
) -> None:
    data = npy(picture(3, 60, 28, 30).transpose(1, 2, 3, 0))
    for threads in (1, 3):
        archive = nncomp.compress(data, "fsar:block=64K", threads=threads)
        assert nncomp.decompress(archive, threads=threads) == data
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.records == 3
    assert len(archive) < 0.6 * len(data)


def test_frames_larger_than_records(
    picture: Callable[..., np.ndarray], ppm: Callable[[np.ndarray], bytes]
) -> None:
    data = ppm(picture(3, 1, 200, 200))
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
        "learn=all,contexts=0",
        "shape=1x20000x1x1",
        "shape=ax3",
    ],
)
def test_parameters_that_cannot_be(method: str) -> None:
    with pytest.raises(MethodError):
        nncomp.compress(b"x" * 100, f"fsar:{method}")


@pytest.mark.parametrize("kind", [0, 2, 3, 4, 6])
@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
def test_png_files_of_kinds_that_there_are_not(kind: int, depth: int) -> None:
    """As a palette of 16 bits: the pixels come back, whatever they mean."""
    row = (9 * {0: 1, 2: 3, 3: 1, 4: 2, 6: 4}[kind] * depth + 7) // 8
    parts = (
        (b"IHDR", struct.pack(">IIBBBBB", 9, 4, depth, kind, 0, 0, 0)),
        (b"PLTE", bytes(range(30))),
        (b"IDAT", zlib.compress((b"\0" + b"\xf1\2" * row)[: row + 1] * 4)),
        (b"IEND", b""),
    )
    data = SIGNATURE + b"".join(pack_chunk(*part) for part in parts)
    for method in ("fsar", "fsar:pixels=only", "mix"):
        assert nncomp.decompress(nncomp.compress(data, method)) == data


def test_foreign_png_is_kept_and_said_so(files: Mapping[str, bytes]) -> None:
    data = files["png foreign"]
    said: list[str] = []
    params = FSAR.settle(resolve_params(FSAR, {}, None), data, True)
    (block,) = FSAR.encode([data], params, Context(warn=said.append))
    assert block.raw == data
    assert any("kept as it is" in text for text in said)


def test_pixels_only_writes_another_png(
    files: Mapping[str, bytes], picture: Callable[..., np.ndarray]
) -> None:
    data = files["png foreign"]
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
    kept = files["png rgb"]
    assert nncomp.decompress(nncomp.compress(kept, "fsar:pixels=only")) == kept


@pytest.mark.parametrize("name", ["ppm", "png rgb", "png palette", "png drawn", "text"])
def test_damage(name: str, files: Mapping[str, bytes]) -> None:
    """Below the container, whose checksums notice all of this: errors of ours or some bytes."""
    data = files[name]
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


def test_pictures_larger_than_their_record_are_not_decoded(files: Mapping[str, bytes]) -> None:
    data = files["ppm"]
    params = FSAR.settle(resolve_params(FSAR, {}, None), data, True)
    (block,) = FSAR.encode([data], params, Context())
    assert block.payload is not None
    with pytest.raises(CorruptError, match="larger than their record"):
        decode_payload(memoryview(block.payload), 60 * 50 * 3 - 1, len(data))


def check_damaged(payload: bytes, size: int, params: object) -> None:
    with suppress(NncompError):
        (raw,) = FSAR.decode([nncomp.codecs.base.Block(size, payload)], params, Context())
        assert len(raw) == size
