"""rANS: exact bytes, round trips, sizes near the limit, and bad data, in NumPy and compiled."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st

from nncomp.coding import rans, rans_kernels
from nncomp.coding.rans import BLOCK, CONSTANT, LANES, RAW, SAME, STREAM_HEAD, TABLE
from nncomp.coding.rans_table import (
    BAD_TABLE,
    BITS,
    ENDS_EARLY,
    LEVEL_MAX,
    TABLE_MAX,
    frequencies,
    levels_of,
    pack_table,
    unpack_table,
)
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from types import ModuleType

    from numpy.typing import NDArray

    Plane = NDArray[np.uint8]

WAYS = [pytest.param(rans, id="numpy"), pytest.param(rans_kernels, id="compiled")]


def numbers(size: int, scale: float = 25, seed: int = 0) -> Plane:
    """8-bit numbers, normally distributed."""
    drawn = np.random.default_rng(seed).standard_normal(size) * scale
    return np.clip(np.rint(drawn), -127, 127).astype(np.int8).view(np.uint8)


def both(plane: Plane) -> bytes:
    """The payload, by all ways to code it and back."""
    payload = rans_kernels.encode_plane(plane)
    assert rans.encode_plane(plane) == payload
    for way in (rans, rans_kernels):
        assert np.array_equal(way.decode_plane(payload, len(plane)), plane)
    return payload


def entropy(plane: Plane) -> float:
    """Bytes that a block needs by its own counts."""
    counts = np.bincount(plane)
    counts = counts[counts > 0]
    return float(counts @ np.log2(len(plane) / counts)) / 8


def outcome(way: Any, payload: bytes, size: int) -> bytes | None:
    """What a payload decodes to; None if it is refused."""
    try:
        plane = way.decode_plane(payload, size)
    except CorruptError:
        return None
    assert plane.dtype == np.uint8
    assert plane.shape == (size,)
    return bytes(plane)


def plain_decode(stream: bytes, freqs: list[int], size: int) -> bytes:
    """A stream decoded symbol by symbol, as the module's description says."""
    starts = [sum(freqs[:s]) for s in range(256)]
    count = int.from_bytes(stream[:3], "little")
    body = stream[3 + 4 * LANES :]
    assert len(body) == 2 * count
    states = [int.from_bytes(stream[3 + 4 * k : 7 + 4 * k], "little") for k in range(LANES)]
    words = [int.from_bytes(body[at : at + 2], "little") for at in range(0, 2 * count, 2)]
    out = bytearray()
    for i in range(size):
        x = states[i % LANES]
        slot = x % (1 << BITS)
        symbol = next(s for s in range(256) if starts[s] <= slot < starts[s] + freqs[s])
        x = freqs[symbol] * (x >> BITS) + slot - starts[symbol]
        if x < 1 << 16:
            x = x << 16 | words.pop(0)
        states[i % LANES] = x
        out.append(symbol)
    assert not words
    assert states == [1 << 16] * LANES
    return bytes(out)


# --- frequencies and tables ------------------------------------------------------------


def counts_of(entries: dict[int, int]) -> NDArray[np.int64]:
    counts = np.zeros(256, np.int64)
    counts[list(entries)] = list(entries.values())
    return counts


count_tables = st.dictionaries(
    st.integers(0, 255), st.integers(1, BLOCK), min_size=2, max_size=256
).map(counts_of)


@given(count_tables)
def test_frequencies_are_valid_and_tables_read_back(counts: NDArray[np.int64]) -> None:
    levels = levels_of(counts)
    freqs = frequencies(levels)
    assert freqs.sum() == 1 << BITS
    assert np.array_equal(freqs > 0, counts > 0)
    assert freqs.min() >= 0
    table = pack_table(levels)
    assert len(table) <= TABLE_MAX
    again, size = unpack_table(table + b"\xff" * 3)
    assert np.array_equal(again, levels)
    assert size == len(table)


@given(count_tables)
def test_frequencies_are_near_the_shares_of_symbols(counts: NDArray[np.int64]) -> None:
    shares = counts / counts.sum() * (1 << BITS)
    freqs = frequencies(levels_of(counts))
    # 1/16 for the rounding of a level, the same for that of all others, a little for those
    # that are rarer than a frequency can be, and one for the rounding of both starts.
    assert np.all(np.abs(freqs - shares) <= 0.15 * shares + 2)


def test_extreme_frequencies() -> None:
    most = frequencies(levels_of(counts_of({7: BLOCK - 1, 255: 1})))
    assert {s: f for s, f in enumerate(most.tolist()) if f} == {7: (1 << BITS) - 1, 255: 1}
    even = frequencies(levels_of(np.full(256, 512)))
    assert even.tolist() == [1 << BITS - 8] * 256
    two = frequencies(levels_of(counts_of({0: 5, 1: 5})))
    assert two[:2].tolist() == [1 << BITS - 1] * 2


def packed(bits: str) -> bytes:
    """Bits to bytes, the lowest of each first, the last filled up with zeros."""
    bits = bits.ljust(-(-len(bits) // 8) * 8, "0")
    return bytes(int(bits[at : at + 8][::-1], 2) for at in range(0, len(bits), 8))


def test_a_table_byte_for_byte() -> None:
    levels = np.zeros(256, np.int64)
    levels[[1, 2, 3, 200]] = 40, 41, 38, LEVEL_MAX
    # Runs of 1, 3, 196, 1 and 55; differences 1, -3 and 59.
    bits = "".join(
        [
            "11",  # order 3: 18 bits for the differences; the others take 19 and more
            "0",
            "1",  # a run of 1: 0
            "01" + "1",  # 2
            "0000000" + "1" + "0010001",  # 195
            "1",  # 0
            "00000" + "1" + "11101",  # 54: 55 = 32 + 16 + 4 + 2 + 1
            "1110010",  # 39
            "1" + "010",  # 2: 10 = 8 + 2
            "1" + "101",  # 5: 13 = 8 + 4 + 1
            "000" + "1" + "011111",  # 118: 126 = 64 + 62
        ]
    )
    table = pack_table(levels)
    assert table == packed(bits)


def bad_tables() -> list[tuple[str, str, str]]:
    """Name, bits and reason."""
    ends, contradicts = rans.REASONS[ENDS_EARLY], rans.REASONS[BAD_TABLE]
    all_there = "00" + "1" + "00000000" + "1" + "00000000"  # order 0, one run of 256
    two_there = "00" + "1" + "01" + "0" + "0000000" + "1" + "0111111"  # runs of 2 and 254
    assert len(two_there) == 21
    return [
        ("nothing", "", ends),
        ("no levels", all_there, ends),
        ("levels cut", all_there + "0001000", ends),
        ("a number too long", "00" + "1" + "0" * 9 + "1" + "0" * 20, contradicts),
        (
            "runs beyond 256",
            "00" + "1" + "0000000" + "1" + "1111111" + "010" + "0" * 12,
            contradicts,
        ),
        ("one symbol", "00" + "1" + "1" + "0000000" + "1" + "1111111" + "0100000", contradicts),
        ("no symbol", "00" + "0" + "00000000" + "1" + "00000000" + "0" * 12, contradicts),
        ("all levels 1", two_there + "0000000" + "1" + "0" * 3, contradicts),
        ("a level of 0", two_there + "0000000" + "01" + "0" + "0" * 8, contradicts),
        ("a first level too high", two_there + "1000011" + "1" + "0" * 3, contradicts),
        ("a level too high", two_there + "0000011" + "01" + "1" + "0" * 8, contradicts),
        ("filled up with ones", two_there + "0000001" + "1" + "1" * 3, contradicts),
    ]


@pytest.mark.parametrize(("bits", "reason"), [pytest.param(b, r, id=n) for n, b, r in bad_tables()])
def test_bad_tables_are_refused(bits: str, reason: str) -> None:
    table = packed(bits)
    with pytest.raises(CorruptError, match=reason):
        unpack_table(table)
    for way in (rans, rans_kernels):
        with pytest.raises(CorruptError, match=reason):
            way.decode_plane(bytes([TABLE]) + table, 1000)


# --- planes ----------------------------------------------------------------------------


def test_a_payload_byte_for_byte() -> None:
    plane = np.tile(np.frombuffer(b"aaaaaaaaab" * 7 + b"c", np.uint8), 3)
    payload = both(plane)
    assert payload == bytes.fromhex(
        "02"  # a table and a stream
        "038606e478995901"
        "040000"  # words
        "fe89bf07 49850200 18e2cb07 55810200 c9e60100 e3220f00 26323332 6f13363e"
        "4f69 8663 956c f418"
    )
    levels, size = unpack_table(payload[1:])
    freqs = frequencies(levels).tolist()
    assert payload[0] == TABLE
    assert plain_decode(payload[1 + size :], freqs, len(plane)) == bytes(plane)


def test_a_stream_is_what_the_description_says() -> None:
    plane = numbers(5003)
    payload = both(plane)
    levels, size = unpack_table(payload[1:])
    stream = payload[1 + size :]
    assert plain_decode(stream, frequencies(levels).tolist(), len(plane)) == bytes(plane)


def test_planes_of_every_small_size() -> None:
    for size in range(601):
        both(numbers(size, scale=2, seed=size))
        both(np.minimum(numbers(size, scale=0.3, seed=size), 1))


@given(
    st.lists(st.integers(0, 255), min_size=1, max_size=8),
    st.integers(1, 3000),
    st.floats(0.01, 0.99),
    st.integers(0, 2**32),
)
def test_round_trips(alphabet: list[int], size: int, p: float, seed: int) -> None:
    drawn = np.random.default_rng(seed).geometric(p, size) - 1
    both(np.array(alphabet, np.uint8)[np.minimum(drawn, len(alphabet) - 1)])


def test_no_bytes_take_no_bytes() -> None:
    assert both(np.empty(0, np.uint8)) == b""


def test_one_symbol_is_a_byte() -> None:
    assert both(np.full(BLOCK + 1, 9, np.uint8)) == bytes([CONSTANT, 9, CONSTANT, 9])


def test_what_does_not_shrink_is_kept() -> None:
    plane = np.random.default_rng(0).integers(0, 256, BLOCK + 100).astype(np.uint8)
    expected = bytes([RAW]) + bytes(plane[:BLOCK]) + bytes([RAW]) + bytes(plane[BLOCK:])
    assert both(plane) == expected


@pytest.mark.parametrize("where", [0, 1, 70_001, BLOCK - 1])
def test_one_other_symbol(where: int) -> None:
    plane = np.full(BLOCK, 3, np.uint8)
    plane[where] = 200
    assert len(both(plane)) < 64


def test_two_symbols() -> None:
    plane = np.random.default_rng(0).integers(0, 2, BLOCK).astype(np.uint8) * 255
    assert len(both(plane)) <= BLOCK // 8 + STREAM_HEAD + 16


def test_tables_are_used_again_where_that_is_cheaper() -> None:
    alike = [numbers(5000, seed=seed) % 64 for seed in range(2)]
    blocks = [np.resize(alike[0], BLOCK), np.full(BLOCK, 5, np.uint8)]
    noise = np.random.default_rng(0).integers(0, 256, BLOCK).astype(np.uint8)
    blocks += [noise, np.resize(alike[0][::-1], BLOCK), np.resize(alike[1] + 64, BLOCK)]
    blocks += [alike[1][:4000] + 64]
    payload = both(np.concatenate(blocks))
    kinds = []
    for block in blocks:
        kinds.append(payload[0])
        if payload[0] == CONSTANT:
            payload = payload[2:]
        elif payload[0] == RAW:
            payload = payload[1 + len(block) :]
        else:
            at = 1 + (unpack_table(payload[1:])[1] if payload[0] == TABLE else 0)
            count = int.from_bytes(payload[at : at + 3], "little")
            payload = payload[at + STREAM_HEAD + 2 * count :]
    assert kinds == [TABLE, CONSTANT, RAW, SAME, TABLE, SAME]
    assert not payload


@pytest.mark.parametrize("scale", [2, 10, 25, 40])
def test_sizes_are_near_the_limit(scale: float) -> None:
    plane = numbers(BLOCK, scale)
    payload = rans_kernels.encode_plane(plane)
    assert entropy(plane) < len(payload) <= 1.0025 * entropy(plane)


@pytest.mark.parametrize("way", WAYS)
def test_where_and_how_the_bytes_lie_does_not_matter(way: ModuleType) -> None:
    plane = numbers(3001)
    payload = way.encode_plane(plane)
    shifted = np.empty(len(plane) + 1, np.uint8)[1:]
    shifted[:] = plane
    frozen = np.frombuffer(bytes(plane), np.uint8)
    assert way.encode_plane(shifted) == way.encode_plane(frozen) == payload
    for held in (bytearray(payload), memoryview(payload), memoryview(b"-" + payload)[1:]):
        assert np.array_equal(way.decode_plane(held, len(plane)), plane)
    assert way.decode_plane(payload, len(plane)).flags.writeable


# --- bad data --------------------------------------------------------------------------


def stream_of(states: list[int], words: bytes = b"", count: int | None = None) -> bytes:
    size = len(words) // 2 if count is None else count
    heads = b"".join(state.to_bytes(4, "little") for state in states)
    return size.to_bytes(3, "little") + heads + words


EVEN = bytes([TABLE]) + pack_table(levels_of(np.full(256, 1)))
FIRST = [1 << 16] * LANES


@pytest.mark.parametrize("way", WAYS)
@pytest.mark.parametrize(
    ("payload", "size", "number"),
    [
        pytest.param(b"", 1, ENDS_EARLY, id="no block"),
        pytest.param(b"x", 0, rans.BYTES_LEFT, id="a block of nothing"),
        pytest.param(bytes([4, 0]), 1, rans.BAD_KIND, id="kind 4"),
        pytest.param(bytes([255]), 1, rans.BAD_KIND, id="kind 255"),
        pytest.param(bytes([CONSTANT]), 3, ENDS_EARLY, id="constant, no byte"),
        pytest.param(bytes([RAW, 1, 2]), 3, ENDS_EARLY, id="raw, too few bytes"),
        pytest.param(bytes([RAW, 1, 2]), 1, rans.BYTES_LEFT, id="raw, too many bytes"),
        pytest.param(bytes([CONSTANT, 1]), BLOCK + 1, ENDS_EARLY, id="one block of two"),
        pytest.param(bytes([SAME]) + stream_of(FIRST), 8, rans.NO_TABLE, id="no table before"),
        pytest.param(EVEN, 8, ENDS_EARLY, id="no stream"),
        pytest.param(EVEN + stream_of(FIRST)[:-1], 8, ENDS_EARLY, id="states cut"),
        pytest.param(EVEN + stream_of(FIRST, b"\0\0", 2), 8, ENDS_EARLY, id="words cut"),
        pytest.param(
            EVEN + stream_of(FIRST, b"\0" * 16, (1 << 24) - 1), 8, ENDS_EARLY, id="2^24 words"
        ),
        pytest.param(EVEN + stream_of(FIRST), 8, rans.BAD_STATES, id="too few words"),
        pytest.param(EVEN + stream_of(FIRST, b"\0" * 200), 8, rans.BAD_STATES, id="too many"),
        pytest.param(EVEN + stream_of([0] * LANES), 1000, rans.BAD_STATES, id="states 0"),
        pytest.param(
            EVEN + stream_of([(1 << 32) - 1] * LANES, b"\xff" * 64), 99, rans.BAD_STATES, id="full"
        ),
    ],
)
def test_bad_payloads_are_refused(way: Any, payload: bytes, size: int, number: int) -> None:
    with pytest.raises(CorruptError, match=rans.REASONS[number]):
        way.decode_plane(payload, size)


def test_every_truncation_is_refused() -> None:
    plane = numbers(700, scale=3)
    payload = both(plane)
    assert payload[0] == TABLE
    for size in range(len(payload)):
        assert outcome(rans_kernels, payload[:size], len(plane)) is None
        assert outcome(rans, payload[:size], len(plane)) is None
    assert outcome(rans_kernels, payload + b"\0", len(plane)) is None
    assert outcome(rans, payload + b"\0", len(plane)) is None


def test_damage_to_a_stream_is_hardly_ever_overlooked() -> None:
    plane = numbers(2000, scale=3)
    payload = both(plane)
    start = 1 + unpack_table(payload[1:])[1]
    bits = range(8 * start, 8 * len(payload))
    overlooked = 0
    for bit in bits:
        damaged = bytearray(payload)
        damaged[bit >> 3] ^= 1 << (bit & 7)
        overlooked += outcome(rans_kernels, bytes(damaged), len(plane)) is not None
    assert overlooked <= len(bits) / 1000


MULTI = np.concatenate([numbers(BLOCK, 4), numbers(500, 3)])
PAYLOADS = [(rans_kernels.encode_plane(p), len(p)) for p in (numbers(900, 4), MULTI)]


@given(st.data())
def test_mutations_are_refused_or_decode_alike(data: st.DataObject) -> None:
    payload, size = data.draw(st.sampled_from(PAYLOADS[:1] * 9 + PAYLOADS[1:]))
    mutated = bytearray(payload)
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(mutated) - 1) | st.integers(0, 120))
        mutated[at] = data.draw(st.integers(0, 255))
    if data.draw(st.booleans()):
        size += data.draw(st.sampled_from([-1, 1, 8, BLOCK]))
    assert outcome(rans, bytes(mutated), size) == outcome(rans_kernels, bytes(mutated), size)


@given(st.sampled_from([b"", bytes([SAME]), EVEN]), st.binary(max_size=200), st.integers(0, 3000))
def test_any_bytes_are_refused_or_decode_alike(head: bytes, tail: bytes, size: int) -> None:
    assert outcome(rans, head + tail, size) == outcome(rans_kernels, head + tail, size)
