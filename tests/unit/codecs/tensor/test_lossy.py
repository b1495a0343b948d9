"""Rounding: never more than was asked for, and everything else kept bit for bit."""

import io
from fractions import Fraction

import numpy as np
import pytest

import nncomp
from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.codecs.tensor.lossy import Loss
from nncomp.errors import MethodError

# Bytes, exponent bits and mantissa bits.
TYPES = {
    "F16": (2, 5, 10),
    "BF16": (2, 8, 7),
    "F32": (4, 8, 23),
    "C64": (4, 8, 23),
    "F64": (8, 11, 52),
    "C128": (8, 11, 52),
}
BOUNDS = [1e-300, 1e-40, 1e-6, 0.001, 0.3, 0.5, 1.0, 3.0, 1e5, 1e39, 1e300]
BOUNDS += [float(np.nextafter(2.0**99, 0)), float(np.nextafter(2.0**-70, 0))]
RATIOS = [1e-300, 2**-53, 2**-24, 1e-3, 0.0078125, 0.1, 0.3, 0.49999, 0.5]


def patterns(dtype: str, mantissas: int = 40) -> np.ndarray:
    """Both signs of every exponent, each with edge and random mantissas."""
    width, exponents, bits = TYPES[dtype]
    random = np.random.default_rng(bits)
    edges = [0, 1, 2, 3, 1 << bits - 1, (1 << bits) - 1, (1 << bits) - 2, (1 << bits - 1) - 1]
    some = np.append(np.array(edges, np.uint64), random.integers(1 << bits, size=mantissas))
    exponent = np.arange(1 << exponents, dtype=np.uint64) << np.uint64(bits)
    both = exponent[:, None] | some.astype(np.uint64)
    sign = np.uint64(1 << 8 * width - 1)
    return np.concatenate([both, both | sign]).reshape(-1).astype(UNSIGNED[width])


def values(x: np.ndarray, dtype: str) -> np.ndarray:
    """As float64, without a conversion that would touch a NaN."""
    with np.errstate(invalid="ignore"):
        if dtype == "BF16":
            return (x.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return x.view(f"<f{x.itemsize}").astype(np.float64)


def check(x: np.ndarray, y: np.ndarray, dtype: str, bound: float, relative: bool) -> None:
    """Every bound in exact arithmetic; what is no number is the same in every bit."""
    before, after = values(x, dtype), values(y, dtype)
    finite = np.isfinite(before)
    assert np.array_equal(x[~finite], y[~finite])
    assert np.isfinite(after[finite]).all()
    with np.errstate(all="ignore"):
        limits = bound * np.abs(before) if relative else np.full(len(x), bound)
        near = finite & (x != y) & (np.abs(before - after) >= 0.999 * limits)
    for a, b in zip(before[near].tolist(), after[near].tolist(), strict=True):
        limit = Fraction(bound) * (abs(Fraction(a)) if relative else 1)
        assert abs(Fraction(a) - Fraction(b)) <= limit, (a, b)


@pytest.mark.parametrize("bound", BOUNDS)
@pytest.mark.parametrize("dtype", TYPES)
def test_absolute_bound_holds_for_every_exponent(dtype: str, bound: float) -> None:
    x = patterns(dtype, 12 if TYPES[dtype][0] < 8 else 2)
    check(x, Loss(bound, 0, 0).round(x, dtype), dtype, bound, relative=False)


@pytest.mark.parametrize("ratio", RATIOS)
@pytest.mark.parametrize("dtype", TYPES)
def test_relative_bound_holds_for_every_exponent(dtype: str, ratio: float) -> None:
    x = patterns(dtype, 12 if TYPES[dtype][0] < 8 else 2)
    check(x, Loss(0, ratio, 0).round(x, dtype), dtype, ratio, relative=True)


@pytest.mark.parametrize("ratio", [0.3, 0.3001, 0.33, 0.4, 0.07, 0.013])
def test_relative_bound_of_denormal_numbers(ratio: float) -> None:
    # Products with the ratio are rounded to whole steps there; a step is too much.
    powers = [1 << bit for bit in range(30, 52)]
    places = [int(power / (1 + ratio)) + k for power in powers for k in range(-3, 4)]
    x = np.array(places, np.uint64)
    check(x, Loss(0, ratio, 0).round(x, "F64"), "F64", ratio, relative=True)


@pytest.mark.parametrize("dtype", TYPES)
def test_kept_bits(dtype: str) -> None:
    _, exponents, mantissa = TYPES[dtype]
    x = patterns(dtype, 6)
    for bits in [*range(1, mantissa, max(1, mantissa // 8)), *range(mantissa - 1, mantissa + 3)]:
        y = Loss(0, 0, bits).round(x, dtype)
        # Half a unit of the last bit that is kept; of denormal numbers that of the smallest.
        normal = np.isfinite(values(x, dtype)) & (x >> mantissa & (1 << exponents) - 1 > 0)
        ratio = 2.0 ** -(bits + 1)
        check(x[normal], y[normal], dtype, ratio, relative=True)
        finite = np.isfinite(values(x, dtype)) & (x != y)
        if bits < mantissa:
            assert not (y[finite] & (1 << mantissa - bits) - 1).any()
        else:
            assert np.array_equal(x, y)
        endless = ~np.isfinite(values(x, dtype))
        assert np.array_equal(x[endless], y[endless])


@pytest.mark.parametrize("dtype", ["F16", "BF16"])
def test_every_number_of_two_bytes(dtype: str) -> None:
    x = np.arange(1 << 16, dtype=np.uint16)
    for bound in (0.01, 2.0):
        y = Loss(bound, 0, 0).round(x, dtype)
        check(x, y, dtype, bound, relative=False)
        assert len(np.unique(y)) < 0.9 * len(x)
    y = Loss(0, 0.01, 0).round(x, dtype)
    check(x, y, dtype, 0.01, relative=True)


@pytest.mark.parametrize("dtype", TYPES)
def test_rounding_again_changes_nothing(dtype: str) -> None:
    x = patterns(dtype, 4)
    for loss in (Loss(0.01, 0, 0), Loss(0, 0.01, 0), Loss(0, 0, 2)):
        y = loss.round(x, dtype)
        assert np.array_equal(loss.round(y, dtype), y)
        assert not np.array_equal(x, y)


@pytest.mark.parametrize("setting", ["abs=0.01", "rel=0.01", "keep=3"])
@pytest.mark.parametrize("dtype", TYPES)
def test_archives_keep_the_bound_and_shrink(dtype: str, setting: str) -> None:
    width, _, mantissa = TYPES[dtype]
    random = np.random.default_rng(2)
    numbers = random.normal(0, 1, 60_000)
    numbers += np.copysign(0.01, numbers)  # a bit that is kept is one of normal numbers
    x = numbers.astype(f"<f{width}").view(UNSIGNED[width])
    if dtype == "BF16":
        x = (numbers.astype(np.float32).view(np.uint32) >> 16).astype("<u2")
    x[::1000] = patterns(dtype)[-8]  # a NaN of all ones
    content = x.tobytes() + b"!" * (width - 1)
    method = f"zipnn:dtype={dtype.lower()},block=64K"
    archive = nncomp.compress(content, f"{method},{setting}")
    got = nncomp.decompress(archive)
    assert got[-width + 1 :] == content[-width + 1 :]
    y = np.frombuffer(got, x.dtype, len(x))
    name, value = setting.split("=")
    bound = 2.0**-4 if name == "keep" else float(value)
    check(x, y, dtype, bound, relative=name != "abs")
    assert not np.array_equal(x, y) or dtype == "BF16"
    assert len(archive) < len(nncomp.compress(content, method)) * (1.01 if mantissa == 7 else 0.9)


@pytest.mark.parametrize("groups", [1, 2, 3, 5, 7, 32])
@pytest.mark.parametrize("dtype", ["f16", "f32", "f64"])
def test_elements_are_whole_whatever_they_are_cut_into(dtype: str, groups: int) -> None:
    x = np.random.default_rng(6).normal(0, 1, 50_000).astype(f"<f{int(dtype[1:]) // 8}")
    method = f"zipnn:dtype={dtype},groups={groups},abs=0.01,block=64K"
    y = np.frombuffer(nncomp.decompress(nncomp.compress(x.tobytes(), method)), x.dtype)
    assert np.abs(x.astype(np.float64) - y.astype(np.float64)).max() <= 0.01
    assert len(np.unique(y)) < 2000


def test_only_floats_are_rounded(safetensors) -> None:
    floats = np.random.default_rng(1).normal(0, 1, 3000).astype("<f4")
    numbers = np.arange(9000, dtype="<i4").tobytes()
    file = safetensors(
        {"a": ("I32", (9000,), numbers), "b": ("F32", (3000,), floats.tobytes()),
         "c": ("F8_E4M3", (36_000,), numbers)}
    )  # fmt: skip
    got = nncomp.decompress(nncomp.compress(file, "zipnn:abs=0.1"))
    start = file.index(floats.tobytes())
    assert got[:start] == file[:start]
    assert got[start + floats.nbytes :] == file[start + floats.nbytes :]
    rounded = np.frombuffer(got, "<f4", 3000, start)
    assert np.abs(rounded - floats).max() <= 0.1
    assert len(np.unique(rounded)) < 100
    for unknown in (numbers, b"text " * 1000):
        assert nncomp.decompress(nncomp.compress(unknown, "zipnn:keep=1")) == unknown


def test_what_was_coded_is_what_comes_back(zipnn, contents) -> None:
    for raw in contents(70_001).values():
        original = bytearray(raw)
        for dtype in ("f16", "bf16", "f32", "f64", "c64", "c128"):
            for loss in ({"abs": "0.001"}, {"rel": "0.1"}, {"keep": "4"}):
                params = zipnn.params(dtype=dtype, block="64K", **loss)
                blocks = zipnn.encode([original], params)
                assert original == raw
                assert zipnn.decode(blocks, params) == b"".join(bytes(b.raw) for b in blocks)


def test_archives_say_what_was_lost() -> None:
    x = np.random.default_rng(1).normal(0, 1, 3000).astype("<f4").tobytes()
    for setting in ("abs=0.1", "rel=0.25", "keep=5"):
        (info,) = nncomp.inspect(io.BytesIO(nncomp.compress(x, f"zipnn:dtype=f32,{setting}")))
        assert setting in info.params.split(",")
    (info,) = nncomp.inspect(io.BytesIO(nncomp.compress(x, "zipnn:dtype=f32")))
    assert {"abs=0.0", "rel=0.0", "keep=0"} <= set(info.params.split(","))


@pytest.mark.parametrize("both", ["abs=1,rel=0.1", "rel=0.1,keep=2", "abs=1,keep=2"])
def test_one_kind_of_loss_at_a_time(both: str) -> None:
    with pytest.raises(MethodError, match="exclude each other"):
        nncomp.compress(b"", f"zipnn:{both}")


@pytest.mark.parametrize("wrong", ["abs=-1", "abs=nan", "abs=inf", "rel=0.6", "keep=53", "keep=x"])
def test_bounds_that_are_none(wrong: str) -> None:
    with pytest.raises(MethodError):
        nncomp.compress(b"", f"zipnn:{wrong}")


# --- ZIP archives --------------------------------------------------------------------


class Pipe(io.BytesIO):
    """What cannot be gone back in: checksums stand behind the entries."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_place: int) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


@pytest.mark.parametrize("block", ["64K", "1M"])
@pytest.mark.parametrize("seekable", [True, False])
def test_archives_of_arrays_can_still_be_read(seekable: bool, block: str) -> None:
    """Each entry has a checksum, which has to be that of what became of it."""
    values = np.random.default_rng(1).normal(size=(300, 64)).astype(np.float32)
    file = io.BytesIO() if seekable else Pipe()
    np.savez(file, a=values, whole=np.arange(5000), b=values[:20])
    archive = nncomp.compress(file.getvalue(), f"zipnn:abs=1e-3,block={block}", threads=2)
    out = nncomp.decompress(archive)
    assert out != file.getvalue()
    with np.load(io.BytesIO(out)) as arrays:
        assert np.abs(arrays["a"] - values).max() <= 1e-3
        assert np.array_equal(arrays["whole"], np.arange(5000))
        assert np.abs(arrays["b"] - values[:20]).max() <= 1e-3


@pytest.mark.parametrize("loss", ["abs=0.01", "rel=0.01", "keep=3"])
def test_headers_of_files_are_not_taken_for_numbers(loss: str) -> None:
    file = io.BytesIO()
    np.save(file, np.linspace(0, 1, 500, dtype=np.float32))
    with pytest.raises(MethodError, match=r"\.npy file, whose headers"):
        nncomp.compress(file.getvalue(), f"zipnn:{loss},dtype=f32")
    for lossless in ("zipnn:dtype=f32", f"zipnn:{loss},dtype=bytes"):
        assert nncomp.decompress(nncomp.compress(file.getvalue(), lossless)) == file.getvalue()
    back = nncomp.decompress(nncomp.compress(file.getvalue(), f"zipnn:{loss}"))
    assert np.load(io.BytesIO(back)) == pytest.approx(np.linspace(0, 1, 500), abs=0.07)
