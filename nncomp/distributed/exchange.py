"""All-to-all of tensors of which the values are sent with bounded errors.

The embedding tables of a large model lie on different ranks, and each rank trains on its part
of a batch: in every step the rows that are looked up go from the tables' ranks to those
that need them, and the gradients the way back. Both are a call of `all_to_all`::

    coding = Coding(bounds=tuple(classes.bound(t) for t in own_tables))
    for iteration, batch in enumerate(batches):
        looked_up = [tables[t](batch.ids[:, t]) for t in own_tables]
        received = all_to_all(
            [[rows[part] for rows in looked_up] for part in parts],   # for each rank
            shapes,                                                   # of what each rank sends
            forward=coding.scaled(schedule(iteration)),
            group=group,
        )

The gradient passes as if nothing had been rounded. It is sent as it is, or with bounds of its
own. What a rank has for itself it passes on unchanged. Give it a group of its own
(`dist.new_group()`) where other collective operations run meanwhile, as those of
DistributedDataParallel.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any, cast

import torch
import torch.distributed as dist
from torch.autograd import Function
from torch.autograd.function import once_differentiable

from nncomp.distributed.coding import Coding, largest_message, pack, unpack
from nncomp.distributed.transport import exchange_bytes
from nncomp.errors import PeerError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["Traffic", "all_to_all"]

Shape = tuple[int, ...]


@dataclass
class Traffic:
    """What went to other ranks, counted over calls.

    Attributes:
        raw: Bytes of the tensors.
        sent: Bytes of the messages they became; their sizes, 8 bytes each, not counted.
        calls: Exchanges.
        coding_s: Seconds of wall time for coding and decoding, but for what a CUDA device still
            has to do when a call returns.
        sending_s: Seconds of wall time for the exchange itself.
    """

    raw: int = 0
    sent: int = 0
    calls: int = 0
    coding_s: float = 0.0
    sending_s: float = 0.0


@dataclass(frozen=True)
class _Plan:
    """What the two ways of an exchange need to know."""

    outgoing: tuple[tuple[Shape, ...], ...]
    incoming: tuple[tuple[Shape, ...], ...]
    dtype: torch.dtype
    device: torch.device
    forward: Coding | None
    backward: Coding | None
    group: dist.ProcessGroup | None
    forward_traffic: Traffic
    backward_traffic: Traffic


def all_to_all(
    tensors: Sequence[Sequence[torch.Tensor]],
    shapes: Sequence[Sequence[Sequence[int]]],
    *,
    forward: Coding | None,
    backward: Coding | None = None,
    dtype: torch.dtype = torch.float32,
    device: torch.device | str = "cpu",
    group: dist.ProcessGroup | None = None,
    traffic: Traffic | None = None,
    backward_traffic: Traffic | None = None,
) -> list[list[torch.Tensor]]:
    """Send tensors to each rank, and receive some from each; a collective operation.

    Where gradients are recorded, all ranks take part in the way back as well: each has to
    receive something, if only tensors without rows, and to use it in its loss.

    Args:
        tensors: Those for each rank of the group, of `dtype`; [rows, width] is what the codec
            is made for.
        shapes: Of what each rank will send to this one.
        forward: How values are coded; None sends them as they are.
        backward: The same for gradients. If it has several bounds, they are those of the
            tensors that each rank sent here.
        dtype: Of all tensors of all ranks; with coding one of floats with 16 bits or more.
        device: Where received tensors are put.
        group: The ranks; all of them by default.
        traffic: Where to count what is sent.
        backward_traffic: Where to count gradients.

    Returns:
        What each rank sent.

    Raises:
        UsageError: On the rank that was called wrongly; the others get `PeerError`.
        PeerError: Another rank failed, has gone, or sent what cannot be decoded.
    """
    flat = [tensor for row in tensors for tensor in row]
    plan = _Plan(
        outgoing=tuple(tuple(tuple(tensor.shape) for tensor in row) for row in tensors),
        incoming=tuple(tuple(tuple(shape) for shape in row) for row in shapes),
        dtype=dtype,
        device=torch.device(device),
        forward=forward,
        backward=backward,
        group=group,
        forward_traffic=traffic or Traffic(),
        backward_traffic=backward_traffic or Traffic(),
    )
    # Without something that wants a gradient, a rank that only receives would not come along
    # on the way back, and the others would wait for it.
    anchor = torch.empty(0, requires_grad=True)
    received = cast("tuple[torch.Tensor, ...]", _AllToAll.apply(plan, anchor, *flat))  # type: ignore[no-untyped-call] # torch's own
    return _rows(received, plan.incoming)


class _AllToAll(Function):
    """The exchange; its gradient is the exchange the other way."""

    @staticmethod
    def forward(
        ctx: Any, plan: _Plan, anchor: torch.Tensor, *tensors: torch.Tensor
    ) -> tuple[torch.Tensor, ...]:
        ctx.plan = plan
        ctx.devices = [tensor.device for tensor in tensors]
        return _exchange(
            plan, tensors, plan.outgoing, plan.incoming, plan.forward, plan.forward_traffic
        )

    @staticmethod
    @once_differentiable
    def backward(ctx: Any, *gradients: torch.Tensor) -> tuple[torch.Tensor | None, ...]:
        plan = ctx.plan
        found = _exchange(
            plan, gradients, plan.incoming, plan.outgoing, plan.backward, plan.backward_traffic
        )
        placed = (g.to(device) for g, device in zip(found, ctx.devices, strict=True))
        return (None, None, *placed)


def _exchange(
    plan: _Plan,
    tensors: Sequence[torch.Tensor],
    outgoing: tuple[tuple[Shape, ...], ...],
    incoming: tuple[tuple[Shape, ...], ...],
    coding: Coding | None,
    traffic: Traffic,
) -> tuple[torch.Tensor, ...]:
    """One way: `tensors` have the shapes `outgoing`, the result has those of `incoming`."""
    own, clock = dist.get_rank(plan.group), time.perf_counter
    if own < 0:
        raise UsageError("this rank is not in the group that exchanges")
    rows = _rows(tensors, outgoing)
    packed = start = clock()

    def produce() -> list[torch.Tensor]:
        nonlocal packed
        _check(plan, rows, incoming, own)
        nothing = torch.empty(0, dtype=torch.uint8)
        messages = [nothing if rank == own else pack(row, coding) for rank, row in enumerate(rows)]
        traffic.calls += 1
        traffic.sent += sum(map(len, messages))
        traffic.raw += sum(t.nbytes for rank, row in enumerate(rows) if rank != own for t in row)
        packed = clock()
        return messages

    limits = [
        0 if rank == own else largest_message(shapes, plan.dtype)
        for rank, shapes in enumerate(incoming)
    ]
    messages = exchange_bytes(produce, limits, plan.group)
    arrived = clock()
    received: list[torch.Tensor] = []
    for rank, (message, shapes) in enumerate(zip(messages, incoming, strict=True)):
        if rank == own:
            received += [tensor.detach().clone() for tensor in rows[own]]
            continue
        try:
            received += unpack(message, shapes, plan.dtype)
        except PeerError as error:
            raise PeerError(f"from rank {rank}: {error.message}") from error
    result = tuple(tensor.to(plan.device) for tensor in received)
    traffic.sending_s += arrived - packed
    traffic.coding_s += packed - start + clock() - arrived
    return result


def _check(
    plan: _Plan,
    rows: Sequence[Sequence[torch.Tensor]],
    incoming: tuple[tuple[Shape, ...], ...],
    own: int,
) -> None:
    """That all fits together, as far as this rank knows."""
    count = dist.get_world_size(plan.group)
    if len(rows) != count or len(incoming) != count:
        raise UsageError(
            f"tensors for {len(rows)} and shapes from {len(incoming)} ranks, of which there "
            f"are {count}"
        )
    if tuple(tuple(tensor.shape) for tensor in rows[own]) != incoming[own]:
        raise UsageError("what this rank has for itself has not the shapes it expects from itself")
    for shape in (shape for row in incoming for shape in row):
        if any(size < 0 for size in shape):
            raise UsageError(f"there is no tensor of the shape {list(shape)}")
    for tensor in (tensor for row in rows for tensor in row):
        if tensor.dtype != plan.dtype:
            raise UsageError(f"a tensor of {tensor.dtype} in an exchange of {plan.dtype}")


def _rows(
    flat: Sequence[torch.Tensor], shapes: tuple[tuple[Shape, ...], ...]
) -> list[list[torch.Tensor]]:
    """Cut a list into as many as there are shapes for each rank."""
    left = iter(flat)
    return [[next(left) for _ in row] for row in shapes]
