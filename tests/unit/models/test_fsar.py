"""The image model in float: hard codes with a gradient, and a prior that is a table."""

from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

from nncomp.models.fsar import NEIGHBOURS, Fsar, FsarConfig, entmax, normal_bits
from nncomp.models.fsar_integer import PRIOR_BITS, latent_bits, states_of
from nncomp.training.export import counts_of, prior_counts

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

SMALL = FsarConfig(stride=2, groups=2, codes=6, dim=3, width=8, hidden=8)
PRIORS = pytest.mark.parametrize("prior", NEIGHBOURS)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def model_of(**changes: object) -> Fsar:
    torch.manual_seed(1)
    return Fsar(replace(SMALL, **changes))  # type: ignore[arg-type]


def pictures(count: int = 2, size: int = 12) -> Tensor:
    return (
        torch.randint(256, (count, 3, size, size), generator=torch.Generator().manual_seed(2)) * 1.0
    )


def noise() -> torch.Generator:
    return torch.Generator().manual_seed(3)


@pytest.mark.parametrize("quantiser", ["STHQ", "VQ"])
def test_codes_are_hard_and_all_parts_learn(quantiser: str) -> None:
    model = model_of(quantiser=quantiser)
    choice, quantised, _ = model.quantiser(model.encode(pictures()), noise())
    assert set(choice.unique().tolist()) == {0.0, 1.0}
    assert (choice.sum(dim=2) == 1).all()
    codes = choice.argmax(dim=2)
    for group in range(SMALL.groups):
        found = model.quantiser.codes[group][codes[:, group]].movedim(-1, 1)
        assert torch.allclose(quantised[:, group], found, atol=1e-6)

    bits = model(pictures(), noise())
    (bits.total + bits.extra).backward()
    without = {name for name, p in model.named_parameters() if p.grad is None or not p.grad.any()}
    assert not without


def test_the_rate_reaches_the_encoder_with_sthq_alone() -> None:
    for quantiser, reached in (("STHQ", True), ("VQ", False)):
        model = model_of(quantiser=quantiser)
        model(pictures(), noise()).latent.backward()
        weight = next(model.encoder.parameters())
        assert (weight.grad is not None and bool(weight.grad.any())) == reached


def test_noise_changes_codes_in_training_alone() -> None:
    model = model_of().eval()
    x = pictures()
    plain = model.quantiser(model.encode(x), None)[0].argmax(dim=2)
    noisy = model.quantiser(model.encode(x), noise())[0].argmax(dim=2)
    assert torch.equal(plain, model.indices(x))
    assert not torch.equal(plain, noisy)


@pytest.mark.parametrize("mean", [-30.0, 0.0, 3.4, 128.0, 254.9, 300.0])
@pytest.mark.parametrize("log_scale", [-1.0, 1.0, 4.5])
def test_laws_of_samples_sum_to_one(mean: float, log_scale: float) -> None:
    x = torch.arange(256.0, dtype=torch.float64)
    bits = normal_bits(x, torch.full_like(x, mean), torch.full_like(x, log_scale))
    # Where intervals underflow, the density stands in for them, and is near 0, too.
    assert (2**-bits).sum().item() == pytest.approx(1, abs=2e-3)
    assert bits.isfinite().all()


def test_far_samples_still_have_a_gradient() -> None:
    mean = torch.zeros(1, requires_grad=True)
    normal_bits(torch.tensor([200.0]), mean, torch.zeros(1)).sum().backward()
    assert mean.grad is not None
    assert mean.grad.item() < -1


def test_entmax_is_softmax_for_one_and_drops_codes_above() -> None:
    logits = torch.tensor([[0.0, 1.0, -4.0], [2.0, 2.0, 2.0]], dtype=torch.float64)
    assert torch.equal(entmax(logits, 1.0), logits.softmax(dim=-1))
    p = entmax(logits, 1.4)
    assert p.sum(dim=-1).tolist() == pytest.approx([1, 1])
    assert p[0, 2] == 0
    assert p[1].tolist() == pytest.approx([1 / 3] * 3)
    logits.requires_grad_()
    assert torch.autograd.gradcheck(lambda x: entmax(x, 1.4), logits, atol=1e-4)


@PRIORS
def test_tables_cost_what_the_network_costs(prior: str) -> None:
    model = model_of(prior=prior).eval()
    x = pictures(1, 32)
    indices = model.indices(x)[0].numpy()
    table = model.prior.table(model.quantiser).detach().numpy()
    states = states_of(indices, SMALL.codes, NEIGHBOURS[prior])
    p = np.stack([table[g][states[g], indices[g]] for g in range(SMALL.groups)])
    network = float(model(x).latent.detach()) * x.numel()
    assert -np.log2(p).sum() == pytest.approx(network, rel=1e-4)

    counts = prior_counts(model)
    assert counts.shape == (2, 7 ** NEIGHBOURS[prior], 7)
    assert (counts.sum(axis=2, dtype=np.int64) == 1 << PRIOR_BITS).all()
    assert (counts[..., -1] > 0).all()
    assert latent_bits(counts, indices) == pytest.approx(network, rel=0.01)


def test_codes_out_of_use_cost_an_escape() -> None:
    model = model_of().eval()
    with torch.no_grad():
        model.quantiser.usage[:, 4] = -9.0
    counts = prior_counts(model)
    assert (counts[:, :, 4] == 0).all()
    assert (model.indices(pictures()) != 4).all()
    improbable = np.full((2, 1, 1), 4)
    escapes = counts[:, 48, -1].astype(float)  # both neighbours outside
    assert latent_bits(counts, improbable) == pytest.approx((13 - np.log2(escapes)).sum())


@pytest.mark.parametrize("p", [[1.0, 0, 0], [0.9997, 0.0001, 0.0002], [1 / 3] * 3, [0.5, 0.5, 0]])
def test_counts_sum_up_whatever_rounding_does(p: list[float]) -> None:
    counts = counts_of(np.array([p]))
    assert counts.sum() == 1 << PRIOR_BITS
    assert counts[0, -1] >= 1
    assert counts[0, 0] > 300


def test_states_are_neighbours() -> None:
    grid = np.array([[[0, 1], [2, 1]]])
    assert states_of(grid, 3, 0).tolist() == [[[0, 0], [0, 0]]]
    assert states_of(grid, 3, 1).tolist() == [[[3, 0], [3, 2]]]
    assert states_of(grid, 3, 2).tolist() == [[[15, 12], [3, 6]]]
