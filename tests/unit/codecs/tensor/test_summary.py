"""What a summary tells of a payload is what decoding it finds."""

from __future__ import annotations

import io
from typing import TYPE_CHECKING

import numpy as np
import pytest

import nncomp
from nncomp.api.base import open_base
from nncomp.codecs.base import Context, resolve_params
from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.codecs.tensor.summary import KINDS, Payload, describe_loss, read_segment, summarise
from nncomp.codecs.tensor.zipnn import ZIPNN
from nncomp.errors import CorruptError, NncompError

if TYPE_CHECKING:
    from nncomp.codecs.base import Base, Block

SIZE = 200_003
FRONT = b"what stands before the payload"


class Watched(io.BytesIO):
    """A file that tells how much of it was read."""

    count = 0

    def read(self, size: int | None = -1, /) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data


def weights() -> bytes:
    numbers = np.random.default_rng(3).normal(0, 0.02, SIZE // 4 + 1)
    return numbers.astype(np.float32).tobytes()[:SIZE]


def zeros() -> bytes:
    """Three of four elements are zero, whatever their width."""
    random = np.random.default_rng(4)
    numbers = random.integers(1 << 63, size=SIZE // 8 + 1) * (random.random(SIZE // 8 + 1) < 0.25)
    return numbers.tobytes()[:SIZE]


def skewed() -> bytes:
    """One byte is far more frequent than all others together."""
    random = np.random.default_rng(5)
    common = np.where(random.random(SIZE) < 0.97, 7, random.integers(256, size=SIZE))
    return common.astype(np.uint8).tobytes()


def few() -> bytes:
    """Some values only, of eight bytes each."""
    random = np.random.default_rng(6)
    return random.choice(random.integers(1 << 60, size=9), SIZE // 8 + 1).tobytes()[:SIZE]


CONTENTS = {"weights": weights, "zeros": zeros, "skewed": skewed, "few": few}


def encode(raw: bytes, base: Base | None = None, **settings: str) -> list[Block]:
    params = dict(resolve_params(ZIPNN, settings, None))
    if base is not None:
        params["base"] = base.digest
    return list(ZIPNN.encode([raw], params, Context(base=base)))


def in_file(payload: bytes) -> Payload:
    return Payload(Watched(FRONT + payload + b"behind"), len(FRONT), len(payload))


def check(blocks: list[Block], raw: bytes, base: Base | None = None) -> set[str]:
    """Everything adds up, and the segments decode to the content; the kinds that there are."""
    position, found = 0, set()
    for block in blocks:
        if block.payload is None:
            position += block.raw_size
            continue
        payload = bytes(block.payload)
        stop = 0
        for segment in list(summarise(in_file(payload), block.raw_size)):
            assert segment.start == stop
            assert sum(segment.kinds.values()) == segment.stop - segment.start
            assert min(segment.kinds.values()) >= 0
            content = read_segment(in_file(payload), segment, base)
            assert content == raw[position : position + segment.size]
            position += segment.size
            stop = segment.stop
            found |= {kind for kind, size in segment.kinds.items() if size}
        assert stop == len(payload)
    assert position == len(raw)
    assert found <= set(KINDS)
    return found


@pytest.mark.parametrize("content", CONTENTS)
@pytest.mark.parametrize("dtype", ["auto", "bytes", "f32", "bf16", "f64", "i64", "u8", "c128"])
def test_contents_and_types(content: str, dtype: str) -> None:
    raw = CONTENTS[content]()
    assert check(encode(raw, dtype=dtype, block="64K"), raw)


@pytest.mark.parametrize(
    ("content", "settings", "kinds"),
    [
        ("weights", {"dtype": "f32"}, {"raw", "zstd"}),
        ("weights", {"dtype": "f32", "backend": "lz4", "threshold": "1"}, {"raw", "lz4"}),
        ("weights", {"dtype": "f32", "backend": "snappy", "threshold": "1"}, {"raw", "snappy"}),
        ("zeros", {"dtype": "i64"}, {"zeros", "raw"}),
        ("skewed", {"dtype": "bytes"}, {"sparse"}),
        ("few", {"dtype": "f64"}, {"palette"}),
    ],
)
def test_kinds(content: str, settings: dict[str, str], kinds: set[str]) -> None:
    raw = CONTENTS[content]()
    assert kinds | {"overhead"} <= check(encode(raw, **settings), raw)


def test_constant_plane() -> None:
    raw = (np.arange(50_000, dtype=np.uint32) << 8 | 7).tobytes()
    assert "constant" in check(encode(raw, dtype="u32"), raw)


def test_blocks_of_fields() -> None:
    raw = np.tile(np.arange(34, dtype=np.uint8), 3000).tobytes()
    assert check(encode(raw, groups="3"), raw)


def test_differences() -> None:
    raw = weights()
    changed = bytearray(raw)
    changed[1000:1004] = b"\1\2\3\4"
    base = open_base(raw, Context())
    assert base is not None
    blocks = encode(bytes(changed), base, dtype="f32")
    assert "zeros" in check(blocks, bytes(changed), base)
    (segment, *_) = summarise(in_file(bytes(blocks[0].payload)), blocks[0].raw_size)
    assert segment.delta
    with pytest.raises(CorruptError, match="base"):
        read_segment(in_file(bytes(blocks[0].payload)), segment, None)


def test_little_is_read() -> None:
    (block,) = encode(weights(), dtype="f32")
    payload = bytes(block.payload)
    file = Watched(payload)
    assert len(list(summarise(Payload(file, 0, len(payload)), SIZE))) == 1
    assert 0 < file.count < 100 < len(payload) / 1000


# --- bad input


@pytest.fixture(scope="module")
def small() -> tuple[bytes, int]:
    """A payload of several kinds of planes, and the size of its content."""
    raw = b"".join(make()[:2000] for make in CONTENTS.values())
    (block,) = encode(raw, dtype="i64")
    payload = bytes(block.payload)
    assert len(payload) < len(raw)
    return payload, len(raw)


def test_every_truncation(small: tuple[bytes, int]) -> None:
    payload, size = small
    for length in range(len(payload)):
        with pytest.raises(CorruptError):
            list(summarise(in_file(payload[:length]), size))
    with pytest.raises(CorruptError, match="goes on behind"):
        list(summarise(in_file(payload + b"x"), size))
    for other in (size - 1, size + 1):
        with pytest.raises(CorruptError):
            list(summarise(in_file(payload), other))


def test_file_that_ends_early(small: tuple[bytes, int]) -> None:
    payload, size = small
    with pytest.raises(CorruptError, match="the archive ends within a payload"):
        list(summarise(Payload(io.BytesIO(payload[:1]), 0, len(payload)), size))


def test_damage_is_an_error_or_adds_up(small: tuple[bytes, int]) -> None:
    payload, size = small
    random = np.random.default_rng(7)
    outcomes = set()
    for _ in range(500):
        damaged = bytearray(payload)
        damaged[random.integers(min(200, len(payload)))] ^= 1 << random.integers(8)
        try:
            segments = list(summarise(in_file(bytes(damaged)), size))
        except NncompError:
            outcomes.add("error")
        else:
            assert sum(segment.size for segment in segments) == size
            outcomes.add("sizes")
    assert outcomes == {"error", "sizes"}


# --- what was lost


@pytest.mark.parametrize(
    ("settings", "text"),
    [
        ({}, None),
        ({"abs": "0.001"}, "abs<=0.001"),
        ({"rel": "1e-05"}, "rel<=1e-05"),
        ({"keep": "7"}, "7 mantissa bits"),
    ],
)
def test_description_of_losses(settings: dict[str, str], text: str | None) -> None:
    params = resolve_params(ZIPNN, settings, None)
    assert describe_loss(params) == text
    assert describe_loss(params, DTYPES["BF16"]) == text
    assert describe_loss(params, DTYPES["I32"]) is None
    assert describe_loss(params, DTYPES["F8_E4M3"]) is None


def test_types_that_lose_nothing() -> None:
    """Those that a summary says so of keep every bit."""
    params = resolve_params(ZIPNN, {"abs": "0.5"}, None)
    raw = np.random.default_rng(8).integers(256, size=4096, dtype=np.uint8).tobytes()
    for name, dtype in DTYPES.items():
        method = f"zipnn:abs=0.5,dtype={name.lower()}"
        kept = nncomp.decompress(nncomp.compress(raw, method)) == raw
        assert kept or describe_loss(params, dtype) is not None, name
