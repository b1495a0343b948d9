"""What is found in numbers, measured against the entropy of their planes."""

import numpy as np
import pytest

from nncomp.codecs.tensor.formats.gguf import TYPES as GGUF_TYPES

RANDOM = np.random.default_rng(21)
COUNT = 1 << 18
WEIGHTS = RANDOM.normal(0, 0.02, COUNT)


def entropy(symbols: np.ndarray) -> float:
    """Order-0 entropy in bytes for all symbols."""
    counts = np.unique(symbols, return_counts=True)[1]
    return float(-(counts * np.log2(counts / len(symbols))).sum() / 8)


def by_planes(values: np.ndarray) -> float:
    """The bound for byte planes of floats, with the exponent in a plane of its own."""
    bits = values.dtype.itemsize * 8
    unsigned = values.view(f"<u{values.dtype.itemsize}").astype(np.uint64)
    rotated = unsigned << np.uint64(1) & np.uint64((1 << bits) - 1) | unsigned >> np.uint64(
        bits - 1
    )
    return sum(entropy(rotated >> np.uint64(8 * k) & np.uint64(255)) for k in range(bits // 8))


BF16 = (WEIGHTS.astype(np.float32).view(np.uint32) >> 16).astype("<u2")
F16 = WEIGHTS.astype("<f2")


@pytest.mark.parametrize("level", [2, 5, 9])
@pytest.mark.parametrize(
    ("dtype", "values"),
    [("bf16", BF16), ("f16", F16), ("f32", WEIGHTS.astype("<f4")), ("f64", WEIGHTS.astype("<f8"))],
    ids=lambda value: value if isinstance(value, str) else "",
)
def test_weights_are_near_the_bound(zipnn, dtype: str, values: np.ndarray, level: int) -> None:
    raw = values.tobytes()
    # Huffman's codes of the exponents have whole bits; only from level 3 on samples decide.
    slack = 0.01 if level == 2 else 0.006
    assert zipnn.round_trip(raw, level, dtype=dtype) < by_planes(values) + slack * len(raw)


@pytest.mark.parametrize(
    ("dtype", "values"),
    [
        ("f32", (BF16.astype("<u4") << 16).view("<f4")),
        ("f32", F16.astype("<f4")),
        ("f64", WEIGHTS.astype("<f4").astype("<f8")),
        ("f64", (BF16.astype("<u4") << 16).view("<f4").astype("<f8")),
    ],
    ids=["bf16 in fp32", "fp16 in fp32", "fp32 in fp64", "bf16 in fp64"],
)
def test_lower_precision_is_found(zipnn, dtype: str, values: np.ndarray) -> None:
    raw = values.tobytes()
    for given in (dtype, "auto"):
        assert zipnn.round_trip(raw, dtype=given) < by_planes(values) + 0.01 * len(raw)
    narrow = {"f32": F16.nbytes, "f64": 4 * COUNT}[dtype]
    assert zipnn.round_trip(raw, dtype=dtype) < narrow


@pytest.mark.parametrize("dtype", ["bf16", "f16", "f32", "f64", "i32", "u64"])
def test_quantised_weights_become_a_palette(zipnn, dtype: str) -> None:
    levels = RANDOM.normal(0, 0.02, 16)
    chosen = np.minimum(15, RANDOM.geometric(0.2, COUNT) - 1)
    if dtype == "bf16":
        values = (levels.astype("<f4").view("<u4") >> 16).astype("<u2")[chosen]
    elif dtype[0] == "f":
        values = levels.astype(f"<f{int(dtype[1:]) // 8}")[chosen]
    else:
        values = (levels * 1e9).astype(f"<i{int(dtype[1:]) // 8}")[chosen]
    assert zipnn.round_trip(values.tobytes(), dtype=dtype) < 1.04 * entropy(chosen) + 2000


@pytest.mark.parametrize("share", [0.3, 0.5, 0.9, 0.99])
@pytest.mark.parametrize("dtype", ["bf16", "f32"])
def test_pruned_weights_cost_a_bit_for_each_zero(zipnn, dtype: str, share: float) -> None:
    values = BF16 if dtype == "bf16" else WEIGHTS.astype("<f4")
    kept = RANDOM.random(COUNT) >= share
    pruned = np.where(kept, values, 0).astype(values.dtype)
    got = zipnn.round_trip(pruned.tobytes(), dtype=dtype)
    where = entropy(kept)
    bound = where + by_planes(values[kept])
    # Whole bytes of the bitmap are coded, with whole bits: never better than a bit in eight.
    assert got < 1.02 * bound + 0.2 * where + COUNT / 64 + 500


@pytest.mark.parametrize("value", [0, 1, 0x3F80, 0xFFFF])
@pytest.mark.parametrize("dtype", ["auto", "bf16", "f64", "i8", "i32", "bytes"])
def test_constants_take_nothing(zipnn, dtype: str, value: int) -> None:
    raw = np.full(COUNT, value, "<u2").tobytes()
    assert zipnn.round_trip(raw, dtype=dtype) < 60


def test_rows_that_come_again(zipnn) -> None:
    row = WEIGHTS[:1000].astype("<f4")
    raw = np.tile(row, 100).tobytes()
    assert zipnn.round_trip(raw, dtype="f32") < 1.5 * row.nbytes
    assert zipnn.round_trip(raw) < 1.5 * row.nbytes


def test_booleans_take_a_bit_or_less(zipnn) -> None:
    half = RANDOM.integers(2, size=COUNT, dtype=np.uint8)
    assert zipnn.round_trip(half.tobytes(), dtype="bool") < COUNT / 8 + 50
    few = (RANDOM.random(COUNT) < 0.01).astype(np.uint8)
    assert zipnn.round_trip(few.tobytes(), dtype="bool") < COUNT / 50
    more = np.where(RANDOM.random(COUNT) < 0.01, 7, few).astype(np.uint8)
    assert zipnn.round_trip(more.tobytes(), dtype="bool") < COUNT / 20


def test_small_integers_of_either_sign(zipnn) -> None:
    numbers = np.rint(RANDOM.normal(0, 20, COUNT))
    for unit in (1, 2, 4, 8):
        raw = numbers.astype(f"<i{unit}").tobytes()
        assert zipnn.round_trip(raw, dtype=f"i{8 * unit}") < 1.02 * entropy(numbers) + 500


@pytest.mark.parametrize("number", [2, 8, 12])
def test_blocks_are_split_into_their_fields(zipnn, gguf_file, number: int) -> None:
    dtype = GGUF_TYPES[number]
    blocks = 8192
    fields = [
        RANDOM.normal(0, 0.02, blocks).astype("<f2").view(np.uint8).reshape(blocks, 2)
        if size == 2
        else np.minimum(255, RANDOM.geometric(0.05, (blocks, size))).astype(np.uint8)
        for size in dtype.fields
    ]
    raw = np.concatenate(fields, axis=1).tobytes()
    assert len(raw) == blocks * dtype.unit
    file = gguf_file("blk.0.weight", number, round(8 * len(raw) / dtype.bits), raw)
    bound = sum(
        sum(entropy(field[:, k]) for k in range(2))
        if field.shape[1] == 2
        else entropy(field.ravel())
        for field in fields
    )
    got = zipnn.round_trip(file)
    assert got < 1.01 * bound + 3000
    assert got < 0.99 * zipnn.round_trip(file, dtype="bytes")


def test_text_is_left_to_matches(zipnn) -> None:
    text = b"It is a truth universally acknowledged. " * 5000
    for dtype in ("auto", "bytes"):
        assert zipnn.round_trip(text, dtype=dtype) < 300


def test_headers_and_many_small_tensors_cost_little(zipnn, safetensors) -> None:
    tensors = {
        f"model.layers.{k}.norm.weight": ("BF16", (64,), BF16[64 * k : 64 * k + 64].tobytes())
        for k in range(500)
    }
    file = safetensors(tensors)
    header = int.from_bytes(file[:8], "little")
    assert header > 40_000
    assert zipnn.round_trip(file) < 0.2 * header + 0.85 * (len(file) - header)
