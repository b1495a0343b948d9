"""Pictures of all shapes and depths come back; sizes stay near what earlier versions made."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nncomp.codecs.image.coding import decode_picture, encode_picture
from nncomp.codecs.image.fit import Effort, fit
from nncomp.codecs.image.known import known_classes
from nncomp.codecs.image.layout import Layout
from nncomp.codecs.image.plates import Shape, join_plates, make_plates
from nncomp.coding.varint import Text
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Callable

QUICK = Effort(classes=4, log=3, rounds=2, step=2, drop=1)


def shape_of(samples: np.ndarray, depth: int = 8) -> Shape:
    return Shape(*samples.shape, depth)


def check(samples: np.ndarray, depth: int = 8, effort: Effort = QUICK, order: int = 2) -> int:
    """Size of a picture that comes back."""
    shape = shape_of(samples, depth)
    data = encode_picture(samples, shape, effort, order)
    decoded = decode_picture(memoryview(data), shape)
    assert decoded.dtype == samples.dtype
    assert np.array_equal(decoded, samples)
    return len(data)


@pytest.mark.parametrize("size", [(1, 1), (1, 50), (50, 1), (17, 31), (2, 3), (64, 8), (9, 65)])
@pytest.mark.parametrize("planes", [1, 2, 3, 4])
def test_any_size(size: tuple[int, int], planes: int, picture: Callable[..., np.ndarray]) -> None:
    check(picture(planes, 1, *size))


@pytest.mark.parametrize("depth", [1, 2, 4, 8, 16])
@pytest.mark.parametrize("planes", [1, 3])
def test_any_depth(depth: int, planes: int, picture: Callable[..., np.ndarray]) -> None:
    samples = picture(planes, 1, 40, 50, depth)
    assert check(samples, depth) < samples.size * depth / 8


@pytest.mark.parametrize("depth", [1, 4, 8, 16])
@pytest.mark.parametrize("planes", [1, 4])
def test_noise_and_extremes(depth: int, planes: int) -> None:
    random = np.random.default_rng(depth)
    samples = random.integers(0, 1 << depth, (planes, 1, 30, 20))
    kind = np.uint16 if depth > 8 else np.uint8
    check(samples.astype(kind), depth)
    ends = random.integers(0, 2, samples.shape) * ((1 << depth) - 1)
    check(ends.astype(kind), depth)
    check(np.zeros(samples.shape, kind), depth)


@pytest.mark.parametrize("order", [0, 1, 2])
@pytest.mark.parametrize("log", [2, 3, 4, 6])
def test_any_places(order: int, log: int, picture: Callable[..., np.ndarray]) -> None:
    check(picture(3, 1, 70, 90), effort=Effort(9, log, 2, 1, 0), order=order)


def test_frames_are_apart(picture: Callable[..., np.ndarray]) -> None:
    """The first frame has the same size whatever follows it, but for shared tables."""
    samples = picture(3, 20, 12, 10)
    alone = check(samples[:, :1])
    assert check(samples) < 20 * alone
    samples[:, 1::2] = 255 - samples[:, 1::2]  # what stands above frames must not matter
    check(samples)


def test_shipped_classes_are_a_good_beginning(picture: Callable[..., np.ndarray]) -> None:
    """For few rounds; more classes than are shipped begin as ever."""
    samples = picture(3, 1, 130, 180)
    shape = shape_of(samples)
    values, known = make_plates(samples, shape), known_classes(3)
    for classes in (8, 16, 32, 40):
        effort = Effort(classes, 3, 1, 1, 0)
        fitted = fit(values, shape, effort, start=known)
        assert len(fitted.models[0].floor) - 1 <= classes
        same = np.array_equal(fitted.models[0].places, fit(values, shape, effort).models[0].places)
        assert same == (classes == 40)
        check(samples, effort=effort)


def test_shipped_classes(picture: Callable[..., np.ndarray]) -> None:
    effort = Effort(1, 3, 1, 4, 1, known=True)
    assert check(picture(3, 1, 300, 90), effort=effort) < 3 * 300 * 90 // 2
    assert check(picture(1, 1, 300, 300), effort=effort) < 300 * 300 // 2
    check(picture(2, 1, 30, 30), effort=effort)  # there are none for two planes


def test_more_effort_is_smaller(picture: Callable[..., np.ndarray]) -> None:
    samples = picture(3, 1, 120, 160)
    samples[:, :, :60] //= 3
    little = check(samples, effort=Effort(1, 6, 1, 4, 0))
    assert check(samples, effort=Effort(8, 3, 4, 1, 0)) < little


def test_margins(picture: Callable[..., np.ndarray]) -> None:
    samples = picture(2, 3, 5, 7)
    shape = shape_of(samples)
    plates = make_plates(samples, shape)
    assert np.array_equal(join_plates(plates, shape), samples)
    first = plates.reshape(2, 3, -1, shape.stride)[1, 2]
    assert not first[:3].any()
    assert (first[4, :3] == first[3, 3]).all()
    assert (first[4, -3:] == first[4, -4]).all()
    assert np.array_equal(first[8], first[7])


def test_damage_is_noticed_or_gives_a_picture(picture: Callable[..., np.ndarray]) -> None:
    samples = picture(3, 1, 20, 24)
    shape = shape_of(samples)
    for effort in (QUICK, Effort(1, 3, 1, 1, 0, known=True)):
        data = encode_picture(samples, shape, effort, 2)
        random = np.random.default_rng(5)
        for size in [*range(0, len(data), 7), len(data) - 1]:
            with pytest.raises(CorruptError):
                decode_picture(memoryview(data[:size]), shape)
        with pytest.raises(CorruptError):
            decode_picture(memoryview(data + b"\0\0"), shape)
        wrong = 0
        for bit in random.permutation(8 * len(data))[:400]:
            flipped = bytearray(data)
            flipped[bit // 8] ^= 1 << bit % 8
            try:
                decoded = decode_picture(memoryview(flipped), shape)
            except CorruptError:
                continue
            assert decoded.shape == samples.shape
            wrong += not np.array_equal(decoded, samples)
        assert wrong < 80  # the container's checksums notice these


@pytest.mark.parametrize("planar", [False, True])
@pytest.mark.parametrize("big", [False, True])
@pytest.mark.parametrize("depth", [8, 16])
def test_layouts(planar: bool, big: bool, depth: int, picture: Callable[..., np.ndarray]) -> None:
    samples = picture(4, 3, 6, 5, depth)
    layout = Layout.plain(shape_of(samples, depth), planar=planar, big=big, align=4)
    layout = layout._replace(bottom_up=big)
    content = layout.write(samples)
    assert len(content) == layout.size
    read = layout.read(content)
    assert read is not None
    assert np.array_equal(read, samples)
    assert Layout.unpack(Text(layout.pack(), 0), layout.size) == layout
    with pytest.raises(CorruptError):
        Layout.unpack(Text(layout.pack(), 0), layout.size - 1)
    if layout.row % 4 == 0 and content.reshape(-1, layout.row)[0, -1] == 0 and planar:
        content[layout.row - 1] = 1
        assert layout.read(content) is None


@pytest.mark.parametrize(
    "packed",
    [
        bytes([0, 8, 0, 1, 1, 1, 0]),
        bytes([5, 8, 0, 0, 1, 2, 3, 1, 1, 1, 0]),
        bytes([2, 8, 0, 0, 0, 1, 4, 4, 0]),
        bytes([1, 3, 0, 0, 1, 4, 4, 0]),
        bytes([1, 17, 0, 0, 1, 4, 4, 0]),
        bytes([1, 8, 8, 0, 1, 4, 4, 0]),
        bytes([1, 8, 0, 0, 0, 4, 4, 0]),
        bytes([1, 8, 0, 0]) + b"\xff\xff\x7f" * 3 + b"\0",
    ],
)
def test_layouts_that_there_are_not(packed: bytes) -> None:
    with pytest.raises(CorruptError):
        Layout.unpack(Text(packed, 0), 1 << 20)
