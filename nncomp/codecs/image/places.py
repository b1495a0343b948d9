"""The classes of places, coded by finite-state tables.

    grid = share u8, weights u8 * classes, stream of `coding.tans`

The tables are made of the weights p of the classes, which sum to s: where `share` is a, code k
weighs 16 (32 - a) p, and a s more, in sixteenths, for each code of the state that it equals:
8 for each of two, 16 for the one on the left.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.coding.tans import (
    NONE,
    TWO,
    context_count,
    decode_grid,
    encode_grid,
    grid_contexts,
    normalised,
)
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from nncomp.codecs.image.plates import Array

__all__ = ["pack_places", "unpack_places"]

_SHARES = 32
_TRIED = range(0, _SHARES, 3)


def _counts(weights: Array, share: int, order: int) -> Array:
    """Tables for `coding.tans`, int64[contexts, classes + 1].

    Args:
        weights: int64[classes], 1 to 255.
        share: What codes of the state have of all, in 32nds.
        order: Of the tables.
    """
    classes = len(weights)
    base = 16 * (_SHARES - share) * weights
    if order == NONE:
        return normalised(base[None])
    same = np.zeros((classes + 1, classes), np.int64)
    same[:classes] = np.eye(classes, dtype=np.int64) * share * int(weights.sum())
    if order == TWO:
        both = 8 * (same[:, None] + same[None])
        return normalised((base + both).reshape(context_count(classes, order), classes))
    return normalised(base + 16 * same)


def pack_places(places: Array, classes: int, order: int) -> bytes:
    """The bytes of a grid of classes, uint8[rows, columns]."""
    if classes == 1:
        return b""
    found = np.bincount(places.ravel(), minlength=classes)
    weights = np.maximum((found * 255 + int(found.max()) // 2) // int(found.max()), 1)
    contexts = grid_contexts(places, classes, order)
    tables = []
    for tried in _TRIED if order != NONE else (0,):
        counts = _counts(weights, tried, order)
        bits = np.rint((10 - np.log2(counts[contexts, places])) * 1024).astype(np.int64).sum()
        tables.append((int(bits), tried, counts))
    _, share, counts = min(tables, key=lambda entry: entry[0])
    stream = encode_grid(places, counts, order)
    return bytes([share]) + weights.astype(np.uint8).tobytes() + stream


def unpack_places(data: bytes, shape: tuple[int, int], classes: int, order: int) -> Array:
    """Read what `pack_places` writes.

    Raises:
        CorruptError: There is no such grid.
    """
    if classes == 1:
        if data:
            raise CorruptError("a picture of one class has a grid of classes")
        return np.zeros(shape, np.uint8)
    if len(data) <= classes:
        raise CorruptError("the classes of a picture are cut off")
    weights = np.frombuffer(data[1 : 1 + classes], np.uint8).astype(np.int64)
    if data[0] >= _SHARES or not weights.min():
        raise CorruptError("the classes of a picture are told in a way that there is not")
    return decode_grid(data[1 + classes :], shape, _counts(weights, data[0], order), order)
