"""The `sep` codec: SEP's semantics-enhancement block and PAC, learned online.

Nothing of the network is stored. Encoder and decoder start from the same weights and
learn from the same bytes, in exact arithmetic, so that they stay the same. By default the
network codes together with the memory of contexts of `mix`; see FORMAT.md.
"""

from __future__ import annotations

from dataclasses import replace
from types import MappingProxyType
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from nncomp.codecs.account import Account, account_of_stored
from nncomp.codecs.base import Block, Param, rechunk
from nncomp.codecs.mix.mix import CONTEXTS, TABLE_MIN, memory_of, settle_memory, sizes_of
from nncomp.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Mapping

    from nncomp.codecs.base import Buffer, Context, Params
    from nncomp.codecs.neural.loop import Loop
    from nncomp.codecs.neural.records import Records
    from nncomp.models.byte_model import ByteModel
    from nncomp.models.pac import PacConfig
    from nncomp.models.sep import SepConfig

__all__ = ["SEP"]

_T = TypeVar("_T")

# A lane should be long enough to pay for its cold start.
_LANE_BYTES = 2048
_MAX_LANES = 32
_MAX_SEGMENT = 256
_SPAN = 48  # bytes that words are looked for in
# Bytes a row for logits, their gradient, frequencies.
_ROW = 44 * 256
# Frequencies that wait for the coder: some 2048 rows at a time.
_WAITING = 16 << 20


class _Optimiser(NamedTuple):
    beta1: float
    beta2: float
    eps: float
    weight_decay: float


# The settings of SEP, PAC and TRACE, and those of NNCP and tensorflow-compress.
_OPTIMISERS = {
    "adam": _Optimiser(0.9, 0.999, 1e-8, 1e-7),
    "nncp": _Optimiser(0.0, 0.9999, 1e-8, 0.0),
}

_PARAMS = (
    Param("lanes", "int", 0, 0, 4096, help="lanes coded side by side; 0: by size"),
    Param(
        "segment",
        "int",
        0,
        0,
        _MAX_SEGMENT,
        help="steps between updates; 0: by batch",
    ),
    Param("batch", "int", 128, 1, 1 << 16, help="bytes between updates", stored=False),
    Param("seb", "bool", True, help="semantics-enhancement block; off: plain PAC"),
    Param("context", "int", 40, 1, 1024, help="bytes that the patches cover"),
    Param("patch", "int", 16, 1, 256, help="bytes in a patch"),
    Param("stride", "int", 8, 1, 256, help="every stride-th patch always counts"),
    Param("fused", "int", 1, 1, 16, help="fused patches a step"),
    Param("direct", "int", 8, 0, 64, help="newest bytes that reach the backbone as they are"),
    Param("embedding", "int", 32, 1, 256, help="numbers a byte"),
    Param("words", "int", 3, 0, 16, help="newest words that reach the backbone, hashed"),
    Param("tokens", "int", 1, 1, 256, help="tokens that the backbone keeps"),
    Param("levels", "int", 1, 1, 16, help="levels of the backbone"),
    Param("ffn", "int", 512, 1, 16384, help="hidden width of the MLPs"),
    Param(
        "mixing",
        "choice",
        "shared",
        choices=("shared", "lane"),
        help="token matrices: one for all lanes, or one a lane",
    ),
    Param("mask", "bool", False, help="weigh tokens by position, as a lane learns to"),
    Param("std", "float", 0.05, 1e-6, 1.0, help="deviation of the initial weights"),
    Param(
        "optimiser",
        "choice",
        "nncp",
        choices=tuple(_OPTIMISERS),
        help="adam: PAC's settings; nncp: NNCP's",
    ),
    Param("lr", "float", 4e-3, 1e-8, 1.0, help="learning rate at the start"),
    Param("final", "float", 0.1, 0.0, 1.0, help="share of the rate left in the end"),
    Param("decay", "size", 256 << 10, 1, 1 << 40, help="bytes until half of the fall is done"),
    Param("memory", "bool", True, help="memory of contexts; off: the network alone"),
    Param("contexts", "int", CONTEXTS, 1, CONTEXTS, help="the most contexts in use"),
    Param("table", "size", 128 << 20, TABLE_MIN, 16 << 30, help="memory of contexts"),
    Param("block", "size", 16 << 20, 1 << 16, 1 << 30, help="bytes a record, held in memory"),
)

# From fast to small: wider networks, and updates after fewer steps.
_LEVELS: Mapping[int, Params] = MappingProxyType(
    {
        1: {"ffn": 128, "batch": 512},
        2: {"ffn": 256, "batch": 512},
        3: {"ffn": 256, "batch": 256},
        4: {"ffn": 512, "batch": 256},
        5: {},
        6: {"ffn": 1024},
        7: {"ffn": 1024, "batch": 64},
        8: {"ffn": 2048, "batch": 64},
        9: {"ffn": 4096, "batch": 64, "tokens": 2, "levels": 2},
    }
)


class _Sep:
    """See `codecs.base.Codec`."""

    name = "sep"
    codec_id = 16
    version = 2
    profile = 1
    params = _PARAMS
    levels = _LEVELS
    independent = False

    def peek(self, params: Params) -> int:
        """A whole block, which the number of lanes depends on."""
        return int(params["block"])

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        """Choose lanes and memory by the size of the first block.

        Lanes that take turns learn of each other what a memory would rather know of the
        bytes just before: 32 of them cost it 5% of text, 2 of them 1.5%. So it has one.
        """
        lanes, segment = int(params["lanes"]), int(params["segment"])
        if lanes == 0:
            lanes = max(1, min(_MAX_LANES, memoryview(head).nbytes // _LANE_BYTES))
            lanes = 1 if params["memory"] else lanes
        segment = segment or max(1, min(int(params["batch"]) // lanes, _MAX_SEGMENT))
        settled = {**params, "lanes": lanes, "segment": segment}
        if params["memory"]:
            settled.update(settle_memory(params, head, complete))
        _configs(settled)
        return settled

    def max_block(self, params: Params) -> int:
        """As asked for."""
        return int(params["block"])

    def memory(self, params: Params) -> int:
        """Weights, moments and gradients; a segment's activations; a block; the memory.

        Encoding takes no more, though a second memory where the limit has room for it. A
        weight takes 32 bytes, 12 of them for the copy that an encoder can go back to; those
        of the largest tensor take 20 more while their gradient is made from integer
        products. A block is held as 8 bytes for each of its own, and as what it is made of.
        """
        backbone, seb = _configs(params)
        weights = int(params["embedding"]) * seb.symbols + backbone.parameters()
        rows = backbone.lanes * int(params["segment"])
        patches = rows * seb.positions * seb.embedding if params["seb"] else 0
        level = 12 * backbone.ffn + 40 * backbone.width
        activations = rows * (backbone.levels * level + _ROW) + 20 * patches
        if backbone.mask:
            pairs = backbone.lanes * int(params["tokens"]) ** 2
            activations += 16 * (rows * backbone.width + pairs)
        context = 8 * backbone.lanes * (max(seb.context, _SPAN) + 1)
        learning = 32 * weights + 20 * backbone.largest
        network = _WAITING + learning + activations + context
        if params["memory"]:
            return network + 16 * int(params["block"]) + memory_of(params)
        return network + 11 * int(params["block"])

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        """Code block after block with one network that goes on learning."""
        from nncomp.codecs.neural.loop import granted

        loop: Loop | None = None
        limit = context.memory_limit
        beside = limit is None or limit >= self.memory(params) + memory_of(params)
        for raw in rechunk(chunks, int(params["block"])):
            with granted(_for_network(params, context)):
                loop = loop or _loop(params, context)
                payload = _records(loop, params, beside).encode(raw)
            yield Block(len(raw), payload, raw)
        if loop is not None:
            context.notice(loop.shares("mixer and coder, beside it"))

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        """Decode block after block."""

        def stored(block: Block) -> Buffer:
            return block.raw if block.raw is not None else b""

        return self._each(blocks, params, context, stored, lambda records: records.decode)

    def account(
        self, blocks: Iterable[Block], params: Params, context: Context
    ) -> Iterator[Account]:
        """What each byte of each block costs, and which inputs foretold it."""
        return self._each(
            blocks, params, context, account_of_stored, lambda records: records.account
        )

    def _each(
        self,
        blocks: Iterable[Block],
        params: Params,
        context: Context,
        stored: Callable[[Block], _T],
        work: Callable[[Records], Callable[[memoryview, int], _T]],
    ) -> Iterator[_T]:
        """What is made of each block, with one network that goes on learning."""
        from nncomp.codecs.neural.loop import granted

        loop: Loop | None = None
        for block in blocks:
            if block.payload is None:
                context.progress(block.raw_size)
                yield stored(block)
                continue
            with granted(_for_network(params, context)):
                loop = loop or _loop(params, context)
                result = work(_records(loop, params))(memoryview(block.payload), block.raw_size)
            yield result
        if loop is not None:
            context.notice(loop.shares("steps of network, mixer and coder"))


def _configs(params: Params) -> tuple[PacConfig, SepConfig]:
    """The sizes that the parameters stand for.

    Raises:
        MethodError: They contradict each other.
    """
    from nncomp.exact.products import MAX_BATCHED_TERMS, MAX_TERMS
    from nncomp.models.pac import PacConfig
    from nncomp.models.sep import SepConfig

    def number(name: str) -> int:
        return int(params[name])

    seb = SepConfig(
        *map(number, ("context", "patch", "stride", "fused", "direct", "embedding", "words"))
    )
    token = seb.token if params["seb"] else seb.embedding
    backbone = PacConfig(
        lanes=number("lanes"),
        token=token,
        width=token * number("tokens"),
        levels=number("levels"),
        ffn=number("ffn"),
        mixing=str(params["mixing"]),
        mask=bool(params["mask"]),
    )
    if backbone.lanes < 1 or number("segment") < 1:
        raise MethodError("there must be a lane, and a step between updates")
    if seb.patch > seb.context:
        raise MethodError(f"patch={seb.patch} is longer than context={seb.context}")
    if backbone.mask and number("tokens") == 1:
        raise MethodError("mask=on weighs tokens against each other, and tokens=1 keeps but one")
    if any(backbone.width % d for d in backbone.widths):
        raise MethodError(
            f"tokens={number('tokens')} cannot be halved {backbone.levels - 1} times. "
            "Use a power of two, or fewer levels"
        )
    rows = backbone.lanes * number("segment") * (seb.embedding if params["seb"] else 1)
    if rows > MAX_TERMS:
        what = "lanes times segment" + (" times embedding" if params["seb"] else "")
        raise MethodError(f"{what} is {rows}, more than {MAX_TERMS}")
    if backbone.width > MAX_TERMS:
        raise MethodError(f"a network {backbone.width} wide is wider than {MAX_TERMS}")
    if backbone.mixing == "lane" and backbone.widths[-1] > MAX_BATCHED_TERMS:
        raise MethodError(
            f"mixing=lane with tokens {backbone.widths[-1]} wide is wider than {MAX_BATCHED_TERMS}"
        )
    return backbone, seb


def _for_network(params: Params, context: Context) -> Context:
    """A thread less for the network where a memory works beside it."""
    threads = context.threads - 1 if params["memory"] else context.threads
    return replace(context, threads=max(1, threads))


def _records(loop: Loop, params: Params, beside: bool = True) -> Records:
    """How records are coded."""
    from nncomp.codecs.neural.records import MemorySizes, Records

    sizes = MemorySizes(*sizes_of(params), int(params["block"]))
    return Records(loop, sizes if params["memory"] else None, beside)


def _loop(params: Params, context: Context) -> Loop:
    """The freshly initialised network and its loop."""
    from nncomp.codecs.neural.loop import Loop, Training, choose_device
    from nncomp.exact.adam import AdamConfig
    from nncomp.exact.init import Init
    from nncomp.models.pac import Pac
    from nncomp.models.sep import Sep

    backbone, seb = _configs(params)
    init = Init(std=float(params["std"]))
    model: ByteModel = Sep(seb, backbone, init) if params["seb"] else Pac(backbone, init)
    training = Training(
        segment=int(params["segment"]),
        adam=AdamConfig(float(params["lr"]), *_OPTIMISERS[str(params["optimiser"])]),
        final=float(params["final"]),
        decay=int(params["decay"]),
    )
    return Loop(model, training, choose_device(context.device), context.progress)


SEP = _Sep()
