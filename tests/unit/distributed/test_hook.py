from __future__ import annotations

from typing import TYPE_CHECKING, Any
from unittest.mock import Mock

import numpy as np
import pytest
import torch

from nncomp.distributed import Coding, GradientState

if TYPE_CHECKING:
    from collections.abc import Callable

    Pair = Callable[..., list[Any]]

GRADIENTS = [[0.01, -1.0, 0.5, 0.7, 0.0, 0.3], [0.012, 2.0, 0.5, -0.7, 0.0, 0.1]]


@pytest.mark.parametrize("bound", [0.1, 1e-3])
def test_the_average_is_within_the_bound(pair: Pair, bound: float) -> None:
    answers = pair("average", gradients=GRADIENTS, bound=bound, feedback=False, steps=2)
    assert all("result" in answer for answer in answers), answers
    first, second = (answer["result"]["gradients"] for answer in answers)
    assert first == second  # the ranks go on with equal weights
    for found in first:
        assert np.abs(np.array(found) - np.mean(GRADIENTS, axis=0)).max() <= bound * (1 + 1e-6)


def test_what_is_rounded_away_arrives_later_with_feedback(pair: Pair) -> None:
    steps = 40
    options = {"gradients": GRADIENTS, "bound": 0.1, "steps": steps}
    plain = pair("average", feedback=False, **options)[0]["result"]["gradients"]
    fed = pair("average", feedback=True, **options)[0]["result"]["gradients"]
    wanted = steps * np.mean(GRADIENTS, axis=0)
    assert np.sum(plain, axis=0)[0] == 0  # always below the bound
    # What is missing is what was left over at the end.
    assert np.abs(np.sum(fed, axis=0) - wanted).max() <= 0.1 * (1 + 1e-4)


def test_what_is_left_is_of_the_same_parameters() -> None:
    """PyTorch may put them in another order after the first step."""
    first, second = torch.zeros(2), torch.zeros(2)

    def bucket(*parameters: torch.Tensor) -> Mock:
        of = {"index": 0, "buffer": torch.ones(4), "parameters": list(parameters)}
        return Mock(**{f"{name}.return_value": value for name, value in of.items()})

    state = GradientState(Coding(0.1), feedback=True)
    state.after(bucket(first, second), torch.ones(4), torch.tensor([1, 1, 0.75, 0.5]))
    assert state.before(bucket(first, second)).tolist() == [1, 1, 1.25, 1.5]
    assert state.before(bucket(second, first)).tolist() == [1, 1, 1, 1]


def test_infinities_are_not_left_over() -> None:
    """They are sent as they are; what they leave of themselves would be NaN for ever."""
    of = {"index": 0, "buffer": torch.ones(4), "parameters": [torch.zeros(4)]}
    bucket = Mock(**{f"{name}.return_value": value for name, value in of.items()})
    state = GradientState(Coding(0.1), feedback=True)
    wanted = torch.tensor([float("inf"), -float("inf"), float("nan"), 1])
    state.after(bucket, wanted, torch.tensor([*wanted[:3], 0.75]))
    assert state.before(bucket).tolist() == [1, 1, 1, 1.25]


def test_sums_of_float16_may_be_larger_than_any(pair: Pair) -> None:
    answers = pair(
        "average", gradients=[[6e4, 1], [6e4, 3]], bound=1, feedback=False, steps=1, dtype="float16"
    )
    for answer in answers:
        assert np.abs(np.array(answer["result"]["gradients"][0]) - [6e4, 2]).max() <= 32


def test_messages_are_counted(pair: Pair) -> None:
    answers = pair("average", gradients=GRADIENTS, bound=0.1, feedback=False, steps=3)
    for answer in answers:
        raw, sent = answer["result"]["traffic"]
        assert raw == 3 * 600 * 4
        assert 0 < sent < raw


def test_others_are_told_that_a_rank_failed(pair: Pair) -> None:
    other, failed = pair("hook_fails", timeout=1000)
    assert "2 bounds for 1 tensors" in failed["message"]
    assert "rank 1 failed before sending anything" in other["message"]
