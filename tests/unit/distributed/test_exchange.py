from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    Pair = Callable[..., list[Any]]

SHAPE = (40, 8)


def values(sender: int, receiver: int, number: int) -> np.ndarray:
    """As in ranks.py."""
    rng = np.random.default_rng((sender, receiver, number))
    rows = rng.standard_normal((5, SHAPE[1]), dtype=np.float32)
    return rows[rng.integers(0, 5, SHAPE[0])]


def results(answers: list[Any]) -> list[Any]:
    assert all("result" in answer for answer in answers), answers
    return [answer["result"] for answer in answers]


def gradient(receiver: int) -> np.ndarray:
    """What the loss of a rank has as gradient for each element it received."""
    row = np.linspace(-1, 1, SHAPE[1], dtype=np.float32) * (receiver + 1)
    return np.broadcast_to(row, SHAPE)


TABLES = [2, 1]


@pytest.mark.parametrize("dtype", ["float32", "float64", "bfloat16"])
def test_tensors_go_where_they_should(pair: Pair, dtype: str) -> None:
    found = results(pair("exchange", tables=TABLES, bound=None, dtype=dtype))
    roughly = 1e-2 if dtype == "bfloat16" else 0
    for rank, result in enumerate(found):
        for sender, tensors in enumerate(result["received"]):
            wanted = [values(sender, rank, k) for k in range(TABLES[sender])]
            np.testing.assert_allclose(tensors, wanted, rtol=roughly)
        for receiver, gradients in enumerate(result["gradients"]):
            wanted = [gradient(receiver)] * TABLES[rank]
            np.testing.assert_allclose(gradients, wanted, rtol=roughly, atol=1e-7)


@pytest.mark.parametrize("bound", [0.05, [0.05], 1e-4])
def test_errors_are_bounded_and_gradients_pass(pair: Pair, bound: Any) -> None:
    """And what a rank has for itself stays as it is."""
    found = results(pair("exchange", tables=[1, 1], bound=bound))
    limit = bound[0] if isinstance(bound, list) else bound
    for rank, result in enumerate(found):
        for sender, (tensor,) in enumerate(result["received"]):
            error = np.abs(np.array(tensor) - values(sender, rank, 0).astype(np.float64)).max()
            assert error == 0 if sender == rank else 0 < error <= limit
        for receiver, (gradients,) in enumerate(result["gradients"]):
            np.testing.assert_array_equal(np.float32(gradients), gradient(receiver))


def test_relative_bounds_are_of_each_tensor(pair: Pair) -> None:
    found = results(pair("exchange", tables=[1, 1], bound=0.01, mode="rel"))
    for rank, sender in ((0, 1), (1, 0)):
        wanted = values(sender, rank, 0).astype(np.float64)
        error = np.abs(np.array(found[rank]["received"][sender][0]) - wanted).max()
        assert 0 < error <= 0.01 * (wanted.max() - wanted.min())


def test_gradients_with_a_bound_of_their_own(pair: Pair) -> None:
    found = results(pair("exchange", tables=[1, 1], bound=None, backward=0.04))
    for rank, result in enumerate(found):
        for sender, (tensor,) in enumerate(result["received"]):
            np.testing.assert_array_equal(np.float32(tensor), values(sender, rank, 0))
        for receiver, (gradients,) in enumerate(result["gradients"]):
            error = np.abs(np.array(gradients) - gradient(receiver)).max()
            assert error == 0 if receiver == rank else 0 < error <= 0.0401


def test_a_rank_without_tables_comes_along_on_the_way_back(pair: Pair) -> None:
    found = results(pair("exchange", tables=[2, 0], bound=0.1, backward=0.01))
    assert found[1]["gradients"] == [[], []]
    assert np.abs(np.array(found[0]["gradients"][1]) - gradient(1)).max() <= 0.0101


def test_what_is_sent_is_counted(pair: Pair) -> None:
    found = results(pair("exchange", tables=TABLES, bound=0.1, backward=0.1))
    size = SHAPE[0] * SHAPE[1] * 4
    (there, back), (there_1, back_1) = (result["traffic"] for result in found)
    assert (there[0], back[0]) == (2 * size, size)  # raw: tables of rank 0, gradients of rank 1's
    assert (there_1[0], back_1[0]) == (size, 2 * size)
    for raw, sent, calls in (there, back, there_1, back_1):
        assert 0 < sent < raw
        assert calls == 1

    plain = results(pair("exchange", tables=[1, 1], bound=None))[0]["traffic"]
    assert plain == [[size, size + 13, 1]] * 2  # with the head of a tensor


def test_nothing_is_recorded_without_gradients(pair: Pair) -> None:
    assert results(pair("without_gradient")) == [False, False]


# --- what goes wrong -----------------------------------------------------------------


@pytest.mark.parametrize("job", ["cannot_encode", "cannot_encode_gradients"])
def test_others_are_told_at_once_that_a_rank_failed(pair: Pair, job: str) -> None:
    other, failed = pair(job, timeout=1000)
    assert "UsageError" in failed["error"]
    assert "2 bounds for 1 tensors" in failed["message"]
    assert "PeerError" in other["error"]
    assert "rank 1 failed before sending anything" in other["message"]


def test_shapes_that_there_are_not_are_the_fault_of_who_expects_them(pair: Pair) -> None:
    expecting, other = pair("expects_nonsense", timeout=1000)
    assert "there is no tensor of the shape [-40, 8]" in expecting["message"]
    assert "rank 0 failed before sending anything" in other["message"]


def test_a_rank_outside_the_group_is_told(pair: Pair) -> None:
    inside, outside = pair("is_outside")
    assert inside == {"result": None}
    assert "UsageError" in outside["error"]
    assert "not in the group" in outside["message"]


@pytest.mark.parametrize("coded", [False, True])
def test_more_than_was_agreed_upon_is_refused(pair: Pair, coded: bool) -> None:
    """Without coding by its size alone, before any memory is asked for."""
    other, _ = pair("sends_more", coded=coded)
    assert "PeerError" in other["error"]
    reason = "from rank 1: tensor 0" if coded else "would send 12813 bytes where 1293 are the most"
    assert reason in other["message"]


def test_what_is_no_message_is_refused(pair: Pair) -> None:
    other, _ = pair("sends_nonsense")
    assert "PeerError" in other["error"]
    assert "from rank 1: the message ends within the heads" in other["message"]


def test_a_rank_that_dies_is_an_error_on_the_others(own_pair: Pair) -> None:
    other, died = own_pair("dies", timeout=1000)
    assert died is None
    assert "PeerError" in other["error"]
    assert "broke" in other["message"]


def test_nobody_waits_longer_than_the_timeout_of_the_group(pair: Pair, tmp_path: Path) -> None:
    other, _ = pair("hangs", timeout=3, until=str(tmp_path / "given up"))
    assert "PeerError" in other["error"]
    assert "3000ms" in other["message"]
