"""PNG files are coded as their pixels, wherever they are, and come back byte by byte."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress

import numpy as np
import pytest

from nncomp.codecs.base import Block, Context, resolve_params
from nncomp.codecs.mix.layout import FILES as FILES_KIND
from nncomp.codecs.mix.mix import MIX
from nncomp.codecs.mix.payload import decode_payload, encode_payload
from nncomp.coding.deflate.encoder import deflate
from nncomp.coding.deflate.settings import Settings
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.coding.png.filters import filter_lines, least_types
from nncomp.coding.varint import pack_varint
from nncomp.errors import CorruptError

RANDOM = np.random.default_rng(6)
TABLE, CONTEXTS, MOST = 14, 24, 1 << 16
GREY, RGB, PALETTE, GREY_ALPHA, RGBA = 0, 2, 3, 4, 6


def png(colour: int, channels: int, depth: int = 8, width: int = 60, height: int = 50) -> bytes:
    """A smooth picture with a little noise, and the same opacity everywhere."""
    y, x = np.mgrid[:height, :width]
    top = (1 << depth) - 1
    planes = [np.sin(x / 17 + k) + np.cos(y / 9) for k in range(channels)]
    noise = RANDOM.normal(0, 0.02, (height, width, channels))
    samples = ((np.stack(planes, -1) + noise) * top / 6 + top / 2).clip(0, top).astype(np.int64)
    if colour in (GREY_ALPHA, RGBA):
        samples[:, :, -1] = top
    pixels = samples.astype(">u2" if depth == 16 else np.uint8).view(np.uint8)
    pixels = pixels.reshape(height, -1)
    step = channels * depth // 8
    lines = filter_lines(pixels, least_types(pixels, step), step).ravel()
    stream = b"\x78\xda" + deflate(lines, Settings(9)) + struct.pack(">I", zlib.adler32(lines.data))
    header = struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, 0)
    chunks = ((b"IHDR", header), (b"tEXt", b"a note"), (b"IDAT", stream), (b"IEND", b""))
    return SIGNATURE + b"".join(pack_chunk(*chunk) for chunk in chunks)


FILES = {
    "grey": png(GREY, 1),
    "rgb": png(RGB, 3),
    "grey alpha": png(GREY_ALPHA, 2),
    "rgba": png(RGBA, 4),
    "grey 16": png(GREY, 1, 16),
    "rgb 16": png(RGB, 3, 16, 40, 30),
    "rgba 16": png(RGBA, 4, 16, 40, 30),
    "palette": png(PALETTE, 1),
    "wide": png(GREY, 1, width=66_000 // 2, height=1),
    "rest": png(RGB, 3) + b"something else",
}
RGB_FILE = FILES["rgb"]
SECOND_FILE = png(RGB, 3, width=64)
NOTE = b"Something is written here, and then it is written here again. " * 9
BLOCKS = {
    "before": NOTE + RGB_FILE,
    "behind": RGB_FILE + NOTE,
    "two": RGB_FILE + SECOND_FILE,
    "all around": NOTE + RGB_FILE + NOTE + SECOND_FILE + NOTE + RGB_FILE + b".",
    "not all of one": RGB_FILE[:-300] + NOTE + SECOND_FILE,
    "small ones": NOTE + FILES["palette"] + NOTE * 9 + RGB_FILE,
    "noise around": RANDOM.bytes(900) + RGB_FILE + RANDOM.bytes(50),
}


def encode(file: bytes, most: int = MOST) -> bytes:
    payload = encode_payload(file, TABLE, CONTEXTS, most)
    assert payload is not None
    return payload


def decode(payload: bytes, size: int, most: int = MOST) -> bytes:
    return bytes(decode_payload(memoryview(payload), size, TABLE, CONTEXTS, most))


@pytest.mark.parametrize("name", FILES)
def test_files_come_back(name: str) -> None:
    file = FILES[name]
    payload = encode(file)
    assert payload[0] == FILES_KIND
    assert decode(payload, len(file)) == file


@pytest.mark.parametrize("name", BLOCKS)
def test_files_among_others_come_back(name: str) -> None:
    block = BLOCKS[name]
    payload = encode(block)
    assert payload[0] == FILES_KIND
    assert decode(payload, len(block)) == block


def test_many_signatures() -> None:
    block = SIGNATURE * 500 + RGB_FILE
    assert decode(encode(block), len(block)) == block


@pytest.mark.parametrize(
    ("name", "share"), [("rgb", 0.75), ("rgba", 0.75), ("grey", 0.8), ("grey 16", 0.9)]
)
def test_files_get_small(name: str, share: float) -> None:
    assert len(encode(FILES[name])) < share * len(FILES[name])


def test_no_more_content_than_allowed() -> None:
    lines = 50 * (3 * 60 + 1)
    assert encode(RGB_FILE, lines)[0] == FILES_KIND
    left = encode_payload(RGB_FILE, TABLE, CONTEXTS, lines - 1)
    assert left is None or left[0] != FILES_KIND
    with pytest.raises(CorruptError, match="larger than they can be"):
        decode(encode(RGB_FILE), len(RGB_FILE), 50 * 3 * 60 - 1)


def test_noise_is_left() -> None:
    noise = RANDOM.bytes(50 * 61)
    header = struct.pack(">IIBBBBB", 60, 50, 8, GREY, 0, 0, 0)
    lines = np.frombuffer(noise, np.uint8).reshape(50, 61).copy()
    lines[:, 0] = 0
    stream = b"\x78\xda" + deflate(lines.ravel(), Settings(9))
    stream += struct.pack(">I", zlib.adler32(lines.data))
    file = SIGNATURE + pack_chunk(b"IHDR", header) + pack_chunk(b"IDAT", stream)
    payload = encode_payload(file, TABLE, CONTEXTS, MOST)
    assert payload is None or decode(payload, len(file)) == file


def test_the_codec_makes_room_for_the_pixels() -> None:
    file = png(RGB, 3, width=300, height=200)
    assert len(file) < 180_000
    params = MIX.settle(resolve_params(MIX, {}, None), file, True)
    assert params["block"] == 200 * 901
    (block,) = MIX.encode([file], params, Context())
    assert block.payload is not None
    assert block.payload[0] == FILES_KIND
    assert MIX.memory(params) >= 8 * 200 * 901
    assert b"".join(MIX.decode([Block(len(file), block.payload)], params, Context())) == file


@pytest.mark.parametrize("block", [RGB_FILE, BLOCKS["all around"][:12_000]])
def test_damage_is_noticed_or_changes_the_block(block: bytes) -> None:
    payload, size = encode(block), len(block)
    harmless = 0
    for at in [*range(90), *range(90, len(payload), 211)]:
        damaged = bytearray(payload)
        damaged[at] ^= 1 << at % 8
        with suppress(CorruptError):
            result = decode(bytes(damaged), size)
            assert len(result) == size
            harmless += result == block
    assert harmless <= 3  # in the last bytes of payloads
    for wrong in (payload[:1], payload[:5], payload[:60], payload + bytes(8)):
        with pytest.raises(CorruptError):
            decode(wrong, size)


def hostile(*numbers: int) -> bytes:
    return bytes([FILES_KIND]) + b"".join(pack_varint(number) for number in numbers) + bytes(20)


def test_hostile_sizes() -> None:
    size, huge = 10_000, 1 << 40
    for payload, message in (
        (hostile(0), "0 files"),
        (hostile(huge), "files"),
        (hostile(3, 0, 1, 1, 0, 1, 1, 0, 1, 1), "3 files"),
        (hostile(1, huge, 1, 1, 0), "larger than their block"),
        (hostile(1, 0, huge, 1, 0), "larger than their block"),
        (hostile(1, 0, 1, huge, 0), "another size than told"),
        (hostile(1, size - 1, 1, 1, 0), "another size than told"),
        (hostile(1, 0, size, 20, 0), "the coded data"),
    ):
        with pytest.raises(CorruptError, match=message):
            decode(payload, size)
    for sizes in ((huge, 1, 1), (1, huge, 1), (1, 1, huge), (0, 0, 0), (1, 0, 0)):
        file = b"".join(pack_varint(number) for number in sizes) + bytes(20)
        payload = hostile(1, 0, size, len(file), 0)[:-20] + file
        with pytest.raises(CorruptError):
            decode(payload, size)
