"""Some libraries switch the processor to flush denormals to zero: no result may change.

Operations whose results go into integers must give the same bits. The others may give
tiny numbers that differ; the same bits are asked of what becomes of them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch

from nncomp.exact import cpu, reference
from nncomp.exact.adam import Adam, AdamConfig
from nncomp.exact.ops import force_reference

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

    Same = Callable[[object, object], None]
    Values = Callable[..., Tensor]

pytestmark = pytest.mark.skipif(
    not torch.set_flush_denormal(False), reason="this processor cannot flush denormals"
)
MODULES = pytest.mark.parametrize("module", [cpu, reference], ids=["kernels", "reference"])


def either_way(function: Callable[[], Any], same: Same) -> None:
    """Without and with flushing: the same bits."""
    torch.set_flush_denormal(False)
    want = function()
    torch.set_flush_denormal(True)
    got = function()
    flushing = not (torch.tensor(2.0**-126) * torch.tensor(0.5)).any()
    torch.set_flush_denormal(False)  # or the comparison would flush, too
    assert flushing
    same(got, want)


@pytest.fixture
def tiny(values: Values) -> Callable[..., Tensor]:
    """Values around the smallest, some rows with ordinary ones among them."""

    def draw(*shape: int, high: int = -80) -> Tensor:
        return values(np.random.default_rng(len(shape)), *shape, low=-149, high=high)

    return draw


def column(count: int) -> Tensor:
    return torch.exp2(torch.arange(count) % 60 - 53.0)


@MODULES
def test_what_becomes_integers(module: Any, tiny: Callable[..., Tensor], same: Same) -> None:
    x = tiny(200, 33)
    index = torch.arange(200) % 7
    cases: dict[str, Callable[[], Any]] = {
        "quantise_rows": lambda: module.quantise_rows(x),
        "quantise_rows of gelu": lambda: module.quantise_rows(x, True),
        "split_rows": lambda: module.split_rows(x, column(33)),
        "split_columns": lambda: module.split_columns(x, column(200)),
        "column_sum": lambda: module.column_sum(x),
        "index_sum": lambda: module.index_sum(x, index, 7),
        "softmax_weights": lambda: module.softmax_weights(tiny(9, 256, high=5)),
    }
    for function in cases.values():
        either_way(function, same)


@MODULES
def test_layer_norm_on_its_way_to_integers(
    module: Any, tiny: Callable[..., Tensor], same: Same
) -> None:
    x, dy, gain = tiny(200, 33), tiny(200, 33) * 2, tiny(33, high=3)

    def forward_and_backward() -> tuple[Any, ...]:
        y, centre, scale = module.layer_norm(x, gain, gain * 0.5, 1e-5)
        dx, dgain, dbias = module.layer_norm_backward(dy, x, centre, scale, gain)
        into = module.split_rows(dx, column(33)), module.split_columns(dx, column(200))
        return (scale, module.quantise_rows(y), *into, dgain, dbias)

    either_way(forward_and_backward, same)


@MODULES
def test_activation_and_merged_gradients_on_their_way_to_integers(
    module: Any, tiny: Callable[..., Tensor], same: Same
) -> None:
    x, dy = tiny(50, 33, high=4), tiny(50, 33)
    generator = torch.Generator().manual_seed(0)
    acc = torch.randint(-99, 99, (2, 50, 33), generator=generator, dtype=torch.int32)
    row = torch.exp2(torch.arange(50) % 20 - 102.0)  # the smallest that quantising gives

    def gradients() -> tuple[Any, ...]:
        parts = (
            module.gelu_backward(dy, x),
            module.sigmoid_backward(dy, module.sigmoid(x)),
            module.merge(acc, row),
            module.merge(acc, row, x),
        )
        return tuple(module.split_columns(p, column(50)) for p in parts)

    either_way(gradients, same)


@pytest.mark.parametrize("by_reference", [False, True], ids=["kernels", "reference"])
@pytest.mark.parametrize(
    "config",
    [AdamConfig(), AdamConfig(beta1=0.0, beta2=0.9999, weight_decay=0.0)],
    ids=["adam", "nncp"],
)
def test_adam_over_many_steps_of_tiny_gradients(
    by_reference: bool, config: AdamConfig, values: Values, same: Same
) -> None:
    def learn() -> tuple[Tensor, ...]:
        rng = np.random.default_rng(5)
        p = torch.nn.Parameter(values(rng, 20, 40, low=-149, high=-20))
        adam = Adam([p], config)
        for step in range(300):
            # A burst of ordinary ones, after which the moments fade for long.
            high = 0 if step % 100 == 0 else -60
            p.grad = values(rng, 20, 40, low=-149, high=high) if step % 3 else torch.zeros(20, 40)
            adam.step(1e-3)
        return (p.detach().clone(),)

    if by_reference:
        with force_reference():
            either_way(learn, same)
    else:
        either_way(learn, same)
