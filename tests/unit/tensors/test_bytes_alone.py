"""Bytes that were compressed without a header, as tensors."""

import ml_dtypes
import numpy as np
import pytest
import torch

import nncomp
from nncomp.errors import CorruptError, LimitError, UsageError
from nncomp.tensors import decompress_tensor

NUMBERS = np.arange(-3, 9, dtype=np.float32).reshape(3, 4)
ARCHIVE = nncomp.compress(NUMBERS.tobytes(), "zipnn:dtype=f32")


def test_type_and_shape() -> None:
    array = decompress_tensor(ARCHIVE, dtype="F32", shape=(3, 4))
    assert (array.dtype, array.shape) == (np.float32, (3, 4))
    assert (array == NUMBERS).all()
    assert array.flags.writeable


def test_one_dimension_by_default() -> None:
    assert (decompress_tensor(ARCHIVE, dtype="f32") == NUMBERS.reshape(-1)).all()
    assert decompress_tensor(ARCHIVE, dtype="c128").shape == (3,)
    assert decompress_tensor(nncomp.compress(b""), dtype="i64").shape == (0,)


def test_other_frameworks_and_types() -> None:
    tensor = decompress_tensor(ARCHIVE, dtype="bf16", shape=[2, 12], framework="pt", device="cpu")
    assert (tensor.dtype, tensor.shape) == (torch.bfloat16, (2, 12))
    assert tensor.view(torch.int16).numpy().tobytes() == NUMBERS.tobytes()
    assert decompress_tensor(ARCHIVE, dtype="bf16").dtype == ml_dtypes.bfloat16


@pytest.mark.parametrize(
    ("options", "message"),
    [
        ({"dtype": "f4"}, "dtype='f4' is not valid here: expected one of bool, u8"),
        ({"dtype": "float32"}, "is not valid here"),
        ({"dtype": "bytes"}, "is not valid here"),
        ({"dtype": "f32", "shape": (3, 3)}, "the content has 48 bytes"),
        ({"dtype": "f32", "shape": (-3, -4)}, "the content has 48 bytes"),
        ({"dtype": "f32", "shape": ()}, "the content has 48 bytes"),
        ({"shape": (3, 4)}, "give their dtype, too"),
        ({"dtype": "f32", "framework": "jax"}, "framework='jax'"),
    ],
)
def test_refusals(options: dict[str, object], message: str) -> None:
    with pytest.raises(UsageError, match=message.replace("(", r"\(")):
        decompress_tensor(ARCHIVE, **options)


def test_no_whole_number_of_elements() -> None:
    with pytest.raises(UsageError, match="the content has 5 bytes"):
        decompress_tensor(nncomp.compress(b"12345"), dtype="f32")


def test_memory_limit_and_damage() -> None:
    large = nncomp.compress(bytes(10_000_000), "zstd")
    with pytest.raises(LimitError):
        decompress_tensor(large, dtype="u8", memory_limit=9_000_000)
    damaged = bytearray(ARCHIVE)
    damaged[-15] ^= 1  # the checksum of the content, in the footer
    with pytest.raises(CorruptError):
        decompress_tensor(bytes(damaged), dtype="f32")
