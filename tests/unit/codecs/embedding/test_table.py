"""Whole tables: every type, shape and coder, with and without compiled functions."""

from contextlib import suppress
from unittest.mock import patch

import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

from nncomp.codecs.embedding import contexts, machine, parts, table
from nncomp.codecs.embedding.arrays import ops
from nncomp.codecs.embedding.contexts import choose_contexts
from nncomp.codecs.embedding.table import CODERS, decode_table, describe_table, encode_table
from nncomp.errors import CorruptError, LimitError, MethodError, NncompError

LIMIT = 1 << 26
RANDOM = np.random.default_rng(23)


def lookups(rows: int, columns: int, size: int = 40, dtype: str = "f4") -> np.ndarray:
    """Rows of a trained table by Zipf's law; rows and columns differ in scale."""
    scales = np.exp(RANDOM.normal(0, 0.7, (size, 1)) + RANDOM.normal(0, 0.4, columns))
    return (RANDOM.normal(size=(size, columns)) * scales).astype(dtype)[
        RANDOM.zipf(1.2, rows) % size
    ]


def within(before: np.ndarray, after: np.ndarray, bound: float) -> bool:
    """Whether they are equal bit for bit, or near."""
    names = {2: np.uint16, 4: np.uint32, 8: np.uint64}
    same = before.view(names[before.itemsize]) == after.view(names[after.itemsize])
    with np.errstate(all="ignore"):
        near = np.abs(after.astype(np.float64) - before.astype(np.float64)) <= bound
    return bool(np.all(same | near))


def both_ways(values: np.ndarray, **settings) -> bytes:
    """The payload, the same with and without compiled functions, and decoded by both.

    Huffman codes are written by other means where nothing is compiled.
    """
    payloads, decoded = set(), []
    for least in (0, 1 << 60):
        with patch.object(machine, "_COMPILED_FROM", least):
            payload = encode_table(values, **settings)
            payloads.add(payload)
            decoded.append(decode_table(payload, LIMIT).tobytes())
    assert len(payloads) == 1 or settings.get("entropy") == "huffman"
    assert len(set(decoded)) == 1
    return payload


@pytest.mark.parametrize("coder", [*CODERS, "auto"])
@pytest.mark.parametrize("dtype", ["f2", "f4", "f8"])
@pytest.mark.parametrize("relative", [0.0, 1e-1, 1e-3, 1e-6])
def test_round_trip(coder: str, dtype: str, relative: float) -> None:
    values = lookups(300, 24, dtype=dtype)
    payload = both_ways(values, bound=relative, mode="rel", entropy=coder)
    decoded = decode_table(payload, LIMIT)
    assert decoded.dtype == values.dtype
    assert decoded.shape == values.shape
    span = float(values.max()) - float(values.min())
    assert within(values, decoded, relative * span)
    if relative == 0.0:
        assert decoded.tobytes() == values.tobytes()


@pytest.mark.parametrize("bits", [27, 28, 29, 30, 31])
def test_smooth_codes_of_many_bits(bits: int) -> None:
    """Of which most are kept as low bits: symbols stand for no code above 32 bits."""
    values = RANDOM.uniform(-1, 1, (200, 16))
    payload = both_ways(values, bound=2.0 ** (1 - bits), entropy="ans")
    assert within(values, decode_table(payload, LIMIT), 2.0 ** (1 - bits))
    assert describe_table(table.Cursor(payload)).bound


def test_bfloat16() -> None:
    ml_dtypes = pytest.importorskip("ml_dtypes")
    values = lookups(200, 16).astype(ml_dtypes.bfloat16)
    payload = encode_table(values, bound=0.5)
    assert payload == both_ways(values.view(np.uint16), bound=0.5, dtype="BF16")
    decoded = decode_table(payload, LIMIT)
    assert decoded.dtype == np.uint16
    assert within_numbers(values, decoded.view(ml_dtypes.bfloat16), 0.5)


def within_numbers(before: np.ndarray, after: np.ndarray, bound: float) -> bool:
    return bool(np.all(np.abs(after.astype(np.float64) - before.astype(np.float64)) <= bound))


@pytest.mark.parametrize(
    "shape", [(0, 0), (0, 64), (64, 0), (1, 1), (1, 64), (64, 1), (3, 5), (500, 2), (70, 3)]
)
@pytest.mark.parametrize("coder", CODERS)
def test_shapes(shape: tuple[int, int], coder: str) -> None:
    values = RANDOM.normal(size=shape).astype(np.float32)
    for relative in (0.0, 1e-2):
        payload = both_ways(values, bound=relative, mode="rel", entropy=coder)
        decoded = decode_table(payload, LIMIT)
        assert decoded.shape == shape
        assert within(values, decoded, relative * float(np.ptp(values) if values.size else 0))


def test_strides_do_not_matter() -> None:
    values = lookups(100, 32)
    for view in (values[::2, ::3], values.T, np.asfortranarray(values)):
        assert encode_table(view, bound=0.1) == encode_table(view.copy(), bound=0.1)


@pytest.mark.parametrize("value", [0.0, -0.0, 1.5, 3e38, 1e-45, np.inf, np.nan])
def test_constant_tables(value: float) -> None:
    values = np.full((200, 64), value, np.float32)
    for mode in ("abs", "rel"):
        payload = both_ways(values, bound=1e-2, mode=mode)
        assert len(payload) < 330
        assert within(values, decode_table(payload, LIMIT), 1e-2)


def test_exceptions_come_with_repeated_rows() -> None:
    values = lookups(400, 16)
    values[7, 3] = values[200, 3] = np.nan
    values[250] = values[200]
    values[9, 0] = 1e38
    values[11, 5] = -np.inf
    patterns = values.view(np.uint32)
    patterns[7, 3] |= 0x123
    payload = both_ways(values, bound=1e-2)
    decoded = decode_table(payload, LIMIT)
    assert within(values, decoded, 1e-2)
    assert decoded.view(np.uint32)[7, 3] == patterns[7, 3]


def test_repeated_rows_are_kept_once() -> None:
    values = lookups(4000, 64, size=50)
    payload = encode_table(values, bound=1e-2, mode="rel")
    assert len(payload) < len(encode_table(values[:200], bound=1e-2, mode="rel")) + 4000


def test_rows_are_joined_after_quantising_too() -> None:
    values = np.repeat(np.arange(5, dtype=np.float32), 100)[:, None] + np.zeros(64, np.float32)
    noisy = values + RANDOM.uniform(-0.2, 0.2, values.shape).astype(np.float32)
    assert len(encode_table(noisy, bound=0.5)) < 300


def test_contexts_pay() -> None:
    values = lookups(1000, 64, size=1000)
    codes = np.rint(values * 20).astype(np.int32)
    contexts = choose_contexts(codes, ops(compiled=False))
    assert contexts is not None
    assert contexts.count > 1
    payload = encode_table(values, bound=1 / 40)
    with patch("nncomp.codecs.embedding.entropy.choose_contexts", lambda *of: None):
        assert len(payload) < 0.97 * len(encode_table(values, bound=1 / 40))


@pytest.mark.parametrize("shape", [(1, 200_000), (3, 40_000), (50_000, 4)])
def test_wide_and_long_tables(shape: tuple[int, int]) -> None:
    values = RANDOM.normal(size=shape).astype(np.float32) * np.arange(1, shape[1] + 1)
    values = values.astype(np.float32)
    assert within(values, decode_table(encode_table(values, bound=1.0), LIMIT), 1.0)


def test_contexts_of_too_many_columns_are_refused() -> None:
    """They would take a hundred bytes and more for each column."""
    values = RANDOM.normal(size=(1, contexts.COLUMNS_MAX + 1)).astype(np.float32)
    payload = encode_table(values, bound=0.1, entropy="ans")
    assert within(values, decode_table(payload, LIMIT), 0.1)
    source = table.Cursor(payload)
    table.read_shape(source)
    parts.read_head(source)
    assert payload[source.offset] == 0  # there are none
    damaged = payload[: source.offset] + bytes([1]) + payload[source.offset + 1 :]
    with pytest.raises(CorruptError, match="so many columns"):
        decode_table(damaged, LIMIT)


def test_several_parts() -> None:
    values = lookups(500, 8)
    with patch.object(table, "PART_MAX", 1000):
        payload = both_ways(values, bound=1e-3)
        assert within(values, decode_table(payload, LIMIT), 1e-3)


def test_choice_by_bandwidth() -> None:
    values = lookups(2000, 64)
    sizes = {coder: len(encode_table(values, bound=1e-2, entropy=coder)) for coder in CODERS}
    assert len(encode_table(values, bound=1e-2)) == min(sizes.values())
    slow = encode_table(values, bound=1e-2, bandwidth=1e3)
    assert len(slow) == min(sizes.values())
    fast = encode_table(values, bound=1e-2, bandwidth=1e12)
    assert len(fast) > min(sizes.values())


@pytest.mark.parametrize(
    "settings",
    [
        {"bound": -1.0},
        {"bound": float("nan")},
        {"bound": float("inf")},
        {"bound": 0.1, "mode": "relative"},
        {"bound": 0.1, "entropy": "lzma"},
        {"bound": 0.1, "bandwidth": -1.0},
        {"bound": 0.1, "dtype": "BF16"},
    ],
)
def test_arguments(settings) -> None:
    with pytest.raises(MethodError):
        encode_table(np.zeros((2, 2), np.float32), **settings)


def test_bounds_of_other_types_are_as_good() -> None:
    """Of NumPy's float16, what is computed from it would be float16, and overflow."""
    values = np.random.default_rng(1).normal(0, 1e3, (64, 8)).astype(np.float32)
    for mode in ("abs", "rel"):
        bound = np.float16(0.01)
        assert encode_table(values, bound=bound, mode=mode) == encode_table(
            values, bound=float(bound), mode=mode
        )


def test_other_arrays_are_refused() -> None:
    for values in (np.zeros(3, np.float32), np.zeros((2, 2), np.int32), np.zeros((1, 2, 3))):
        with pytest.raises(MethodError):
            encode_table(values, bound=0.1)


def test_limit() -> None:
    payload = encode_table(np.zeros((100, 10), np.float32), bound=0.1)
    assert decode_table(payload, 4000).shape == (100, 10)
    with pytest.raises(LimitError):
        decode_table(payload, 3999)
    huge = bytes([0]) + b"\xff\xff\xff\xff\x07" * 2 + payload[4:]
    with pytest.raises(LimitError):
        decode_table(huge, LIMIT)


def variants() -> list[bytes]:
    values = lookups(120, 12)
    special = values.copy()
    special[3, 3], special[100, 1] = np.nan, 1e38
    payloads = [encode_table(values, bound=1e-2, mode="rel", entropy=coder) for coder in CODERS]
    payloads += [encode_table(special, bound=1e-2, entropy=coder) for coder in ("ans", "zstd")]
    payloads += [encode_table(values, bound=1e-6), encode_table(values, bound=0)]
    with patch("nncomp.codecs.embedding.contexts._STREAM", 0):
        payloads.append(encode_table(lookups(200, 30, 200), bound=1e-2, entropy="ans"))
    return payloads


@pytest.mark.parametrize("number", range(len(variants())))
def test_damage(number: int) -> None:
    payload = variants()[number]
    for size in range(0, len(payload), 1 + len(payload) // 500):
        with pytest.raises(CorruptError):
            decode_table(payload[:size], LIMIT)
    for bit in RANDOM.permutation(8 * len(payload))[:500].tolist():
        flipped = bytearray(payload)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            decode_table(flipped, LIMIT)
        except NncompError:
            continue


@given(st.binary(max_size=200))
def test_any_bytes(data: bytes) -> None:
    for start in (b"", b"\x00\x08\x08", b"\x00\x40\x08\x0b", b"\x01\x20\x04\x09"):
        with suppress(NncompError):
            decode_table(start + data, 1 << 16)


@given(
    hnp.arrays(np.uint32, hnp.array_shapes(min_dims=2, max_dims=2, max_side=30)),
    st.sampled_from([1e-30, 1e-3, 1.0, 1e20]),
    st.sampled_from(CODERS),
)
def test_any_patterns(patterns: np.ndarray, bound: float, coder: str) -> None:
    values = patterns.view(np.float32)
    decoded = decode_table(encode_table(values, bound=bound, entropy=coder), LIMIT)
    assert within(values, decoded, bound)


def test_heads_are_read_as_written() -> None:
    for head in (
        parts.PartHead(1, 0.5, 77, -30, 0),
        parts.PartHead(9, 0.5, 65535, parts.NO_MARGIN, -5),
        parts.PartHead(7, 1e-30, 0, 1000, 1 << 30, 12, 345),
        parts.PartHead(2, unique=3),
        parts.PartHead(0),
    ):
        assert parts.read_head(table.Cursor(head.pack())) == head


def test_what_a_payload_says() -> None:
    values = lookups(400, 16)
    values[0, 0] = np.nan
    info = describe_table(table.Cursor(encode_table(values, bound=1e-2)))
    decoded = decode_table(encode_table(values, bound=1e-2), LIMIT)
    error = np.nanmax(np.abs(decoded.astype(np.float64) - values))
    assert (info.dtype, info.shape, info.bound) == ("F32", (400, 16), 1e-2)
    assert error <= info.error <= error + 1e-2 / 65535 * 1.001
    assert info.exceptions == 1
    assert info.unique <= 41


def test_auto_is_the_smallest_where_whole_batches_come_again() -> None:
    """Which frequencies alone do not show."""
    values = np.tile(lookups(1000, 16), (4, 1))
    sizes = {
        coder: len(encode_table(values, bound=1e-2, entropy=coder))
        for coder in ("auto", "ans", "zstd")
    }
    assert sizes["auto"] < 0.9 * sizes["ans"]
    assert sizes["auto"] <= sizes["zstd"]
    assert within(values, decode_table(encode_table(values, bound=1e-2), LIMIT), 1e-2)
