"""`zipnn`: model files and other arrays of numbers, as planes of like bytes.

Sources: ZipNN (Hershcovitch et al., arXiv:2411.05239): exponents apart from mantissas,
Huffman coding of what can be coded; its options in the first paper (arXiv:2404.15198).
FORMAT.md describes the payload, which knows of no file format.
"""

from __future__ import annotations

import io
from dataclasses import dataclass
from itertools import accumulate
from types import MappingProxyType
from typing import TYPE_CHECKING

import lz4.block
import numpy as np
import snappy
import zstandard

from nncomp.codecs.account import Account, Stretch, account_of, account_of_stored
from nncomp.codecs.base import Block, Param
from nncomp.codecs.parallel import map_in_order, threads_within
from nncomp.codecs.tensor import lossy
from nncomp.codecs.tensor.arrays import ops
from nncomp.codecs.tensor.cursor import Cursor
from nncomp.codecs.tensor.delta import BaseTensors
from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.mending import Coded, mended
from nncomp.codecs.tensor.planes import PlaneCoder, Settings
from nncomp.codecs.tensor.records import Options, Record, cut
from nncomp.codecs.tensor.segments import decode_segment, encode_piece
from nncomp.codecs.tensor.summary import Payload, summarise
from nncomp.coding.jit import announced
from nncomp.errors import CorruptError, MissingBaseError
from nncomp.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping, Sequence

    from nncomp.codecs.base import Base, Buffer, Context, Params
    from nncomp.codecs.tensor.arrays import Array, Ops
    from nncomp.codecs.tensor.segments import Piece

__all__ = ["ZIPNN"]

_MIB = 1 << 20
_BLOCK_MIN, _BLOCK_MAX = 64 << 10, 64 * _MIB
# Loading the compiled functions takes longer than NumPy takes for records of small content.
_COMPILED_FROM = 256 << 10
# Payload, planes, joined elements, the record; what libraries take.
_BUFFERS = 6
_LIBRARY_ERRORS = (zstandard.ZstdError, lz4.block.LZ4BlockError, snappy.UncompressError)
_DTYPES = {name.lower(): dtype for name, dtype in [*DTYPES.items(), ("BYTES", BYTES)]}


class _Zipnn:
    """See `codecs.base.Codec`."""

    name = "zipnn"
    codec_id = 32
    version = 1
    profile = 0
    independent = True
    params = (
        Param(
            "dtype",
            "choice",
            "auto",
            choices=("auto", *_DTYPES),
            help="element type of the whole stream; auto: by file format, or by statistics",
            stored=False,
        ),
        Param("groups", "int", 0, 0, 32, help="byte groups; 0: by type", stored=False),
        Param("sign", "bool", True, help="move the sign behind the exponent", stored=False),
        Param(
            "backend",
            "choice",
            "auto",
            choices=("auto", "huffman", "ans", "zstd", "lz4", "snappy"),
            help="what codes the planes; auto: the best for each",
            stored=False,
        ),
        Param("ans", "bool", False, help="try ANS beside Huffman codes", stored=False),
        Param("level", "int", 3, -7, 22, help="of zstd, and of lz4 as backend", stored=False),
        Param("threshold", "float", 0.99, 0, 1, help="share to shrink to, at least", stored=False),
        Param("rows", "bool", False, help="group the rows of matrices by scale", stored=False),
        Param("block", "size", _MIB, _BLOCK_MIN, _BLOCK_MAX, help="size of the records"),
        *lossy.PARAMS,
        Param("base", "digest", "none", help="base of the differences; set by --base"),
    )
    levels: Mapping[int, Params] = MappingProxyType(
        {
            1: {"backend": "huffman"},
            2: {"level": 1},
            3: {"level": 1},
            4: {"level": 2},
            5: {"level": 3},
            6: {"level": 6, "ans": True},
            7: {"level": 12, "ans": True, "rows": True},
            8: {"level": 17, "ans": True, "rows": True, "block": 4 * _MIB},
            9: {"level": 22, "ans": True, "rows": True, "block": 16 * _MIB},
        }
    )

    def peek(self, params: Params) -> int:
        """A format, where something may be lost; else `settle` looks at what there is anyway."""
        return lossy.HEAD_SIZE if self._is_plain(params) else 0

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """No larger records than content; one kind of loss at most."""
        lossy.check(params)
        if self._is_plain(params):
            lossy.check_plain(head)
        if not complete:
            return params
        return {**params, "block": max(_BLOCK_MIN, min(self.max_block(params), len(head)))}

    def _is_plain(self, params: Params) -> bool:
        """Whether everything is numbers, and something of them may be lost."""
        return params["dtype"] not in ("auto", "bytes") and lossy.Loss.of(params) is not None

    def max_block(self, params: Params) -> int:
        """The parameter `block`."""
        return int(params["block"])

    def memory(self, params: Params) -> int:
        """Some buffers of a record; 1 MiB for the libraries."""
        return _BUFFERS * self.max_block(params) + _MIB

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        """One block for each record that `cut` gives."""
        keep_freed_memory()
        options = Options(
            block=self.max_block(params),
            dtype=_DTYPES.get(str(params["dtype"])),
            groups=int(params["groups"]),
            sign=bool(params["sign"]),
            probing=params["backend"] == "auto",
            rows=bool(params["rows"]),
        )
        base = _base(params, context)
        records = cut(chunks, options, BaseTensors(base) if base else None)
        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            encoder = _Encoder(params, base)
            if lossy.Loss.of(params):
                coded = mended(map_in_order(encoder.lose, records, threads), context.warn)
                blocks: Iterator[Block] = (one.block() for one in coded)
            else:
                blocks = map_in_order(encoder.encode, records, threads)
            for block in blocks:
                context.progress(block.raw_size)
                yield block

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        """One buffer for each block."""
        keep_freed_memory()
        with announced(context.notice):
            decoder = _Decoder(params, _base(params, context))
            threads = threads_within(context, self.memory(params))
            for raw in map_in_order(decoder.decode, blocks, threads):
                context.progress(len(raw))
                yield raw

    def account(
        self, blocks: Iterable[Block], params: Params, context: Context
    ) -> Iterator[Account]:
        """What the planes of each segment take."""
        decoder = _Decoder(params, _base(params, context))
        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            for account in map_in_order(decoder.account, blocks, threads):
                context.progress(len(account.raw))
                yield account


def _base(params: Params, context: Context) -> Base | None:
    """The base that the parameters name.

    Raises:
        MissingBaseError: There is none, or another one.
    """
    wanted = params["base"]
    if wanted == "none":
        return None
    if context.base is None:
        raise MissingBaseError(
            f"the archive holds differences to a base with XXH3-64 {wanted}. Give that file "
            "with --base, or base="
        )
    if context.base.digest != wanted:
        raise MissingBaseError(
            f"the archive holds differences to a base with XXH3-64 {wanted}; the base given has "
            f"{context.base.digest}. Give the file that it was compressed with"
        )
    return context.base


def _ops(params: Params) -> Ops:
    """The functions to use; by the parameters alone, so that the same archive comes out."""
    return ops(compiled=int(params["block"]) >= _COMPILED_FROM)


class _Encoder:
    """Codes records; one object serves many threads."""

    def __init__(self, params: Params, base: Base | None) -> None:
        self._base = base
        self._ops = _ops(params)
        self._loss = lossy.Loss.of(params)
        settings = Settings(
            str(params["backend"]),
            bool(params["ans"]),
            int(params["level"]),
            float(params["threshold"]),
            int(params["block"]),
        )
        self._coder = PlaneCoder(settings, self._ops)
        self._decoder = _Decoder(params, base)

    def encode(self, record: Record) -> Block:
        raw = record.raw
        parts = self._parts(raw, record.pieces)
        return Block(len(raw), b"".join(part for some in parts for part in some), raw)

    def lose(self, record: Record) -> _Coded:
        """The same of what has lost the precision that it may."""
        content = self._loss.apply(record) if self._loss else bytearray(record.raw)
        parts = self._parts(memoryview(content), record.pieces)
        sizes = [piece.size for piece in record.pieces]
        return _Coded(
            record.raw, content, sizes, record.spans, parts, record.pieces, self, self._decoder
        )

    def piece(self, content: memoryview, piece: Piece) -> list[Buffer]:
        """Code one piece."""
        return encode_piece(content, piece, self._base, self._coder, self._ops)

    def _parts(self, raw: memoryview, pieces: Sequence[Piece]) -> list[list[Buffer]]:
        stops = accumulate(piece.size for piece in pieces)
        return [
            self.piece(raw[stop - piece.size : stop], piece)
            for piece, stop in zip(pieces, stops, strict=True)
        ]


@dataclass
class _Coded(Coded):
    """A record that has lost precision.

    Attributes:
        pieces: What its parts are of.
        encoder, decoder: Of the stream.
    """

    pieces: list[Piece]
    encoder: _Encoder
    decoder: _Decoder

    def encode(self, number: int, content: memoryview) -> list[Buffer]:
        return self.encoder.piece(content, self.pieces[number])

    def decode(self) -> bytearray:
        return bytearray(self.decoder.decode(Block(self.size, self.payload())))

    def block(self) -> Block:
        """It is finished."""
        return Block(self.size, self.payload(), memoryview(self.content))


class _Decoder:
    """Decodes records; one object serves many threads."""

    def __init__(self, params: Params, base: Base | None) -> None:
        self._base = base
        self._ops = _ops(params)

    def decode(self, block: Block) -> Buffer:
        if block.payload is None:
            return block.raw if block.raw is not None else b""
        out = np.frombuffer(block.target or bytearray(block.raw_size), np.uint8)
        try:
            self._decode(Cursor(block.payload), out)
        except _LIBRARY_ERRORS as error:
            raise CorruptError(f"a plane cannot be decoded: {error}") from error
        return block.target or out.data

    def account(self, block: Block) -> Account:
        raw = self.decode(block)
        if block.payload is None:
            return account_of_stored(block)
        payload = Payload(io.BytesIO(block.payload), 0, len(block.payload))
        stretches = (
            Stretch(segment.size, {name: 8.0 * size for name, size in segment.parts.items()})
            for segment in summarise(payload, block.raw_size)
        )
        return account_of(raw, stretches, "segment")

    def _decode(self, payload: Cursor, out: Array) -> None:
        done = 0
        while done < len(out):
            done += decode_segment(payload, out[done:], self._base, self._ops)
        if payload.left:
            raise CorruptError("a payload goes on behind its last segment")


ZIPNN = _Zipnn()
