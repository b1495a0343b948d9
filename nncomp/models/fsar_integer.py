"""FSAR in integers: pictures to codes, and codes to laws of samples; NumPy alone.

**Networks.** Layers hand on whole numbers from -128 to 127. A layer is a convolution and

    y = clip((accumulator + bias) * multiplier + 2^(shift - 1) >> shift, low, high)

for each output channel. Accumulators stay below 2^24, so that products of matrices of float32
are exact in whatever order they are summed up: codes and laws are the same on every machine.
Tensors `NAME.N.kind`, `.weight`, `.bias`, `.multiplier`, `.shift`, `.low` and `.high` are layer
N of network NAME; `nncomp.training.export` makes them.

**Encoder.** `encoder` gives a score to each code of each group; the largest is taken, the first
of equal ones.

**Decoder.** Codes have vectors of whole numbers, `decoder.codes`, those of all groups of a
position one after the other; `decoder` makes of them what a normal law for each sample needs: a
mean in quarters of a grey level and the number i of a deviation 2^(i / 8) / 16.

**Prior.** A table of counts for each group: states x (codes + 1), each state's 2^10 together.
The last is an escape, never 0, behind which a code stands plain, so that what the tables think
impossible can be coded too. A state is above * (codes + 1) + left, or left alone, or 0; the
number of codes stands for what lies beyond the picture.

Shapes: G groups, K codes, D numbers of a code, h x w positions, C colours, I and O channels.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ACTIVATION_MAX",
    "DEVIATIONS",
    "KINDS",
    "MEAN_PHASES",
    "PRIOR_BITS",
    "PRODUCT_MAX",
    "Decoder",
    "Encoder",
    "Layer",
    "Network",
    "latent_bits",
    "states_of",
]

Array: TypeAlias = NDArray[Any]

KINDS = ("conv", "residual", "up", "down")
"""Convolution; the same, added to what went into the layer before; transposed, 4 x 4 of stride
2; 4 x 4 of stride 2. The first two are 3 x 3 or 1 x 1."""

PRIOR_BITS = 10
"""Counts of a state sum to two to this."""
MEAN_PHASES = 4
"""Means are in quarters."""
DEVIATIONS = 128
"""How many a decoder can name."""
ACTIVATION_MAX = 127
PRODUCT_MAX = 1 << 24
"""Sums of products of whole numbers below this are exact in float32."""

_LARGEST = 128 * 127  # product of an input and a weight
_BAND = 16  # rows of a layer that are computed at a time, which bounds the memory


# --- networks ------------------------------------------------------------------------


class Layer(NamedTuple):
    """A convolution.

    Attributes:
        kind: One of `KINDS`.
        weight: int8[O, I, k, k]; of "up" int8[I, O, 4, 4].
        bias: int32[O].
        multiplier: int32[O], from 1 to 2^15.
        shift: int8[O], from 1 to 31.
        low, high: int32[O].
    """

    kind: str
    weight: Array
    bias: Array
    multiplier: Array
    shift: Array
    low: Array
    high: Array

    def __call__(self, x: Array, before: Array) -> Array:
        """What the layer gives: float32[I, H, W], whole numbers, to float32[O, h, w] likewise.

        Args:
            x: What goes in.
            before: What went into the layer before; a residual is added to it.
        """
        if self.kind == "up":
            return self._held(self._scaled(transposed(x, self.weight)))
        stride = 2 if self.kind == "down" else 1
        padded = _with_margin(x, self.weight.shape[2])
        bands = []
        for top in range(0, x.shape[1] // stride, _BAND):
            rows = padded[:, stride * top : stride * (top + _BAND - 1) + self.weight.shape[2]]
            scaled = self._scaled(_convolved(rows, self.weight, stride))
            if self.kind == "residual":
                scaled += before[:, top : top + _BAND].astype(np.int64)
            bands.append(self._held(scaled))
        return np.concatenate(bands, axis=1)

    def _scaled(self, sums: Array) -> Array:
        """Accumulators as numbers for the next layer, int64, before they are held in bounds."""
        multiplier, shift = (
            x.astype(np.int64)[:, None, None] for x in (self.multiplier, self.shift)
        )
        wide = sums.astype(np.int64)
        wide += self.bias[:, None, None]
        wide *= multiplier
        wide += np.int64(1) << shift - 1
        wide >>= shift
        return wide

    def _held(self, x: Array) -> Array:
        """Within bounds, float32, as the next product takes it."""
        low, high = self.low[:, None, None], self.high[:, None, None]
        return np.clip(x, low, high, out=x).astype(np.float32)


class Network:
    """The layers of that name, one after the other.

    Raises:
        ValueError: A product could leave what float32 holds.
    """

    def __init__(self, tensors: Mapping[str, Array], name: str) -> None:
        self.layers = list[Layer]()
        while f"{name}.{len(self.layers)}.kind" in tensors:
            at = f"{name}.{len(self.layers)}"
            kind = KINDS[int(tensors[f"{at}.kind"][0])]
            layer = Layer(kind, *(tensors[f"{at}.{field}"] for field in Layer._fields[1:]))
            inputs = layer.weight.size // len(layer.bias)
            if inputs * _LARGEST >= PRODUCT_MAX:
                raise ValueError(f"layer {at} sums up {inputs} products, too many to be exact")
            self.layers.append(layer)

    def count(self, kind: str) -> int:
        """How many layers are of that kind."""
        return sum(layer.kind == kind for layer in self.layers)

    def __call__(self, x: Array) -> Array:
        """float32[I, H, W], whole numbers from -128 to 127, to float32[O, h, w] likewise."""
        before = x
        for layer in self.layers:
            before, x = x, layer(x, before)
        return x


def _with_margin(x: Array, size: int) -> Array:
    """Zeros around, (size - 1) // 2 on each side, so that 4 x 4 of stride 2 halves the size."""
    margin = (size - 1) // 2
    return np.pad(x, ((0, 0), (margin, margin), (margin, margin)))


def _convolved(padded: Array, weight: Array, stride: int) -> Array:
    """Convolution within margins: (I, H, W) by (O, I, k, k) to (O, h, w), float32."""
    size = weight.shape[2]
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]  # (I, h, w, k, k)
    height, width = windows.shape[1:3]
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(-1, height * width)
    sums: Array = weight.reshape(len(weight), -1).astype(np.float32) @ columns
    return sums.reshape(len(weight), height, width)


def transposed(x: Array, weight: Array) -> Array:
    """Transposed convolution, 4 x 4 of stride 2 with a margin of 1: (I, h, w) to (O, 2 h, 2 w)."""
    inputs, height, width = x.shape
    outputs = weight.shape[1]
    matrix = weight.reshape(inputs, -1).T.astype(np.float32)
    parts = (matrix @ x.reshape(inputs, -1)).reshape(outputs, 4, 4, height, width)
    y = np.zeros((outputs, 2 * height + 2, 2 * width + 2), np.float32)
    for ky in range(4):
        for kx in range(4):
            y[:, ky : ky + 2 * height : 2, kx : kx + 2 * width : 2] += parts[:, ky, kx]
    return y[:, 1:-1, 1:-1]


# --- codes ---------------------------------------------------------------------------


class Encoder:
    """Pictures to codes.

    Args:
        tensors: Of the network `encoder`, and `encoder.groups` uint8[1].
        prefix: Before these names.
    """

    def __init__(self, tensors: Mapping[str, Array], prefix: str = "") -> None:
        self.network = Network(tensors, f"{prefix}encoder")
        self.groups = int(tensors[f"{prefix}encoder.groups"][0])

    @property
    def stride(self) -> int:
        """Pixels to a position, each way."""
        return 1 << self.network.count("down")

    def __call__(self, picture: Array) -> Array:
        """Codes uint8[G, h, w] of uint8[H, W, 3]; h and w are H and W by the stride, rounded up."""
        margins = [(0, -size % self.stride) for size in picture.shape[:2]]
        whole = np.pad(picture, [*margins, (0, 0)], mode="edge")
        scores = self.network(whole.transpose(2, 0, 1).astype(np.float32) - np.float32(128))
        by_group = scores.reshape(self.groups, -1, *scores.shape[1:])
        codes: Array = by_group.argmax(axis=1).astype(np.uint8)
        return codes


class Decoder:
    """Codes to laws of samples.

    Args:
        tensors: Of the network `decoder`, and `decoder.codes` int8[G, K, D].
        prefix: Before these names.
    """

    def __init__(self, tensors: Mapping[str, Array], prefix: str = "") -> None:
        self.network = Network(tensors, f"{prefix}decoder")
        self.codes = tensors[f"{prefix}decoder.codes"]

    @property
    def stride(self) -> int:
        """Pixels to a position, each way."""
        return 1 << self.network.count("up")

    def __call__(self, codes: Array) -> tuple[Array, Array]:
        """Laws of the samples of a picture.

        Args:
            codes: [G, h, w], each below K.

        Returns:
            int16[C, H, W], means in quarters, and uint8[C, H, W], numbers of deviations; H and W
            are multiples of the stride.
        """
        groups = np.arange(len(self.codes))[:, None, None]
        vectors = self.codes[groups, codes].transpose(0, 3, 1, 2)  # (G, D, h, w)
        laws = self.network(vectors.reshape(-1, *codes.shape[1:]).astype(np.float32))
        colours = len(laws) // 2
        return laws[:colours].astype(np.int16), laws[colours:].astype(np.uint8)


# --- prior ---------------------------------------------------------------------------


def states_of(indices: Array, codes: int, neighbours: int) -> Array:
    """Numbers of the states in which codes stand, int64 of the same shape.

    Args:
        indices: [..., h, w], each below `codes`.
        codes: K.
        neighbours: 2 for the upper and the left one, 1 for the left one, 0.
    """
    states = np.zeros(indices.shape, np.int64)
    if neighbours == 2:
        states += codes
        states[..., 1:, :] = indices[..., :-1, :]
        states *= codes + 1
    if neighbours:
        states[..., 1:] += indices[..., :-1]
        states[..., 0] += codes
    return states


def latent_bits(counts: Array, indices: Array) -> float:
    """What tables make codes cost, escapes and all, in bits.

    Args:
        counts: uint16[G, states, K + 1], each state's 2^10 together.
        indices: [G, h, w], each below K.
    """
    codes = counts.shape[2] - 1
    neighbours = {1: 0, codes + 1: 1, (codes + 1) ** 2: 2}[counts.shape[1]]
    total = 0.0
    for of_group, codes_of_group in zip(counts, indices, strict=True):
        states = states_of(codes_of_group, codes, neighbours)
        found = of_group[states, codes_of_group].astype(np.int64)
        escaped = found == 0
        found[escaped] = of_group[states[escaped], codes]
        plain = (codes - 1).bit_length() * int(escaped.sum())
        total += float((PRIOR_BITS - np.log2(found)).sum()) + plain
    return total
