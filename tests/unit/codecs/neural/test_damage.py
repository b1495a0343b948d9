"""Every truncation and every flipped bit of one small archive of `sep`."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING

import pytest

import nncomp
from nncomp.errors import NncompError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = b"abcabcabcab" * 12


@pytest.fixture(scope="module")
def archive(method: Callable[..., str]) -> bytes:
    """About 180 bytes, of which a third is the payload."""
    text = method(lanes=4, context=4, tokens=1, levels=1, ffn=16, std=0.3, lr=0.3)
    data = nncomp.compress(CONTENT, text)
    (info,) = nncomp.inspect(io.BytesIO(data))
    assert info.codec == "sep"
    assert nncomp.decompress(data) == CONTENT
    return data


def test_every_truncation(archive: bytes) -> None:
    for size in range(1, len(archive)):
        with pytest.raises(TruncatedError):
            nncomp.decompress(archive[:size])


def test_every_flipped_bit(archive: bytes) -> None:
    """An error of ours; or the content, where a bit means nothing. Never other data."""
    harmless = 0
    for bit in range(8 * len(archive)):
        damaged = bytearray(archive)
        damaged[bit // 8] ^= 1 << bit % 8
        with suppress(NncompError):
            assert nncomp.decompress(damaged) == CONTENT
            harmless += 1
    assert harmless <= 8  # at most the last byte of the coder's


def test_something_inserted_or_left_out(archive: bytes) -> None:
    for at in range(0, len(archive), 3):
        for damaged in (archive[:at] + b"\x00" + archive[at:], archive[:at] + archive[at + 1 :]):
            with pytest.raises(NncompError):
                nncomp.decompress(damaged)
