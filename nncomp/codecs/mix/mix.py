"""The `mix` codec: a memory of contexts, mixed bit by bit.

Nothing of the memory is stored. Encoder and decoder start from nothing and learn from
the same bits, in integers. Records are coded one by one, so that any of them decodes
without the others; see FORMAT.md.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING, TypeVar

from nncomp.codecs.account import Account, account_of_stored
from nncomp.codecs.base import Block, Param, rechunk
from nncomp.codecs.parallel import map_in_order, threads_within

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nncomp.codecs.base import Buffer, Context, Params

__all__ = ["CONTEXTS", "MIX", "TABLE_MIN", "memory_of", "settle_memory", "sizes_of"]

_MIB = 1 << 20
_T = TypeVar("_T")
CONTEXTS = 24
_LINE_BYTES = 64
TABLE_MIN = 1 << 18
# What a block needs of the table: two thirds of a line for each byte and context, of
# which half are met again.
_TABLE_PER_BYTE = _LINE_BYTES * CONTEXTS // 3
# Maps, weights, refinements, match tables, tables of constants; with room for what
# an allocator adds.
_FIXED = 48 * _MIB

_PARAMS = (
    Param("contexts", "int", CONTEXTS, 1, CONTEXTS, help="the most contexts in use; up to 5: lean"),
    Param("table", "size", 128 * _MIB, TABLE_MIN, 16 << 30, help="memory of contexts"),
    Param("block", "size", 32 * _MIB, 64 << 10, 1 << 30, help="size of the records, coded alone"),
)

# From fast to small: more contexts, more memory. The first is the lean predictor's.
_LEVELS: Mapping[int, Params] = MappingProxyType(
    {
        1: {"contexts": 5, "table": 32 * _MIB},
        2: {"contexts": 6, "table": 32 * _MIB},
        3: {"contexts": 8, "table": 64 * _MIB},
        4: {"contexts": 10, "table": 64 * _MIB},
        5: {"contexts": 12, "table": 64 * _MIB},
        6: {},
        7: {"table": 256 * _MIB},
        8: {"table": 512 * _MIB, "block": 128 * _MIB},
        9: {"table": 1024 * _MIB, "block": 512 * _MIB},
    }
)


class _Mix:
    """See `codecs.base.Codec`."""

    name = "mix"
    codec_id = 8
    version = 2
    profile = 0
    params = _PARAMS
    levels = _LEVELS
    independent = True

    def peek(self, params: Params) -> int:
        """A block, whose size decides on the memory."""
        return int(params["block"]) + 1

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """No more memory than the content can fill."""
        return {**params, **settle_memory(params, head, complete)}

    def max_block(self, params: Params) -> int:
        """As asked for."""
        return int(params["block"])

    def memory(self, params: Params) -> int:
        """While coding, or while a PNG file is taken apart or put together: see `payload`.

        Coding takes table and counters, and content five times: raw, content, coded order,
        history, payload. Files take it eight times, as file, chunks, stream, lines and pixels.
        """
        block = int(params["block"])
        return max(memory_of(params) + 5 * block, 8 * block + _FIXED)

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        """One block for each `block` bytes."""
        from nncomp.codecs.mix.payload import encode_payload
        from nncomp.coding.jit import announced

        sizes = *sizes_of(params), int(params["block"])

        def encode_one(raw: bytes) -> Block:
            return Block(len(raw), encode_payload(raw, *sizes), raw)

        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            for block in map_in_order(encode_one, rechunk(chunks, int(params["block"])), threads):
                context.progress(block.raw_size)
                yield block

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        """One buffer for each block."""
        from nncomp.codecs.mix.payload import decode_payload

        sizes = *sizes_of(params), int(params["block"])

        def decode_one(block: Block) -> Buffer:
            if block.payload is None:
                return block.raw if block.raw is not None else b""
            return decode_payload(memoryview(block.payload), block.raw_size, *sizes)

        return self._each(decode_one, blocks, params, context)

    def account(
        self, blocks: Iterable[Block], params: Params, context: Context
    ) -> Iterator[Account]:
        """What each byte of each block costs, and which inputs foretold it."""
        from nncomp.codecs.mix.account import account_payload

        sizes = *sizes_of(params), int(params["block"])

        def account_one(block: Block) -> Account:
            if block.payload is None:
                return account_of_stored(block)
            return account_payload(memoryview(block.payload), block.raw_size, *sizes)

        return self._each(account_one, blocks, params, context)

    def _each(
        self,
        work: Callable[[Block], _T],
        blocks: Iterable[Block],
        params: Params,
        context: Context,
    ) -> Iterator[_T]:
        """What `work` makes of each block."""
        from nncomp.coding.jit import announced

        def sized(block: Block) -> tuple[int, _T]:
            return block.raw_size, work(block)

        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            for size, result in map_in_order(sized, blocks, threads):
                context.progress(size)
                yield result


def settle_memory(params: Params, head: Buffer, complete: bool) -> Params:
    """Block and table no larger than the content, if `head` is all; the table a power of two.

    The lines of a PNG file are larger than the file.
    """
    from nncomp.coding.png.chunks import lines_size

    size = block = int(params["block"])
    if complete:
        view = memoryview(head).cast("B")
        size = min(block, max(view.nbytes, lines_size(view)))
        block = max(64 << 10, size)
    table = max(TABLE_MIN, min(int(params["table"]), size * _TABLE_PER_BYTE))
    return {"table": 1 << table.bit_length() - 1, "block": block}


def memory_of(params: Params) -> int:
    """Bytes that the memory of contexts takes, the bytes of a block not counted."""
    return int(params["table"]) * 5 // 4 + _FIXED


def sizes_of(params: Params) -> tuple[int, int]:
    """log2 of the lines of the table, and the number of contexts."""
    return (int(params["table"]) // _LINE_BYTES).bit_length() - 1, int(params["contexts"])


MIX = _Mix()
