"""Look-ups of embedding tables as they occur in training, for `nncomp bench emb`.

    python benchmarks/emb_dumps.py FOLDER [--iterations 20 100 300] [--seed 0]
    nncomp bench emb FOLDER/*-0300.npy

A small DLRM learns a drawn click log, described in dlrm_model.py: 26 tables as large as those
of the Criteo challenge, capped, 64 wide, 2048 impressions to a batch. At each of the named
iterations the rows that its batch looks up are written, a file for each table: float32
[batch, width] in FOLDER/table-TT-iteration-IIII.npy. The same seed gives the same log and the
same start; what training makes of them differs in the last digits from machine to machine.
Three hundred iterations take about half a minute on one core.
"""

from __future__ import annotations

import argparse
import time
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import torch
from common import count, say
from dlrm_model import (
    ClickLog,
    Towers,
    area_under_curve,
    loss_of,
    new_table,
    optimisers,
    table_sizes,
)

if TYPE_CHECKING:
    from collections.abc import Sequence

    from torch import nn


def write(folder: Path, iteration: int, looked_up: Sequence[torch.Tensor]) -> None:
    """A file for each table."""
    for table, rows in enumerate(looked_up):
        path = folder / f"table-{table:02}-iteration-{iteration:04}.npy"
        np.save(path, rows.detach().numpy().astype("<f4", copy=False))


def train(options: argparse.Namespace) -> None:
    """Learn batch after batch, and write what the last one wanted was shown."""
    torch.set_num_threads(options.threads)
    log = ClickLog(table_sizes(options.cap), options.seed)
    tables = [
        new_table(number, rows, options.width, options.seed)
        for number, rows in enumerate(log.sizes)
    ]
    towers = Towers(len(tables), options.width, options.seed)
    steppers = optimisers(tables, towers)
    start = time.perf_counter()
    for iteration in range(1, max(options.iterations) + 1):
        batch = log.batch(iteration, options.batch)
        looked_up = look_up(tables, batch.ids)
        if iteration in options.iterations:
            write(options.folder, iteration, looked_up)
        logits = towers(batch.numbers, looked_up)
        loss = loss_of(logits, batch.clicks)
        if iteration in options.iterations or iteration % 50 == 0:
            # Of impressions that were not learned from yet.
            auc = area_under_curve(batch.clicks.numpy(), logits.detach().numpy())
            seconds = time.perf_counter() - start
            say(f"iteration {iteration}: loss {loss.item():.4f}, AUC {auc:.4f}, {seconds:.1f} s")
        for stepper in steppers:
            stepper.zero_grad()
        loss.backward()
        for stepper in steppers:
            stepper.step()


def look_up(tables: Sequence[nn.Embedding], ids: torch.Tensor) -> list[torch.Tensor]:
    """A row of each table for each impression."""
    return [table(ids[:, column]) for column, table in enumerate(tables)]


def arguments(words: Sequence[str] | None = None) -> argparse.Namespace:
    """The command line, or other words."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("folder", type=Path)
    parser.add_argument("--iterations", type=count, nargs="+", default=[20, 100, 300])
    parser.add_argument("--batch", type=count, default=2048)
    parser.add_argument("--width", type=count, default=64)
    parser.add_argument("--cap", type=count, default=50_000, help="rows of the largest tables")
    parser.add_argument("--seed", type=int, default=0)
    parser.add_argument("--threads", type=count, default=1)
    return parser.parse_args(words)


def main() -> None:
    """Train."""
    options = arguments()
    options.folder.mkdir(parents=True, exist_ok=True)
    train(options)


if __name__ == "__main__":
    main()
