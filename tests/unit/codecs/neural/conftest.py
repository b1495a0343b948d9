"""Small networks for the tests of the neural loop; nothing hangs on the defaults of `sep`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from nncomp.codecs.base import resolve_params
from nncomp.codecs.neural.sep import SEP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nncomp.codecs.base import Value

SMALL: dict[str, Value] = {
    "lanes": 3,
    "segment": 4,
    "seb": True,
    "context": 6,
    "patch": 3,
    "stride": 2,
    "fused": 1,
    "direct": 2,
    "embedding": 4,
    "tokens": 2,
    "levels": 2,
    "ffn": 8,
    "mixing": "shared",
    "std": 0.2,
    "optimiser": "adam",
    "lr": 0.02,
    "final": 1.0,
    "decay": 1 << 20,
    "memory": False,
    "block": 1 << 16,
}


def _params(**changes: Value) -> dict[str, Value]:
    return {**resolve_params(SEP, {}, None), **SMALL, **changes}


@pytest.fixture(scope="session")
def params() -> Callable[..., dict[str, Value]]:
    """Full parameters of a small network, some of them changed."""
    return _params


@pytest.fixture(scope="session")
def method() -> Callable[..., str]:
    """The same as a method string."""

    def text(**changes: Value) -> str:
        full = _params(**changes)
        return "sep:" + ",".join(f"{p.name}={p.format(full[p.name])}" for p in SEP.params)

    return text


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
