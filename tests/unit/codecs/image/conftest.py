"""What the tests of `fsar` share: made-up pictures, and files of them in all formats."""

from __future__ import annotations

import io
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nncomp.codecs.base import Block, Context, resolve_params
from nncomp.codecs.image.fsar import FSAR
from nncomp.coding.deflate.encoder import deflate
from nncomp.coding.deflate.settings import Settings
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.coding.png.filters import filter_lines, least_types

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def make_picture(planes: int, frames: int, height: int, width: int, depth: int = 8) -> np.ndarray:
    """Smooth samples with some noise, uint8 or uint16 [planes, frames, height, width]."""
    random = np.random.default_rng(planes * 1000 + height + width)
    top = (1 << depth) - 1
    y, x = np.mgrid[:height, :width]
    base = np.sin(x / 9) + np.cos(y / 7) + x * y / (height * width + 1)
    stack = np.stack([base * (1 + k / 5) for k in range(planes)])[:, None]
    noise = random.normal(0, 0.03, (planes, frames, height, width))
    samples = ((stack + noise) * top / 6 + top / 2).clip(0, top)
    return samples.astype(np.uint16 if depth > 8 else np.uint8)


def make_png(
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


def make_ppm(samples: np.ndarray) -> bytes:
    """The file of [3, 1, height, width]."""
    head = f"P6 {samples.shape[3]} {samples.shape[2]} 255\n"
    return head.encode() + samples[:, 0].transpose(1, 2, 0).tobytes()


def bmp(bits: int, flip: bool = False) -> bytes:
    planes = bits // 8
    rows = make_picture(planes, 1, 30, 37)[:, 0].transpose(1, 2, 0).reshape(30, -1)
    padded = np.zeros((30, -(-rows.shape[1] // 4) * 4), np.uint8)
    padded[:, : rows.shape[1]] = rows
    palette = bytes(1024) if bits == 8 else b""
    start = 54 + len(palette)
    height = -30 if flip else 30
    head = struct.pack("<2sIII", b"BM", start + padded.size, 0, start)
    head += struct.pack("<IiiHHIIiiII", 40, 37, height, 1, bits, 0, 0, 0, 0, 0, 0)
    return head + palette + padded.tobytes()


def make_npy(samples: np.ndarray) -> bytes:
    file = io.BytesIO()
    np.save(file, samples)
    return file.getvalue()


def pam(depth: int) -> bytes:
    head = f"P7\nWIDTH 40\nHEIGHT 30\nDEPTH {depth}\nMAXVAL 255\nTUPLTYPE X\nENDHDR\n"
    return head.encode() + make_picture(depth, 1, 30, 40)[:, 0].transpose(1, 2, 0).tobytes()


PPM = make_ppm(make_picture(3, 1, 50, 60))
DRAWN = np.tile(np.random.default_rng(1).integers(0, 256, (1, 1, 20, 20)), (1, 1, 9, 9))
DITHERED = make_picture(1, 1, 300, 801)[0, 0] > 20 + np.random.default_rng(5).integers(
    0, 220, (300, 801)
)
COLOURS = np.random.default_rng(2).integers(0, 256, (90, 3)).astype(np.uint8)
BY_BRIGHTNESS = np.argsort(COLOURS.astype(int) @ [3, 6, 1])
PLACES = BY_BRIGHTNESS[make_picture(1, 1, 100, 120) // 3]


@pytest.fixture(scope="session")
def picture() -> Callable[..., np.ndarray]:
    return make_picture


@pytest.fixture(scope="session")
def png() -> Callable[..., bytes]:
    return make_png


@pytest.fixture(scope="session")
def ppm() -> Callable[[np.ndarray], bytes]:
    return make_ppm


@pytest.fixture(scope="session")
def npy() -> Callable[[np.ndarray], bytes]:
    return make_npy


@pytest.fixture(scope="session")
def coded() -> Callable[..., tuple[list[Block], list[str]]]:
    """Encodes: a content and settings give the blocks and the warnings."""

    def encode(data: bytes, **settings: str) -> tuple[list[Block], list[str]]:
        said: list[str] = []
        params = FSAR.settle(resolve_params(FSAR, settings, None), data, True)
        blocks = list(FSAR.encode([data], params, Context(warn=said.append)))
        return blocks, said

    return encode


@pytest.fixture(scope="session")
def files() -> Mapping[str, bytes]:
    """One file of each kind, by names that say which."""
    return {
        "ppm": PPM,
        "pgm": b"P5\n#\n60\n50 255\n" + make_picture(1, 1, 50, 60).tobytes() + b"\n",
        "pgm 16": b"P5 60 50 4095\n" + make_picture(1, 1, 50, 60, 12).astype(">u2").tobytes(),
        "pbm": b"P4 61 50\n" + np.packbits(make_picture(1, 1, 50, 61, 1)[0, 0], axis=1).tobytes(),
        "pbm, larger in samples than in bytes": b"P4\n# more\n801 300\n"
        + np.packbits(DITHERED, axis=1).tobytes(),
        "pam 2": pam(2),
        "pam 4": pam(4),
        "two ppm": 2 * PPM,
        "bmp 8": bmp(8),
        "bmp 24": bmp(24),
        "bmp 32 flipped": bmp(32, flip=True),
        "npy HW": make_npy(make_picture(1, 1, 50, 60)[0, 0]),
        "npy HWC": make_npy(make_picture(3, 1, 50, 60)[:, 0].transpose(1, 2, 0)),
        "npy NHWC": make_npy(make_picture(3, 9, 28, 30).transpose(1, 2, 3, 0)),
        "npy NCHW": make_npy(make_picture(3, 9, 28, 30).swapaxes(0, 1)),
        "npy NHW, 16 bits": make_npy(make_picture(1, 9, 28, 30, 16)[0]),
        "npy of floats": make_npy(np.arange(500.0)),
        "png grey": make_png(make_picture(1, 1, 50, 60), GREY),
        "png grey 1": make_png(make_picture(1, 1, 99, 93, 1), GREY, 1),
        "png grey 4": make_png(make_picture(1, 1, 50, 61, 4), GREY, 4),
        "png grey 16": make_png(make_picture(1, 1, 50, 60, 16), GREY, 16),
        "png grey alpha": make_png(make_picture(2, 1, 50, 60), GREY_ALPHA),
        "png rgb": make_png(make_picture(3, 1, 50, 60), RGB),
        "png rgb 16": make_png(make_picture(3, 1, 50, 60, 16), RGB, 16),
        "png rgba": make_png(make_picture(4, 1, 50, 60), RGBA),
        "png palette": make_png(PLACES.astype(np.uint8), PALETTE, palette=COLOURS.tobytes()),
        "png grey 4, larger in samples than in bytes": make_png(
            make_picture(1, 1, 300, 301, 4), GREY, 4
        ),
        "png drawn": make_png(DRAWN.astype(np.uint8), GREY),
        "png foreign": make_png(make_picture(3, 1, 50, 60), RGB, foreign=True),
        "text": b"a text that is no picture at all, " * 30,
    }
