"""Exchanges over NCCL, as far as one device goes: a group of one rank, which sends to itself."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
import torch.distributed as dist

from nncomp.distributed import Coding, all_to_all, quantise_dequantise
from nncomp.distributed.coding import largest_message, pack, unpack
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


@pytest.mark.parametrize("size", [0, 3, 1 << 20])
@pytest.mark.parametrize("device", ["cpu", "cuda"])
def test_bytes_go_by_the_device(size: int, device: str) -> None:
    message = (torch.arange(size) % 251).to(torch.uint8).to(device)
    (exchanged,), (gathered,) = (
        exchange_bytes(lambda: [message], [size]),
        gather_bytes(lambda: message, size),
    )
    assert exchanged.is_cuda
    assert gathered.is_cuda
    assert torch.equal(exchanged, message.cuda())
    assert torch.equal(gathered, message.cuda())
    with pytest.raises(PeerError, match="are the most"):
        exchange_bytes(lambda: [torch.zeros(8, dtype=torch.uint8)], [3])


@pytest.mark.parametrize("entropy", [None, "zstd", "nvcomp-ans"])
def test_messages_go_by_the_device(entropy: str | None) -> None:
    """Raw, from the codec on the host, and made on the device."""
    if entropy == "nvcomp-ans":
        pytest.importorskip("nvidia.nvcomp", reason="no nvCOMP: pip install 'nncomp[nvcomp]'")
    values = torch.randn(400, 16, device="cuda")
    coding = Coding(0.1, "abs", entropy) if entropy else None
    limit = largest_message([(400, 16)], values.dtype)
    (message,) = exchange_bytes(lambda: [pack([values], coding)], [limit])
    assert (len(message) < limit) == bool(entropy)
    (found,) = unpack(message, [(400, 16)], values.dtype)
    assert found.is_cuda == (entropy != "zstd")
    assert (found.cuda() - values).abs().max() <= (0.1 if entropy else 0)


def test_tensors_of_the_device() -> None:
    values = torch.randn(40, 8, device="cuda", requires_grad=True)
    ((received,),) = all_to_all([[values]], [[(40, 8)]], forward=Coding(0.1), device="cuda")
    assert received.is_cuda
    (received.sum() + quantise_dequantise(values, 0.1).sum()).backward()
    assert values.grad is not None
    assert torch.equal(values.grad, torch.full_like(values, 2))
