"""Sequences of labels: both ways to compute, every size, and what is no sequence."""

import numpy as np
import pytest

from nncomp.codecs.embedding.arrays import ops
from nncomp.codecs.embedding.sequence import choose_discount, decode_labels, encode_labels
from nncomp.errors import CorruptError

SPECIFIED, COMPILED = ops(compiled=False), ops(compiled=True)


def labelled(numbers: np.ndarray) -> tuple[np.ndarray, int]:
    """Numbered by first appearance, and how many differ."""
    _, first, index = np.unique(numbers, return_index=True, return_inverse=True)
    rank = np.argsort(np.argsort(first))
    return rank[index].astype(np.int64), len(first)


def zipf(count: int, exponent: float, seed: int = 3) -> np.ndarray:
    return np.random.default_rng(seed).zipf(exponent, count)


SEQUENCES = {
    "one": np.zeros(1),
    "all the same": np.zeros(700),
    "all different": np.arange(700),
    "two in turn": np.arange(100) % 2,
    "zipf": zipf(900, 1.2),
    "steep": zipf(900, 3.0),
    "flat": np.random.default_rng(1).integers(50, size=900),
}


@pytest.mark.parametrize("name", SEQUENCES)
@pytest.mark.parametrize("discount", [1, 8, 15])
def test_round_trip(name: str, discount: int) -> None:
    labels, count = labelled(SEQUENCES[name])
    payloads = {
        encode_labels(labels, count, discount, one.find_intervals, one.push_all)
        for one in (SPECIFIED, COMPILED)
    }
    assert len(payloads) == 1
    payload = payloads.pop()
    for one in (SPECIFIED, COMPILED):
        decoded = decode_labels(payload, len(labels), count, discount, one.follow)
        np.testing.assert_array_equal(decoded, labels)


def test_size_is_near_the_entropy() -> None:
    labels, count = labelled(zipf(20_000, 1.3) % 5000)
    share = np.bincount(labels) / len(labels)
    entropy = -(share * np.log2(share)).sum() * len(labels) / 8
    discount = choose_discount(labels)
    payload = encode_labels(labels, count, discount, COMPILED.find_intervals, COMPILED.push_all)
    # The table for this entropy would come on top of it; here there is none.
    assert len(payload) < 1.02 * entropy


def test_next_to_no_repeats_cost_next_to_nothing() -> None:
    numbers = np.arange(2048)
    numbers[-1] = 0
    labels, count = labelled(numbers)
    discount = choose_discount(labels)
    payload = encode_labels(labels, count, discount, COMPILED.find_intervals, COMPILED.push_all)
    assert discount == 15
    assert len(payload) < 48


@pytest.mark.parametrize("one", [SPECIFIED, COMPILED], ids=["specified", "compiled"])
def test_damage_is_noticed_or_in_range(one) -> None:
    labels, count = labelled(zipf(300, 1.3))
    payload = encode_labels(labels, count, 8, one.find_intervals, one.push_all)
    for bit in range(8 * len(payload)):
        damaged = bytearray(payload)
        damaged[bit // 8] ^= 1 << bit % 8
        try:
            decoded = decode_labels(damaged, len(labels), count, 8, one.follow)
        except CorruptError:
            continue
        assert decoded.min() >= 0
        assert decoded.max() < count
    for size in range(len(payload)):
        with pytest.raises(CorruptError):
            decode_labels(payload[:size], len(labels), count, 8, one.follow)


@pytest.mark.parametrize(("length", "count"), [(0, 0), (5, 0), (5, 6), ((1 << 19) + 1, 1)])
def test_impossible_sizes(length: int, count: int) -> None:
    with pytest.raises(CorruptError):
        decode_labels(bytes(8), length, count, 8, SPECIFIED.follow)
