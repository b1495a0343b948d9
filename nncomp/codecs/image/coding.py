"""A picture as bytes, and back."""

from __future__ import annotations

import numpy as np

from nncomp.codecs.image.fit import Effort, Fitted, fit
from nncomp.codecs.image.kernels import LEVELS, judge_plane, level_table
from nncomp.codecs.image.laws import PHASES, fitting_laws, tokens
from nncomp.codecs.image.model import (
    Head,
    pack_laws,
    pack_trust,
    table_of,
    unpack_laws,
)
from nncomp.codecs.image.places import pack_places, unpack_places
from nncomp.codecs.image.plates import Array, Shape, join_plates, make_plates
from nncomp.codecs.image.stream import Reader, Writer, plane_coder
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

__all__ = ["decode_picture", "encode_picture"]

_LOG_MAX = 6


def encode_picture(samples: Array, shape: Shape, effort: Effort, order: int) -> bytes:
    """The bytes of a picture.

    Args:
        samples: uint8 or uint16 [planes, frames, height, width].
        shape: Its shape.
        effort: What may be tried.
        order: How many codes around a class its code depends on.
    """
    values = make_plates(samples, shape)
    fitted = fit(values, shape, effort)
    models, places = fitted.models, fitted.models[0].places
    classes = len(models[0].floor) - 1
    judged = [_judge(values, fitted, shape, plane) for plane in range(shape.planes)]
    laws = [_laws(*planes, shape.depth) for planes in judged]
    table = table_of(models, effort.drop)
    writer = Writer(shape.count + table.numbers.size)
    for (contexts, residuals), (numbers, _) in zip(judged[::-1], laws[::-1], strict=True):
        writer.push(contexts, residuals, plane_coder(numbers, shape.depth), shape.depth)
    table.push(writer)
    grid = pack_places(places, classes, order)
    head = [bytes([int(models[0].log[0]), classes - 1, order]), pack_varint(len(grid)), grid]
    head += [table.head(), pack_trust(models), *(pack_laws(*law) for law in laws)]
    return b"".join([*head, writer.finish()])


def _judge(values: Array, fitted: Fitted, shape: Shape, plane: int) -> tuple[Array, Array]:
    """Contexts and residuals of a plane, see `judge_plane`."""
    size = shape.frames * shape.height, shape.width
    contexts, residuals = np.empty(size, np.uint16), np.empty(size, np.int32)
    judge_plane(
        values,
        fitted.errors,
        shape.numbers(),
        plane,
        fitted.models[plane],
        level_table(),
        fitted.predictions[plane],
        contexts,
        residuals,
    )
    return contexts, residuals


def _laws(contexts: Array, residuals: Array, depth: int) -> tuple[Array, Array]:
    """The laws of a plane by level, and which levels there are."""
    of, count = tokens(depth).of, len(tokens(depth).plain)
    own = of[residuals + (1 << depth - 1)].astype(np.int64) + contexts.astype(np.int64) * count
    counts = np.bincount(own.ravel(), minlength=LEVELS * PHASES * count)
    counts = counts.reshape(LEVELS, PHASES * count)
    return fitting_laws(counts, depth), counts.sum(1) > 0


def decode_picture(payload: memoryview, shape: Shape) -> Array:
    """The samples of a picture, uint8 or uint16 [planes, frames, height, width].

    Raises:
        CorruptError: There is no such picture.
    """
    text = Text(bytes(payload), 0)
    log, classes, order = text.take(3)
    classes += 1
    if log > _LOG_MAX or order > 2:
        raise CorruptError("a picture has classes of a kind that there is not")
    grid = text.take(unpack_varint(text))
    places = unpack_places(grid, shape.blocks(log), classes, order)
    if places.max() >= classes:
        raise CorruptError("a picture has a class that there is not")
    told = Head.read(text, shape.planes)
    laws = [unpack_laws(text) for _ in range(shape.planes)]
    reader = Reader(payload[text.offset :])
    models = told.models(reader, shape, places, log, classes)
    coders = [plane_coder(numbers, shape.depth) for numbers in laws]
    values = reader.planes(shape, models, coders)
    reader.end()
    return join_plates(values, shape)
