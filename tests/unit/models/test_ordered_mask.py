"""PAC's ordered mask: its values, its gradients, and that it stays exact within a model."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import nncomp
from nncomp.codecs.neural.sep import SEP
from nncomp.errors import MethodError
from nncomp.exact.guard import ExactGuard
from nncomp.exact.init import Init
from nncomp.exact.layers import MASK_CLIP, ordered_mask, scale_tokens
from nncomp.exact.ops import force_reference
from nncomp.models.pac import Pac, PacConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

TAU = 5.0
LANES, STEPS = 3, 5
CONFIG = PacConfig(lanes=LANES, token=4, width=16, levels=2, ffn=24, mixing="shared", mask=True)
METHOD = (
    "sep:lanes=2,seb=off,embedding=8,tokens=4,levels=2,ffn=32,segment=3,mask=on,"
    "optimiser=adam,lr=0.01,memory=off"
)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def randoms(*shape: int, scale: float = 1.0, seed: int = 0) -> Tensor:
    values = np.random.default_rng(seed).standard_normal(shape) * scale
    return torch.from_numpy(values.astype(np.float32))


def formula(beta: Tensor) -> Tensor:
    """The mask in plain float64."""
    s = torch.sigmoid(beta.clamp(-MASK_CLIP, MASK_CLIP))
    return torch.softmax(s / TAU, dim=1).cumsum(dim=1)


def masked_pac() -> Pac:
    """A network whose masks differ from lane to lane."""
    model = Pac(CONFIG, Init(std=0.2))
    assert model.backbone.mask is not None
    model.backbone.mask.beta.data.copy_(randoms(LANES, 4, scale=3.0))
    return model


def trained(model: Pac) -> list[Tensor]:
    """Logits of a segment and the gradients of all weights."""
    history = torch.from_numpy(np.random.default_rng(1).integers(0, 256, (LANES, STEPS)))
    logits, _ = model(history, model.start())
    logits.backward(randoms(*logits.shape, scale=0.01, seed=2))
    return [logits.detach(), *(p.grad for p in model.parameters() if p.grad is not None)]


@pytest.mark.parametrize("count", [1, 2, 16, 256])
def test_the_mask_is_the_formula_and_never_falls_towards_the_newest(count: int) -> None:
    beta = randoms(4, count, scale=4.0)
    mask = ordered_mask(beta, TAU)
    torch.testing.assert_close(mask.double(), formula(beta.double()), rtol=1e-5, atol=0.0)
    assert bool((mask[:, 1:] > mask[:, :-1]).all())
    assert bool((mask[:, -1] == 1).all())
    assert bool((mask[:, 0] > 0).all())


@pytest.mark.parametrize("count", [2, 5, 64])
def test_the_gradient_of_the_mask_is_that_of_the_formula(count: int) -> None:
    beta = randoms(4, count, scale=4.0)
    beta[0, 0], beta[1, 1] = MASK_CLIP + 1, -MASK_CLIP - 1
    dy = randoms(4, count, seed=1)
    ours, exact = beta.clone().requires_grad_(), beta.double().requires_grad_()
    ordered_mask(ours, TAU).backward(dy)
    formula(exact).backward(dy.double())
    assert ours.grad is not None
    assert exact.grad is not None
    largest = exact.grad.abs().max().item()
    torch.testing.assert_close(ours.grad.double(), exact.grad, rtol=1e-4, atol=1e-5 * largest)
    assert torch.equal(ours.grad == 0, beta.abs() > MASK_CLIP)


def test_the_gradients_of_scaled_tokens_are_those_of_the_product() -> None:
    x, mask = randoms(LANES * STEPS, 4 * 6), randoms(LANES, 4, seed=1).abs()
    dy = randoms(*x.shape, seed=2)
    leaves = [t.clone().requires_grad_() for t in (x, mask)]
    y = scale_tokens(*leaves)
    y.backward(dy)
    exact = [t.double().requires_grad_() for t in (x, mask)]
    by_row = exact[1].repeat_interleave(STEPS, dim=0).repeat_interleave(6, dim=1)
    want = exact[0] * by_row
    want.backward(dy.double())
    torch.testing.assert_close(y.double(), want, rtol=1e-6, atol=0.0)
    for ours, theirs in zip(leaves, exact, strict=True):
        assert ours.grad is not None
        torch.testing.assert_close(ours.grad.double(), theirs.grad, rtol=1e-4, atol=1e-5)


def test_a_segment_at_once_equals_step_by_step() -> None:
    model = masked_pac()
    history = torch.from_numpy(np.random.default_rng(3).integers(0, 256, (LANES, STEPS)))
    with torch.no_grad():
        at_once, end = model(history, model.start())
        state, steps = model.start(), []
        for step in range(STEPS):
            logits, state = model(history[:, step : step + 1], state)
            steps.append(logits)
    assert torch.equal(at_once.view(LANES, STEPS, -1), torch.stack(steps, dim=1))
    assert all(torch.equal(a, b) for a, b in zip(end, state, strict=True))


def test_kernels_give_the_bits_of_the_reference_and_both_keep_to_the_list() -> None:
    with ExactGuard() as guard:
        kernels = trained(masked_pac())
    with force_reference(), ExactGuard():
        reference = trained(masked_pac())
    assert "cumsum" in guard.seen
    assert len(kernels) == 1 + len(list(masked_pac().parameters()))
    for got, want in zip(kernels, reference, strict=True):
        assert torch.equal(got.view(torch.int32), want.view(torch.int32))


def test_the_mask_starts_even_and_changes_what_is_predicted() -> None:
    model, plain = Pac(CONFIG, Init(std=0.2)), masked_pac()
    assert model.backbone.mask is not None
    even = ordered_mask(model.backbone.mask.beta, TAU)
    torch.testing.assert_close(even, torch.arange(1, 5).expand(LANES, 4) / 4)
    assert not torch.equal(trained(model)[0], trained(plain)[0])


@pytest.mark.parametrize("mixing", ["lane", "shared"])
@pytest.mark.parametrize("mask", [False, True])
def test_all_weights_are_counted(mask: bool, mixing: str) -> None:
    config = PacConfig(LANES, token=4, width=16, levels=3, ffn=24, mixing=mixing, mask=mask)
    weights = sum(p.numel() for p in Pac(config, Init(std=0.2)).parameters())
    assert weights == config.parameters() + 256 * config.token


@pytest.mark.parametrize("size", [0, 1, 7, 900])
def test_round_trip(size: int) -> None:
    data = (b"the mask weighs newer tokens more. " * 30)[:size]
    assert nncomp.decompress(nncomp.compress(data, METHOD)) == data


def test_the_mask_decides_what_is_coded() -> None:
    data = b"aab" * 250
    masked, plain = (nncomp.compress(data, METHOD.replace("=on", mask)) for mask in ("=on", "=off"))
    assert max(len(masked), len(plain)) < len(data) / 2  # coded by the network, not stored
    assert masked[-100:] != plain[-100:]
    assert nncomp.decompress(masked) == data


def test_one_token_has_nothing_to_weigh() -> None:
    with pytest.raises(MethodError, match="tokens=1"):
        nncomp.compress(b"x", "sep:tokens=1,mask=on")


def test_the_memory_of_the_mask_is_counted() -> None:
    values = {p.name: p.default for p in SEP.params} | {"lanes": 64, "segment": 4, "tokens": 8}
    assert SEP.memory({**values, "mask": True}) > SEP.memory(values)
