"""FSAR: pictures by a quantised latent whose prior is a finite state, in plain float.

Zhang et al., "Finite-State Autoregressive Entropy Coding for Efficient Learned Lossless
Compression" (ICLR 2024). An encoder turns each `stride` x `stride` pixels into `groups` codes
out of `codes`; a decoder tells from the codes a normal distribution for each sample. What the
paper brings is that the codes have a prior that is autoregressive and yet a table: the state is
the codes of neighbours, so that a network learns it, and counts replace the network.

This is for training alone, on any device: nothing here reaches a coder. `nncomp.training`
makes integers of it, which `nncomp.models.fsar_integer` codes with. There is no batch
normalisation: with few photographs, what it takes from their light and contrast varies from
batch to batch. With it, 300 steps without a quantiser came to 6.1 bits, and without it to 5.1.

Shapes: B pictures, C colours, H x W pixels, h x w positions of the latent, G groups, K codes,
D numbers of a code, N neighbours.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from itertools import pairwise
from typing import Any, Literal, NamedTuple

import torch
from torch import Tensor, nn
from torch.nn import functional

__all__ = [
    "LOG_SCALES",
    "LOG_SCALE_UNIT",
    "MEAN_UNIT",
    "NEIGHBOURS",
    "Bits",
    "Fsar",
    "FsarConfig",
    "entmax",
    "normal_bits",
]

NEIGHBOURS = {"order0": 0, "O1S": 1, "O2S": 2}
"""Neighbours in the state by the paper's names: none; the left one; the upper and the left."""

MEAN_UNIT, LOG_SCALE_UNIT = 32.0, 0.5
"""What 1 of the decoder's outputs means: grey levels; of a natural logarithm."""

LOG_SCALES = (-1.0, 4.5)
"""Natural logarithms of the least and the largest deviation."""

_GAIN = 6.0  # at the start, for vectors of about the size of the codes
_TEMPERATURE = 0.5  # of the Gumbel softmax
_COMMITMENT = 0.25  # of VQ: how much an encoder keeps to the codes
_OUTSIDE = -1e4  # logit of a code that is not used any more
_SCALE = 0.2  # of logits of usage: entmax drops what lies 1 / (alpha - 1) below


@dataclass(frozen=True)
class FsarConfig:
    """Sizes of the model; the paper's own are 64 wide, 2 x 256 codes of 32 numbers.

    Attributes:
        stride: Pixels to a position of the latent, each way; a power of two.
        groups: G.
        codes: K.
        dim: D.
        width: Channels of the convolutions.
        hidden: Width of the prior's network.
        prior: Which neighbours are its state.
        quantiser: "STHQ": stochastic, hard forward, Gumbel softmax backward. "VQ": the nearest
            code, gradients straight through, as in VQ-VAE.
        alpha: Of entmax, by which rare codes fall out of use; 1 keeps all of them.
        colours: C.
    """

    stride: int = 2
    groups: int = 2
    codes: int = 32
    dim: int = 16
    width: int = 32
    hidden: int = 64
    prior: Literal["order0", "O1S", "O2S"] = "O2S"
    quantiser: Literal["STHQ", "VQ"] = "STHQ"
    alpha: float = 1.4
    colours: int = 3

    @property
    def halvings(self) -> int:
        """Layers that halve the resolution."""
        return self.stride.bit_length() - 1


class Bits(NamedTuple):
    """What a batch costs, each a mean over sub-pixels, and what VQ adds to the loss."""

    pixels: Tensor
    latent: Tensor
    extra: Tensor

    @property
    def total(self) -> Tensor:
        """Bits of a sub-pixel."""
        return self.pixels + self.latent


class Fsar(nn.Module):
    """The whole model; `forward` is its loss."""

    def __init__(self, config: FsarConfig) -> None:
        super().__init__()
        self.config = config
        self.encoder = _encoder(config)
        self.gain = nn.Parameter(torch.tensor(_GAIN))
        self.quantiser = Quantiser(config)
        self.prior = Prior(config)
        self.decoder = _decoder(config)

    def forward(self, x: Tensor, generator: torch.Generator | None = None) -> Bits:
        """Bits of pictures.

        Args:
            x: (B, C, H, W), whole numbers from 0 to 255; H and W are multiples of `stride`.
            generator: Of the noise of STHQ; None codes as an encoder does, without noise.
        """
        choice, quantised, extra = self.quantiser(self.encode(x), generator)
        rate = -(choice * self.prior(choice, self.quantiser)).sum() / math.log(2)
        mean, log_scale = self.decode(quantised)
        pixels = normal_bits(x, mean, log_scale).mean()
        return Bits(pixels, rate / x.numel(), extra)

    def encode(self, x: Tensor) -> Tensor:
        """(B, C, H, W) pixels to (B, G, D, h, w)."""
        z: Tensor = self.gain * self.encoder(x / 127.5 - 1)
        return z.view(len(z), self.config.groups, self.config.dim, *z.shape[2:])

    def decode(self, quantised: Tensor) -> tuple[Tensor, Tensor]:
        """(B, G, D, h, w) to means of samples and logarithms of their deviations, (B, C, H, W)."""
        out: Tensor = self.decoder(quantised.flatten(1, 2))
        mean, log_scale = out.chunk(2, dim=1)
        return 127.5 + MEAN_UNIT * mean, (3 + LOG_SCALE_UNIT * log_scale).clamp(*LOG_SCALES)

    @torch.no_grad()
    def indices(self, x: Tensor) -> Tensor:
        """The codes of pictures, (B, G, h, w)."""
        return self.quantiser.logits(self.encode(x)).argmax(dim=2)


# --- pixels --------------------------------------------------------------------------


def _residual(width: int) -> nn.Module:
    """x + f(x) with two convolutions, any size."""
    return _Residual(
        nn.Conv2d(width, width, 3, padding=1),
        nn.ReLU(),
        nn.Conv2d(width, width, 3, padding=1),
    )


class _Residual(nn.Sequential):
    def forward(self, x: Tensor) -> Tensor:
        y: Tensor = super().forward(x)  # type: ignore[no-untyped-call]  # torch has none there
        return x + y


def _encoder(c: FsarConfig) -> nn.Sequential:
    """(B, C, H, W) to (B, G D, h, w)."""
    layers: list[nn.Module] = []
    inputs = c.colours
    for _ in range(c.halvings):
        layers += [nn.Conv2d(inputs, c.width, 4, stride=2, padding=1), nn.ReLU()]
        inputs = c.width
    layers.append(_residual(c.width))
    layers.append(nn.Conv2d(c.width, c.groups * c.dim, 1))
    return nn.Sequential(*layers)


def _decoder(c: FsarConfig) -> nn.Sequential:
    """(B, G D, h, w) to (B, 2 C, H, W)."""
    layers: list[nn.Module] = [
        nn.Conv2d(c.groups * c.dim, c.width, 3, padding=1),
        nn.ReLU(),
        _residual(c.width),
        nn.ReLU(),
    ]
    for i in range(c.halvings):
        last = i == c.halvings - 1
        outputs = 2 * c.colours if last else c.width
        layers.append(nn.ConvTranspose2d(c.width, outputs, 4, stride=2, padding=1))
        layers += [] if last else [nn.ReLU()]
    return nn.Sequential(*layers)


def normal_bits(x: Tensor, mean: Tensor, log_scale: Tensor) -> Tensor:
    """Bits of whole numbers from 0 to 255 by a normal distribution cut into intervals of 1.

    The outermost intervals have all the rest. Far out, where the intervals' probabilities
    underflow, the density takes their place, which has a gradient still.
    """
    sharpness = torch.exp(-log_scale)
    away = (x - mean) * sharpness
    lower = torch.where(x == 0, -torch.inf, away - 0.5 * sharpness)
    upper = torch.where(x == 255, torch.inf, away + 0.5 * sharpness)
    # Mirrored to the side where Phi is small: above, differences of numbers near 1 are lost.
    right = away > 0
    lower, upper = torch.where(right, -upper, lower), torch.where(right, -lower, upper)
    p = torch.special.ndtr(upper) - torch.special.ndtr(lower)
    density = -0.5 * away**2 - log_scale - 0.5 * math.log(2 * math.pi)
    nats = torch.where(p > 1e-5, torch.log(p.clamp(min=1e-5)), density)
    return -nats / math.log(2)


# --- latent --------------------------------------------------------------------------


class Quantiser(nn.Module):
    """K codes for each group, and which of them there are: Straight-Through Hard Quantisation."""

    def __init__(self, config: FsarConfig) -> None:
        super().__init__()
        self.config = config
        self.codes = nn.Parameter(torch.randn(config.groups, config.codes, config.dim))
        self.usage = nn.Parameter(torch.zeros(config.groups, config.codes))

    def log_usage(self) -> Tensor:
        """Logarithms of how much codes are used, (G, K); those entmax leaves at 0 are out."""
        used = entmax(self.usage / _SCALE, self.config.alpha)
        return torch.where(used > 0, torch.log(used.clamp(min=1e-9)), _OUTSIDE)

    def logits(self, z: Tensor) -> Tensor:
        """Logarithms of the posterior but for a constant: (B, G, D, h, w) to (B, G, K, h, w)."""
        cross = torch.einsum("bgdhw,gkd->bgkhw", z, self.codes)
        size = (self.codes**2).sum(dim=2)  # (G, K); |z|^2 is the same for all codes
        own = cross - (size / 2)[None, :, :, None, None]
        out = (self.log_usage() <= _OUTSIDE) * _OUTSIDE
        return own + out[None, :, :, None, None]

    def forward(
        self, z: Tensor, generator: torch.Generator | None
    ) -> tuple[Tensor, Tensor, Tensor]:
        """One code for each vector.

        Returns:
            choice: (B, G, K, h, w), 1 for the code and 0 for the others, to the last bit; for
                STHQ its gradient is that of a softmax.
            quantised: (B, G, D, h, w), the codes' vectors.
            extra: What VQ adds to the loss.
        """
        logits = self.logits(z)
        if self.config.quantiser == "STHQ" and generator is not None:
            uniform = torch.rand(logits.shape, generator=generator).to(logits)
            logits = (logits - torch.log(-torch.log(uniform + 1e-20) + 1e-20)) / _TEMPERATURE
        hard = functional.one_hot(logits.argmax(dim=2), self.config.codes).movedim(-1, 2).to(z)
        if self.config.quantiser == "STHQ":
            soft = logits.softmax(dim=2)
            choice = hard + (soft - soft.detach())  # the bracket is 0
            return choice, self.look_up(choice), z.new_zeros(())
        found = self.look_up(hard)
        extra = functional.mse_loss(found, z.detach()) + _COMMITMENT * functional.mse_loss(
            z, found.detach()
        )
        return hard, z + (found - z).detach(), extra

    def look_up(self, choice: Tensor) -> Tensor:
        """(B, G, K, h, w) to (B, G, D, h, w)."""
        return torch.einsum("bgkhw,gkd->bgdhw", choice, self.codes)


class Prior(nn.Module):
    """Distributions of codes by the codes of N neighbours: an MLP for each group."""

    def __init__(self, config: FsarConfig) -> None:
        super().__init__()
        self.config = config
        groups, dim, hidden = config.groups, config.dim, config.hidden
        self.neighbours = NEIGHBOURS[config.prior]
        self.outside = nn.Parameter(torch.zeros(groups, dim))  # beyond the picture
        sizes = [self.neighbours * dim, hidden, hidden, config.codes]
        self.weights = nn.ParameterList(
            torch.randn(groups, i, o) * (1 / max(i, 1)) ** 0.5 for i, o in pairwise(sizes)
        )
        self.biases = nn.ParameterList(torch.zeros(groups, o) for o in sizes[1:])

    def forward(self, choice: Tensor, quantiser: Quantiser) -> Tensor:
        """Logarithms of the codes' probabilities, (B, G, K, h, w), in nats."""
        around = self._around(quantiser.look_up(choice))
        return self.network(around, quantiser.log_usage()).permute(0, 1, 4, 2, 3)

    def network(self, state: Tensor, log_usage: Tensor) -> Tensor:
        """States (B, G, h, w, N D) to logarithms of probabilities (B, G, h, w, K)."""
        y = state
        for number, (weight, bias) in enumerate(zip(self.weights, self.biases, strict=True)):
            y = functional.relu(y) if number else y
            y = torch.einsum("bghwi,gio->bghwo", y, weight) + bias[None, :, None, None]
        return (y + log_usage[None, :, None, None]).log_softmax(dim=-1)

    def _around(self, codes: Tensor) -> Tensor:
        """(B, G, D, h, w) to the upper and the left neighbours' vectors, (B, G, h, w, N D)."""
        shape = codes.shape
        if not self.neighbours:
            return codes.new_zeros(shape[0], shape[1], *shape[3:], 0)
        outside = self.outside[None, :, :, None, None]
        border = outside.expand(shape[0], -1, -1, shape[3], 1)
        found = [torch.cat([border, codes[..., :-1]], dim=4)]  # left
        if self.neighbours == 2:
            border = outside.expand(shape[0], -1, -1, 1, shape[4])
            found.insert(0, torch.cat([border, codes[..., :-1, :]], dim=3))  # above
        return torch.cat(found, dim=2).permute(0, 1, 3, 4, 2)

    @torch.no_grad()
    def table(self, quantiser: Quantiser) -> Tensor:
        """Probabilities for every state: (G, K, codes + 1 for each neighbour reversed).

        The shape is (G, (K + 1)^N, K): the state's number is above * (K + 1) + left, and code K
        is what lies beyond the picture.
        """
        codes = torch.cat([quantiser.codes, self.outside[:, None]], dim=1)  # (G, K + 1, D)
        groups, size, dim = codes.shape
        state = codes.new_zeros(groups, 1, 0)
        for _ in range(self.neighbours):
            more = codes[:, None].expand(groups, state.shape[1], size, dim)
            before = state[:, :, None].expand(groups, state.shape[1], size, state.shape[2])
            state = torch.cat([before, more], dim=3).flatten(1, 2)
        return self.network(state[None, :, :, None], quantiser.log_usage())[0, :, :, 0].exp()


class _Entmax(torch.autograd.Function):
    """Peters et al., "Sparse Sequence-to-Sequence Models" (2019): bisection and its gradient."""

    @staticmethod
    def forward(ctx: Any, logits: Tensor, alpha: float) -> Tensor:
        scaled = logits * (alpha - 1)
        low = scaled.amax(dim=-1, keepdim=True) - 1
        high = low + 1
        for _ in range(40):
            middle = (low + high) / 2
            enough = _powers(scaled - middle, alpha).sum(dim=-1, keepdim=True) >= 1
            low, high = torch.where(enough, middle, low), torch.where(enough, high, middle)
        p = _powers(scaled - low, alpha)
        p = p / p.sum(dim=-1, keepdim=True)
        ctx.save_for_backward(p)
        ctx.alpha = alpha
        return p

    @staticmethod
    def backward(ctx: Any, *gradients: Any) -> tuple[Tensor, None]:
        (p,) = ctx.saved_tensors
        slope = torch.where(p > 0, p ** (2 - ctx.alpha), 0)
        mean = (gradients[0] * slope).sum(dim=-1, keepdim=True) / slope.sum(dim=-1, keepdim=True)
        return slope * (gradients[0] - mean), None


def _powers(above: Tensor, alpha: float) -> Tensor:
    return above.clamp(min=0) ** (1 / (alpha - 1))


def entmax(logits: Tensor, alpha: float) -> Tensor:
    """Softmax for alpha 1; above, what is unlikely enough becomes 0. Over the last axis."""
    if alpha <= 1:
        return logits.softmax(dim=-1)
    found: Tensor = _Entmax.apply(logits, alpha)  # type: ignore[no-untyped-call]  # nor there
    return found
