"""Finding classes of places and their predictors; what the encoder alone does.

Like Lloyd's method: each class gets the weights of least squares of its blocks, each block
the class that it costs least under. All of it gives the same numbers on every machine: sums
are sums of integers, or of floating point in a fixed order.

Sources: Matsuda, Ozaki, Mori, Itoh, "Lossless coding using variable block-size adaptive
prediction optimized for each image", 2003 (predictors by classes of blocks).
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nncomp.codecs.image.fit_kernels import (
    block_errors,
    moments,
    roughness,
    settle_places,
    solve,
    solve_all,
    trust_moments,
)
from nncomp.codecs.image.model import floor_drop
from nncomp.codecs.image.plates import Array, Shape, blank
from nncomp.codecs.image.predict import Model, predict_plane
from nncomp.codecs.image.taps import error_taps, sample_taps, tap_groups

if TYPE_CHECKING:
    from nncomp.codecs.image.paper import PaperModel

__all__ = ["Effort", "Fitted", "Known", "fit"]

_ONE = 10  # log2 of a weight of one
_LIMIT = (1 << 13) - 1  # of weights
_RIDGE = 64.0
_FLOOR_MAX = (1 << 14) - 1  # without the bits that are 0
_LARGE = 1 << 20  # samples from which not all are needed for weights
_ALIKE = 4.0  # bits
_SETTLING = 2
_FEW_ROUNDS, _FEW_CLASSES = 3, 8  # up to and from which shipped classes are a good beginning
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
        known: Whether shipped classes will do.
        paper: The model of the paper where it is asked for, see `paper`.
        contexts: For pictures that seem drawn, see `drawn`; 0: there are none.
        always: Whether all pictures are tried as if they were.
    """

    classes: int
    log: int
    rounds: int
    step: int
    drop: int
    known: bool = False
    paper: PaperModel | None = None
    contexts: int = 0
    always: bool = False


class Fitted(NamedTuple):
    """What was found.

    Attributes:
        models: Of the planes.
        errors: Plates of their errors.
        predictions: int32[frames * height, width] of each plane, in quarters.
    """

    models: list[Model]
    errors: Array
    predictions: list[Array]


class Known(NamedTuple):
    """Classes that need not be found.

    Attributes:
        weights: int64[classes + 1, n] of each plane.
        trust: int64[m] of each plane.
        floor: int64[classes + 1] of each plane.
        laws: int64[LEVELS] of each plane.
        means: float64[planes, classes], mean errors in quarters.
    """

    weights: list[Array]
    trust: list[Array]
    floor: list[Array]
    laws: list[Array]
    means: Array

    def models(self, places: Array, log: int) -> list[Model]:
        """Models of all planes, with these classes of places."""
        planes = zip(self.weights, self.trust, self.floor, strict=True)
        return [Model(*plane, places, np.array([log])) for plane in planes]


def fit(
    values: Array,
    shape: Shape,
    effort: Effort,
    known: Known | None = None,
    start: Known | None = None,
) -> Fitted:
    """The models of all planes.

    Args:
        values: Plates of samples.
        shape: Theirs.
        effort: What may be done.
        known: Classes that are there already; only places are looked for.
        start: Classes to begin with, where that is worth it.
    """
    if known is not None:
        log = effort.log
        costs = _known_costs(values, shape, effort, known)
        places = _settled(costs, costs.argmin(0).astype(np.uint8), effort)
        models = known.models(places, log)
        errors, predictions = blank(shape), []
        for plane, model in enumerate(models):
            predictions.append(_predict(values, errors, shape, plane, model))
        return Fitted(models, errors, predictions)
    places = _first_places(values, shape, effort, start)
    for number in range(effort.rounds):
        weights = _weights(values, shape, places, effort, effort.step)
        costs = _costs(values, shape, weights, places, effort)
        places = costs.argmin(0).astype(np.uint8)
        if number + 2 >= effort.rounds:
            places = _settled(costs, places, effort)
    _, numbers = np.unique(places, return_inverse=True)
    places = numbers.reshape(places.shape).astype(np.uint8)
    last = 1 if shape.samples < _LARGE else (effort.step + 1) // 2
    weights = _weights(values, shape, places, effort, last)
    return _with_trust(values, shape, places, weights, effort)


def _settled(costs: Array, places: Array, effort: Effort) -> Array:
    """Places with regard to what telling them costs."""
    found = np.bincount(places.ravel(), minlength=len(costs)) + 1.0
    prior = np.rint((np.log2(places.size) - np.log2(found)) * 256) / 256
    costs *= float(effort.step)  # in place: there are many, and nobody needs them after this
    settle_places(costs, prior, _ALIKE, _SETTLING, places)
    return places


def _known_costs(values: Array, shape: Shape, effort: Effort, known: Known) -> Array:
    """What blocks cost under classes that are there already, see `_costs`."""
    places = np.zeros(shape.blocks(effort.log), np.uint8)
    return _costs(values, shape, known.weights, places, effort, known.means)


def _first_places(values: Array, shape: Shape, effort: Effort, start: Known | None) -> Array:
    """Classes of blocks to begin with.

    After one round from shipped classes, pictures are as small as after two to four from
    classes by roughness; after many, it is the other way round.
    """
    worth = effort.rounds <= _FEW_ROUNDS and effort.classes >= _FEW_CLASSES and shape.depth == 8
    if start is not None and worth and effort.classes <= start.means.shape[1]:
        costs = _known_costs(values, shape, effort, start).reshape(start.means.shape[1], -1)
        cheap = np.partition(costs, 1, axis=0)[:2]
        lost = np.bincount(costs.argmin(0), cheap[1] - cheap[0], minlength=len(costs))
        kept = np.sort(np.argsort(-lost, kind="stable")[: effort.classes])
        places: Array = costs[kept].argmin(0).astype(np.uint8)
        return places.reshape(shape.blocks(effort.log))
    return _rough_places(values, shape, effort)


def _rough_places(values: Array, shape: Shape, effort: Effort) -> Array:
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


def _weights(values: Array, shape: Shape, places: Array, effort: Effort, step: int) -> list[Array]:
    """For each plane weights int64[classes + 1, n]."""
    classes = int(places.max()) + 1
    weights = []
    for plane in range(shape.planes):
        taps = sample_taps(shape, plane)
        n = len(taps)
        sums = np.zeros((classes + 1, n + 1, n + 1), np.int64)
        work: Array = np.zeros((n + 1, 1 << 2 * effort.log), _wide(shape))
        moments(
            values, shape.numbers(), plane, np.append(taps, 0), places, effort.log, step, work, sums
        )
        weights.append(_least_squares(sums, effort.drop))
    return weights


def _least_squares(sums: Array, drop: int) -> Array:
    """The weights of classes by their sums, int64[classes, n]."""
    n = sums.shape[1] - 1
    matrices = sums[:, :n, :n].astype(np.float64)
    rights = sums[:, :n, n].astype(np.float64)
    # Weights of classes with few samples are drawn to those of all samples.
    every, common = np.add.reduce(matrices)[None], np.zeros((1, n))
    every[:, np.arange(n), np.arange(n)] += 1.0
    solve_all(every, np.add.reduce(rights)[None], common)
    matrices[:, np.arange(n), np.arange(n)] += _RIDGE
    rights += _RIDGE * common
    exact = np.zeros(rights.shape)
    solve_all(matrices, rights, exact)
    scaled = np.clip(exact * (1 << _ONE), -_LIMIT, _LIMIT) / (1 << drop)
    whole = np.rint(scaled)
    for start, stop in tap_groups(n):
        # What rounding did to the sum, the weights that were rounded the most undo.
        off = (whole - scaled)[:, start:stop]
        rest = np.rint(-np.cumsum(off, axis=1)[:, -1:])
        rank = np.argsort(np.argsort(off * np.sign(rest), axis=1, kind="stable"), axis=1)
        whole[:, start:stop] += np.where(rank < np.abs(rest), np.sign(rest), 0.0)
    return whole.astype(np.int64) << drop


def _costs(
    values: Array,
    shape: Shape,
    weights: list[Array],
    places: Array,
    effort: Effort,
    means: Array | None = None,
) -> Array:
    """What blocks cost under classes, in bits: float64[classes, rows, columns].

    `means` are the mean errors of classes, float64[planes, classes]; by default those now.
    """
    classes = len(weights[0]) - 1
    costs = np.zeros((classes, *places.shape))
    line: Array = np.zeros((2, shape.width), _wide(shape))
    for plane in range(shape.planes):
        errors = np.zeros(costs.shape, np.int64)
        counts = np.zeros(places.shape, np.int64)
        taps = sample_taps(shape, plane)
        w = weights[plane].astype(np.int32)
        log, step = effort.log, effort.step
        numbers = shape.numbers()
        block_errors(values, numbers, plane, taps, w, log, step, line, errors, counts)
        for c in range(classes):
            if means is None:
                own = places == c
                mean = (int(errors[c][own].sum()) + 1) / (int(counts[own].sum()) + 1) + 0.4
            else:
                mean = float(means[plane, c])
            costs[c] += errors[c] * (_NATS / mean)
            costs[c] += counts * (np.rint(np.log2(mean) * 256) / 256)
    return costs


def _with_trust(
    values: Array, shape: Shape, places: Array, weights: list[Array], effort: Effort
) -> Fitted:
    """Models with weights of errors around; needs the errors of planes before."""
    fitted = Fitted([], blank(shape), [])
    for plane in range(shape.planes):
        no_trust = np.zeros(len(error_taps(shape, plane)), np.int64)
        no_floor = np.zeros(len(weights[plane]), np.int64)
        model = Model(weights[plane], no_trust, no_floor, places, np.array([effort.log]))
        fitted.predictions.append(_predict(values, fitted.errors, shape, plane, model))
        step = 2 * effort.step
        fitted.models.append(_trusting(fitted.errors, shape, plane, model, step))
    return fitted


def _predict(values: Array, errors: Array, shape: Shape, plane: int, model: Model) -> Array:
    """Predictions of a plane, int32[rows, width], and its errors."""
    predictions = np.empty((shape.frames * shape.height, shape.width), np.int32)
    predict_plane(values, errors, shape.numbers(), plane, model, predictions)
    return predictions


def _trusting(errors: Array, shape: Shape, plane: int, model: Model, step: int) -> Model:
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
        step,
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
    drop = floor_drop(shape.depth)
    floor = np.clip(floor >> drop, -_FLOOR_MAX, _FLOOR_MAX) << drop
    return model._replace(trust=trust, floor=floor)
