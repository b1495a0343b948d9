"""How a deflate stream is made of its content: by settings, or by settings and corrections.

    plan = EXACT, settings                          see `encoder.py`
         | CORRECTED, settings, block*, corrections

    block = u8 form | last << 2 | told << 3, varint tokens (bytes if it is stored),
            [varint bits, bits of the codes of a dynamic block if they are not zlib's]
    corrections = varint bytes of runs, runs, fixes         see `corrections.py`

Streams that zlib did not make come out larger than their settings, yet much smaller than
they are: most matches are where zlib would find them.
"""

from __future__ import annotations

from itertools import islice
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.blocks import (
    WAITING,
    WRITTEN,
    Writer,
    put_block,
    put_block_as_told,
    put_head,
    writer,
)
from nncomp.coding.deflate.corrections import (
    FIX_MAX,
    FIXES,
    PLACE,
    RUN_MAX,
    RUNS,
    Corrections,
    corrections,
    walk,
)
from nncomp.coding.deflate.encoder import deflate, plain
from nncomp.coding.deflate.format import DYNAMIC, STORED, WINDOW
from nncomp.coding.deflate.reader import HEAD_BITS, TOKENS_MAX, Block, read_blocks, read_head
from nncomp.coding.deflate.search import find_settings
from nncomp.coding.deflate.settings import FILTERED, SETTINGS_SIZE, Settings
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

__all__ = ["make_plan", "make_stream"]

Array = NDArray[Any]

_EXACT, _CORRECTED = range(2)
_FORM, _LAST, _TOLD = 3, 4, 8  # flags of a block
_BLOCKS_MAX = 1 << 16
_HEAD_MAX = HEAD_BITS // 8 + 8  # bytes of all but the tokens of a block
_TOKEN_MAX = 2  # bytes of a stream for each of content: codes have 15 bits, or 48 for 3 bytes
# Settings that may foretell another encoder.
_ALIKE = (
    *(Settings(level, far=far) for level in (9, 6, 4, 1) for far in (4096, WINDOW - 1)),
    *(Settings(level, FILTERED) for level in (9, 6)),
)
_TRIED = 2  # blocks by which one of them is chosen


def make_plan(stream: Array, content: Array, window: int = 15) -> bytes | None:
    """A plan that makes exactly this stream of this content.

    Args:
        stream: uint8[n], a raw deflate stream to its end, that decodes to the content.
        content: uint8[m].
        window: log2 of the window, if the stream's header tells it.

    Returns:
        None if there is none that is smaller than the stream.
    """
    stream, content = plain(stream), plain(content)
    exact = find_settings(stream, content, window)
    if exact is not None:
        return bytes([_EXACT]) + exact.pack()
    best = min(_ALIKE, key=lambda s: _corrected_size(stream, content, s))
    coded = _Coded(content, best)
    if not all(coded.add(stream, block) for block in read_blocks(stream)):
        return None
    plan = bytes([_CORRECTED]) + best.pack() + coded.pack()
    if len(plan) >= len(stream) or make_stream(plan, content) != stream.tobytes():
        return None
    return plan


def make_stream(plan: bytes, content: Array) -> bytes:
    """The raw deflate stream of a plan and a content, uint8[n].

    Raises:
        CorruptError: The plan is damaged, or not for this content.
    """
    text = Text(plan, 0)
    kind, settings = text.take(1)[0], Settings.unpack(text.take(SETTINGS_SIZE))
    if kind == _EXACT and text.left == 0:
        return deflate(content, settings)
    if kind != _CORRECTED or 1 << settings.window != WINDOW:
        raise CorruptError("a deflate stream has no plan that can be followed")
    entries = [_read_entry(text)]
    while not entries[-1].last:
        if len(entries) == _BLOCKS_MAX:
            raise CorruptError("a deflate stream has too many blocks", offset=text.offset)
        entries.append(_read_entry(text))
    runs = np.frombuffer(text.take(unpack_varint(text)), np.uint8).copy()
    fixes = np.frombuffer(text.take(text.left), np.uint8).copy()
    c = corrections(settings, runs, fixes)
    room = sum(len(entry.head) for entry in entries) + _HEAD_MAX * len(entries)
    w = writer(_TOKEN_MAX * len(content) + room)
    content = plain(content)
    for entry in entries:
        _follow(w, c, content, entry)
    used = [int(n) for n in c.state[[PLACE, RUNS, FIXES]]]
    if used != [len(content), len(runs), len(fixes)]:
        raise CorruptError("the plan of a deflate stream is not for its content")
    return w.out[: w.state[WRITTEN]].tobytes()


class _Entry(NamedTuple):
    """What a plan says of a block."""

    form: int
    last: bool
    tokens: int
    bits: int
    head: bytes


def _read_entry(text: Text) -> _Entry:
    flags, count = text.take(1)[0], unpack_varint(text)
    bits = unpack_varint(text) if flags & _TOLD else 0
    form = flags & _FORM
    if form > DYNAMIC or count > TOKENS_MAX or (bits and form != DYNAMIC):
        raise CorruptError("a deflate stream has a block of no known form", offset=text.offset)
    return _Entry(form, bool(flags & _LAST), count, bits, text.take((bits + 7) // 8))


def _follow(w: Writer, c: Corrections, content: Array, entry: _Entry) -> None:
    """Write the next block."""
    start = int(c.state[PLACE])
    if entry.tokens > len(content) - start:
        raise CorruptError("a deflate stream has more tokens than its content")
    tokens = np.zeros(0 if entry.form == STORED else entry.tokens, np.int32)
    if entry.form == STORED:
        c.state[PLACE] += entry.tokens
    elif not walk(c, content, tokens, True):
        raise CorruptError("a deflate stream cannot be made as its plan says")
    if entry.bits:
        head = np.frombuffer(entry.head, np.uint8).copy()
        w.literals.lengths[:], w.distances.lengths[:], _ = read_head(head)
        put_block_as_told(w, tokens, head, entry.bits, entry.last)
    else:
        put_block(w, tokens, content[start : start + entry.tokens], entry.form, entry.last)


class _Coded:
    """A plan with corrections, as it grows.

    Args:
        content: uint8.
        settings: What foretells the tokens.
    """

    def __init__(self, content: Array, settings: Settings) -> None:
        self._content = content
        self._corrections = corrections(settings, *(np.zeros(0, np.uint8) for _ in range(2)))
        self._scratch = writer(_HEAD_MAX)
        self._entries, self._runs, self._fixes = (list[bytes]() for _ in range(3))

    def add(self, stream: Array, block: Block | None) -> bool:
        """Go on with a block of a stream; whether that can be done."""
        if block is None or len(self._entries) == _BLOCKS_MAX:
            return False
        head = b"" if block.form != DYNAMIC else self._head(stream, block)
        flags = block.form | (_LAST if block.last else 0) | (_TOLD if head else 0)
        self._entries.append(bytes([flags]) + pack_varint(len(block.tokens)) + head)
        c = self._corrections
        if block.form == STORED:
            c.state[PLACE] += len(block.tokens)
            return True
        runs = np.empty(RUN_MAX * (len(block.tokens) + 1), np.uint8)
        fixes = np.empty(FIX_MAX * len(block.tokens), np.uint8)
        c.state[[RUNS, FIXES]] = 0
        done = walk(c._replace(runs=runs, fixes=fixes), self._content, block.tokens, False)
        self._runs.append(runs[: c.state[RUNS]].tobytes())
        self._fixes.append(fixes[: c.state[FIXES]].tobytes())
        return bool(done)

    def _head(self, stream: Array, block: Block) -> bytes:
        """The codes of a dynamic block, or nothing if zlib makes the same."""
        start, end = block.head
        whole = int.from_bytes(stream[start // 8 : (end + 7) // 8].tobytes(), "little")
        told = whole >> start % 8 & (1 << end - start) - 1
        w = self._scratch
        w.state[:] = 0
        bits, size = put_head(w, block.tokens), int(w.state[WRITTEN])
        usual = int.from_bytes(w.out[:size].tobytes(), "little") | int(w.state[WAITING]) << 8 * size
        if bits == end - start and usual == told:
            return b""
        return pack_varint(end - start) + told.to_bytes((end - start + 7) // 8, "little")

    def pack(self) -> bytes:
        """Blocks and corrections."""
        runs = b"".join(self._runs)
        return b"".join([*self._entries, pack_varint(len(runs)), runs, *self._fixes])

    def __len__(self) -> int:
        return sum(len(x) for x in (*self._entries, *self._runs, *self._fixes))


def _corrected_size(stream: Array, content: Array, settings: Settings) -> int:
    """How large the corrections of the first blocks are with these settings."""
    coded = _Coded(content, settings)
    for block in islice(read_blocks(stream), _TRIED):
        coded.add(stream, block)
    return len(coded)
