"""`emb`: tables of embeddings, quantised within a bound, their repeated rows kept once.

Sources: error-bounded compression for recommendation training (Feng et al., SC'24,
arXiv:2407.04272): quantisation, then an encoder for what comes again. FORMAT.md describes the
payload, which knows of no file format.
"""

from __future__ import annotations

import io
import re
from types import MappingProxyType
from typing import TYPE_CHECKING

from nncomp.codecs.account import Stretch, account_of, account_of_stored
from nncomp.codecs.base import Block, Param
from nncomp.codecs.embedding.payload import Wanted, decode_record, encode_record
from nncomp.codecs.embedding.quantiser import BOUND_MAX
from nncomp.codecs.embedding.records import Shape, cut
from nncomp.codecs.embedding.summary import summarise
from nncomp.codecs.embedding.table import AUTO, CODERS, LIBRARY_ERRORS, PART_MAX
from nncomp.codecs.parallel import map_in_order, threads_within
from nncomp.codecs.tensor.cursor import Cursor
from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.codecs.tensor.lossy import HEAD_SIZE, check_plain
from nncomp.codecs.tensor.mending import mended
from nncomp.codecs.tensor.summary import Payload
from nncomp.coding.jit import announced
from nncomp.errors import CorruptError, MethodError
from nncomp.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nncomp.codecs.account import Account
    from nncomp.codecs.base import Buffer, Context, Params
    from nncomp.codecs.embedding.payload import CodedTables
    from nncomp.codecs.embedding.records import Record

__all__ = ["EMB"]

_MIB = 1 << 20
_BLOCK_MIN, _BLOCK_MAX = 64 << 10, 256 * _MIB
# Payload, content, a table of it; codes, groups and contexts of a part, for each element.
_BUFFERS, _ELEMENT = 4, 32
_DTYPES = ("f32", "f16", "bf16", "f64")


class _Emb:
    """See `codecs.base.Codec`."""

    name = "emb"
    codec_id = 33
    version = 1
    profile = 0
    independent = True
    params = (
        Param("bound", "float", 0.0, 0, BOUND_MAX, help="lossy: largest error; 0: none"),
        Param(
            "mode",
            "choice",
            "abs",
            choices=("abs", "rel"),
            help="abs: the bound as it is; rel: times the range of each table",
        ),
        Param(
            "shape",
            "shape",
            AUTO,
            2,
            2,
            help="rows and columns of tables without a file format around them",
            stored=False,
        ),
        Param(
            "dtype",
            "choice",
            _DTYPES[0],
            choices=_DTYPES,
            help="element type of tables whose shape is given",
            stored=False,
        ),
        Param(
            "entropy",
            "choice",
            AUTO,
            choices=(AUTO, *CODERS),
            help="what codes the rows; auto: ans, zstd where smaller, or the fastest by bandwidth",
            stored=False,
        ),
        Param(
            "bandwidth",
            "float",
            0.0,
            0,
            1e15,
            help="bytes per second of a network that archives are for; 0: size alone counts",
            stored=False,
        ),
        Param("block", "size", 16 * _MIB, _BLOCK_MIN, _BLOCK_MAX, help="size of the records"),
    )
    levels: Mapping[int, Params] = MappingProxyType({})

    def peek(self, params: Params) -> int:
        """A format, where there should be none; else `settle` looks at what there is anyway."""
        return HEAD_SIZE if _is_plain(params) else 0

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """No larger records than content; a shape that a record has room for."""
        _check(params)
        if _is_plain(params):
            check_plain(head)
        if not complete:
            return params
        return {**params, "block": max(_BLOCK_MIN, min(self.max_block(params), len(head)))}

    def max_block(self, params: Params) -> int:
        """The parameter `block`."""
        return int(params["block"])

    def memory(self, params: Params) -> int:
        """Some buffers of a record, more of a part of a table; 4 MiB for the libraries."""
        block = self.max_block(params)
        return _BUFFERS * block + _ELEMENT * min(block // 2, PART_MAX) + 4 * _MIB

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        """One block for each record that `cut` gives."""
        keep_freed_memory()
        wanted = Wanted(
            float(params["bound"]),
            params["mode"] == "rel",
            str(params["entropy"]),
            float(params["bandwidth"]),
        )

        def encode(record: Record) -> CodedTables:
            return encode_record(record, wanted)

        shape = _shape(params)
        records = cut(chunks, self.max_block(params), shape)
        if wanted.bound:
            records = _watched(records, shape, context.warn)
        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            found = map_in_order(encode, records, threads)
            for coded in mended(found, context.warn) if wanted.bound else found:
                context.progress(coded.size)
                yield Block(coded.size, coded.payload(), memoryview(coded.content))

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        """One buffer for each block."""
        keep_freed_memory()
        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            for raw in map_in_order(_decode_block, blocks, threads):
                context.progress(len(raw))
                yield raw

    def account(
        self, blocks: Iterable[Block], params: Params, context: Context
    ) -> Iterator[Account]:
        """What each table takes, and the bytes between them."""
        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            for account in map_in_order(_account, blocks, threads):
                context.progress(len(account.raw))
                yield account


def _watched(
    records: Iterable[Record], shape: Shape | None, warn: Callable[[str], None]
) -> Iterator[Record]:
    """The records; tells at their end where a bound has met no table, or half a one."""
    size = tables = 0
    for record in records:
        size += len(record.raw)
        tables += sum(piece.kind is not None for piece in record.pieces)
        yield record
    if size and not tables and shape is None:
        warn(
            "no table was found, so that everything is kept exactly. Give shape= and dtype= where "
            "there is no file format (or one that is not known); arrays in files have to be "
            "little-endian and not compressed (numpy.savez, not numpy.savez_compressed)"
        )
    elif shape is not None and size % shape.size:
        odd = size % (shape.columns * shape.dtype.unit)
        warn(
            f"{size} bytes are no whole number of tables of {shape.rows}x{shape.columns} "
            f"{shape.dtype.name}: the last has fewer rows"
            + f", and the last {odd} bytes are kept exactly"
            * bool(odd)
        )


def _account(block: Block) -> Account:
    raw = _decode_block(block)
    if block.payload is None:
        return account_of_stored(block)
    payload = Payload(io.BytesIO(block.payload), 0, len(block.payload))
    stretches = (
        Stretch(segment.size, {name: 8.0 * size for name, size in segment.parts.items()})
        for segment in summarise(payload, block.raw_size)
    )
    return account_of(raw, stretches, "segment")


def _decode_block(block: Block) -> Buffer:
    if block.payload is None:
        return block.raw if block.raw is not None else b""
    return _decode(block.payload, block.target or bytearray(block.raw_size))


def _decode(payload: Buffer, target: bytearray | memoryview) -> memoryview:
    out = memoryview(target)
    try:
        decode_record(Cursor(payload), out)
    except LIBRARY_ERRORS as error:
        raise CorruptError(f"a plane cannot be decoded: {error}") from error
    return target if isinstance(target, memoryview) else out


def _is_plain(params: Params) -> bool:
    """Whether everything is tables, and something of them may be lost."""
    return _shape(params) is not None and bool(params["bound"])


def _check(params: Params) -> None:
    """Refuse what would have no effect.

    Raises:
        MethodError: There is a mode without a bound, or a bandwidth without a choice.
    """
    if params["mode"] != "abs" and not params["bound"]:
        raise MethodError("mode=rel is of a bound: give one, too (bound=1e-2)")
    if params["bandwidth"] and params["entropy"] != AUTO:
        raise MethodError(
            f"entropy={params['entropy']} leaves nothing to choose by bandwidth=: leave one out"
        )


def _shape(params: Params) -> Shape | None:
    """The tables of a stream without a format; None: look for a format.

    Raises:
        MethodError: No record has room for a row; or there is a type, but no shape.
    """
    if params["shape"] == AUTO:
        if params["dtype"] != _DTYPES[0]:
            raise MethodError(
                f"dtype={params['dtype']} is of tables without a file format: give their shape, "
                "too (shape=ROWSxCOLUMNS)"
            )
        return None
    rows, columns = map(int, re.findall("[0-9]+", str(params["shape"])))
    dtype = DTYPES[str(params["dtype"]).upper()]
    if columns * dtype.unit > int(params["block"]):
        raise MethodError(
            f"shape={params['shape']} is not valid: a row has more bytes than a record. "
            "Set block to more"
        )
    return Shape(rows, columns, dtype)


EMB = _Emb()
