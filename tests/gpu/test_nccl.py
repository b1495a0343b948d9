"""Exchanges over NCCL, as far as one device goes: a group of one rank, which sends to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.distributed as dist

from nncomp.distributed import Coding, all_to_all, quantise_dequantise
from nncomp.distributed.transport import exchange_bytes, gather_bytes
from nncomp.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(
        not (torch.cuda.is_available() and dist.is_nccl_available()), reason="no NCCL device"
    ),
]


@pytest.fixture(autouse=True)
def group(tmp_path: Path) -> Iterator[None]:
    store = (tmp_path / "store").as_uri()
    dist.init_process_group("nccl", init_method=store, rank=0, world_size=1)
    yield
    dist.destroy_process_group()


@pytest.mark.parametrize("message", [b"", b"abc", bytes(1 << 20)])
def test_bytes_go_by_the_device(message: bytes) -> None:
    assert bytes(exchange_bytes(lambda: [message], [len(message)])[0]) == message
    assert bytes(gather_bytes(lambda: message, len(message))[0]) == message
    with pytest.raises(PeerError, match="are the most"):
        exchange_bytes(lambda: [b"too long"], [3])


def test_tensors_of_the_device() -> None:
    values = torch.randn(40, 8, device="cuda", requires_grad=True)
    ((received,),) = all_to_all([[values]], [[(40, 8)]], forward=Coding(0.1), device="cuda")
    assert received.is_cuda
    (received.sum() + quantise_dequantise(values, 0.1).sum()).backward()
    assert values.grad is not None
    assert torch.equal(values.grad, torch.full_like(values, 2))
