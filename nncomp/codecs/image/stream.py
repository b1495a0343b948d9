"""The words of a picture: states and laws of its planes, coded and decoded alike.

    stream = states 4 x u32, words u16*; all little-endian

What the decoder takes first, the encoder pushes last: see `kernels`.
"""

from __future__ import annotations

import numpy as np

from nncomp.codecs.image.kernels import (
    AHEAD,
    COARSE,
    FIRST,
    LANES,
    Coder,
    decode_plane,
    decode_table,
    encode_plane,
)
from nncomp.codecs.image.laws import BITS, PHASES, frequencies, tokens
from nncomp.codecs.image.plates import Array, Shape, blank
from nncomp.codecs.image.predict import Model, level_table
from nncomp.errors import CorruptError

__all__ = ["Reader", "Writer", "plane_coder", "table_coder"]

_HEAD = 4 * LANES


def _coder(law: Array, freqs: Array, depth: int) -> Coder:
    """Tables of laws, frequencies int64[laws, tokens]; `law` says which each context has."""
    start = np.zeros((len(freqs), freqs.shape[1] + 1), np.int64)
    np.cumsum(freqs, axis=1, out=start[:, 1:])
    places = np.arange(1 << COARSE) << BITS - COARSE
    coarse = np.stack([np.searchsorted(row, places, "right") - 1 for row in start])
    low, plain, _ = tokens(depth)
    return Coder(law, start, coarse.astype(np.uint8), low, plain)


def plane_coder(numbers: Array, depth: int) -> Coder:
    """The laws of a plane, by level: int64[LEVELS] as `laws.frequencies` counts them."""
    used, which = np.unique(numbers, return_inverse=True)
    law = (which[:, None] * PHASES + np.arange(PHASES)).ravel()
    freqs = frequencies(used, depth)
    return _coder(law.astype(np.uint64), freqs.reshape(-1, freqs.shape[2]), depth)


def table_coder(numbers: Array, depth: int) -> Coder:
    """The laws of rows of a table."""
    freqs = frequencies(numbers, depth)[:, PHASES // 2]
    return _coder(np.arange(len(numbers), dtype=np.uint64), freqs, depth)


class Writer:
    """Codes residuals, the last first.

    Args:
        size: Samples at most, of which each takes two words at most.
    """

    def __init__(self, size: int) -> None:
        self._words = np.empty(2 * size + AHEAD + LANES, np.uint16)
        self._states = np.full(LANES, FIRST, np.int64)
        self._at = len(self._words) - 1

    def push(self, contexts: Array, residuals: Array, coder: Coder, depth: int) -> None:
        """Code uint16[rows, columns] contexts, int32[rows, columns] residuals."""
        self._at = encode_plane(
            contexts,
            residuals,
            1 << depth - 1,
            tokens(depth).of,
            coder,
            self._states,
            self._words,
            self._at,
        )

    def finish(self) -> bytes:
        """The stream."""
        words = self._words[self._at + 1 :]
        return self._states.astype("<u4").tobytes() + words.astype("<u2").tobytes()


class Reader:
    """Decodes residuals, the first first.

    Raises:
        CorruptError: What is read is no stream.
    """

    def __init__(self, data: memoryview) -> None:
        if len(data) < _HEAD or len(data) % 2:
            raise CorruptError("the words of a picture are cut off")
        self._states = np.frombuffer(data[:_HEAD], "<u4").astype(np.int64)
        if self._states.min() < FIRST:
            raise CorruptError("the words of a picture begin with a state out of range")
        words = np.frombuffer(data[_HEAD:], "<u2")
        self._words = np.zeros(len(words) + AHEAD, np.uint16)
        self._words[: len(words)] = words
        self._at = 0

    def table(self, shape: tuple[int, int], coder: Coder) -> Array:
        """A table, int64 of this shape, of which row i has context i."""
        rows = np.arange(shape[0], dtype=np.uint16)[:, None]
        return self.known(np.ascontiguousarray(np.broadcast_to(rows, shape)), coder)

    def known(self, contexts: Array, coder: Coder) -> Array:
        """Numbers whose contexts uint16[rows, columns] are known before, int64."""
        out = np.empty(contexts.shape, np.int64)
        self._checked(decode_table(coder, contexts, self._states, self._words, self._at, out))
        return out

    def planes(self, shape: Shape, models: list[Model], coders: list[Coder]) -> Array:
        """Plates of samples."""
        values, errors = blank(shape), blank(shape)
        levels, numbers = level_table(), shape.numbers()
        lanes = np.zeros((3, LANES), np.int64)
        for plane, (model, coder) in enumerate(zip(models, coders, strict=True)):
            at = decode_plane(
                values,
                errors,
                numbers,
                plane,
                model,
                levels,
                coder,
                self._states,
                self._words,
                self._at,
                lanes,
            )
            self._checked(at)
        return values

    def end(self) -> None:
        """Make sure that all has been read, and that the states are those of the beginning."""
        if self._at != len(self._words) - AHEAD or np.any(self._states != FIRST):
            raise CorruptError("the words of a picture do not end as they began")

    def _checked(self, at: int) -> None:
        if at < 0:
            raise CorruptError("the words of a picture end too early")
        self._at = at
