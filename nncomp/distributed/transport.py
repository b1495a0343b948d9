"""Bytes from each rank of a group to each other one, and errors instead of waiting.

What can go wrong, and what the others see of it:

* A rank fails before it has anything to send: it says so in place of its sizes, raises its own
  error, and all others raise `PeerError`, at once.
* A rank dies or hangs: the others get `PeerError` when the connection breaks, or after the
  timeout that the group was made with (`init_process_group(timeout=...)`). With NCCL it is
  PyTorch's watchdog that ends the process after that time, unless it is told otherwise.
* A rank announces more than can be: the one that was told raises `PeerError` before it asks
  for any memory, and for the others it has hung.

After any of these the ranks are no longer in step, and the group is of no use.
"""

from __future__ import annotations

from contextlib import contextmanager, suppress
from typing import TYPE_CHECKING

import torch
import torch.distributed as dist

from nncomp.errors import PeerError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Sequence

__all__ = ["exchange_bytes", "gather_bytes"]

_FAILED = -1  # in place of a size


def exchange_bytes(
    produce: Callable[[], Sequence[torch.Tensor]],
    limits: Sequence[int],
    group: dist.ProcessGroup | None = None,
) -> list[torch.Tensor]:
    """Send a message to each rank, and receive one from each; a collective operation.

    Args:
        produce: Makes the messages, one for each rank: uint8, of one dimension, wherever they
            are. Whatever it raises is raised here after the others were told.
        limits: The longest message to accept, from each rank.
        group: Of gloo, NCCL or any other backend with `all_to_all_single`.

    Returns:
        What each rank sent; on the device with NCCL, else on the host.

    Raises:
        PeerError: Another rank failed, has gone, or would send too much.
    """
    with _telling(group):
        messages = list(produce())
    device = _device(group)
    outgoing = [len(message) for message in messages]
    incoming = _swap_sizes(outgoing, group)
    _check(incoming, limits)
    received = torch.empty(sum(incoming), dtype=torch.uint8, device=device)
    with _failures(device):
        sent = torch.cat([message.to(device) for message in messages])
        dist.all_to_all_single(received, sent, incoming, outgoing, group=group)
    return list(torch.split(received, incoming))


def gather_bytes(
    produce: Callable[[], torch.Tensor], limit: int, group: dist.ProcessGroup | None = None
) -> list[torch.Tensor]:
    """Send all ranks the same message, and receive one from each; otherwise as above.

    Messages go padded to the longest one, for there is no gathering of different sizes.
    """
    count = dist.get_world_size(group)
    with _telling(group):
        message = produce()
    device = _device(group)
    sizes = _swap_sizes([len(message)] * count, group)
    _check(sizes, [limit] * count)
    padded = torch.zeros(max(1, *sizes), dtype=torch.uint8, device=device)
    received = [torch.empty_like(padded) for _ in range(count)]
    with _failures(device):
        padded[: len(message)] = message
        dist.all_gather(received, padded, group=group)
    return [row[:size] for row, size in zip(received, sizes, strict=True)]


@contextmanager
def _telling(group: dist.ProcessGroup | None) -> Iterator[None]:
    """Tell the others if there will be nothing to send."""
    try:
        yield
    except Exception:
        with suppress(PeerError):  # that they cannot be told is no news
            _swap_sizes([_FAILED] * dist.get_world_size(group), group)
        raise


def _swap_sizes(sizes: Sequence[int], group: dist.ProcessGroup | None) -> list[int]:
    """What each rank will send to this one."""
    device = _device(group)
    with _failures(device):
        outgoing = torch.tensor(sizes, dtype=torch.int64, device=device)
        incoming = torch.empty_like(outgoing)
        dist.all_to_all_single(incoming, outgoing, group=group)
        found: list[int] = incoming.tolist()
    return found


def _check(sizes: Sequence[int], limits: Sequence[int]) -> None:
    failed = [rank for rank, size in enumerate(sizes) if size == _FAILED]
    if failed:
        raise PeerError(f"{_ranks(failed)} failed before sending anything")
    for rank, (size, limit) in enumerate(zip(sizes, limits, strict=True)):
        if not 0 <= size <= limit:
            raise PeerError(f"rank {rank} would send {size} bytes where {limit} are the most")


def _ranks(numbers: Sequence[int]) -> str:
    return f"rank{'s' * (len(numbers) > 1)} {', '.join(map(str, numbers))}"


def _device(group: dist.ProcessGroup | None) -> torch.device:
    """Where tensors have to be to be sent: NCCL takes none from the host."""
    if dist.get_backend(group) == "nccl":
        return torch.device("cuda", torch.cuda.current_device())
    return torch.device("cpu")


@contextmanager
def _failures(device: torch.device) -> Iterator[None]:
    """Make what PyTorch raises for broken connections and timeouts a `PeerError`."""
    try:
        yield
        if device.type == "cuda":  # what NCCL was told to do, it does later
            torch.cuda.current_stream(device).synchronize()
    except RuntimeError as error:  # all of them are, of whatever backend
        reason = str(error).partition("\n")[0]
        raise PeerError(f"the exchange with other ranks broke: {reason}") from error
