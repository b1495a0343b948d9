import io
import os
import re
import tracemalloc
from collections.abc import Callable, Iterable, Iterator

import numpy as np
import pytest

import nncomp
from nncomp import api
from nncomp.codecs.base import Block, Buffer, Codec, Context, Params
from nncomp.container.layout import Header
from nncomp.errors import (
    CorruptError,
    LimitError,
    NncompError,
)

MIB = 1 << 20
TEXT = b"".join(b"line %d of a text that compresses\n" % i for i in range(30_000))
NOISE = np.random.default_rng(5).bytes(3_000_000)


def test_codec_sees_the_head_and_chained_records_come_back(stub: Codec) -> None:
    data = b"abcd" * 250 * 4 + NOISE[:5000] + b"ef" * 3000
    archive = nncomp.compress(data, "stub")
    assert stub.saw == (len(data), True)
    assert nncomp.decompress(archive) == data
    nncomp.compress(NOISE, "stub")
    assert stub.saw == (600_000, False)


def test_header_says_what_the_codec_is(stub: Codec) -> None:
    (info,) = nncomp.inspect(io.BytesIO(nncomp.compress(b"ab" * 5000, "stub")))
    assert (info.codec, info.codec_id, info.codec_version, info.profile) == ("stub", 99, 3, 1)
    assert (info.params, info.memory, info.raw_size, info.records) == (
        "half=500",
        500_000,
        10_000,
        10,
    )
    assert info.weights_digest is None
    assert re.fullmatch("[0-9a-f]{16}", info.checksum)


@pytest.mark.parametrize(
    ("decode", "message"),
    [
        (lambda blocks: (b.raw for b in list(blocks)[:1]), "ends before"),
        (lambda blocks: (b.raw for b in blocks for _ in range(2)), "more than|bytes that went"),
        (lambda blocks: (b.raw[:-1] for b in blocks), "bytes that went"),
        (lambda blocks: (bytes(len(b.raw)) for b in blocks), "bytes that went"),
        (lambda blocks: (1 // 0 for _ in blocks), "ZeroDivisionError"),
        (lambda blocks: (int(b.raw) for b in blocks), "ValueError"),
        (lambda blocks: iter([]), "ends before"),
    ],
)
def test_codec_that_goes_wrong_is_corrupt(
    stub: Codec,
    monkeypatch: pytest.MonkeyPatch,
    decode: Callable,
    message: str,
    member: Callable[..., bytes],
) -> None:
    archive = member(
        [(b"one", None), (b"two", None)], codec_id=99, codec_version=3, profile=1, params="500"
    )
    assert nncomp.decompress(archive) == b"onetwo"
    monkeypatch.setattr(stub, "decode", lambda blocks, params, context: decode(blocks))
    with pytest.raises(CorruptError, match=message):
        nncomp.decompress(archive)


def test_error_of_a_codec_that_reads_ahead_is_at_its_record(
    stub: Codec, monkeypatch: pytest.MonkeyPatch, member: Callable[..., bytes]
) -> None:
    def decode(blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        for number, block in enumerate(list(blocks)):
            if number == 1:
                raise CorruptError("a sync mark is wrong")
            yield block.raw

    monkeypatch.setattr(stub, "decode", decode)
    first = [(b"one", None)]
    settings = {"codec_id": 99, "codec_version": 3, "profile": 1, "params": "500"}
    archive = member([*first, (b"two", None), (b"six", None)], **settings)
    with pytest.raises(CorruptError, match="sync mark") as caught:
        nncomp.decompress(archive)
    # Header, then a record of 14 + 3 bytes.
    assert caught.value.offset == len(Header(99, 3, 1, 300, "500").pack()) + 17


def test_memory_that_runs_out_is_a_limit(stub: Codec, monkeypatch: pytest.MonkeyPatch) -> None:
    def decode(blocks: Iterable[Block], params: Params, context: Context) -> Iterator[Buffer]:
        raise MemoryError
        yield b""

    archive = nncomp.compress(b"ab" * 5000, "stub")
    monkeypatch.setattr(stub, "decode", decode)
    with pytest.raises(LimitError, match="ran out"):
        nncomp.decompress(archive)


def test_errors_of_the_source_are_not_the_archives(pipe: type) -> None:
    class Broken(pipe):
        def readinto(self, target) -> int:
            size = super().readinto(target)
            if not size:
                raise OSError("the disk is on fire")
            return size

    class Closed(pipe):
        def readinto(self, target) -> int:
            size = super().readinto(target)
            if not size:
                raise ValueError("read of closed file")
            return size

    archive = nncomp.compress(TEXT, "lz4")
    with pytest.raises(OSError, match="on fire"):
        api.decompress_stream(Broken(archive[:5000]), None)
    with pytest.raises(ValueError, match="read of closed file") as caught:
        api.decompress_stream(Closed(archive[:5000]), None)
    assert not isinstance(caught.value, NncompError)


def test_memory_limit_holds_for_what_the_codec_says(stub: Codec) -> None:
    archive = nncomp.compress(b"ab" * 5000, "stub", memory_limit=500_000)
    with pytest.raises(LimitError, match=r"takes 500000 bytes.*limit is 499999.*-M.*memory_limit"):
        nncomp.compress(b"ab" * 5000, "stub", memory_limit=499_999)
    assert nncomp.decompress(archive, memory_limit=500_000) == b"ab" * 5000
    with pytest.raises(LimitError, match=r"takes 500000 bytes.*limit is 499999.*-M.*memory_limit"):
        nncomp.decompress(archive, memory_limit=499_999)


@pytest.mark.parametrize(
    "changes",
    [
        pytest.param({"memory": 1 << 45}, id="header"),
        pytest.param({"params": str(1 << 40)}, id="parameters"),
    ],
)
def test_archive_that_asks_for_terabytes_is_refused(
    stub: Codec, changes: dict[str, object], member: Callable[..., bytes]
) -> None:
    settings = {"codec_id": 99, "codec_version": 3, "profile": 1, "params": "500", **changes}
    archive = member([(b"one", None)], **settings)
    tracemalloc.start()
    with pytest.raises(LimitError, match="memory_limit"):
        nncomp.decompress(archive)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB


def test_result_in_memory_is_limited_too() -> None:
    archive = nncomp.compress(bytes(50 * MIB), "zstd")
    with pytest.raises(LimitError, match=r"nncomp\.open"):
        nncomp.decompress(archive, memory_limit=10 * MIB)
    assert nncomp.decompress(archive, memory_limit=60 * MIB) == bytes(50 * MIB)


def test_default_limit_is_three_quarters_of_the_machine(member: Callable[..., bytes]) -> None:
    physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    for memory, refused in [(physical // 4 * 3, False), (physical // 4 * 3 + 1, True)]:
        archive = member([(b"one", None)], memory=memory)
        if refused:
            with pytest.raises(LimitError, match=str(physical // 4 * 3)):
                nncomp.decompress(archive)
        else:
            assert nncomp.decompress(archive) == b"one"
