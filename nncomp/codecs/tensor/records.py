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
from nncomp.codecs.tensor.formats.zip_sums import Span
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
        spans: The same for segments of the file, or parts of them.
    """

    raw: memoryview
    pieces: list[Piece]
    spans: list[Span]


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
    spans: list[Span] = []
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
                yield Record(window.take(), pieces, spans)
                pieces, spans, room = [], [], options.block
                continue
            _append(pieces, piece)
            spans.append(Span(piece.size, not done, piece.floats is not None))
            window.advance(piece.size)
            done += piece.size
            room -= piece.size
            if not room:
                yield Record(window.take(), pieces, spans)
                pieces, spans, room = [], [], options.block
    if pieces:
        yield Record(window.take(), pieces, spans)


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
    share = _SAMPLE if segment.size is None else segment.size // _SAMPLE_SHARE
    looking = options.probing or segment.dtype is None or base is not None
    near = sample = window.peek(min(_SAMPLE, share)) if looking else b""
    unknown = segment.dtype is None and not options.groups
    if unknown:
        sample = _from_everywhere(window.peek(min(_EVERY_UNKNOWN, segment.size or _EVERY_UNKNOWN)))
    decision = _lay_out(segment.dtype, sample, options)
    if base is not None and not decision.lead:
        start = base.start_of(segment, window.position - done, done)
        if start is not None and (other := _difference(decision, near, base, start, done)):
            return other
    if segment.dtype == BYTES and not options.groups:
        decision.piece = replace(decision.piece, repeats=(True,))
    elif options.probing and len(sample) >= _SAMPLE_MIN:
        _refine(decision, sample, segment.shape if options.rows else None)
    return decision


def _lay_out(dtype: DType | None, sample: bytes, options: Options) -> _Decision:
    """The layout by what is known, or by the sample where nothing is."""
    if dtype is None and not options.groups:
        layout, lead, unsure = find_layout(sample)
        piece = Piece(0, layout, unsure=unsure and options.probing)
        return _Decision(piece, _EVERY_UNKNOWN, lead, layout.unit)
    layout = layout_of(dtype or BYTES, groups=options.groups, sign=options.sign)
    if layout.family == ROTATED and dtype in _EITHER and sample:
        layout = cheapest(sample, [layout, Layout(PLAIN, layout.width)])
    if dtype is None or dtype.kind != "float":
        return _Decision(Piece(0, layout), _EVERY, 0, layout.unit)
    # Pieces begin with a whole element, whatever it is cut into: elements are rounded.
    step = math.lcm(layout.unit, dtype.unit)
    return _Decision(Piece(0, layout, floats=dtype.name), _EVERY, 0, step)


def _difference(
    decision: _Decision, sample: bytes, base: BaseTensors, start: int, done: int
) -> _Decision | None:
    """The decision to take the difference to the base at `start`; None if it costs more."""
    layout, step = decision.piece.layout, decision.step
    difference = Layout(ZIGZAG, layout.width if layout.numeric else 1)
    room = (base.size - start - done) // step * step
    changes = base.changes(start + done, sample[:room], difference.width) if room else b""
    if not room or not _cheaper(changes, difference, sample[:room], layout):
        return None
    piece = replace(decision.piece, layout=difference, base=start, unsure=False)
    return replace(decision, piece=piece, lasts=min(decision.lasts, room))


def _refine(decision: _Decision, sample: bytes, shape: tuple[int, ...] | None) -> None:
    """Look for matches, for a palette, and for rows in a tensor whose shape is given."""
    piece, lead = decision.piece, decision.lead
    repeats = repeating(planes_of(sample, piece.layout, lead))
    palette = few_values(sample[lead:], piece.layout)
    decision.piece = piece = replace(piece, repeats=repeats, palette=palette)
    row = shape[-1] if shape and piece.layout.numeric else 0
    if row and row * decision.step <= _ROW_MAX:
        decision.piece = replace(piece, row=row)
        decision.step *= row


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
