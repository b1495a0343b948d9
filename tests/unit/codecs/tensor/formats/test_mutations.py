"""Whatever the bytes are, the encoder gets segments, and readers a list or a reason."""

from __future__ import annotations

import contextlib
import io
import json

import numpy as np
import pytest
from hypothesis import HealthCheck, example, given, settings
from hypothesis import strategies as st

from nncomp.codecs.tensor.formats import directory, metadata
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.errors import TensorFileError

STARTS = [
    b"",
    b"GGUF\x03\0\0\0",
    b"PK\x03\x04",
    b"PK\x05\x06",
    b"\x93NUMPY\x01\0",
    b"\x09" + bytes(7) + b"{",
]
LIMITS = settings(
    max_examples=400,
    deadline=None,
    suppress_health_check=[HealthCheck.function_scoped_fixture],
)


@pytest.fixture(scope="module")
def samples(safetensors_file, zip_file, pickle_of, gguf) -> list[bytes]:
    """A small valid file of each format."""
    array, arrays = io.BytesIO(), io.BytesIO()
    np.save(array, np.arange(6, dtype="f4").reshape(2, 3))
    np.savez(arrays, a=np.arange(3), b=np.zeros((2, 2), "f2"))
    header = {
        "__metadata__": {"format": "pt"},
        "a": {"dtype": "F32", "shape": [2, 3], "data_offsets": [0, 24]},
        "b": {"dtype": "I8", "shape": [5], "data_offsets": [24, 29]},
    }
    views = {
        name: pickle_of.tensor(pickle_of.storage("0", 12), shape, strides)
        for name, shape, strides in [("w", (3, 4), (4, 1)), ("v", (4, 3), (1, 4))]
    }
    pickle = pickle_of.end(pickle_of.dict_(views))
    infos = [gguf.info("a", (8,), 0, 0), gguf.info("b", (32,), 2, 32)]
    fields = [gguf.field("general.alignment", 4, b"\x20\0\0\0"), gguf.field("s", 8, gguf.text("x"))]
    files = [
        safetensors_file(json.dumps(header), bytes(29)),
        array.getvalue(),
        arrays.getvalue(),
        zip_file({"x/data.pkl": pickle, "x/byteorder": b"little", "x/data/0": bytes(48)}),
        gguf.file(fields, infos, bytes(50)),
    ]
    for file in files:
        assert directory(io.BytesIO(file))
    return files


def check(data: bytes, walk) -> None:
    walk(data)
    for read in (directory, metadata):
        with contextlib.suppress(TensorFileError):
            read(io.BytesIO(data))
    with contextlib.suppress(TensorFileError):
        for tensor in directory(io.BytesIO(data)):
            assert 0 <= tensor.start <= tensor.stop <= len(data)


@LIMITS
@given(data=st.data())
def test_changed_files(data, samples, walk):
    file = bytearray(data.draw(st.sampled_from(samples)))
    for _ in range(data.draw(st.integers(1, 4))):
        at = data.draw(st.integers(0, len(file) - 1))
        file[at] = data.draw(
            st.sampled_from([0, 1, 0x7F, 0x80, 0xFF, file[at] ^ 1, file[at] ^ 0x10])
        )
    check(bytes(file), walk)


@LIMITS
@given(data=st.data())
def test_spliced_files(data, samples, walk):
    one, two = (data.draw(st.sampled_from(samples)) for _ in range(2))
    cut, resume = (data.draw(st.integers(0, len(part))) for part in (one, two))
    check(one[:cut] + two[resume:], walk)


@LIMITS
@given(start=st.sampled_from(STARTS), rest=st.binary(max_size=200))
@example(start=b"", rest=b"")
def test_any_bytes(start, rest, walk):
    check(start + rest, walk)


def test_every_single_bit(samples, walk):
    for file in samples:
        for bit in range(8 * min(len(file), 400)):
            changed = bytearray(file)
            changed[bit // 8] ^= 1 << bit % 8
            check(bytes(changed), walk)


@pytest.mark.parametrize("data", [b"x", b"plain text, no tensors", b"{}", bytes(100)])
def test_other_files(data, walk):
    assert walk(data) == [(0, Segment(None, None))]
    with pytest.raises(TensorFileError, match="open it as plain bytes"):
        directory(io.BytesIO(data))
    assert metadata(io.BytesIO(data)) == {}


def test_nothing_at_all(walk):
    assert walk(b"") == []
