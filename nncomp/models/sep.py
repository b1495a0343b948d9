"""SEP: the semantics-enhancement block (SEB) in front of a backbone.

Wan et al., "SEP: A General Lossless Compression Framework with Semantics Enhancement
and Multi-Stream Pipelines". The last C bytes are embedded and cut into overlapping
patches of P bytes (stride 1). A learned gate weighs the patches: every `stride`-th is
always kept, the others as far as they prove useful, which makes the stride adaptive.
The gated patches are fused by a linear layer over their positions.

With a caching backbone only the newest position of the fused patch is new at a step:
the sum over the N = C - P + 1 patches of gate, weight and the embedding at that
position. So this computes just that: F weighted sums over the last N bytes.

Shapes: L lanes, T steps, D embedding width, F fused patches.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nncomp.exact.layers import gelu, linear, lookup, sigmoid
from nncomp.exact.ops import backend
from nncomp.exact.words import ROWS, SPAN, word_rows
from nncomp.models.byte_model import ByteModel, State
from nncomp.models.pac import Backbone, PacConfig

if TYPE_CHECKING:
    from nncomp.exact.init import Init
    from nncomp.exact.stepper import Stepper

__all__ = ["Sep", "SepConfig"]

_SHARPNESS = 10.0  # of the gate's step


@dataclass(frozen=True)
class SepConfig:
    """Sizes of the block. SEP+PAC's own: context 48, patch 16, stride 8, fused 1, direct 0.

    Attributes:
        context: C, bytes that the patches cover.
        patch: P, bytes in a patch.
        stride: Every stride-th patch is never gated away.
        fused: F, how many fused patches.
        direct: How many of the newest bytes reach the backbone as they are, besides.
        embedding: D, numbers a byte.
        words: How many of the newest words reach the backbone, with embeddings of their own;
            they tell of more than the bytes of the context, which the paper has not.
    """

    context: int = 48
    patch: int = 16
    stride: int = 8
    fused: int = 1
    direct: int = 0
    embedding: int = 16
    words: int = 0

    @property
    def positions(self) -> int:
        """N, how many patches there are."""
        return self.context - self.patch + 1

    @property
    def symbols(self) -> int:
        """How many vectors of D numbers there are, of bytes and of words."""
        return 256 + self.words * ROWS

    @property
    def token(self) -> int:
        """Width of what the backbone gets a step."""
        return self.embedding * (self.fused + self.direct + self.words)


class Sep(ByteModel):
    """SEB and PAC; `backbone.token` must be `config.token`."""

    def __init__(self, config: SepConfig, backbone: PacConfig, init: Init) -> None:
        super().__init__()
        self.config = config
        self.lanes = backbone.lanes
        self.context = max(config.positions, config.direct, SPAN if config.words else 0)
        self.table = nn.Parameter(init.normal(256, config.embedding))
        self.words: nn.Parameter | None = None
        if config.words:
            self.words = nn.Parameter(init.normal(config.words * ROWS, config.embedding))
        n = config.positions
        deviation = (2.0 / (n + 1)) ** 0.5  # Xavier's
        self.gate = nn.Parameter(init.normal(config.fused, n, std=deviation))
        self.fuse = nn.Parameter(init.normal(config.fused, n))
        self.fuse_bias = nn.Parameter(init.normal(config.fused))
        keep = (torch.arange(n) % config.stride == 0).to(torch.float32)
        self.register_buffer("keep", keep)
        self.backbone = Backbone(backbone, init)

    keep: Tensor

    def start(self) -> State:
        """The backbone's."""
        return self.backbone.start(self.table.device)

    def write(self, stepper: Stepper) -> None:
        """As `ByteModel.write`."""
        c = self.config
        table = stepper.numbers(self.table.numel(), self._table)
        matrix = stepper.matrix(self.fuse.numel(), lambda: self._fuse_integers()[0])
        scales = stepper.numbers(c.fused, lambda: self._fuse_integers()[1])
        stepper.numbers(c.fused, lambda: self.fuse_bias)
        patches = stepper.embed(table, c.embedding, c.positions, c.positions, turned=True)
        sizes = c.embedding, c.positions, c.fused
        count = c.embedding * c.fused
        fused = stepper.gelu(stepper.product(patches, sizes, matrix, scales), count)
        token = stepper.room(c.token)
        stepper.transpose(token, fused, c.embedding, c.fused)
        if c.direct:
            newest = stepper.embed(table, c.embedding, c.direct, c.direct)
            stepper.transpose(token + count, newest, 1, c.embedding * c.direct)
            count += c.embedding * c.direct
        if self.words is not None:
            words = self.words
            table = stepper.numbers(words.numel(), lambda: self._word_table(words))
            newest = stepper.words(table, c.embedding, c.words)
            stepper.transpose(token + count, newest, 1, c.embedding * c.words)
        self.backbone.write(stepper, token)

    def _table(self) -> Tensor:
        """The embedding. Centred: beside 0.5, differences would be lost on the grid of a row."""
        return sigmoid(self.table) - 0.5

    def _word_table(self, words: Tensor) -> Tensor:
        """The embedding of words, that learns as slowly as `_table` does around 0."""
        return words * 0.25

    def _fuse_weights(self) -> Tensor:
        """(F, N), gated."""
        mask = sigmoid(self.gate) * (1 - self.keep) + self.keep
        return self.fuse * sigmoid((mask - 0.5) * _SHARPNESS)

    def _fuse_integers(self) -> tuple[Tensor, Tensor]:
        """The same as integers, and their scales."""
        q, scale = backend(self.fuse.device).quantise_rows(self._fuse_weights())
        return q, scale

    def forward(self, history: Tensor, state: State) -> tuple[Tensor, State]:
        """As `ByteModel.forward`."""
        table = self._table()
        parts = [self._fused(table, history[:, self.context - self.config.positions :])]
        if self.config.direct:
            newest = history[:, self.context - self.config.direct :]
            window = newest.unfold(1, self.config.direct, 1)  # (L, T, direct)
            parts.append(lookup(table, window).flatten(2))
        if self.words is not None:
            rows = word_rows(history[:, self.context - SPAN :], self.config.words)
            parts.append(lookup(self._word_table(self.words), rows).flatten(2))
        logits, after = self.backbone(torch.cat(parts, dim=2), state)
        return logits, after

    def _fused(self, table: Tensor, history: Tensor) -> Tensor:
        """(L, N + T - 1) bytes to (L, T, F D)."""
        n = self.config.positions
        patches = lookup(table, history.unfold(1, n, 1)).transpose(2, 3)  # (L, T, D, N)
        fused = linear(patches.reshape(-1, n), self._fuse_weights(), self.fuse_bias)
        y = gelu(fused).view(*patches.shape[:3], -1).transpose(2, 3)  # (L, T, F, D)
        return y.flatten(2)
