"""What every model promises: a segment at once is the segment step by step, lane by lane."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import pytest
import torch

from nncomp.exact import reference
from nncomp.exact.adam import Adam, AdamConfig
from nncomp.exact.guard import ExactGuard
from nncomp.exact.init import Init
from nncomp.exact.layers import backpropagate, refresh
from nncomp.exact.ops import backend, force_reference
from nncomp.models.pac import Pac, PacConfig
from nncomp.models.sep import Sep, SepConfig

if TYPE_CHECKING:
    from collections.abc import Iterator

    from torch import Tensor

    from nncomp.models.byte_model import ByteModel, State

LANES = 3


class Case(NamedTuple):
    """Sizes of a small network; `sep` is None for PAC alone."""

    token: int
    tokens: int
    levels: int
    mixing: str
    sep: SepConfig | None = None

    @property
    def config(self) -> PacConfig:
        return PacConfig(LANES, self.token, self.token * self.tokens, self.levels, 12, self.mixing)


def sep(fused: int, direct: int, context: int = 9, patch: int = 4, embedding: int = 4) -> SepConfig:
    return SepConfig(context, patch, 2, fused, direct, embedding)


CASES = {
    "pac": Case(4, 4, 2, "shared"),
    "pac by lane": Case(4, 4, 2, "lane"),
    "pac, halved down to one token": Case(4, 4, 4, "lane"),
    "pac, nothing cached": Case(6, 1, 2, "shared"),
    "pac, one level of long cache": Case(2, 16, 1, "shared"),
    "pac of width three": Case(3, 1, 2, "lane"),
    "sep": Case(4, 4, 2, "shared", sep(1, 0)),
    "sep by lane, nothing cached": Case(8, 1, 2, "lane", sep(1, 1)),
    "sep, three fused and two direct": Case(20, 2, 1, "shared", sep(3, 2)),
    "sep, more direct than patches": Case(36, 1, 1, "shared", sep(1, 8, context=5)),
    "sep of one patch": Case(12, 2, 2, "lane", sep(2, 1, context=4)),
}
ALL = pytest.mark.parametrize("case", CASES.values(), ids=CASES.keys())


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


def build(case: Case) -> ByteModel:
    init = Init(std=0.3)
    model = Sep(case.sep, case.config, init) if case.sep else Pac(case.config, init)
    with torch.no_grad():  # gains of 1 and biases of 0 would hide what they do
        for p in model.parameters():
            p.add_(init.normal(*p.shape, std=0.1))
    refresh(model)
    return model


def lanes_of_bytes(model: ByteModel, steps: int, seed: int = 0) -> Tensor:
    """(L, C + steps) bytes: a history, and the steps after it."""
    generator = torch.Generator().manual_seed(seed)
    return torch.randint(0, 256, (LANES, model.context + steps), generator=generator)


def window(model: ByteModel, line: Tensor, start: int, stop: int) -> Tensor:
    return line[:, start : stop + model.context - 1]


def at_once(model: ByteModel, line: Tensor, cuts: list[int]) -> tuple[Tensor, State]:
    """Logits (L, T, 256) of all steps, in pieces that end at `cuts`, and the last state."""
    state, start, parts = model.start(), 0, []
    with torch.no_grad():
        for stop in cuts:
            logits, state = model(window(model, line, start, stop), state)
            parts.append(logits.view(LANES, stop - start, 256))
            start = stop
    return torch.cat(parts, dim=1), state


@ALL
@pytest.mark.parametrize("by_reference", [False, True], ids=["kernels", "reference"])
def test_a_segment_at_once_is_the_segment_step_by_step(case: Case, by_reference: bool) -> None:
    model = build(case)
    line = lanes_of_bytes(model, 24)
    if by_reference:
        with force_reference():
            whole, state = at_once(model, line, [24])
            logits, after = at_once(model, line, list(range(1, 25)))
    else:
        whole, state = at_once(model, line, [24])
        logits, after = at_once(model, line, list(range(1, 25)))
    assert torch.equal(whole, logits)
    assert len(state) == case.levels
    assert all(torch.equal(a, b) for a, b in zip(state, after, strict=True))


@ALL
def test_uneven_segments_are_the_same(case: Case) -> None:
    model = build(case)
    line = lanes_of_bytes(model, 24)
    assert torch.equal(at_once(model, line, [24])[0], at_once(model, line, [5, 6, 19, 24])[0])


@ALL
def test_a_lane_depends_on_itself_alone(case: Case) -> None:
    model = build(case)
    line, other = lanes_of_bytes(model, 12), lanes_of_bytes(model, 12)
    other[1] = lanes_of_bytes(model, 12, seed=1)[1]
    a, b = at_once(model, line, [12])[0], at_once(model, other, [12])[0]
    assert torch.equal(a[[0, 2]], b[[0, 2]])
    assert not torch.equal(a[1], b[1])


@ALL
def test_a_step_depends_on_the_bytes_before_it_alone(case: Case) -> None:
    model = build(case)
    line, other = lanes_of_bytes(model, 12), lanes_of_bytes(model, 12)
    other[:, model.context + 6 :] += 1  # the bytes of step 6 and later
    a, b = at_once(model, line, [12])[0], at_once(model, other % 256, [12])[0]
    assert torch.equal(a[:, :7], b[:, :7])
    assert not torch.equal(a[:, 7:], b[:, 7:])


@ALL
def test_lanes_have_matrices_of_their_own_only_if_asked(case: Case) -> None:
    model = build(case)
    line = lanes_of_bytes(model, 6)[:1].expand(LANES, -1)
    logits, _ = at_once(model, line, [6])
    assert torch.equal(logits[0], logits[1]) == (case.mixing == "shared")


@ALL
def test_parameters_counts_all_but_embedding_and_block(case: Case) -> None:
    model = build(case)
    outside = {"table", "gate", "fuse", "fuse_bias"}
    counted = sum(p.numel() for name, p in model.named_parameters() if name not in outside)
    assert counted == case.config.parameters()
    assert model.context == (max(case.sep.positions, case.sep.direct) if case.sep else 1)


def test_parameters_of_the_originals() -> None:
    """SEP+PAC is stated to have 55 million parameters, most of them in the lanes' matrices."""
    config = PacConfig(lanes=512, token=16, width=256, levels=5, ffn=4096, mixing="lane")
    assert config.widths == [16, 32, 64, 128, 256]
    assert 54e6 < config.parameters() < 57e6


def learn(model: ByteModel, line: Tensor, cuts: list[int]) -> list[Tensor]:
    """Segment after segment as the loop does, and all weights afterwards."""
    adam = Adam(model.parameters(), AdamConfig(lr=1e-2))
    ops = backend(line.device)
    state, start = model.start(), 0
    for stop in cuts:
        logits, state = model(window(model, line, start, stop), state)
        targets = line[:, model.context + start : model.context + stop].reshape(-1)
        weights = ops.softmax_weights(logits.detach())
        backpropagate(logits, ops.loss_gradient(weights, targets, targets.numel()))
        adam.step(1e-2)
        refresh(model)
        start = stop
    return [p.detach() for p in model.parameters()]


@ALL
def test_learning_passes_the_guard_and_equals_the_kernels(case: Case) -> None:
    line = lanes_of_bytes(build(case), 20)
    model = build(case)
    before = [p.detach().clone() for p in model.parameters()]
    by_kernels = learn(model, line, [6, 7, 20])
    # Whatever chooses a matrix product does so outside: it multiplies random integers.
    other = build(case)
    with force_reference(), ExactGuard():
        by_reference = learn(other, line, [6, 7, 20])
    assert all(torch.equal(a, b) for a, b in zip(by_kernels, by_reference, strict=True))
    assert not any(torch.equal(a, b) for a, b in zip(by_kernels, before, strict=True))
    assert all(torch.isfinite(p).all() for p in by_kernels)


@pytest.mark.parametrize("name", ["pac", "sep"])
def test_a_model_learns(name: str) -> None:
    """The mean code length of a repeated phrase falls below two bits a byte."""
    model = build(CASES[name])
    phrase = torch.tensor(list(b"abracadabra, ")).repeat(60)
    line = torch.stack([phrase.roll(5 * lane) for lane in range(LANES)])
    learn(model, line, list(range(10, 600, 10)))
    logits, _ = at_once(model, line, [600])
    weights = reference.softmax_weights(logits[:, 300:].reshape(-1, 256)).double()
    targets = line[:, model.context + 300 : model.context + 600].reshape(-1, 1)
    share = weights.gather(1, targets).squeeze(1) / weights.sum(dim=1)
    assert -share.clamp(min=2**-23).log2().mean() < 2.0
