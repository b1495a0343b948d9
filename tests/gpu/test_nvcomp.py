"""Messages that nvCOMP codes, on a CUDA device: what no stand-in can show."""

from __future__ import annotations

import pytest
import torch

from nncomp.codecs.embedding.arrays import KINDS
from nncomp.distributed.coding import Coding, codec_name, pack, unpack
from nncomp.distributed.nvcomp import NVCOMP_CODERS
from nncomp.distributed.quantiser import INTEGERS, quantise
from nncomp.errors import PeerError

pytest.importorskip("nvidia.nvcomp", reason="no nvCOMP: pip install 'nncomp[nvcomp]'")
pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]


def rows(count: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """Some come again, and some of their numbers have no code."""
    generator = torch.Generator().manual_seed(count)
    some = torch.randn(count, 64, generator=generator)
    some[count // 2 :] = some[: count - count // 2]
    some[3, :3] = torch.tensor([torch.nan, torch.inf, -torch.inf])
    return some.to(dtype).cuda()


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("entropy", NVCOMP_CODERS)
@pytest.mark.parametrize("count", [10, 1000, 20_000])  # less than a chunk of nvCOMP's, and many
def test_there_and_back_on_the_device(entropy: str, dtype: torch.dtype, count: int) -> None:
    tensors = [rows(count, dtype), rows(500, dtype)]
    message = pack(tensors, Coding((0.05, 0.005), "abs", entropy))
    assert message.is_cuda
    assert len(message) < sum(tensor.nbytes for tensor in tensors)
    found = unpack(message, [(count, 64), (500, 64)], dtype)
    for before, after, bound in zip(tensors, found, (0.05, 0.005), strict=True):
        assert after.is_cuda
        assert after.dtype == dtype
        finite = before.isfinite()
        assert (after.double() - before.double()).abs()[finite].max() <= bound
        bits = INTEGERS[dtype.itemsize]
        assert torch.equal(after.view(bits)[~finite], before.view(bits)[~finite])


@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("bound", [1e-2, 1e-5])
def test_a_device_quantises_as_the_host_does(dtype: torch.dtype, bound: float) -> None:
    values = rows(3000, dtype).reshape(-1)
    kind = KINDS.index(codec_name(dtype))
    one, other = (quantise(x, kind, bound, "rel") for x in (values, values.cpu()))
    assert (one.step, one.origin) == (other.step, other.origin)
    for key in ("numbers", "places", "patterns"):
        assert torch.equal(getattr(one, key).cpu(), getattr(other, key))


def test_on_another_stream() -> None:
    with torch.cuda.stream(torch.cuda.Stream()):
        values = rows(5000).nan_to_num(0, 0, 0)
        coding = Coding(0.01, "abs", "nvcomp-ans")
        (found,) = unpack(pack([values], coding), [(5000, 64)], torch.float32)
        assert (found - values).abs().max() <= 0.01


def test_tensors_and_messages_of_the_host() -> None:
    """As gloo sends them."""
    values = rows(500).cpu()
    message = pack([values], Coding(0.01, "abs", "nvcomp-ans")).cpu()
    (found,) = unpack(message, [(500, 64)], torch.float32)
    assert found.is_cuda
    assert torch.equal(found.cpu().isfinite(), values.isfinite())


@pytest.mark.parametrize("entropy", NVCOMP_CODERS)
def test_damage_is_seen_and_does_no_harm(entropy: str) -> None:
    message = pack([rows(2000)], Coding(0.01, "abs", entropy))
    for place in torch.linspace(0, len(message) - 1, 200).long().tolist():
        damaged = message.clone()
        damaged[place] ^= 64
        for some in (damaged, message[:place]):
            with pytest.raises(PeerError):
                unpack(some, [(2000, 64)], torch.float32)
    assert unpack(message, [(2000, 64)], torch.float32)[0].isfinite().any()
