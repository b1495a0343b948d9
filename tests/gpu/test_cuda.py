"""A GPU computes the bits of a CPU: operations, products, learning, whole archives."""

from __future__ import annotations

import runpy
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

import nncomp
from nncomp.codecs.neural import records
from nncomp.exact import products, reference

pytestmark = [
    pytest.mark.gpu,
    pytest.mark.skipif(not torch.cuda.is_available(), reason="no CUDA device"),
]
CPU, DEVICE = torch.device("cpu"), torch.device("cuda")
UNIT = Path(__file__).parents[1] / "unit" / "exact"
# The same arguments as the kernels are tested with.
OPERATIONS: dict[str, Any] = runpy.run_path(str(UNIT / "test_kernels.py"))["ARGUMENTS"]
SHARED = runpy.run_path(str(UNIT / "conftest.py"))
same, values = SHARED["_same"], SHARED["_values"]
CASES = [
    pytest.param(name, make, id=f"{name}{i or ''}")
    for name, makes in OPERATIONS.items()
    for i, make in enumerate(makes)
]
SIZES = st.one_of(st.integers(1, 20), st.sampled_from([33, 64, 129, 256]))


def moved(x: Any, device: torch.device) -> Any:
    """A copy on the device, of tensors and of what contains them."""
    if isinstance(x, tuple):
        return tuple(moved(part, device) for part in x)
    return x.detach().to(device, copy=True) if isinstance(x, torch.Tensor) else x


def run(name: str, arguments: tuple[Any, ...], device: torch.device) -> tuple[Any, ...]:
    """Results and what was written to, brought to the host."""
    own = moved(arguments, device)
    result = getattr(reference, name)(*own)
    written = tuple(a for a in own if isinstance(a, torch.Tensor))
    return (
        moved(result if isinstance(result, tuple) or result is None else (result,), CPU),
        moved(written, CPU),
    )


@pytest.mark.parametrize(("name", "make"), CASES)
@given(r=SIZES, k=SIZES, seed=st.integers(0, 2**32 - 1))
def test_operations(name: str, make: Any, r: int, k: int, seed: int) -> None:
    arguments = make(np.random.default_rng(seed), values, r, k)
    (got, got_written), (want, written) = (run(name, arguments, d) for d in (DEVICE, CPU))
    assert (got is None) == (want is None)
    if want is not None:
        same(got, want)
    same(got_written, written)


@pytest.mark.parametrize("m", [1, 2, 15, 16, 17, 24, 33, 256])
@pytest.mark.parametrize(("k", "n"), [(1, 1), (7, 5), (8, 8), (16, 24), (33, 64), (4097, 40)])
@pytest.mark.parametrize("turned", [False, True])
def test_products(m: int, k: int, n: int, turned: bool) -> None:
    generator = torch.Generator().manual_seed(m * k * n)
    a = torch.randint(-64, 64, (k, m) if turned else (m, k), generator=generator, dtype=torch.int8)
    b = torch.randint(-64, 64, (n, k) if turned else (k, n), generator=generator, dtype=torch.int8)
    a, b = (a.t(), b.t()) if turned else (a, b)
    want = a.to(torch.int64) @ b.to(torch.int64)
    on_device = a.to(DEVICE), b.to(DEVICE)
    assert torch.equal(products.product(*on_device).cpu().to(torch.int64), want)
    for way in ("float32", "float64"):
        assert torch.equal(products.WAYS[way](*on_device).cpu().to(torch.int64), want)


@pytest.mark.parametrize("shape", [(1, 1, 1, 1), (3, 5, 7, 9), (4, 16, 64, 64), (2, 3, 4096, 3)])
def test_batched_products(shape: tuple[int, int, int, int]) -> None:
    batch, m, k, n = shape
    generator = torch.Generator().manual_seed(0)
    a = torch.randint(-64, 64, (batch, m, k), generator=generator, dtype=torch.int8)
    b = torch.randint(-64, 64, (batch, k, n), generator=generator, dtype=torch.int8)
    got = products.batched(a.to(DEVICE), b.to(DEVICE)).cpu().to(torch.int64)
    assert torch.equal(got, a.to(torch.int64) @ b.to(torch.int64))


TEXT = b"Peter Piper picked a peck of pickled peppers; " * 30
SMALL = "embedding=8,std=0.2,lr=0.03,final=0.5,decay=1K,block=64K,lanes=5,segment=6,stride=2"
METHODS = {
    "sep": "sep:seb=on,mixing=shared,context=8,patch=4,fused=2,direct=3,tokens=1,levels=2,"
    f"ffn=24,optimiser=nncp,{SMALL}",
    "by lane": "sep:seb=on,mixing=lane,context=6,patch=3,fused=1,direct=1,tokens=4,levels=3,"
    f"ffn=16,optimiser=adam,{SMALL}",
    "pac": f"sep:seb=off,mixing=shared,tokens=8,levels=2,ffn=33,optimiser=adam,{SMALL}",
    "mask": f"sep:seb=off,mixing=lane,mask=on,tokens=4,levels=2,ffn=16,optimiser=adam,{SMALL}",
    "wide": "sep:seb=on,mixing=shared,context=20,patch=8,stride=4,fused=1,direct=4,tokens=2,"
    "levels=2,embedding=32,ffn=512,std=0.05,optimiser=adam,lr=0.003,final=1.0,decay=1M,"
    "block=64K,lanes=16,segment=8",
}


MEMORY = {
    "network alone": "memory=off",
    "with a memory": "memory=on,contexts=5,table=256K",
}


@pytest.mark.parametrize("name", METHODS)
@pytest.mark.parametrize("memory", MEMORY)
@pytest.mark.parametrize("size", [100, len(TEXT)])
def test_archives_go_both_ways(
    name: str, memory: str, size: int, monkeypatch: pytest.MonkeyPatch
) -> None:
    """With a memory, by both together even where the memory alone would take less."""
    monkeypatch.setattr(records, "_alone", lambda *_: None)
    content, method = TEXT[:size], f"{METHODS[name]},{MEMORY[memory]}"
    on_cpu = nncomp.compress(content, method, device="cpu")
    on_gpu = nncomp.compress(content, method, device="cuda")
    assert on_gpu == on_cpu
    assert nncomp.decompress(on_gpu, device="cpu") == content
    assert nncomp.decompress(on_cpu, device="cuda") == content
