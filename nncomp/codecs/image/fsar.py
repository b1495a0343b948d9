"""`fsar`: pictures, by predictors that classes of places have, classes by finite-state tables.

Sources: Zhang, Wang et al., "Finite-State Autoregressive Entropy Coding for Efficient Learned
Lossless Compression", 2024 (codes of a latent by tables, with neighbouring codes as the
state); Matsuda et al., 2003 (predictors by classes of blocks). FORMAT.md describes payloads.
"""

from __future__ import annotations

from types import MappingProxyType
from typing import TYPE_CHECKING

import zstandard

from nncomp.codecs.base import Block, Param
from nncomp.codecs.parallel import map_in_order, threads_within
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from nncomp.codecs.base import Buffer, Context, Params
    from nncomp.weights import Weights

__all__ = ["FSAR"]

_MIB = 1 << 20
_BLOCK_MIN, _BLOCK_MAX = 64 << 10, 1 << 30
_FIXED = 128 * _MIB  # what learns takes up to 80, see `sketch`
# Payload, bytes, samples, plates of samples and errors with margins, contexts, residuals.
_TIMES = 20
_ENCODING_TIMES = 26  # predictions, too
_COST = 16  # bytes of what a block of pixels costs under a class


class _Fsar:
    """See `codecs.base.Codec`."""

    name = "fsar"
    codec_id = 48
    version = 2
    profile = 0
    independent = True
    # For classes=0 and small pictures; for mode=paper without weights of one's own.
    shipped = ("weights/fsar_classes.safetensors", "weights/fsar.safetensors")
    params = (
        Param(
            "shape",
            "shape",
            "auto",
            1,
            4,
            help="of plain pixels without a header: HxW, HxWxC or NxHxWxC; N as it comes",
            stored=False,
        ),
        Param("planar", "bool", False, help="with shape: NxCxHxW", stored=False),
        Param("depth", "int", 8, 8, 16, help="with shape: bits, 8 or 16", stored=False),
        Param(
            "pixels",
            "choice",
            "all",
            choices=("all", "only"),
            stored=False,
            help="only: a PNG file that cannot be made again is written anew, WebP as PNG",
        ),
        Param(
            "mode",
            "choice",
            "context",
            choices=("context", "paper"),
            stored=False,
            help="paper: its model, for three colours of 8 bits, shipped or of --weights",
        ),
        Param(
            "prior",
            "choice",
            "o2s",
            choices=("o2s", "o1s", "o0"),
            stored=False,
            help="what the codes of classes depend on: two neighbours, one, none",
        ),
        Param("classes", "int", 16, 0, 64, help="of places, at most; 0: shipped", stored=False),
        Param("patch", "int", 8, 4, 64, help="side of a place: 4, 8, 16, 32 or 64", stored=False),
        Param("rounds", "int", 1, 1, 64, help="of choosing classes", stored=False),
        Param("step", "int", 4, 1, 8, help="of so many rows one is looked at", stored=False),
        Param(
            "learn",
            "choice",
            "drawn",
            choices=("drawn", "all"),
            stored=False,
            help="what a coder that learns is tried on: what seems drawn; all: slow to decode",
        ),
        Param(
            "contexts",
            "int",
            8,
            0,
            12,
            help="of that coder, for samples of up to 8 bits; 0: none learns",
            stored=False,
        ),
        Param("block", "size", 64 * _MIB, _BLOCK_MIN, _BLOCK_MAX, help="size of the records"),
    )
    levels: Mapping[int, Params] = MappingProxyType(
        {
            1: {"classes": 0, "rounds": 1, "contexts": 0},
            2: {"classes": 1, "rounds": 1, "patch": 64, "contexts": 2},
            3: {"classes": 4, "rounds": 1, "patch": 16, "contexts": 4},
            4: {"classes": 8, "patch": 16, "contexts": 6},
            5: {"patch": 16},
            6: {},
            7: {"rounds": 2, "step": 2, "contexts": 10},
            8: {"classes": 24, "rounds": 6, "step": 2, "contexts": 12},
            9: {"classes": 40, "rounds": 16, "step": 1, "learn": "all", "contexts": 12},
        }
    )

    def peek(self, params: Params) -> int:
        """A record, whose size decides on the memory."""
        return int(params["block"]) + 1

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """No larger records than content, or than the pixels of a PNG file."""
        from nncomp.codecs.image.records import settled_block

        return {**params, "block": settled_block(params, head, complete)}

    def max_block(self, params: Params) -> int:
        """As asked for."""
        return int(params["block"])

    def memory(self, params: Params) -> int:
        """So many times a record, and tables."""
        return _TIMES * self.max_block(params) + _FIXED

    def encoding_memory(self, params: Params) -> int:
        """Bytes that each thread takes when encoding."""
        pixels = self.max_block(params)  # of one sample each
        costs = _COST * int(params["classes"]) * pixels // int(params["patch"]) ** 2
        return _ENCODING_TIMES * self.max_block(params) + costs + _FIXED

    def takes_weights(self, params: Params) -> bool:
        """For the model of the paper."""
        return params["mode"] == "paper"

    def own_weights(self) -> Weights:
        """Those of the package."""
        from nncomp import weights

        return weights.load("fsar")

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        """One block for each record."""
        from nncomp.codecs.image.records import Encoder
        from nncomp.coding.jit import announced

        encoder = Encoder(params, context.warn, context.weights)
        threads = threads_within(context, self.encoding_memory(params))
        with announced(context.notice):
            for block in map_in_order(encoder.encode, encoder.cut(chunks), threads):
                context.progress(block.raw_size)
                yield block

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        """One buffer for each block."""
        from nncomp.codecs.image.payload import decode_payload
        from nncomp.coding.jit import announced

        def decode_one(block: Block) -> Buffer:
            if block.payload is None:
                return block.raw if block.raw is not None else b""
            try:
                payload = memoryview(block.payload)
                most = self.max_block(params)
                return decode_payload(payload, block.raw_size, most, context.weights)
            except zstandard.ZstdError as error:
                raise CorruptError(f"a part of a record cannot be decoded: {error}") from error

        threads = threads_within(context, self.memory(params))
        with announced(context.notice):
            for raw in map_in_order(decode_one, blocks, threads):
                context.progress(memoryview(raw).nbytes)
                yield raw


FSAR = _Fsar()
