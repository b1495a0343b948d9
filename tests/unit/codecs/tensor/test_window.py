"""The window over chunks: what it shows, and that it copies and keeps nothing it need not."""

from collections.abc import Iterator

import numpy as np
import pytest

from nncomp.codecs.tensor.window import Window

DATA = np.random.default_rng(8).bytes(1000)


def cut(size: int) -> Iterator[bytes]:
    return (DATA[start : start + size] for start in range(0, len(DATA), size))


@pytest.mark.parametrize("size", [1, 3, 99, 1000])
def test_peeking_moves_nothing(size: int) -> None:
    window = Window(cut(size))
    for length in (0, 1, 2, 500, 999, 1000, 1001, 1 << 40):
        assert window.peek(length) == DATA[:length]
        assert window.available(length) == min(length, 1000)
    assert window.position == 0


@pytest.mark.parametrize("size", [1, 3, 99, 1000])
def test_two_places(size: int) -> None:
    window = Window(cut(size))
    window.available(300)
    window.advance(100)
    assert (window.peek(50), window.position) == (DATA[100:150], 100)
    window.advance(150)
    assert (window.peek(5), window.position) == (DATA[250:255], 250)
    assert window.take() == DATA[:250]
    assert window.take() == b""
    assert (window.peek(5), window.position) == (DATA[250:255], 250)
    assert window.available(1000) == 750
    window.advance(750)
    assert (window.peek(1), window.available(1)) == (b"", 0)
    assert window.take() == DATA[250:]
    assert window.position == 1000


def test_random_walks_over_random_chunks() -> None:
    random = np.random.default_rng(1)
    for _ in range(200):
        cuts = np.sort(random.integers(0, 1000, random.integers(0, 30)))
        chunks = [part.tobytes() for part in np.split(np.frombuffer(DATA, np.uint8), cuts)]
        window, taken, at = Window(chunks), b"", 0
        while window.peek(1):
            assert window.position == at
            size = window.available(int(random.integers(1, 200)))
            assert window.peek(size) == DATA[at : at + size]
            window.advance(size)
            at += size
            if random.random() < 0.5:
                taken += window.take()
        assert taken + bytes(window.take()) == DATA


def test_one_chunk_is_not_copied() -> None:
    source = bytearray(DATA)
    window = Window([source])
    window.available(300)
    window.advance(300)
    first = window.take()
    window.available(100)
    window.advance(100)
    second = window.take()
    source[0] ^= 255
    source[300] ^= 255
    assert (first[0], second[0]) == (source[0], source[300])


def test_no_more_is_read_than_is_asked_for() -> None:
    read = 0

    def chunks() -> Iterator[bytes]:
        nonlocal read
        for chunk in cut(10):
            read += len(chunk)
            yield chunk

    window = Window(chunks())
    assert read == 0
    window.peek(25)
    assert read == 30
    window.advance(25)
    window.take()
    window.available(5)
    assert read == 30
    window.available(6)
    assert read == 40


def test_chunks_of_any_kind() -> None:
    numbers = np.arange(6, dtype="<u4")
    window = Window([b"", numbers.data, b"", bytearray(b"ab"), memoryview(b"c")])
    assert window.peek(100) == numbers.tobytes() + b"abc"
    assert Window([]).peek(10) == b""
    assert Window([b"", b""]).available(10) == 0
