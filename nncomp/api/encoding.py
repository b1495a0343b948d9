"""Compressing: method string in, one archive member out."""

from __future__ import annotations

import io
from dataclasses import dataclass, replace
from typing import TYPE_CHECKING, BinaryIO

from nncomp.api.base import open_base
from nncomp.api.choice import HEAD_SIZE, choose
from nncomp.api.source import BufferSource, StreamSource
from nncomp.codecs.base import Context, Weighted, pack_params, parse_method, resolve_params
from nncomp.codecs.registry import AUTO, by_id, by_name
from nncomp.container.layout import Header
from nncomp.container.limits import default_memory_limit
from nncomp.container.writer import MemberWriter, write_all
from nncomp.errors import LimitError, MethodError, UsageError
from nncomp.memory import Scratch
from nncomp.weights import read as read_weights

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.api.base import BaseLike, WeightsLike
    from nncomp.api.source import Source
    from nncomp.codecs.base import Buffer, Codec, Params
    from nncomp.container.writer import Sink

__all__ = [
    "DEFAULT_METHOD",
    "Result",
    "check_method",
    "compress",
    "compress_stream",
    "make_context",
    "prepare",
]

DEFAULT_METHOD = AUTO

_STORE_ID = 0


@dataclass(frozen=True)
class Result:
    """What was done.

    Attributes:
        raw_size: Size of the content in bytes.
        archive_size: Size of the archive in bytes.
        method: Method string with all parameters that are known, never "auto"; "store"
            where that was switched to because nothing came out smaller. For several members
            with different methods, all of them, separated by blanks.
    """

    raw_size: int
    archive_size: int
    method: str


def make_context(
    threads: int,
    device: str,
    memory_limit: int | None,
    base: BaseLike = None,
    weights: WeightsLike = None,
) -> Context:
    """A context from plain arguments.

    Raises:
        UsageError: One of them is out of range.
        FileError: The weights are none.
    """
    if threads < 1:
        raise UsageError(f"threads={threads} is not valid: expected at least 1")
    if memory_limit is not None and memory_limit < 0:
        raise UsageError(f"memory_limit={memory_limit} is not valid: expected bytes, or None")
    if device not in ("auto", "cpu", "cuda"):
        raise UsageError(f"device={device!r} is not valid: expected auto, cpu or cuda")
    context = Context(
        threads=threads,
        device=device,
        memory_limit=memory_limit,
        weights=None if weights is None else read_weights(weights),
    )
    return context if base is None else replace(context, base=open_base(base, context))


def grant(context: Context | None) -> tuple[Context, int]:
    """The context with its memory limit filled in, and that limit."""
    context = context or Context()
    limit = default_memory_limit() if context.memory_limit is None else context.memory_limit
    return replace(context, memory_limit=limit), limit


def refuse_above_limit(needed: int, limit: int, what: str) -> None:
    """Raise `LimitError` if `needed` bytes are more than `limit`."""
    if needed > limit:
        raise LimitError(
            f"{what} takes {needed} bytes of memory, the limit is {limit} bytes. Raise it with "
            "-M/--memory or memory_limit if that is meant"
        )


def check_method(method: str, level: int | None) -> None:
    """Refuse what `compress` would refuse, before there is any content.

    Raises:
        MethodError: As for `prepare`; or parameters of "auto", which has none.
    """
    name, settings = parse_method(method)
    if name != AUTO:
        prepare(method, level)
        return
    if settings:
        raise MethodError(f"method {AUTO!r} has no parameters. Name the method that they are for")
    if level is not None and not 1 <= level <= 9:
        raise MethodError(f"method {AUTO!r} has no level {level}. Its levels: 1 to 9")


def prepare(method: str, level: int | None) -> tuple[Codec, Params]:
    """The codec and the full parameters that a method string stands for.

    Raises:
        MethodError: Unknown method, parameter or level, or an invalid value.
    """
    name, settings = parse_method(method)
    codec = by_name(name)
    return codec, resolve_params(codec, settings, level)


def compress(
    data: Buffer,
    method: str = DEFAULT_METHOD,
    *,
    level: int | None = None,
    threads: int = 1,
    device: str = "auto",
    memory_limit: int | None = None,
    base: BaseLike = None,
    weights: WeightsLike = None,
) -> bytes:
    """Compress bytes in memory into an archive.

    Args:
        data: Any contiguous buffer.
        method: "name" or "name:key=value,key=value"; "auto" picks one by the content.
        level: 1 (fast) to 9 (small), where the method has levels; parameters in `method`
            go before it.
        threads: How many threads may work.
        device: "auto", "cpu" or "cuda".
        memory_limit: Bytes that decompressing may take; default three quarters of the
            physical memory.
        base: What to take differences to, for methods that can: a path, bytes, or several
            (see `open_base`).
        weights: A file that `nncomp train-image` made, its path or its bytes, for methods that
            take one in place of weights of their own.

    Raises:
        UsageError: The method or another argument is not valid.
        LimitError: Decompressing would take more than `memory_limit`.
    """
    view = memoryview(data).cast("B")
    context = make_context(threads, device, memory_limit, base, weights)
    sink = Scratch(len(view) + len(view) // 1000 + HEAD_SIZE)
    _encode(BufferSource(view), sink, method, level, context)
    return sink.getvalue()


def compress_stream(
    source: BinaryIO,
    sink: BinaryIO,
    *,
    method: str = DEFAULT_METHOD,
    level: int | None = None,
    context: Context | None = None,
    content_size: int | None = None,
) -> Result:
    """Compress a stream into one archive member, with bounded memory.

    Args:
        source: Read to its end; need not be seekable; left open.
        sink: Written from its current position; need not be seekable; left open. After
            an exception it holds an incomplete archive.
        method: "name" or "name:key=value,key=value".
        level: 1 to 9, as for `compress`.
        context: Threads, device, memory limit, callbacks.
        content_size: Size of what `source` will give in bytes, when known; goes into the
            header.

    Raises:
        UsageError: The method is not valid.
        LimitError: Decompressing would take more than the memory limit.
        FileError: `source` gave another number of bytes than `content_size`.
    """
    return _encode(StreamSource(source, content_size), sink, method, level, context)


def _encode(
    source: Source, sink: Sink, method: str, level: int | None, context: Context | None
) -> Result:
    check_method(method, level)
    granted, limit = grant(context)
    if parse_method(method)[0] == AUTO:
        choice = choose(source, level, granted)
        granted.notice(str(choice))
        granted = replace(granted, warn=granted.notice)  # nobody asked for this method
        method, level = choice.method, choice.level
    codec, params = prepare(method, level)
    wanted = max(HEAD_SIZE, codec.peek(params))
    head = source.look(wanted)
    complete = len(head) < wanted
    granted = _with_weights(codec, params, granted)
    params = codec.settle(_with_base(codec, params, granted), head, complete)
    refuse_above_limit(codec.memory(params), limit, f"decompressing method {codec.name!r}")
    del head  # so that the source can let it go
    if complete:
        return _write_smaller(b"".join(source.chunks()), sink, codec, params, granted)
    return _write_member(source.chunks(), sink, codec, params, granted, source.size)


def _with_base(codec: Codec, params: Params, context: Context) -> Params:
    """The parameters, naming the base that the context has."""
    if context.base is None:
        return params
    if "base" not in params:
        raise MethodError(f"method {codec.name!r} takes no base")
    return {**params, "base": context.base.digest}


def _with_weights(codec: Codec, params: Params, context: Context) -> Context:
    """The context, with the weights that are needed and no others."""
    if isinstance(codec, Weighted) and codec.takes_weights(params):
        return replace(context, weights=context.weights or codec.own_weights())
    if context.weights is not None:
        raise MethodError(
            f"method {codec.name!r} takes no weights as it is asked for. fsar:mode=paper does"
        )
    return context


def _write_smaller(
    content: bytes, sink: Sink, codec: Codec, params: Params, context: Context
) -> Result:
    """Write the whole content with the codec, or stored if that is no larger.

    Only for little content; of more, 0.1% are more than any header takes.
    """
    plain, coded = io.BytesIO(), io.BytesIO()
    store = by_id(_STORE_ID)
    result = _write_member(iter([content]), plain, store, {}, Context(), len(content))
    coded_result = _write_member(iter([content]), coded, codec, params, context, len(content))
    if coded_result.archive_size < result.archive_size:
        plain, result = coded, coded_result
    write_all(sink, plain.getbuffer())
    return result


def _write_member(
    chunks: Iterator[Buffer],
    sink: Sink,
    codec: Codec,
    params: Params,
    context: Context,
    content_size: int | None,
) -> Result:
    header = Header(
        codec_id=codec.codec_id,
        codec_version=codec.version,
        profile=codec.profile,
        memory=codec.memory(params),
        params=pack_params(codec, params),
        # A codec that writes files anew gives content of another size than it was given.
        content_size=None if params.get("pixels") == "only" else content_size,
        weights_digest=None if context.weights is None else context.weights.sha256,
    )
    writer = MemberWriter(sink, header)
    for block in codec.encode(chunks, params, context):
        if block.raw is None:
            raise TypeError(f"codec {codec.name!r} gave a block without its raw bytes")
        writer.add(block.raw, block.payload)
    return Result(writer.raw_size, writer.finish(), method_string(codec, params))


def method_string(codec: Codec, params: Params) -> str:
    """The method with all of `params`, as `prepare` reads it back."""
    text = ",".join(f"{p.name}={p.format(params[p.name])}" for p in codec.params)
    return f"{codec.name}:{text}" if text else codec.name
