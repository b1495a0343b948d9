"""Small networks for the tests of the neural loop; nothing hangs on the defaults of `sep`."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch

from nncomp.codecs.base import Block, Context, resolve_params
from nncomp.codecs.neural import records
from nncomp.codecs.neural.sep import SEP

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nncomp.codecs.base import Params, Value

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
    "words": 0,
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


class Joint:
    """`sep` with a memory, as the container uses it."""

    @staticmethod
    def params(**changes: Value) -> dict[str, Value]:
        """Of a small network and a small memory, some of them changed."""
        return _params(
            **{"memory": True, "table": 1 << 18, "contexts": 5, "segment": 16, **changes}
        )

    @staticmethod
    def encode(data: bytes, params: Params, context: Context | None = None) -> list[Block]:
        """What a decoder gets."""
        blocks = SEP.encode([data], params, context or Context())
        return [Block(b.raw_size, b.payload, None if b.payload else b.raw) for b in blocks]

    @staticmethod
    def decode(blocks: list[Block], params: Params, context: Context | None = None) -> bytes:
        """All records."""
        return b"".join(map(bytes, SEP.decode(blocks, params, context or Context())))

    def kinds(self, data: bytes, params: Params) -> list[int | None]:
        """What the records are that come back: of kind 0 or 1, or stored."""
        blocks = self.encode(data, params)
        assert self.decode(blocks, params) == data
        return [bytes(b.payload)[0] if b.payload is not None else None for b in blocks]


@pytest.fixture(scope="session")
def joint() -> Joint:
    """See there."""
    return Joint()


@pytest.fixture
def never_alone(monkeypatch: pytest.MonkeyPatch) -> None:
    """No record is coded by the memory alone."""
    monkeypatch.setattr(records, "_alone", lambda *_: None)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)
