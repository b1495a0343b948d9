"""FSAR in integers: what decodes, and the float half that only an encoder needs; NumPy alone.

**Decoder.** Codes have vectors of whole numbers from -127 to 127, those of all groups of a
position one after the other. Layers make of them what a normal law for each sample needs: a
mean in quarters of a grey level and the number i of a deviation 2^(i / 8) / 16. A layer is a
convolution and

    y = clip((accumulator + bias) * multiplier + 2^(shift - 1) >> shift, low, high)

for each output channel. Accumulators stay below 2^24, so that products of matrices of float32
are exact in whatever order they are summed up (exact integer arithmetic, the project's rule).

**Prior.** A table of counts for each group: states x (codes + 1), each state's 2^10 together.
The last is an escape, never 0, behind which a code stands plain, so that what the tables think
impossible can be coded too. A state is above * (codes + 1) + left, or left alone, or 0; the
number of codes stands for what lies beyond the picture.

Shapes: G groups, K codes, D numbers of a code, h x w positions, C colours.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "ACTIVATION_MAX",
    "MEAN_PHASES",
    "PRIOR_BITS",
    "PRODUCT_MAX",
    "Decoder",
    "Encoder",
    "Layer",
    "latent_bits",
    "states_of",
]

PRIOR_BITS = 10
"""Counts of a state sum to two to this."""
MEAN_PHASES = 4
"""Means are in quarters."""
ACTIVATION_MAX = 127
PRODUCT_MAX = 1 << 24
"""Sums of products of whole numbers below this are exact in float32."""

Array: TypeAlias = NDArray[Any]

_KINDS = ("conv", "residual", "up")


# --- decoder -------------------------------------------------------------------------


class Layer(NamedTuple):
    """A convolution.

    Attributes:
        kind: "conv": 3 x 3. "residual": the same, added to what went into the layer before it.
            "up": transposed, 4 x 4, of stride 2.
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

    def scaled(self, sums: Array) -> Array:
        """Accumulators [O, ...] as numbers for the next layer, before they are held in bounds."""
        shape = (-1,) + (1,) * (sums.ndim - 1)
        multiplier, shift = (
            x.astype(np.int64).reshape(shape) for x in (self.multiplier, self.shift)
        )
        wide = (sums.astype(np.int64) + self.bias.reshape(shape)) * multiplier
        half: Array = wide + (np.int64(1) << shift - 1) >> shift
        return half

    def held(self, x: Array) -> Array:
        """Within bounds, float32[O, h, w], as the next product takes it."""
        low, high = self.low[:, None, None], self.high[:, None, None]
        return np.clip(x, low, high).astype(np.float32)


class Decoder:
    """Codes to laws of samples.

    Args:
        tensors: `decoder.codes` int8[G, K, D], and `decoder.N.*` for each layer N, as
            `nncomp.training.export` makes them.

    Raises:
        ValueError: A product could leave what float32 holds.
    """

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self.codes = tensors["decoder.codes"]
        self.layers = list[Layer]()
        while f"decoder.{len(self.layers)}.kind" in tensors:
            at = f"decoder.{len(self.layers)}"
            kind = _KINDS[int(tensors[f"{at}.kind"][0])]
            fields = (tensors[f"{at}.{name}"] for name in Layer._fields[1:])
            layer = Layer(kind, *fields)
            inputs = layer.weight.size // len(layer.bias)
            if inputs * ACTIVATION_MAX**2 >= PRODUCT_MAX:
                raise ValueError(f"layer {at} sums up {inputs} products, too many to be exact")
            self.layers.append(layer)

    @property
    def stride(self) -> int:
        """Pixels to a position, each way."""
        return int(2 ** sum(layer.kind == "up" for layer in self.layers))

    def __call__(self, indices: Array) -> tuple[Array, Array]:
        """Laws of the samples of a picture.

        Args:
            indices: [G, h, w], each below K.

        Returns:
            int16[C, H, W], means in quarters, and uint8[C, H, W], numbers of deviations.
        """
        groups = np.arange(len(self.codes))[:, None, None]
        x = self.codes[groups, indices].transpose(0, 3, 1, 2)  # (G, D, h, w)
        x = x.reshape(-1, *x.shape[2:]).astype(np.float32)
        kept = x
        for layer in self.layers:
            if layer.kind == "up":
                x = layer.held(layer.scaled(transposed(x, layer.weight)))
                continue
            y = layer.scaled(convolved(x, layer.weight, 1))
            if layer.kind == "residual":
                x = layer.held(y + kept.astype(np.int64))
            else:
                kept, x = x, layer.held(y)
        colours = len(x) // 2
        return x[:colours].astype(np.int16), x[colours:].astype(np.uint8)


def convolved(x: Array, weight: Array, stride: int) -> Array:
    """Convolution with zeros around: (I, H, W) by (O, I, k, k) to (O, h, w), float32.

    The margin is (k - 1) // 2 on each side, so that 4 x 4 of stride 2 halves the size.
    """
    size = weight.shape[2]
    margin = (size - 1) // 2
    padded = np.pad(x, ((0, 0), (margin, margin), (margin, margin)))
    windows = np.lib.stride_tricks.sliding_window_view(padded, (size, size), axis=(1, 2))
    windows = windows[:, ::stride, ::stride]  # (I, h, w, k, k)
    height, width = windows.shape[1:3]
    columns = windows.transpose(0, 3, 4, 1, 2).reshape(-1, height * width)
    matrix = weight.reshape(len(weight), -1).astype(np.float32)
    sums: Array = matrix @ columns
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


# --- encoder -------------------------------------------------------------------------


class Encoder:
    """Pictures to codes, in float: which ones they are is told, so that nobody repeats this.

    Args:
        tensors: `encoder.N.weight` and `encoder.N.bias` of layers, of which the last but one
            and the one before it are a residual block and those before have stride 2, and
            `encoder.codes` [G, K, D]. Codes that are not used are far away there.
    """

    def __init__(self, tensors: Mapping[str, Array]) -> None:
        self.codes = tensors["encoder.codes"].astype(np.float32)
        self.layers = list[tuple[Array, Array]]()
        while f"encoder.{len(self.layers)}.weight" in tensors:
            at = f"encoder.{len(self.layers)}"
            weight, bias = tensors[f"{at}.weight"], tensors[f"{at}.bias"]
            self.layers.append((weight.astype(np.float32), bias.astype(np.float32)))

    @property
    def stride(self) -> int:
        """Pixels to a position, each way."""
        return int(2 ** (len(self.layers) - 3))

    def __call__(self, picture: Array) -> Array:
        """Codes uint8[G, h, w] of uint8[H, W, 3]; h and w are H and W by the stride, rounded up."""
        stride = self.stride
        x = np.pad(
            picture,
            [(0, -size % stride) for size in picture.shape[:2]] + [(0, 0)],
            mode="edge",
        )
        z = self._vectors(x.transpose(2, 0, 1).astype(np.float32) / np.float32(127.5) - 1)
        groups, codes, dim = self.codes.shape
        z = z.reshape(groups, dim, -1)
        score = self.codes @ z - (self.codes**2).sum(axis=2, keepdims=True) / 2
        indices: Array = score.argmax(axis=1).astype(np.uint8 if codes <= 256 else np.uint16)
        return indices.reshape(groups, *(size // stride for size in x.shape[:2]))

    def _vectors(self, x: Array) -> Array:
        halvings, (first, second), last = self.layers[:-3], self.layers[-3:-1], self.layers[-1]
        for weight, bias in halvings:
            x = _relu(convolved(x, weight, 2) + bias[:, None, None])
        y = _relu(convolved(x, first[0], 1) + first[1][:, None, None])
        x = x + convolved(y, second[0], 1) + second[1][:, None, None]
        return convolved(x, last[0], 1) + last[1][:, None, None]


def _relu(x: Array) -> Array:
    return np.maximum(x, 0)
