"""Integer products: every way gives the sums of int64, and a way that does not is not taken."""

from __future__ import annotations

from typing import TYPE_CHECKING

import pytest
import torch
from hypothesis import example, given
from hypothesis import strategies as st

from nncomp.errors import DeviceError
from nncomp.exact import products, threads

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

CPU = torch.device("cpu")
SIZES = st.one_of(st.integers(1, 9), st.sampled_from([15, 16, 17, 31, 33, 64, 100, 257]))
WAYS = pytest.mark.parametrize("way", list(products.WAYS))


@pytest.fixture(autouse=True)
def _choose_anew() -> Iterator[None]:
    products._way.cache_clear()
    yield
    products._way.cache_clear()


def operand(rows: int, columns: int, seed: int, turned: bool) -> Tensor:
    """Random in -64..63; lying transposed in memory if `turned`."""
    generator = torch.Generator().manual_seed(seed)
    shape = (columns, rows) if turned else (rows, columns)
    x = torch.randint(-64, 64, shape, generator=generator, dtype=torch.int8)
    return x.t() if turned else x


def check(way: str, a: Tensor, b: Tensor) -> None:
    got = products.WAYS[way](a, b)
    assert got.dtype == torch.int32
    assert torch.equal(got.to(torch.int64), a.to(torch.int64) @ b.to(torch.int64))


@WAYS
@pytest.mark.parametrize("turned_a", [False, True])
@pytest.mark.parametrize("turned_b", [False, True])
@example(m=1, k=1, n=1, seed=0)
@example(m=2, k=1, n=5, seed=0)  # wrong in torch 2.13's _int_mm, lying transposed
@example(m=1, k=5, n=3, seed=0)  # the same
@given(m=SIZES, k=SIZES, n=SIZES, seed=st.integers(0, 2**32 - 1))
def test_every_way_is_exact(
    way: str, turned_a: bool, turned_b: bool, m: int, k: int, n: int, seed: int
) -> None:
    check(way, operand(m, k, seed, turned_a), operand(k, n, seed + 1, turned_b))


@WAYS
@pytest.mark.parametrize("k", [4095, 4096, 4097, 10_001])
@pytest.mark.parametrize("values", [(63, 63), (-64, -64), (-64, 63)])
def test_extreme_operands_over_many_terms(way: str, k: int, values: tuple[int, int]) -> None:
    """Largest sums, of one sign: 4097 products of 64 * 64 leave the 24 bits of float32."""
    a = torch.full((3, k), values[0], dtype=torch.int8)
    b = torch.full((k, 5), values[1], dtype=torch.int8)
    b[::7, 1], a[1, ::2] = -1, 1
    check(way, a, b)


@WAYS
def test_operands_that_are_part_of_a_matrix(way: str) -> None:
    whole = operand(40, 60, 0, False)
    check(way, whole[3:20, 5:37], whole[1:33, 2::3])


@WAYS
def test_the_largest_count_of_terms(way: str) -> None:
    """2**19 terms of 64 * 63, what one operand of weights allows, stay within int32."""
    a = torch.full((1, products.MAX_TERMS), -64, dtype=torch.int8)
    b = torch.full((products.MAX_TERMS, 1), 63, dtype=torch.int8)
    check(way, a, b)
    check(way, -b.t(), -b)


def test_more_terms_are_refused() -> None:
    a = torch.zeros(1, products.MAX_TERMS + 1, dtype=torch.int8)
    with pytest.raises(ValueError, match="overflow int32"):
        products.product(a, a.t())


@WAYS
@pytest.mark.parametrize("turned", [False, True])
@example(m=1, k=5, n=3, workers=1, seed=0)  # as above
@example(m=2, k=1, n=5, workers=2, seed=0)
@example(m=2, k=5, n=3, workers=2, seed=0)
@given(m=SIZES, k=SIZES, n=SIZES, workers=st.integers(1, 4), seed=st.integers(0, 2**32 - 1))
def test_product_shared_between_threads(
    way: str, turned: bool, m: int, k: int, n: int, workers: int, seed: int
) -> None:
    """In shares of few rows, one of them perhaps, written into parts of one result."""
    a, b = operand(m, k, seed, turned), operand(k, n, seed + 1, turned)
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_WORTH", 1)
        patch.setattr(products, "_PER_ELEMENT", 1)
        patch.setattr(products, "_way", lambda device: products.WAYS[way])
        before = threads.allow(workers)
        got = products.product(a, b)
        threads.allow(before)
    assert got.dtype == torch.int32
    assert torch.equal(got.to(torch.int64), a.to(torch.int64) @ b.to(torch.int64))


def test_product_takes_one_of_the_ways() -> None:
    a, b = operand(20, 300, 0, False), operand(300, 17, 1, True)
    assert torch.equal(products.product(a, b).to(torch.int64), a.long() @ b.long())
    assert products._way(CPU) in products.WAYS.values()


@given(
    batch=st.integers(1, 5),
    m=SIZES,
    k=SIZES,
    n=SIZES,
    seed=st.integers(0, 2**32 - 1),
    turned=st.booleans(),
)
def test_batched(batch: int, m: int, k: int, n: int, seed: int, turned: bool) -> None:
    a = torch.stack([operand(m, k, seed + i, False) for i in range(batch)])
    b = torch.stack([operand(n, k, seed - i, False) for i in range(batch)]).transpose(1, 2)
    got = products.batched(a, b if turned else b.contiguous())
    assert got.dtype == torch.int32
    assert torch.equal(got.to(torch.int64), a.long() @ b.long())


def test_batched_up_to_its_bound() -> None:
    a = torch.full((2, 3, products.MAX_BATCHED_TERMS), -64, dtype=torch.int8)
    assert (products.batched(a, a.transpose(1, 2)) == 2**24).all()
    longer = torch.zeros(1, 1, products.MAX_BATCHED_TERMS + 1, dtype=torch.int8)
    with pytest.raises(ValueError, match="not exact in float32"):
        products.batched(longer, longer.transpose(1, 2))


# ---------------------------------------------------------------- choosing a way


def saturating(a: Tensor, b: Tensor) -> Tensor:
    """As oneDNN without VNNI: pairs are added in 16 bits. Exact here for small operands only."""
    terms = a.to(torch.int64).unsqueeze(2) * b.to(torch.int64)
    terms[:, 1::2] += terms[:, ::2][:, : terms[:, 1::2].shape[1]]
    return terms.clamp(-(2**12), 2**12).sum(dim=1).to(torch.int32)


def rounding(a: Tensor, b: Tensor) -> Tensor:
    """In bfloat16, a sum of which loses bits."""
    return (a.to(torch.bfloat16) @ b.to(torch.bfloat16)).to(torch.int32)


def short_sums(a: Tensor, b: Tensor) -> Tensor:
    """Float32 without cutting long sums, each partial sum one bit too short."""
    return ((a.long() @ b.long()) // 2 * 2).to(torch.int32)


def missing(a: Tensor, b: Tensor) -> Tensor:
    raise RuntimeError("not implemented for this device")


def only_plain(a: Tensor, b: Tensor) -> Tensor:
    """Wrong for operands that lie transposed."""
    if a.stride(1) != 1 and 1 not in a.shape:
        return torch.zeros(a.shape[0], b.shape[1], dtype=torch.int32)
    return (a.long() @ b.long()).to(torch.int32)


WRONG = [saturating, rounding, short_sums, missing, only_plain]


@pytest.mark.parametrize("wrong", WRONG)
def test_a_way_that_is_not_exact_is_not_taken(
    wrong: object, monkeypatch: pytest.MonkeyPatch
) -> None:
    right = products.WAYS["float64"]
    monkeypatch.setattr(products, "WAYS", {"wrong": wrong, "right": right})
    monkeypatch.setattr(products, "_time", lambda way, device: float(way is right))  # slower
    assert products._way(CPU) is right


def test_the_fastest_exact_way_is_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    seconds = dict(zip(products.WAYS.values(), (3.0, 1.0, 2.0), strict=True))
    monkeypatch.setattr(products, "_time", lambda way, device: seconds[way])
    assert products._way(CPU) is products.WAYS["float32"]


def test_no_exact_way_is_an_error_that_says_what_to_do(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(products, "WAYS", {w.__name__: w for w in WRONG})
    with pytest.raises(DeviceError, match=r"no integer matrix product on cpu.*--device cpu"):
        products.product(operand(2, 3, 0, False), operand(3, 2, 1, False))
