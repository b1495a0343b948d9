"""Content comes back, whatever it is, however long, and however it is asked for."""

import os
import threading
from itertools import cycle, pairwise

import numpy as np
import pytest

import nncomp
from nncomp.codecs.base import Context
from nncomp.codecs.tensor.arrays import ops
from nncomp.codecs.tensor.cursor import Cursor
from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats.gguf import TYPES as GGUF_TYPES
from nncomp.codecs.tensor.layouts import Layout, layout_of
from nncomp.codecs.tensor.planes import PlaneCoder, Settings
from nncomp.codecs.tensor.segments import Piece, decode_segment, encode_piece
from nncomp.codecs.tensor.zipnn import ZIPNN
from nncomp.errors import MethodError

LENGTH = 4100
KIB, MIB = 1 << 10, 1 << 20
TYPES = ["auto", "bytes", *(name.lower() for name in DTYPES)]
LAYOUTS = {layout_of(dtype) for dtype in [*DTYPES.values(), *GGUF_TYPES.values()]}
LAYOUTS |= {layout_of(BYTES, groups=groups) for groups in (1, 2, 3, 5, 8, 32)}
BACKENDS = ["auto", "huffman", "ans", "zstd", "lz4", "snappy"]
# Every length of every type through the whole codec takes a minute; else every 17th.
EVERY = 1 if os.environ.get("HYPOTHESIS_PROFILE") == "expensive" else 17


@pytest.mark.parametrize("dtype", TYPES)
def test_lengths_in_every_type(zipnn, contents, dtype: str) -> None:
    kinds = cycle(contents(LENGTH).values())
    step = EVERY * (5 if dtype == "auto" else 1)
    for length in [*range(40), *range(40 + TYPES.index(dtype) % step, LENGTH + 1, step)]:
        zipnn.round_trip(next(kinds)[:length], dtype=dtype)


@pytest.mark.parametrize("layout", sorted(LAYOUTS, key=repr), ids=str)
def test_every_length_in_every_layout(contents, layout: Layout) -> None:
    numpy = ops(compiled=False)
    coder = PlaneCoder(Settings(), numpy)
    kinds = cycle(contents(LENGTH).values())
    for length in range(1, LENGTH + 1, 1 if layout.numeric else 11):
        raw = memoryview(next(kinds))[:length]
        piece = Piece(length, layout, palette=layout.width in (2, 4, 8) and layout.numeric)
        source = Cursor(b"".join(encode_piece(raw, piece, None, coder, numpy)))
        out = np.empty(length, np.uint8)
        assert decode_segment(source, out, None, numpy) == length
        assert out.tobytes() == raw
        assert not source.left


@pytest.mark.parametrize("backend", BACKENDS)
@pytest.mark.parametrize("dtype", ["auto", "bf16", "f32", "i8", "bool", "c128"])
def test_contents_of_many_records(zipnn, contents, dtype: str, backend: str) -> None:
    block = "256K" if backend == "ans" else "64K"  # from there on it is compiled code
    for kind, raw in contents(300_001 if backend == "ans" else 150_001).items():
        settings = {"dtype": dtype, "backend": backend, "block": block}
        assert zipnn.round_trip(raw, **settings) < len(raw) + 200, kind


@pytest.mark.parametrize("level", range(1, 10))
def test_levels(zipnn, contents, level: int) -> None:
    for raw in contents(70_000).values():
        zipnn.round_trip(raw, level)


@pytest.mark.parametrize("groups", [1, 2, 3, 4, 7, 8, 31, 32])
def test_groups(zipnn, contents, groups: int) -> None:
    for raw in contents(70_001).values():
        for dtype in ("auto", "f32", "bytes"):
            zipnn.round_trip(raw, groups=str(groups), dtype=dtype, block="64K")


@pytest.mark.parametrize(
    "settings",
    [
        {"sign": "off"},
        {"threshold": "0"},
        {"threshold": "1"},
        {"threshold": "0.5"},
        {"backend": "zstd", "level": "-7"},
        {"backend": "zstd", "level": "22"},
        {"backend": "lz4", "level": "-7"},
        {"backend": "lz4", "level": "22"},
        {"block": "64M"},
    ],
    ids=str,
)
def test_other_settings(zipnn, contents, settings: dict[str, str]) -> None:
    for raw in contents(70_003).values():
        zipnn.round_trip(raw, dtype="f32", **settings)


def test_settings_have_an_effect(zipnn, contents) -> None:
    weights = contents(256 * KIB)["weights"]
    rows = contents(256 * KIB)["repeated rows"]

    picked = np.random.default_rng(3).integers(4, size=40_000)
    words = b"".join((b"alpha ", b"beta ", b"gamma ", b"delta ")[i] for i in picked)

    def size(raw: bytes, dtype: str = "f32", **settings: str) -> int:
        return zipnn.round_trip(raw, dtype=dtype, **settings)

    default = size(weights)
    assert size(weights, threshold="0.3") > default  # only planes that shrink as much
    assert size(weights, threshold="0") > len(weights)
    assert size(weights, sign="off") > 1.002 * default
    assert size(weights, groups="1") > 1.01 * default
    assert size(rows, backend="huffman") > 2 * size(rows, backend="zstd")
    for backend, low, high in (("zstd", "-7", "22"), ("lz4", "0", "12")):
        best = size(words, "bytes", backend=backend, level=high)
        assert best < 0.9 * size(words, "bytes", backend=backend, level=low)
    sizes = {backend: size(weights, backend=backend) for backend in BACKENDS}
    assert sizes["ans"] < min(size for name, size in sizes.items() if name != "ans")
    assert size(weights, ans="on") == sizes["ans"]
    assert sizes["auto"] == min(size for name, size in sizes.items() if name != "ans")
    assert len(set(sizes.values())) >= 4


def test_higher_levels_are_no_larger(zipnn, contents) -> None:
    for kind in ("weights", "repeated rows", "skewed"):
        raw = contents(256 * KIB)[kind]
        sizes = [zipnn.round_trip(raw, level) for level in (1, 3, 5, 9)]
        # Matches are a gamble of some bytes from level to level.
        for lower, higher in pairwise(sizes):
            assert higher < 1.002 * lower, kind
        assert sizes[-1] < (1.0001 if kind == "weights" else 0.99) * sizes[0], kind


@pytest.mark.parametrize("dtype", ["auto", "f32"])
def test_sizes_of_chunks_and_threads_change_nothing(zipnn, contents, dtype: str) -> None:
    parts = contents(100_000)
    data = b"".join(parts[kind] for kind in ("weights", "booleans", "counters", "repeated rows"))
    params = zipnn.params(dtype=dtype, block="64K")
    expected = zipnn.encode([data], params)
    random = np.random.default_rng(5)
    for largest, threads in ((7, 1), (5000, 2), (100_000, 4), (1 << 20, 3)):
        cuts = np.cumsum(random.integers(0, largest, 3 * len(data) // largest + 3))
        chunks = [bytearray(part) for part in np.split(np.frombuffer(data, np.uint8), cuts)]
        context = Context(threads=threads)
        assert zipnn.encode(chunks, params, context) == expected
        assert b"".join(chunks) == data  # and nobody wrote to them
        assert zipnn.decode(expected, params, context) == data


def test_records_decode_on_their_own(zipnn, contents) -> None:
    params = zipnn.params(block="64K")
    blocks = zipnn.encode([contents(300_000)["weights"]], params)
    assert len(blocks) > 3
    for block in reversed(blocks):
        assert zipnn.decode([block], params) == block.raw


def test_records_are_as_large_as_they_may_be(zipnn, contents, safetensors) -> None:
    raw = contents(250_000)["weights"]
    file = safetensors({"a": ("F32", (62_500,), raw), "b": ("BF16", (3,), raw[:6])})
    for data, settings in ((raw, {"dtype": "f64"}), (raw, {"groups": "7"}), (file, {})):
        blocks = zipnn.encode([data], zipnn.params(block="64K", **settings))
        sizes = [block.raw_size for block in blocks]
        assert max(sizes) <= 64 * KIB
        assert min(sizes[:-1]) > 64 * KIB - 8


def test_input_in_memory_is_never_written_to(contents) -> None:
    for raw in contents(20_000).values():
        array = np.frombuffer(raw, np.uint8)  # read-only
        writable = np.array(array)
        for method in ("zipnn", "zipnn:dtype=f32,abs=0.1", "zipnn:dtype=bf16,keep=1"):
            nncomp.compress(array.data, method)
            nncomp.compress(writable.data, method)
            assert np.array_equal(array, writable)


def test_progress_adds_up_and_threads_end(zipnn, contents) -> None:
    raw = contents(300_000)["weights"]
    done: list[int] = []
    params = zipnn.params(block="64K")
    context = Context(threads=3, progress=done.append)
    before = threading.active_count()
    blocks = zipnn.encode([raw], params, context)
    assert sum(done) == len(raw)
    zipnn.decode(blocks, params, context)
    assert sum(done) == 2 * len(raw)
    encoding = ZIPNN.encode([raw], params, context)
    next(encoding)
    encoding.close()
    assert threading.active_count() == before


def test_small_content_gets_small_records(zipnn) -> None:
    params = zipnn.params()
    for size, block in ((0, 64 * KIB), (100_000, 100_000), (2 * MIB, MIB)):
        settled = ZIPNN.settle(params, bytes(size), complete=True)
        assert ZIPNN.max_block(settled) == block
    assert ZIPNN.max_block(ZIPNN.settle(params, bytes(100_000), complete=False)) == MIB


@pytest.mark.parametrize(
    ("settings", "problem"),
    [
        ("dtype=f33", "dtype='f33'"),
        ("groups=33", "groups='33'"),
        ("backend=brotli", "auto, huffman, ans, zstd, lz4, snappy"),
        ("level=23", "from -7 to 22"),
        ("threshold=1.5", "from 0 to 1"),
        ("threshold=nan", "from 0 to 1"),
        ("block=1K", "64K to 64M"),
        ("base=nothing", "16 hexadecimal digits"),
    ],
)
def test_wrong_settings_are_refused(settings: str, problem: str) -> None:
    with pytest.raises(MethodError, match=problem):
        nncomp.compress(b"", f"zipnn:{settings}")
