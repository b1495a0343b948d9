"""Zstandard frames of Huffman-coded literals alone, made by compiled code.

A frame with no sequences is a Huffman coder that every Zstandard decoder decodes: RFC 8878,
sections 3.1.1.3 (compressed blocks) and 4.2 (Huffman coding). Nothing is searched for,
nothing is copied, and no bits go to matches that happen by chance.

    frame without header = block+
    block = u24 (last | type << 1 | size << 3), then for a compressed one:
            literals header, [tree description], sizes of streams 1 to 3, four streams, 00

A stream is written from its last symbol to its first, low bits first, and ends with a 1.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np

from nncomp.coding.huffman_tree import TREE_MAX, put_tree
from nncomp.coding.jit import inline, kernel

if TYPE_CHECKING:
    from numpy.typing import NDArray

    Array: TypeAlias = NDArray[Any]

__all__ = ["encode_literals"]

_BLOCK = 128 << 10  # a block of a frame has no more content
_BITS_MAX = 11  # of a code, as the format limits it for literals
_RAW, _RLE, _COMPRESSED = 0, 1, 2
_TREE, _TREELESS = 2, 3  # types of literals
_TREE_SIZE = 32  # bytes that a tree takes, more or less
_NO_CODE = 1 << 60  # bits that a block takes with a table which lacks a symbol of it
# Per block: its header, that of the literals, the tree, jump table, end; stream ends.
_OVERHEAD = 3 + 5 + TREE_MAX + 6 + 1 + 4 * 8


def encode_literals(plane: Array) -> bytes | None:
    """A frame, without its header, that decodes to `plane`; None if there is none.

    Args:
        plane: uint8, contiguous, not empty.
    """
    if plane.ctypes.data % 8:  # it is counted eight bytes at a time
        plane = plane.copy()
    blocks = -(-len(plane) // _BLOCK)
    out = np.empty(2 * len(plane) + blocks * _OVERHEAD, np.uint8)
    size = _encode_frame(plane, out)
    return out[:size].tobytes() if size else None


@kernel
def _encode_frame(x: Array, out: Array) -> int:
    """Size of the frame in `out`; 0 if a tree cannot be told."""
    words = np.empty(_BLOCK // 32 * _BITS_MAX // 8 + 2, np.uint64)
    counts = np.empty(256, np.int64)
    lengths = np.zeros(256, np.int64)
    before = np.zeros(256, np.int64)  # lengths of the table that the decoder has
    known = False
    at = 0
    for start in range(0, len(x), _BLOCK):
        block = x[start : start + _BLOCK]
        last = start + _BLOCK >= len(x)
        _count(block, counts)
        if counts.max() == len(block):
            at = _block_header(out, at, last, _RLE, len(block))
            out[at] = block[0]
            at += 1
            continue
        _code_lengths(counts, lengths)
        reuse = known and _bits(counts, before) <= _bits(counts, lengths) + 8 * _TREE_SIZE
        if not reuse:
            before[:] = lengths
        size = _literals(block, before, reuse, words, out, at + 3)
        if not size and _bits(counts, lengths) < 8 * len(block):
            return 0
        if 0 < size < len(block):
            _block_header(out, at, last, _COMPRESSED, size)
            at += 3 + size
            known = True
        else:
            at = _block_header(out, at, last, _RAW, len(block))
            out[at : at + len(block)] = block
            at += len(block)
            known = known and reuse
    return at


@inline
def _block_header(out: Array, at: int, last: bool, kind: int, size: int) -> int:
    """Where the block goes on."""
    _put(out, at, 3, int(last) | kind << 1 | size << 3)
    return at + 3


@inline
def _put(out: Array, at: int, size: int, value: int) -> None:
    for i in range(size):
        out[at + i] = np.uint8(value >> 8 * i & 255)


@inline
def _count(x: Array, counts: Array) -> None:
    """How often each symbol is in `x`; eight tables, since one would wait for itself."""
    parts = np.zeros((8, 256), np.uint32)
    a, b, c, d = parts[0], parts[1], parts[2], parts[3]
    e, f, g, h = parts[4], parts[5], parts[6], parts[7]
    one, octet = np.uint32(1), np.uint64(255)
    whole = len(x) // 8 * 8
    for eight in x[:whole].view(np.uint64):
        a[eight & octet] += one
        b[eight >> np.uint64(8) & octet] += one
        c[eight >> np.uint64(16) & octet] += one
        d[eight >> np.uint64(24) & octet] += one
        e[eight >> np.uint64(32) & octet] += one
        f[eight >> np.uint64(40) & octet] += one
        g[eight >> np.uint64(48) & octet] += one
        h[eight >> np.uint64(56)] += one
    for symbol in x[whole:]:
        a[symbol] += one
    for s in range(256):
        counts[s] = a[s] + b[s] + c[s] + d[s] + e[s] + f[s] + g[s] + h[s]


@inline
def _bits(counts: Array, lengths: Array) -> int:
    """Bits that these symbols take with codes of these lengths."""
    total = 0
    for s in range(256):
        if counts[s] and not lengths[s]:
            return _NO_CODE
        total += counts[s] * lengths[s]
    return total


@inline
def _code_lengths(counts: Array, lengths: Array) -> None:
    """The best lengths of at most `_BITS_MAX` bits, by package-merge.

    In each round pairs of what the round before had become packages, which join the
    symbols in order of their weights; a symbol gets a bit for each round in which it is
    among those taken. Source: Larmore and Hirschberg (JACM 37, 1990).
    """
    order = np.argsort(counts)
    used = 0
    while used < 256 and counts[order[255 - used]] > 0:
        used += 1
    leaves = order[256 - used :]
    weights = np.zeros(512, np.int64)
    before = np.zeros(512, np.int64)
    alone = np.zeros((_BITS_MAX, 512), np.bool_)  # whether an item is a symbol
    size = 0
    for level in range(_BITS_MAX):
        weights, before = before, weights
        packages = size // 2
        leaf, package, size = 0, 0, 0
        while leaf < used or package < packages:
            pair = before[2 * package] + before[2 * package + 1]
            if package >= packages or (leaf < used and counts[leaves[leaf]] <= pair):
                weights[size] = counts[leaves[leaf]]
                alone[level, size] = True
                leaf += 1
            else:
                weights[size] = pair
                package += 1
            size += 1
    lengths[:] = 0
    take = 2 * used - 2
    for level in range(_BITS_MAX - 1, -1, -1):
        symbols = 0
        for k in range(take):
            symbols += alone[level, k]
        for k in range(symbols):
            lengths[leaves[k]] += 1
        take = 2 * (take - symbols)


@inline
def _literals(x: Array, lengths: Array, reuse: bool, words: Array, out: Array, at: int) -> int:
    """Write the content of a compressed block; its size, or 0 if the tree cannot be told."""
    start = at
    wide = len(x) >= 1 << 14
    at += 5 if wide else 4
    if not reuse:
        at = put_tree(lengths, out, at)
        if not at:
            return 0
    jump = at
    at += 6
    codes, sizes = _codes(lengths), lengths.astype(np.uint8)
    part = (len(x) + 3) // 4
    for k in range(4):
        size = _stream(x[k * part : min((k + 1) * part, len(x))], codes, sizes, words, out, at)
        if k < 3:
            _put(out, jump + 2 * k, 2, size)
        at += size
    coded = at - start - (5 if wide else 4)
    kind = _TREELESS if reuse else _TREE
    if wide:
        _put(out, start, 5, kind | 3 << 2 | len(x) << 4 | coded << 22)
    else:
        _put(out, start, 4, kind | 2 << 2 | len(x) << 4 | coded << 18)
    out[at] = 0  # no sequences
    return at + 1 - start


@inline
def _codes(lengths: Array) -> Array:
    """The code of each symbol; the longest codes have the lowest values."""
    codes = np.zeros(256, np.uint64)
    ranks = np.zeros(_BITS_MAX + 2, np.int64)
    for s in range(256):
        ranks[lengths[s]] += 1
    value = 0
    for size in range(_BITS_MAX, 0, -1):
        following = value + ranks[size] >> 1
        ranks[size] = value
        value = following
    for s in range(256):
        if lengths[s]:
            codes[s] = ranks[lengths[s]]
            ranks[lengths[s]] += 1
    return codes


@inline
def _stream(x: Array, codes: Array, sizes: Array, words: Array, out: Array, at: int) -> int:
    """Write one stream; its size. Four symbols at a time: at most 44 bits."""
    full = np.uint64(64)
    held = np.uint64(0)
    filled = np.uint64(0)
    count = 0
    i = len(x)
    while i >= 4:
        a, b, c, d = x[i - 1], x[i - 2], x[i - 3], x[i - 4]
        two = sizes[a] + sizes[b]
        pair = codes[a] | codes[b] << sizes[a]
        group = pair | (codes[c] | codes[d] << sizes[c]) << two
        size = two + sizes[c] + sizes[d]
        held |= group << filled
        filled += size
        if filled >= full:
            words[count] = held
            count += 1
            filled -= full
            held = group >> (size - filled)
        i -= 4
    while i > 0:
        i -= 1
        code, size = codes[x[i]], np.uint64(sizes[x[i]])
        held |= code << filled
        filled += size
        if filled >= full:
            words[count] = held
            count += 1
            filled -= full
            held = code >> (size - filled)
    words[count] = held | np.uint64(1) << filled
    size_out = 8 * count + int(filled) // 8 + 1
    octets = words.view(np.uint8)
    target = out[at : at + size_out]
    for k in range(len(target)):
        target[k] = octets[k]
    return size_out
