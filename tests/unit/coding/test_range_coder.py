"""The range coder: exact bytes, round trips, its promises on size, and bad data."""

from __future__ import annotations

import doctest
import math
import os
import subprocess
import sys
from typing import TYPE_CHECKING

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncomp.coding import range_coder
from nncomp.coding.range_coder import Decoder, Encoder, gather
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from pathlib import Path

    from numpy.typing import NDArray

    Rows = NDArray[np.int32]
    Symbols = NDArray[np.uint8]


def reference(intervals: list[tuple[int, int]], bits: int) -> bytes:
    """The coder in Python's integers: there is no carry when numbers have no end."""
    low, width, written = 0, 2**64 - 1, 0
    for start, freq in intervals:
        r = width >> bits
        low += start * r
        width = freq * r
        while width < 2**48:
            low, width, written = low << 16, width << 16, written + 2
    size = 8 * (written + 8)  # bits of the code with all of low's
    for count in range(9):
        step = 1 << (64 - 8 * count)
        value = -(-low // step) * step
        if value < low + width:
            return value.to_bytes(size // 8, "big")[: written + count]
    raise AssertionError("unreachable: a step of 1 always fits")


def row_of(entries: dict[int, int], rest: int = 0) -> NDArray[np.int32]:
    row = np.full(256, rest, np.int32)
    for symbol, freq in entries.items():
        row[symbol] = freq
    return row


def random_rows(rng: np.random.Generator, count: int, bits: int) -> Rows:
    """Rows from flat to nearly certain, every entry at least 1, sums 2**bits."""
    weights = rng.random((count, 256)) ** rng.choice([0.5, 3, 40, 4000], (count, 1))
    shared = 2**bits - 256
    rows = 1 + (weights / weights.sum(axis=1, keepdims=True) * shared * 0.999).astype(np.int64)
    rows[np.arange(count), rng.integers(0, 256, count)] += 2**bits - rows.sum(axis=1)
    assert (rows > 0).all()
    return rows.astype(np.int32)


def sample(rng: np.random.Generator, rows: Rows) -> Symbols:
    """Mostly likely symbols, and every tenth any symbol at all."""
    targets = rng.random((len(rows), 1)) * rows.sum(axis=1, keepdims=True, dtype=np.int64)
    symbols = (rows.cumsum(axis=1, dtype=np.int64) > targets).argmax(axis=1)
    rare = rng.random(len(rows)) < 0.1
    return np.where(rare, rng.integers(0, 256, len(rows)), symbols).astype(np.uint8)


def encode(rows: Rows, symbols: Symbols, bits: int = 24) -> bytes:
    encoder = Encoder()
    encoder.encode(*gather(rows, symbols), bits)
    return encoder.finish()


def decode(data: bytes, rows: Rows, bits: int = 24) -> bytes:
    decoder = Decoder(data)
    symbols = decoder.decode(rows, bits)
    decoder.finish()
    return symbols.tobytes()


def encode_intervals(intervals: list[tuple[int, int]], bits: int) -> bytes:
    starts, freqs = np.array(intervals, np.uint32).reshape(-1, 2).T
    encoder = Encoder()
    encoder.encode(starts, freqs, bits)
    return encoder.finish()


# ---------------------------------------------------------------- exact bytes

FLAT = np.full(256, 1 << 16, np.int32)
SURE = row_of({65: 2**24 - 255}, rest=1)


@pytest.mark.parametrize(
    ("row", "text", "expected"),
    [
        (FLAT, b"", ""),
        (FLAT, b"\x00", ""),
        (FLAT, b"a", "61"),
        (FLAT, b"abc", "616263"),
        (FLAT, b"nncomp codes bytes", "6e6e636f6c93bcf401f4450fb0fe14014511"),
        (SURE, b"A", "01"),
        (SURE, b"A" * 1000, "01"),
        (SURE, b"AAABAAAACAAAA", "fffd090467d6"),
        (
            row_of({255: 2**24 - 255}, rest=1),
            b"\xff" * 300 + b"\x00" * 3 + b"\xff",
            "012a266ed0a6a1270001",
        ),
    ],
)
def test_exact_bytes(row: NDArray[np.int32], text: bytes, expected: str) -> None:
    rows = np.tile(row, (len(text), 1))
    data = encode(rows, np.frombuffer(text, np.uint8))
    assert data.hex() == expected
    assert decode(data, rows) == text


@pytest.mark.parametrize("bits", [1, 2, 8, 16, 17, 24, 31])
def test_equals_the_coder_without_carries(bits: int) -> None:
    rng = np.random.default_rng(bits)
    total = 2**bits
    starts = rng.integers(0, total, 3000)
    room = total - starts
    freqs = np.maximum(1, (room * rng.choice([1e-9, 0.3, 0.99, 1], 3000)).astype(np.int64))
    intervals = list(zip(starts.tolist(), freqs.tolist(), strict=True))
    for count in (0, 1, 2, 3, 17, 3000):
        assert encode_intervals(intervals[:count], bits) == reference(intervals[:count], bits)


# ---------------------------------------------------------------- carries

THIRDS = [(0, 5592405), (5592405, 5592405), (11184810, 5592406)]


def towards_one_half(count: int) -> list[tuple[int, int]]:
    """Intervals that all hold 0.1000... and start below it, so that low is 0.0111..."""
    rows = np.tile(row_of(dict(enumerate(freq for _, freq in THIRDS))), (count, 1))
    symbols = Decoder(b"\x80" + bytes(4 * count)).decode(rows)
    return [THIRDS[symbol] for symbol in symbols]


def test_low_stays_below_one_half() -> None:
    # What the tests below rest on: without a carry the bytes are 7f ff ff ...
    before = encode_intervals([*towards_one_half(2000), (0, 1), (0, 1)], 24)
    assert before.startswith(b"\x7f" + b"\xff" * 390)


@pytest.mark.parametrize("count", [10, 100, 2000])
def test_finishing_carries_through_all_bytes(count: int) -> None:
    # one half itself lies in the interval and is the shortest number there
    data = encode_intervals(towards_one_half(count), 24)
    assert data.rstrip(b"\0") == b"\x80"
    assert data == reference(towards_one_half(count), 24)


def test_coding_carries_through_all_bytes() -> None:
    # the last interval but two lies above one half, so that narrowing has to carry
    intervals = [*towards_one_half(2000), THIRDS[2], THIRDS[2], THIRDS[1]]
    data = encode_intervals(intervals, 24)
    assert data[:391] == b"\x80" + bytes(390)
    assert data[391:] != bytes(len(data) - 391)
    assert data == reference(intervals, 24)


@given(st.binary(max_size=60), st.integers(0, 40), st.binary(max_size=20), st.integers(0, 2**32))
def test_coding_is_the_inverse_of_decoding(head: bytes, run: int, tail: bytes, seed: int) -> None:
    # Any number names symbols, and their code is that number again as far as they go. (Not
    # so the topmost numbers, which rounding leaves unused; hence the first byte.)
    data = b"\x7f" + head + b"\xff" * run + tail + bytes(16)
    rows = random_rows(np.random.default_rng(seed), 300, 24)
    decoder = Decoder(data)
    symbols: list[int] = []
    while len(symbols) < 300 and int(decoder._state[2]) <= len(data) - 4:
        symbols.append(int(decoder.decode(rows[len(symbols) : len(symbols) + 1])[0]))
    again = encode(rows[: len(symbols)], np.array(symbols, np.uint8))
    assert decode(again, rows[: len(symbols)]) == bytes(symbols)
    settled = len(again) - 2
    given_value, value = (int.from_bytes(d[:settled], "big") for d in (data, again))
    assert value - given_value in (0, 1)


# ---------------------------------------------------------------- round trips


@given(st.integers(0, 2**32), st.integers(0, 300), st.sampled_from([9, 16, 24, 31]))
def test_round_trip(seed: int, count: int, bits: int) -> None:
    rng = np.random.default_rng(seed)
    rows = random_rows(rng, count, bits)
    symbols = sample(rng, rows)
    data = encode(rows, symbols, bits)
    assert decode(data, rows, bits) == symbols.tobytes()
    starts, freqs = gather(rows, symbols)
    assert data == reference(list(zip(starts.tolist(), freqs.tolist(), strict=True)), bits)


@given(st.lists(st.tuples(st.integers(0, 255), st.integers(0, 255)), max_size=100))
def test_round_trip_of_extremes(pairs: list[tuple[int, int]]) -> None:
    # one symbol nearly certain, all others of frequency 1, and either may come
    rows = np.array([row_of({likely: 2**24 - 255}, rest=1) for likely, _ in pairs], np.int32)
    rows = rows.reshape(-1, 256)
    symbols = np.array([symbol for _, symbol in pairs], np.uint8)
    assert decode(encode(rows, symbols), rows) == symbols.tobytes()


def test_symbols_of_frequency_zero_are_passed_over() -> None:
    rows = np.tile(row_of({7: 2**23, 200: 2**23 - 1, 255: 1}), (3, 1))
    symbols = np.array([200, 255, 7], np.uint8)
    assert decode(encode(rows, symbols), rows) == symbols.tobytes()
    rows = np.tile(row_of({9: 2**24}), (5, 1))  # certain: no bits at all
    assert encode(rows, np.full(5, 9, np.uint8)) == b""
    assert decode(b"", rows) == bytes([9] * 5)


def test_big_round_trip_in_pieces_with_changing_bits() -> None:
    rng = np.random.default_rng(1)
    encoder, pieces = Encoder(), []
    for count, bits in [(20000, 24), (1, 24), (0, 9), (7000, 31), (9999, 12)]:
        rows = random_rows(rng, count, bits)
        symbols = sample(rng, rows)
        encoder.encode(*gather(rows, symbols), bits)
        pieces.append((rows, bits, symbols))
    data = encoder.finish()
    decoder = Decoder(data)
    for rows, bits, symbols in pieces:
        assert np.array_equal(decoder.decode(rows, bits), symbols)
    decoder.finish()
    assert encoder.finish() == b""  # as new


@pytest.mark.parametrize("kind", [bytes, bytearray, memoryview])
def test_kinds_of_data(kind: type) -> None:
    rows = np.tile(FLAT, (3, 1))
    assert decode(kind(encode(rows, np.array([1, 2, 3], np.uint8))), rows) == b"\1\2\3"


def test_gather_gives_the_intervals() -> None:
    rng = np.random.default_rng(5)
    rows, symbols = random_rows(rng, 500, 24), rng.integers(0, 256, 500).astype(np.uint8)
    starts, freqs = gather(rows, symbols)
    assert starts.dtype == freqs.dtype == np.uint32
    for row, symbol, start, freq in zip(rows.tolist(), symbols, starts, freqs, strict=True):
        assert start == sum(row[:symbol])
        assert freq == row[symbol]


def test_inputs_are_left_alone_and_may_be_strided() -> None:
    rng = np.random.default_rng(6)
    rows = random_rows(rng, 60, 24)
    symbols = sample(rng, rows)
    every_other = encode(rows[::2].copy(), symbols[::2].copy())
    before = rows.copy(), symbols.copy()
    rows.flags.writeable = symbols.flags.writeable = False
    assert encode(rows[::2], symbols[::2]) == every_other
    assert decode(every_other, rows[::2]) == symbols[::2].tobytes()
    assert np.array_equal(rows, before[0])
    assert np.array_equal(symbols, before[1])


# ---------------------------------------------------------------- size


def ideal_bits(freqs: NDArray[np.uint32], bits: int) -> float:
    return math.fsum(bits - math.log2(freq) for freq in freqs.tolist())


@pytest.mark.parametrize("bits", [16, 24, 31])
@pytest.mark.parametrize("power", [0, 1, 20, 1e6])
def test_size_is_the_ideal_plus_two_bytes(bits: int, power: float) -> None:
    rng = np.random.default_rng(3)
    freqs = (1 + rng.random(20000) ** power * (2**bits - 1)).astype(np.uint32)
    encoder = Encoder()
    encoder.encode((2**bits - freqs).astype(np.uint32), freqs, bits)
    size = 8 * len(encoder.finish())
    worst = -math.log2(1 - 2.0 ** (bits - 48))  # per symbol: the module's derivation
    ideal = ideal_bits(freqs, bits)
    assert ideal - 1e-3 <= size <= ideal + worst * len(freqs) + 16 + 1e-3
    assert worst < 1.2e-5


def test_width_kept_at_its_least_costs_no_more() -> None:
    # Symbols chosen against the coder: nearly certain ones while its width is small.
    encoder, chosen = Encoder(), []
    for _ in range(3000):
        freq = 2**24 - 1 if int(encoder._state[1]) < 2**49 else 2**23
        encoder.encode(np.array([1], np.uint32), np.array([freq], np.uint32))
        chosen.append(freq)
    assert chosen.count(2**24 - 1) > 2000
    ideal = ideal_bits(np.array(chosen, np.uint32), 24)
    assert 8 * len(encoder.finish()) <= ideal + 1e-7 * len(chosen) + 16


# ---------------------------------------------------------------- bad data


def test_every_truncation_is_noticed_or_costs_only_the_last_bytes() -> None:
    rng = np.random.default_rng(8)
    rows = random_rows(rng, 200, 24)
    symbols = sample(rng, rows)
    data = encode(rows, symbols)
    for size in range(len(data) - 2):
        with pytest.raises(CorruptError, match=f"after {size} bytes|before byte .* of {size}"):
            Decoder(data[:size]).decode(rows)


def test_data_left_over_are_noticed() -> None:
    rows = np.tile(FLAT, (4, 1))
    data = encode(rows, np.array([1, 2, 3, 4], np.uint8))
    decoder = Decoder(data + b"more")
    assert decoder.decode(rows).tobytes() == b"\1\2\3\4"
    with pytest.raises(CorruptError, match="after their last symbol, from byte 6 to 8"):
        decoder.finish()
    with pytest.raises(CorruptError, match="after their last symbol"):
        Decoder(b"\0\0\0").finish()


def test_a_number_that_no_encoder_makes_is_refused() -> None:
    rows = np.tile(FLAT, (4, 1))
    with pytest.raises(CorruptError, match="not valid before byte 8 of 9"):
        Decoder(b"\xff" * 9).decode(rows)


@given(st.binary(max_size=200), st.integers(0, 2**32), st.sampled_from([9, 24, 31]))
def test_garbage_gives_symbols_or_an_error(data: bytes, seed: int, bits: int) -> None:
    rows = random_rows(np.random.default_rng(seed), 400, bits)
    decoder = Decoder(data)
    try:
        symbols = decoder.decode(rows, bits)
    except CorruptError:
        return
    assert (rows[np.arange(400), symbols] > 0).all()


def test_endless_zeros_are_not_read() -> None:
    rows = np.tile(FLAT, (100, 1))
    assert Decoder(b"").decode(rows[:1]).tobytes() == b"\0"
    with pytest.raises(CorruptError, match="end after 0 bytes, before their symbols do"):
        Decoder(b"").decode(rows)


GARBAGE = """
import numpy as np
from nncomp.coding.jit import kernel
from nncomp.coding.range_coder import Decoder
from nncomp.errors import CorruptError

@kernel
def beyond(x):
    return x[len(x)]

try:
    beyond(np.zeros(3))
except IndexError:
    print("bounds are checked")

rng = np.random.default_rng(0)
flat = np.full((300, 256), 1 << 16, np.int32)
wild = rng.integers(-(2**31), 2**31, (300, 256)).astype(np.int32)
for rows in (flat, wild, np.zeros_like(flat), flat + 1, -flat):
    for size in range(50):
        for bits in (1, 24, 31):
            try:
                Decoder(rng.bytes(size)).decode(rows, bits)
            except (CorruptError, ValueError):
                pass
print("done")
"""


def test_no_index_leaves_its_array(tmp_path: Path) -> None:
    # The same kernels, compiled with numba's bounds checks; rows are garbage here, too.
    environment = {**os.environ, "NUMBA_BOUNDSCHECK": "1", "NUMBA_CACHE_DIR": str(tmp_path)}
    result = subprocess.run(
        [sys.executable, "-c", GARBAGE],
        env=environment,
        capture_output=True,
        text=True,
        check=True,
        timeout=300,
    )
    assert result.stdout == "bounds are checked\ndone\n"


# ---------------------------------------------------------------- callers' mistakes


@pytest.mark.parametrize(
    ("start", "freq"), [(0, 0), (2**24, 1), (2**24 - 1, 2), (2**32 - 1, 2**32 - 1)]
)
def test_invalid_intervals_are_refused(start: int, freq: int) -> None:
    encoder = Encoder()
    starts = np.array([5, start, 5], np.uint32)
    freqs = np.array([9, freq, 9], np.uint32)
    with pytest.raises(ValueError, match="symbol 1 has the interval"):
        encoder.encode(starts, freqs)
    assert encoder.finish() == encode_intervals([(5, 9)], 24)


@pytest.mark.parametrize("entry", [0, -1, 2**24 + 1, 2**31 - 1])
def test_rows_that_do_not_sum_up_are_refused(entry: int) -> None:
    with pytest.raises(ValueError, match="does not sum to"):
        Decoder(b"abc").decode(row_of({0: entry})[None])


@pytest.mark.parametrize("bits", [0, 32, -1])
def test_bits_out_of_range_are_refused(bits: int) -> None:
    with pytest.raises(ValueError, match="bits must be from 1 to 31"):
        encode_intervals([(0, 1)], bits)
    with pytest.raises(ValueError, match="bits must be from 1 to 31"):
        Decoder(b"").decode(FLAT[None], bits)


def test_other_types_and_shapes_are_refused() -> None:
    one = np.ones(1, np.uint32)
    with pytest.raises(TypeError, match="starts must be uint32, not float64"):
        Encoder().encode(np.ones(1), one)
    with pytest.raises(ValueError, match="freqs must have the shape"):
        Encoder().encode(one, np.ones(2, np.uint32))
    with pytest.raises(TypeError, match="symbols must be uint8, not int64"):
        gather(FLAT[None], np.ones(1, np.int64))
    with pytest.raises(ValueError, match="freqs must have the shape"):
        Decoder(b"").decode(FLAT[None, :255])


def test_documented_examples() -> None:
    result = doctest.testmod(range_coder)
    assert result.attempted > 0
    assert result.failed == 0
