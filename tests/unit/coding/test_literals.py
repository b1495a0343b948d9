"""Frames of literals are read by the library, and are as small as Huffman codes can be."""

import heapq

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from nncomp.codecs.frames import unpack_frame
from nncomp.coding.literals import encode_literals

Plane = NDArray[np.uint8]

BLOCK = 128 << 10
RANDOM = np.random.default_rng(11)


def coded(plane: Plane) -> bytes:
    """The frame, once it was found to decode to the plane."""
    frame = encode_literals(plane)
    assert frame is not None
    assert unpack_frame(frame, len(plane)) == plane.tobytes()
    return frame


def huffman(plane: Plane) -> float:
    """Bytes that an unlimited Huffman code takes for a plane, by the textbook."""
    heap = [int(n) for n in np.bincount(plane) if n]
    heapq.heapify(heap)
    bits = 0
    while len(heap) > 1:
        pair = heapq.heappop(heap) + heapq.heappop(heap)
        bits += pair
        heapq.heappush(heap, pair)
    return bits / 8


def exponents(size: int) -> Plane:
    """The same whatever tests ran before."""
    weights = (np.random.default_rng(size).standard_normal(size) * 0.02).astype(np.float32)
    return (weights.view(np.uint32) >> 23 & 255).astype(np.uint8)


@pytest.mark.parametrize("size", [1, 2, 3, 4, 5, 6, 7, 100, 1000, 16383, 16384, 65537])
def test_sizes(size: int) -> None:
    coded(exponents(size))


@pytest.mark.parametrize("more", [-1, 0, 1, 2, 5, 300])
def test_around_the_end_of_a_block(more: int) -> None:
    coded(exponents(2 * BLOCK + more))


def test_as_small_as_the_code() -> None:
    plane = exponents(BLOCK)
    assert len(coded(plane)) < 1.0005 * huffman(plane) + 60  # tree and headers


def test_limited_lengths_cost_little() -> None:
    """Float8 weights: 240 symbols, most of them rare, so that eleven bits are a limit."""
    plane = np.clip(RANDOM.laplace(128, 14, BLOCK), 0, 255).astype(np.uint8)
    assert len(coded(plane)) < 1.012 * huffman(plane) + 150


def test_deep_trees() -> None:
    counts = [1, 1]
    while sum(counts) < BLOCK - counts[-1] - counts[-2]:
        counts.append(counts[-1] + counts[-2])
    plane = np.repeat(np.arange(len(counts)), counts).astype(np.uint8)
    RANDOM.shuffle(plane)
    assert len(coded(plane)) < 1.01 * huffman(plane) + 60


def test_one_symbol_takes_next_to_nothing() -> None:
    assert len(coded(np.full(3 * BLOCK, 200, np.uint8))) == 3 * 4


def test_two_symbols_take_a_bit_each() -> None:
    plane = RANDOM.integers(2, size=BLOCK, dtype=np.uint8) * 77
    assert len(coded(plane)) < BLOCK / 8 + 64


def test_noise_is_kept_as_it_is() -> None:
    plane = np.frombuffer(RANDOM.bytes(2 * BLOCK), np.uint8)
    assert len(coded(plane)) == len(plane) + 2 * 3


def test_a_table_serves_the_blocks_after_it() -> None:
    one = exponents(BLOCK)
    again = np.concatenate([one, one[::-1], one])
    assert len(coded(again)) < 3 * len(coded(one)) - 2 * 10


@pytest.mark.parametrize("symbols", [1, 16, 40])
def test_a_table_does_not_serve_symbols_that_it_lacks(symbols: int) -> None:
    first = exponents(BLOCK)
    second = first.copy()
    second[:symbols] = np.arange(symbols) + 200
    coded(np.concatenate([first, second]))


def test_blocks_of_all_kinds_in_a_row() -> None:
    noise = np.frombuffer(RANDOM.bytes(BLOCK), np.uint8)
    constant = np.full(BLOCK, 3, np.uint8)
    order = [exponents(BLOCK), noise, exponents(BLOCK), constant, exponents(BLOCK), noise]
    coded(np.concatenate(order))
    coded(np.concatenate(order[::-1]))


def test_any_address() -> None:
    plane = exponents(5000)
    for start in range(1, 9):
        assert coded(plane[start:]) == encode_literals(plane[start:].copy())


@settings(max_examples=300, deadline=None)
@given(
    size=st.integers(1, 20_000),
    symbols=st.integers(1, 256),
    skew=st.floats(0.001, 0.999),
    seed=st.integers(0, 1 << 30),
)
def test_anything(size: int, symbols: int, skew: float, seed: int) -> None:
    random = np.random.default_rng(seed)
    which = np.minimum(random.geometric(skew, size), symbols) - 1
    plane = random.permutation(256)[which].astype(np.uint8)
    frame = encode_literals(plane)
    # There is none for trees that neither form of the description can tell.
    if frame is not None:
        assert unpack_frame(frame, size) == plane.tobytes()


@pytest.mark.parametrize("length", [*range(1, 70), 500, 20_000, BLOCK + 3])
def test_every_kind_of_distribution(length: int) -> None:
    """Flat and steep ones, with few symbols and all, close together and with gaps."""
    for count in (2, 3, 17, 127, 128, 129, 130, 255, 256):
        for steep in (0, 0.5, 8, 30):
            weights = RANDOM.random(count) ** steep + 1e-9
            for symbols in (np.arange(count), RANDOM.permutation(256)[:count]):
                plane = RANDOM.choice(symbols, length, p=weights / weights.sum())
                assert len(coded(plane.astype(np.uint8))) <= length + 2 * 3


def test_input_is_not_written_to() -> None:
    plane = np.frombuffer(bytes(1000) + bytes(range(256)), np.uint8)  # read-only
    coded(plane)
