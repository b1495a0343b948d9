"""Streams are those of zlib, byte by byte."""

from __future__ import annotations

import itertools
import zlib
from random import Random

import numpy as np
import pytest
from hypothesis import given
from hypothesis import settings as profile
from hypothesis import strategies as st

from nncomp.coding.deflate.encoder import agreement, deflate
from nncomp.coding.deflate.settings import (
    DEFAULT,
    FILTERED,
    FIXED_CODES,
    HUFFMAN,
    RUNS,
    SETTINGS_SIZE,
    Settings,
)
from nncomp.errors import CorruptError

# Other builds, such as zlib-ng, decode the same format, but write other streams.
classic = pytest.mark.skipif(
    not zlib.ZLIB_RUNTIME_VERSION.replace(".", "").isdigit(),
    reason="this Python has no classic zlib to compare with",
)


def zlib_stream(content: bytes, settings: Settings) -> bytes:
    level, strategy, memory, window, _ = settings
    encoder = zlib.compressobj(level, zlib.DEFLATED, -window, memory, strategy)
    return encoder.compress(content) + encoder.flush()


def own_stream(content: bytes, settings: Settings) -> bytes:
    return deflate(np.frombuffer(content, np.uint8), settings)


def words(size: int, seed: int) -> bytes:
    """Something like text: words again and again, some of them rarely."""
    random = Random(seed)  # noqa: S311, the same for ever
    known = [random.randbytes(random.randint(1, 9)) for _ in range(300)]
    text = b"".join(known[int(random.paretovariate(0.5)) % 300] for _ in range(size // 4))
    return text[:size]


def slopes(size: int, seed: int) -> bytes:
    """Something like a picture after filtering: small numbers around zero."""
    random = Random(seed)  # noqa: S311, the same for ever
    return bytes(int(random.gauss(0, 2 + k % 3000 / 500)) & 255 for k in range(size))


NOISE = Random(5).randbytes(100_000)  # noqa: S311, the same for ever
CONTENTS = {
    "empty": b"",
    "one byte": b"a",
    "two bytes": b"ab",
    "three bytes": b"abc",
    "a run": b"a" * 70_000,
    "a short period": b"abcab" * 20_000,
    "words": words(150_000, 1),
    "slopes": slopes(120_000, 2),
    "noise": NOISE,
    "far matches": NOISE[:32_500] + NOISE[:32_000] + NOISE[10:40_000] + NOISE[:3000],
    "all kinds": words(40_000, 3) + NOISE[:50_000] + bytes(50_000) + slopes(40_000, 4),
}
ALL = [Settings(level, s) for level in range(1, 10) for s in (DEFAULT, FILTERED, FIXED_CODES)]
ALL += [Settings(1, HUFFMAN), Settings(9, RUNS)]
MEMORIES = [(9, 15), (1, 15), (8, 9), (9, 9), (4, 12), (1, 10)]


@classic
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize("settings", ALL)
def test_as_zlib(name: str, settings: Settings) -> None:
    assert own_stream(CONTENTS[name], settings) == zlib_stream(CONTENTS[name], settings)


@classic
@pytest.mark.parametrize("name", CONTENTS)
@pytest.mark.parametrize(("memory", "window"), MEMORIES)
def test_as_zlib_with_other_memory(name: str, memory: int, window: int) -> None:
    for level, strategy in ((2, DEFAULT), (6, DEFAULT), (9, FILTERED), (1, HUFFMAN), (6, RUNS)):
        settings = Settings(level, strategy, memory, window)
        assert own_stream(CONTENTS[name], settings) == zlib_stream(CONTENTS[name], settings)


@classic
def test_more_than_a_megabyte() -> None:
    content = words(1_200_000, 6) + NOISE + words(100_000, 6)
    for level in (1, 6):
        assert own_stream(content, Settings(level)) == zlib_stream(content, Settings(level))


PIECES = st.lists(
    st.one_of(
        st.binary(min_size=1, max_size=40),
        st.tuples(st.integers(0, 255), st.integers(1, 700)).map(lambda x: bytes([x[0]]) * x[1]),
    ),
    min_size=1,
    max_size=8,
)
SETTINGS = st.builds(
    Settings,
    st.integers(1, 9),
    st.integers(0, 4),
    st.integers(1, 9),
    st.integers(9, 15),
    st.just(4096),
)


@classic
@profile(deadline=None, max_examples=150)
@given(pieces=PIECES, order=st.lists(st.integers(0, 7), max_size=60), settings=SETTINGS)
def test_any_content(pieces: list[bytes], order: list[int], settings: Settings) -> None:
    content = b"".join(pieces[k % len(pieces)] for k in order)
    assert own_stream(content, settings) == zlib_stream(content, settings)


def test_the_same_for_ever() -> None:
    """What an archive may hold, where no library is to compare with."""
    total = 0
    for name, settings in itertools.product(("words", "all kinds", "far matches"), ALL):
        total = zlib.crc32(own_stream(CONTENTS[name], settings), total)
    assert total == 4_061_003_370


def test_matches_of_three_bytes_far_away() -> None:
    content = b"abc" + bytes(range(256)) * 2 + NOISE[:5000] + b"abc"
    near, far = (own_stream(content, Settings(9, far=far)) for far in (4096, 32767))
    assert near != far
    assert zlib.decompress(near, -15) == zlib.decompress(far, -15) == content


def test_impossible_to_encode() -> None:
    with pytest.raises(ValueError, match="no deflate encoder"):
        own_stream(b"", Settings(10))


def test_agreement() -> None:
    content = np.frombuffer(CONTENTS["words"], np.uint8)
    stream = np.frombuffer(deflate(content, Settings(6)), np.uint8)
    assert agreement(content, Settings(6), stream) == len(stream)
    longer, shorter = np.append(stream, np.uint8(0)), stream[:-1]
    assert agreement(content, Settings(6), longer) < len(longer)
    assert agreement(content, Settings(6), shorter) < len(shorter)
    changed = stream.copy()
    changed[len(stream) // 2] ^= 1
    assert agreement(content, Settings(6), changed) == len(stream) // 2
    assert agreement(content, Settings(1), stream) < len(stream) // 2


@given(settings=SETTINGS, far=st.integers(0, 65535))
def test_settings_come_back(settings: Settings, far: int) -> None:
    settings = settings._replace(far=far)
    assert Settings.unpack(settings.pack()) == settings


def test_impossible_settings() -> None:
    good = Settings().pack()
    for place, value in ((0, 0x00), (0, 0x0A), (0, 0x56), (1, 0xF0), (1, 0xFA), (1, 0x88)):
        packed = bytearray(good)
        packed[place] = value
        with pytest.raises(CorruptError, match="not possible"):
            Settings.unpack(bytes(packed))
    with pytest.raises(CorruptError, match="not complete"):
        Settings.unpack(good[: SETTINGS_SIZE - 1])
