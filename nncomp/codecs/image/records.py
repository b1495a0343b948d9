"""Streams cut into records: files of pictures, stacks of them by frames, anything else."""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from nncomp.codecs.base import Block, rechunk
from nncomp.codecs.image.fit import Effort
from nncomp.codecs.image.formats import Found, bmp, netpbm, npy, png, webp
from nncomp.codecs.image.paper import is_paper_picture, paper_model
from nncomp.codecs.image.payload import (
    Settings,
    encode_bytes,
    encode_pictures,
    encode_png,
)
from nncomp.coding.png.chunks import interlaced_size, lines_size, sample_count
from nncomp.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator

    from nncomp.codecs.base import Buffer, Params
    from nncomp.codecs.image.layout import Layout
    from nncomp.codecs.image.plates import Shape
    from nncomp.weights import Weights

__all__ = ["Encoder", "Record", "settled_block"]

_BLOCK_MIN, _BLOCK_MAX = 64 << 10, 1 << 30
_HEAD = 4096  # bytes of a Netpbm file that its sizes are within
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
    """The size of records that suits a stream that begins like this.

    Raises:
        MethodError: The parameters contradict each other.
    """
    block = int(params["block"])
    _raw_layout(params)
    if not complete:
        return block
    view = memoryview(head).cast("B")
    # Of less than 8 bits, samples are more than bytes.
    bits = netpbm.find(bytes(view[:_HEAD])) if bytes(view[:2]) == b"P4" else None
    samples = max(sample_count(view), bits.layout.shape.samples if bits else 0)
    most = max(view.nbytes, lines_size(view), samples, interlaced_size(view))
    if params["pixels"] == "only" and webp.begins(view):
        most = max(most, webp.read(view).room)
    return max(_BLOCK_MIN, min(block, most))


def _raw_layout(params: Params) -> Layout | None:
    """The layout that the parameters tell, of one frame.

    Raises:
        MethodError: There is no such layout, or one that goes with nothing else that is told.
    """
    if int(params["patch"]) not in (4, 8, 16, 32, 64):
        raise MethodError(f"patch={params['patch']} is not valid: expected 4, 8, 16, 32 or 64")
    if params["learn"] == "all" and not params["contexts"]:
        raise MethodError(
            "learn=all asks for the coder that learns, which contexts=0, as at level 1, leaves "
            "out: give it contexts=1 to 12, or leave learn= out"
        )
    depth, planar = int(params["depth"]), bool(params["planar"])
    if params["shape"] == "auto":
        if depth != 8 or planar:
            raise MethodError(
                "depth= and planar= are for plain pixels: tell their shape=, too, or leave these "
                "out for files, which say it themselves"
            )
        return None
    sizes = [int(part) for part in str(params["shape"]).split("x")]
    layout = None
    if depth in (8, 16):
        layout = npy.stack(sizes, depth, planar=planar, big=False)
    if layout is None or not layout._replace(shape=layout.shape._replace(frames=1)).fits:
        raise MethodError(
            f"shape={params['shape']} with depth={depth} is not valid: expected HxW, HxWxC or "
            "NxHxWxC of 1 to 4 channels (NxCxHxW with planar=on), and 8 or 16 bits"
        )
    if params["mode"] == "paper" and not is_paper_picture(layout.shape):
        raise MethodError(
            f"mode=paper is for three colours of 8 bits, not for shape={params['shape']} with "
            f"depth={depth}: leave it out"
        )
    return layout


class Encoder:
    """Cuts and codes; one object serves many threads.

    Args:
        params: Of the codec.
        warn: Told, once each, what is not done as asked or as one may expect.
        given: Weights for the model of the paper; None: those that are shipped.

    Raises:
        FileError: The weights given are no such model.
    """

    def __init__(
        self, params: Params, warn: Callable[[str], None], given: Weights | None = None
    ) -> None:
        self._warn = warn
        self._told = set[str]()
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
            contexts=int(params["contexts"]),
            always=params["learn"] == "all",
        )
        level = _SLOW if rounds >= _MANY else 3
        self._settings = Settings(effort, _ORDERS[str(params["prior"])], level, self._block)

    def cut(self, chunks: Iterable[Buffer]) -> Iterator[Record]:
        """The records of a stream."""
        pieces = rechunk(chunks, self._block)
        head = next(pieces, b"")
        found = self._find(head)
        if found is None:
            end = png.end_of(memoryview(head))  # what follows is no part of the picture
            yield from map(Record, filter(None, chain([head[:end], head[end:]], pieces)))
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
        if data and self._raw is not None:
            self._tell(
                f"{len(data)} bytes behind the last whole picture are coded as plain bytes: "
                f"shape= makes pictures of {frame} bytes"
            )
        yield from map(Record, rechunk(chain([data], pieces), self._block))

    def _find(self, head: bytes) -> Found | None:
        """Pictures in a stream that begins like this, at least one frame in the head."""
        if self._raw is not None:
            found: Found | None = Found(0, self._raw)
        else:
            found = netpbm.find(head) or bmp.find(head) or npy.find(head)
        if found is None or not found.layout.fits:
            return None
        shape = found.layout.shape
        need = found.start + found.layout.size // shape.frames
        room = max(need, shape.samples // shape.frames)
        if room > self._block:
            self._tell_too_large(room)
            return None
        if need > len(head) and self._raw is not None:
            self._tell(f"{len(head)} bytes are less than a picture of shape=: {need} bytes")
        return found if need <= len(head) else None

    def encode(self, record: Record) -> Block:
        """The block of a record."""
        raw, payload = record.raw, None
        if record.layout is not None:
            self._look_at(record.layout.shape)
            payload = encode_pictures(raw, record.start, record.layout, self._settings)
        elif raw.startswith(png.SIGNATURE):
            raw, payload = self._encode_png(raw)
        elif webp.begins(raw):
            raw, payload = self._encode_webp(raw)
        if payload is None:
            payload = encode_bytes(raw, self._settings)
        return Block(len(raw), payload if len(payload) < len(raw) else None, raw)

    def _encode_png(self, raw: bytes) -> tuple[bytes, bytes | None]:
        """A PNG file, perhaps another one with the same pixels, and its payload."""
        view = memoryview(raw)
        payload = self._payload_of_png(raw)
        need, interlaced = lines_size(view), interlaced_size(view)
        if self._pixels_only and (payload is None or interlaced):
            anew = self._anew(raw, png.written_anew(view, self._block))
            if anew is not None:
                return anew
        if payload is not None:
            return raw, payload
        if max(need, interlaced) > self._block:
            self._tell_too_large(max(need, interlaced))
        elif self._pixels_only:
            self._tell(
                "a PNG file is kept as it is: it is damaged, or another one with the same pixels "
                "would not take less"
            )
        else:
            self._tell(
                "a PNG file cannot be made again from its pixels, and is kept as it is; "
                "pixels=only writes another one with the same pixels"
            )
        return raw, None

    def _encode_webp(self, raw: bytes) -> tuple[bytes, bytes | None]:
        """A WebP file, perhaps a PNG file with the same pixels in its place, and its payload."""
        view = memoryview(raw)
        header = webp.read(view)
        if header.held != "lossless" or not self._pixels_only:
            more = "; pixels=only writes a PNG file with the same pixels in its place"
            self._tell(
                f"a WebP file ({header.held}) is kept as it is"
                f"{more if header.held == 'lossless' else ': pixels=only is for lossless pictures'}"
            )
        elif header.room > self._block:
            self._tell_too_large(header.room)
        elif header.size == len(raw) and (
            anew := self._anew(raw, webp.written_as_png(view, header))
        ):
            self._tell("a PNG file takes the place of a WebP file: it comes back as one")
            return anew
        else:
            self._tell(
                "a WebP file is kept as it is: it cannot be decoded, or a PNG file with the same "
                "pixels would not take less"
            )
        return raw, None

    def _anew(self, raw: bytes, anew: bytes | None) -> tuple[bytes, bytes] | None:
        """A PNG file in the place of another file, and its payload, if that is smaller."""
        payload = None if anew is None else self._payload_of_png(anew)
        if anew is None or payload is None or len(payload) >= len(raw):
            return None
        return anew, payload

    def _payload_of_png(self, raw: bytes) -> bytes | None:
        """The payload of a PNG file that can be made again; not of one only worth keeping."""
        if len(raw) > self._block:
            return None
        parts = png.take_apart(memoryview(raw), self._block)
        if parts is None or parts.size != len(raw) or len(parts.recipe) > self._block:
            return None
        layout = png.layout_of(parts)
        if layout is not None:
            self._look_at(layout.shape)
        payload = encode_png(parts, self._settings)
        return payload if layout is not None or len(payload) < len(raw) else None

    def _look_at(self, shape: Shape) -> None:
        """Say so if the model that was asked for is none for such pictures."""
        if self._settings.effort.paper and not is_paper_picture(shape):
            self._tell(
                "mode=paper is for three colours of 8 bits: this picture is coded as without it"
            )

    def _tell_too_large(self, need: int) -> None:
        told = f"a picture of {need} bytes is larger than a record, and is coded as plain bytes"
        self._tell(f"{told}; block={-(-need >> 20)}M takes it" if need <= _BLOCK_MAX else told)

    def _tell(self, text: str) -> None:
        """Warn, unless of the same before."""
        if text not in self._told:
            self._told.add(text)
            self._warn(text)
