"""Streams cut into records: files of pictures, stacks of them by frames, anything else."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nncomp.codecs.base import Block, rechunk
from nncomp.codecs.image.fit import Effort
from nncomp.codecs.image.formats import Found, bmp, netpbm, npy, png
from nncomp.codecs.image.paper import paper_model
from nncomp.codecs.image.payload import (
    Settings,
    encode_bytes,
    encode_pictures,
    encode_png,
)
from nncomp.coding.png.chunks import lines_size, sample_count
from nncomp.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nncomp.codecs.base import Buffer, Params
    from nncomp.codecs.image.layout import Layout
    from nncomp.weights import Weights

__all__ = ["Encoder", "Record", "settled_block"]

_BLOCK_MIN = 64 << 10
_ORDERS = {"o0": 0, "o1s": 1, "o2s": 2}
_SLOW = 19  # level of Zstandard where rounds are many
_MANY = 6


class Record(NamedTuple):
    """A piece of a stream.

    Attributes:
        raw: Its bytes.
        start: Where in them pictures begin.
        layout: How they lie; None: not known.
    """

    raw: bytes
    start: int = 0
    layout: Layout | None = None


def settled_block(params: Params, head: Buffer, complete: bool) -> int:
    """The size of records that suits a stream that begins like this."""
    block = int(params["block"])
    _raw_layout(params)
    if not complete:
        return block
    view = memoryview(head).cast("B")
    # Of less than 8 bits, samples are more than bytes.
    most = max(view.nbytes, lines_size(view), sample_count(view))
    return max(_BLOCK_MIN, min(block, most))


def _raw_layout(params: Params) -> Layout | None:
    """The layout that the parameters tell, of one frame.

    Raises:
        MethodError: There is no such layout.
    """
    if int(params["patch"]) not in (4, 8, 16, 32, 64):
        raise MethodError(f"patch={params['patch']} is not valid: expected 4, 8, 16, 32 or 64")
    if params["shape"] == "auto":
        return None
    sizes = [int(part) for part in str(params["shape"]).split("x")]
    depth = int(params["depth"])
    layout = None
    if depth in (8, 16):
        layout = npy.stack(sizes, depth, planar=bool(params["planar"]), big=False)
    if layout is None or not layout._replace(shape=layout.shape._replace(frames=1)).fits:
        raise MethodError(
            f"shape={params['shape']} with depth={depth} is not valid: expected HxW, HxWxC or "
            "NxHxWxC of 1 to 4 channels (NxCxHxW with planar=on), and 8 or 16 bits"
        )
    return layout


class Encoder:
    """Cuts and codes; one object serves many threads.

    Args:
        params: Of the codec.
        notice: Told when a file is kept as it is.
        given: Weights for the model of the paper; None: those that are shipped.

    Raises:
        FileError: The weights given are no such model.
    """

    def __init__(
        self, params: Params, notice: Callable[[str], None], given: Weights | None = None
    ) -> None:
        self._notice = notice
        self._block = int(params["block"])
        self._raw = _raw_layout(params)
        self._pixels_only = params["pixels"] == "only"
        rounds = int(params["rounds"])
        effort = Effort(
            classes=max(1, int(params["classes"])),
            log=int(params["patch"]).bit_length() - 1,
            rounds=rounds,
            step=int(params["step"]),
            drop=1 if rounds < _MANY else 0,
            known=params["classes"] == 0,
            paper=paper_model(given) if params["mode"] == "paper" else None,
        )
        level = _SLOW if rounds >= _MANY else 3
        self._settings = Settings(effort, _ORDERS[str(params["prior"])], level, self._block)

    def cut(self, chunks: Iterable[Buffer]) -> Iterator[Record]:
        """The records of a stream."""
        pieces = rechunk(chunks, self._block)
        head = next(pieces, b"")
        found = self._find(head)
        if found is None:
            if head:
                yield Record(head)
            yield from map(Record, pieces)
            return
        start, layout = found
        frame = layout.size // layout.shape.frames
        left = layout.shape.frames if self._raw is None else None
        data = bytearray(head)
        while data:
            while len(data) < self._block and (piece := next(pieces, None)) is not None:
                data += piece
            count = (min(self._block, len(data)) - start) // frame
            if left is not None:
                count = min(count, left)
                left -= count
            if count < 1:
                break
            size = start + count * frame
            if left == 0 and len(data) <= self._block:
                size = len(data)
            shape = layout.shape._replace(frames=count)
            yield Record(bytes(data[:size]), start, layout._replace(shape=shape))
            del data[:size]
            start = 0
        yield from map(Record, rechunk([data, *pieces], self._block))

    def _find(self, head: bytes) -> Found | None:
        """Pictures in a stream that begins like this, at least one frame in the head."""
        if self._raw is not None:
            found: Found | None = Found(0, self._raw)
        else:
            found = netpbm.find(head) or bmp.find(head) or npy.find(head)
        if found is None:
            return None
        frame = found.layout.size // found.layout.shape.frames
        return found if found.layout.fits and found.start + frame <= len(head) else None

    def encode(self, record: Record) -> Block:
        """The block of a record."""
        raw, payload = record.raw, None
        if record.layout is not None:
            payload = encode_pictures(raw, record.start, record.layout, self._settings)
        elif raw.startswith(png.SIGNATURE):
            raw, payload = self._encode_png(raw)
        if payload is None:
            payload = encode_bytes(raw, self._settings)
        return Block(len(raw), payload if len(payload) < len(raw) else None, raw)

    def _encode_png(self, raw: bytes) -> tuple[bytes, bytes | None]:
        """A PNG file, perhaps another one with the same pixels, and its payload."""
        most = self._block
        parts = png.take_apart(memoryview(raw), most)
        if parts is None and self._pixels_only:
            anew = png.written_anew(memoryview(raw), most)
            if anew is not None and len(anew) <= most:
                again = png.take_apart(memoryview(anew), most)
                if again is not None and again.size == len(anew):
                    raw, parts = anew, again
        if parts is None or parts.size != len(raw) or len(parts.recipe) > most:
            self._notice(
                "a PNG file cannot be made again from its pixels, and is kept as it is; "
                "pixels=only writes another one with the same pixels"
            )
            return raw, None
        return raw, encode_png(parts, self._settings)
