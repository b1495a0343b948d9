"""A deflate stream as zlib writes it, from its content and settings.

    content --> matching: tokens --> blocks: codes, form, bits --> stream

The zlib library itself would not do: its other builds and versions write other streams,
and what is archived must come out the same on every machine, for ever.
"""

from __future__ import annotations

from typing import Any

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.blocks import WRITTEN, Writer, flush, writer
from nncomp.coding.deflate.matching import BASE, BLOCK_END, Matcher, matcher, next_block
from nncomp.coding.deflate.settings import FIXED_CODES, Settings
from nncomp.coding.jit import kernel

__all__ = ["agreement", "deflate", "plain"]

Array = NDArray[Any]

_CONTENT_MAX = (1 << 31) - 1  # places are int32


def deflate(content: Array, settings: Settings) -> bytes:
    """The raw deflate stream (no header) that zlib makes of a content given to it at once.

    The time it takes is bounded as zlib's is: `tries` comparisons for each place.

    Args:
        content: uint8[n], n below 2**31.
        settings: What the encoder is told.
    """
    content, w = plain(content), _writer(content, settings)
    nothing = np.zeros(0, np.uint8)
    _encode(content, matcher(settings), w, settings.strategy == FIXED_CODES, nothing)
    return w.out[: w.state[WRITTEN]].tobytes()


def agreement(content: Array, settings: Settings, stream: Array) -> int:
    """How many bytes of a stream these settings give; stops soon after the first that differs.

    Args:
        content: uint8[n], as for `deflate`.
        settings: What the encoder is told.
        stream: uint8[m], m at least 1; the number is m only if the stream is the same.
    """
    content, stream, w = plain(content), plain(stream), _writer(content, settings)
    _encode(content, matcher(settings), w, settings.strategy == FIXED_CODES, stream)
    size = min(len(stream), w.state[WRITTEN])
    differing = np.flatnonzero(w.out[:size] != stream[:size])
    same = int(differing[0]) if len(differing) else size
    return same if same < len(stream) or w.state[WRITTEN] == same else same - 1


def plain(x: Array) -> Array:
    """What kernels are compiled for: contiguous and writeable; copied if it is not."""
    return np.require(x, np.uint8, ["C", "W"])


def _writer(content: Array, settings: Settings) -> Writer:
    """No form is larger than fixed codes, of 9 bits for a literal, 8.4 for bytes of matches."""
    if len(content) > _CONTENT_MAX or not settings.possible():
        raise ValueError(f"no deflate encoder for {len(content)} bytes with {settings}")
    blocks = len(content) // settings.symbols + 1
    return writer(len(content) + len(content) // 8 + 8 * blocks + 16)


@kernel
def _encode(content: Array, m: Matcher, w: Writer, fixed: bool, stream: Array) -> None:
    """Write blocks until all is written, or one differs from the stream if that is not empty."""
    start, compared, last = 0, 0, False
    while not last:
        count, last = next_block(m, content)
        end = m.state[BLOCK_END]
        kept = start >= m.state[BASE]
        flush(w, m.tokens[:count], content[start:end], kept, fixed, last)
        start = end
        for k in range(compared, min(w.state[WRITTEN], stream.shape[0])):
            if w.out[k] != stream[k]:
                return
        compared = w.state[WRITTEN]
        if 0 < stream.shape[0] < compared:
            return
