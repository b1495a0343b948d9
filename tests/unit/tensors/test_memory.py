"""NumPy arrays in memory to archives and back."""

import io

import ml_dtypes
import numpy as np
import pytest
from hypothesis import given
from hypothesis import strategies as st
from hypothesis.extra import numpy as hnp

import nncomp
from nncomp.errors import LimitError, NncompError, TensorFileError, UsageError
from nncomp.tensors import compress_tensor, decompress_tensor, save_file


def check(array: np.ndarray, **options: object) -> None:
    before = array.copy(order="K")
    got = decompress_tensor(compress_tensor(array, **options))
    assert got.dtype == array.dtype
    assert got.dtype.byteorder == array.dtype.byteorder
    assert got.shape == array.shape
    assert got.tobytes() == before.tobytes() == array.tobytes()
    assert got.flags.writeable
    assert not np.shares_memory(got, array)


@given(
    hnp.arrays(
        st.one_of(
            hnp.boolean_dtypes(),
            hnp.integer_dtypes(endianness="?"),
            hnp.unsigned_integer_dtypes(endianness="?"),
            hnp.floating_dtypes(endianness="?"),
            hnp.complex_number_dtypes(endianness="?"),
            hnp.datetime64_dtypes(endianness="?"),
        ),
        hnp.array_shapes(min_dims=0, max_dims=4, min_side=0, max_side=5),
    )
)
def test_any_array(array: np.ndarray) -> None:
    check(array)


def test_layouts() -> None:
    base = np.arange(60, dtype=">f8").reshape(3, 4, 5)
    base.flags.writeable = False
    for array in (base.T, base[::2, ::-1, 1:4], np.broadcast_to(base[0], (2, 4, 5)), base[..., 0]):
        check(array)
    fortran = decompress_tensor(compress_tensor(np.asfortranarray(base)))
    assert fortran.flags.f_contiguous
    check(np.array([(1, 2.5)], "u1,<f4"))
    check(np.array(["text", ""], "U4"))
    check(np.array([b"", b""], "S"))
    check(np.zeros((2, 3), "V0"))
    check(np.array(3.0))
    assert decompress_tensor(compress_tensor(np.float32(3))).shape == ()


@pytest.mark.parametrize("name", ["bfloat16", "float8_e4m3fn", "float8_e5m2", "float8_e8m0fnu"])
def test_types_of_ml_dtypes(name: str) -> None:
    check(np.arange(12).astype(getattr(ml_dtypes, name)).reshape(3, 4).T)


def test_options_take_effect() -> None:
    array = np.arange(100_000) // 7
    sizes = [len(compress_tensor(array, "zstd", level=level, threads=2)) for level in (1, 9)]
    assert sizes[0] != sizes[1]
    check(array, method="store", threads=2)


def test_the_content_is_a_file_of_numpy() -> None:
    array = np.arange(10).reshape(2, 5)
    content = nncomp.decompress(compress_tensor(array))
    assert (np.load(io.BytesIO(content)) == array).all()


def test_refusals() -> None:
    for bad in ([1], np.array([None]), np.ma.masked_array([1]), np.ones(2, ml_dtypes.int4)):
        with pytest.raises(UsageError):
            compress_tensor(bad)
    long = np.zeros(1, [("x" * 3000 + str(i), "u1") for i in range(4)])
    with pytest.raises(UsageError, match="too many"):
        compress_tensor(long)
    with pytest.raises(UsageError, match="element type"):
        compress_tensor(np.zeros(1, [("\u20ac", "u1")]))
    archive = compress_tensor(np.zeros(100_000, np.uint8))
    with pytest.raises(LimitError):
        decompress_tensor(archive, memory_limit=99_999)


def npy(header: str, data: bytes = b"") -> bytes:
    text = header.encode()
    return nncomp.compress(b"\x93NUMPY\x01\x00" + len(text).to_bytes(2, "little") + text + data)


@pytest.mark.parametrize(
    "archive",
    [
        nncomp.compress(b""),
        nncomp.compress(b"text"),
        nncomp.compress(b"\x93NUMPY"),
        nncomp.compress(b"\x93NUMPY\x09\x00"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (9,)}", b"1"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (1,)}", b"12"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (-1, -1)}", b"1"),
        npy("{'descr': '|u1', 'fortran_order': False, 'shape': (10**30,)}", b"1"),
        npy("{'descr': '|O', 'fortran_order': False, 'shape': (1,)}", b"12345678"),
        npy("{'descr': 'X9', 'fortran_order': False, 'shape': (1,)}"),
        npy("{'descr': '|u1'}"),
        npy("(" * 5000),
        npy("'\0"),
    ],
)
def test_other_content_is_refused(archive: bytes) -> None:
    with pytest.raises(TensorFileError):
        decompress_tensor(archive)


def test_archives_of_several_tensors_are_refused(tmp_path) -> None:
    path = tmp_path / "x.nnc"
    for state, metadata in (
        ({"a": np.ones(1), "b": np.ones(1)}, {"format": "np"}),
        ({"tensor": np.ones(1)}, {}),
        ({}, {"format": "np"}),
    ):
        save_file(state, path, metadata)
        with pytest.raises(TensorFileError, match=r"use nncomp\.tensors\.open"):
            decompress_tensor(path.read_bytes())


def test_damage_never_gives_other_numbers() -> None:
    array = np.arange(50)
    archive = compress_tensor(array)
    for at in range(len(archive)):
        with pytest.raises(NncompError):
            decompress_tensor(archive[:at])
        try:
            got = decompress_tensor(archive[:at] + bytes([archive[at] ^ 1]) + archive[at + 1 :])
        except NncompError:
            continue
        assert (got == array).all()  # a bit that the entropy coder does not look at
