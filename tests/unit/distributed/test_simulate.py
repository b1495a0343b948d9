from __future__ import annotations

import numpy as np
import pytest
import torch

from nncomp.codecs.embedding.table import decode_table, encode_table
from nncomp.distributed import Schedule, Simulation, quantise_dequantise
from nncomp.errors import UsageError


def table(rows: int = 60, width: int = 16) -> torch.Tensor:
    return torch.randn(rows, width, generator=torch.Generator().manual_seed(rows))


@pytest.mark.parametrize("mode", ["abs", "rel"])
@pytest.mark.parametrize("rows", [60, 2000])  # by NumPy and compiled
def test_values_are_those_of_the_codec(mode: str, rows: int) -> None:
    values = table(rows)
    values[3, 3:6] = torch.tensor([torch.nan, torch.inf, 1e30])
    found = quantise_dequantise(values, 0.03, mode)
    coded = decode_table(encode_table(values.numpy(), bound=0.03, mode=mode), 1 << 20)
    assert found.numpy().tobytes() == coded.tobytes()


@pytest.mark.parametrize("dtype", [torch.float16, torch.bfloat16, torch.float64], ids=str)
def test_other_types(dtype: torch.dtype) -> None:
    values = table().to(dtype)
    found = quantise_dequantise(values, 0.05, "abs")
    assert found.dtype == dtype
    assert 0 < (found.double() - values.double()).abs().max() <= 0.05


@pytest.mark.parametrize("shape", [(), (7,), (0, 4), (2, 3, 4)])
def test_any_shape(shape: tuple[int, ...]) -> None:
    values = torch.ones(shape)
    assert quantise_dequantise(values, 0.3, "abs").shape == values.shape


def test_gradients_pass_straight_through() -> None:
    values = table().requires_grad_()
    weights = torch.linspace(-1, 1, 16)
    (quantise_dequantise(values, 0.1) * weights).sum().backward()
    assert values.grad is not None
    assert torch.equal(values.grad, weights.expand(60, 16))


def test_bounds_follow_tables_and_schedule() -> None:
    simulation = Simulation([0.1, 0.01], Schedule("linear", 3, 10), mode="abs")
    tables = [table(), table(50)]
    for iteration, factor in ((0, 3.0), (5, 2.0), (10, 1.0)):
        found = simulation(tables, iteration)
        for seen, true, bound in zip(found, tables, (0.1, 0.01), strict=True):
            error = (seen - true).abs().max().item()
            assert 0.9 * factor * bound < error <= factor * bound
    with pytest.raises(UsageError, match="2 bounds for 1 tables"):
        simulation(tables[:1], 0)


@pytest.mark.parametrize(("bound", "mode"), [(0.0, "rel"), (np.nan, "abs"), (0.1, "percent")])
def test_bounds_that_make_no_sense(bound: float, mode: str) -> None:
    with pytest.raises(UsageError):
        quantise_dequantise(table(), bound, mode)
