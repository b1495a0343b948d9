"""Bytes through the predictor and the binary coder, both ways in one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.layout import KINDS, LEAN, Layout, arranged, restored
from nncomp.codecs.mix.lean import code_lean, lean
from nncomp.codecs.mix.network import note_network
from nncomp.codecs.mix.past import AT
from nncomp.codecs.mix.predictor import (
    LANE,
    Predictor,
    begin_byte,
    end_byte,
    predict,
    predictor,
    update,
)
from nncomp.codecs.mix.tally import Note, Stream, Tally, new_tally, note_cost, note_mixed
from nncomp.coding.binary_coder import (
    AHEAD,
    ROOM,
    coder_state,
    decode_bit,
    encode_bit,
    finish_bits,
    start_bits,
)
from nncomp.coding.jit import bare_kernel
from nncomp.errors import CorruptError

__all__ = [
    "NO_NETWORK",
    "ROOM",
    "code_bytes",
    "decode_block",
    "encode_block",
    "end_writing",
    "start_reading",
]

Array = NDArray[Any]

NO_NETWORK = np.zeros((0, 256), np.int32)


def encode_block(raw: Array, layout: Layout, table: int, contexts: int) -> bytes | None:
    """The payload of a block, or None if it is not smaller.

    Args:
        raw: uint8[n].
        layout: What it is taken for.
        table: log2 of the lines of the slot table.
        contexts: The most contexts in use.
    """
    coded = np.empty(len(raw) + ROOM, np.uint8)
    state = coder_state()
    if _code(arranged(raw, layout), coded, state, layout, table, contexts, False) < 0:
        return None
    size = end_writing(state, coded)
    return layout.pack() + coded[:size].tobytes()


def decode_block(
    coded: Array,
    size: int,
    layout: Layout,
    table: int,
    contexts: int,
    note: Note | None = None,
    picture: bool = False,
) -> Array:
    """The bytes of a block, uint8[size], from its payload without the layout.

    Args:
        coded, size, layout, table, contexts: As for `encode_block`.
        note: Gets what its bits went to, if somebody wants to know.
        picture: Whether rows of the layout are rows of a picture.

    Raises:
        CorruptError: The payload is longer or shorter than its bytes need.
    """
    raw = np.empty(size, np.uint8)
    # A copy, since a kernel for memory that must not be written would be another one.
    state, coded = coder_state(), coded.copy()
    start_reading(state, coded)
    tally = None if note is None else new_tally(layout, size, contexts, picture=picture)
    used = _code(raw, coded, state, layout, table, contexts, True, tally)
    if not AHEAD - 1 <= used - len(coded) <= AHEAD:
        raise CorruptError(
            f"the coded data have {len(coded)} bytes where their content takes "
            f"about {used - AHEAD}. The file is damaged: take another copy"
        )
    if note is not None and tally is not None:
        note(Stream.of(tally, layout, len(coded), size, contexts))
    return restored(raw, layout)


def _code(
    raw: Array,
    coded: Array,
    state: Array,
    layout: Layout,
    table: int,
    contexts: int,
    decoding: bool,
    tally: Tally | None = None,
) -> int:
    """`code_bytes` or `code_lean`, with a new predictor."""
    if layout.kind == LEAN:
        used: int = code_lean(lean(len(raw), table), raw, coded, state, decoding, tally)
    else:
        model = predictor(layout, len(raw), table, min(contexts, KINDS[layout.kind]))
        used = code_bytes(model, NO_NETWORK, raw, coded, state, decoding, tally)
    return used


@bare_kernel
def code_bytes(
    m: Predictor,
    rows: Array,
    raw: Array,
    coded: Array,
    state: Array,
    decoding: bool,
    tally: Tally | None,
) -> Any:
    """Code `raw` into `coded`, or the other way round, lane after lane, from lane `LANE` on.

    Args:
        m: The predictor; it learns.
        rows: int32[n, 256], a network's frequencies of each byte; n = 0 without one.
        raw: uint8[n].
        coded: uint8, with 40 bytes of room for each byte, or -1 may come back.
        state: Of the binary coder.
        decoding: Which way.
        tally: Counts costs and contributions; None compiles to a kernel without a trace of it.

    Returns:
        Bytes written, or read; -1 if encoding finds no room in `coded`.
    """
    lanes = m.pasts.shape[0]
    for at in range(raw.shape[0]):
        if not decoding and state[2] + ROOM > coded.shape[0]:
            return -1
        if rows.shape[0]:
            note_network(m.network, rows[at])
        byte: Any = np.int64(0) if decoding else np.int64(raw[at])
        begin_byte(m)
        for k in range(8):
            p = predict(m)
            if decoding:
                bit = decode_bit(state, coded, p)
                byte = byte << 1 | bit
            else:
                bit = byte >> 7 - k & 1
                encode_bit(state, coded, bit, p)
            if tally is not None:
                note_cost(tally, m.pasts[m.now[LANE]][AT], bit, p)
                note_mixed(tally, m.mixer, bit)
            update(m, bit)
        end_byte(m)
        raw[at] = byte
        m.now[LANE] = (m.now[LANE] + 1) % lanes
        if decoding and state[2] > coded.shape[0] + AHEAD:
            return state[2]  # all that is to come would be made up
    return state[2]


@bare_kernel
def start_reading(state: Array, coded: Array) -> None:
    """Before the first byte is decoded."""
    start_bits(state, coded)


@bare_kernel
def end_writing(state: Array, coded: Array) -> Any:
    """After the last byte is encoded; returns the bytes written."""
    finish_bits(state, coded)
    return state[2]
