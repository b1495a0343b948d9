"""The `sep` codec: its parameters, its place in an archive, the memory it states."""

from __future__ import annotations

import io
import json
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

import nncomp
from nncomp.codecs.base import Block, Context, pack_params, resolve_params, unpack_params
from nncomp.codecs.neural import sep
from nncomp.codecs.neural.sep import SEP
from nncomp.container.layout import Header
from nncomp.container.writer import MemberWriter
from nncomp.errors import CorruptError, DeviceError, LimitError, MethodError, NncompError
from nncomp.exact.products import MAX_TERMS

if TYPE_CHECKING:
    from collections.abc import Callable

    Params = Callable[..., dict[str, Any]]
    Method = Callable[..., str]

TEXT = b"she sells sea shells by the sea shore. " * 60


# ---------------------------------------------------------------- archives


@pytest.mark.parametrize("size", [0, 1, 2, 100, 1500])
@pytest.mark.parametrize("lanes", [0, 5])
def test_archives_of_all_sizes(size: int, lanes: int, method: Method) -> None:
    content = TEXT[:size]
    archive = nncomp.compress(content, method(lanes=lanes))
    assert len(archive) <= size + 100
    assert nncomp.decompress(archive) == content


@pytest.mark.parametrize(
    "changes",
    [
        {"seb": False},
        {"seb": False, "mixing": "lane", "levels": 1},
        {"mixing": "lane", "optimiser": "nncp"},
        {"fused": 3, "direct": 0, "tokens": 1},
        {"context": 3, "patch": 3, "direct": 5, "fused": 2},
        {"embedding": 1, "fused": 1, "direct": 0, "tokens": 1, "ffn": 1},
        {"lanes": 1, "segment": 1, "ffn": 1},
        {"segment": 256},
        {"words": 2},
        {"std": 1.0, "lr": 1.0, "levels": 2},
        {"final": 0.0, "decay": 1},
    ],
    ids=str,
)
def test_archives_of_all_kinds_of_networks(changes: dict[str, Any], method: Method) -> None:
    content = TEXT[:600]
    archive = nncomp.compress(content, method(**{"lr": 0.05, **changes}))
    assert nncomp.decompress(archive) == content


def test_repetition_is_learned(method: Method) -> None:
    text = method(lr=0.05)
    archive = nncomp.compress(TEXT, text)
    assert len(archive) < len(TEXT) // 2
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert (info.codec, info.profile, info.records, info.raw_size) == ("sep", 1, 1, len(TEXT))


def test_what_does_not_shrink_is_stored(method: Method) -> None:
    content = bytes(range(256)) * 2
    archive = nncomp.compress(content, method())
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == "store"
    assert nncomp.decompress(archive) == content


def test_the_number_of_lanes_follows_the_size(params: Params) -> None:
    def lanes(size: int) -> int:
        return int(SEP.settle(params(lanes=0), bytes(size), True)["lanes"])

    counts = [lanes(size) for size in (0, 1, 1000, 10_000, 100_000, 1_000_000, 10_000_000)]
    assert counts[:2] == [1, 1]
    assert counts == sorted(counts)
    assert counts[-1] > counts[0]
    assert SEP.settle(params(lanes=7), bytes(10**6), True)["lanes"] == 7


def test_with_a_memory_there_is_one_lane_unless_asked_for(params: Params) -> None:
    def settled(**changes: Any) -> tuple[Any, ...]:
        full = params(**{"memory": True, "batch": 96, "segment": 0, **changes})
        full = SEP.settle(full, bytes(10**6), True)
        return full["lanes"], full["segment"]

    assert settled(lanes=0) == (1, 96)
    assert settled(lanes=0, memory=False) == (32, 3)
    assert settled(lanes=4) == (4, 24)
    assert settled(lanes=1000) == (1000, 1)


@pytest.mark.parametrize("complete", [True, False])
def test_no_larger_table_than_a_record_can_fill(complete: bool, params: Params) -> None:
    def table(size: int, block: int) -> int:
        full = params(memory=True, lanes=1, table=1 << 30, block=block)
        return int(SEP.settle(full, bytes(size), complete)["table"])

    assert table(1 << 20, 1 << 16) == 1 << 25  # 512 bytes a byte
    assert table(1 << 20, 1 << 24) == (1 << 29 if complete else 1 << 30)
    assert table(1000, 1 << 20) == (1 << 18 if complete else 1 << 29)


def test_stored_parameters_are_read_back(params: Params) -> None:
    full = params(lanes=2)
    assert unpack_params(SEP, pack_params(SEP, full)) == full


@pytest.mark.parametrize("level", range(1, 10))
def test_every_level_is_valid(level: int) -> None:
    full = SEP.settle(resolve_params(SEP, {}, level), b"abc", True)
    assert SEP.memory(full) > 0


# ---------------------------------------------------------------- parameters that cannot be

IMPOSSIBLE: dict[str, dict[str, Any]] = {
    "patch=9 is longer than context=8": {"patch": 9, "context": 8},
    "tokens=6 cannot be halved 2 times": {"tokens": 6, "levels": 3},
    "tokens=3 cannot be halved 1 times": {"tokens": 3, "levels": 2},
    f"more than {MAX_TERMS}": {"lanes": 4096, "segment": 129, "seb": False},
    "lanes times segment times embedding is": {"lanes": 4096, "segment": 64, "embedding": 4},
    "tokens 5120 wide is wider": {
        "mixing": "lane",
        "embedding": 256,
        "direct": 19,
        "words": 0,
        "tokens": 1,
        "levels": 1,
    },
    f"wider than {MAX_TERMS}": {"embedding": 256, "direct": 64, "tokens": 32, "levels": 1},
}
EACH = pytest.mark.parametrize(("message", "changes"), IMPOSSIBLE.items(), ids=IMPOSSIBLE.keys())


@EACH
def test_refused_when_compressing(message: str, changes: dict[str, Any], method: Method) -> None:
    with pytest.raises(MethodError, match=message):
        nncomp.compress(TEXT, method(**changes))


def archive_of(full: dict[str, Any], memory: int, raw: bytes = TEXT[:50]) -> bytes:
    """A well-formed archive of these parameters, with a payload of zeros."""
    sink = io.BytesIO()
    text = pack_params(SEP, full)
    writer = MemberWriter(sink, Header(SEP.codec_id, SEP.version, SEP.profile, memory, text))
    writer.add(raw, bytes(len(raw) - 1))
    writer.finish()
    return sink.getvalue()


@pytest.fixture
def nothing_built(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(sep, "_loop", lambda *args: pytest.fail("a network was built"))


@EACH
@pytest.mark.usefixtures("nothing_built")
def test_refused_in_a_header(message: str, changes: dict[str, Any], params: Params) -> None:
    with pytest.raises(NncompError, match=message):
        nncomp.decompress(archive_of(params(**changes), 1))


@pytest.mark.parametrize("memory", [1, 1 << 50])
@pytest.mark.usefixtures("nothing_built")
def test_a_header_that_asks_for_terabytes(memory: int, params: Params) -> None:
    full = params(embedding=256, direct=64, tokens=16, levels=5, ffn=16384, block=1 << 30)
    with pytest.raises(LimitError, match="bytes of memory"):
        nncomp.decompress(archive_of(full, memory))


@pytest.mark.parametrize("memory", [True, False])
@pytest.mark.parametrize("name", ["lanes", "segment"])
def test_a_header_with_no_lanes_or_steps(name: str, memory: bool, params: Params) -> None:
    with pytest.raises(CorruptError):
        nncomp.decompress(archive_of(params(**{name: 0, "memory": memory}), 1))


@pytest.mark.parametrize(
    "changes",
    [
        {"contexts": 0},
        {"contexts": 25},
        {"table": 0},
        {"table": (1 << 18) - 1},
        {"table": (16 << 30) + 1},
    ],
    ids=str,
)
@pytest.mark.usefixtures("nothing_built")
def test_a_header_with_a_memory_that_cannot_be(changes: dict[str, Any], params: Params) -> None:
    with pytest.raises(CorruptError, match="parameters are not valid"):
        nncomp.decompress(archive_of(params(memory=True, **changes), 1))


@pytest.mark.parametrize("stated", [1, 1 << 20, 1 << 50])
@pytest.mark.usefixtures("nothing_built")
def test_a_header_with_a_memory_beyond_the_limit(stated: int, params: Params) -> None:
    archive = archive_of(params(memory=True, table=16 << 30), stated)
    with pytest.raises(LimitError, match="bytes of memory"):
        nncomp.decompress(archive, memory_limit=1 << 30)


def test_a_header_with_an_odd_table(params: Params) -> None:
    """No encoder writes it; what it means is the power of two below."""
    full = params(memory=True, lanes=1, contexts=3, table=1 << 18)
    (block,) = SEP.encode([TEXT], full, Context())
    assert block.payload is not None
    odd = {**full, "table": (1 << 19) - 1}
    (raw,) = SEP.decode([Block(len(TEXT), block.payload)], odd, Context())
    assert bytes(raw) == TEXT


def test_a_payload_of_zeros(params: Params) -> None:
    with pytest.raises(CorruptError, match="at archive byte"):
        nncomp.decompress(archive_of(params(), 1))


@pytest.mark.parametrize("text", ["", "1", "a" * 40, "-1,2,3", ",,,,,,,,,,,,,,,,,,"])
@pytest.mark.usefixtures("nothing_built")
def test_a_header_with_other_text(text: str) -> None:
    sink = io.BytesIO()
    MemberWriter(sink, Header(SEP.codec_id, SEP.version, SEP.profile, 1, text)).finish()
    with pytest.raises(CorruptError, match="parameters are not valid"):
        nncomp.decompress(sink.getvalue())


def test_a_device_that_is_not_there(method: Method, monkeypatch: pytest.MonkeyPatch) -> None:
    import torch

    archive = nncomp.compress(TEXT[:600], method(lr=0.05))
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError):
        nncomp.compress(TEXT[:600], method(), device="cuda")
    with pytest.raises(DeviceError):
        nncomp.decompress(archive, device="cuda")


# ---------------------------------------------------------------- memory


@pytest.mark.usefixtures("nothing_built")
def test_memory_beyond_the_limit_is_refused_before_work(method: Method) -> None:
    with pytest.raises(LimitError, match="limit is 1000000 bytes"):
        nncomp.compress(TEXT, method(ffn=16384), memory_limit=1_000_000)


def test_memory_is_stated_and_obeyed(params: Params, method: Method) -> None:
    archive = nncomp.compress(TEXT, method(lr=0.05))
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.memory == SEP.memory(params(lr=0.05))
    assert nncomp.decompress(archive, memory_limit=info.memory) == TEXT
    with pytest.raises(LimitError):
        nncomp.decompress(archive, memory_limit=info.memory - 1)


# A process of its own reaches a peak with a tiny network, then one with the network in
# question. What the latter adds must be within what the codec states. (`getrusage` would
# count what the process had before it became this program, which is the tests' own memory.)
_MEASURE = """
import json, pathlib, sys
from nncomp.codecs.base import Block, Context
from nncomp.codecs.neural.sep import SEP

def peak():
    lines = pathlib.Path("/proc/self/status").read_text().splitlines()
    return 1024 * int(next(line for line in lines if line.startswith("VmHWM")).split()[1])

def both_ways(params, size, limit):
    data = bytes(i * i * i % 65521 % 256 for i in range(size))
    for block in list(SEP.encode([data], params, Context(memory_limit=limit))):
        given = Block(block.raw_size, block.payload, None if block.payload else block.raw)
        assert b"".join(SEP.decode([given], params, Context())) == data

tiny, large, size, limit = json.load(sys.stdin)
both_ways(tiny, 30, None)
before = peak()
both_ways(large, size, limit)
print(peak() - before)
"""
_PROGRAM = 24 << 20  # buffers of the libraries, that the tiny network did not need
_TINY = {"seb": False, "segment": 256, "tokens": 1, "levels": 1, "embedding": 1, "ffn": 1}
_MEMORY = {"memory": True, "contexts": 3, "table": 1 << 20}
LARGE: dict[str, tuple[dict[str, Any], int]] = {
    "weights": ({"lanes": 1, "embedding": 128, "tokens": 4, "ffn": 8192, "levels": 1}, 8),
    "weights by lane": (
        {"lanes": 32, "segment": 2, "embedding": 128, "mixing": "lane", "tokens": 1, "levels": 1},
        64,
    ),
    "rows": ({"lanes": 64, "segment": 256, "tokens": 1, "levels": 1, "embedding": 1}, 64 * 256),
    "patches": (
        {"lanes": 8, "segment": 128, "embedding": 32, "context": 256, "levels": 1},
        8 * 128,
    ),
    "levels": ({"lanes": 16, "segment": 64, "tokens": 16, "ffn": 512, "levels": 5}, 16 * 64),
    "rows that wait": (
        {"lanes": 64, "segment": 256, "tokens": 1, "levels": 1, "embedding": 1, **_MEMORY},
        8 * 64 * 256,
    ),
    "memory": ({**_TINY, **_MEMORY, "lanes": 1, "contexts": 24, "table": 1 << 27}, 40_000),
}


@pytest.mark.skipif(not Path("/proc/self/status").exists(), reason="no /proc to measure by")
@pytest.mark.parametrize("name", LARGE)
def test_peak_memory_is_within_what_is_stated(name: str, params: Params) -> None:
    """The encoder gets just this as its limit."""
    changes, size = LARGE[name]
    large = params(**{"direct": 3, "block": 1 << 18, **changes})
    stated = SEP.memory(large)
    assert stated > 60 << 20  # or it would not be seen beside the program itself
    tiny = params(mixing=large["mixing"], memory=large["memory"], table=1 << 18)
    process = subprocess.run(
        [sys.executable, "-c", _MEASURE],
        input=json.dumps([tiny, large, size, stated]),
        capture_output=True,
        text=True,
        check=True,
    )
    taken = int(process.stdout)
    assert taken <= stated + _PROGRAM
    assert taken > stated // 4  # the figure means something
