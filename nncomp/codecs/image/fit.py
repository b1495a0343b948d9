"""Finding classes of places and their predictors; what the encoder alone does.

Like Lloyd's method: each class gets the weights of least squares of its blocks, each block
the class that it costs least under. All of it gives the same numbers on every machine: sums
are sums of integers, or of floating point in a fixed order.

Sources: Matsuda, Ozaki, Mori, Itoh, "Lossless coding using variable block-size adaptive
prediction optimized for each image", 2003 (predictors by classes of blocks).
"""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np

from nncomp.codecs.image.fit_kernels import (
    block_errors,
    moments,
    roughness,
    solve,
    trust_moments,
)
from nncomp.codecs.image.kernels import Model, level_table, look_plane
from nncomp.codecs.image.plates import Array, Shape, blank
from nncomp.codecs.image.taps import error_taps, sample_taps, tap_groups

__all__ = ["Effort", "fit"]

_ONE = 10  # log2 of a weight of one
_LIMIT = (1 << 13) - 1  # of weights
_RIDGE = 4.0
_NATS = 1.4426950408889634  # bits


@dataclass(frozen=True)
class Effort:
    """How much is tried.

    Attributes:
        classes: At most.
        log: log2 of the size of blocks.
        rounds: Of choosing classes and weights.
        step: Only every so many rows are looked at, but for the last weights.
        drop: Bits of weights that are 0.
    """

    classes: int
    log: int
    rounds: int
    step: int
    drop: int


def fit(values: Array, shape: Shape, effort: Effort) -> list[Model]:
    """The models of all planes.

    Args:
        values: Plates of samples.
        shape: Theirs.
        effort: What may be done.
    """
    places = _first_places(values, shape, effort)
    for _ in range(effort.rounds):
        weights = _weights(values, shape, places, effort, effort.step)
        places = _costs(values, shape, weights, places, effort).argmin(0).astype(np.uint8)
    _, numbers = np.unique(places, return_inverse=True)
    places = numbers.reshape(places.shape).astype(np.uint8)
    weights = _weights(values, shape, places, effort, 1)
    return _with_trust(values, shape, places, weights, effort)


def _first_places(values: Array, shape: Shape, effort: Effort) -> Array:
    """Blocks by how rough they are, in classes of one size."""
    rough = np.zeros(shape.blocks(effort.log), np.int64)
    roughness(values, shape.numbers(), effort.log, rough)
    order = np.argsort(rough, axis=None, kind="stable")
    places = np.empty(rough.size, np.uint8)
    places[order] = np.arange(rough.size) * effort.classes // rough.size
    return places.reshape(rough.shape)


def _wide(shape: Shape) -> type:
    """What sums of a row fit in."""
    return np.int32 if shape.depth <= 8 else np.int64


def _weights(
    values: Array, shape: Shape, places: Array, effort: Effort, step: int
) -> list[Array]:
    """For each plane weights int64[classes + 1, n]."""
    classes = int(places.max()) + 1
    weights = []
    for plane in range(shape.planes):
        taps = sample_taps(shape, plane)
        n = len(taps)
        sums = np.zeros((classes + 1, n + 1, n + 1), np.int64)
        work = np.zeros((n + 1, 1 << 2 * effort.log), _wide(shape))
        moments(values, shape.numbers(), plane, np.append(taps, 0), places, effort.log, step, work, sums)
        weights.append(np.stack([_least_squares(of_class, effort) for of_class in sums]))
    return weights


def _least_squares(sums: Array, effort: Effort) -> Array:
    """The weights of a class, int64[n]."""
    n = len(sums) - 1
    matrix = sums[:n, :n].astype(np.float64)
    matrix[np.arange(n), np.arange(n)] += _RIDGE
    right = sums[:n, n].astype(np.float64)
    right[0] += _RIDGE
    exact = np.zeros(n)
    solve(matrix, right, exact)
    unit = 1 << effort.drop
    scaled = np.clip(exact * (1 << _ONE), -_LIMIT, _LIMIT) / unit
    whole = np.rint(scaled)
    for start, stop in tap_groups(n):
        # What rounding did to the sum, the weights that were rounded the most undo.
        rest = int(np.rint(np.cumsum(scaled[start:stop])[-1] - whole[start:stop].sum()))
        off = (whole - scaled)[start:stop] * np.sign(rest)
        whole[start + np.argsort(off, kind="stable")[: abs(rest)]] += np.sign(rest)
    return whole.astype(np.int64) * unit


def _costs(
    values: Array, shape: Shape, weights: list[Array], places: Array, effort: Effort
) -> Array:
    """What blocks cost under classes, in bits: float64[classes, rows, columns]."""
    classes = len(weights[0]) - 1
    costs = np.zeros((classes, *places.shape))
    line = np.zeros((2, shape.width), _wide(shape))
    for plane in range(shape.planes):
        errors = np.zeros(costs.shape, np.int64)
        counts = np.zeros(places.shape, np.int64)
        taps = sample_taps(shape, plane)
        w = weights[plane].astype(np.int32)
        log, step = effort.log, effort.step
        numbers = shape.numbers()
        block_errors(values, numbers, plane, taps, w, log, step, line, errors, counts)
        for c in range(classes):
            own = places == c
            mean = (int(errors[c][own].sum()) + 1) / (int(counts[own].sum()) + 1) + 0.4
            costs[c] += errors[c] * (_NATS / mean)
            costs[c] += counts * (np.rint(np.log2(mean) * 256) / 256)
    return costs


def _with_trust(
    values: Array, shape: Shape, places: Array, weights: list[Array], effort: Effort
) -> list[Model]:
    """Models with weights of errors around; needs the errors of planes before."""
    errors = blank(shape)
    levels = level_table()
    models = []
    for plane in range(shape.planes):
        count = len(error_taps(shape, plane))
        no_trust = np.zeros(count, np.int64)
        no_floor = np.zeros(len(weights[plane]), np.int64)
        model = Model(weights[plane], no_trust, no_floor, places, np.array([effort.log]))
        look(values, errors, shape, plane, model, levels)
        models.append(_trusting(errors, shape, plane, model))
    return models


def look(
    values: Array, errors: Array, shape: Shape, plane: int, model: Model, levels: Array
) -> tuple[Array, Array]:
    """Contexts and residuals of a plane, see `look_plane`."""
    size = shape.frames * shape.height, shape.width
    contexts, residuals = np.empty(size, np.uint16), np.empty(size, np.int32)
    look_plane(values, errors, shape.numbers(), plane, model, levels, contexts, residuals)
    return contexts, residuals


def _trusting(errors: Array, shape: Shape, plane: int, model: Model) -> Model:
    """The model with trust and floors: the best linear guess of the size of errors."""
    around = error_taps(shape, plane)
    m, classes = len(around), len(model.floor)
    sums = np.zeros((classes, m + 2, m + 2))
    trust_moments(
        errors,
        shape.numbers(),
        plane,
        around,
        model.places,
        int(model.log[0]),
        2,
        sums,
    )
    within = np.zeros((m + 2, m + 2))
    for of_class in sums:
        if of_class[m, m] > 0:
            within += of_class - np.outer(of_class[m], of_class[m]) / of_class[m, m]
    matrix = within[:m, :m].copy()
    matrix[np.arange(m), np.arange(m)] += 1.0
    exact = np.zeros(m)
    solve(matrix, np.ascontiguousarray(within[:m, m + 1]), exact)
    trust = np.clip(np.rint(exact * (1 << _ONE)), -_LIMIT, _LIMIT).astype(np.int64)
    floor = np.zeros(classes, np.int64)
    for c, of_class in enumerate(sums):
        total = of_class[m, m]
        if total > 0:
            known = 0.0
            for i in range(m):
                known += of_class[m, i] * float(trust[i])
            floor[c] = round((of_class[m, m + 1] * (1 << _ONE) - known) / total)
    floor = np.clip(floor, -(1 << 24), 1 << 24) >> 7 << 7
    return model._replace(trust=trust, floor=floor)
