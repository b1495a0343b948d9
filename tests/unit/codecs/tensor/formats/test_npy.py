from __future__ import annotations

import io

import numpy as np
import pytest

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats import directory, metadata
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.errors import TensorFileError

UNKNOWN = [(0, Segment(None, None))]
TYPES = {
    "?": "BOOL",
    "u1": "U8",
    "i1": "I8",
    "<u2": "U16",
    "<i2": "I16",
    "<u4": "U32",
    "<i4": "I32",
    "<u8": "U64",
    "<i8": "I64",
    "<f2": "F16",
    "<f4": "F32",
    "<f8": "F64",
    "<c8": "C64",
    "<c16": "C128",
}


def saved(array: np.ndarray, version: tuple[int, int] | None = None) -> bytes:
    buffer = io.BytesIO()
    np.lib.format.write_array(buffer, array, version)
    return buffer.getvalue()


def with_header(text: str, body: bytes = b"", version: int = 1) -> bytes:
    length = len(text).to_bytes(2 if version == 1 else 4, "little")
    return b"\x93NUMPY" + bytes([version, 0]) + length + text.encode() + body


@pytest.mark.parametrize("descr", TYPES)
@pytest.mark.parametrize("version", [(1, 0), (2, 0), (3, 0)])
def test_every_type_in_every_version(descr, version, walk, tensors):
    array = np.arange(12).reshape(3, 4).astype(descr)
    data = saved(array, version)
    (tensor,) = tensors(data)
    assert (tensor.name, tensor.shape, tensor.strides) == ("", (3, 4), None)
    assert tensor.dtype is DTYPES[TYPES[descr]]
    assert data[tensor.start : tensor.stop] == array.tobytes()
    header, content = (segment for _, segment in walk(data))
    assert header == Segment(len(data) - array.nbytes, BYTES)
    assert content == Segment(array.nbytes, tensor.dtype, "", (3, 4))
    assert metadata(io.BytesIO(data)) == {}


@pytest.mark.parametrize("shape", [(), (0,), (3, 0, 2), (1,), (1, 5, 1)])
def test_shapes(shape, walk, tensors):
    array = np.ones(shape, "f4")
    data = saved(array)
    (tensor,) = tensors(data)
    assert (tensor.shape, tensor.stop - tensor.start) == (shape, array.nbytes)
    assert len(walk(data)) == (2 if array.size else 1)


def test_arrays_in_the_order_of_fortran(tensors):
    array = np.asfortranarray(np.arange(24, dtype="i4").reshape(2, 3, 4))
    data = saved(array)
    (tensor,) = tensors(data)
    assert (tensor.shape, tensor.strides) == ((2, 3, 4), (1, 2, 6))
    flat = np.frombuffer(data[tensor.start : tensor.stop], "i4")
    steps = [4 * step for step in tensor.strides]
    assert (np.lib.stride_tricks.as_strided(flat, tensor.shape, steps) == array).all()


def test_one_row_in_the_order_of_fortran_is_as_any_other(tensors):
    data = saved(np.arange(4, dtype="i4").reshape(1, 4)).replace(b"False", b"True ")
    assert tensors(data)[0].strides is None


@pytest.mark.parametrize(
    ("array", "size"),
    [
        (np.arange(5, dtype=">f4"), 20),
        (np.array(["ab", "c"]), 16),
        (np.array([b"abc", b"d"]), 6),
        (np.zeros(3, "M8[ns]"), 24),
        (np.zeros(2, "V7"), 14),
    ],
)
def test_what_holds_no_little_endian_numbers(array, size, walk):
    data = saved(array)
    assert walk(data)[1][1] == Segment(size, None, "", array.shape)
    with pytest.raises(TensorFileError, match="no little-endian numbers; load it with numpy"):
        directory(io.BytesIO(data))


@pytest.mark.parametrize(
    ("array", "reason"),
    [
        (np.zeros(2, [("a", "<f4"), ("b", "<i2")]), "records"),
        (np.array([None, {}], dtype=object), "no fixed size"),
    ],
)
def test_records_and_objects(array, reason, walk):
    buffer = io.BytesIO()
    np.save(buffer, array, allow_pickle=True)
    assert walk(buffer.getvalue()) == UNKNOWN
    with pytest.raises(TensorFileError, match=reason):
        directory(buffer)


GOOD = "{'descr': '<i4', 'fortran_order': False, 'shape': (1,), }\n"


@pytest.mark.parametrize(
    "header",
    [
        GOOD,
        "{'shape':(1L,),'descr':'<i4','fortran_order':False}",
        "  { 'fortran_order' : False , 'shape' : ( 1 , ) , 'descr' : '=i4' }  ",
    ],
)
def test_headers_of_other_writers(header, tensors):
    (tensor,) = tensors(with_header(header, b"data"))
    assert (tensor.dtype.name, tensor.shape) == ("I32", (1,))


@pytest.mark.parametrize(
    ("header", "reason"),
    [
        (GOOD.replace("(1,)", "(99999999999999999999,)"), "integer"),
        (GOOD.replace("(1,)", f"({'9' * 5000},)"), "integer"),
        (GOOD.replace("(1,)", "(4294967296, 4294967296)"), "elements"),
        (GOOD.replace("(1,)", "(4611686018427387904,)"), "integer"),
        (GOOD.replace("(1,)", f"({'1, ' * 65})"), "dimensions"),
        (GOOD.replace("(1,)", "(-1,)"), "damaged"),
        (GOOD.replace("(1,)", "'x'"), "wrong kind"),
        (GOOD.replace("False", "'no'"), "wrong kind"),
        (GOOD.replace("'<i4'", "True"), "wrong kind"),
        (GOOD.replace("'<i4'", "'<i3'"), "no little-endian numbers"),
        (GOOD.replace("'<i4'", "'i4'"), "no fixed size"),
        (GOOD.replace("'<i4'", "'<S9999999999'"), "no fixed size"),
        (GOOD.replace("{", "{'descr': '<f4', "), "twice"),
        (GOOD.replace("}", "'x': True}"), "damaged"),
        (GOOD.replace("'shape': (1,), ", ""), "damaged"),
        (GOOD.replace("}", ""), "damaged"),
        (GOOD.replace("(1,)", "(٤,)"), "damaged"),
        (GOOD + "}", "damaged"),
        ("[" * 5000, "damaged"),
        ("", "damaged"),
        (GOOD + " " * 10_000, "too long"),
    ],
)
def test_headers_that_lie(header, reason, walk):
    data = with_header(header, b"data", 3)
    assert walk(data)[-1][1].dtype is None
    with pytest.raises(TensorFileError, match=reason):
        directory(io.BytesIO(data))


@pytest.mark.parametrize("version", [0, 4, 255])
def test_unknown_versions(version, walk):
    data = with_header(GOOD, b"data", version)
    assert walk(data) == UNKNOWN
    with pytest.raises(TensorFileError, match=f"unknown .npy version {version}"):
        directory(io.BytesIO(data))


def test_files_longer_than_their_array(walk):
    data = with_header(GOOD, b"data and more")
    assert [segment.size for _, segment in walk(data)] == [len(data) - 13, 4, None]
    with pytest.raises(TensorFileError, match="ends at byte"):
        directory(io.BytesIO(data))


def test_every_truncation_is_refused(walk):
    data = saved(np.arange(3, dtype="i4"))
    for stop in range(len(data)):
        walk(data[:stop])
        with pytest.raises(TensorFileError):
            directory(io.BytesIO(data[:stop]))
