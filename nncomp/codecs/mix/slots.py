"""The slot table: what happened in each context, found by hash.

The table is uint8[64 * lines]. A line of 64 bytes, one line of the processor's cache,
holds three slots of 21 bytes. A slot serves one context for half a byte:

    byte 0, 1     check, little endian, odd in use
    byte 2, 3     newest byte and its run (0: none yet), in the slot of a first half alone
    byte 4..18    bit histories, by the bits of the half so far, with a leading 1

so that a slot of zeros is one that knows nothing. The check tells contexts apart that
hash to the same line: a wrong one passes once in 10,000. A context that is not found
takes the place of the one with the shortest history.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nncomp.coding.ahead import prefetch
from nncomp.coding.jit import bare_inline as inline

__all__ = ["HISTORIES", "LINE", "NEWEST", "ask_line", "find", "hashed", "note_run", "scattered"]

Array = NDArray[Any]

LINE = 64
"""Bytes of a line."""

NEWEST = 2
"""Where in a slot the newest byte stands, and its run behind it."""

HISTORIES = 3
"""Where in a slot the histories stand; their numbers begin with 1."""

_SLOT = 21

_K1 = 0x2545F4914F6CDD1D
_K2 = 0x5851F42D4C957F2D


@inline
def hashed(a: int, b: int) -> int:
    """Two integers to 63 bits."""
    return scattered((a + 0x1000193) * _K1 + (b + 0x9E3779B9) * _K2)


@inline
def scattered(h: int) -> int:
    """A sum of products to 63 bits, of which all depend on all of it."""
    h = (h ^ (h >> 29 & 0x7FFFFFFFF)) * _K1
    return (h ^ (h >> 31 & 0x1FFFFFFFF)) & 0x7FFFFFFFFFFFFFFF


@inline
def ask_line(table: Array, h: int) -> None:
    """Ask for the line of the context with this hash, ahead of `find`."""
    prefetch(table, (h & (table.shape[0] // LINE - 1)) * LINE)


@inline
def find(table: Array, h: int) -> int:
    """Where the slot of the context with this hash begins; a new one if need be."""
    low, high = h >> 44 & 0xFF | 1, h >> 52 & 0xFF
    a: int = (h & (table.shape[0] // LINE - 1)) * LINE
    if table[a] == low and table[a + 1] == high:
        return a
    b = a + _SLOT
    if table[b] == low and table[b + 1] == high:
        return b
    c = b + _SLOT
    if table[c] == low and table[c + 1] == high:
        return c
    best, least = a, table[a + HISTORIES + 1]
    if table[b + HISTORIES + 1] < least:
        best, least = b, table[b + HISTORIES + 1]
    if table[c + HISTORIES + 1] < least:
        best = c
    for i in range(best + 2, best + HISTORIES + 16):
        table[i] = 0
    table[best] = low
    table[best + 1] = high
    return best


@inline
def note_run(table: Array, slot: int, byte: int) -> None:
    """Keep the newest byte of a context, and how often it came in a row."""
    run = table[slot + NEWEST + 1]
    if run and table[slot + NEWEST] == byte:
        table[slot + NEWEST + 1] = min(run + 1, 255)
    else:
        table[slot + NEWEST] = byte
        table[slot + NEWEST + 1] = 1
