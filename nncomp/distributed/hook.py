"""Gradients of DistributedDataParallel, averaged from compressed messages.

    model = DistributedDataParallel(...)
    model.register_comm_hook(GradientState(Coding(1e-3)), gradient_hook)

A ring all-reduce sends 2 (n-1)/n times the gradient; compressed gradients cannot be added
up on the way, so each rank gets those of all others, n-1 messages: this pays where the ratio
is above n/2. The error of the average is not above the largest bound of a rank, but for the
rounding of sums, of at least 32 bits, and of the average to the gradients' type; in mode "rel"
the bound is a share of the range of the rank's values in a bucket. Small gradients become zero
then; with `feedback` a rank adds what it rounded away to its next gradient, so that it arrives
later (Seide et al., "1-Bit Stochastic Gradient Descent", Interspeech 2014), and the bound holds
for the sum of the two.

The hook works while it is called: compression and exchange do not overlap with the rest of
the way back, as PyTorch's own all-reduce does.
"""

# Without `from __future__ import annotations`: PyTorch compares those of a hook with its classes.
from dataclasses import dataclass, field

import torch
import torch.distributed as dist
from torch.futures import Future

from nncomp.distributed.coding import Coding, largest_message, pack, unpack
from nncomp.distributed.exchange import Traffic
from nncomp.distributed.transport import gather_bytes
from nncomp.errors import PeerError

__all__ = ["GradientState", "gradient_hook"]


@dataclass
class GradientState:
    """What the hook needs, and what it counts.

    Args:
        coding: Bound and coding of each bucket.
        group: The ranks of the model; all of them by default.
        feedback: Whether to add what was rounded away to the next gradient.
        traffic: What was sent, by this rank to all others.
    """

    coding: Coding
    group: dist.ProcessGroup | None = None
    feedback: bool = False
    traffic: Traffic = field(default_factory=Traffic)
    _left: dict[int, tuple[list[int], torch.Tensor]] = field(default_factory=dict, repr=False)

    def before(
        self,
        bucket: dist.GradBucket,  # type: ignore[name-defined] # torch exports it at run time
    ) -> torch.Tensor:
        """The gradient of a bucket with what its last one left.

        PyTorch forms its buckets anew after the first step, if only in another order of
        parameters; what is left then is dropped.
        """
        gradient: torch.Tensor = bucket.buffer()
        parameters, left = self._left.get(bucket.index(), ([], gradient))
        return gradient + left if parameters == _parameters(bucket) else gradient

    def after(
        self,
        bucket: dist.GradBucket,  # type: ignore[name-defined] # as above
        wanted: torch.Tensor,
        sent: torch.Tensor,
    ) -> None:
        """Keep what was not sent: nothing of infinities and NaN, which are sent as they are."""
        if self.feedback:
            left = torch.where(wanted.isfinite(), wanted - sent, 0)
            self._left[bucket.index()] = _parameters(bucket), left


def _parameters(
    bucket: dist.GradBucket,  # type: ignore[name-defined] # as above
) -> list[int]:
    """Which they are: where their values lie."""
    return [parameter.data_ptr() for parameter in bucket.parameters()]


def gradient_hook(
    state: GradientState,
    bucket: dist.GradBucket,  # type: ignore[name-defined] # torch exports it at run time
) -> Future[torch.Tensor]:
    """The average over all ranks of what they make of their gradients within the bound.

    Raises:
        PeerError: Another rank failed, has gone, or sent what cannot be decoded.
        UsageError: Gradients of a type that is not coded.
    """
    gradient = bucket.buffer()
    wanted = state.before(bucket)
    shapes = [tuple(gradient.shape)]

    def produce() -> torch.Tensor:
        message = pack([wanted], state.coding)
        others = dist.get_world_size(state.group) - 1
        state.traffic.calls += 1
        state.traffic.raw += others * gradient.nbytes
        state.traffic.sent += others * len(message)
        return message

    messages = gather_bytes(produce, largest_message(shapes, gradient.dtype), state.group)
    # The sum of numbers of 16 bits may be infinite where their average is not.
    wide = torch.float32 if gradient.itemsize == 2 else gradient.dtype
    total = torch.zeros_like(gradient, dtype=wide)
    for rank, message in enumerate(messages):
        try:
            (part,) = unpack(message, shapes, gradient.dtype)
        except PeerError as error:
            raise PeerError(f"from rank {rank}: {error.message}") from error
        part = part.to(gradient.device)
        if rank == dist.get_rank(state.group):
            state.after(bucket, wanted, part)
        total += part
    total /= len(messages)
    future: Future[torch.Tensor] = Future(devices=[gradient.device] if gradient.is_cuda else None)
    future.set_result(total.to(gradient.dtype))
    return future
