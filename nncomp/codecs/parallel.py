"""Work on independent records in threads, in order and with bounded memory."""

from __future__ import annotations

from collections import deque
from concurrent.futures import Future, ThreadPoolExecutor
from contextlib import contextmanager
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nncomp.codecs.base import Context

__all__ = ["behind", "map_in_order", "threads_within"]

Item = TypeVar("Item")
Result = TypeVar("Result")


def threads_within(context: Context, memory: int) -> int:
    """As many threads as are granted and as the memory limit has room for."""
    if context.memory_limit is None:
        return context.threads
    return max(1, min(context.threads, context.memory_limit // memory))


def map_in_order(
    work: Callable[[Item], Result], items: Iterable[Item], threads: int
) -> Iterator[Result]:
    """`map` over threads; at most one item per thread and one more are in flight."""
    if threads == 1:
        yield from map(work, items)
        return
    pool = ThreadPoolExecutor(threads, thread_name_prefix="nncomp-codec")
    try:
        waiting: deque[Future[Result]] = deque()
        for item in items:
            waiting.append(pool.submit(work, item))
            if len(waiting) > threads:
                yield waiting.popleft().result()
        while waiting:
            yield waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)


@contextmanager
def behind(work: Callable[..., None], most: int = 8) -> Iterator[Callable[..., None]]:
    """Gives a function that has `work` done on a thread, call after call, and comes back.

    At most `most` calls wait; on leaving, all have been done. What `work` raises comes out
    of a later call, or on leaving.
    """
    pool = ThreadPoolExecutor(1, thread_name_prefix="nncomp-behind")
    waiting: deque[Future[None]] = deque()

    def later(*args: Any) -> None:
        waiting.append(pool.submit(work, *args))
        if len(waiting) > most:
            waiting.popleft().result()

    try:
        yield later
        while waiting:
            waiting.popleft().result()
    finally:
        pool.shutdown(cancel_futures=True)
