"""Initial weights: exact bytes, which every archive depends on, and sane moments."""

from __future__ import annotations

import hashlib

import pytest
import torch

from nncomp.exact.init import Init


def digest(x: torch.Tensor) -> str:
    return hashlib.sha256(x.numpy().astype("<f4").tobytes()).hexdigest()[:16]


def test_exact_values() -> None:
    init = Init(std=0.05)
    first = init.normal(1000)
    assert [v.hex() for v in first[:3].tolist()] == [
        "0x1.2494ce0000000p-4",
        "0x1.c7f65e0000000p-8",
        "-0x1.299ed60000000p-4",
    ]
    assert digest(first) == "0f43076756536cbe"
    assert (
        digest(init.normal(7, 11, std=1.0)) == "535f8d2693787f86"
    )  # goes on where the first ended
    assert digest(Init(std=0.05, seed=1).normal(1000)) == "34c7e9ed6d3e47a8"


def test_one_draw_equals_several() -> None:
    whole, parts = Init(std=1.0).normal(60), Init(std=1.0)
    pieces = [parts.normal(10), parts.normal(4, 5).view(-1), parts.normal(30)]
    assert torch.equal(whole, torch.cat(pieces))


@pytest.mark.parametrize("std", [1e-6, 0.05, 1.0])
def test_moments(std: float) -> None:
    x = Init(std=std).normal(1000, 1000).double() / std
    assert abs(float(x.mean())) < 4e-3
    assert abs(float(x.std()) - 1) < 4e-3
    assert 3.0 < float(x.abs().max()) < 3.5
    kurtosis = float((x**4).mean())  # a normal has 3, the sum of four uniforms 2.7
    assert 2.65 < kurtosis < 2.75
    neighbours = float((x[:, 1:] * x[:, :-1]).mean())
    assert abs(neighbours) < 5e-3


def test_no_two_weights_of_a_network_are_drawn_alike() -> None:
    init = Init(std=1.0)
    first, second = init.normal(5000), init.normal(5000)
    assert (first == second).sum() < 5  # of some 2**18 values each, a few coincide


def test_shape_and_type() -> None:
    x = Init(std=1.0).normal(2, 3, 4)
    assert (x.shape, x.dtype, x.is_contiguous()) == ((2, 3, 4), torch.float32, True)
