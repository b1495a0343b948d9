"""A stream that cannot seek, archives with any header, and a codec that chains its records."""

import io
import sys
from collections.abc import Callable, Iterable, Iterator
from types import MappingProxyType, ModuleType

import pytest

from nncomp.codecs import registry
from nncomp.codecs.base import Block, Buffer, Context, Param, Params
from nncomp.container.layout import Header
from nncomp.container.writer import MemberWriter
from nncomp.errors import CorruptError


class Pipe(io.RawIOBase):
    """A stream that cannot seek and gives at most 1000 bytes at a time."""

    def __init__(self, data: bytes = b"") -> None:
        self._data = io.BytesIO(data)
        self.got = bytearray()

    def readable(self) -> bool:
        return True

    def writable(self) -> bool:
        return True

    def readinto(self, target) -> int:
        piece = self._data.read(min(len(target), 1000))
        target[: len(piece)] = piece
        return len(piece)

    def write(self, data) -> int:
        self.got += data
        return len(data)


@pytest.fixture
def pipe() -> type[Pipe]:
    return Pipe


def build_member(raw: list[tuple[bytes, bytes | None]], **changes: object) -> bytes:
    """An archive with any header over records of raw bytes and payload."""
    fields = {"codec_id": 0, "codec_version": 1, "profile": 0, "memory": 300, "params": ""}
    sink = io.BytesIO()
    writer = MemberWriter(sink, Header(**{**fields, **changes}))
    for record in raw:
        writer.add(*record)
    writer.finish()
    return sink.getvalue()


@pytest.fixture
def member() -> Callable[..., bytes]:
    return build_member


class Stub:
    """A codec that chains records: each payload is the sum of all bytes before, then half."""

    name = "stub"
    codec_id = 99
    version = 3
    profile = 1
    params = (Param("half", "size", 500, 1, 1 << 40),)
    levels = MappingProxyType({})
    independent = False

    def peek(self, params: Params) -> int:
        return 600_000

    def settle(self, params: Params, head: Buffer, complete: bool) -> Params:
        self.saw = len(head), complete
        return params

    def max_block(self, params: Params) -> int:
        return 2 * int(params["half"])

    def memory(self, params: Params) -> int:
        return 1000 * int(params["half"])

    def encode(self, chunks: Iterable[Buffer], params: Params, context: Context) -> Iterator[Block]:
        data = b"".join(chunks)
        size = self.max_block(params)
        total = 0
        for start in range(0, len(data), size):
            raw = data[start : start + size]
            half = raw[: len(raw) // 2]
            payload = total.to_bytes(4, "big") + half if half * 2 == raw else None
            total = (total + sum(raw)) % (1 << 32)
            yield Block(len(raw), payload, raw)

    def decode(self, blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        total = 0
        for block in blocks:
            raw = block.raw
            if raw is None:
                if bytes(block.payload[:4]) != total.to_bytes(4, "big"):
                    raise CorruptError("the chain is broken")
                raw = bytes(block.payload[4:]) * 2
            total = (total + sum(raw)) % (1 << 32)
            yield raw


@pytest.fixture
def stub(monkeypatch: pytest.MonkeyPatch) -> Stub:
    module = ModuleType("nncomp_test_stub")
    codec = Stub()
    module.STUB = codec
    monkeypatch.setitem(sys.modules, module.__name__, module)
    monkeypatch.setitem(registry.CODECS, 99, ("stub", "nncomp_test_stub:STUB"))
    return codec
