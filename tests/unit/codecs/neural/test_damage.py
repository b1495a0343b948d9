"""Every truncation and every flipped bit of small archives of `sep`."""

from __future__ import annotations

import io
from contextlib import suppress
from typing import TYPE_CHECKING, Any

import pytest

import nncomp
from nncomp.codecs.neural import records
from nncomp.errors import NncompError, TruncatedError

if TYPE_CHECKING:
    from collections.abc import Callable

CONTENT = b"abcabcabcab" * 24


KINDS: dict[str, dict[str, Any]] = {
    "network alone": {"lanes": 4, "lr": 0.3, "segment": 4, "memory": False},
    "network and memory": {"lanes": 2, "lr": 0.003},
    "memory alone": {"lanes": 4, "lr": 1.0},
}


@pytest.fixture(scope="module", params=KINDS)
def archive(request: pytest.FixtureRequest, method: Callable[..., str]) -> bytes:
    """Some 200 bytes, of which a third or less is the payload."""
    changes = {
        "memory": True,
        "table": 1 << 18,
        "contexts": 2,
        "segment": 32,
        **KINDS[request.param],
    }
    text = method(context=4, tokens=1, levels=1, ffn=16, std=0.3, **changes)
    with pytest.MonkeyPatch.context() as patch:
        if request.param == "network and memory":
            patch.setattr(records, "_alone", lambda *_: None)
        elif request.param == "memory alone":
            patch.setattr(records.Records, "_joint", lambda *_: bytes(1000))
        data = nncomp.compress(CONTENT, text)
    (info,) = nncomp.inspect(io.BytesIO(data))
    assert info.codec == "sep"
    assert nncomp.decompress(data) == CONTENT
    kind = {"network and memory": b"\x00\x00", "memory alone": b"\x01\x03"}
    assert kind.get(request.param, b"") in data
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
