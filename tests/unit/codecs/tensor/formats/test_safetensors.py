from __future__ import annotations

import io
import json

import numpy as np
import pytest

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats import directory, metadata
from nncomp.codecs.tensor.formats.base import PEEK_MAX, Segment, Tensor
from nncomp.errors import TensorFileError

UNKNOWN = [(0, Segment(None, None))]


def entry(dtype: str, shape: list[object], start: object, stop: object) -> dict[str, object]:
    return {"dtype": dtype, "shape": shape, "data_offsets": [start, stop]}


def test_files_of_the_reference_writer(walk, tensors):
    numpy_format = pytest.importorskip("safetensors.numpy")
    arrays = {
        "a.float": np.arange(6, dtype="f4").reshape(2, 3),
        "b.empty": np.zeros((0, 4), "i8"),
        "c.half": np.arange(5, dtype="f2"),
        "d.flag": np.array(True),
        "e.complex": np.zeros(3, "c8"),
    }
    data = numpy_format.save(arrays, {"format": "np"})
    found = {tensor.name: tensor for tensor in tensors(data)}
    assert found.keys() == arrays.keys()
    for name, array in arrays.items():
        tensor = found[name]
        assert data[tensor.start : tensor.stop] == array.tobytes()
        assert tensor.shape == array.shape
        assert tensor.strides is None
    types = {"a.float": "F32", "b.empty": "I64", "c.half": "F16", "d.flag": "BOOL"}
    assert {name: found[name].dtype.name for name in types} == types
    assert {segment.name for _, segment in walk(data)} == {None, *arrays} - {"b.empty"}
    assert walk(data)[0][1].dtype is BYTES
    assert metadata(io.BytesIO(data)) == {"format": "np"}


@pytest.mark.parametrize(
    "path",
    ["derived/minilm_layer0.bf16.safetensors", "weights/dzip_webster.safetensors"],
)
def test_real_files(path, shared_data, walk, tensors):
    if not (shared_data / path).exists():
        pytest.skip(f"{path} is not in the folder of test data")
    data = (shared_data / path).read_bytes()
    placed = walk(data)
    assert sum(segment.size for _, segment in placed) == len(data)
    assert all(segment.dtype for _, segment in placed)
    assert [segment.name for _, segment in placed[1:]] == [tensor.name for tensor in tensors(data)]


@pytest.mark.parametrize("name", sorted(DTYPES.keys() - {"C128"}))
def test_every_type_of_the_format(name, safetensors_file, tensors):
    size = 24 * int(DTYPES[name].bits) // 8
    data = safetensors_file({"t": entry(name, [2, 12], 0, size)}, bytes(size))
    start = len(data) - size
    assert tensors(data) == [Tensor("t", DTYPES[name], (2, 12), start, len(data))]


def test_types_that_are_known_to_no_reader(safetensors_file, walk, tensors):
    data = safetensors_file({"t": entry("F128", [2], 0, 32)}, bytes(32))
    assert walk(data)[1][1] == Segment(32, None, "t", (2,))
    with pytest.raises(TensorFileError, match="unknown element type 'F128'"):
        tensors(data)


def test_order_of_the_bytes_not_of_the_header(safetensors_file, walk, tensors):
    header = {"z": entry("U8", [2], 2, 4), "y": entry("U8", [2], 0, 2)}
    data = safetensors_file(header, b"abcd")
    assert [tensor.name for tensor in tensors(data)] == ["y", "z"]
    assert [segment.name for _, segment in walk(data)] == [None, "y", "z"]


def test_no_tensors(safetensors_file, walk, tensors):
    data = safetensors_file({})
    assert tensors(data) == []
    assert walk(data) == [(0, Segment(len(data), BYTES))]
    assert metadata(io.BytesIO(data)) == {}


GOOD = entry("U8", [4], 0, 4)
LIES = {
    "overlap": ({"a": GOOD, "b": entry("U8", [4], 2, 6)}, "overlaps"),
    "same bytes": ({"a": GOOD, "b": GOOD}, "overlaps"),
    "gap": ({"a": GOOD, "b": entry("U8", [4], 5, 9)}, "gap"),
    "gap before the first": ({"a": entry("U8", [4], 1, 5)}, "gap"),
    "end before start": ({"a": entry("U8", [4], 4, 0)}, "size of its shape"),
    "end before start, type unknown": (
        {"a": entry("?", [4], 0, 4), "b": entry("?", [4], 4, 0)},
        "ends before",
    ),
    "size against shape": ({"a": entry("F32", [4], 0, 4)}, "size of its shape"),
    "half a byte": ({"a": entry("F4", [3], 0, 1)}, "do not end at a byte"),
    "huge shape": ({"a": entry("U8", [2**40, 2**40], 0, 4)}, "elements"),
    "huge shape times zero": ({"a": entry("U8", [2**40, 2**40, 0], 0, 0)}, "elements"),
    "huge bytes": ({"a": entry("F64", [2**62], 0, 4)}, "bytes"),
    "huge length": ({"a": entry("U8", [2**64], 0, 4)}, "integer"),
    "huge offset": ({"a": entry("U8", [4], 2**64, 2**64 + 4)}, "integer"),
    "negative length": ({"a": entry("U8", [-4], 0, 4)}, "integer"),
    "negative offset": ({"a": entry("U8", [4], -4, 0)}, "integer"),
    "length with a point": ({"a": entry("U8", [4.0], 0, 4)}, "integer"),
    "offsets that are truths": ({"a": entry("U8", [1], False, True)}, "integer"),
    "offsets that are text": ({"a": entry("U8", [4], "0", "4")}, "integer"),
    "three offsets": ({"a": {**GOOD, "data_offsets": [0, 4, 4]}}, "two offsets"),
    "shape of the wrong kind": ({"a": {**GOOD, "shape": 4}}, "wrong kind"),
    "type of the wrong kind": ({"a": {**GOOD, "dtype": 4}}, "wrong kind"),
    "unknown field": ({"a": {**GOOD, "strides": [1]}}, "exactly"),
    "missing field": ({"a": {"dtype": "U8", "shape": [4]}}, "exactly"),
    "no fields": ({"a": 4}, "exactly"),
    "65 dimensions": ({"a": entry("U8", [1] * 64 + [4], 0, 4)}, "dimensions"),
    "metadata of numbers": ({"__metadata__": {"a": 1}, "a": GOOD}, "texts"),
    "metadata of the wrong kind": ({"__metadata__": [], "a": GOOD}, "texts"),
    "a name twice": (f'{{"a": {json.dumps(GOOD)}, "a": {json.dumps(GOOD)}}}', "twice"),
    "a field twice": ('{"a": {"dtype": "U8", "dtype": "U8"}}', "twice"),
    "JSON cut off": ('{"a": {"dtype": "U8"', "JSON"),
    "JSON of a number of 10,000 digits": ('{"a": ' + "9" * 10_000 + "}", "JSON"),
    "JSON of 100,000 levels": ('{"a":' * 100_000, "JSON"),
    "JSON with a tail": ('{"a": 1} x', "JSON"),
}


@pytest.mark.parametrize("lie", LIES)
def test_lying_headers_are_bytes_to_the_encoder_and_refused_by_name(lie, safetensors_file, walk):
    header, reason = LIES[lie]
    data = safetensors_file(header, bytes(64))
    assert walk(data) == UNKNOWN
    with pytest.raises(TensorFileError, match=reason):
        directory(io.BytesIO(data))


@pytest.mark.parametrize(
    ("length", "reason"),
    [
        (2**64 - 1, "no safetensors"),
        (100_000_001, "no safetensors"),
        (90_000_000, "in a file of"),
        (3, "JSON"),
    ],
)
def test_lengths_of_the_header_that_lie(length, reason, safetensors_file, walk):
    data = length.to_bytes(8, "little") + safetensors_file({"a": GOOD}, bytes(4))[8:]
    assert walk(data) == UNKNOWN
    with pytest.raises(TensorFileError, match=reason):
        directory(io.BytesIO(data))


def test_a_header_that_is_no_text(walk):
    data = (4).to_bytes(8, "little") + b"{\xff\xfe}"
    assert walk(data) == UNKNOWN
    with pytest.raises(TensorFileError, match="JSON"):
        directory(io.BytesIO(data))


@pytest.mark.parametrize(("tail", "dtype"), [(b"more", None), (b"", None)])
def test_files_longer_or_shorter_than_their_tensors(tail, dtype, safetensors_file, walk):
    data = safetensors_file({"a": GOOD}, b"data" + tail)[: None if tail else -1]
    placed = walk(data)
    assert placed[1][1] == Segment(4, DTYPES["U8"], "a", (4,))
    assert [segment for _, segment in placed[2:]] == ([Segment(None, dtype)] if tail else [])
    with pytest.raises(TensorFileError, match="the tensors end at byte"):
        directory(io.BytesIO(data))


def test_headers_too_long_to_look_ahead_are_read_from_files_only(safetensors_file, walk):
    text = json.dumps({"a": GOOD}) + " " * PEEK_MAX
    data = safetensors_file(text, b"data")
    assert walk(data) == UNKNOWN
    (tensor,) = directory(io.BytesIO(data))
    assert data[tensor.start : tensor.stop] == b"data"


def test_names_that_need_care(safetensors_file, tensors):
    names = ["", "ä", "../x", "a\x00b", "\ud800"]
    header = {name: entry("U8", [1], i, i + 1) for i, name in enumerate(names)}
    assert [tensor.name for tensor in tensors(safetensors_file(header, bytes(5)))] == names
