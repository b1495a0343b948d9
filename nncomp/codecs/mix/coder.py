"""Bytes through the predictor and the binary coder, both ways in one kernel."""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.layout import KINDS, Layout, arranged, restored
from nncomp.codecs.mix.predictor import (
    Predictor,
    begin_byte,
    end_byte,
    predict,
    predictor,
    update,
)
from nncomp.coding.binary_coder import (
    AHEAD,
    coder_state,
    decode_bit,
    encode_bit,
    finish_bits,
    start_bits,
)
from nncomp.coding.jit import bare_kernel
from nncomp.errors import CorruptError

__all__ = ["decode_block", "encode_block"]

Array = NDArray[Any]

_ROOM = 40  # bytes that coding a byte may take: 8 bits of 32, and the last


def encode_block(raw: Array, layout: Layout, table: int, contexts: int) -> bytes | None:
    """The payload of a block, or None if it is not smaller.

    Args:
        raw: uint8[n].
        layout: What it is taken for.
        table: log2 of the lines of the slot table.
        contexts: The most contexts in use.
    """
    model = predictor(layout, len(raw), table, min(contexts, KINDS[layout.kind]))
    coded = np.empty(len(raw) + _ROOM, np.uint8)
    size = _code(model, arranged(raw, layout), coded, coder_state(), False)
    return None if size < 0 else layout.pack() + coded[:size].tobytes()


def decode_block(coded: Array, size: int, layout: Layout, table: int, contexts: int) -> Array:
    """The bytes of a block, uint8[size], from its payload without the layout.

    Raises:
        CorruptError: The payload is longer or shorter than its bytes need.
    """
    model = predictor(layout, size, table, min(contexts, KINDS[layout.kind]))
    raw = np.empty(size, np.uint8)
    # A copy, since a kernel for memory that must not be written would be another one.
    used = _code(model, raw, coded.copy(), coder_state(), True)
    if not AHEAD - 1 <= used - len(coded) <= AHEAD:
        raise CorruptError(
            f"the coded data have {len(coded)} bytes where their content takes "
            f"about {used - AHEAD}. The file is damaged: take another copy"
        )
    return restored(raw, layout)


@bare_kernel
def _code(m: Predictor, raw: Array, coded: Array, state: Array, decoding: bool) -> Any:
    """Code `raw` into `coded`, or the other way round.

    Returns:
        Bytes written, or read; -1 if encoding finds no room in `coded`.
    """
    if decoding:
        start_bits(state, coded)
    for at in range(raw.shape[0]):
        if not decoding and state[2] + _ROOM > coded.shape[0]:
            return -1
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
            update(m, bit)
        end_byte(m)
        raw[at] = byte
    if not decoding:
        finish_bits(state, coded)
    return state[2]
