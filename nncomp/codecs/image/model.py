"""The models of a picture's planes, as they are stored; see FORMAT.md."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

import numpy as np

from nncomp.codecs.image.laws import SCALES, SHAPES, fitting_laws, tokens
from nncomp.codecs.image.predict import LEVELS, Model
from nncomp.codecs.image.stream import Reader, Writer, table_coder
from nncomp.codecs.image.taps import tap_count
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.image.plates import Array, Shape
    from nncomp.coding.varint import Text

__all__ = ["Head", "Table", "floor_drop", "pack_laws", "pack_trust", "table_of", "unpack_laws"]

_DROP_MAX = 6
_DEPTH = 16  # of the numbers of tables


class Table(NamedTuple):
    """What is told of classes: a row for each weight and floor, a column for each class.

    Attributes:
        numbers: int64[rows, classes + 1].
        middle: int64[rows], what the rows are coded around.
        laws: int64[rows], of the differences to it.
        drop: Bits of weights that are 0.
    """

    numbers: Array
    middle: Array
    laws: Array
    drop: int

    def push(self, writer: Writer) -> None:
        """Code the numbers."""
        rest = (self.numbers - self.middle[:, None]).astype(np.int32)
        contexts = np.broadcast_to(np.arange(len(rest), dtype=np.uint16)[:, None], rest.shape)
        coder = table_coder(self.laws, _DEPTH)
        writer.push(np.ascontiguousarray(contexts), rest, coder, _DEPTH)

    def head(self) -> bytes:
        """All but the numbers."""
        return b"".join(
            [
                bytes([self.drop]),
                self.middle.astype("<i2").tobytes(),
                self.laws.astype("<u2").tobytes(),
            ]
        )


def floor_drop(depth: int) -> int:
    """Bits of floors that are 0."""
    return max(7, depth - 1)


def table_of(models: list[Model], drop: int, depth: int) -> Table:
    """The table of these models."""
    rows = []
    for model in models:
        rows += [model.weights.T >> drop, model.floor[None] >> floor_drop(depth)]
    numbers = np.concatenate(rows)
    middle = np.sort(numbers, axis=1)[:, numbers.shape[1] // 2]
    rest = numbers - middle[:, None]
    _, _, of = tokens(_DEPTH)
    count = len(tokens(_DEPTH).plain)
    own = of[rest + (1 << _DEPTH - 1)].astype(np.int64) + np.arange(len(rest))[:, None] * count
    counts = np.bincount(own.ravel(), minlength=len(rest) * count).reshape(-1, count)
    return Table(numbers, middle, fitting_laws(counts, _DEPTH), drop)


class Head(NamedTuple):
    """What stands before the words: of the table, and weights of errors."""

    drop: int
    middle: Array
    laws: Array
    trust: list[Array]

    @classmethod
    def read(cls, text: Text, planes: int) -> Head:
        """Read what `Table.head` and `pack_trust` write."""
        drop = text.take(1)[0]
        rows = sum(tap_count(plane)[0] + 1 for plane in range(planes))
        middle = np.frombuffer(text.take(2 * rows), "<i2").astype(np.int64)
        laws = np.frombuffer(text.take(2 * rows), "<u2").astype(np.int64)
        if drop > _DROP_MAX or laws.max() >= SHAPES * SCALES:
            raise CorruptError("the weights of a picture are told in a way that there is not")
        sizes = [2 * tap_count(plane)[1] for plane in range(planes)]
        trust = [np.frombuffer(text.take(size), "<i2").astype(np.int64) for size in sizes]
        return cls(drop, middle, laws, trust)

    def models(
        self, reader: Reader, shape: Shape, places: Array, log: int, classes: int
    ) -> list[Model]:
        """Take the numbers of the table from the words."""
        numbers = reader.table((len(self.laws), classes + 1), table_coder(self.laws, _DEPTH))
        numbers += self.middle[:, None]
        models, at = [], 0
        for plane, trust in enumerate(self.trust):
            n = tap_count(plane)[0]
            weights = np.ascontiguousarray(numbers[at : at + n].T) << self.drop
            floor = numbers[at + n] << floor_drop(shape.depth)
            models.append(Model(weights, trust, floor, places, np.array([log])))
            at += n + 1
        return models


def pack_trust(models: list[Model]) -> bytes:
    """Weights of errors, i16 each."""
    return b"".join(model.trust.astype("<i2").tobytes() for model in models)


def pack_laws(laws: Array, used: Array) -> bytes:
    """The laws of a plane by level: the first level that has one, how many, u16 each.

    Args:
        laws: int64[LEVELS].
        used: bool[LEVELS], which are needed.
    """
    levels = np.flatnonzero(used)
    if not len(levels):
        return b"\0\0"
    first, last = int(levels[0]), int(levels[-1])
    told = laws[first : last + 1].copy()
    for k in range(1, len(told)):  # what is not needed is as before
        if not used[first + k]:
            told[k] = told[k - 1]
    return bytes([first, len(told)]) + told.astype("<u2").tobytes()


def unpack_laws(text: Text) -> Array:
    """Read what `pack_laws` writes, int64[LEVELS]."""
    first, count = text.take(2)
    laws = np.zeros(LEVELS, np.int64)
    told = np.frombuffer(text.take(2 * count), "<u2")
    if first + count > LEVELS or (count and told.max() >= SHAPES * SCALES):
        raise CorruptError("a law of residuals is one that there is not", offset=text.offset)
    laws[first : first + count] = told
    return laws
