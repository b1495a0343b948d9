import io
import tracemalloc

import numpy as np
import pytest

import nncomp
from nncomp import api
from nncomp.errors import (
    FileError,
)

MIB = 1 << 20
METHODS = ["store", "zstd", "lz4", "snappy"]
TEXT = b"".join(b"line %d of a text that compresses\n" % i for i in range(30_000))
NOISE = np.random.default_rng(5).bytes(3_000_000)


@pytest.mark.parametrize("method", [*METHODS, "zstd:level=19,block=64K", "lz4:level=9"])
@pytest.mark.parametrize("threads", [1, 3])
@pytest.mark.parametrize("data", [b"", b"x", TEXT, NOISE], ids=["empty", "one", "text", "noise"])
def test_content_comes_back(method: str, threads: int, data: bytes) -> None:
    archive = nncomp.compress(data, method, threads=threads)
    assert nncomp.decompress(archive, threads=threads) == data
    assert archive == nncomp.compress(data, method)


@pytest.mark.parametrize("method", METHODS)
def test_size_rule_for_noise_of_every_small_size(method: str) -> None:
    sizes = [*range(0, 2001, 1 if method == "zstd" else 37), 65536, 262143, 262144, 262145, 2 * MIB]
    for size in sizes:
        archive = nncomp.compress(NOISE[:size], method)
        assert len(archive) <= size + 100 + size // 1000
        assert nncomp.decompress(archive) == NOISE[:size]


def test_fixed_overhead() -> None:
    assert len(nncomp.compress(b"")) == 59
    assert len(nncomp.compress(b"x")) - 1 == 75
    assert len(nncomp.compress(NOISE[:65535], "store")) - 65535 == 83


@pytest.mark.parametrize("size", [1, 1000, 262_143])
def test_small_content_that_does_not_shrink_is_left_to_store(size: int) -> None:
    sink = io.BytesIO()
    result = api.compress_stream(io.BytesIO(NOISE[:size]), sink, method="zstd")
    assert result == api.Result(size, len(sink.getvalue()), "store")
    assert sink.getvalue() == nncomp.compress(NOISE[:size], "store")


def test_result_names_method_and_sizes() -> None:
    sink = io.BytesIO()
    result = api.compress_stream(io.BytesIO(TEXT), sink, method="zstd", level=1)
    expected = "zstd:level=1,long=0,block=1048576"
    assert result == api.Result(len(TEXT), len(sink.getvalue()), expected)
    back = api.decompress_stream(io.BytesIO(sink.getvalue() + nncomp.compress(b"")), None)
    assert back == api.Result(len(TEXT), len(sink.getvalue()) + 59, "zstd:block=1048576 store")


def test_any_buffer_is_taken() -> None:
    numbers = np.arange(1000, dtype=np.uint32)
    archive = nncomp.compress(memoryview(numbers))
    assert nncomp.decompress(memoryview(archive)) == numbers.tobytes()
    assert nncomp.decompress(bytearray(archive)) == numbers.tobytes()


@pytest.mark.parametrize("method", METHODS)
def test_pipes(method: str, pipe: type) -> None:
    packed, unpacked = pipe(), pipe()
    api.compress_stream(pipe(TEXT + NOISE), packed, method=method)
    api.decompress_stream(pipe(bytes(packed.got)), unpacked)
    assert unpacked.got == TEXT + NOISE


def test_archives_are_concatenated() -> None:
    archive = b"".join(nncomp.compress(TEXT, method) for method in METHODS)
    assert nncomp.decompress(archive) == TEXT * 4
    assert [info.codec for info in nncomp.inspect(io.BytesIO(archive))] == METHODS


@pytest.mark.parametrize("method", METHODS)
def test_memory_does_not_grow_with_the_content(method: str, pipe: type) -> None:
    class Zeros(pipe):
        left = 64 * MIB

        def readinto(self, target) -> int:
            size = min(len(target), self.left)
            target[:size] = bytes(size)
            self.left -= size
            return size

    class Nowhere(pipe):
        def write(self, data) -> int:
            return len(data)

    tracemalloc.start()
    api.compress_stream(Zeros(), Nowhere(), method=method)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 16 * MIB


@pytest.mark.parametrize("data", [b"x" * 100, NOISE], ids=["small", "large"])
def test_content_size_must_be_right(data: bytes) -> None:
    for given in (0, len(data) - 1, len(data) + 1, 1 << 40):
        with pytest.raises(FileError, match=f"announced with {given} bytes"):
            api.compress_stream(io.BytesIO(data), io.BytesIO(), content_size=given)


@pytest.mark.parametrize("data", [TEXT, NOISE], ids=["text", "noise"])
def test_content_size_goes_into_the_header(data: bytes) -> None:
    sinks = io.BytesIO(), io.BytesIO()
    api.compress_stream(io.BytesIO(data), sinks[0], method="zstd", content_size=len(data))
    api.compress_stream(io.BytesIO(data), sinks[1], method="zstd")
    with_size, without = (sink.getvalue() for sink in sinks)
    assert (with_size[9], without[9]) == (1, 0)
    assert nncomp.decompress(with_size) == nncomp.decompress(without) == data
