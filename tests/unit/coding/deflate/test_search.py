"""Settings are found where zlib made a stream, and only there."""

from __future__ import annotations

import zlib
from random import Random

import numpy as np
import pytest

from nncomp.coding.deflate.encoder import deflate
from nncomp.coding.deflate.search import find_settings
from nncomp.coding.deflate.settings import FILTERED, FIXED_CODES, HUFFMAN, RUNS, Settings

RANDOM = Random(9)  # noqa: S311, the same for ever
WORDS = [RANDOM.randbytes(RANDOM.randint(1, 9)) for _ in range(200)]
CONTENT = np.frombuffer(b"".join(RANDOM.choices(WORDS, k=30_000)), np.uint8)


def found(content: np.ndarray, stream: bytes, window: int = 15) -> Settings | None:
    return find_settings(np.frombuffer(stream, np.uint8), content, window)


@pytest.mark.parametrize(
    "settings",
    [
        *(Settings(level) for level in range(1, 10)),
        Settings(9, far=32767),
        Settings(6, FILTERED),
        Settings(7, FILTERED, 9),
        Settings(1, HUFFMAN),
        Settings(1, RUNS),
        Settings(4, FIXED_CODES, 5),
        Settings(9, memory=1),
        Settings(6, memory=9, window=11),
    ],
)
def test_found(settings: Settings) -> None:
    stream = deflate(CONTENT, settings)
    other = found(CONTENT, stream, settings.window)
    assert other is not None
    assert deflate(CONTENT, other) == stream


@pytest.mark.parametrize("size", [0, 1, 2, 3, 10, 300])
def test_found_for_little(size: int) -> None:
    assert found(CONTENT[:size], deflate(CONTENT[:size], Settings(9))) is not None


def test_found_for_noise() -> None:
    noise = np.frombuffer(RANDOM.randbytes(90_000), np.uint8)
    assert found(noise, deflate(noise, Settings(6))) is not None


def test_not_found_for_others() -> None:
    encoder = zlib.compressobj(6, zlib.DEFLATED, -15)
    stream = encoder.compress(CONTENT[:9000].tobytes()) + encoder.flush(zlib.Z_SYNC_FLUSH)
    stream += encoder.compress(CONTENT[9000:].tobytes()) + encoder.flush()
    assert found(CONTENT, stream) is None


def test_not_found_for_a_stream_that_goes_on_otherwise() -> None:
    stream = bytearray(deflate(CONTENT, Settings(6)))
    stream[-9] ^= 16
    assert found(CONTENT, bytes(stream)) is None
