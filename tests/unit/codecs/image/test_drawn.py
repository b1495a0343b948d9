"""Drawn pictures come back, are smaller than by what is for photographs, and bear damage."""

from __future__ import annotations

import numpy as np
import pytest
import zstandard
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.extra.numpy import arrays

import nncomp
from nncomp.codecs.image import coding, drawn
from nncomp.codecs.image.around import CONTEXTS_MAX
from nncomp.codecs.image.coding import decode_picture, encode_picture
from nncomp.codecs.image.drawn import decode_drawn, encode_drawn, is_drawable
from nncomp.codecs.image.fit import Effort
from nncomp.codecs.image.fsar import FSAR
from nncomp.codecs.image.plates import Shape, inner
from nncomp.codecs.image.sketch import LINES_MAX, sketch
from nncomp.errors import CorruptError

EFFORT = Effort(classes=4, log=3, rounds=1, step=2, drop=1, contexts=8)


def drawing(planes: int, frames: int, height: int, width: int, depth: int = 8) -> np.ndarray:
    """Signs in rows on a ground, and some lines: uint8[planes, frames, height, width]."""
    random = np.random.default_rng(planes * 1000 + height + width)
    signs = random.random((9, 7, 5)) < 0.4
    colours = random.integers(0, 1 << depth, (4, planes))
    which = np.zeros((frames, height, width), np.int64)
    for frame in which:
        for top in range(2, height - 7, 10):
            for left in range(1, width - 5, 6):
                frame[top : top + 7, left : left + 5] = signs[random.integers(9)]
        frame[:, random.integers(width)] = 2
        frame[random.integers(height)] = 3
    return np.moveaxis(colours[which], -1, 0).astype(np.uint8)


def check(samples: np.ndarray, depth: int = 8, contexts: int = 8) -> int:
    """Size of a picture that comes back."""
    shape = Shape(*samples.shape, depth)
    data = encode_drawn(samples, shape, contexts)
    assert data is not None
    decoded = decode_drawn(memoryview(data), shape)
    assert decoded.dtype == samples.dtype
    assert np.array_equal(decoded, samples)
    return len(data)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (17, 31), (2, 3), (64, 8), (9, 65)])
@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_any_size(size: tuple[int, int], planes: int) -> None:
    check(drawing(planes, 1, *size))


@pytest.mark.parametrize("depth", [1, 2, 4, 8])
@pytest.mark.parametrize("planes", [1, 3])
def test_any_depth(depth: int, planes: int) -> None:
    samples = drawing(planes, 1, 60, 80, depth)
    assert check(samples, depth) < 0.7 * samples.size * depth / 8


def test_deep_samples_are_not_for_it() -> None:
    assert not is_drawable(Shape(1, 1, 9, 9, 16))
    with pytest.raises(CorruptError, match="more than 8 bits"):
        decode_picture(memoryview(bytes([0, 0, 32, 8, 12, 8, 0])), Shape(1, 1, 9, 9, 16))


@pytest.mark.parametrize("contexts", range(1, CONTEXTS_MAX + 1))
def test_any_number_of_contexts(contexts: int) -> None:
    check(drawing(3, 1, 40, 50), contexts=contexts)


def test_frames_share_what_is_learned() -> None:
    samples = drawing(1, 9, 28, 30)
    alone = sum(check(samples[:, k : k + 1]) for k in range(9))
    assert check(samples) < 0.8 * alone
    # The same frame again costs next to nothing.
    assert check(samples[:, [0] * 9], contexts=12) < 1.5 * check(samples[:, :1], contexts=12)


def test_noise_is_larger_and_given_up() -> None:
    noise = np.random.default_rng(5).integers(0, 256, (3, 1, 40, 50)).astype(np.uint8)
    assert encode_drawn(noise, Shape(3, 1, 40, 50, 8), 8) is None


def test_one_colour_is_next_to_nothing() -> None:
    assert check(np.full((4, 1, 200, 300), 77, np.uint8)) < 60


def test_smaller_than_what_is_for_photographs_and_bytes() -> None:
    samples = drawing(3, 1, 150, 170)
    shape = Shape(*samples.shape, 8)
    photographed = encode_picture(samples, shape, EFFORT, 2)
    data = encode_picture(samples, shape, EFFORT, 2, drawn=True)
    assert np.array_equal(decode_picture(memoryview(data), shape), samples)
    assert data[:3] == bytes([0, 0, 32])
    rows = np.ascontiguousarray(samples[:, 0].transpose(1, 2, 0)).tobytes()
    bytewise = len(zstandard.ZstdCompressor(19).compress(rows))
    assert len(data) < 0.7 * min(len(photographed), bytewise)


def test_what_is_worse_as_a_photograph_than_as_bytes_is_tried() -> None:
    """Few shades without any order: there is nothing smooth in it."""
    random = np.random.default_rng(8)
    shades = np.arange(0, 256, 23, dtype=np.uint8)
    noise = shades[random.integers(0, len(shades), (1, 1, 150, 150))]
    shape = Shape(*noise.shape, 8)
    quick = len(zstandard.ZstdCompressor(1).compress(noise.tobytes()))
    assert 0.35 * noise.size < quick
    photographed = encode_picture(noise, shape, EFFORT, 2)
    data = encode_picture(noise, shape, EFFORT, 2, quick=quick)
    assert data[:3] == bytes([0, 0, 32]) != photographed[:3]
    assert max(len(data), quick) < len(photographed)
    assert np.array_equal(decode_picture(memoryview(data), shape), noise)


def test_photographs_that_seem_drawn_are_coded_as_photographs() -> None:
    y, x = np.mgrid[:120, :140]
    noise = np.random.default_rng(7).normal(0, 2, (1, 1, 120, 140))
    smooth = (128 + 100 * np.sin(x / 30 + y / 50) + noise).astype(np.uint8)
    shape = Shape(*smooth.shape, 8)
    data = encode_picture(smooth, shape, EFFORT, 2, drawn=True)
    assert len(data) == len(encode_picture(smooth, shape, EFFORT, 2)) < check(smooth)


def test_photographs_cost_no_time_here(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*_: object) -> None:
        pytest.fail("tried in vain")

    monkeypatch.setattr(coding, "encode_drawn", fail)
    random = np.random.default_rng(6)
    photo = (np.cumsum(random.normal(0, 3, (300, 300, 3)), 1) + 128).clip(0, 255).astype(np.uint8)
    data = b"P6 300 300 255\n" + photo.tobytes()
    assert nncomp.decompress(nncomp.compress(data, "fsar")) == data
    smooth = (np.cumsum(random.normal(0, 2, (300, 300, 1)), 1) + 128).clip(0, 255)
    # Grey in three colours shrinks as drawings do.
    grey = b"P6 300 300 255\n" + smooth.repeat(3, axis=2).astype(np.uint8).tobytes()
    assert nncomp.decompress(nncomp.compress(grey, "fsar")) == grey
    drawn = b"P6 90 70 255\n" + drawing(3, 1, 70, 90)[:, 0].transpose(1, 2, 0).tobytes()
    assert nncomp.decompress(nncomp.compress(drawn, "fsar:contexts=0")) == drawn


@pytest.mark.parametrize("level", range(2, 10))  # 1 does without
def test_levels(level: int) -> None:
    data = b"P6 170 150 255\n" + drawing(3, 1, 150, 170)[:, 0].transpose(1, 2, 0).tobytes()
    archive = nncomp.compress(data, "fsar", level=level)
    assert nncomp.decompress(archive) == data
    assert len(archive) < len(data) / 20


shapes = st.tuples(*(st.integers(1, most) for most in (4, 3, 9, 9)))


@given(arrays(np.uint8, shapes, elements=st.sampled_from([0, 1, 128, 255])))
@settings(max_examples=60, deadline=None)
def test_anything_comes_back(samples: np.ndarray) -> None:
    shape = Shape(*samples.shape, 8)
    data = encode_drawn(samples, shape, 8)
    if data is not None:
        assert np.array_equal(decode_drawn(memoryview(data), shape), samples)


@pytest.mark.parametrize(("planes", "frames"), [(1, 5), (3, 1), (4, 1)])
def test_damage(planes: int, frames: int) -> None:
    samples = drawing(planes, frames, 40, 50)
    shape = Shape(*samples.shape, 8)
    data = encode_drawn(samples, shape, 8)
    assert data is not None
    cuts = range(0, len(data) - 2, 3)
    assert sum(decodes(data[:size], shape) for size in cuts) < len(cuts) / 10
    with pytest.raises(CorruptError, match="take another copy"):
        decode_drawn(memoryview(data + bytes(5)), shape)
    for bit in range(0, 8 * len(data), 7):
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        decodes(bytes(flipped), shape)


def decodes(data: bytes, shape: Shape) -> bool:
    """Whether damaged bytes give a picture; that it is another one a checksum tells."""
    try:
        decoded = decode_drawn(memoryview(data), shape)
    except CorruptError:
        return False
    assert decoded.shape == shape[:4]
    return True


def test_a_long_row_ends_with_its_bytes() -> None:
    """Else few bytes that claim a wide picture would take minutes."""
    samples = np.random.default_rng(9).integers(0, 9, (3, 1, 4, 5000)).astype(np.uint8)
    shape = Shape(*samples.shape, 8)
    data = encode_drawn(samples, shape, 8)
    assert data is not None
    untouched = np.zeros(shape.plate, np.uint32)
    row = inner(untouched, shape._replace(planes=1))[0, 0, 0]
    row[:] = 0xFFFFFF77
    coded = np.frombuffer(data[5:65], np.uint8).copy()
    drawn._code(untouched, shape, sketch(data[1], data[0]), np.full(3, 4), coded, True)
    assert 10 < np.count_nonzero(row != 0xFFFFFF77) < 500


def test_samples_have_no_more_bits_than_their_depth() -> None:
    data = encode_drawn(drawing(1, 1, 30, 40), Shape(1, 1, 30, 40, 8), 8)
    assert data is not None
    with pytest.raises(CorruptError, match="bits that there are not"):
        decode_drawn(memoryview(data), Shape(1, 1, 30, 40, 4))


def test_memory_is_bounded() -> None:
    """What learns is within the fixed part of what the codec asks for."""

    def size(part: object) -> int:
        if isinstance(part, np.ndarray):
            return part.nbytes
        return sum(map(size, part)) if isinstance(part, tuple) else 0

    block = 64 << 10
    assert size(sketch(LINES_MAX, CONTEXTS_MAX)) < 80 << 20
    assert FSAR.memory({"block": block}) > 20 * block + (80 << 20)


def test_photographs_are_tried_where_that_is_asked_for(monkeypatch: pytest.MonkeyPatch) -> None:
    tried = []

    def note(samples: np.ndarray, shape: Shape, contexts: int) -> bytes | None:
        tried.append(contexts)
        return encode_drawn(samples, shape, contexts)

    monkeypatch.setattr(coding, "encode_drawn", note)
    noise = np.random.default_rng(8).normal(0, 3, (90, 100, 3))
    slope = 40 + np.add.outer(np.arange(90), np.arange(100))[..., None]
    data = b"P6 100 90 255\n" + (slope + noise).astype(np.uint8).tobytes()
    for learn in ("drawn", "all"):
        archive = nncomp.compress(data, f"fsar:learn={learn},contexts=3")
        assert nncomp.decompress(archive) == data
    assert tried == [3]
