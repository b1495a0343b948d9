"""Integers out of trained weights: what decodes exactly, and what an encoder needs besides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nncomp.models.fsar import LOG_SCALE_UNIT, LOG_SCALES, MEAN_UNIT, Fsar
from nncomp.models.fsar_integer import ACTIVATION_MAX, MEAN_PHASES, PRIOR_BITS

if TYPE_CHECKING:
    from collections.abc import Sequence

__all__ = ["counts_of", "decoder_tensors", "encoder_tensors", "prior_counts"]

Array: TypeAlias = NDArray[Any]

_WIDTHS_PER_OCTAVE = 8  # of numbers of deviations, of which number 0 is 1/16
_FAR = 100.0  # where codes that are not used are put, from zero


# --- prior ---------------------------------------------------------------------------


def prior_counts(model: Fsar) -> Array:
    """The prior as tables, uint16[G, states, K + 1], see `fsar_integer`."""
    p = model.prior.table(model.quantiser).double().cpu().numpy()
    return counts_of(p)


def counts_of(p: Array) -> Array:
    """Probabilities [..., K] as counts uint16[..., K + 1], of which the last is the escape.

    What is below half a count becomes 0 and shares the escape.
    """
    total = 1 << PRIOR_BITS
    counts = np.rint(p * (total - 1)).astype(np.int64)
    lost = np.where(counts == 0, p, 0).sum(axis=-1, keepdims=True)
    escape = np.maximum(np.rint(lost * total).astype(np.int64), 1)
    counts = np.concatenate([counts, escape], axis=-1)
    # What rounding left over goes to the likeliest code, which it changes the least.
    rest = total - counts.sum(axis=-1, keepdims=True)
    best = counts[..., :-1].argmax(axis=-1)[..., None]
    np.put_along_axis(counts, best, np.take_along_axis(counts, best, -1) + rest, axis=-1)
    return counts.astype(np.uint16)


# --- encoder -------------------------------------------------------------------------


def encoder_tensors(model: Fsar) -> dict[str, Array]:
    """Weights for `fsar_integer.Encoder`, float16: what it finds is told to the decoder.

    The scaling of the last layer's outputs, by the mean and the deviation that were seen in
    training, is folded into its weights.
    """
    *convolutions, last = _convolutions(model.encoder)
    norm = model.scaling
    deviation = np.sqrt(_numpy(norm.get_buffer("running_var")) + norm.eps)
    layers = [(_numpy(m.weight), _bias(m)) for m in convolutions]
    weight = _numpy(last.weight) / deviation[:, None, None, None]
    layers.append((weight, -_numpy(norm.get_buffer("running_mean")) / deviation))
    tensors = dict[str, Array]()
    for number, (weight, bias) in enumerate(layers):
        tensors[f"encoder.{number}.weight"] = weight.astype(np.float16)
        tensors[f"encoder.{number}.bias"] = bias.astype(np.float16)
    codes = _numpy(model.quantiser.codes).copy()
    codes[~_used(model)] = _FAR
    tensors["encoder.codes"] = codes.astype(np.float16)
    return tensors


def _used(model: Fsar) -> Array:
    """Which codes entmax has left, bool[G, K]."""
    return _numpy(model.quantiser.log_usage()) > -100


def _convolutions(part: nn.Module) -> list[nn.Conv2d]:
    return [m for m in part.modules() if isinstance(m, (nn.Conv2d, nn.ConvTranspose2d))]  # type: ignore[misc]


def _bias(layer: nn.Conv2d) -> Array:
    return np.zeros(layer.out_channels) if layer.bias is None else _numpy(layer.bias)


def _numpy(x: Tensor) -> Array:
    found: Array = x.detach().float().cpu().numpy()
    return found


# --- decoder -------------------------------------------------------------------------


def decoder_tensors(model: Fsar, pictures: Sequence[Array]) -> dict[str, Array]:
    """The decoder for `fsar_integer.Decoder`.

    Args:
        model: Trained.
        pictures: uint8[H, W, 3], by which the ranges of activations are chosen.
    """
    codes = _numpy(model.quantiser.codes)
    codes = np.where(_used(model)[..., None], codes, 0)
    unit = float(np.abs(codes).max()) / ACTIVATION_MAX
    tensors = {"decoder.codes": np.rint(codes / unit).astype(np.int8)}
    first, inner, second, *ups = _convolutions(model.decoder)
    ranges = _ranges(model, pictures)
    units = [r / ACTIVATION_MAX for r in ranges]
    # The second layer of the residual block is added to what the first layer gave.
    plan = [("conv", first, units[0]), ("conv", inner, units[1]), ("residual", second, units[0])]
    plan += [("up", up, units[2 + i]) for i, up in enumerate(ups[:-1])]
    for number, (kind, layer, after) in enumerate(plan):
        scale = np.full(layer.out_channels, after)
        low = np.zeros(layer.out_channels)
        tensors |= _layer(number, kind, layer, unit, scale, (low, low + ACTIVATION_MAX))
        unit = after
    tensors |= _last(len(plan), ups[-1], unit)
    return tensors


def _last(number: int, layer: nn.Conv2d, unit: float) -> dict[str, Array]:
    """The layer that gives means, in quarters, and numbers of deviations."""
    colours = layer.out_channels // 2
    octave = _WIDTHS_PER_OCTAVE / math.log(2)
    least, most = (octave * s + 4 * _WIDTHS_PER_OCTAVE for s in LOG_SCALES)
    ones = np.ones(colours)
    scale = np.concatenate([ones / (MEAN_UNIT * MEAN_PHASES), ones / (LOG_SCALE_UNIT * octave)])
    extra = np.concatenate(
        [ones * 127.5 / MEAN_UNIT, ones * (3 + 4 * math.log(2)) / LOG_SCALE_UNIT]
    )
    low = np.concatenate([ones * 0, ones * round(least)])
    high = np.concatenate([ones * 255 * MEAN_PHASES, ones * round(most)])
    return _layer(number, "up", layer, unit, scale, (low, high), extra)


def _layer(
    number: int,
    kind: str,
    layer: nn.Conv2d,
    unit: float,
    after: Array,
    bounds: tuple[Array, Array],
    extra: Array | float = 0.0,
) -> dict[str, Array]:
    """One layer in integers.

    Args:
        number: Its place.
        kind: See `fsar_integer.Layer`.
        layer: With float weights.
        unit: What 1 of its inputs means.
        after: What 1 of each output is to mean.
        bounds: Of each output.
        extra: Added to its bias.
    """
    weight = _numpy(layer.weight).astype(np.float64)
    by_output = weight.swapaxes(0, 1) if kind == "up" else weight
    grain = np.maximum(np.abs(by_output).reshape(len(by_output), -1).max(axis=1), 1e-8)
    grain = grain / ACTIVATION_MAX
    whole = np.rint(by_output / grain[:, None, None, None]).astype(np.int8)
    ratio = unit * grain / after
    shift = np.clip(14 - np.floor(np.log2(ratio)), 1, 31)
    fields = {
        "kind": np.array([("conv", "residual", "up").index(kind)], np.uint8),
        "weight": whole.swapaxes(0, 1) if kind == "up" else whole,
        "bias": np.rint((_bias(layer) + extra) / (unit * grain)).astype(np.int32),
        "multiplier": np.clip(np.rint(ratio * 2**shift), 1, 1 << 15).astype(np.int32),
        "shift": shift.astype(np.int8),
        "low": bounds[0].astype(np.int32),
        "high": bounds[1].astype(np.int32),
    }
    return {f"decoder.{number}.{name}": value for name, value in fields.items()}


@torch.no_grad()
def _ranges(model: Fsar, pictures: Sequence[Array]) -> list[float]:
    """What activations hardly ever exceed, in the order of their layers.

    The first is of the first layer and of the residual block, the second of what is within it.
    """
    seen = dict[int, float]()
    modules = [m for m in model.decoder.modules() if isinstance(m, nn.ReLU)]

    def watch(module: nn.Module, _: Any, output: Tensor) -> None:
        most = float(torch.quantile(output.flatten()[:1_000_000], 0.9999))
        seen[id(module)] = max(most, seen.get(id(module), 1e-3))

    hooks = [m.register_forward_hook(watch) for m in modules]
    stride = model.config.stride
    for picture in pictures:
        height, width = (size // stride * stride for size in picture.shape[:2])
        x = torch.from_numpy(picture[:height, :width].copy()).permute(2, 0, 1)[None].float()
        choice = nn.functional.one_hot(model.indices(x), model.config.codes).movedim(-1, 2)
        model.decode(model.quantiser.look_up(choice.float()))
    for hook in hooks:
        hook.remove()
    first, inner, block, *rest = (seen[id(m)] for m in modules)
    return [max(first, block), inner, *rest]
