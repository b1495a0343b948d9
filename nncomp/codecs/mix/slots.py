"""The slot table: what is known of each context, found by hash.

The table is uint32[16 * buckets]. A bucket of 64 bytes, one cache line, serves one
context for half a byte:

    word 0        bits 0..15 check, odd in use; 16..23 newest byte; 24..31 its run
    word 1..15    slots of the bits, by the bits of the half so far, with a leading 1:
                  bits 0..7 bit history; 8..15 count; 16..31 probability, XOR 0x8000

so that a bucket of zeros is one that knows nothing. The check tells contexts apart that
hash to the same place: a wrong one passes once in 32768. A context that is not found
takes the place of the one least used among three neighbours. Newest byte and run are
kept in the bucket of a byte's first half alone.
"""

from __future__ import annotations

from typing import Any

from numpy.typing import NDArray

from nncomp.coding.jit import bare_inline as inline

__all__ = ["BUCKET", "find", "hashed", "note_run"]

Array = NDArray[Any]

BUCKET = 16
"""Words in a bucket."""

_K1 = 0x2545F4914F6CDD1D
_K2 = 0x5851F42D4C957F2D


@inline
def hashed(a: int, b: int) -> int:
    """Two integers to 63 bits."""
    h = (a + 0x1000193) * _K1 + (b + 0x9E3779B9) * _K2
    h = (h ^ (h >> 29 & 0x7FFFFFFFF)) * _K1
    return (h ^ (h >> 31 & 0x1FFFFFFFF)) & 0x7FFFFFFFFFFFFFFF


@inline
def find(table: Array, mask: int, h: int) -> int:
    """The first word of the bucket of the context with this hash; a new one if need be."""
    check = (h >> 44 & 0xFFFF) | 1
    bucket = h & mask
    a = bucket * BUCKET
    if table[a] & 0xFFFF == check:
        return a
    b = (bucket ^ 1) * BUCKET
    if table[b] & 0xFFFF == check:
        return b
    c = (bucket ^ 2) * BUCKET
    if table[c] & 0xFFFF == check:
        return c
    best, least = a, table[a + 1] & 0xFFFF
    if table[b + 1] & 0xFFFF < least:
        best, least = b, table[b + 1] & 0xFFFF
    if table[c + 1] & 0xFFFF < least:
        best = c
    for i in range(best, best + BUCKET):
        table[i] = 0
    table[best] = check
    return best


@inline
def note_run(table: Array, bucket: int, byte: int) -> None:
    """Keep the newest byte of a context, and how often it came in a row."""
    word = int(table[bucket])
    run = word >> 24
    if run and word >> 16 & 0xFF == byte:
        table[bucket] = (word & 0xFFFFFF) | min(run + 1, 255) << 24
    else:
        table[bucket] = (word & 0xFFFF) | byte << 16 | 1 << 24
