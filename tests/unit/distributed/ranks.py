"""What the ranks of a group do in the tests: a process of its own for each.

    python ranks.py RANK WORLD

It says that it is ready. Jobs come as lines of JSON, {"job", "store", "timeout", ...arguments};
the answer to each is a line too: what it returned, or the error it raised.
"""

from __future__ import annotations

import json
import os
import sys
import time
import warnings
from datetime import timedelta
from pathlib import Path
from typing import Any

import numpy as np
import torch
import torch.distributed as dist
from torch import nn
from torch.nn.parallel import DistributedDataParallel

from nncomp.distributed import (
    Coding,
    GradientState,
    Traffic,
    all_to_all,
    gradient_hook,
    transport,
)

SHAPE = (40, 8)
SIZE = 600  # of a gradient, so much that coding makes it smaller


def values(sender: int, receiver: int, number: int, shape: tuple[int, ...] = SHAPE) -> torch.Tensor:
    """What one rank has for another; many rows repeat, as those of looked-up tables do."""
    rng = np.random.default_rng((sender, receiver, number))
    rows = rng.standard_normal((5, shape[-1]), dtype=np.float32)
    return torch.from_numpy(rows[rng.integers(0, 5, shape[0])])


def told(tensor: torch.Tensor) -> list[Any]:
    found: list[Any] = tensor.detach().tolist()
    return found


# --- jobs ----------------------------------------------------------------------------


def exchange(
    rank: int,
    world: int,
    *,
    tables: list[int],
    bound: float | list[float] | None,
    backward: float | None = None,
    mode: str = "abs",
    dtype: str = "float32",
) -> Any:
    """Each rank has so many tables and needs a part of all; the loss is sum(rank + 1) * x."""
    kind = getattr(torch, dtype)
    sent = [
        [values(rank, to, k).to(kind).requires_grad_() for k in range(tables[rank])]
        for to in range(world)
    ]
    ways = Traffic(), Traffic()
    bounds = tuple(bound) if isinstance(bound, list) else bound
    received = all_to_all(
        sent,
        [[SHAPE] * count for count in tables],
        forward=Coding(bounds, mode) if bounds else None,
        backward=Coding(backward, mode) if backward else None,
        dtype=kind,
        traffic=ways[0],
        backward_traffic=ways[1],
    )
    weights = torch.from_numpy(np.linspace(-1, 1, SHAPE[1], dtype=np.float32)).to(kind) * (rank + 1)
    torch.stack([(tensor * weights).sum() for row in received for tensor in row]).sum().backward()
    return {
        "received": [[told(tensor) for tensor in row] for row in received],
        "gradients": [[told(tensor.grad) for tensor in row] for row in sent],
        "traffic": [[one.raw, one.sent, one.calls] for one in ways],
    }


def without_gradient(rank: int, world: int) -> Any:
    """Where nothing records gradients, no way back is expected."""
    with torch.no_grad():
        received = all_to_all(
            [[values(rank, to, 0)] for to in range(world)],
            [[SHAPE]] * world,
            forward=Coding(0.1, "abs"),
        )
    return received[0][0].requires_grad


def cannot_encode(rank: int, world: int) -> Any:
    """Rank 1 has two bounds for its one tensor."""
    bounds = (0.1, 0.1) if rank == 1 else 0.1
    all_to_all(
        [[values(rank, to, 0)] for to in range(world)],
        [[SHAPE]] * world,
        forward=Coding(bounds, "abs"),
    )


def cannot_encode_gradients(rank: int, world: int) -> Any:
    """Rank 1 has two bounds for the one gradient it sends."""
    received = all_to_all(
        [[values(rank, to, 0)] for to in range(world)],
        [[SHAPE]] * world,
        forward=None,
        backward=Coding((0.1, 0.1) if rank == 1 else 0.1, "abs"),
    )
    torch.stack([row[0].sum() for row in received]).sum().backward()


def sends_more(rank: int, world: int, *, coded: bool) -> Any:
    """Rank 1 sends more rows than were agreed upon."""
    shape = (400, 8) if rank == 1 else SHAPE
    sent = [[values(rank, to, 0, shape if to != rank else SHAPE)] for to in range(world)]
    all_to_all(sent, [[SHAPE]] * world, forward=Coding(1.0, "abs") if coded else None)


def expects_nonsense(rank: int, world: int) -> Any:
    """Rank 0 waits for less than nothing."""
    shapes = [[SHAPE], [(-SHAPE[0], SHAPE[1]) if rank == 0 else SHAPE]]
    all_to_all([[values(rank, to, 0)] for to in range(world)], shapes, forward=None)


def is_outside(rank: int, world: int) -> Any:
    """Rank 1 exchanges in a group of rank 0 alone."""
    group = dist.new_group([0])
    all_to_all([[values(0, 0, 0)]], [[SHAPE]], forward=None, group=group)


def sends_nonsense(rank: int, world: int) -> Any:
    """Rank 1 sends bytes that are no message."""
    bodies = [b"nonsense" if rank == 1 and to == 0 else b"" for to in range(world)]
    messages = [torch.tensor(list(body), dtype=torch.uint8) for body in bodies]
    if rank == 1:
        transport.exchange_bytes(lambda: messages, [10_000] * world)
    else:
        all_to_all([[], [values(0, 1, 0)][:0]], [[], [SHAPE]], forward=None)


def dies(rank: int, world: int) -> Any:
    """Rank 1 ends instead of taking part."""
    if rank == 1:
        os._exit(9)
    exchange(rank, world, tables=[1, 1], bound=0.1)


def hangs(rank: int, world: int, *, until: str) -> Any:
    """Rank 1 does something else until the other has given up."""
    if rank == 0:
        try:
            exchange(rank, world, tables=[1, 1], bound=0.1)
        finally:
            Path(until).touch()
    while not Path(until).exists():
        time.sleep(0.05)


class Net(nn.Module):
    """Its gradients are what it is fed with."""

    def __init__(self, size: int) -> None:
        super().__init__()
        self.weight = nn.Parameter(torch.zeros(size))

    def forward(self, x: torch.Tensor) -> torch.Tensor:
        return (self.weight * x).sum()


def average(
    rank: int,
    world: int,
    *,
    gradients: list[list[float]],
    bound: float,
    feedback: bool,
    steps: int,
    dtype: str = "float32",
) -> Any:
    """The average over ranks of gradients that repeat some numbers, by the hook, step by step."""
    kind = getattr(torch, dtype)
    model = DistributedDataParallel(Net(SIZE).to(kind))
    state = GradientState(Coding(bound, "abs"), feedback=feedback)
    model.register_comm_hook(state, gradient_hook)
    found = []
    for _ in range(steps):
        model.zero_grad()
        row = torch.tensor(gradients[rank], dtype=kind)
        model(row.repeat(SIZE // len(gradients[rank]))).backward()
        found.append(told(model.module.weight.grad[: len(gradients[rank])]))
    return {"gradients": found, "traffic": [state.traffic.raw, state.traffic.sent]}


def hook_fails(rank: int, world: int) -> Any:
    """Rank 1 has two bounds for its one bucket."""
    model = DistributedDataParallel(Net(SIZE))
    bounds = (0.1, 0.1) if rank == 1 else 0.1
    model.register_comm_hook(GradientState(Coding(bounds, "abs")), gradient_hook)
    model(torch.ones(SIZE)).backward()


JOBS = {
    job.__name__: job
    for job in (
        *(exchange, without_gradient, cannot_encode, cannot_encode_gradients, sends_more),
        *(expects_nonsense, is_outside, sends_nonsense, dies, hangs, average, hook_fails),
    )
}


# --- the process ---------------------------------------------------------------------


def tell(line: str) -> None:
    sys.stdout.write(f"{line}\n")
    sys.stdout.flush()


def main() -> None:
    rank, world = int(sys.argv[1]), int(sys.argv[2])
    torch.set_num_threads(1)
    warnings.simplefilter("error")
    tell("ready")
    for line in sys.stdin:
        order = json.loads(line)
        job, store, timeout = (order.pop(key) for key in ("job", "store", "timeout"))
        dist.init_process_group(
            "gloo",
            init_method=f"file://{store}",
            rank=rank,
            world_size=world,
            timeout=timedelta(seconds=timeout),
        )
        try:
            answer = {"result": JOBS[job](rank, world, **order)}
        except Exception as error:
            kinds = [kind.__name__ for kind in type(error).__mro__]
            answer = {"error": kinds, "message": str(error)}
        dist.destroy_process_group()
        tell(json.dumps(answer))


if __name__ == "__main__":
    main()
