"""Huffman frames of our own: Zstandard decodes them, and they are as small as they can be."""

from collections.abc import Iterator

import numpy as np
import pytest
import zstandard

from nncomp.codecs.frames import unpack_frame

encode_literals = pytest.importorskip("nncomp.coding.literals").encode_literals

BLOCK = 128 << 10
RANDOM = np.random.default_rng(5)


def check(symbols: np.ndarray) -> int:
    """Encode, decode; the size."""
    plane = np.ascontiguousarray(symbols, np.uint8)
    frame = encode_literals(plane)
    assert frame is not None
    assert unpack_frame(frame, len(plane)) == plane.tobytes()
    assert len(frame) <= len(plane) + 3 * -(-len(plane) // BLOCK)
    return len(frame)


def entropy(symbols: np.ndarray) -> float:
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / len(symbols))).sum() / 8)


LENGTHS = [
    *range(1, 70),
    *(edge + k for edge in (256, 1024, 1 << 14, BLOCK, 2 * BLOCK) for k in (-1, 0, 1, 2, 5, 17)),
    300_000,
]


@pytest.mark.parametrize("length", LENGTHS)
def test_every_kind_of_length(length: int) -> None:
    check(np.minimum(255, RANDOM.geometric(0.1, length)))
    check(RANDOM.integers(3, size=length))
    check(np.full(length, 200))
    check(RANDOM.integers(256, size=length))


def distributions() -> Iterator[np.ndarray]:
    """Probabilities of up to 256 symbols: flat, steep, with gaps, with hardly used ones."""
    for count in (2, 3, 5, 17, 100, 127, 128, 129, 130, 255, 256):
        for steep in (0, 0.5, 2, 8, 30):
            weights = RANDOM.random(count) ** steep + 1e-9
            yield weights / weights.sum()
    fibonacci = [1.0, 1.0]
    while len(fibonacci) < 30:  # the deepest trees: far above eleven bits
        fibonacci.append(fibonacci[-1] + fibonacci[-2])
    for count in (3, 12, 20, 30):
        yield np.array(fibonacci[:count]) / sum(fibonacci[:count])
    yield np.array([1 - 1e-4, 1e-4])


@pytest.mark.parametrize("length", [500, 20_000, 150_000])
def test_every_kind_of_distribution(length: int) -> None:
    for probabilities in distributions():
        for symbols in (np.arange(len(probabilities)), RANDOM.permutation(256)):
            chosen = RANDOM.choice(symbols[: len(probabilities)], length, p=probabilities)
            check(chosen)


def test_tables_are_used_again_or_not() -> None:
    exponents = np.minimum(255, RANDOM.geometric(0.3, BLOCK) + 100)
    alike = np.tile(exponents, 4)
    assert check(alike) < 4 * check(exponents)
    other = 255 - exponents
    noise = RANDOM.integers(256, size=BLOCK)
    constant = np.full(BLOCK, 7)
    parts = (exponents, other, noise, constant)
    for first in parts:
        for second in parts:
            check(np.concatenate([first, second, first, exponents[:1000]]))


@pytest.mark.parametrize("p", [0.05, 0.2, 0.5])
def test_as_small_as_huffman_can_be(p: float) -> None:
    symbols = np.minimum(255, RANDOM.geometric(p, 4 * BLOCK))
    # The redundancy of Huffman's codes is below the largest probability plus 0.086 bits.
    assert check(symbols) < entropy(symbols) + (0.086 + p * p) * len(symbols) / 8 + 600


def test_no_larger_than_the_librarys() -> None:
    symbols = np.minimum(255, RANDOM.geometric(0.3, 4 * BLOCK)).astype(np.uint8)
    settings = zstandard.ZstdCompressionParameters(
        strategy=zstandard.STRATEGY_FAST, min_match=7, hash_log=6, window_log=17
    )
    library = zstandard.ZstdCompressor(compression_params=settings).compress(symbols.tobytes())
    assert check(symbols) < 1.002 * len(library)


def test_input_is_not_written_to() -> None:
    plane = np.frombuffer(bytes(1000) + bytes(range(256)), np.uint8)  # read-only
    assert unpack_frame(encode_literals(plane), len(plane)) == plane.tobytes()
