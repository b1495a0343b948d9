"""Integers out of trained weights: what decodes exactly, and what an encoder needs besides."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor, nn

from nncomp.models.fsar import LOG_SCALE_UNIT, LOG_SCALES, MEAN_UNIT, Fsar
from nncomp.models.fsar_integer import ACTIVATION_MAX, KINDS, MEAN_PHASES, PRIOR_BITS
from nncomp.training.pictures import model_input

if TYPE_CHECKING:
    from collections.abc import Callable, Sequence

__all__ = ["counts_of", "decoder_tensors", "encoder_tensors", "prior_counts"]

Array: TypeAlias = NDArray[Any]

_WIDTHS_PER_OCTAVE = 8  # of numbers of deviations, of which number 0 is 1/16
_FAR = 100.0  # score that codes do not get which are not used, in nats
_SCORE_MAX = 1 << 15  # of scores of codes as whole numbers


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
    rows = counts.reshape(-1, counts.shape[-1])
    for row, rest in zip(rows, total - rows.sum(axis=-1), strict=True):
        best = int(row[:-1].argmax())
        if row[best] + rest > 0:  # the likeliest code, which it changes the least
            row[best] += rest
            continue
        for _ in range(-rest):  # of many codes that are about as likely
            row[row[:-1].argmax()] -= 1
    return rows.reshape(counts.shape).astype(np.uint16)


# --- encoder -------------------------------------------------------------------------


def encoder_tensors(model: Fsar, pictures: Sequence[Array], prefix: str = "") -> dict[str, Array]:
    """The encoder for `fsar_integer.Encoder`.

    Its last layer gives scores of codes: its own weights, its gain and the codes' vectors are
    one matrix.

    Args:
        model: Trained.
        pictures: uint8[H, W, 3], by which the ranges of activations are chosen.
        prefix: Before the names of tensors.
    """
    *layers, last = _convolutions(model.encoder)
    ranges, score = _encoder_ranges(model, pictures)
    units = [r / ACTIVATION_MAX for r in ranges]
    *downs, first, second = layers
    # The residual block is added to what the last halving gave.
    plan = [("down", layer, unit) for layer, unit in zip(downs, units, strict=False)]
    plan += [("conv", first, units[len(downs)]), ("residual", second, units[len(downs) - 1])]
    unit, extra = 1 / 127.5, 0.5  # 0 stands for a sample of 128, which is 0.5 / 127.5
    tensors = {f"{prefix}encoder.groups": np.array([model.config.groups], np.uint8)}
    for number, (kind, layer, after) in enumerate(plan):
        weight, bias = _numpy(layer.weight), _numpy(_bias(layer))
        bias = bias + extra * unit * weight.sum(axis=(1, 2, 3))
        most = np.full(len(bias), ACTIVATION_MAX)
        low = -most if kind == "residual" else 0 * most
        whole = Float(kind, weight, bias, np.full(len(bias), after), low, most)
        tensors |= whole.quantised(f"{prefix}encoder.{number}", unit)
        unit, extra = after, 0.0
    weight, bias = _scores(model, last)
    most = np.full(len(bias), _SCORE_MAX)
    whole = Float("conv", weight, bias, np.full(len(bias), score / _SCORE_MAX), -most, most)
    return tensors | whole.quantised(f"{prefix}encoder.{len(plan)}", unit)


def _scores(model: Fsar, last: nn.Conv2d) -> tuple[Array, Array]:
    """What gives the scores of codes: weight [G K, I, 1, 1] and bias [G K]."""
    config, gain = model.config, float(model.gain.detach())
    matrix = gain * _numpy(last.weight).reshape(config.groups, config.dim, -1)
    shift = gain * _numpy(_bias(last)).reshape(config.groups, -1)
    codes = _numpy(model.quantiser.codes)
    bias = np.einsum("gkd,gd->gk", codes, shift) - (codes**2).sum(axis=2) / 2
    bias = np.where(_used(model), bias, -_FAR)
    weight = codes @ matrix * _used(model)[..., None]
    return weight.reshape(-1, weight.shape[2], 1, 1), bias.ravel()


def _used(model: Fsar) -> Array:
    """Which codes entmax has left, bool[G, K]."""
    return _numpy(model.quantiser.log_usage()) > -_FAR


def _convolutions(part: nn.Module) -> list[nn.Conv2d]:
    found = (nn.Conv2d, nn.ConvTranspose2d)
    return [m for m in part.modules() if isinstance(m, found)]  # type: ignore[misc]  # alike here


def _bias(layer: nn.Conv2d) -> Tensor:
    return torch.zeros(layer.out_channels) if layer.bias is None else layer.bias


def _numpy(x: Tensor) -> Array:
    found: Array = x.detach().double().cpu().numpy()
    return found


@torch.no_grad()
def _encoder_ranges(model: Fsar, pictures: Sequence[Array]) -> tuple[list[float], float]:
    """What activations hardly ever exceed, and scores never.

    Of the layers that halve, the last with the residual block, and of what is within that.
    """
    relus = [m for m in model.encoder.modules() if isinstance(m, nn.ReLU)]
    block = next(m for m in model.encoder if not isinstance(m, (nn.ReLU, nn.Conv2d)))
    with _Watch([*relus, block]) as watch:
        score = max(
            float(model.quantiser.logits(model.encode(x)).clamp(min=-_FAR).abs().max())
            for x in map(model_input, pictures, [model.config.stride] * len(pictures))
        )
    *halvings, inner, whole = watch.most
    return [*halvings[:-1], max(halvings[-1], whole), inner], score


# --- decoder -------------------------------------------------------------------------


def decoder_tensors(model: Fsar, pictures: Sequence[Array], prefix: str = "") -> dict[str, Array]:
    """The decoder for `fsar_integer.Decoder`.

    Args:
        model: Trained.
        pictures: uint8[H, W, 3], by which the ranges of activations are chosen.
        prefix: Before the names of tensors.
    """
    codes = np.where(_used(model)[..., None], _numpy(model.quantiser.codes), 0)
    unit = float(np.abs(codes).max()) / ACTIVATION_MAX
    tensors = {f"{prefix}decoder.codes": np.rint(codes / unit).astype(np.int8)}
    first, inner, second, *ups = _convolutions(model.decoder)
    units = [r / ACTIVATION_MAX for r in _decoder_ranges(model, pictures)]
    # The residual block is added to what the first layer gave.
    plan = [("conv", first, units[0]), ("conv", inner, units[1]), ("residual", second, units[0])]
    plan += [("up", up, after) for up, after in zip(ups[:-1], units[2:], strict=True)]
    for number, (kind, layer, after) in enumerate(plan):
        most = np.full(layer.out_channels, ACTIVATION_MAX)
        scale = np.full(layer.out_channels, after)
        weight, bias = _numpy(layer.weight), _numpy(_bias(layer))
        whole = Float(kind, weight, bias, scale, 0 * most, most)
        tensors |= whole.quantised(f"{prefix}decoder.{number}", unit)
        unit = after
    return tensors | _laws(ups[-1]).quantised(f"{prefix}decoder.{len(plan)}", unit)


def _laws(layer: nn.Conv2d) -> Float:
    """The layer that gives means, in quarters, and numbers of deviations."""
    ones = np.ones(layer.out_channels // 2)
    octave = _WIDTHS_PER_OCTAVE / math.log(2)
    least, most = (round(octave * s + 4 * _WIDTHS_PER_OCTAVE) for s in LOG_SCALES)
    middle = 127.5 / MEAN_UNIT, (3 + 4 * math.log(2)) / LOG_SCALE_UNIT
    scale = 1 / (MEAN_UNIT * MEAN_PHASES), 1 / (LOG_SCALE_UNIT * octave)
    return Float(
        "up",
        _numpy(layer.weight),
        _numpy(_bias(layer)) + np.concatenate([ones * part for part in middle]),
        np.concatenate([ones * part for part in scale]),
        np.concatenate([ones * 0, ones * least]),
        np.concatenate([ones * 255 * MEAN_PHASES, ones * most]),
    )


@torch.no_grad()
def _decoder_ranges(model: Fsar, pictures: Sequence[Array]) -> list[float]:
    """What activations hardly ever exceed.

    Of the first layer and the residual block, within that block, and of layers that double.
    """
    with _Watch([m for m in model.decoder.modules() if isinstance(m, nn.ReLU)]) as watch:
        for picture in pictures:
            indices = model.indices(model_input(picture, model.config.stride))
            choice = nn.functional.one_hot(indices, model.config.codes).movedim(-1, 2)
            model.decode(model.quantiser.look_up(choice.float()))
    first, inner, block, *rest = watch.most
    return [max(first, block), inner, *rest]


# --- layers --------------------------------------------------------------------------


class Float(NamedTuple):
    """A layer before it becomes whole numbers.

    Attributes:
        kind: See `fsar_integer.KINDS`.
        weight: [O, I, k, k]; of "up" [I, O, k, k].
        bias: [O].
        after: [O], what 1 of each output is to mean.
        low, high: [O], bounds of outputs.
    """

    kind: str
    weight: Array
    bias: Array
    after: Array
    low: Array
    high: Array

    def quantised(self, name: str, unit: float) -> dict[str, Array]:
        """The tensors of the layer; 1 of its inputs means `unit`."""
        weight = self.weight.swapaxes(0, 1) if self.kind == "up" else self.weight
        grain = np.abs(weight).reshape(len(weight), -1).max(axis=1) / ACTIVATION_MAX
        grain = np.maximum(grain, grain.max() * 1e-3)
        whole = np.rint(weight / grain[:, None, None, None]).astype(np.int8)
        ratio = unit * grain / self.after
        shift = np.clip(14 - np.floor(np.log2(ratio)), 1, 31)
        fields = {
            "kind": np.array([KINDS.index(self.kind)], np.uint8),
            "weight": whole.swapaxes(0, 1) if self.kind == "up" else whole,
            "bias": np.rint(self.bias / (unit * grain)).astype(np.int32),
            "multiplier": np.clip(np.rint(ratio * 2**shift), 1, 1 << 15).astype(np.int32),
            "shift": shift.astype(np.int8),
            "low": self.low.astype(np.int32),
            "high": self.high.astype(np.int32),
        }
        return {f"{name}.{field}": value for field, value in fields.items()}


class _Watch:
    """Sees what comes out of modules while the block runs.

    Attributes:
        most: Of each, the magnitude that one in ten thousand numbers exceeds.
    """

    def __init__(self, modules: Sequence[nn.Module]) -> None:
        self.most = [1e-3] * len(modules)
        self._hooks = [
            module.register_forward_hook(self._watcher(i)) for i, module in enumerate(modules)
        ]

    def _watcher(self, i: int) -> Callable[[nn.Module, Any, Tensor], None]:
        def watch(module: nn.Module, _: Any, output: Tensor) -> None:
            found = torch.quantile(output.abs().flatten()[:1_000_000], 0.9999)
            self.most[i] = max(self.most[i], float(found))

        return watch

    def __enter__(self) -> _Watch:
        return self

    def __exit__(self, *_: object) -> None:
        for hook in self._hooks:
            hook.remove()
