"""A model written down as steps gives the bits of its forward pass."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nncomp.exact.adam import Adam, AdamConfig
from nncomp.exact.init import Init
from nncomp.exact.layers import backpropagate, refresh
from nncomp.exact.ops import backend
from nncomp.exact.stepper import Stepper, run
from nncomp.models.pac import Pac, PacConfig
from nncomp.models.sep import Sep, SepConfig

if TYPE_CHECKING:
    from nncomp.exact.stepper import Program
    from nncomp.models.byte_model import ByteModel, State

# Sizes: (context, patch, stride, fused, direct) of the block, or None for PAC alone.
BLOCKS = st.none() | st.integers(1, 9).flatmap(
    lambda patch: st.tuples(
        st.integers(patch, patch + 9),
        st.just(patch),
        st.integers(1, 4),
        st.integers(1, 3),
        st.integers(0, 5),
    )
)


def build(
    block: tuple[int, ...] | None, embedding: int, tokens: int, levels: int, ffn: int, lanes: int
) -> ByteModel:
    """A network in which no gain is 1 and no bias 0, which would hide what they do."""
    seb = SepConfig(*block, embedding) if block else None
    token = seb.token if seb else embedding
    config = PacConfig(lanes, token, token * tokens, levels, ffn, "shared")
    init = Init(std=0.3)
    model = Sep(seb, config, init) if seb else Pac(config, init)
    with torch.no_grad():
        for p in model.parameters():
            p.add_(init.normal(*p.shape, std=0.1))
    refresh(model)
    return model


def written(model: ByteModel) -> tuple[Stepper, Program]:
    stepper = Stepper(model.lanes, model.context)
    model.write(stepper)
    return stepper, stepper.program()


def by_steps(program: Program, line: torch.Tensor, start: int, stop: int) -> np.ndarray:
    """int32[L, T, 256], step by step, lane by lane within a step."""
    rows = np.zeros((len(line), stop - start, 256), np.int32)
    history = line.numpy()
    for step in range(start, stop):
        for lane in range(len(line)):
            run(program, lane, history[lane][step : step + program.context])
            rows[lane, step - start] = program.weights[0]
    return rows


def learn(
    model: ByteModel, adam: Adam, line: torch.Tensor, state: State, start: int, stop: int
) -> tuple[np.ndarray, State]:
    """Predict steps at once, then learn from them; the weights of before, likewise."""
    ops = backend(line.device)
    logits, state = model(line[:, start : stop + model.context - 1], state)
    weights = ops.softmax_weights(logits.detach())
    targets = line[:, model.context + start : model.context + stop].reshape(-1)
    backpropagate(logits, ops.loss_gradient(weights, targets, targets.numel()))
    adam.step(1e-2)
    refresh(model)
    return weights.view(model.lanes, stop - start, 256).numpy(), state


@settings(max_examples=40)
@given(
    block=BLOCKS,
    embedding=st.integers(1, 9),
    tokens=st.sampled_from([1, 2, 4, 16]),
    levels=st.integers(1, 3),
    ffn=st.integers(1, 20),
    lanes=st.integers(1, 4),
    steps=st.lists(st.integers(1, 7), min_size=1, max_size=4),
    seed=st.integers(0, 99),
)
def test_steps_are_the_forward_pass(steps: list[int], seed: int, **sizes: Any) -> None:
    """Segment after segment, the weights updated and the caches kept between them."""
    levels, tokens = sizes["levels"], sizes["tokens"]
    sizes["levels"] = min(levels, 1 + (tokens - 1).bit_length())
    model = build(**sizes)
    generator = torch.Generator().manual_seed(seed)
    shape = (model.lanes, model.context + sum(steps))
    line = torch.randint(0, 256, shape, generator=generator)
    adam = Adam(model.parameters(), AdamConfig(lr=1e-2))
    state, start = model.start(), 0
    stepper, program = written(model)
    for count in steps:
        got = by_steps(program, line, start, start + count)
        want, state = learn(model, adam, line, state, start, start + count)
        assert np.array_equal(got, want)
        stepper.refresh()
        start += count


def test_weights_are_taken_over_only_when_asked_for() -> None:
    model = build((6, 3, 2, 1, 2), 4, 2, 2, 8, 2)
    line = torch.arange(2 * (model.context + 4)).view(2, -1)
    stepper, program = written(model)
    learn(model, Adam(model.parameters(), AdamConfig()), line, model.start(), 0, 4)
    before = by_steps(written(model)[1], line, 0, 4)
    assert not np.array_equal(by_steps(program, line, 0, 4), before)
    program.arena[:] = 0  # caches as they are at the start
    stepper.refresh()
    assert np.array_equal(by_steps(program, line, 0, 4), before)


def test_lanes_have_caches_of_their_own() -> None:
    """What one lane does between the steps of another changes nothing for that one."""
    model = build(None, 4, 4, 2, 8, 2)
    line = torch.arange(2 * (model.context + 6)).view(2, -1) % 251
    together = by_steps(written(model)[1], line, 0, 6)
    program = written(model)[1]
    for lane in (1, 0):
        for step in range(6):
            run(program, lane, line.numpy()[lane][step : step + program.context])
            assert np.array_equal(program.weights[0], together[lane, step])
    assert not np.array_equal(together[0], together[1])


@pytest.mark.parametrize(
    "config",
    [
        PacConfig(2, 4, 16, 2, 8, "lane"),
        PacConfig(2, 4, 16, 2, 8, "shared", mask=True),
    ],
    ids=["a matrix for each lane", "a mask"],
)
def test_what_cannot_be_written_says_so(config: PacConfig) -> None:
    with pytest.raises(NotImplementedError):
        Pac(config, Init(std=0.1)).write(Stepper(2, 1))


def test_nothing_to_refresh_before_there_is_a_program() -> None:
    with pytest.raises(ValueError, match="no program"):
        Stepper(1, 1).refresh()
