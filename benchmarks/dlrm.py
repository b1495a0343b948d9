"""A small DLRM, trained by several processes with and without compressed exchanges.

    python benchmarks/dlrm.py [--ranks 4] [--steps 300] [--save NAME]
    python benchmarks/dlrm.py --table results/NAME.json

The 26 tables are dealt out to the ranks, and each rank trains the rest of the model on its part
of every batch: looked-up rows go to the ranks that need them by `nncomp.distributed.all_to_all`
over gloo, gradients the way back, and those of the networks are averaged by PyTorch's
DistributedDataParallel. The model and the click log are described in dlrm_model.py.

Bounds are adaptive on both levels, each rank for its own tables: classes (tighten, base,
loosen) are found on what is looked up, anew every `--classify` steps, and a schedule lets all
bounds fall from `--start` times their class's in the first `--until` steps. `--classes` reads
classes from a file instead, and `--bound` sets one bound for all. There are three runs, of which
`--runs` chooses: exchanges as they are; looked-up rows compressed; and also their gradients,
within `--backward`, and those of the networks, within `--gradients`. Everything else is the same
in all of them: log, starting weights and order.

AUC is that on `--test` batches that were not learned from, with exchanges as they are. Bytes are
those of messages to other ranks, summed up over ranks; step times are medians, those by the clock
of rank 0, those of processors of all ranks. Processes on one machine exchange through its memory,
so that sending less cannot pay here: the times tell what coding costs.
"""

from __future__ import annotations

import argparse
import json
import statistics
import tempfile
import time
from dataclasses import asdict
from datetime import timedelta
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
import torch
import torch.distributed as dist
import torch.multiprocessing as mp
from common import above_zero, circumstances, count, load, markdown_table, place, save, say
from dlrm_model import (
    Batch,
    ClickLog,
    Towers,
    area_under_curve,
    loss_of,
    new_table,
    optimisers,
    table_sizes,
)
from torch.nn.parallel import DistributedDataParallel

from nncomp.distributed import (
    Classes,
    Coding,
    GradientState,
    Schedule,
    Traffic,
    all_to_all,
    find_classes,
    gradient_hook,
    load_classes,
)
from nncomp.errors import NncompError, UsageError

if TYPE_CHECKING:
    from collections.abc import Sequence

TEST = 10_000_000  # the batches from here on are for testing
RUNS = {
    "plain": "as they are",
    "rows": "rows compressed",
    "all": "rows and gradients compressed",
}
WARM_UP = 5  # steps that do not count for times


class Rank:
    """One of the processes: its tables, its part of every batch, and what it sends.

    Args:
        options: Of the command line.
        kind: One of `RUNS`.
    """

    def __init__(self, options: argparse.Namespace, kind: str) -> None:
        self.options, self.kind = options, kind
        self.rank, self.ranks = dist.get_rank(), dist.get_world_size()
        self.log = ClickLog(table_sizes(options.cap), options.seed)
        self.owners = [table % self.ranks for table in range(len(self.log.sizes))]
        self.own = [table for table, owner in enumerate(self.owners) if owner == self.rank]
        self.tables = [
            new_table(table, self.log.sizes[table], options.width, options.seed)
            for table in self.own
        ]
        towers = Towers(len(self.log.sizes), options.width, options.seed)
        self.towers = DistributedDataParallel(towers)
        self.exchanges = dist.new_group(timeout=timedelta(seconds=options.timeout))
        self.networks = None
        if kind == "all":
            self.networks = GradientState(self.lossy(options.gradients), feedback=True)
            self.towers.register_comm_hook(self.networks, gradient_hook)
        self.steppers = optimisers(self.tables, towers, self.ranks)
        self.schedule = Schedule(options.schedule, options.start, options.until)
        self.classes = load_classes(options.classes) if options.classes else Classes()
        self.forward, self.backward = Traffic(), Traffic()

    # --- one step ----------------------------------------------------------------

    def lossy(self, bounds: float | tuple[float, ...]) -> Coding:
        """Relative bounds, and the coder that was asked for."""
        rate = self.options.bandwidth * 125e6
        return Coding(bounds, entropy=self.options.entropy, bandwidth=rate)

    def coding(self, iteration: int) -> Coding | None:
        """Of the rows of this rank's tables; None without compression."""
        if self.kind == "plain":
            return None
        if self.options.bound is not None:
            bounds = (self.options.bound,) * len(self.own)
        else:
            bounds = tuple(self.classes.bound(table) for table in self.own)
        found = self.lossy(bounds)
        return found.scaled(self.schedule(iteration))

    def rows(self, batch: Batch, coding: Coding | None, counted: bool) -> list[torch.Tensor]:
        """The rows of all tables for this rank's part of a batch, in the tables' order."""
        looked_up = [
            table(batch.ids[:, number]) for number, table in zip(self.own, self.tables, strict=True)
        ]
        given = self.options.bound is not None or self.options.classes
        if counted and self.kind != "plain" and not given:
            self.classify(looked_up)
        size = len(batch.clicks) // self.ranks
        shape = (size, self.options.width)
        back = self.lossy(self.options.backward) if self.kind == "all" else None
        received = all_to_all(
            [[rows[part] for rows in looked_up] for part in self.parts(size)],
            [[shape] * self.owners.count(rank) for rank in range(self.ranks)],
            forward=coding,
            backward=back,
            group=self.exchanges,
            traffic=self.forward if counted else None,
            backward_traffic=self.backward if counted else None,
        )
        left = [iter(row) for row in received]
        return [next(left[owner]) for owner in self.owners]

    def parts(self, size: int) -> list[slice]:
        """Which part of a batch is each rank's."""
        return [slice(rank * size, (rank + 1) * size) for rank in range(self.ranks)]

    def classify(self, looked_up: list[torch.Tensor]) -> None:
        """Find classes anew, now and then."""
        if self.forward.calls % self.options.classify == 0:
            samples = {
                str(t): rows.detach().numpy() for t, rows in zip(self.own, looked_up, strict=True)
            }
            self.classes = find_classes(samples)

    def step(self, iteration: int) -> float:
        """Learn from one batch; the mean loss of this rank's part."""
        batch = self.log.batch(iteration, self.options.batch)
        rows = self.rows(batch, self.coding(iteration), counted=True)
        part = batch.rows(self.parts(len(batch.clicks) // self.ranks)[self.rank])
        loss = loss_of(self.towers(part.numbers, rows), part.clicks)
        for stepper in self.steppers:
            stepper.zero_grad()
        loss.backward()
        for stepper in self.steppers:
            stepper.step()
        return loss.item()

    def auc(self) -> float:
        """On batches that are not learned from."""
        clicks, scores = [], []
        with torch.no_grad():
            for number in range(self.options.test):
                batch = self.log.batch(TEST + number, self.options.batch)
                rows = self.rows(batch, None, counted=False)
                part = batch.rows(self.parts(len(batch.clicks) // self.ranks)[self.rank])
                own = self.towers.module(part.numbers, rows)
                all_ = [torch.empty_like(own) for _ in range(self.ranks)]
                dist.all_gather(all_, own)
                scores.append(torch.cat(all_).numpy())
                clicks.append(batch.clicks[: len(scores[-1])].numpy())
        return area_under_curve(np.concatenate(clicks), np.concatenate(scores))

    # --- all steps ---------------------------------------------------------------

    def train(self) -> dict[str, Any]:
        """Learn, and tell how it went."""
        losses, seconds, cpu_seconds, points = [], [], [], []
        for iteration in range(self.options.steps):
            start, cpu_start = time.perf_counter(), time.process_time()
            losses.append(self.step(iteration))
            seconds.append(time.perf_counter() - start)
            cpu_seconds.append(time.process_time() - cpu_start)
            if (iteration + 1) % self.options.every == 0 or iteration + 1 == self.options.steps:
                auc = self.auc()
                points.append({"step": iteration + 1, "auc": auc})
                if self.rank == 0:
                    last = statistics.fmean(losses[-self.options.every :])
                    say(f"step {iteration + 1}: loss {last:.4f}, AUC {auc:.5f}")
        return {
            "loss": statistics.fmean(losses[-self.options.every :]),
            "auc": points[-1]["auc"],
            "points": points,
            "step_s": statistics.median(seconds[WARM_UP:] or seconds),
            "step_cpu_s": statistics.median(cpu_seconds[WARM_UP:] or cpu_seconds),
            "forward": asdict(self.forward),
            "backward": asdict(self.backward),
            "networks": asdict(self.networks.traffic) if self.networks else None,
            "classes": {str(table): self.classes.of(table) for table in self.own},
        }


# --- processes -----------------------------------------------------------------------


def work(rank: int, options: argparse.Namespace, folder: str) -> None:
    """What each process does, one run after the other; results go to a file."""
    torch.set_num_threads(1)
    dist.init_process_group(
        "gloo",
        init_method=(Path(folder) / "store").as_uri(),
        rank=rank,
        world_size=options.ranks,
        timeout=timedelta(seconds=options.timeout),
    )
    found = []
    for kind in options.runs:
        if rank == 0:
            say(RUNS[kind])
        found.append({"kind": kind, **Rank(options, kind).train()})
    (Path(folder) / f"{rank}.json").write_text(json.dumps(found))
    dist.barrier()
    dist.destroy_process_group()


def run(options: argparse.Namespace) -> list[dict[str, Any]]:
    """Train; the results of all ranks as one for each run."""
    with tempfile.TemporaryDirectory(dir=options.tmp and options.tmp.resolve()) as folder:
        mp.spawn(work, (options, folder), nprocs=options.ranks)
        paths = [Path(folder) / f"{rank}.json" for rank in range(options.ranks)]
        ranks = [json.loads(path.read_text()) for path in paths]
    return [together(found) for found in zip(*ranks, strict=True)]


def together(ranks: Sequence[dict[str, Any]]) -> dict[str, Any]:
    """One run: bytes and seconds of all ranks added up, the rest as rank 0 told it."""
    whole = dict(ranks[0])
    whole["loss"] = statistics.fmean(one["loss"] for one in ranks)
    whole["step_cpu_s"] = sum(one["step_cpu_s"] for one in ranks)
    for way in ("forward", "backward", "networks"):
        if whole[way]:
            whole[way] = {key: sum(one[way][key] for one in ranks) for key in whole[way]}
    whole["classes"] = {table: name for one in ranks for table, name in one["classes"].items()}
    return whole


# --- the command ---------------------------------------------------------------------


def markdown(record: dict[str, Any]) -> str:
    """A line for each run."""
    headings = ["exchanges", "loss", "AUC", "rows MB", "sent MB", "ratio"]
    headings += ["gradients MB", "sent MB", "ratio", "networks MB", "sent MB", "ratio"]
    headings += ["ms per step", "cpu ms"]
    lines = []
    for found in record["runs"]:
        line = [RUNS[found["kind"]]]
        line += [f"{found['loss']:.4f}", f"{found['auc']:.5f}"]
        for way in ("forward", "backward", "networks"):
            raw, sent = (found[way] or {}).get("raw"), (found[way] or {}).get("sent")
            if raw and sent:
                line += [f"{raw / 1e6:,.1f}", f"{sent / 1e6:,.1f}", f"{raw / sent:.2f}"]
            else:
                line += ["-"] * 3
        lines.append([*line, *(f"{1000 * found[key]:.0f}" for key in ("step_s", "step_cpu_s"))])
    told = record["options"]
    text = (
        f"{told['ranks']} processes over gloo, {told['steps']} steps of {told['batch']}; "
        f"bytes to other ranks, all steps and ranks together, those of networks where every "
        f"rank sends its own to all others; processor time of all ranks. "
        f"{place(record)}"
    )
    return f"{markdown_table(headings, lines)}\n\n{text}"


def arguments() -> argparse.Namespace:
    """The command line."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--ranks", type=count, default=4)
    parser.add_argument("--steps", type=count, default=300)
    parser.add_argument(
        "--batch",
        type=count,
        default=2048,
        help="of all ranks; what no rank gets an equal part of is left out",
    )
    parser.add_argument("--width", type=count, default=64)
    parser.add_argument("--cap", type=count, default=50_000, help="rows of the largest tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--test", type=count, default=20, help="batches to test with")
    parser.add_argument("--every", type=count, default=50, help="steps between tests")
    parser.add_argument("--runs", nargs="+", choices=RUNS, default=list(RUNS))
    parser.add_argument(
        "--bound", type=above_zero, help="relative, of all tables; without it, by class"
    )
    parser.add_argument("--classes", metavar="FILE", help="of tables, in place of finding them")
    parser.add_argument("--classify", type=count, default=50, help="steps between classifications")
    parser.add_argument("--schedule", default="linear", help="constant, linear, log or step")
    parser.add_argument("--start", type=float, default=2.0, help="factor of bounds at first")
    parser.add_argument("--until", type=count, default=150, help="steps until it is 1")
    parser.add_argument(
        "--backward", type=above_zero, default=1e-2, help="bound of rows' gradients"
    )
    parser.add_argument("--gradients", type=above_zero, default=1e-3, help="of networks' gradients")
    parser.add_argument(
        "--entropy", default="zstd", help="auto, ans, huffman, zstd, lz4, nvcomp-ans and so on"
    )
    parser.add_argument(
        "--bandwidth", type=float, default=0, help="Gbit/s that `auto` chooses for; 0: fewest bytes"
    )
    parser.add_argument("--timeout", type=above_zero, default=60, help="seconds to wait for a rank")
    parser.add_argument("--tmp", type=Path, help="folder for what is written meanwhile")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    parser.add_argument("--table", metavar="RECORD", help="only print this record, in Markdown")
    options = parser.parse_args()
    try:
        check(options)
    except (NncompError, OSError) as error:
        parser.error(str(error))
    return options


def check(options: argparse.Namespace) -> None:
    """Before processes are started, which would all say the same.

    Raises:
        NncompError: What is asked for cannot be done.
    """
    if options.batch < options.ranks:
        raise UsageError(f"no part of {options.batch} impressions for each of {options.ranks}")
    Schedule(options.schedule, options.start, options.until)
    Coding(options.backward, entropy=options.entropy, bandwidth=options.bandwidth)
    if options.classes:
        load_classes(options.classes)


def main() -> None:
    """Train, or print what was found."""
    options = arguments()
    if options.table:
        print(markdown(load(Path(options.table))))
        return
    record: dict[str, Any] = circumstances()
    kept = {key: value for key, value in vars(options).items() if key not in ("save", "table")}
    record["options"] = {**kept, "tmp": None}
    record["runs"] = run(options)
    if options.save:
        save(options.save, record)
    print(markdown(record))


if __name__ == "__main__":
    main()
