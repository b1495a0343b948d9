"""What is remembered of the bytes so far, apart from the bytes themselves.

One int64 array for each lane, with the fields named below; all lanes share the memory, and
the bytes, of which the ones not yet coded count as zero.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.slots import hashed
from nncomp.coding.jit import bare_inline as inline

__all__ = ["new_past", "note_byte"]

Array = NDArray[Any]

# What kind of contexts: constant.
KIND = 0
ELEMENT, ROW, PLANE = 1, 2, 3  # distances in bytes: of the element, the row, the plane
CONTEXTS = 4  # how many contexts are in use
# The newest bytes.
AT = 5  # where the next byte stands in the block
C4, C8 = 6, 7  # the newest four, the four before them; newest lowest
# Words and lines.
WORD, WORD1, WORD2 = 8, 9, 10  # hash of the letters so far; of the words before
CLASSES = 11  # classes of the newest bytes, three bits each
LINE, LINE1 = 12, 13  # where this line began, and the one before
FIRST = 14  # first byte of the line
ABOVE = 15  # the byte above, 256 for none
BRACKET = 16  # the bracket opened last and not closed
# Selectors of mixers, set for each byte by its kind's contexts.
SELECT = 17  # three of them, 0 to 255
# Matches, two of each: see `match`.
MATCH_LENGTH, MATCH_AT, MATCH_BYTE = 20, 22, 24
# Numbers: see `numeric`.
RATE = 26
LETTERS = 27  # the newest letters of two bits, newest lowest; see `contexts`
TAG, IN_TAG = 28, 29  # the newest tag's name, and whether it goes on
COLUMN = 30  # of text, 0 to 255
SAMPLE = 32
FIELDS = 128

_TEXT_CLASSES = np.zeros(256, np.int64)
for _bytes, _class in (
    (range(128, 256), 1),
    (b"abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ", 1),
    (b"0123456789", 2),
    (b" ", 3),
    (b"<>[]{}()|=", 4),
    (b".,;:!?", 5),
    (b"&'\"`*", 6),
    (b"-+/\\_#$%@^~\t\r", 7),
):
    for _byte in _bytes:
        _TEXT_CLASSES[_byte] = _class


def new_past(kind: int, element: int, row: int, plane: int, contexts: int, start: int) -> Array:
    """Nothing has been seen yet of a stream that begins at `start`."""
    past = np.zeros(FIELDS, np.int64)
    past[[KIND, ELEMENT, ROW, PLANE, CONTEXTS]] = kind, element, row, plane, contexts
    past[[AT, LINE, LINE1]] = start
    return past


@inline
def note_byte(h: Array, buf: Array, indirect: Array, byte: int) -> None:
    """Remember a byte."""
    c4 = h[C4]
    buf[h[AT]] = byte
    h[AT] += 1
    # What followed the newest byte and the newest two, the last times.
    one = c4 & 0xFF
    two = 256 + (c4 & 0xFFFF)
    indirect[one] = (indirect[one] << 8 | byte) & 0xFFFFFFFF
    indirect[two] = (indirect[two] << 8 | byte) & 0xFFFFFFFF
    h[C8] = (h[C8] << 8 | c4 >> 24) & 0xFFFFFFFF
    h[C4] = (c4 << 8 | byte) & 0xFFFFFFFF
    _note_word(h, byte)
    _note_line(h, buf, byte)


@inline
def _note_word(h: Array, byte: int) -> None:
    kind = _TEXT_CLASSES[byte]
    if kind == 1:
        h[WORD] = hashed(h[WORD], byte | 32 if byte < 128 else byte)
    elif h[WORD]:
        h[WORD2] = h[WORD1]
        h[WORD1] = h[WORD]
        h[WORD] = 0
    _note_tag(h, byte)
    h[CLASSES] = (h[CLASSES] << 3 | kind) & 0xFFFFFFFFFFFF
    if byte == 0x3C or byte == 0x5B or byte == 0x7B or byte == 0x28:  # < [ { (
        h[BRACKET] = byte
    elif byte == 0x3E or byte == 0x5D or byte == 0x7D or byte == 0x29 or byte == 0x0A:
        h[BRACKET] = 0


@inline
def _note_tag(h: Array, byte: int) -> None:
    if byte == 0x3C:  # <
        h[TAG] = h[IN_TAG] = 1
    elif byte == 0x3E or byte == 0x20:
        h[IN_TAG] = 0
    elif h[IN_TAG]:
        h[TAG] = hashed(h[TAG], byte)


@inline
def _note_line(h: Array, buf: Array, byte: int) -> None:
    if byte == 0x0A:
        h[LINE1] = h[LINE]
        h[LINE] = h[AT]
        h[FIRST] = 0
    elif h[AT] - h[LINE] == 1:
        h[FIRST] = byte
    above = h[LINE1] + h[AT] - h[LINE]
    h[ABOVE] = buf[above] if above < h[LINE] else 256
