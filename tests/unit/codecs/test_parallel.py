"""Work on threads: order, what waits, and what goes wrong."""

from __future__ import annotations

import threading
from concurrent.futures import ThreadPoolExecutor
from typing import TYPE_CHECKING

import pytest

from nncomp.codecs import parallel
from nncomp.codecs.parallel import behind

if TYPE_CHECKING:
    from collections.abc import Callable


@pytest.mark.parametrize("most", [1, 3, 8])
def test_work_is_done_in_order_and_is_done_in_the_end(most: int) -> None:
    done: list[tuple[int, str]] = []
    with behind(lambda number, text: done.append((number, text)), most) as later:
        for number in range(50):
            later(number, str(number))
    assert done == [(number, str(number)) for number in range(50)]


def test_it_is_done_on_one_other_thread() -> None:
    seen: set[str] = set()
    with behind(lambda: seen.add(threading.current_thread().name)) as later:
        for _ in range(20):
            later()
    (name,) = seen
    assert name.startswith("nncomp-behind")


@pytest.mark.parametrize("most", [1, 4])
def test_no_more_than_that_many_calls_wait(most: int) -> None:
    """The caller is as far ahead as it may be, and held up there until one is done."""
    go, ahead, given = threading.Semaphore(0), threading.Event(), list[int]()

    def give() -> None:
        with behind(lambda _: go.acquire(), most) as later:
            for number in range(most + 3):
                given.append(number)
                if number == most:
                    ahead.set()
                later(number)

    caller = threading.Thread(target=give)
    caller.start()
    assert ahead.wait(60)
    caller.join(0.05)
    assert given == list(range(most + 1))  # the last of them is what the caller waits with
    for _ in range(most + 3):
        go.release()
    caller.join(60)
    assert given == list(range(most + 3))


def give(work: Callable[[int], None], most: int, calls: list[int]) -> None:
    """Calls of 0, 1, 2 and so on; those that came back are added to the list."""
    with behind(work, most) as later:
        for number in range(5 * most):
            later(number)
            calls.append(number)


def failing(at: int) -> tuple[Callable[[int], None], list[int]]:
    """Work that fails when it gets that number, and a list of what it did."""
    done: list[int] = []

    def work(number: int) -> None:
        if number == at:
            raise KeyError(number)
        done.append(number)

    return work, done


def test_an_error_comes_out_of_a_later_call() -> None:
    work, done = failing(2)
    calls: list[int] = []
    with pytest.raises(KeyError, match="2"):
        give(work, 3, calls)
    assert calls == [0, 1, 2, 3, 4]  # the sixth had to wait for the third
    assert done[:2] == [0, 1]
    assert max(done) <= 5


def test_an_error_of_the_last_call_comes_out_on_leaving() -> None:
    work, done = failing(14)
    calls: list[int] = []
    with pytest.raises(KeyError, match="14"):
        give(work, 3, calls)
    assert calls == list(range(15))
    assert done == calls[:-1]


def test_an_error_of_the_caller_drops_what_waits(monkeypatch: pytest.MonkeyPatch) -> None:
    begun, go, done = threading.Event(), threading.Event(), list[int]()

    class Pool(ThreadPoolExecutor):
        """Lets the first call end when the others have been dropped."""

        def shutdown(self, wait: bool = True, *, cancel_futures: bool = False) -> None:
            super().shutdown(wait=False, cancel_futures=cancel_futures)
            go.set()
            super().shutdown(wait=wait)

    def work(number: int) -> None:
        begun.set()
        assert go.wait(60)
        done.append(number)

    def fail() -> None:
        with behind(work, 8) as later:
            for number in range(5):
                later(number)
            assert begun.wait(60)
            raise LookupError("of the caller")

    monkeypatch.setattr(parallel, "ThreadPoolExecutor", Pool)
    with pytest.raises(LookupError, match="of the caller"):
        fail()
    assert done == [0]
