"""Whether tensors are a model that `fsar_integer` computes: layers, shapes, ranges, sizes.

Files of weights come from anywhere. What is checked here keeps all of it exact, within bounds
of memory, and free of errors from below: the layers are those that `training.export` makes, of
sizes that `train-image` offers.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple, TypeAlias

import numpy as np
from numpy.typing import NDArray

from nncomp.models.fsar_integer import (
    ACTIVATION_MAX,
    DEVIATIONS,
    KINDS,
    MEAN_PHASES,
    PRIOR_BITS,
    Layer,
    Network,
)

if TYPE_CHECKING:
    from collections.abc import Mapping

__all__ = [
    "CODES_MAX",
    "GROUPS_MAX",
    "SCORES_MAX",
    "STATES_MAX",
    "STRIDES",
    "WIDTH_MAX",
    "Sizes",
    "check_sizes",
    "checked",
]

Array: TypeAlias = NDArray[Any]

STRIDES = (2, 4, 8)
"""Pixels to a code, each way."""
GROUPS_MAX = 4
CODES_MAX = 256
WIDTH_MAX = 64
"""Of layers: for wider ones float32 is not exact."""
SCORES_MAX = 512
"""Groups times codes: what the encoder gives at each position."""
STATES_MAX = 1 << 13
"""Of a prior: each takes 5 KB of tables while codes are decoded."""

_COLOURS = 3
_NEIGHBOURS_MAX = 2
_MULTIPLIER_MAX = 1 << 15
_SHIFT_MAX = 31
_SCORE_MAX = 1 << 24  # whole numbers in float32
_FIELDS = {"bias": "i4", "multiplier": "i4", "shift": "i1", "low": "i4", "high": "i4"}


class Sizes(NamedTuple):
    """Of a model.

    Attributes:
        stride: Pixels to a code, each way.
        groups: Codes of a position.
        codes: Of which each is one.
        neighbours: How many are the state of a code: 0, 1 (left), 2 (above and left).
    """

    stride: int
    groups: int
    codes: int
    neighbours: int


def check_sizes(groups: int, codes: int, neighbours: int) -> None:
    """Refuse what would take too much memory.

    Raises:
        ValueError: With what would do.
    """
    if groups * codes > SCORES_MAX:
        raise ValueError(
            f"{groups} groups of {codes} codes are more than {SCORES_MAX} codes in all"
        )
    states = (codes + 1) ** neighbours
    if states > STATES_MAX:
        most = int(STATES_MAX ** (1 / neighbours)) - 1
        raise ValueError(
            f"{codes} codes with a state of {neighbours} neighbours have {states} states, more "
            f"than {STATES_MAX}; {most} codes would do"
        )


def checked(tensors: Mapping[str, Array]) -> Sizes:
    """The sizes of a model, once all of it was found right.

    Args:
        tensors: As `training.export` makes them.

    Raises:
        ValueError: It is no model, and why.
    """
    try:
        vectors, counts = tensors["decoder.codes"], tensors["prior.counts"]
        groups, codes, dim = _of(vectors, "decoder.codes", "i1", 3)
        if not (1 <= groups <= GROUPS_MAX and 2 <= codes <= CODES_MAX):
            raise ValueError(f"it has {groups} groups of {codes} codes")
        if not _is(tensors, "encoder.groups", groups):
            raise ValueError("encoder and decoder have other groups")
        neighbours = _prior(counts, groups, codes)
        halvings = sum(f"encoder.{n}.kind" in tensors for n in range(2 + STRIDES[-1])) - 3
        if halvings < 1 or 1 << halvings not in STRIDES:
            raise ValueError("its encoder has another number of layers")
        down = ["down"] * halvings
        up = ["up"] * halvings
        encoder = _layers(tensors, "encoder", [*down, "conv", "residual", "conv"])
        decoder = _layers(tensors, "decoder", ["conv", "conv", "residual", *up])
    except KeyError as error:
        raise ValueError(f"it has no {error.args[0]}") from error
    _chain(encoder, "encoder", _COLOURS, groups * codes)
    _chain(decoder, "decoder", groups * dim, 2 * _COLOURS)
    _last(encoder[-1], "encoder", [-_SCORE_MAX], [_SCORE_MAX])
    means = [255 * MEAN_PHASES] * _COLOURS
    _last(decoder[-1], "decoder", [0], [*means, *[DEVIATIONS - 1] * _COLOURS])
    for name in ("encoder", "decoder"):
        Network(tensors, name)  # whether its sums are exact
    return Sizes(1 << halvings, groups, codes, neighbours)


def _of(array: Array, name: str, dtype: str, axes: int) -> tuple[int, ...]:
    """The shape of an array of such a type."""
    if array.dtype != np.dtype(dtype) or array.ndim != axes or not array.size:
        raise ValueError(f"{name} is {array.dtype}{list(array.shape)}")
    return array.shape


def _is(tensors: Mapping[str, Array], name: str, value: int) -> bool:
    """Whether a tensor has this number alone."""
    return _of(tensors[name], name, "u1", 1) == (1,) and tensors[name][0] == value


def _prior(counts: Array, groups: int, codes: int) -> int:
    """How many neighbours the tables are for."""
    of_groups, states, entries = _of(counts, "prior.counts", "u2", 3)
    fitting = [n for n in range(_NEIGHBOURS_MAX + 1) if (codes + 1) ** n == states]
    if of_groups != groups or entries != codes + 1 or not fitting:
        raise ValueError(f"prior.counts are {list(counts.shape)} for {groups} x {codes} codes")
    check_sizes(groups, codes, fitting[0])
    if (counts.sum(axis=2, dtype=np.int64) != 1 << PRIOR_BITS).any() or not counts[..., -1].all():
        raise ValueError("prior.counts are no tables")
    return fitting[0]


def _layers(tensors: Mapping[str, Array], name: str, kinds: list[str]) -> list[Layer]:
    """The layers of a network, which must be of these kinds."""
    found = []
    for number, kind in enumerate(kinds):
        at = f"{name}.{number}"
        if not _is(tensors, f"{at}.kind", KINDS.index(kind)):
            raise ValueError(f"{at} is not of kind {kind}")
        layer = Layer(kind, *(tensors[f"{at}.{field}"] for field in Layer._fields[1:]))
        _check_layer(layer, at)
        found.append(layer)
    if f"{name}.{len(kinds)}.kind" in tensors:
        raise ValueError(f"{name} has more layers than {len(kinds)}")
    return found


def _check_layer(layer: Layer, at: str) -> None:
    """Types, shapes and ranges of one."""
    shape = _of(layer.weight, f"{at}.weight", "i1", 4)
    outputs = shape[1] if layer.kind == "up" else shape[0]
    sides = (4,) if layer.kind in ("up", "down") else (1, 3)
    if shape[2] != shape[3] or shape[2] not in sides or layer.weight.min() < -ACTIVATION_MAX:
        raise ValueError(f"{at}.weight is {list(shape)} from {layer.weight.min()}")
    for field, dtype in _FIELDS.items():
        if _of(getattr(layer, field), f"{at}.{field}", dtype, 1) != (outputs,):
            raise ValueError(f"{at}.{field} is not for {outputs} outputs")
    ranges = (
        1 <= layer.multiplier.min() <= layer.multiplier.max() <= _MULTIPLIER_MAX,
        1 <= layer.shift.min() <= layer.shift.max() <= _SHIFT_MAX,
        (layer.low <= layer.high).all(),
    )
    if not all(ranges):
        raise ValueError(f"{at} has numbers out of range")


def _chain(layers: list[Layer], name: str, inputs: int, outputs: int) -> None:
    """Whether each layer takes what the one before gives, and within its bounds."""
    sizes = [inputs]
    for number, layer in enumerate(layers):
        last = number + 1 == len(layers)
        into, out = layer.weight.shape[:2] if layer.kind == "up" else layer.weight.shape[1::-1]
        if into != sizes[-1] or (layer.kind == "residual" and out != sizes[-2]):
            raise ValueError(f"{name}.{number} takes {into} inputs, of {sizes[-1]}")
        if not last:
            bounded = -ACTIVATION_MAX - 1 <= layer.low.min() <= layer.high.max() <= ACTIVATION_MAX
            if out > WIDTH_MAX or not bounded:
                raise ValueError(f"{name}.{number} gives {out} outputs, or larger ones")
        sizes.append(out)
    if sizes[-1] != outputs:
        raise ValueError(f"{name} gives {sizes[-1]} outputs instead of {outputs}")


def _last(layer: Layer, name: str, least: list[int], most: list[int]) -> None:
    """Whether what a network gives is within bounds."""
    if (layer.low < np.array(least)).any() or (layer.high > np.array(most)).any():
        raise ValueError(f"{name} gives numbers that are out of range")
