"""PNG files come back byte by byte; what cannot is left alone; damage is refused."""

from __future__ import annotations

import struct
import zlib
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from nncomp.coding.deflate.encoder import deflate
from nncomp.coding.deflate.settings import FILTERED, Settings
from nncomp.coding.png.chunks import CHUNKS_MAX, SIGNATURE, lines_size, pack_chunk
from nncomp.coding.png.filters import FILTERS, filter_lines, least_types, unfilter_lines
from nncomp.coding.png.parts import put_together, take_apart
from nncomp.errors import CorruptError

DATA = Path(__file__).parents[4] / "../shared/data/image"
RANDOM = np.random.default_rng(8)
MOST = 1 << 20
SIZES = 9  # where sizes stand in a recipe, behind flags, plan of 6 bytes and header
USUAL = Settings(6, FILTERED)
GREY, RGB, PALETTE, RGBA = 0, 2, 3, 6


def header(
    width: int, height: int, depth: int = 8, colour: int = RGB, interlaced: int = 0
) -> bytes:
    return struct.pack(">IIBBBBB", width, height, depth, colour, 0, 0, interlaced)


def picture(width: int, height: int, channels: int = 3) -> np.ndarray:
    """Smooth, with a little noise, uint8[height, width * channels]."""
    y, x = np.mgrid[:height, : width * channels]
    smooth = 90 + 60 * np.sin(x / 40) + 50 * np.cos(y / 9 + x % channels)
    return (smooth + RANDOM.normal(0, 2, smooth.shape)).astype(np.uint8)


def png(
    ihdr: bytes,
    lines: bytes,
    *,
    settings: Settings = USUAL,
    piece: int = 8192,
    before: bytes = b"",
    behind: bytes = b"",
    rest: bytes = b"",
) -> bytes:
    stream = b"\x78\x9c" + deflate(np.frombuffer(lines, np.uint8), settings)
    stream += struct.pack(">I", zlib.adler32(lines))
    data = [pack_chunk(b"IDAT", stream[k : k + piece]) for k in range(0, len(stream), piece)]
    end = pack_chunk(b"IEND", b"")
    start = SIGNATURE + pack_chunk(b"IHDR", ihdr)
    return start + before + b"".join(data) + behind + end + rest


def lines_of(pixels: np.ndarray, types: np.ndarray | int, step: int) -> bytes:
    types = np.broadcast_to(np.uint8(types), len(pixels)).copy()
    return filter_lines(pixels, types, step).tobytes()


PIXELS = picture(70, 50)
LEAST = lines_of(PIXELS, least_types(PIXELS, 3), 3)
NOTE = pack_chunk(b"tEXt", b"source\0here")
FILES = {
    "least": png(header(70, 50), LEAST),
    "all the same": png(header(70, 50), lines_of(PIXELS, 4, 3)),
    "any types": png(header(70, 50), lines_of(PIXELS, RANDOM.integers(0, 5, 50), 3)),
    "odd pieces": png(header(70, 50), LEAST, piece=101),
    "one byte each": png(header(70, 50), LEAST, piece=1),
    "chunks": png(header(70, 50), LEAST, before=NOTE + NOTE, behind=NOTE),
    "something behind": png(header(70, 50), LEAST, rest=b"\0" * 70),
    "pngcrush": png(header(70, 50), LEAST, settings=Settings(9, far=32767)),
    "grey": png(header(60, 40, colour=GREY), lines_of(picture(60, 40, 1), 2, 1)),
    "16 bits": png(header(60, 40, 16, GREY), lines_of(picture(60, 40, 2), 1, 2)),
    "rgba": png(header(24, 30, colour=RGBA), lines_of(picture(24, 30, 4), 4, 4)),
    "bits": png(header(70, 30, 1, GREY), lines_of(picture(9, 30, 1), 0, 1)),
    "palette": png(header(70, 30, 4, PALETTE), lines_of(picture(35, 30, 1), 0, 1)),
    "interlaced": png(header(70, 50, interlaced=1), RANDOM.bytes(3000)),
    "more lines": png(header(70, 49), LEAST),
    "strange types": png(header(70, 50), bytes([7]) + LEAST[1:]),
}


@pytest.mark.parametrize("name", FILES)
def test_round_trip(name: str) -> None:
    file = FILES[name]
    parts = take_apart(memoryview(file), MOST)
    assert parts is not None
    assert parts.size == len(file) - (70 if name == "something behind" else 0)
    assert put_together(parts.content, parts.recipe, parts.size) == file[: parts.size]
    as_lines = name in ("interlaced", "more lines", "strange types")
    assert (parts.header is None) == as_lines


def test_streams_of_other_encoders() -> None:
    encoder = zlib.compressobj(9, zlib.DEFLATED, 15)
    stream = encoder.compress(LEAST[:900]) + encoder.flush(zlib.Z_FULL_FLUSH)
    stream += encoder.compress(LEAST[900:]) + encoder.flush()
    start = SIGNATURE + pack_chunk(b"IHDR", header(70, 50))
    file = start + pack_chunk(b"IDAT", stream) + pack_chunk(b"IEND", b"")
    parts = take_apart(memoryview(file), MOST)
    assert parts is not None
    assert put_together(parts.content, parts.recipe, len(file)) == file


def test_types_that_are_foreseen_take_nothing() -> None:
    parts = take_apart(memoryview(FILES["least"]), MOST)
    assert parts is not None
    assert parts.recipe.endswith(bytes(50))
    assert np.array_equal(parts.content.reshape(PIXELS.shape), PIXELS)


def wrong(file: bytes, at: int) -> bytes:
    return file[:at] + bytes([file[at] ^ 1]) + file[at + 1 :]


def test_left_as_it_is() -> None:
    file = FILES["least"]
    encoder = zlib.compressobj(9, zlib.DEFLATED, 15)
    stream = encoder.compress(LEAST) + encoder.flush()
    data, end = pack_chunk(b"IDAT", stream), pack_chunk(b"IEND", b"")
    other_sum = pack_chunk(b"IDAT", stream[:-1] + b"?")
    for other in (
        b"",
        SIGNATURE,
        b"no picture at all",
        file[: len(file) // 2],
        wrong(file, 20),
        wrong(file, len(file) // 2),
        SIGNATURE + pack_chunk(b"IDAT", b"short") + end,
        SIGNATURE + pack_chunk(b"IHDR", header(70, 50)) + other_sum + end,
        SIGNATURE + pack_chunk(b"IHDR", header(70, 50)) + NOTE * (CHUNKS_MAX + 1) + data + end,
    ):
        assert take_apart(memoryview(other), MOST) is None


def test_no_larger_than_allowed() -> None:
    assert take_apart(memoryview(FILES["least"]), len(LEAST)) is not None
    assert take_apart(memoryview(FILES["least"]), len(LEAST) - 1) is None


def test_size_of_lines() -> None:
    assert lines_size(memoryview(FILES["least"])) == len(LEAST)
    assert lines_size(memoryview(FILES["palette"])[:40]) == 30 * 36
    assert lines_size(memoryview(FILES["interlaced"])) == 0
    assert lines_size(memoryview(b"something else")) == 0
    assert lines_size(memoryview(SIGNATURE + pack_chunk(b"IHDR", b"short"))) == 0


@given(
    height=st.integers(1, 5),
    row=st.integers(1, 9),
    step=st.integers(1, 4),
    seed=st.integers(0, 999),
)
def test_filters(height: int, row: int, step: int, seed: int) -> None:
    random = np.random.default_rng(seed)
    pixels = random.integers(0, 256, (height, row), np.uint8)
    types = random.integers(0, FILTERS, height).astype(np.uint8)
    assert np.array_equal(unfilter_lines(filter_lines(pixels, types, step), step), pixels)


def test_filters_by_hand() -> None:
    pixels = np.array([[10, 20, 30], [12, 25, 250]], np.uint8)
    expected = {
        0: [12, 25, 250],
        1: [12, 13, 225],
        2: [2, 5, 220],
        3: [7, 9, 223],
        4: [2, 5, 220],
    }
    for kind, line in expected.items():
        lines = filter_lines(pixels, np.array([0, kind], np.uint8), 1)
        assert lines[1].tolist() == [kind, *line]


@pytest.mark.parametrize("name", ["kodak/kodim02.png", "kodak/kodim03.png"])
def test_real_files(name: str) -> None:
    if not (DATA / name).exists():
        pytest.skip(f"{DATA / name} is not here")
    file = (DATA / name).read_bytes()
    parts = take_apart(memoryview(file), 1 << 21)
    assert parts is not None
    assert len(parts.recipe) < 600
    assert put_together(parts.content, parts.recipe, len(file)) == file


@profile(deadline=None, max_examples=300)
@given(data=st.data())
def test_damage_is_refused_or_makes_another_file(data: st.DataObject) -> None:
    file = FILES[data.draw(st.sampled_from(["chunks", "any types", "interlaced", "bits"]))]
    parts = take_apart(memoryview(file), MOST)
    assert parts is not None
    recipe = bytearray(parts.recipe)
    for _ in range(data.draw(st.integers(1, 3))):
        recipe[data.draw(st.integers(0, len(recipe) - 1))] = data.draw(st.integers(0, 255))
    end = data.draw(st.integers(len(recipe) - 3, len(recipe)))
    with suppress(CorruptError):
        assert len(put_together(parts.content, bytes(recipe[:end]), len(file))) == len(file)


def test_hostile_recipes() -> None:
    parts = take_apart(memoryview(FILES["least"]), MOST)
    assert parts is not None
    size, content, recipe = len(FILES["least"]), parts.content, parts.recipe
    start, many = recipe[:SIZES], b"\xff\xff\xff\xff\x7f"
    for hostile, message in (
        (b"", "past the end"),
        (start + b"\0\0", "no chunks for its stream"),
        (start + b"\0" + many, "has 34359738367 chunks"),
        (start + b"\1" + many, "has 34359738367 chunks"),
        (start + b"\1\0\0", "no header"),
        (start + b"\1\1" + many, "past the end"),
    ):
        with pytest.raises(CorruptError, match=message):
            put_together(content, hostile, size)
    with pytest.raises(CorruptError, match="not as many"):
        put_together(content[1:], recipe, size)
    with pytest.raises(CorruptError, match="came out"):
        put_together(content, recipe, size + 1)
    lines = lines_of(RANDOM.integers(0, 256, (600, 600), np.uint8), 0, 1)
    parts = take_apart(memoryview(png(header(600, 600, colour=GREY), lines)), MOST)
    assert parts is not None
    tiny = parts.recipe[:SIZES] + b"\1" + parts.recipe[SIZES + 2 :]
    with pytest.raises(CorruptError, match="pieces"):
        put_together(parts.content, tiny, 1 << 30)
