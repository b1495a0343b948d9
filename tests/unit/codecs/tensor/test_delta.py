"""Differences to a base: found where they are, small, and never needed to get it right."""

import io

import numpy as np
import pytest

import nncomp
from nncomp.codecs.tensor.delta import BaseTensors
from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.codecs.tensor.formats.gguf import TYPES as GGUF_TYPES

RANDOM = np.random.default_rng(4)


def weights(count: int) -> np.ndarray:
    """bfloat16, as bit patterns."""
    return (RANDOM.normal(0, 0.02, count).astype(np.float32).view(np.uint32) >> 16).astype("<u2")


def changed(values: np.ndarray, share: float) -> np.ndarray:
    """Some elements are one or two steps larger or smaller."""
    step = RANDOM.choice([-2, -1, 1, 2], len(values))
    where = RANDOM.random(len(values)) < share
    return (values + np.where(where, step, 0)).astype(values.dtype)


OLD = weights(400_000)
NEW = changed(OLD, 0.1)


def size(data: bytes, base: bytes, method: str = "zipnn", level: int | None = None) -> int:
    """Size of the archive; it must decode."""
    archive = nncomp.compress(data, method, level=level, base=base)
    assert nncomp.decompress(archive, base=base) == data
    return len(archive)


@pytest.mark.parametrize("level", [1, 2, 5, 9])
def test_tenth_of_weights_changed(level: int) -> None:
    assert size(NEW.tobytes(), OLD.tobytes(), "zipnn:dtype=bf16", level) < 0.1 * NEW.nbytes


def test_as_small_as_the_entropy_of_the_changes() -> None:
    # Share of changes at one bit each for where, and two for which of four.
    bound = (0.1 * np.log2(10) + 0.9 * np.log2(1 / 0.9) + 0.1 * 2) / 16
    got = size(NEW.tobytes(), OLD.tobytes(), "zipnn:dtype=bf16") / NEW.nbytes
    assert got < bound + 0.005


@pytest.mark.parametrize(
    ("dtype", "limit"), [("F32", 0.1), ("F64", 0.05), ("I8", 0.2), ("I32", 0.1), ("BOOL", 0.3)]
)
def test_other_types(safetensors, dtype: str, limit: float) -> None:
    unit = DTYPES[dtype].unit
    old = RANDOM.normal(0, 0.02, 50_000).astype(f"<f{unit}" if unit > 2 else "<f4").view(np.uint8)
    old = old if dtype != "BOOL" else RANDOM.integers(2, size=100_000, dtype=np.uint8)
    new = old.copy()
    some = RANDOM.random(len(old) // unit) < 0.05
    new[::unit] ^= some.astype(np.uint8)
    files = [safetensors({"w": (dtype, (len(x) // unit,), x.tobytes())}) for x in (old, new)]
    assert size(files[1], files[0]) < limit * len(files[0])
    assert size(files[0], files[0]) < 0.01 * len(files[0]) + 200


def test_tensors_are_found_by_name(safetensors) -> None:
    other = weights(30_000)
    old = {"a": ("BF16", (400, 1000), OLD.tobytes()), "b": ("BF16", (30_000,), other.tobytes())}
    new = {"b": old["b"], "a": ("BF16", (400, 1000), NEW.tobytes())}
    assert size(safetensors(new), safetensors(old)) < 0.1 * NEW.nbytes


@pytest.mark.parametrize(
    "new",
    [
        {"c": ("BF16", (400_000,), OLD.tobytes())},
        {"a": ("F16", (400_000,), OLD.tobytes())},
        {"a": ("BF16", (400, 1000), OLD.tobytes())},
        {"a": ("BF16", (200_000,), OLD[:200_000].tobytes())},
    ],
    ids=["another name", "another type", "another shape", "another size"],
)
def test_tensors_that_correspond_to_nothing(safetensors, new) -> None:
    base = safetensors({"a": ("BF16", (400_000,), OLD.tobytes())})
    content = safetensors(new)
    without = len(nncomp.compress(content, "zipnn"))
    assert without - 200 < size(content, base) < without + 200


@pytest.mark.parametrize("cut", [0, 1, 2, 3, 1001, 65_535, 65_536, 400_001, 799_999, 800_000])
@pytest.mark.parametrize("dtype", ["auto", "bf16", "f64", "bytes"])
def test_bases_that_end_early(dtype: str, cut: int) -> None:
    content = NEW.tobytes()
    without = len(nncomp.compress(content, f"zipnn:dtype={dtype}"))
    got = size(content, OLD.tobytes()[:cut], f"zipnn:dtype={dtype}")
    assert got < without * (1 - 0.8 * cut / len(content)) + 1000


def test_text_of_which_some_is_changed() -> None:
    words = [b"alpha ", b"beta ", b"gamma ", b"delta ", b"epsilon "]
    old = b"".join(words[i] for i in RANDOM.integers(5, size=60_000))
    new = bytearray(old)
    new[::1000] = b"#" * len(new[::1000])
    assert size(bytes(new), old) < 0.01 * len(old)


def test_bases_that_are_longer_or_of_another_kind(safetensors) -> None:
    content = NEW.tobytes()
    assert size(content, OLD.tobytes() * 2, "zipnn:dtype=bf16") < 0.1 * len(content)
    for base in (b"text " * 1000, safetensors({}), b"\0" * 8, b"GGUF", b"PK\3\4" * 99):
        size(content, base, "zipnn:dtype=bf16")
        size(content, base)
        size(safetensors({"a": ("BF16", (400_000,), content)}), base)
    for tiny in (b"", b"x", b"xyz"):
        size(tiny, OLD.tobytes())
        size(tiny, tiny)


def test_lying_headers_in_content_and_base(safetensors) -> None:
    good = safetensors({"a": ("BF16", (4000,), OLD[:4000].tobytes())})
    lies = [
        good.replace(b"8000", b"9000"),  # longer than the file
        good.replace(b"8000", b"7000"),  # another size than the shape
        good.replace(b"[0, 8000]", b"[9, 8000]"),
        good[:-100],
        good[:20],
    ]
    assert all(lie != good for lie in lies)
    for one in [good, *lies]:
        for other in [good, *lies]:
            size(one, other)


def test_rounded_numbers_take_differences_too() -> None:
    method = "zipnn:dtype=f32,abs=0.001"
    old = RANDOM.normal(0, 1, 40_000).astype(np.float32)
    new = np.where(RANDOM.random(40_000) < 0.1, old + np.float32(0.1), old)
    base = nncomp.decompress(nncomp.compress(old.tobytes(), method))
    archive = nncomp.compress(new.tobytes(), method, base=base)
    got = np.frombuffer(nncomp.decompress(archive, base=base), np.float32)
    assert np.abs(got - new).max() <= 0.001
    assert len(archive) < 0.5 * len(nncomp.compress(new.tobytes(), method))


@pytest.mark.parametrize("groups", [1, 3, 4, 32])
def test_groups_take_differences(groups: int) -> None:
    content = NEW.tobytes()
    got = size(content, OLD.tobytes(), f"zipnn:dtype=bf16,groups={groups}")
    assert got < 0.15 * len(content)


@pytest.mark.parametrize("number", [2, 8, 14])
def test_blocks_take_differences(gguf_file, number: int) -> None:
    dtype = GGUF_TYPES[number]
    old = RANDOM.bytes(1000 * dtype.unit)
    new = bytearray(old)
    new[::100] = RANDOM.bytes(len(new[::100]))
    count = round(8 * len(old) / dtype.bits)
    files = [gguf_file("blk.0.weight", number, count, bytes(raw)) for raw in (old, new)]
    assert size(files[1], files[0]) < 0.05 * len(old) + 150
    assert size(files[1], b"another base") > 0.9 * len(old)


def test_threads_change_nothing() -> None:
    content, base = NEW.tobytes() * 4, OLD.tobytes() * 4
    one = nncomp.compress(content, "zipnn:dtype=bf16", base=base)
    assert nncomp.compress(content, "zipnn:dtype=bf16", base=base, threads=4) == one
    assert nncomp.decompress(one, base=base, threads=4) == content


class Bytes:
    """Bytes as a base."""

    def __init__(self, content: bytes) -> None:
        self.size = len(content)
        self.read = lambda offset, size: content[offset : offset + size]
        self.file = lambda: io.BytesIO(content)
        self.digest = ""


def test_where_the_base_has_what_corresponds(safetensors) -> None:
    f16 = DTYPES["F16"]
    file = safetensors({"a": ("F16", (3,), b"abcdef"), "b": ("F16", (2, 1), b"ghij")})
    named = BaseTensors(Bytes(file))
    start = file.index(b"ghij")
    assert named.start_of(Segment(4, f16, "b", (2, 1)), 0, 0) == start
    assert named.start_of(Segment(2, f16, "b", (2, 1)), 0, 2) == start
    assert named.start_of(Segment(4, f16, "b", (2,)), 0, 0) is None
    assert named.start_of(Segment(4, DTYPES["BF16"], "b", (2, 1)), 0, 0) is None
    assert named.start_of(Segment(4, f16, "c", (2, 1)), 0, 0) is None
    assert named.start_of(Segment(9, None), 8, 0) == 8  # a header
    plain = BaseTensors(Bytes(b"0123456789"))
    assert plain.start_of(Segment(None, f16), 0, 0) == 0
    assert plain.start_of(Segment(None, f16), 4, 5) == 4
    assert plain.start_of(Segment(None, f16), 4, 6) is None
    assert plain.start_of(Segment(4, f16, "b", (2, 1)), 4, 0) == 4
    assert plain.changes(2, b"\x33\x34\x34", 2) == b"\x01\x01"
