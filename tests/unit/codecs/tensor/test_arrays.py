"""The steps between numbers and planes: what they are, and the same compiled or not."""

import importlib
import os
import subprocess
import sys

import numpy as np
import pytest

import nncomp
from nncomp.codecs.tensor import arrays
from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.coding.jit import compiled_module

kernels = pytest.importorskip("nncomp.codecs.tensor.kernels")

WIDTHS = sorted(UNSIGNED)
PAIRS = [("rotate", (2, 4, 8)), ("unrotate", (2, 4, 8)), ("zigzag", WIDTHS), ("unzigzag", WIDTHS)]
LENGTHS = [0, 1, 2, 3, 7, 31, 64, 1000, 4099]


def patterns(width: int, count: int) -> np.ndarray:
    """Every bit alone, none, all, and noise."""
    random = np.random.default_rng(count)
    some = [0, (1 << 8 * width) - 1, *(1 << bit for bit in range(8 * width))]
    noise = np.frombuffer(random.bytes(count * width), UNSIGNED[width])
    return np.append(np.array(some, UNSIGNED[width]), noise)[:count]


def unaligned(values: np.ndarray) -> np.ndarray:
    """The same values at an odd address."""
    return np.frombuffer(b"x" + values.tobytes(), values.dtype, offset=1)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize(("name", "width"), [(n, w) for n, widths in PAIRS for w in widths])
def test_compiled_functions_give_the_same(name: str, width: int, length: int) -> None:
    x = patterns(width, length)
    read_only = np.frombuffer(x.tobytes(), x.dtype)
    results = []
    for module in (arrays, kernels):
        for values in (x, read_only, unaligned(x)):
            out = np.full(length, 77, x.dtype)
            getattr(module, name)(values, out)
            results.append(out)
    assert all(np.array_equal(result, results[0]) for result in results)
    assert np.array_equal(x, patterns(width, length))


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("width", WIDTHS)
def test_compiled_planes_are_the_same(width: int, length: int) -> None:
    x = patterns(width, length)
    expected = x.view(np.uint8).reshape(-1, width).T
    for module in (arrays, kernels):
        for values in (x, unaligned(x)):
            planes = np.full((width, length), 77, np.uint8)
            module.split(values, planes)
            assert np.array_equal(planes, expected)
        out = np.full(length, 77, x.dtype)
        module.join([unaligned(plane) for plane in planes], out)
        assert np.array_equal(out, x)


@pytest.mark.parametrize("length", LENGTHS)
@pytest.mark.parametrize("share", [0, 0.1, 0.9, 1])
@pytest.mark.parametrize("width", WIDTHS)
def test_compiled_maps_of_zeros_are_the_same(width: int, share: float, length: int) -> None:
    kept = np.random.default_rng(1).random(length) < share
    x = np.where(kept, patterns(width, length), 0).astype(UNSIGNED[width])
    bitmap, others = arrays.leave_zeros(x)
    assert np.array_equal(others, x[x != 0])
    assert len(bitmap) == -(-length // 8)
    for module in (arrays, kernels):
        for values in (x, np.frombuffer(x.tobytes(), x.dtype), unaligned(x)):
            found = module.leave_zeros(values)
            assert np.array_equal(found[0], bitmap)
            assert np.array_equal(found[1], others)
        out = np.full(length, 77, x.dtype)
        module.put_zeros(bitmap, others, out)
        assert np.array_equal(out, x)


@pytest.mark.parametrize("module", [arrays, kernels], ids=["numpy", "compiled"])
@pytest.mark.parametrize(("name", "width"), [(n, w) for n, widths in PAIRS[::2] for w in widths])
def test_every_step_has_an_inverse(module, name: str, width: int) -> None:
    x = np.arange(1 << 16, dtype=UNSIGNED[width]) if width == 2 else patterns(width, 5000)
    there, back = np.empty_like(x), np.empty_like(x)
    getattr(module, name)(x, there)
    getattr(module, f"un{name}")(there, back)
    assert np.array_equal(back, x)
    assert len(np.unique(there)) == len(np.unique(x))


def test_zigzag_is_as_documented() -> None:
    for width in WIDTHS:
        x = np.array([0, -1, 1, -2, 2], f"i{width}").view(UNSIGNED[width])
        out = np.empty_like(x)
        arrays.zigzag(x, out)
        assert out.tolist() == [0, 1, 2, 3, 4]


def test_the_exponent_becomes_a_plane() -> None:
    x = np.array([1.5, -1.5, 1e-30, -1e30], np.float32).view(np.uint32)
    out = np.empty_like(x)
    arrays.rotate(x, out)
    assert (out >> 24).tolist() == [127, 127, 27, 226]
    assert (out >> 16 & 1).tolist() == [0, 1, 0, 1]


def test_numpy_serves_where_compiled_functions_cannot(monkeypatch) -> None:
    assert arrays.ops(compiled=False) is arrays
    assert arrays.ops(compiled=True) is kernels
    with monkeypatch.context() as patch:
        patch.setitem(sys.modules, "nncomp.codecs.tensor.kernels", None)
        patch.delattr("nncomp.codecs.tensor.kernels")
        compiled_module.cache_clear()
        assert arrays.ops(compiled=True) is arrays
    compiled_module.cache_clear()
    assert arrays.ops(compiled=True) is importlib.import_module(kernels.__name__)


WITHOUT = """
import sys
from pathlib import Path
import nncomp
folder, method = Path(sys.argv[1]), sys.argv[2]
content = nncomp.decompress((folder / "compiled.nnc").read_bytes())
assert "numba" not in sys.modules
(folder / "plain.nnc").write_bytes(nncomp.compress(content, method))
(folder / "small.nnc").write_bytes(nncomp.compress(content, method + ",block=64K"))
"""


@pytest.mark.parametrize("dtype", ["f32", "bf16", "i64"])
def test_archives_go_between_machines_with_and_without_a_compiler(dtype: str, tmp_path) -> None:
    content = np.random.default_rng(2).normal(0, 0.02, 200_000).astype(np.float32).tobytes()
    method = f"zipnn:dtype={dtype}"
    (tmp_path / "compiled.nnc").write_bytes(nncomp.compress(content, method))
    environment = {**os.environ, "NNCOMP_COMPILED": "0"}
    command = [sys.executable, "-c", WITHOUT, str(tmp_path), method]
    subprocess.run(command, check=True, env=environment)
    plain = (tmp_path / "plain.nnc").read_bytes()
    assert nncomp.decompress(plain) == content
    # Small records are left to NumPy in any case.
    small = nncomp.compress(content, f"{method},block=64K")
    assert (tmp_path / "small.nnc").read_bytes() == small
    assert len(plain) == pytest.approx((tmp_path / "compiled.nnc").stat().st_size, rel=0.02)
