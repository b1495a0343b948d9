"""Unknown bytes: the type of their numbers and where these begin are found by statistics."""

import numpy as np
import pytest

from nncomp.codecs.tensor.arrays import ops
from nncomp.codecs.tensor.layouts import (
    BYTEWISE,
    PLAIN,
    ROTATED,
    ZIGZAG,
    Layout,
    split_planes,
)
from nncomp.codecs.tensor.probe import cost, few_values, find_layout, planes_of, repeating

RANDOM = np.random.default_rng(12)
WEIGHTS = RANDOM.normal(0, 0.02, 16_384)
NUMBERS = {
    "bf16": (WEIGHTS.astype(np.float32).view(np.uint32) >> 16).astype("<u2"),
    "f16": WEIGHTS.astype("<f2"),
    "f32": WEIGHTS.astype("<f4"),
    "f64": WEIGHTS.astype("<f8"),
    "i16": (30_000 * WEIGHTS).astype("<i2"),
    "i32": (30_000 * WEIGHTS).astype("<i4"),
    "i64": (30_000 * WEIGHTS).astype("<i8"),
    "indices": np.arange(16_384, dtype="<u4"),
}
WIDTHS = {"bf16": {2}, "f16": {2}, "f32": {4}, "f64": {8}, "i16": {2}, "i32": {4}, "i64": {8}}


@pytest.mark.parametrize("shift", [0, 1, 2, 3, 5, 7])
@pytest.mark.parametrize("kind", WIDTHS)
def test_numbers_are_found_wherever_they_begin(kind: str, shift: int) -> None:
    data = RANDOM.bytes(shift) + NUMBERS[kind].tobytes()
    layout, start, _ = find_layout(data[: 64 << 10])
    assert layout.width in WIDTHS[kind]
    if layout.family == PLAIN:
        return  # groups of bytes do not mind where they begin
    assert layout.family == (ZIGZAG if kind.startswith("i") else ROTATED)
    assert start == shift % layout.width


@pytest.mark.parametrize(
    "data",
    [
        b"",
        b"x",
        RANDOM.bytes(64 << 10),
        bytes(64 << 10),
        b"It is a truth universally acknowledged. " * 1600,
        RANDOM.integers(100, size=64 << 10, dtype=np.uint8).tobytes(),
    ],
    ids=["empty", "one", "noise", "zeros", "text", "bytes"],
)
def test_what_is_no_numbers_stays_bytes(data: bytes) -> None:
    assert find_layout(data) == (BYTEWISE, 0, False)


@pytest.mark.parametrize("size", range(40))
def test_samples_of_any_length(size: int) -> None:
    layout, start, _ = find_layout(NUMBERS["f32"].tobytes()[:size])
    assert start < layout.width


@pytest.mark.parametrize("kind", [kind for kind in WIDTHS if kind != "f64"])
def test_streams_of_numbers_come_out_as_if_the_type_were_given(zipnn, kind: str) -> None:
    data = NUMBERS[kind].tobytes()
    given = zipnn.round_trip(data, dtype=kind)
    assert zipnn.round_trip(data) < 1.01 * given
    assert zipnn.round_trip(b"#" + data) < 1.01 * given
    assert zipnn.round_trip(b"one line of header\n" + data) < 1.01 * given


def test_the_entropy_is_that_of_the_bytes() -> None:
    dice = RANDOM.choice(4, 50_000, p=[0.5, 0.25, 0.125, 0.125]).astype(np.uint8)
    assert cost([dice]) == pytest.approx(1.75 / 8 * 50_000, rel=0.01)
    assert cost([]) == 0
    assert cost([np.zeros(100, np.uint8)]) == 0
    noise = np.frombuffer(RANDOM.bytes(64 << 10), np.uint8)
    assert cost([noise]) == pytest.approx(64 << 10, rel=0.001)
    assert cost([noise[:100]]) <= 100


def test_planes_are_those_of_the_encoder() -> None:
    sample = NUMBERS["f32"].tobytes()[:4001]
    layout = Layout(ROTATED, 4)
    planes = planes_of(sample, layout, 2)
    elements = np.frombuffer(sample, "<u4", 999, 2).copy()
    expected = split_planes(layout, elements, ops(compiled=False))
    assert np.array_equal(planes, expected)
    assert planes_of(b"abc", layout) == []


def test_matches_are_looked_for_in_each_plane() -> None:
    noise = np.frombuffer(RANDOM.bytes(4000), np.uint8)
    again = np.tile(noise[:400], 10)
    assert repeating([noise, again, noise[:0]]) == (False, True, False)


def test_few_values_are_noticed() -> None:
    layout = Layout(ROTATED, 4)
    many, some = NUMBERS["f32"].tobytes(), RANDOM.choice(NUMBERS["f32"][:200], 16_384).tobytes()
    assert few_values(some, layout)
    assert not few_values(many, layout)
    assert not few_values(bytes(1 << 16), layout)  # a constant is cheaper still
    assert not few_values(some, BYTEWISE)
    assert not few_values(some, Layout(PLAIN, 3))
    assert not few_values(some[:3], layout)
