"""General codecs: nothing at all, and the libraries everyone has.

Every record is coded on its own, in threads when allowed, so that any of them decodes
without the others. Payloads leave out what the record header says already; FORMAT.md has
them byte for byte. Their decoders make room for exactly the raw size of the record, which
the container has checked, whatever the payload claims.

Sources: Zstandard (RFC 8878), LZ4 (block format), Snappy (raw format), through the
libraries zstandard, lz4 and python-snappy.
"""

from __future__ import annotations

import threading
from abc import ABC, abstractmethod
from types import MappingProxyType
from typing import TYPE_CHECKING

import lz4.block
import snappy
import zstandard

from nncomp.codecs.account import Account, Stretch, account_of, account_of_stored
from nncomp.codecs.base import Block, Param, rechunk
from nncomp.codecs.frames import frame_blocks, pack_frame, unpack_frame
from nncomp.codecs.parallel import map_in_order, threads_within
from nncomp.errors import CorruptError, MethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nncomp.codecs.base import Buffer, Context, Params

__all__ = ["LZ4", "SNAPPY", "STORE", "ZSTD"]

_MIB = 1 << 20
_BLOCK_MIN = 64 << 10
_BLOCK_MAX = 1 << 30
_BLOCK = Param(
    "block", "size", _MIB, _BLOCK_MIN, _BLOCK_MAX, help="size of the records, coded one by one"
)
# The hash table of the long search has one entry of 8 bytes per 128 bytes of window.
_LONG_TABLE_SHIFT = 4


class _GeneralCodec(ABC):
    """What the general codecs share; see `codecs.base.Codec`.

    Attributes:
        errors: What the library raises for payloads that it cannot decode.
    """

    name: str
    codec_id: int
    version = 1
    profile = 0
    params: tuple[Param, ...] = (_BLOCK,)
    levels: Mapping[int, Params] = MappingProxyType({})
    independent = True
    errors: tuple[type[Exception], ...] = ()

    @abstractmethod
    def encoder(self, params: Params) -> Callable[[Buffer], bytes | None]:
        """A function that codes one record; it may be called from several threads."""

    @abstractmethod
    def decode_payload(self, payload: Buffer, raw_size: int) -> bytes:
        """Decode one record, or raise one of `errors`; at most `raw_size` bytes."""

    def peek(self, params: Params) -> int:
        """`settle` looks at what the caller has anyway."""
        return 0

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """No larger records than content, so that small archives ask for little memory."""
        if not complete or "block" not in params:
            return params
        return {**params, "block": max(_BLOCK_MIN, min(self.max_block(params), len(head)))}

    def max_block(self, params: Params) -> int:
        """The parameter `block`."""
        return int(params["block"])

    def memory(self, params: Params) -> int:
        """Payload, payload with its header put back, decoded bytes; 1 MiB for the library."""
        return 3 * self.max_block(params) + _MIB

    def encoding_memory(self, params: Params) -> int:
        """Bytes that each thread takes when encoding."""
        return self.memory(params)

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        """One block for each `block` bytes."""
        work = self.encoder(params)

        def encode_one(raw: bytes) -> Block:
            return Block(len(raw), work(raw), raw)

        threads = threads_within(context, self.encoding_memory(params))
        for block in map_in_order(encode_one, rechunk(chunks, self.max_block(params)), threads):
            context.progress(block.raw_size)
            yield block

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        """One buffer for each block."""
        for raw in map_in_order(
            self._decode_one, blocks, threads_within(context, self.memory(params))
        ):
            context.progress(len(raw))
            yield raw

    def _decode_one(self, block: Block) -> Buffer:
        if block.payload is None:
            return block.raw if block.raw is not None else b""
        try:
            return self.decode_payload(block.payload, block.raw_size)
        except self.errors as error:
            raise CorruptError(f"{self.name} cannot decode a record: {error}") from error


class _Store(_GeneralCodec):
    """No compression: records are stored, checksums and index are all that is added."""

    name = "store"
    codec_id = 0
    params = ()

    def max_block(self, params: Params) -> int:
        return _MIB

    def encoder(self, params: Params) -> Callable[[Buffer], bytes | None]:
        return lambda raw: None

    def decode_payload(self, payload: Buffer, raw_size: int) -> bytes:
        raise CorruptError("a coded record in an archive whose codec codes nothing")


class _Zstd(_GeneralCodec):
    """Zstandard, each record a frame without its header."""

    name = "zstd"
    codec_id = 1
    params = (
        Param("level", "int", 3, -7, 22, help="-7 fastest, 22 smallest", stored=False),
        Param(
            "long",
            "int",
            0,
            0,
            30,
            help="search matches in records of at least 2^long bytes (10 to 30; 0: off)",
            stored=False,
        ),
        _BLOCK,
    )
    levels = MappingProxyType(
        {
            1: {"level": 1},
            2: {"level": 2},
            3: {"level": 3},
            4: {"level": 6},
            5: {"level": 9},
            # From here on records are as large as the window that the level searches.
            6: {"level": 12, "block": 4 * _MIB},
            7: {"level": 15, "block": 4 * _MIB},
            8: {"level": 19, "block": 8 * _MIB},
            9: {"level": 22, "block": 128 * _MIB},
        }
    )
    errors = (zstandard.ZstdError,)

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """Records as large as the long window; no larger than the content."""
        long = int(params["long"])
        if 0 < long < zstandard.WINDOWLOG_MIN:
            raise MethodError(
                f"long={long} is not valid: expected 0, or {zstandard.WINDOWLOG_MIN} to 30"
            )
        block = max(self.max_block(params), 1 << long)
        return super().settle({**params, "block": block}, head, complete)

    def encoding_memory(self, params: Params) -> int:
        """The match finder's tables on top; the library cannot estimate those of `long`."""
        long = int(params["long"])
        tables: int = _library_params(
            params, search_long=False
        ).estimated_compression_context_size()
        return self.memory(params) + tables + ((1 << long) >> _LONG_TABLE_SHIFT)

    def encoder(self, params: Params) -> Callable[[Buffer], bytes]:
        library_params = _library_params(params, search_long=bool(params["long"]))
        local = threading.local()  # a compressor works for one thread at a time

        def encode(raw: Buffer) -> bytes:
            if not hasattr(local, "compressor"):
                local.compressor = zstandard.ZstdCompressor(compression_params=library_params)
            return pack_frame(local.compressor, raw)

        return encode

    def decode_payload(self, payload: Buffer, raw_size: int) -> bytes:
        return unpack_frame(payload, raw_size)

    def account(
        self, blocks: Iterable[Block], params: Params, context: Context
    ) -> Iterator[Account]:
        """What each block of a frame takes."""
        threads = threads_within(context, self.memory(params))
        for account in map_in_order(self._account_one, blocks, threads):
            context.progress(len(account.raw))
            yield account

    def _account_one(self, block: Block) -> Account:
        if block.payload is None:
            return account_of_stored(block)
        raw = self._decode_one(block)
        sizes = frame_blocks(block.payload, block.raw_size)
        stretches = (Stretch(size, {"blocks of Zstandard": 8.0 * coded}) for size, coded in sizes)
        return account_of(raw, stretches, "block")


def _library_params(params: Params, *, search_long: bool) -> zstandard.ZstdCompressionParameters:
    window = {"window_log": int(params["long"])} if params["long"] else {}
    return zstandard.ZstdCompressionParameters.from_level(
        int(params["level"]),
        source_size=int(params["block"]),
        enable_ldm=search_long,
        write_content_size=False,
        write_checksum=False,
        write_dict_id=False,
        **window,
    )


class _Lz4(_GeneralCodec):
    """LZ4, each record a block."""

    name = "lz4"
    codec_id = 2
    params = (
        Param("level", "int", 0, 0, 12, help="0 fast, 12 smallest", stored=False),
        _BLOCK,
    )
    levels = MappingProxyType(
        {
            level: {"level": library}
            for level, library in enumerate((0, 2, 3, 4, 6, 8, 9, 10, 12), start=1)
        }
    )
    errors = (lz4.block.LZ4BlockError,)

    def encoder(self, params: Params) -> Callable[[Buffer], bytes]:
        level = int(params["level"])

        def encode(raw: Buffer) -> bytes:
            mode = {"mode": "high_compression", "compression": level} if level else {}
            payload: bytes = lz4.block.compress(raw, store_size=False, **mode)
            return payload

        return encode

    def decode_payload(self, payload: Buffer, raw_size: int) -> bytes:
        raw: bytes = lz4.block.decompress(payload, uncompressed_size=raw_size)
        return raw


class _Snappy(_GeneralCodec):
    """Snappy, each record a raw stream without its leading length."""

    name = "snappy"
    codec_id = 3
    errors = (snappy.UncompressError,)

    def encoder(self, params: Params) -> Callable[[Buffer], bytes]:
        def encode(raw: Buffer) -> bytes:
            payload: bytes = snappy.compress(raw)
            return payload[len(_snappy_length(len(raw))) :]

        return encode

    def decode_payload(self, payload: Buffer, raw_size: int) -> bytes:
        raw: bytes = snappy.uncompress(b"".join((_snappy_length(raw_size), payload)))
        return raw


def _snappy_length(size: int) -> bytes:
    """The length that a raw Snappy stream begins with: seven bits per byte, lowest first."""
    last = (max(size.bit_length(), 1) - 1) // 7
    return bytes(size >> 7 * i & 0x7F | (0x80 if i < last else 0) for i in range(last + 1))


STORE = _Store()
ZSTD = _Zstd()
LZ4 = _Lz4()
SNAPPY = _Snappy()
