"""Streams of any encoder are made again from a plan; damaged plans do no harm."""

from __future__ import annotations

import zlib
from contextlib import suppress
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from nncomp.coding.deflate.blocks import WRITTEN, put_block, writer
from nncomp.coding.deflate.encoder import deflate
from nncomp.coding.deflate.format import DYNAMIC, FIXED, STORED
from nncomp.coding.deflate.plan import make_plan, make_stream
from nncomp.coding.deflate.reader import read_blocks
from nncomp.coding.deflate.settings import FIXED_CODES, SETTINGS_SIZE, Settings
from nncomp.coding.varint import pack_varint
from nncomp.errors import CorruptError

RANDOM = Random(3)  # noqa: S311, the same for ever
WORDS = [RANDOM.randbytes(RANDOM.randint(2, 9)) for _ in range(60)]
TEXT = b"".join(RANDOM.choices(WORDS, k=6000))
NOISE = RANDOM.randbytes(5000)


def array(x: bytes) -> np.ndarray:
    return np.frombuffer(x, np.uint8)


def plan_of(stream: bytes, content: bytes) -> bytes:
    """A plan, once it was found to make the stream."""
    plan = make_plan(array(stream), array(content))
    assert plan is not None
    assert make_stream(plan, array(content)) == stream
    return plan


def flushed(content: bytes, level: int, every: int, mode: int) -> bytes:
    encoder = zlib.compressobj(level, zlib.DEFLATED, -15)
    pieces = [content[k : k + every] for k in range(0, len(content), every)]
    return b"".join(encoder.compress(x) + encoder.flush(mode) for x in pieces) + encoder.flush()


def other_tokens(content: bytes, seed: int, far: bool) -> np.ndarray:
    """Tokens that no zlib would choose: matches of any length at known places, or none."""
    random, tokens, at = Random(seed), list[int](), 0  # noqa: S311
    places: dict[bytes, list[int]] = {}
    while at < len(content):
        known, length = places.get(content[at : at + 3], []), 1
        if known and random.random() < 0.8:
            start = random.choice(known) if far and random.random() < 0.2 else known[-1]
            length = 3
            most = random.choice([4, 10, 258])
            while length < most and content[start + length : start + length + 1] == (
                content[at + length : at + length + 1] or b"none"
            ):
                length += 1
            tokens.append(length << 16 | at - start)
        else:
            tokens.append(content[at])
        for k in range(at, min(at + length, len(content) - 2)):
            places.setdefault(content[k : k + 3], []).append(k)
        at += length
    return np.array(tokens, np.int32)


def written(content: bytes, tokens: np.ndarray, forms: list[int], size: int) -> bytes:
    """A stream with so many tokens in a block."""
    w, start = writer(3 * len(content) + 700 * (len(tokens) // size + 1)), 0
    for k in range(0, max(len(tokens), 1), size):
        block, last = tokens[k : k + size], k + size >= len(tokens)
        bytes_ = int(np.where(block < 256, 1, block >> 16).sum())
        raw = array(content[start : start + bytes_]).copy()
        put_block(w, block, raw, forms[k // size % len(forms)], last)
        start += bytes_
    return w.out[: w.state[WRITTEN]].tobytes()


def test_a_stream_of_zlib_is_only_its_settings() -> None:
    assert len(plan_of(deflate(array(TEXT), Settings(7)), TEXT)) == 1 + SETTINGS_SIZE


@pytest.mark.parametrize(
    ("mode", "share"),
    [(zlib.Z_SYNC_FLUSH, 0.05), (zlib.Z_PARTIAL_FLUSH, 0.05), (zlib.Z_FULL_FLUSH, 1)],
)
def test_flushed_streams(mode: int, share: float) -> None:
    stream = flushed(TEXT, 6, 5000, mode)
    assert len(plan_of(stream, TEXT)) < share * len(stream)


def test_a_change_of_level() -> None:
    start, end = TEXT[:9000], NOISE + TEXT[9000:]
    stream = flushed(start, 1, 9000, zlib.Z_FULL_FLUSH)[:-2] + deflate(array(end), Settings(9))
    assert zlib.decompress(stream, -15) == start + end
    assert len(plan_of(stream, start + end)) < len(stream) / 4


@pytest.mark.parametrize("far", [False, True])
def test_other_choices(far: bool) -> None:
    content = TEXT[:20_000]
    tokens = other_tokens(content, 5, far)
    stream = written(content, tokens, [DYNAMIC], 3000)
    assert zlib.decompress(stream, -15) == content
    plan_of(stream, content)


def test_codes_that_are_not_those_of_zlib() -> None:
    """The codes of one content serve for another one, which has the same bytes."""
    content = TEXT[:3000]
    backward = content[::-1]
    tokens = array(backward).astype(np.int32)
    forward = deflate(array(content), Settings(1, FIXED_CODES))
    w = writer(9000)
    put_block(w, tokens, array(backward), DYNAMIC, True)
    stream = bytearray(w.out[: w.state[WRITTEN]].tobytes())
    assert zlib.decompress(bytes(stream), -15) == backward
    plan_of(bytes(stream), backward)
    plan_of(forward, content)


@profile(deadline=None, max_examples=150)
@given(
    pieces=st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=6),
    order=st.lists(st.integers(0, 5), max_size=80),
    forms=st.lists(st.sampled_from([STORED, FIXED, DYNAMIC]), min_size=1, max_size=4),
    size=st.integers(1, 50),
    seed=st.integers(0, 999),
)
def test_any_stream(
    pieces: list[bytes], order: list[int], forms: list[int], size: int, seed: int
) -> None:
    content = b"".join(pieces[k % len(pieces)] for k in order)
    stream = written(content, other_tokens(content, seed, True), forms, size)
    assert zlib.decompress(stream, -15) == content
    plan = make_plan(array(stream), array(content))
    if plan is None:  # a plan may be larger than a small stream
        assert len(stream) < 40 * (len(order) + 4)
    else:
        assert make_stream(plan, array(content)) == stream


def test_blocks_are_read() -> None:
    stream = flushed(TEXT[:9000], 6, 3000, zlib.Z_SYNC_FLUSH)
    blocks = list(read_blocks(array(stream)))
    assert all(block is not None for block in blocks)
    forms = [block.form for block in blocks if block]
    assert forms == [DYNAMIC, STORED] * 3 + [FIXED]
    assert [block.last for block in blocks if block] == [False] * 6 + [True]


def damaged(plan: bytes, random: Random) -> bytes:
    other = bytearray(plan)
    for _ in range(random.randint(1, 3)):
        other[random.randrange(len(other))] = random.randrange(256)
    return bytes(other[: len(other) - random.choice([0, 0, 0, 1, 7])])


@pytest.mark.parametrize("far", [False, True])
def test_damaged_plans(far: bool) -> None:
    content, random = TEXT[:1500] + NOISE[:300] + TEXT[:900], Random(8)  # noqa: S311
    stream = written(content, other_tokens(content, 7, far), [DYNAMIC, FIXED, STORED], 150)
    plan = plan_of(stream, content)
    for _ in range(600):
        with suppress(CorruptError):
            assert len(make_stream(damaged(plan, random), array(content))) < 8 * len(content)


def test_impossible_plans() -> None:
    settings, small = Settings(9).pack(), Settings(9, window=9).pack()
    literal = bytes([FIXED | 4]) + b"\1"
    for plan, message in (
        (b"\0" + settings + b"\0", "no plan that can be followed"),
        (b"\2" + settings, "no plan that can be followed"),
        (b"\1" + small + literal, "no plan that can be followed"),
        (b"\1" + settings + b"\3\1", "no known form"),
        (b"\1" + settings + bytes([FIXED | 4]) + pack_varint(1 << 40), "no known form"),
        (b"\1" + settings + bytes([FIXED | 4]) + b"\3\1\2", "more tokens than its content"),
        (b"\1" + settings + literal + b"\0", "cannot be made as its plan says"),
        (b"\1" + settings + literal + b"\1\1", "not for its content"),
        (b"\1" + settings + literal + b"\2\1\1", "not for its content"),
        (b"\1" + settings + literal + b"\1\2", "cannot be made as its plan says"),
        (b"\1" + settings + bytes(2 << 17), "too many blocks"),
    ):
        with pytest.raises(CorruptError, match=message):
            make_stream(plan, array(b"ab"))
    assert make_stream(b"\1" + settings + literal + b"\1\1", array(b"a"))


def test_too_large_a_plan_is_none() -> None:
    content = NOISE[:40]
    stream = written(content, array(content).astype(np.int32), [FIXED], 1)
    assert make_plan(array(stream), array(content)) is None
