"""Integer matrix products: several ways to the same integers.

The specification is the integer result of operands in -64..63. How a machine gets it
is free, and chosen at run time, per device, by a test product of extreme operands:
the fastest way that returns the exact integers. The archive knows nothing of it.
"""

from __future__ import annotations

import time
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

import torch
from torch import Tensor

from nncomp.errors import DeviceError
from nncomp.exact.threads import over

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["MAX_BATCHED_TERMS", "MAX_TERMS", "batched", "product"]

# Products of operands within 2**6 summed over K <= 2**12 stay within 24 bits, where
# float32 holds every partial sum exactly, in any order.
MAX_BATCHED_TERMS = 1 << 12
# int32 sums of such products.
MAX_TERMS = 1 << 19
# Multiplications that take as long as a kernel takes for one element.
_PER_ELEMENT = 256

Way: TypeAlias = "Callable[[Tensor, Tensor], Tensor]"


def product(a: Tensor, b: Tensor) -> Tensor:
    """a @ b in integers.

    Args:
        a: (M, K) int8 in -64..63, any strides.
        b: (K, N) int8 in -64..63, any strides. K at most 2**19.

    Returns:
        (M, N) int32, exact.
    """
    if a.shape[1] > MAX_TERMS:
        raise ValueError(f"a product over {a.shape[1]} terms could overflow int32")
    way = _way(a.device)
    if a.is_cuda:
        return way(a, b)
    out = torch.empty(a.shape[0], b.shape[1], dtype=torch.int32)
    elements = a.numel() * b.shape[1] // _PER_ELEMENT
    over(_product_rows, a.shape[0], elements, way, a, b, out)
    return out


def _product_rows(lo: int, hi: int, way: Way, a: Tensor, b: Tensor, out: Tensor) -> None:
    """Rows lo..hi of a @ b."""
    if way is _int8:
        torch._int_mm(_plain(a[lo:hi]), _plain(b), out=out[lo:hi])
    else:
        out[lo:hi] = way(a[lo:hi], b)


def batched(a: Tensor, b: Tensor) -> Tensor:
    """a @ b for a batch of small matrices, in integers.

    Args:
        a: (B, M, K) int8 in -64..63. b: (B, K, N), the same. K at most 2**12.

    Returns:
        (B, M, N) int32, exact: float32 holds every partial sum.
    """
    if a.shape[2] > MAX_BATCHED_TERMS:
        raise ValueError(f"a batched product over {a.shape[2]} terms is not exact in float32")
    return torch.bmm(a.to(torch.float32), b.to(torch.float32)).to(torch.int32)


def _int8(a: Tensor, b: Tensor) -> Tensor:
    """oneDNN on CPUs, tensor cores on CUDA; the latter take only certain shapes."""
    if a.is_cuda and (a.shape[0] <= 16 or a.shape[1] % 8 or b.shape[1] % 8):
        return _float32(a, b)
    return torch._int_mm(_plain(a), _plain(b))


def _plain(x: Tensor) -> Tensor:
    """The same with the strides of a fresh matrix, if one size is 1.

    The stride of such a dimension means nothing, and `_int_mm` takes it for the distance
    between rows: with a (N, 1) matrix transposed, torch 2.13 gives wrong products.
    """
    return x.clone(memory_format=torch.contiguous_format) if 1 in x.shape else x


def _float32(a: Tensor, b: Tensor) -> Tensor:
    """BLAS in pieces short enough for 24 bits; the pieces add up in int32."""
    total: Tensor | None = None
    for k in range(0, a.shape[1], MAX_BATCHED_TERMS):
        part_a = a[:, k : k + MAX_BATCHED_TERMS].to(torch.float32)
        part = (part_a @ b[k : k + MAX_BATCHED_TERMS].to(torch.float32)).to(torch.int32)
        total = part if total is None else total + part
    if total is None:
        return torch.zeros(a.shape[0], b.shape[1], dtype=torch.int32, device=a.device)
    return total


def _float64(a: Tensor, b: Tensor) -> Tensor:
    return (a.to(torch.float64) @ b.to(torch.float64)).to(torch.int32)


WAYS: dict[str, Way] = {
    "int8": _int8,
    "float32": _float32,
    "float64": _float64,
}


@cache
def _way(device: torch.device) -> Way:
    """The fastest way that is exact on this device."""
    timed = [(_time(way, device), name) for name, way in WAYS.items() if _exact(way, device)]
    if not timed:
        raise DeviceError(
            f"no integer matrix product on {device} is exact, so nothing computed there could "
            "be decoded elsewhere. Use --device cpu, or report this machine"
        )
    return WAYS[min(timed)[1]]


def _exact(way: Way, device: torch.device) -> bool:
    """Whether a way returns the integers of int64 sums, extreme operands included."""
    generator = torch.Generator().manual_seed(0)
    for m, k, n in ((32, 256, 64), (3, 4160, 24), (40, 1, 8), (1, 24, 1)):
        a = torch.randint(-64, 64, (m, k), generator=generator, dtype=torch.int8)
        b = torch.randint(-64, 64, (k, n), generator=generator, dtype=torch.int8)
        a[0], a[-1], b[:, 0], b[:, -1] = 63, -64, 63, -64
        want = (a.to(torch.int64).unsqueeze(2) * b.to(torch.int64)).sum(dim=1)
        try:
            # As they lie in memory, and both lying transposed.
            plain = way(a.to(device), b.to(device))
            turned = way(a.t().contiguous().to(device).t(), b.t().contiguous().to(device).t())
        except RuntimeError:  # not implemented on this device or in this build
            return False
        if not all(torch.equal(got.cpu().to(torch.int64), want) for got in (plain, turned)):
            return False
    return True


def _time(way: Way, device: torch.device) -> float:
    """Best of three, in seconds; only speed hangs on it."""
    a = torch.ones(256, 512, dtype=torch.int8, device=device)
    best = float("inf")
    for _ in range(4):
        start = time.perf_counter()
        way(a, a.t()[:, :256]).sum().item()
        best = min(best, time.perf_counter() - start)
    return best
