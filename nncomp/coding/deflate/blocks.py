"""Blocks of a deflate stream: their form as zlib chooses it, and their bits."""

from __future__ import annotations

from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.format import (
    DISTANCE_BASE,
    DISTANCE_BITS,
    DISTANCES,
    DYNAMIC,
    END,
    FIXED,
    FIXED_LENGTHS,
    LENGTH_BASE,
    LENGTH_BITS,
    LENGTH_CODE,
    ORDER,
    STORED,
    SYMBOLS,
    WINDOW,
)
from nncomp.coding.deflate.trees import BITS_MAX, Tree, build_tree, new_tree, set_codes
from nncomp.coding.jit import inline, kernel

__all__ = [
    "WAITING",
    "WRITTEN",
    "Writer",
    "flush",
    "put_block",
    "put_block_as_told",
    "put_head",
    "writer",
]

Array = NDArray[Any]

_LENGTHS_MAX = 7  # bits of the longest code of a length
_AGAIN, _ZEROS, _MANY_ZEROS = 16, 17, 18  # codes of lengths that stand for several
_AGAIN_BITS = np.array([0] * _AGAIN + [2, 3, 7], np.int64)

_SYMBOL_BITS = np.concatenate([np.zeros(END + 1, np.int64), LENGTH_BITS])

# The codes of distances less one, and of every 128th of them.
_NEAR = np.searchsorted(DISTANCE_BASE, np.arange(256) + 1, "right") - 1
_WIDE = np.searchsorted(DISTANCE_BASE, np.arange(0, WINDOW, 128) + 1, "right") - 1

# Fields of the state of a writer: bytes written, bits that wait, how many they are.
WRITTEN, WAITING, _BITS = range(3)


class Writer(NamedTuple):
    """Where bits go, and the codes of the block.

    Attributes:
        out: uint8.
        state: int64, see the fields above.
        literals: Code of literals and lengths.
        distances: Code of distances.
        lengths: Code of the lengths of codes.
        told: int64, the lengths as codes, with their extra bits << 8.
        fixed_literals: Code of literals and lengths in blocks with fixed codes.
        fixed_distances: And of distances.
    """

    out: Array
    state: Array
    literals: Tree
    distances: Tree
    lengths: Tree
    told: Array
    fixed_literals: Tree
    fixed_distances: Tree


def writer(size: int) -> Writer:
    """A writer with room for so many bytes."""
    fixed = new_tree(len(FIXED_LENGTHS))._replace(lengths=FIXED_LENGTHS.copy())
    far = new_tree(DISTANCES)._replace(lengths=np.full(DISTANCES, 5, np.int64))
    for tree in (fixed, far):
        set_codes(tree.lengths, tree.codes)
    return Writer(
        np.zeros(size, np.uint8),
        np.zeros(3, np.int64),
        new_tree(SYMBOLS),
        new_tree(DISTANCES),
        new_tree(len(ORDER)),
        np.zeros(SYMBOLS + DISTANCES, np.int64),
        fixed,
        far,
    )


@kernel
def flush(w: Writer, tokens: Array, content: Array, kept: bool, fixed: bool, last: bool) -> None:
    """Write a block in the form that zlib chooses.

    Args:
        w: Has room for it.
        tokens: int32, of the block, see `format`.
        content: uint8, the bytes they stand for.
        kept: Whether zlib has these bytes still.
        fixed: Whether only fixed codes are wanted.
        last: Whether it is the last block.
    """
    symbols, distances, lengths, told = _make_codes(w, tokens)
    head = 5 + 5 + 4 + 3 * lengths + _cost(w.lengths.counts, w.lengths.lengths, _AGAIN_BITS)
    own = (head + _body(w, w.literals.lengths, w.distances.lengths) + 3 + 7) // 8
    common = (_body(w, w.fixed_literals.lengths, w.fixed_distances.lengths) + 3 + 7) // 8
    least = common if fixed or common <= own else own
    if kept and len(content) + 4 <= least:
        _put(w.out, w.state, last | STORED << 1, 3)
        _store(w.out, w.state, content)
    elif least == common:
        _put(w.out, w.state, last | FIXED << 1, 3)
        _put_tokens(w.out, w.state, tokens, w.fixed_literals, w.fixed_distances)
    else:
        _put(w.out, w.state, last | DYNAMIC << 1, 3)
        _put_head(w, symbols, distances, lengths, told)
        _put_tokens(w.out, w.state, tokens, w.literals, w.distances)
    if last:
        _fill_byte(w.out, w.state)


@kernel
def put_block(w: Writer, tokens: Array, content: Array, form: int, last: bool) -> None:
    """Write a block in a form that is told; a dynamic one with the codes that zlib makes.

    Args:
        w: As for `flush`, and so the next two.
        tokens: int32.
        content: uint8, stored if that is the form.
        form: `STORED`, `FIXED` or `DYNAMIC`.
        last: Whether it is the last block.
    """
    _put(w.out, w.state, last | form << 1, 3)
    if form == STORED:
        _store(w.out, w.state, content)
    elif form == FIXED:
        _put_tokens(w.out, w.state, tokens, w.fixed_literals, w.fixed_distances)
    else:
        put_head(w, tokens)
        _put_tokens(w.out, w.state, tokens, w.literals, w.distances)
    if last:
        _fill_byte(w.out, w.state)


@kernel
def put_block_as_told(w: Writer, tokens: Array, head: Array, size: int, last: bool) -> None:
    """Write a dynamic block with codes that are told.

    Args:
        w: As for `flush`, and so is `tokens`; with the lengths of codes.
        tokens: int32.
        head: uint8, bits that tell the codes.
        size: How many bits.
        last: Whether it is the last block.
    """
    set_codes(w.literals.lengths, w.literals.codes)
    set_codes(w.distances.lengths, w.distances.codes)
    _put(w.out, w.state, last | DYNAMIC << 1, 3)
    for k in range(size):
        _put(w.out, w.state, head[k >> 3] >> (k & 7) & 1, 1)
    _put_tokens(w.out, w.state, tokens, w.literals, w.distances)
    if last:
        _fill_byte(w.out, w.state)


@kernel
def put_head(w: Writer, tokens: Array) -> Any:
    """Write the codes that zlib makes for these tokens; the bits they take."""
    before = 8 * w.state[WRITTEN] + w.state[_BITS]
    symbols, distances, lengths, told = _make_codes(w, tokens)
    _put_head(w, symbols, distances, lengths, told)
    return 8 * w.state[WRITTEN] + w.state[_BITS] - before


@kernel
def _make_codes(w: Writer, tokens: Array) -> tuple[int, int, int, int]:
    """Make codes for these tokens.

    Returns:
        How many symbols and distances have lengths, how many lengths of these have, and how
        many codes tell them.
    """
    _count(w, tokens)
    symbols = 1 + build_tree(w.literals, BITS_MAX)
    distances = 1 + build_tree(w.distances, BITS_MAX)
    told = _tell(w.literals.lengths, symbols, w.told, 0)
    told = _tell(w.distances.lengths, distances, w.told, told)
    w.lengths.counts[:] = 0
    for k in range(told):
        w.lengths.counts[w.told[k] & 255] += 1
    build_tree(w.lengths, _LENGTHS_MAX)
    lengths = len(ORDER)
    while lengths > 4 and w.lengths.lengths[ORDER[lengths - 1]] == 0:
        lengths -= 1
    return symbols, distances, lengths, told


@inline
def _distance_code(distance: int) -> Any:
    return _NEAR[distance - 1] if distance <= 256 else _WIDE[distance - 1 >> 7]


@inline
def _count(w: Writer, tokens: Array) -> None:
    """How often each symbol and each distance is there."""
    literals, distances = w.literals.counts, w.distances.counts
    literals[:] = 0
    distances[:] = 0
    for token in tokens:
        if token < 256:
            literals[token] += 1
        else:
            literals[END + 1 + LENGTH_CODE[token >> 16]] += 1
            distances[_distance_code(token & 0xFFFF)] += 1
    literals[END] = 1


@kernel
def _tell(lengths: Array, symbols: int, told: Array, at: int) -> int:
    """Lengths of codes as codes, runs of them together; where they end."""
    before, following, run = -1, lengths[0], 0
    most, least = (138, 3) if following == 0 else (7, 4)
    for s in range(symbols):
        length = following
        following = lengths[s + 1] if s + 1 < symbols else -1
        run += 1
        if run < most and length == following:
            continue
        again = run >= least
        if again and length and length != before:
            told[at] = length
            at += 1
            run -= 1
        if not again:
            for _ in range(run):
                told[at] = length
                at += 1
        elif length:
            told[at] = _AGAIN | run - 3 << 8
            at += 1
        elif run <= 10:
            told[at] = _ZEROS | run - 3 << 8
            at += 1
        else:
            told[at] = _MANY_ZEROS | run - 11 << 8
            at += 1
        before, run = length, 0
        if following == 0:
            most, least = 138, 3
        elif length == following:
            most, least = 6, 3
        else:
            most, least = 7, 4
    return at


@kernel
def _cost(counts: Array, lengths: Array, more: Array) -> Any:
    """Bits of symbols, so many of each, in codes of these lengths with so many bits more."""
    bits = 0
    for s in range(counts.shape[0]):
        bits += counts[s] * (lengths[s] + more[s])
    return bits


@inline
def _body(w: Writer, literals: Array, distances: Array) -> Any:
    """Bits of the tokens in codes of these lengths."""
    bits = _cost(w.literals.counts, literals, _SYMBOL_BITS)
    return bits + _cost(w.distances.counts, distances, DISTANCE_BITS)


@kernel
def _put(out: Array, s: Array, value: int, bits: int) -> None:
    """Write up to 16 bits, the lowest first, and change the state so."""
    s[WAITING] |= value << s[_BITS]
    s[_BITS] += bits
    while s[_BITS] >= 8:
        out[s[WRITTEN]] = s[WAITING] & 255
        s[WRITTEN] += 1
        s[WAITING] >>= 8
        s[_BITS] -= 8


@inline
def _fill_byte(out: Array, s: Array) -> None:
    """Go on at the next whole byte."""
    if s[_BITS]:
        _put(out, s, 0, 8 - s[_BITS])


@inline
def _store(out: Array, s: Array, content: Array) -> None:
    """Bytes without codes."""
    _fill_byte(out, s)
    size = len(content)
    _put(out, s, size, 16)
    _put(out, s, size ^ 0xFFFF, 16)
    for k in range(size):
        out[s[WRITTEN] + k] = content[k]
    s[WRITTEN] += size


@inline
def _put_head(w: Writer, symbols: int, distances: int, lengths: int, told: int) -> None:
    """The lengths of the codes of a block, and before them the codes for these."""
    _put(w.out, w.state, symbols - 257 | distances - 1 << 5 | lengths - 4 << 10, 14)
    for k in range(lengths):
        _put(w.out, w.state, w.lengths.lengths[ORDER[k]], 3)
    for k in range(told):
        code = w.told[k] & 255
        _put(w.out, w.state, w.lengths.codes[code], w.lengths.lengths[code])
        _put(w.out, w.state, w.told[k] >> 8, _AGAIN_BITS[code])


@kernel
def _put_tokens(out: Array, s: Array, tokens: Array, literals: Tree, distances: Tree) -> None:
    """The tokens of a block and its end; bits are kept in local variables for speed."""
    at, waiting, bits = s[WRITTEN], s[WAITING], s[_BITS]
    for token in tokens:
        if token < 256:
            waiting |= literals.codes[token] << bits
            bits += literals.lengths[token]
        else:
            length, distance = token >> 16, token & 0xFFFF
            code = LENGTH_CODE[length]
            waiting |= literals.codes[END + 1 + code] << bits
            bits += literals.lengths[END + 1 + code]
            waiting |= length - LENGTH_BASE[code] << bits
            bits += LENGTH_BITS[code]
            code = _distance_code(distance)
            waiting |= distances.codes[code] << bits
            bits += distances.lengths[code]
            waiting |= distance - DISTANCE_BASE[code] << bits
            bits += DISTANCE_BITS[code]
        while bits >= 8:
            out[at] = waiting & 255
            at += 1
            waiting >>= 8
            bits -= 8
    s[WRITTEN], s[WAITING], s[_BITS] = at, waiting, bits
    _put(out, s, literals.codes[END], literals.lengths[END])
