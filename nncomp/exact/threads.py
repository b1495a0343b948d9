"""Sharing the rows of a kernel between threads."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

import torch

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["allow", "over"]

# Handing work to another thread costs some 20 microseconds: what a core does with
# about this many elements.
_WORTH = 1 << 17

_allowed = 1


def allow(count: int) -> int:
    """Let the exact operations use this many threads; returns how many it was before.

    They share work among threads of their own. torch itself is held to one thread: its
    pool takes longer to wake up than most of the operations here take.
    """
    global _allowed
    before, _allowed = _allowed, max(1, count)
    return before


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(
        thread_name_prefix="nncomp-exact", initializer=torch.set_num_threads, initargs=(1,)
    )


def over(work: Callable[..., None], rows: int, elements: int, *args: Any) -> None:
    """Run `work(lo, hi, *args)` over 0..rows, in as many shares as it is worth.

    Args:
        work: A function that mostly runs without the GIL and whose results do not depend
            on how the range is cut.
        rows: Length of the range.
        elements: How much work it is, in elements, the rows together.
        *args: Passed on.
    """
    shares = min(_allowed, rows, 1 + elements // _WORTH)
    if shares <= 1:
        work(0, rows, *args)
        return
    cuts = [rows * k // shares for k in range(shares + 1)]
    waiting = [_pool().submit(work, lo, hi, *args) for lo, hi in itertools.pairwise(cuts[1:])]
    work(cuts[0], cuts[1], *args)
    for share in waiting:
        share.result()
