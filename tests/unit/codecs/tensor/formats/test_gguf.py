from __future__ import annotations

import io
import struct

import pytest

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats import directory, metadata
from nncomp.codecs.tensor.formats.base import PEEK_MAX, Segment
from nncomp.codecs.tensor.formats.gguf import TYPES
from nncomp.errors import TensorFileError

F32, F16, Q4_0, Q6_K, UNKNOWN = 0, 1, 2, 14, 42
# Bytes of a block and its weights, from GGML_QUANT_SIZES of the gguf package 0.19; only for
# Q8_1, which no file has, that has still the layout before ggml-common.h changed.
BLOCKS = {
    "Q4_0": (18, 32),
    "Q4_1": (20, 32),
    "Q5_0": (22, 32),
    "Q5_1": (24, 32),
    "Q8_0": (34, 32),
    "Q8_1": (36, 32),
    "Q2_K": (84, 256),
    "Q3_K": (110, 256),
    "Q4_K": (144, 256),
    "Q5_K": (176, 256),
    "Q6_K": (210, 256),
    "Q8_K": (292, 256),
    "IQ2_XXS": (66, 256),
    "IQ2_XS": (74, 256),
    "IQ3_XXS": (98, 256),
    "IQ1_S": (50, 256),
    "IQ4_NL": (18, 32),
    "IQ3_S": (110, 256),
    "IQ2_S": (82, 256),
    "IQ4_XS": (136, 256),
    "IQ1_M": (56, 256),
    "TQ1_0": (54, 256),
    "TQ2_0": (66, 256),
    "MXFP4": (17, 32),
    "NVFP4": (36, 64),
    "Q1_0": (18, 128),
}


def u32(value: int) -> bytes:
    return struct.pack("<I", value)


@pytest.fixture
def fields(gguf):
    """One field of every kind."""
    numbers = [
        gguf.field(f"number.{kind}", kind, bytes(size))
        for kind, size in {
            0: 1,
            1: 1,
            2: 2,
            3: 2,
            4: 4,
            5: 4,
            6: 4,
            7: 1,
            10: 8,
            11: 8,
            12: 8,
        }.items()
    ]
    strings = u32(8) + struct.pack("<Q", 3) + gguf.text("a") + gguf.text("") + gguf.text("ccc")
    return [
        *numbers,
        gguf.field("text", 8, gguf.text("some text")),
        gguf.field("strings", 9, strings),
        gguf.field("floats", 9, u32(6) + struct.pack("<Q", 5) + bytes(20)),
    ]


@pytest.mark.parametrize("version", [2, 3])
def test_all_parts(version, gguf, fields, walk, tensors):
    infos = [
        gguf.info("plain", (3, 5), F32, 0),
        gguf.info("blocks", (64, 2), Q4_0, 64),
        gguf.info("half", (4,), F16, 160),
        gguf.info("empty", (0,), F32, 192),
    ]
    data = gguf.file(fields, infos, bytes(192), version=version)
    start = len(data) - 192
    found = [
        (t.name, t.dtype.name, t.shape, t.start - start, t.stop - start) for t in tensors(data)
    ]
    assert found == [
        ("plain", "F32", (5, 3), 0, 60),
        ("blocks", "Q4_0", (2, 64), 64, 136),
        ("half", "F16", (4,), 160, 168),
        ("empty", "F32", (0,), 192, 192),
    ]
    assert walk(data) == [
        (0, Segment(start, BYTES)),
        (start, Segment(60, DTYPES["F32"], "plain", (5, 3))),
        (start + 60, Segment(4, BYTES)),
        (start + 64, Segment(72, TYPES[Q4_0], "blocks", (2, 64))),
        (start + 136, Segment(24, BYTES)),
        (start + 160, Segment(8, DTYPES["F16"], "half", (4,))),
        (start + 168, Segment(24, BYTES)),
    ]
    assert metadata(io.BytesIO(data)) == {}


@pytest.mark.parametrize("number", sorted(TYPES))
def test_every_type(number, gguf, tensors):
    dtype = TYPES[number]
    size, weights = BLOCKS.get(dtype.name, (dtype.unit, 1))
    assert (dtype.unit, sum(dtype.fields) or size) == (size, size)
    assert dtype.bits == 8 * size / weights
    data = gguf.file([], [gguf.info("t", (2 * weights, 3), number, 0)], bytes(6 * size))
    (tensor,) = tensors(data)
    assert tensor.stop - tensor.start == 6 * size
    assert tensor.shape == (3, 2 * weights)


def test_the_types_are_all_those_of_the_format():
    assert {dtype.name for dtype in TYPES.values() if dtype.fields} == BLOCKS.keys()


def test_types_that_are_known_to_no_reader(gguf, walk, tensors):
    infos = [gguf.info("new", (32,), UNKNOWN, 0), gguf.info("last", (32,), 99, 64)]
    data = gguf.file([], infos, bytes(128))
    start = len(data) - 128
    assert walk(data)[1:] == [
        (start, Segment(64, None, "new", (32,))),
        (start + 64, Segment(None, None, "last", (32,))),
    ]
    with pytest.raises(TensorFileError, match="'new' has the unknown element type 42"):
        tensors(data)


def test_another_alignment(gguf, tensors):
    field = gguf.field("general.alignment", 4, u32(128))
    infos = [gguf.info("a", (4,), F32, 0), gguf.info("b", (4,), F32, 128)]
    data = gguf.file([field], infos, bytes(144), alignment=128)
    assert [tensor.start % 128 for tensor in tensors(data)] == [0, 0]


def test_the_order_of_bytes_not_of_the_directory(gguf, walk, tensors):
    infos = [gguf.info("b", (8,), F32, 32), gguf.info("a", (8,), F32, 0)]
    data = gguf.file([], infos, bytes(64))
    assert [tensor.name for tensor in tensors(data)] == ["a", "b"]
    assert [segment.name for _, segment in walk(data)] == [None, "a", "b"]


def test_headers_longer_than_what_is_looked_ahead(gguf, walk, tensors):
    """Vocabularies may be larger than that; they are walked through."""
    count = 300_000
    strings = u32(8) + struct.pack("<Q", count) + b"".join(map(gguf.text, map(str, range(count))))
    fields = [
        gguf.field("numbers", 9, u32(6) + struct.pack("<Q", PEEK_MAX) + bytes(4 * PEEK_MAX)),
        gguf.field("strings", 9, strings),
        gguf.field("text", 8, gguf.text("x" * (PEEK_MAX + 1))),
    ]
    data = gguf.file(fields, [gguf.info("t", (8,), F32, 0)], bytes(32))
    assert walk(data)[-1] == (len(data) - 32, Segment(32, DTYPES["F32"], "t", (8,)))
    assert tensors(data)[0].start == len(data) - 32


def test_no_tensors(gguf, fields, tensors, walk):
    data = gguf.file(fields, [])
    assert tensors(data) == []
    assert {segment.dtype for _, segment in walk(data)} == {BYTES}


def text_of(size: int) -> bytes:
    return struct.pack("<Q", size)


def test_absurd_headers(gguf, walk):
    info = gguf.info("t", (8,), F32, 0)
    huge = (1 << 64) - 1
    cases = {
        "unknown GGUF version 1": gguf.file([], [info], bytes(32), version=1),
        "unknown GGUF version 50331648": gguf.file([], [info], bytes(32), version=3 << 24),
        "at most 262144 are read": gguf.file([], [info], bytes(32), tensor_count=huge),
        "ends within its header": gguf.file([], [info], b"", field_count=1 << 40),
        "a name of": gguf.file([text_of(huge)], [info]),
        "of unknown kind 13": gguf.file([gguf.field("a", 13, b"")], [info]),
        "of unknown kind 9": gguf.file([gguf.field("a", 9, u32(9) + text_of(1))], [info]),
        "size is no integer": gguf.file([gguf.field("a", 9, u32(12) + text_of(huge))], [info]),
        "longer than": gguf.file([gguf.field("a", 8, text_of(1 << 62))], [info]),
        "longer than 1": gguf.file([gguf.field("a", 9, u32(8) + text_of(huge) * 2)], [info]),
        "of 5 dimensions": gguf.file([], [gguf.info("t", (1,) * 5, F32, 0)], bytes(32)),
        "of 4294967295 dim": gguf.file([], [gguf.text("t") + u32(0xFFFFFFFF)], bytes(32)),
        "a length is no": gguf.file([], [gguf.info("t", (huge,), F32, 0)], bytes(32)),
        "elements": gguf.file([], [gguf.info("t", (1 << 62, 4), F32, 0)], bytes(32)),
        "an offset is no": gguf.file([], [gguf.info("t", (8,), F32, huge)], bytes(32)),
        "not aligned": gguf.file([], [gguf.info("t", (8,), F32, 8)], bytes(64)),
        "no power of two": gguf.file([gguf.field("general.alignment", 4, u32(0))], [info]),
        "no power": gguf.file([gguf.field("general.alignment", 4, u32(24))], [info]),
        "no power of": gguf.file([gguf.field("general.alignment", 10, text_of(32))], [info]),
        "two tensors have the name 't'": gguf.file([], [info, info], bytes(64)),
    }
    for reason, data in cases.items():
        placed = walk(data)
        assert {segment.dtype for _, segment in placed} <= {BYTES, None}, reason
        with pytest.raises(TensorFileError, match=reason):
            directory(io.BytesIO(data))


@pytest.mark.parametrize(
    ("infos", "size", "reason"),
    [
        ([("a", (16,), F32, 0), ("b", (8,), F32, 32)], 96, "'b' overlaps"),
        ([("a", (8,), F32, 0), ("b", (8,), F32, 0)], 64, "'b' overlaps"),
        ([("a", (8,), F32, 0), ("b", (8,), F32, 64)], 96, "'b' follows a gap"),
        ([("a", (8,), F32, 32)], 64, "'a' follows a gap"),
        ([("a", (33,), Q4_0, 0)], 64, "no whole number of Q4_0 blocks"),
        ([("a", (32, 3), Q6_K, 0)], 630, "no whole number of Q6_K blocks"),
        ([("a", (), Q4_0, 0)], 32, "no whole number of Q4_0 blocks"),
        ([("a", (8,), F32, 0)], 31, "the tensors end at byte"),
        ([("a", (8,), F32, 0)], 33, "the tensors end at byte"),
        ([("a", (1 << 61,), F32, 0)], 32, "2\\*\\*63"),
    ],
)
def test_tensors_that_lie(infos, size, reason, gguf, walk):
    data = gguf.file([], [gguf.info(*info) for info in infos], bytes(size))
    walk(data)
    with pytest.raises(TensorFileError, match=reason):
        directory(io.BytesIO(data))


def test_every_truncation(gguf, fields, walk):
    data = gguf.file(fields, [gguf.info("t", (8,), F32, 0)], bytes(32))
    for stop in range(len(data)):
        walk(data[:stop])
        with pytest.raises(TensorFileError):
            directory(io.BytesIO(data[:stop]))
