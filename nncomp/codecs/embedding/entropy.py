"""Codes and bit patterns to bytes, by the coding layer of the project.

    planes of bytes, the lowest first, each by a coder of the tensor codec (huffman, lz4, zstd,
    ans): for what is kept exactly, and for codes where that is asked for or smaller
    groups of alike codes (`contexts`), each by rANS with a table of its own: for codes

A group whose codes differ by more than 255, or need no table as fine as that, keeps their low
bits as they are: where a distribution is smooth, nothing is gained by modelling them.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.embedding.contexts import (
    CLASSES,
    COLUMNS_MAX,
    SCALES,
    UNIT,
    Contexts,
    choose_contexts,
    log_table,
)
from nncomp.codecs.tensor.arrays import UNSIGNED
from nncomp.codecs.tensor.layouts import Layout, join_planes, plane_sizes, split_planes
from nncomp.codecs.tensor.planes import decode_plane, unpack_bitmap
from nncomp.coding.varint import pack_varint, unpack_varint
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.base import Buffer
    from nncomp.codecs.embedding.arrays import Array, Ops
    from nncomp.codecs.embedding.machine import Machine
    from nncomp.codecs.tensor.cursor import Cursor

__all__ = ["decode_groups", "decode_planes", "encode_groups", "encode_planes"]

_SYMBOLS = 256
_SHIFT_MAX = 24
_TRIES = 5  # shifts above the least
_SAMPLE = 1 << 12  # codes of a group that are looked at for its shift


def encode_planes(elements: Array, layout: Layout, backend: str, machine: Machine) -> list[Buffer]:
    """Planes of unsigned integers, in buffers to be joined.

    Args:
        elements: Contiguous, of the layout's width.
        layout: Of the family PLAIN or ROTATED.
        backend: "huffman", "ans", "zstd" or "lz4".
        machine: What computes.
    """
    if not len(elements):
        return []
    coder = machine.coder(backend)
    repeats = backend in ("zstd", "lz4")
    planes = split_planes(layout, elements, machine.planes) or []
    return [part for plane in planes for part in coder.encode(plane, repeats=repeats)]


def decode_planes(source: Cursor, count: int, layout: Layout, machine: Machine) -> Array:
    """The inverse of `encode_planes`.

    Raises:
        CorruptError: There are no such planes.
        Exception: Of a library that decodes them.
    """
    out = np.empty(count, UNSIGNED[layout.width])
    if count:
        planes = [decode_plane(source, size, machine.planes) for size in plane_sizes(layout, count)]
        join_planes(layout, planes, out, machine.planes)
    return out


# --- groups ------------------------------------------------------------------------------


def encode_groups(codes: Array, base: int, machine: Machine) -> list[Buffer]:
    """Groups of alike codes: contexts; heads; varint: size, symbols by rANS; low bits.

    Args:
        codes: int32[rows, columns], not empty.
        base: No code is below it.
        machine: What computes.
    """
    contexts = choose_contexts(codes, machine.functions)
    if contexts is None:
        flat = (codes.reshape(-1) - np.int32(base)).view(np.uint32)
        sizes = np.array([len(flat)])
    else:
        flat = machine.functions.gather(codes, base, contexts)
        sizes = contexts.sizes
    symbols = np.empty(len(flat), np.uint8)
    heads = _encode_contexts(contexts, machine)
    bits: list[Buffer] = []
    for some in _slices(sizes):
        low = int(flat[some].min())
        group = flat[some] - np.uint32(low)
        shift = _choose_shift(group, low, machine.functions)
        symbols[some] = group >> np.uint32(shift)
        heads.append(pack_varint(low) + bytes([shift]))
        if shift:
            bits.append(machine.functions.pack_bits(group, shift).data)
    coded = machine.functions.encode_symbols(symbols, sizes)
    return [*heads, pack_varint(len(coded)), coded, *bits]


def decode_groups(source: Cursor, shape: tuple[int, int], machine: Machine) -> Array:
    """The inverse of `encode_groups`: codes less their base, uint32, one dimension.

    Raises:
        CorruptError: There are no such groups.
    """
    contexts = _decode_contexts(source, shape, machine)
    sizes = np.array([shape[0] * shape[1]]) if contexts is None else contexts.sizes
    heads = [_decode_head(source) for _ in _slices(sizes)]
    symbols = machine.functions.decode_symbols(source.take(unpack_varint(source)), sizes)
    sized = [shift for _, shift in heads]
    bits = (np.empty if all(sized) else np.zeros)(len(symbols) if any(sized) else 0, np.uint32)
    lows, shifts = np.zeros(len(sizes), np.uint32), np.zeros(len(sizes), np.uint32)
    there = np.flatnonzero(sizes)
    for k, some, (low, shift) in zip(there, _slices(sizes), heads, strict=True):
        lows[k], shifts[k] = low, shift
        if shift:
            packed = np.frombuffer(source.take(-(-shift * int(sizes[k]) // 8)), np.uint8)
            if shift * int(sizes[k]) % 8 and packed[-1] >> shift * int(sizes[k]) % 8:
                raise CorruptError("low bits of codes go on behind the last code")
            machine.functions.unpack_bits(packed, shift, bits[some])
    if contexts is None:
        codes = symbols.astype(np.uint32)
        codes <<= shifts[0]
        codes += lows[0]
        if len(bits):
            codes += bits
        return codes
    out = np.empty(shape, np.uint32)
    machine.functions.scatter(symbols, bits, lows, shifts, contexts, out)
    return out.reshape(-1)


def _slices(sizes: Array) -> Iterator[slice]:
    """Where the groups are that are not empty."""
    stop = 0
    for size in sizes.tolist():
        stop += size
        if size:
            yield slice(stop - size, stop)


def _decode_head(source: Cursor) -> tuple[int, int]:
    """The least code of a group, and how many low bits are kept apart."""
    low = unpack_varint(source)
    shift = source.take(1)[0]
    if shift > _SHIFT_MAX or low + (_SYMBOLS << shift) > 1 << 32:
        raise CorruptError("a group of codes has codes above 32 bits")
    return low, shift


def _encode_contexts(contexts: Contexts | None, machine: Machine) -> list[Buffer]:
    """varint: size, classes of rows and of columns by rANS; steps of the map. 0: no contexts."""
    if contexts is None:
        return [bytes([0])]
    classes = np.concatenate([contexts.rows, contexts.columns])
    sizes = np.array([len(contexts.rows), len(contexts.columns)])
    coded = machine.functions.encode_symbols(classes, sizes)
    steps = np.packbits(np.diff(contexts.map), bitorder="little")
    return [pack_varint(len(coded)), coded, steps.data]


def _decode_contexts(source: Cursor, shape: tuple[int, int], machine: Machine) -> Contexts | None:
    size = unpack_varint(source)
    if not size:
        return None
    if shape[1] > COLUMNS_MAX:
        raise CorruptError("a table of so many columns has contexts")
    classes = machine.functions.decode_symbols(source.take(size), np.array(shape))
    packed = np.frombuffer(source.take(-(-(SCALES - 1) // 8)), np.uint8)
    steps = unpack_bitmap(packed, SCALES - 1)
    if int(classes.max()) >= CLASSES:
        raise CorruptError("a row or a column of a table has a class that does not exist")
    map_ = np.zeros(SCALES, np.uint8)
    np.cumsum(steps, out=map_[1:])
    rows, columns = classes[: shape[0]], classes[shape[0] :]
    return Contexts(rows, columns, map_, machine.functions.context_sizes(rows, columns, map_))


def _choose_shift(codes: Array, low: int, functions: Ops) -> int:
    """How many low bits of codes to keep apart, by what a sample would take.

    Args:
        codes: Of a group, less the least of them.
        low: The least; no symbol may stand for a code that has more than 32 bits.
        functions: What computes.
    """
    least = max(0, int(codes.max()).bit_length() - 8)
    most = min(_SHIFT_MAX, (((1 << 32) - low) // _SYMBOLS).bit_length() - 1)
    sample = codes[:: len(codes) // _SAMPLE + 1]
    counts = np.zeros((_TRIES, _SYMBOLS), np.int64)
    counts[0] = np.bincount(sample >> np.uint32(least), minlength=_SYMBOLS)
    for more in range(1, _TRIES):
        counts[more, : _SYMBOLS // 2] = counts[more - 1, ::2] + counts[more - 1, 1::2]
    bits = UNIT * len(sample) * np.arange(_TRIES)
    costs = functions.costs(counts, log_table()) + bits
    return least + int(np.argmin(costs[: most - least + 1]))
