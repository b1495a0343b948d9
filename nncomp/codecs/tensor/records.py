"""Cutting a stream into records, and each record into pieces of one layout.

Decisions that look at samples are made here, by one thread in the order of the content,
so that threads never change what is written.
"""

from __future__ import annotations

import math
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats import segments
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.codecs.tensor.layouts import BYTEWISE, PLAIN, ROTATED, ZIGZAG, Layout, layout_of
from nncomp.codecs.tensor.probe import cheapest, cost, few_values, find_layout, planes_of, repeating
from nncomp.codecs.tensor.segments import Piece
from nncomp.codecs.tensor.window import Window

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nncomp.codecs.base import Buffer
    from nncomp.codecs.tensor.delta import BaseTensors
    from nncomp.codecs.tensor.dtypes import DType

__all__ = ["Options", "Record", "cut"]

_SAMPLE = 32 << 10  # bytes looked at for a decision
_SAMPLE_MIN = 1 << 10
_SAMPLE_SHARE = 16  # but no more than a part of what the decision is for
_EITHER = (DTYPES["F16"], DTYPES["F64"], DTYPES["C128"])  # whose exponents are no whole byte
_ALIGNED = 48  # a multiple of every width
_EVERY = 32 << 20  # bytes for which a decision holds
_EVERY_UNKNOWN = 1 << 20
_ROW_MAX = 32 << 10  # bytes of a row, which no record cuts


@dataclass(frozen=True)
class Options:
    """What is asked of the cutter.

    Attributes:
        block: Bytes of a record at most.
        dtype: The element type of the whole stream; None: look for a file format.
        groups, sign: As for `layout_of`.
        probing: Whether samples decide on matches and palettes, too.
        rows: Whether rows of matrices are kept whole, and grouped by their scales.
    """

    block: int
    dtype: DType | None = None
    groups: int = 0
    sign: bool = True
    probing: bool = True
    rows: bool = False


@dataclass(frozen=True)
class Record:
    """A record to be coded.

    Attributes:
        raw: Its content.
        pieces: Runs of one layout; their sizes add up to its size.
    """

    raw: memoryview
    pieces: list[Piece]


@dataclass
class _Decision:
    """What holds for the next bytes of a segment.

    Attributes:
        piece: The piece to make of them, but for its size.
        lasts: For how many bytes.
        lead: Bytes before the first element.
        step: Bytes that its pieces have whole multiples of, but for the last.
    """

    piece: Piece
    lasts: int
    lead: int = 0
    step: int = 1


def cut(
    chunks: Iterable[Buffer], options: Options, base: BaseTensors | None = None
) -> Iterator[Record]:
    """The records of a stream, each of at least one byte."""
    window = Window(chunks)
    known = [Segment(None, options.dtype)] if options.dtype else segments(window)
    pieces: list[Piece] = []
    room = options.block
    for segment in known:
        done, decision = 0, None
        while segment.size is None or done < segment.size:
            left = room if segment.size is None else min(room, segment.size - done)
            if not (have := window.available(left)):
                break
            if decision is None or not decision.lasts:
                rest = None if segment.size is None else segment.size - done
                decision = _decide(window, replace(segment, size=rest), done, options, base)
            goes_on = have == left and (segment.size is None or done + have < segment.size)
            piece = _next_piece(decision, have, done, goes_on=goes_on)
            if piece is None:
                yield Record(window.take(), pieces)
                pieces, room = [], options.block
                continue
            _append(pieces, piece)
            window.advance(piece.size)
            done += piece.size
            room -= piece.size
            if not room:
                yield Record(window.take(), pieces)
                pieces, room = [], options.block
    if pieces:
        yield Record(window.take(), pieces)


def _append(pieces: list[Piece], piece: Piece) -> None:
    """Add a piece; bytes that are no numbers go on where such bytes end."""
    bytewise = piece.layout == BYTEWISE and piece.floats is None
    if pieces and bytewise and replace(pieces[-1], size=piece.size) == piece:
        piece = replace(piece, size=piece.size + pieces.pop().size)
    pieces.append(piece)


def _next_piece(decision: _Decision, have: int, done: int, *, goes_on: bool) -> Piece | None:
    """The next piece of at most `have` bytes; None if no element has room in the record.

    Args:
        decision: Is told how much of it is used up.
        have: Bytes that there are, and room for.
        done: Bytes of the segment before it.
        goes_on: Whether the segment has more bytes; else odd bytes are left to its tail.
    """
    if decision.lead:
        lead, decision.lead = min(decision.lead, have), 0
        return Piece(lead, BYTEWISE)
    step = decision.step
    size = min(have, decision.lasts - decision.lasts % step or step)
    if goes_on or size < have:
        size -= size % step
    if not size:
        return None
    decision.lasts = max(0, decision.lasts - size)
    base = decision.piece.base
    return replace(decision.piece, size=size, base=None if base is None else base + done)


def _decide(
    window: Window, segment: Segment, done: int, options: Options, base: BaseTensors | None
) -> _Decision:
    """What to do with the bytes of a segment from here on.

    Args:
        window: Stands there.
        segment: Its size is what is left of it.
        done: Bytes of it that are behind.
        options: What was asked for.
        base: The tensors that differences may be taken to.
    """
    dtype = segment.dtype
    share = _SAMPLE if segment.size is None else segment.size // _SAMPLE_SHARE
    looking = options.probing or dtype is None or base is not None
    sample = window.peek(min(_SAMPLE, share)) if looking else b""
    near = sample  # what the base is compared with must be in one piece
    lead, lasts, unsure = 0, _EVERY, False
    if dtype is None and not options.groups:
        sample = _from_everywhere(window.peek(min(_EVERY_UNKNOWN, segment.size or _EVERY_UNKNOWN)))
        layout, lead, unsure = find_layout(sample)
        lasts = _EVERY_UNKNOWN
    else:
        layout = layout_of(dtype or BYTES, groups=options.groups, sign=options.sign)
    if layout.family == ROTATED and dtype in _EITHER and sample:
        layout = cheapest(sample, [layout, Layout(PLAIN, layout.width)])
    floats = dtype if dtype is not None and dtype.kind == "float" else None
    # Pieces begin with a whole element, whatever it is cut into: elements are rounded.
    step = math.lcm(layout.unit, floats.unit) if floats else layout.unit
    piece = Piece(0, layout, floats=floats.name if floats else None)
    if base is not None and not lead:
        difference = Layout(ZIGZAG, layout.width if layout.numeric else 1)
        start = base.start_of(segment, window.position - done, done)
        room = 0 if start is None else (base.size - start - done) // step * step
        if start is not None and room:
            near = near[:room]
            changes = base.changes(start + done, near, difference.width)
            if _cheaper(changes, difference, near, layout):
                piece = replace(piece, layout=difference, base=start)
                return _Decision(piece, min(lasts, room), 0, step)
    if dtype == BYTES and not options.groups:
        return _Decision(replace(piece, repeats=(True,)), lasts, 0, step)
    if not options.probing or len(sample) < _SAMPLE_MIN:
        return _Decision(piece, lasts, lead, step)
    repeats = repeating(planes_of(sample, layout, lead))
    palette = few_values(sample[lead:], layout)
    piece = replace(piece, repeats=repeats, palette=palette, unsure=unsure)
    row = segment.shape[-1] if options.rows and segment.shape and layout.numeric else 0
    if row and row * step <= _ROW_MAX:
        piece, step = replace(piece, row=row), row * step
    return _Decision(piece, lasts, lead, step)


def _from_everywhere(content: bytes) -> bytes:
    """A sample of content, in pieces that begin where elements of any width may."""
    if len(content) <= _SAMPLE:
        return content
    count, size = 4, _SAMPLE // 4 // _ALIGNED * _ALIGNED
    step = (len(content) - size) // (count - 1) // _ALIGNED * _ALIGNED
    return b"".join(content[k * step : k * step + size] for k in range(count))


def _cheaper(changes: bytes, difference: Layout, sample: bytes, layout: Layout) -> bool:
    """Whether a difference takes less than what it stands for."""
    return cost(planes_of(changes, difference)) < cost(planes_of(sample, layout))
