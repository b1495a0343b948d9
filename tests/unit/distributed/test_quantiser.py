"""What PyTorch quantises is within the bound, and what the codec makes of the same numbers."""

from __future__ import annotations

import math
import runpy
from pathlib import Path

import numpy as np
import pytest
import torch

from nncomp.codecs.embedding import quantiser as specified
from nncomp.codecs.embedding.arrays import KINDS
from nncomp.distributed import quantiser
from nncomp.distributed.quantiser import Quantised, dequantise, narrow, quantise

CODEC = runpy.run_path(str(Path(__file__).parents[1] / "codecs/embedding/test_quantiser.py"))
patterns, weights, wide, BOUNDS = (CODEC[key] for key in ("patterns", "weights", "wide", "BOUNDS"))
DTYPES = dict(
    zip(KINDS, (torch.float32, torch.float16, torch.bfloat16, torch.float64), strict=True)
)


def tensor(x: np.ndarray, name: str) -> torch.Tensor:
    return torch.from_numpy(x.view(f"<i{x.itemsize}")).view(DTYPES[name])


def bits(values: torch.Tensor) -> np.ndarray:
    size = values.element_size()
    return values.view(quantiser.INTEGERS[size]).numpy().view(f"<u{size}")


def check(x: np.ndarray, name: str, bound: float, mode: str = "abs") -> Quantised:
    """Every element within the bound, or as it was."""
    kind = KINDS.index(name)
    found = quantise(tensor(x, name), kind, bound, mode)
    y = bits(dequantise(found, DTYPES[name]))
    if mode == "rel":
        bound = specified.absolute_bound(x, kind, bound)
    with np.errstate(all="ignore"):
        near = np.abs(wide(y, kind) - wide(x, kind)) <= bound
    assert np.all((x == y) | near)
    assert np.array_equal(y[found.places.numpy()], x[found.places.numpy()])
    if found.step == 0:
        assert np.array_equal(y, x)
    return found


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("bound", [*BOUNDS, 1e-40, 1e-300, 5e-324, 1.0, 1e30, 1e300, 1.7e308])
def test_all_exponents(name: str, bound: float) -> None:
    kind = KINDS.index(name)
    everything = patterns(name)
    few = np.concatenate([everything[::9], weights(name, 2 * len(everything), min(bound, 1e300))])
    for x in (everything, few):
        found = check(x, name, bound)
        other = specified.quantise(x, kind, min(bound, specified.BOUND_MAX))
        if name != "F16":  # of which the codec rounds otherwise
            assert (found.step == 0) == (other is None)
        if other and name != "F16":
            assert np.array_equal(
                bits(dequantise(found, DTYPES[name])), specified.dequantise(other)
            )


@pytest.mark.parametrize("name", KINDS)
@pytest.mark.parametrize("relative", BOUNDS)
def test_weights_within_a_share_of_their_range(name: str, relative: float) -> None:
    x = weights(name, 20_000)
    x[:3] = patterns(name)[-3:]  # NaN, which the range does not count
    found = check(x, name, relative, "rel")
    if name in ("F32", "F64"):
        assert found.places.tolist() == [0, 1, 2]


def test_ranges_at_the_ends() -> None:
    """Of one value, of none, and of more than float64 has numbers for."""
    for values in ([3.0] * 9, [math.nan] * 9, [math.inf, -math.inf, math.nan], [1.0]):
        assert check(np.array(values, np.float32).view(np.uint32), "F32", 0.1, "rel").step == 0
    x = np.array([-1.7e308, 1.7e308, *1e308 * np.linspace(-1, 1, 50)]).view(np.uint64)
    assert check(x, "F64", 0.01, "rel").step == 2 * specified.BOUND_MAX


def test_parts_make_no_difference(monkeypatch: pytest.MonkeyPatch) -> None:
    x = weights("F32", 5000)
    whole = check(x, "F32", 1e-3)
    monkeypatch.setattr(quantiser, "_TOGETHER", 7)
    parts = check(x, "F32", 1e-3)
    assert torch.equal(whole.numbers, parts.numbers)


@pytest.mark.parametrize(
    ("span", "size"), [(0, 1), (255, 1), (256, 2), (65535, 2), (65536, 4), (2**31 - 2, 4)]
)
@pytest.mark.parametrize("least", [-(2**30) + 1, -128, 0, 77])
def test_the_least_width_that_holds(span: int, size: int, least: int) -> None:
    most = min(least + span, 2**30 - 1)
    codes = torch.tensor([least, (least + most) // 2, most], dtype=torch.int32)
    numbers, origin = narrow(codes, least, most)
    if most == least + span:
        assert numbers.element_size() == size
    assert torch.equal(numbers.to(torch.int64) + origin, codes.to(torch.int64))
