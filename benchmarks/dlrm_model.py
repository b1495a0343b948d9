"""A small DLRM and the click log it learns: what emb_dumps.py and dlrm.py share.

The model is that of Naumov et al., "Deep Learning Recommendation Model for Personalization and
Recommendation Systems" (2019), arXiv:1906.00091: a network for the numbers, one row of a table
for each category, the products of all pairs of these vectors, and a network on top. The log
is drawn: identifiers by Zipf's law over tables as large as those of the Criteo challenge,
capped, and clicks from a model of another kind with additive and pairwise effects, so that
there is something to learn in each table and a best AUC that no model passes.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cached_property
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import nn

if TYPE_CHECKING:
    from collections.abc import Sequence

    from numpy.typing import NDArray

CARDINALITIES = (
    *(1460, 583, 10131227, 2202608, 305, 24, 12517, 633, 3, 93145, 5683, 8351593, 3194),
    *(27, 14992, 5461306, 10, 5652, 2173, 4, 7046547, 18, 15, 286181, 105, 142572),
)
"""Categories in each column of the Criteo display advertising challenge (Kaggle, 2014)."""

NUMBERS = 13
"""Columns of numbers there."""


def table_sizes(cap: int) -> tuple[int, ...]:
    """Rows of each table, none with more than `cap`."""
    return tuple(min(size, cap) for size in CARDINALITIES)


# --- the click log -------------------------------------------------------------------


@dataclass
class Batch:
    """Impressions: numbers [B, 13], identifiers [B, tables], clicks [B] of 0 and 1."""

    numbers: torch.Tensor
    ids: torch.Tensor
    clicks: torch.Tensor

    def rows(self, part: slice) -> Batch:
        """Some of them."""
        return Batch(self.numbers[part], self.ids[part], self.clicks[part])


@dataclass(frozen=True)
class ClickLog:
    """Batches by number, the same ones whoever asks.

    Args:
        sizes: Rows of each table.
        seed: Of everything drawn here.
        exponent: Of Zipf's law: category k is looked up in proportion to k ** -exponent.
        latent: Dimensions of the hidden vectors, whose products couple neighbouring columns.
    """

    sizes: tuple[int, ...]
    seed: int = 0
    exponent: float = 1.05
    latent: int = 4

    @cached_property
    def _effects(self) -> list[NDArray[np.float32]]:
        """For each table: an additive effect and a hidden vector for each category."""
        found = []
        for table, size in enumerate(self.sizes):
            rng = np.random.default_rng((self.seed, 1, table))
            found.append(rng.standard_normal((size, 1 + self.latent), dtype=np.float32))
        return found

    @cached_property
    def _weights(self) -> NDArray[np.float32]:
        return np.random.default_rng((self.seed, 2)).standard_normal(NUMBERS, dtype=np.float32)

    def _draw_ids(self, rng: np.random.Generator, count: int) -> NDArray[np.int64]:
        """By the inverse of the continuous law's distribution, rounded down."""
        power = 1 - self.exponent
        uniform = rng.random((count, len(self.sizes)))
        reach = (np.array(self.sizes) + 1.0) ** power - 1
        ids = (1 + uniform * reach) ** (1 / power) - 1
        return np.minimum(ids.astype(np.int64), np.array(self.sizes) - 1)

    def _logits(self, numbers: NDArray[np.float32], ids: NDArray[np.int64]) -> NDArray[np.float32]:
        looked_up = np.stack([e[ids[:, t]] for t, e in enumerate(self._effects)], axis=1)
        hidden = looked_up[:, :, 1:]
        coupled = (hidden[:, 1:] * hidden[:, :-1]).sum(axis=(1, 2)) / np.sqrt(self.latent)
        alone = 1.5 * looked_up[:, :, 0].sum(axis=1)
        sparse = (alone + coupled) / np.sqrt(2 * len(self.sizes))
        dense = 0.5 * numbers @ self._weights / np.sqrt(NUMBERS)
        return (sparse + dense - 1).astype(np.float32)

    def batch(self, number: int, size: int) -> Batch:
        """The `number`-th one; those of equal numbers and different sizes are unrelated."""
        rng = np.random.default_rng((self.seed, 3, number))
        numbers = rng.standard_normal((size, NUMBERS), dtype=np.float32)
        ids = self._draw_ids(rng, size)
        clicked = rng.random(size) < 1 / (1 + np.exp(-self._logits(numbers, ids)))
        clicks = torch.from_numpy(clicked.astype(np.float32))
        return Batch(torch.from_numpy(numbers), torch.from_numpy(ids), clicks)

    def ideal(self, batch: Batch) -> NDArray[np.float32]:
        """The log's own knowledge of a batch: scores of which no model has better ones."""
        return self._logits(batch.numbers.numpy(), batch.ids.numpy())


# --- the model -----------------------------------------------------------------------


def new_table(table: int, rows: int, width: int, seed: int) -> nn.Embedding:
    """A table as DLRM starts it, the same wherever it is put."""
    generator = torch.Generator().manual_seed(1000 * seed + table)
    limit = rows**-0.5
    weights = (2 * torch.rand(rows, width, generator=generator) - 1) * limit
    return nn.Embedding(rows, width, sparse=True, _weight=weights)


class Towers(nn.Module):
    """All of the model but its tables.

    Args:
        tables: How many there are.
        width: Of their rows.
        seed: Of the weights.
    """

    def __init__(self, tables: int, width: int, seed: int) -> None:
        super().__init__()
        vectors = tables + 1
        with torch.random.fork_rng():
            torch.manual_seed(seed)
            self.bottom = nn.Sequential(
                nn.Linear(NUMBERS, 128), nn.ReLU(), nn.Linear(128, width), nn.ReLU()
            )
            self.top = nn.Sequential(
                nn.Linear(width + vectors * (vectors - 1) // 2, 128),
                nn.ReLU(),
                nn.Linear(128, 64),
                nn.ReLU(),
                nn.Linear(64, 1),
            )
        rows, columns = torch.tril_indices(vectors, vectors, offset=-1)
        self.pairs = rows * vectors + columns  # no buffer, which would be sent around

    def forward(self, numbers: torch.Tensor, looked_up: Sequence[torch.Tensor]) -> torch.Tensor:
        """Logits [B] of numbers [B, 13] and a row [B, width] of each table."""
        first = self.bottom(numbers)
        vectors = torch.stack([first, *looked_up], dim=1)
        products = torch.bmm(vectors, vectors.transpose(1, 2)).flatten(1)[:, self.pairs]
        logits: torch.Tensor = self.top(torch.cat([first, products], dim=1)).squeeze(1)
        return logits


def optimisers(
    tables: Sequence[nn.Embedding], towers: nn.Module, ranks: int = 1
) -> tuple[torch.optim.Optimizer, ...]:
    """Plain steps for tables, as in DLRM, so that rare rows stay small; AdaGrad for the rest.

    The rate of the tables is large because the loss is a mean over the batch, of which a row
    is seldom more than a few.

    Args:
        tables: Those that are here.
        towers: Theirs are averaged over all ranks, those of tables are added up.
        ranks: Among how many the batch is divided, each with a mean loss of its own.
    """
    of_towers = torch.optim.Adagrad(towers.parameters(), lr=0.02)
    if not tables:
        return (of_towers,)
    weights = [table.weight for table in tables]
    return torch.optim.SGD(weights, lr=20.0 / ranks), of_towers


def loss_of(logits: torch.Tensor, clicks: torch.Tensor) -> torch.Tensor:
    """Mean log loss, in nats."""
    return nn.functional.binary_cross_entropy_with_logits(logits, clicks)


def area_under_curve(clicks: NDArray[np.float32], scores: NDArray[np.float32]) -> float:
    """How probable it is that a click has a higher score than a miss; ties count half."""
    _, place, counts = np.unique(scores, return_inverse=True, return_counts=True)
    ranks = (np.cumsum(counts) - (counts - 1) / 2)[place]
    hits = int(clicks.sum())
    misses = len(clicks) - hits
    return float((ranks[clicks > 0].sum() - hits * (hits + 1) / 2) / (hits * misses))
