"""The settings with which zlib's encoder made a stream, if it did.

The first block says how much memory the encoder had (so many tokens end a block), and rules
out what never gives such matches. The rest is tried, on the tokens of that block first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.encoder import agreement, plain
from nncomp.coding.deflate.format import STORED, WINDOW
from nncomp.coding.deflate.matching import matcher, next_block
from nncomp.coding.deflate.reader import Block, read_blocks
from nncomp.coding.deflate.settings import (
    DEFAULT,
    FILTERED,
    FILTERED_MIN,
    FIXED_CODES,
    HUFFMAN,
    RUNS,
    Settings,
)

if TYPE_CHECKING:
    from collections.abc import Iterator

__all__ = ["find_settings"]

Array = NDArray[Any]

# The most frequent ones first.
_LEVELS = (6, 9, 7, 8, 5, 4, 3, 2, 1)
_MEMORIES = (8, 9, 7, 6, 5, 4, 3, 2, 1)
_FAR = 4096  # as zlib has it; pngcrush has no such limit
_AHEAD = 262  # how far from the size of the window the greatest distance is


def find_settings(stream: Array, content: Array, window: int = 15) -> Settings | None:
    """Settings that make exactly this stream of this content.

    Args:
        stream: uint8[n], a raw deflate stream to its end.
        content: uint8[m], what it decodes to.
        window: log2 of the window, if the stream's header tells it.

    Returns:
        None if there are none, or none was found: not all that is possible is tried.
    """
    stream, content = plain(stream), plain(content)
    block = next(read_blocks(stream), None)
    if block is None:
        return None
    for settings in _candidates(block, window):
        if block.form != STORED and not _agrees(content, settings, block):
            continue
        if agreement(content, settings, stream) == len(stream):
            return settings
    return None


def _candidates(block: Block, window: int) -> Iterator[Settings]:
    """Settings that may give such a block, the most probable first."""
    tokens = block.tokens
    lengths, distances = tokens >> 16, tokens & 0xFFFF
    matches = lengths > 0
    shortest = int(lengths[matches].min(initial=FILTERED_MIN))
    farthest = int(distances[matches].max(initial=0))
    strategies = [DEFAULT, FIXED_CODES]
    if shortest >= FILTERED_MIN:
        strategies.insert(0, FILTERED)
    fars = [_FAR]
    if int(distances[lengths == 3].max(initial=0)) > _FAR:
        fars = [WINDOW - 1, _FAR]  # levels 1 to 3 have no limit anyway
    windows = [w for w in dict.fromkeys((window, 15)) if farthest <= (1 << w) - _AHEAD]
    for memory in _memories(block):
        for w in windows:
            if farthest == 0:
                yield Settings(1, HUFFMAN, memory, w)
            if farthest <= 1:
                yield Settings(1, RUNS, memory, w)
            for strategy in strategies:
                for far in fars:
                    for level in _LEVELS:
                        settings = Settings(level, strategy, memory, w, far)
                        if not settings.greedy or (far == _FAR and strategy != FILTERED):
                            yield settings


def _memories(block: Block) -> Iterator[int]:
    """What may end the first block where it ends."""
    for memory in _MEMORIES:
        symbols = Settings(memory=memory).symbols
        count = symbols if block.form == STORED else len(block.tokens)
        if count == symbols or (count < symbols and block.last):
            yield memory


def _agrees(content: Array, settings: Settings, block: Block) -> bool:
    """Whether the first block has these tokens."""
    m = matcher(settings)
    count, _ = next_block(m, content)
    return np.array_equal(m.tokens[:count], block.tokens)
