"""The kernels compute the bits of the reference, on any number of threads."""

from __future__ import annotations

import itertools
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nncomp.exact import cpu, reference, threads

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from torch import Tensor

    Values = Callable[..., Tensor]
    Arguments = Callable[[np.random.Generator, Values, int, int], tuple[Any, ...]]

EPS = 1e-5


def scales(rng: np.random.Generator, count: int) -> Tensor:
    """Powers of two, as quantisation gives them."""
    return torch.from_numpy(np.exp2(rng.integers(-53, 20, count)).astype(np.float32))


def products(rng: np.random.Generator, *shape: int) -> Tensor:
    """Sums of int8 products: small, or anything that int32 holds."""
    top = int(rng.choice([1, 4000, 2**31 - 1]))
    return torch.from_numpy(rng.integers(-top, top, shape, dtype=np.int32, endpoint=True))


def gradient(rng: np.random.Generator, values: Values, r: int, k: int) -> Tensor:
    return values(rng, r, k, low=-130, high=20)


def norm_backward(rng: np.random.Generator, values: Values, r: int, k: int) -> tuple[Any, ...]:
    x, gain = values(rng, r, k, low=-60, high=50), values(rng, k, low=-3, high=3)
    _, centre, scale = reference.layer_norm(x, gain, gain, EPS)
    return gradient(rng, values, r, k), x, centre, scale, gain


def coded_rows(rng: np.random.Generator, values: Values, r: int, k: int) -> tuple[Any, ...]:
    weights = reference.softmax_weights(values(rng, r, 256, low=-20, high=6))
    targets = torch.from_numpy(rng.integers(-1, 256, r))
    return weights, targets, max(1, int((targets >= 0).sum()))


def adam_step(rng: np.random.Generator, values: Values, r: int, k: int) -> tuple[Any, ...]:
    w, g, m = values(rng, r, k, high=14), gradient(rng, values, r, k), gradient(rng, values, r, k)
    v = values(rng, r, k, low=-120, high=20).abs()
    beta1, beta2, t = rng.choice([0.0, 0.9]), rng.choice([0.999, 0.9999]), int(rng.integers(1, 99))
    lr, eps, decay = 10 ** rng.uniform(-8, 0), 10 ** rng.uniform(-8, -5), rng.choice([0.0, 1e-7])
    step, root = lr / (1 - beta1**t), (1 - beta2**t) ** -0.5
    constants = (beta1, 1 - beta1, beta2, 1 - beta2, step, root, eps, decay)
    return w, g, m, v, tuple(float(np.float32(c)) for c in constants)


ARGUMENTS: dict[str, list[Arguments]] = {
    "quantise_rows": [
        lambda rng, values, r, k: (values(rng, r, k),),
        lambda rng, values, r, k: (values(rng, r, k, high=10), True),
    ],
    "rescale": [
        lambda rng, values, r, k: (
            products(rng, r, k),
            scales(rng, r),
            scales(rng, k),
            values(rng, k),
        )
    ],
    "split_rows": [lambda rng, values, r, k: (gradient(rng, values, r, k), scales(rng, k))],
    "split_columns": [lambda rng, values, r, k: (gradient(rng, values, r, k), scales(rng, r))],
    "merge": [
        lambda rng, values, r, k: (products(rng, 2, r, k), scales(rng, r)),
        lambda rng, values, r, k: (
            products(rng, 2, r, k),
            scales(rng, r),
            values(rng, r, k, high=10),
        ),
    ],
    "column_sum": [lambda rng, values, r, k: (gradient(rng, values, r, k),)],
    "index_sum": [
        lambda rng, values, r, k: (
            gradient(rng, values, r, k),
            torch.from_numpy(rng.integers(0, 7, r)),
            7,
        )
    ],
    "layer_norm": [
        lambda rng, values, r, k: (
            values(rng, r, k, high=60),
            values(rng, k, low=-3, high=3),
            values(rng, k, low=-3, high=3),
            EPS,
        )
    ],
    "layer_norm_backward": [norm_backward],
    "gelu": [lambda rng, values, r, k: (values(rng, r, k),)],
    "gelu_backward": [
        lambda rng, values, r, k: (gradient(rng, values, r, k), values(rng, r, k)),
    ],
    "sigmoid": [lambda rng, values, r, k: (values(rng, r, k),)],
    "sigmoid_backward": [
        lambda rng, values, r, k: (
            gradient(rng, values, r, k),
            reference.sigmoid(values(rng, r, k)),
        ),
    ],
    "tanh": [lambda rng, values, r, k: (values(rng, r, k),)],
    "tanh_backward": [
        lambda rng, values, r, k: (gradient(rng, values, r, k), reference.tanh(values(rng, r, k)))
    ],
    "softmax_weights": [lambda rng, values, r, k: (values(rng, r, k, high=12),)],
    "loss_gradient": [coded_rows],
    "adam": [adam_step],
}
CASES = [
    pytest.param(name, make, id=f"{name}{i or ''}")
    for name, makes in ARGUMENTS.items()
    for i, make in enumerate(makes)
]
SIZES = st.one_of(st.integers(1, 40), st.sampled_from([63, 64, 65, 127, 257, 512]))


def run(module: Any, name: str, arguments: tuple[Any, ...]) -> tuple[Any, ...]:
    """What an operation returns, and what it left in the tensors it was given."""
    own = tuple(a.clone() if isinstance(a, torch.Tensor) else a for a in arguments)
    result = getattr(module, name)(*own)
    outputs = result if isinstance(result, tuple) else (result,) if name != "adam" else ()
    return (*outputs, *(a for a in own if isinstance(a, torch.Tensor)))


@pytest.fixture(scope="module", autouse=True)
def _split_small_work() -> Iterator[None]:
    """Otherwise only large matrices would be shared between threads."""
    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(threads, "_WORTH", 64)
        yield


def test_every_operation_is_here() -> None:
    assert set(ARGUMENTS) == set(cpu.__all__)
    assert set(cpu.__all__) == set(reference.__all__)


@pytest.mark.parametrize(("name", "make"), CASES)
@given(r=SIZES, k=SIZES, workers=st.integers(1, 3), seed=st.integers(0, 2**32 - 1))
def test_kernel_equals_reference(
    name: str,
    make: Arguments,
    same: Callable[[object, object], None],
    values: Values,
    r: int,
    k: int,
    workers: int,
    seed: int,
) -> None:
    arguments = make(np.random.default_rng(seed), values, r, k)
    threads.allow(workers)
    same(run(cpu, name, arguments), run(reference, name, arguments))


@pytest.mark.parametrize(("name", "make"), CASES)
def test_large_work_is_shared_and_equal(
    name: str,
    make: Arguments,
    same: Callable[[object, object], None],
    values: Values,
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    """With the real threshold, at sizes where the work is cut at odd places."""
    monkeypatch.setattr(threads, "_WORTH", 1 << 17)
    arguments = make(np.random.default_rng(1), values, 1027, 259)
    alone = run(cpu, name, arguments)
    for workers in (2, 3):
        threads.allow(workers)
        same(run(cpu, name, arguments), alone)
    same(alone, run(reference, name, arguments))


@pytest.mark.parametrize(("name", "make"), [case for case in CASES if case.id != "adam"])
def test_operations_leave_their_arguments_alone(
    name: str, make: Arguments, same: Callable[[object, object], None], values: Values
) -> None:
    arguments = make(np.random.default_rng(2), values, 9, 33)
    tensors = tuple(a for a in arguments if isinstance(a, torch.Tensor))
    before = tuple(t.clone() for t in tensors)
    for module in (cpu, reference):
        getattr(module, name)(*arguments)
        same(tensors, before)


@pytest.mark.parametrize("name", ["gelu", "gelu_backward", "tanh", "tanh_backward"])
def test_element_wise_operations_take_any_shape_and_stride(
    name: str, same: Callable[[object, object], None], values: Values
) -> None:
    x = values(np.random.default_rng(3), 24, 10).view(2, 3, 4, 10).transpose(1, 3)
    arguments = (x * 2, x) if name.endswith("backward") else (x,)
    same(getattr(cpu, name)(*arguments), getattr(reference, name)(*arguments).contiguous())


@settings(max_examples=20)
@given(cuts=st.lists(st.integers(1, 49), unique=True), seed=st.integers(0, 2**32 - 1))
def test_results_do_not_depend_on_the_cuts(
    cuts: list[int], same: Callable[[object, object], None], values: Values, seed: int
) -> None:
    """Any cutting of the range, not only the even one: column_sum cuts columns."""
    x = gradient(np.random.default_rng(seed), values, 30, 50)
    edges = [0, *sorted(cuts), 50]

    def uneven(kernel: Any, rows: int, elements: int, *args: Any) -> None:
        for lo, hi in itertools.pairwise(edges):
            kernel(lo, hi, *args)

    with pytest.MonkeyPatch.context() as patch:
        patch.setattr(cpu, "over", uneven)
        got = cpu.column_sum(x)
    same(got, reference.column_sum(x))


def test_an_exception_in_another_thread_arrives() -> None:
    def failing(lo: int, hi: int) -> None:
        if lo:
            raise ArithmeticError("in the second share")

    threads.allow(2)
    with pytest.raises(ArithmeticError, match="second share"):
        threads.over(failing, 10, 1 << 20)
