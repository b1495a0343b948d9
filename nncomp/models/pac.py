"""PAC: an MLP with cached context, the backbone of SEP.

Mao et al., "Faster and Stronger Lossless Compression with Optimized Autoregressive
Framework", DAC 2023. Each step adds one token, made from the newest byte alone; a
level mixes the newest token by a small matrix (in the original one of its own for
every lane), appends it to the tokens cached from earlier steps, and passes all of
them, 256 numbers, through a wide MLP. The next level's token is twice as wide.
Gradients end at the cache, so learning a segment needs no unrolling through time.

Shapes: L lanes, T steps, W width, d token width, R = L * T rows, lane by lane.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING

import torch
from torch import Tensor, nn

from nncomp.exact.layers import (
    LaneLinear,
    LayerNorm,
    Linear,
    gelu,
    lookup,
    ordered_mask,
    scale_tokens,
    sigmoid,
)
from nncomp.models.byte_model import ByteModel, State

if TYPE_CHECKING:
    from nncomp.exact.init import Init
    from nncomp.exact.stepper import Stepper

__all__ = ["Backbone", "Pac", "PacConfig"]

_MASK_TEMPERATURE = 5.0


@dataclass(frozen=True)
class PacConfig:
    """Sizes of the backbone.

    PAC's own: token 16, width 256, levels 4, ffn 4096, mixing "lane". SEP+PAC has 5 levels.

    Attributes:
        lanes: L.
        token: d of the first level; it doubles with every level, up to the width, at
            which nothing is cached.
        width: W, a multiple of every level's d.
        levels: How many.
        ffn: Hidden width of the MLPs.
        mixing: Token matrices: "lane", one a lane; "shared", one for all lanes.
        mask: Weigh the first level's tokens by a learned ordered mask.
    """

    lanes: int
    token: int = 16
    width: int = 256
    levels: int = 4
    ffn: int = 4096
    mixing: str = "lane"
    mask: bool = False

    @property
    def widths(self) -> list[int]:
        """d of every level."""
        return [min(self.token << level, self.width) for level in range(self.levels)]

    def parameters(self) -> int:
        """How many weights there are, the embedding not counted."""
        matrices = self.lanes if self.mixing == "lane" else 1
        total = 256 * (self.width + 1)
        if self.mask:
            total += self.lanes * (self.width // self.token)
        for d in self.widths:
            total += matrices * d * (d + 1) + 4 * d
            total += 2 * self.width * self.ffn + self.ffn + 5 * self.width
        return total

    @property
    def largest(self) -> int:
        """How many weights the largest tensor has."""
        mixes = self.widths[-1] ** 2 * (self.lanes if self.mixing == "lane" else 1)
        return max(mixes, self.width * max(self.ffn, 256))


class _TokenMix(nn.Module):
    """y = (n + gelu(norm(n V))) / 2 with n = norm(x), for the newest token."""

    def __init__(self, config: PacConfig, width: int, init: Init) -> None:
        super().__init__()
        self.lanes = config.lanes
        self.before = LayerNorm(width)
        self.mix: LaneLinear | Linear
        if config.mixing == "lane":
            weight = init.normal(config.lanes, width, width)
            self.mix = LaneLinear(weight, init.normal(config.lanes, width))
        else:
            weight = init.normal(width, width)
            self.mix = Linear(weight, init.normal(width))
        self.after = LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(R, d) to (R, d)."""
        n = self.before(x)
        if isinstance(self.mix, LaneLinear):
            y = self.mix(n.view(self.lanes, -1, n.shape[1])).view(n.shape)
        else:
            y = self.mix(n)
        out: Tensor = (n + gelu(self.after(y))) * 0.5
        return out

    def write(self, stepper: Stepper, x: int, dst: int) -> None:
        """The same, one row at a time; see `ByteModel.write`."""
        if isinstance(self.mix, LaneLinear):
            raise NotImplementedError("a matrix for each lane")
        n = stepper.norm(x, self.before)
        y = stepper.norm(stepper.linear(n, self.mix), self.after)
        width = self.after.gain.shape[0]
        stepper.mean(n, stepper.gelu(y, width), width, dst)


class _Mlp(nn.Module):
    """y = (n + gelu(norm(gelu(n U) V))) / 2 with n = norm(x)."""

    def __init__(self, width: int, ffn: int, init: Init) -> None:
        super().__init__()
        self.before = LayerNorm(width)
        self.up = Linear(init.normal(ffn, width), init.normal(ffn))
        down = init.normal(width, ffn), init.normal(width)
        self.down = Linear(*down, activation=True)
        self.after = LayerNorm(width)

    def forward(self, x: Tensor) -> Tensor:
        """(R, W) to (R, W)."""
        n = self.before(x)
        out: Tensor = (n + gelu(self.after(self.down(self.up(n))))) * 0.5
        return out

    def write(self, stepper: Stepper, x: int) -> int:
        """The same, one row at a time; see `ByteModel.write`."""
        n = stepper.norm(x, self.before)
        y = stepper.norm(stepper.linear(stepper.linear(n, self.up), self.down), self.after)
        width = self.after.gain.shape[0]
        return stepper.mean(n, stepper.gelu(y, width), width)


class _OrderedMask(nn.Module):
    """Weighs the tokens of a context, lane by lane, the newer never less than the older.

    The ordered mask of PAC's paper, without three things. Gumbel noise in the choice:
    nothing random may enter an archive. A bias for each position. And the term of the loss,
    a Kullback-Leibler divergence, that pulls the mask towards a geometric prior.
    """

    def __init__(self, config: PacConfig) -> None:
        super().__init__()
        self.beta = nn.Parameter(torch.full((config.lanes, config.width // config.token), 0.01))

    def forward(self, x: Tensor) -> Tensor:
        """(R, W), oldest token first, to (R, W)."""
        return scale_tokens(x, ordered_mask(self.beta, _MASK_TEMPERATURE))


class Backbone(nn.Module):
    """Tokens of the newest byte, step by step, to logits."""

    def __init__(self, config: PacConfig, init: Init) -> None:
        super().__init__()
        self.config = config
        mixes = [_TokenMix(config, d, init) for d in config.widths]
        mlps = [_Mlp(config.width, config.ffn, init) for _ in config.widths]
        self.mixes, self.mlps = nn.ModuleList(mixes), nn.ModuleList(mlps)
        self._levels = list(zip(mixes, mlps, config.widths, strict=True))
        self.mask = _OrderedMask(config) if config.mask else None
        logits = init.normal(256, config.width), init.normal(256)
        self.logits = Linear(*logits)

    def start(self, device: torch.device) -> State:
        """Empty caches: (L, W - d) a level."""
        lanes, width = self.config.lanes, self.config.width
        return tuple(torch.zeros(lanes, width - d, device=device) for d in self.config.widths)

    def forward(self, tokens: Tensor, state: State) -> tuple[Tensor, State]:
        """(L, T, d) tokens and the caches to (R, 256) logits and the caches after."""
        x = tokens.reshape(-1, tokens.shape[2])
        after = []
        for level, (mix, mlp, cache) in enumerate(zip(self.mixes, self.mlps, state, strict=True)):
            d = self.config.width - cache.shape[1]
            newest = mix(x[:, -d:])
            older, cache_after = _older(newest.detach(), cache, d)
            x = torch.cat((older, newest), dim=1)
            if self.mask is not None and level == 0:
                x = self.mask(x)
            x = mlp(x)
            after.append(cache_after)
        return self.logits(x), tuple(after)

    def write(self, stepper: Stepper, x: int) -> None:
        """The same, one row at a time, from the token at x; see `ByteModel.write`."""
        if self.mask is not None:
            raise NotImplementedError("a mask")
        width = self.config.width
        end = x + self.config.token
        for mix, mlp, d in self._levels:
            line = stepper.room(width)
            stepper.transpose(line, line + d, 1, width - d)  # what is cached moves up
            mix.write(stepper, end - d, line + width - d)
            end = mlp.write(stepper, line) + width
        stepper.logits(stepper.linear(end - width, self.logits))


def _older(newest: Tensor, cache: Tensor, d: int) -> tuple[Tensor, Tensor]:
    """The tokens before each row's own, from the cache and the rows before it.

    Args:
        newest: (R, d). cache: (L, W - d), the tokens before the first step.

    Returns:
        (R, W - d), and the cache after the last step.
    """
    lanes, width = cache.shape
    count = width // d
    if count == 0:
        return newest[:, :0], cache
    line = torch.cat((cache.view(lanes, count, d), newest.view(lanes, -1, d)), dim=1)
    older = line[:, :-1].unfold(1, count, 1).transpose(2, 3)  # (L, T, count, d)
    return older.reshape(-1, width), line[:, -count:].reshape(lanes, width)


class Pac(ByteModel):
    """PAC itself: the token of a step is the embedding of the byte before it."""

    context = 1

    def __init__(self, config: PacConfig, init: Init) -> None:
        super().__init__()
        self.lanes = config.lanes
        self.table = nn.Parameter(init.normal(256, config.token))
        self.backbone = Backbone(config, init)

    def start(self) -> State:
        """Empty caches."""
        return self.backbone.start(self.table.device)

    def write(self, stepper: Stepper) -> None:
        """As `ByteModel.write`."""
        table = stepper.numbers(self.table.numel(), lambda: sigmoid(self.table))
        self.backbone.write(stepper, stepper.embed(table, self.table.shape[1], 1, 1))

    def forward(self, history: Tensor, state: State) -> tuple[Tensor, State]:
        """As `ByteModel.forward`."""
        logits, after = self.backbone(lookup(sigmoid(self.table), history), state)
        return logits, after
