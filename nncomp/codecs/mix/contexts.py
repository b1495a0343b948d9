"""Contexts of text, and of records of bytes."""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nncomp.codecs.mix.past import (
    ABOVE,
    AT,
    BRACKET,
    C4,
    C8,
    CLASSES,
    COLUMN,
    ELEMENT,
    FIRST,
    LETTERS,
    LINE,
    ROW,
    SELECT,
    TAG,
    WORD,
    WORD1,
    WORD2,
)
from nncomp.codecs.mix.slots import hashed
from nncomp.coding.jit import bare_inline as inline

__all__ = ["byte_back", "letter_contexts", "record_contexts", "text_contexts"]

Array = NDArray[Any]


@inline
def byte_back(h: Array, buf: Array, back: int) -> int:
    """The byte so many places back; 0 before the start."""
    at = h[AT] - back
    return int(buf[at]) if at >= 0 else 0


@inline
def text_contexts(h: Array, buf: Array, indirect: Array, ctx: Array) -> None:
    """Orders, words, columns, tags: 18 contexts, the most useful first."""
    c4, c8 = h[C4], h[C8]
    c1 = c4 & 0xFF
    h[COLUMN] = min(h[AT] - h[LINE], 255)
    ctx[0] = c1
    ctx[1] = c4 & 0xFFFF
    ctx[2] = c4 & 0xFFFFFF
    ctx[3] = c4
    ctx[4] = hashed(h[WORD], c1)
    ctx[5] = hashed(h[WORD], h[WORD1])
    ctx[6] = hashed(h[CLASSES] & 0xFFFFFFFF, c1)
    ctx[7] = hashed(h[COLUMN] | h[ABOVE] << 8, h[CLASSES] & 0x1FF)
    ctx[8] = hashed(c4, c8 & 0xFFFF)
    ctx[9] = hashed(indirect[c1] & 0xFFFF, c1)
    ctx[10] = c4 & 0xFFFF00
    ctx[11] = hashed(h[BRACKET] | h[FIRST] << 8, c4 & 0xFFFF)
    ctx[12] = hashed(h[WORD], h[FIRST] | c1 << 8)
    ctx[13] = c4 & 0xF0F0FF
    ctx[14] = hashed(h[WORD], h[WORD2])
    ctx[15] = hashed(h[COLUMN], c1)
    ctx[16] = hashed(h[TAG], h[WORD])
    ctx[17] = h[CLASSES] & 0xFFFFFFFFFFFF
    h[SELECT] = h[CLASSES] & 0xFF
    h[SELECT + 1] = c1
    h[SELECT + 2] = c4 >> 8 & 0xFF


@inline
def letter_contexts(h: Array, ctx: Array) -> None:
    """Orders up to 24 of letters that two bits tell apart, as in DNA: 13 contexts."""
    letters = (h[LETTERS] << 2 | h[C4] >> 1 & 3) & 0xFFFFFFFFFFFF
    h[LETTERS] = letters
    for i, order in enumerate((2, 3, 4, 6, 8, 11, 12, 14, 16, 18, 20, 24, 9)):
        ctx[i] = letters & (1 << 2 * order) - 1
    h[SELECT] = letters & 0xFF
    h[SELECT + 1] = h[C4] & 0xFF
    h[SELECT + 2] = letters >> 4 & 0xFF


@inline
def record_contexts(h: Array, buf: Array, indirect: Array, ctx: Array) -> None:
    """Orders, and bytes one element and one row back: 24 contexts."""
    c4, c8 = h[C4], h[C8]
    c1 = c4 & 0xFF
    element, row = h[ELEMENT], h[ROW]
    phase = h[AT] % element
    column = h[AT] % row
    left, left2 = byte_back(h, buf, element), byte_back(h, buf, 2 * element)
    up, up2 = byte_back(h, buf, row), byte_back(h, buf, 2 * row)
    corner = byte_back(h, buf, row + 1)
    right = byte_back(h, buf, row - 1)
    inner = c4 & ((1 << 8 * min(phase, 4)) - 1) | phase << 32  # this element so far
    ctx[0] = phase
    ctx[1] = c1
    ctx[2] = c4 & 0xFFFF
    ctx[3] = c4 & 0xFFFFFF
    ctx[4] = c4
    ctx[5] = hashed(c4, c8 & 0xFFFF)
    ctx[6] = hashed(h[WORD], c1)
    ctx[7] = c4 & 0xFF00
    ctx[8] = c4 & 0xFFFF00
    ctx[9] = hashed(left | left2 << 8, phase)
    ctx[10] = hashed(indirect[c1] & 0xFFFF, c1)
    ctx[11] = hashed(indirect[256 + (c4 & 0xFFFF)] & 0xFFFFFF, c1)
    ctx[12] = hashed(up, column)
    ctx[13] = hashed(up | c1 << 8, phase)
    ctx[14] = hashed(up | up2 << 8, phase)
    ctx[15] = hashed(up | corner << 8 | right << 16, c4 & 0xFF)
    ctx[16] = hashed(up | corner << 8 | right << 16 | up2 << 24, c4 & 0xFFFF)
    ctx[17] = hashed(left | left2 << 8, inner)
    ctx[18] = hashed(left, inner)
    ctx[19] = hashed(inner, phase)
    ctx[20] = hashed(left | c1 << 8, phase)
    ctx[21] = hashed(column, c1)
    ctx[22] = hashed(up + left - byte_back(h, buf, row + element) & 0xFFFF, inner)
    ctx[23] = hashed(up | left << 8 | c1 << 16, phase)
    h[SELECT] = phase << 4 | (min(column, 15) if element == 1 else left >> 4)
    h[SELECT + 1] = c1
    h[SELECT + 2] = up
