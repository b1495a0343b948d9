from __future__ import annotations

import io
import zipfile

import numpy as np
import pytest

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats import directory
from nncomp.codecs.tensor.formats.base import PEEK_MAX, Segment
from nncomp.errors import TensorFileError

ARRAYS = {
    "weights": np.arange(30, dtype="f4").reshape(5, 6),
    "empty": np.zeros((0, 3), "f2"),
    "layer/bias": np.arange(7, dtype="i2"),
    "zeros": np.zeros(0x5000, "u1"),
}


class Pipe(io.BytesIO):
    """A file that cannot seek: sizes of entries have to follow them."""

    def seekable(self) -> bool:
        return False

    def seek(self, *args: object) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def saved(buffer: io.BytesIO | None = None) -> bytes:
    buffer = buffer or io.BytesIO()
    np.savez(buffer, **ARRAYS)
    return buffer.getvalue()


@pytest.mark.parametrize("kind", [io.BytesIO, Pipe])
def test_archives_of_numpy(kind, walk, tensors):
    data = saved(kind())
    found = {tensor.name: tensor for tensor in tensors(data)}
    assert found.keys() == ARRAYS.keys()
    for name, array in ARRAYS.items():
        assert data[found[name].start : found[name].stop] == array.tobytes()
        assert found[name].shape == array.shape
    placed = walk(data)
    numbers = [segment.name for _, segment in placed if segment.dtype is not BYTES]
    assert numbers == [name for name, array in ARRAYS.items() if array.size]
    assert placed[-1][1] == Segment(None, BYTES)
    assert data[placed[-1][0] :].startswith((b"PK\x01\x02", b"PK\x07\x08"))


def test_large_archives(monkeypatch, tensors):
    """Sizes and offsets in the fields of 64 bits, as above 4 GB."""
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 100)
    monkeypatch.setattr(zipfile, "ZIP_FILECOUNT_LIMIT", 2)
    data = saved()
    assert b"PK\x06\x06" in data
    assert len(tensors(data)) == len(ARRAYS)


def test_compressed_arrays(walk):
    buffer = io.BytesIO()
    np.savez_compressed(buffer, **ARRAYS)
    placed = walk(buffer.getvalue())
    assert {segment.dtype for _, segment in placed} == {BYTES}
    assert len(placed) == 2 * len(ARRAYS) + 1
    with pytest.raises(TensorFileError, match=r"'weights' is compressed.*load it with numpy"):
        directory(buffer)


def test_compressed_arrays_from_a_pipe(walk):
    pipe = Pipe()
    np.savez_compressed(pipe, **ARRAYS)
    placed = walk(pipe.getvalue())
    assert {segment.dtype for _, segment in placed} == {BYTES}
    assert len(placed) == 2 * len(ARRAYS) + 1


def test_entries_of_arrays_with_a_tail(zip_file, walk):
    buffer = io.BytesIO()
    np.save(buffer, ARRAYS["weights"])
    data = zip_file({"a.npy": buffer.getvalue() + b"tail", "b.npy": buffer.getvalue()})
    sizes = [(segment.size, segment.dtype) for _, segment in walk(data)]
    assert sizes[2:4] == [(120, DTYPES["F32"]), (4, None)]
    assert sizes[6] == (120, DTYPES["F32"])
    with pytest.raises(TensorFileError, match="'a' ends at byte"):
        directory(io.BytesIO(data))


def test_arrays_larger_than_their_entries(zip_file, walk):
    buffer = io.BytesIO()
    np.save(buffer, np.zeros(3000, "f4"))
    data = zip_file({"a.npy": buffer.getvalue()[:-4]})
    assert walk(data)[1][1] == Segment(len(buffer.getvalue()) - 4, None)
    with pytest.raises(TensorFileError, match="'a' ends at byte"):
        directory(io.BytesIO(data))


@pytest.mark.parametrize("name", ["a.npy", "b.txt"])
def test_entries_that_are_no_arrays(name, zip_file, walk):
    data = zip_file({name: b"x" * 10_000, "small": b"y"})
    assert [segment.dtype for _, segment in walk(data)] == [BYTES, None, BYTES, BYTES, BYTES]
    with pytest.raises(TensorFileError, match=r"neither NumPy nor PyTorch"):
        directory(io.BytesIO(data))


def test_entries_of_unknown_size_longer_than_the_window(walk):
    """Their descriptor is found wherever it lies."""
    for size in (PEEK_MAX - 30, PEEK_MAX, PEEK_MAX + 100):
        pipe = Pipe()
        with zipfile.ZipFile(pipe, "w") as archive:
            archive.writestr("raw", bytes(size))
            archive.writestr("b.npy", b"")
        placed = walk(pipe.getvalue())
        assert sum(segment.size or 0 for _, segment in placed if segment.dtype is None) == size
        assert placed[-1][1] == Segment(None, BYTES)


def test_an_empty_archive(zip_file, walk, tensors):
    data = zip_file({})
    assert walk(data) == [(0, Segment(None, BYTES))]
    assert tensors(data) == []
