"""What the tests of exact arithmetic share: comparing bits, and values of all kinds."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nncomp.exact import threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor


def _same(got: object, want: object) -> None:
    if isinstance(want, tuple):
        assert isinstance(got, tuple)
        assert len(got) == len(want)
        for g, w in zip(got, want, strict=True):
            _same(g, w)
        return
    assert isinstance(got, torch.Tensor)
    assert isinstance(want, torch.Tensor)
    assert (got.dtype, got.shape) == (want.dtype, want.shape)
    if want.is_floating_point():  # zeros of different sign are different bits
        got, want = got.contiguous().view(torch.int32), want.contiguous().view(torch.int32)
    assert torch.equal(got, want)


def _values(rng: np.random.Generator, *shape: int, low: int = -140, high: int = 40) -> Tensor:
    """float32 with exponents all over low..high, and many special ones."""
    x = rng.standard_normal(shape) * np.exp2(rng.uniform(low, high, shape))
    kind = rng.integers(0, 8, shape)
    powers = np.exp2(np.floor(rng.uniform(max(low, -126), high, shape)))
    x = np.where(kind == 0, np.copysign(powers, x), x)
    x = np.where(kind == 1, np.copysign(0.0, x), x)
    x = np.where(kind == 2, np.copysign(2.0**-149 * rng.integers(1, 1 << 23, shape), x), x)
    if x.ndim == 2:
        style = rng.integers(0, 6, shape[0])
        x[style == 0] = 0.0
        x[style == 1] = x[style == 1, :1]  # a row of equal values
        near_one = rng.standard_normal(shape)  # what a network has, mostly
        x[style >= 4] = near_one[style >= 4]
    return torch.from_numpy(x.astype(np.float32))


@pytest.fixture(scope="session")
def same() -> Callable[[object, object], None]:
    """Asserts equal bits, of tensors or tuples of them."""
    return _same


@pytest.fixture(scope="session")
def values() -> Callable[..., Tensor]:
    """Draws float32 tensors of every magnitude: values(rng, *shape, low=, high=)."""
    return _values


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    """One torch thread, and whatever a test changes put back."""
    before, allowed = torch.get_num_threads(), threads.allow(1)
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
    threads.allow(allowed)
    torch.set_flush_denormal(False)
