"""Sharing the rows of a kernel between threads."""

from __future__ import annotations

import itertools
from concurrent.futures import ThreadPoolExecutor
from functools import cache
from typing import TYPE_CHECKING, Any

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["over"]

# Handing work to another thread costs some 20 microseconds: what a core does with
# about this many elements.
_WORTH = 1 << 17


@cache
def _pool() -> ThreadPoolExecutor:
    return ThreadPoolExecutor(thread_name_prefix="nncomp-exact")


def over(kernel: Callable[..., None], rows: int, elements: int, threads: int, *args: Any) -> None:
    """Run `kernel(lo, hi, *args)` over 0..rows, in as many shares as the work is worth.

    Args:
        kernel: A compiled function that releases the GIL and whose results do not
            depend on how the range is cut.
        rows: Length of the range.
        elements: How much work it is, in elements, the rows together.
        threads: At most this many shares at a time.
    """
    shares = min(threads, rows, 1 + elements // _WORTH)
    if shares <= 1:
        kernel(0, rows, *args)
        return
    cuts = [rows * k // shares for k in range(shares + 1)]
    waiting = [_pool().submit(kernel, lo, hi, *args) for lo, hi in itertools.pairwise(cuts[1:])]
    kernel(cuts[0], cuts[1], *args)
    for share in waiting:
        share.result()
