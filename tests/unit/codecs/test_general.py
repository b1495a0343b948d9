import threading
import tracemalloc
from collections.abc import Iterator

import lz4.block
import numpy as np
import pytest
import snappy
import zstandard

from nncomp.codecs.base import Block, Codec, Context, Params, Value, resolve_params
from nncomp.codecs.general import LZ4, SNAPPY, STORE, ZSTD
from nncomp.codecs.parallel import threads_within
from nncomp.errors import CorruptError, MethodError

KIB, MIB = 1 << 10, 1 << 20
CODECS: list[Codec] = [STORE, ZSTD, LZ4, SNAPPY]
CODERS: list[Codec] = [ZSTD, LZ4, SNAPPY]
TEXT = b"It is a truth universally acknowledged. " * 5000
NOISE = np.random.default_rng(7).bytes(150_000)


def params_of(codec: Codec, **settings: str) -> dict[str, Value]:
    return resolve_params(codec, settings, None)


def encode(codec: Codec, data: bytes, params: Params, threads: int = 1) -> list[Block]:
    chunks = [data[start : start + 10_000] for start in range(0, len(data), 10_000)]
    return list(codec.encode(chunks, params, Context(threads=threads)))


def decode(codec: Codec, blocks: list[Block], params: Params, threads: int = 1) -> bytes:
    # As the container hands them over: raw bytes only where there is no payload.
    given = (Block(b.raw_size, b.payload, b.raw if b.payload is None else None) for b in blocks)
    return b"".join(codec.decode(given, params, Context(threads=threads)))


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE], ids=["empty", "one", "text", "noise"])
def test_content_comes_back(codec: Codec, data: bytes) -> None:
    params = params_of(codec, **({"block": "64K"} if codec.params else {}))
    blocks = encode(codec, data, params)
    assert decode(codec, blocks, params) == data
    assert b"".join(block.raw or b"" for block in blocks) == data
    assert all(block.raw_size <= codec.max_block(params) for block in blocks)


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.name)
def test_threads_change_nothing(codec: Codec) -> None:
    params = params_of(codec, block="64K")
    blocks = encode(codec, TEXT + NOISE, params)
    assert encode(codec, TEXT + NOISE, params, threads=3) == blocks
    assert decode(codec, blocks, params, threads=3) == TEXT + NOISE


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.name)
def test_records_decode_on_their_own(codec: Codec) -> None:
    params = params_of(codec, block="64K")
    for block in reversed(encode(codec, TEXT, params)):
        assert decode(codec, [block], params) == block.raw


@pytest.mark.parametrize("codec", [ZSTD, LZ4], ids=lambda codec: codec.name)
@pytest.mark.parametrize("level", range(1, 10))
def test_levels(codec: Codec, level: int) -> None:
    params = codec.settle(resolve_params(codec, {}, level), TEXT, complete=True)
    assert decode(codec, encode(codec, TEXT, params), params) == TEXT


@pytest.mark.parametrize("level", [-7, 0, 22])
def test_zstd_takes_the_levels_of_the_library(level: int) -> None:
    params = params_of(ZSTD, level=str(level), block="64K")
    assert decode(ZSTD, encode(ZSTD, TEXT, params), params) == TEXT


def test_higher_levels_are_smaller() -> None:
    picked = np.random.default_rng(3).integers(4, size=30_000)
    text = b"".join((b"alpha ", b"beta ", b"gamma ", b"delta ")[i] for i in picked)
    sizes = []
    for level in (1, 4, 9):
        params = ZSTD.settle(resolve_params(ZSTD, {}, level), text, complete=True)
        blocks = encode(ZSTD, text, params)
        sizes.append(sum(len(block.payload or b"") for block in blocks))
    assert sizes == sorted(sizes, reverse=True)
    assert len(set(sizes)) == 3


def test_zstd_long_finds_what_is_far_away() -> None:
    far = NOISE + bytes(3 * MIB) + NOISE
    sizes = {}
    for long in ("0", "22"):
        params = ZSTD.settle(params_of(ZSTD, long=long), far[: 256 * KIB], complete=False)
        blocks = encode(ZSTD, far, params)
        assert decode(ZSTD, blocks, params) == far
        sizes[long] = sum(len(block.payload or b"") for block in blocks)
    assert sizes["22"] < len(NOISE) * 1.01 < sizes["0"]


@pytest.mark.parametrize("long", [1, 9])
def test_zstd_refuses_windows_that_do_not_exist(long: int) -> None:
    with pytest.raises(MethodError, match="10 to 30"):
        ZSTD.settle(params_of(ZSTD, long=str(long)), b"", complete=False)


def test_settle_makes_records_no_larger_than_small_content() -> None:
    params = resolve_params(ZSTD, {}, 9)
    assert ZSTD.max_block(ZSTD.settle(params, b"x" * 100, complete=True)) == 64 * KIB
    assert ZSTD.max_block(ZSTD.settle(params, b"x" * 100_000, complete=True)) == 100_000
    assert ZSTD.max_block(ZSTD.settle(params, b"x" * 100_000, complete=False)) == 128 * MIB


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("wrong", [-1, 1, 1000])
def test_wrong_raw_size_does_not_pass(codec: Codec, wrong: int) -> None:
    params = params_of(codec)
    (block,) = encode(codec, TEXT[:10_000], params)
    # A codec may also give fewer bytes than it should: the caller compares the size.
    try:
        raw = decode(codec, [Block(10_000 + wrong, block.payload)], params)
    except CorruptError:
        return
    assert len(raw) != 10_000 + wrong


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.name)
@pytest.mark.parametrize("payload", [b"", b"\xff" * 50, NOISE[:500]], ids=["empty", "ff", "noise"])
def test_payloads_that_are_none_are_corrupt(codec: Codec, payload: bytes) -> None:
    with pytest.raises(CorruptError, match=codec.name):
        decode(codec, [Block(1000, payload)], params_of(codec))


def test_coded_record_of_store_is_corrupt() -> None:
    with pytest.raises(CorruptError):
        decode(STORE, [Block(1000, b"x")], {})


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.name)
def test_bombs_get_no_memory_beyond_the_raw_size(codec: Codec) -> None:
    bomb = encode(codec, bytes(32 * MIB), params_of(codec, block="32M"))[0].payload
    tracemalloc.start()
    with pytest.raises(CorruptError):
        decode(codec, [Block(1000, bomb)], params_of(codec))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 8 * MIB


def test_payloads_are_what_the_specification_says() -> None:
    raw = TEXT[:5000]
    payload = {codec.name: encode(codec, raw, params_of(codec))[0].payload for codec in CODERS}
    frame = bytes.fromhex("28b52ffda0") + (5000).to_bytes(4, "little") + payload["zstd"]
    assert zstandard.ZstdDecompressor().decompress(frame) == raw
    assert lz4.block.decompress(payload["lz4"], uncompressed_size=5000) == raw
    assert snappy.uncompress(b"\x88\x27" + payload["snappy"]) == raw


@pytest.mark.parametrize("threads", [1, 3])
def test_few_items_are_in_flight(threads: int) -> None:
    taken = 0

    def chunks() -> Iterator[bytes]:
        nonlocal taken
        for _ in range(50):
            taken += 1
            yield bytes(64 * KIB)

    blocks = ZSTD.encode(chunks(), params_of(ZSTD, block="64K"), Context(threads=threads))
    for done, _ in enumerate(blocks, start=1):
        assert taken - done <= threads


def test_memory_limit_bounds_the_threads() -> None:
    context = Context(threads=8, memory_limit=100)
    assert [threads_within(context, memory) for memory in (1, 20, 50, 99, 200)] == [8, 5, 2, 1, 1]
    assert threads_within(Context(threads=8), 1 << 60) == 8


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_end_with_the_iterator(threads: int) -> None:
    before = threading.active_count()
    blocks = ZSTD.encode([TEXT] * 20, params_of(ZSTD, block="64K"), Context(threads=threads))
    next(blocks)
    blocks.close()
    assert threading.active_count() == before


@pytest.mark.parametrize("codec", CODECS, ids=lambda codec: codec.name)
def test_progress_adds_up_to_the_content(codec: Codec) -> None:
    done: list[int] = []
    context = Context(progress=done.append)
    params = params_of(codec)
    blocks = list(codec.encode([NOISE] * 20, params, context))
    assert sum(done) == 20 * len(NOISE)
    done.clear()
    for _ in codec.decode(blocks, params, context):
        pass
    assert sum(done) == 20 * len(NOISE)


@pytest.mark.parametrize("codec", CODERS, ids=lambda codec: codec.name)
def test_memory_is_honest(codec: Codec) -> None:
    params = params_of(codec, block="8M")
    (block,) = encode(codec, NOISE + bytes(8 * MIB - len(NOISE)), params)
    given = [Block(block.raw_size, block.payload)]
    tracemalloc.start()
    decode(codec, given, params)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < codec.memory(params) + codec.max_block(params)  # `decode` here joins
