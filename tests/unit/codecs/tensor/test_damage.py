"""Damaged archives of every layout and method: an error each time, never wrong data."""

import io
from functools import cache

import numpy as np
import pytest

import nncomp
from nncomp.codecs.tensor.summary import Payload, summarise
from nncomp.errors import NncompError, TruncatedError

RANDOM = np.random.default_rng(17)
COUNT = 600
WEIGHTS = RANDOM.normal(0, 0.02, COUNT).astype("<f4")
BF16 = (WEIGHTS.view("<u4") >> 16).astype("<u2")
PRUNED = np.where(RANDOM.random(2000) < 0.8, 0, RANDOM.normal(0, 0.02, 2000)).astype("<f4")
SKEWED = np.where(RANDOM.random(3000) < 0.98, 7, RANDOM.integers(256, size=3000)).astype(np.uint8)
FLAGS = (RANDOM.random(8000) < 0.1).astype(np.uint8)
FEW = RANDOM.choice(WEIGHTS[:9], COUNT)
TEXT = b"It is a truth universally acknowledged. " * 9
NOISE = RANDOM.bytes(200)
BASE = BF16.tobytes()
CHANGED = (BF16 + (RANDOM.random(COUNT) < 0.1)).astype("<u2").tobytes()

# Method, content, base, and a kind of plane that must be in it.
ARCHIVES: dict[str, tuple[str, bytes, bytes | None, str]] = {
    "rotated": ("dtype=bf16", BASE, None, "zstd"),
    "plain": ("dtype=f32,sign=off,backend=huffman", WEIGHTS.tobytes() + b"tail"[:3], None, "raw"),
    "zigzag": ("dtype=i16", np.rint(WEIGHTS * 999).astype("<i2").tobytes(), None, "zstd"),
    "bits": ("dtype=bool,backend=huffman", FLAGS.tobytes(), None, "zstd"),
    "palette": ("dtype=f32", FEW.tobytes(), None, "palette"),
    "zero map": ("dtype=f32", PRUNED.tobytes(), None, "zeros"),
    "sparse": ("dtype=u8", SKEWED.tobytes(), None, "sparse"),
    "constant": ("dtype=f64", np.full(99, 1.5).tobytes(), None, "constant"),
    "lz4": ("dtype=bytes,backend=lz4", TEXT, None, "lz4"),
    "snappy": ("dtype=bytes,backend=snappy", TEXT, None, "snappy"),
    "matches": ("dtype=bytes", TEXT, None, "zstd"),
    "difference": ("dtype=bf16", CHANGED, BASE, "zstd"),
    "lossy": ("dtype=f32,keep=2", WEIGHTS.tobytes(), None, "zstd"),
    "stored": ("", NOISE, None, "stored"),
}


@cache
def made(name: str) -> tuple[bytes, bytes, bytes | None]:
    """Archive, what it decodes to, and its base."""
    settings, content, base, _ = ARCHIVES[name]
    archive = nncomp.compress(content, f"zipnn:{settings}", base=base)
    restored = nncomp.decompress(archive, base=base)
    assert name == "lossy" or restored == content
    return archive, restored, base


@pytest.mark.parametrize("name", ARCHIVES)
def test_the_archives_are_what_their_names_say(zipnn, name: str) -> None:
    settings, content, base, kind = ARCHIVES[name]
    archive, _, _ = made(name)
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == ("store" if name == "stored" else "zipnn")
    if name not in ("stored", "difference"):
        pairs = dict(setting.split("=") for setting in settings.split(","))
        (block,) = zipnn.encode([content], zipnn.params(**pairs))
        payload = Payload(io.BytesIO(block.payload), 0, len(block.payload))
        assert kind in {kind for part in summarise(payload, len(content)) for kind in part.kinds}
    if base is not None:
        assert len(archive) < 0.6 * len(nncomp.compress(content, f"zipnn:{settings}"))


@pytest.mark.parametrize("name", ARCHIVES)
def test_every_truncation(name: str) -> None:
    archive, _, base = made(name)
    for size in range(len(archive)):
        with pytest.raises(TruncatedError):
            nncomp.decompress(archive[:size], base=base)


@pytest.mark.parametrize("name", ARCHIVES)
def test_two_thousand_flipped_bits(name: str) -> None:
    archive, content, base = made(name)
    harmless = 0
    for bit in RANDOM.permutation(8 * len(archive))[:2000].tolist():
        flipped = bytearray(archive)
        flipped[bit // 8] ^= 1 << bit % 8
        try:
            restored = nncomp.decompress(flipped, base=base)
        except NncompError:
            continue
        assert restored == content
        harmless += 1
    # Zstandard pads its tables, LZ4's last token has bits without a meaning: nothing else.
    assert harmless <= 20


@pytest.mark.parametrize("name", ARCHIVES)
def test_pieces_of_another_archive(name: str) -> None:
    archive, content, base = made(name)
    other, _, _ = made("palette" if name != "palette" else "rotated")
    for _ in range(200):
        mixed = bytearray(archive)
        at, size = RANDOM.integers(len(archive)), RANDOM.integers(1, 60)
        start = RANDOM.integers(len(other))
        mixed[at : at + size] = other[start : start + size]
        try:
            assert nncomp.decompress(mixed, base=base) == content
        except NncompError:
            continue
