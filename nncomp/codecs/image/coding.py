"""A picture as bytes, and back."""

from __future__ import annotations

import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.image.drawn import decode_drawn, encode_drawn, is_drawable
from nncomp.codecs.image.fit import Effort, Fitted, Known, fit
from nncomp.codecs.image.known import known_classes
from nncomp.codecs.image.laws import PHASES, fitting_laws, tokens
from nncomp.codecs.image.model import (
    Head,
    pack_laws,
    pack_trust,
    table_of,
    unpack_laws,
)
from nncomp.codecs.image.paper import (
    decode_paper,
    encode_paper,
    is_paper_picture,
    paper_model,
)
from nncomp.codecs.image.places import pack_places, unpack_places
from nncomp.codecs.image.plates import Array, Shape, join_plates, make_plates
from nncomp.codecs.image.predict import LEVELS, judge_plane, level_table
from nncomp.codecs.image.stream import Reader, Writer, plane_coder
from nncomp.coding.tans import TWO
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.weights import Weights

__all__ = ["decode_picture", "encode_picture"]

_LOG_MAX = 6
CLASSES_MAX = 64
_ORDER, _KNOWN, _OWN_LAWS, _KINDS = 3, 4, 8, 16  # of the kind of a picture
_PAPER, _DRAWN = 16, 32  # these kinds alone, behind two zeros
_SMALL = 1 << 16  # samples for which shipped classes are tried
_TINY, _FEW = 1 << 14, (1, 2, 4)  # samples, and bits of one, that may always be drawn
_GLANCE = 8  # of so many rows one is looked at
_HOPELESS = 1.25  # more classes than one save less
_PIECE = 1 << 20  # samples that are counted at a time, in numbers that are wide


def encode_picture(
    samples: Array,
    shape: Shape,
    effort: Effort,
    order: int,
    drawn: bool = False,
    quick: int = sys.maxsize,
) -> bytes:
    """The bytes of a picture.

    Args:
        samples: uint8 or uint16 [planes, frames, height, width].
        shape: Its shape.
        effort: What may be tried.
        order: How many codes around a class its code depends on.
        drawn: Whether it seems drawn rather than photographed.
        quick: Bytes that quick Zstandard takes; what needs more as a photograph is none.
    """
    if effort.paper is not None and is_paper_picture(shape):
        return bytes([0, 0, _PAPER]) + encode_paper(samples, shape, effort.paper)
    values = make_plates(samples, shape)
    known, found = known_classes(shape.planes), list[bytes]()
    drawable = effort.contexts > 0 and is_drawable(shape)
    always = effort.always or shape.samples <= _TINY or shape.depth in _FEW
    if drawable and (drawn or always):
        found += _drawn_picture(samples, shape, effort)
        glance = _own_picture(values, shape, _glance(effort), 0, None) if found else b""
        if found and len(glance) > _HOPELESS * len(found[0]):
            return found[0]
    if known is not None and (effort.known or shape.samples <= _SMALL):
        found += _known_picture(values, shape, effort, order, known)
    if not effort.known or known is None:
        found.append(_own_picture(values, shape, effort, order, known))
    if drawable and not (drawn or always) and len(min(found, key=len)) > quick:
        found += _drawn_picture(samples, shape, effort)
    return min(found, key=len)


def _drawn_picture(samples: Array, shape: Shape, effort: Effort) -> list[bytes]:
    """A picture by the coder that learns; nothing where that takes more than the samples."""
    coded = encode_drawn(samples, shape, effort.contexts)
    return [] if coded is None else [bytes([0, 0, _DRAWN]) + coded]


def _glance(effort: Effort) -> Effort:
    """An effort that tells quickly about how many bytes there will be."""
    return replace(effort, classes=1, log=_LOG_MAX, rounds=1, step=_GLANCE)


def _own_picture(
    values: Array, shape: Shape, effort: Effort, order: int, start: Known | None
) -> bytes:
    """A picture with classes of its own, perhaps found from shipped ones."""
    fitted = fit(values, shape, effort, start=start)
    classes = len(fitted.models[0].floor) - 1
    judged = [_judge(values, fitted, shape, plane) for plane in range(shape.planes)]
    laws = [_laws(*planes, shape.depth) for planes in judged]
    table = table_of(fitted.models, effort.drop, shape.depth)
    writer = Writer(shape.samples + table.numbers.size)
    _push_planes(writer, judged, [numbers for numbers, _ in laws], shape.depth)
    table.push(writer)
    head = _head(fitted, classes, order, 0)
    head += [table.head(), pack_trust(fitted.models), *(pack_laws(*law) for law in laws)]
    return b"".join([*head, writer.finish()])


def _known_picture(
    values: Array, shape: Shape, effort: Effort, order: int, known: Known
) -> Iterator[bytes]:
    """A picture with shipped classes: with shipped laws, and with laws of its own."""
    fitted = fit(values, shape, effort, known)
    judged = [_judge(values, fitted, shape, plane) for plane in range(shape.planes)]
    own = [_laws(*planes, shape.depth) for planes in judged]
    told = b"".join(pack_laws(*law) for law in own)
    kinds = [(_KNOWN | _OWN_LAWS, [numbers for numbers, _ in own], told)]
    if shape.samples <= _SMALL:
        kinds.append((_KNOWN, known.laws, b""))
    for kind, laws, packed in kinds:
        writer = Writer(shape.samples)
        _push_planes(writer, judged, laws, shape.depth)
        head = _head(fitted, len(known.floor[0]) - 1, order, kind)
        yield b"".join([*head, packed, writer.finish()])


def _head(fitted: Fitted, classes: int, order: int, kind: int) -> list[bytes]:
    """What a picture begins with: size of blocks, classes, kind, and the grid of classes."""
    model = fitted.models[0]
    grid = pack_places(model.places, classes, order)
    return [bytes([int(model.log[0]), classes - 1, order | kind]), pack_varint(len(grid)), grid]


def _push_planes(
    writer: Writer, judged: list[tuple[Array, Array]], laws: list[Array], depth: int
) -> None:
    """Code contexts and residuals of all planes."""
    for (contexts, residuals), numbers in zip(judged[::-1], laws[::-1], strict=True):
        writer.push(contexts, residuals, plane_coder(numbers, depth), depth)


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
    counts = np.zeros(LEVELS * PHASES * count, np.int64)
    for start in range(0, contexts.size, _PIECE):
        piece = np.s_[start : start + _PIECE]
        own = contexts.ravel()[piece].astype(np.int64) * count
        own += of[residuals.ravel()[piece] + (1 << depth - 1)]
        counts += np.bincount(own, minlength=len(counts))
    table = counts.reshape(LEVELS, PHASES * count)
    return fitting_laws(table, depth), table.sum(1) > 0


def decode_picture(payload: memoryview, shape: Shape, given: Weights | None = None) -> Array:
    """The samples of a picture, uint8 or uint16 [planes, frames, height, width].

    Args:
        payload: What `encode_picture` gave.
        shape: Of the picture.
        given: Weights for the model of the paper; None: those that are shipped.

    Raises:
        CorruptError: There is no such picture.
        MissingWeightsError: It was made with weights that are not here.
        FileError: The weights given are no such model.
    """
    text = Text(bytes(payload), 0)
    log, classes, kind = text.take(3)
    if (log, classes, kind) == (0, 0, _PAPER):
        if not is_paper_picture(shape):
            raise CorruptError("a picture has a model that is not for pictures of its shape")
        return decode_paper(payload[text.offset :], shape, paper_model(given))
    if (log, classes, kind) == (0, 0, _DRAWN):
        if not is_drawable(shape):
            raise CorruptError("a picture is drawn, but has samples of more than 8 bits")
        return decode_drawn(payload[text.offset :], shape)
    classes, order = classes + 1, kind & _ORDER
    known = known_classes(shape.planes) if kind & _KNOWN else None
    if log > _LOG_MAX or classes > CLASSES_MAX or order > TWO or kind >= _KINDS:
        raise CorruptError("a picture has classes of a kind that there is not")
    if kind & _KNOWN and (known is None or classes != len(known.floor[0]) - 1):
        raise CorruptError("a picture has classes that are not known")
    grid = text.take(unpack_varint(text))
    places = unpack_places(grid, shape.blocks(log), classes, order)
    if places.max() >= classes:
        raise CorruptError("a picture has a class that there is not")
    told = Head.read(text, shape.planes) if known is None else None
    laws = known.laws if known is not None and not kind & _OWN_LAWS else None
    if laws is None:
        laws = [unpack_laws(text) for _ in range(shape.planes)]
    reader = Reader(payload[text.offset :])
    if told is not None:
        models = told.models(reader, shape, places, log, classes)
    elif known is not None:
        models = known.models(places, log)
    coders = [plane_coder(numbers, shape.depth) for numbers in laws]
    values = reader.planes(shape, models, coders)
    reader.end()
    return join_plates(values, shape)
