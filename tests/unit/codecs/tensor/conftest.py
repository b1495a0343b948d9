"""What the tests of `zipnn` share: the codec without a container, and awkward contents."""

from __future__ import annotations

import json
import struct
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nncomp.codecs.base import Block, Context, resolve_params
from nncomp.codecs.tensor.zipnn import ZIPNN

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Mapping

    from nncomp.codecs.base import Buffer, Params


class Zipnn:
    """The codec as the container uses it: raw bytes go with a record only if it is stored."""

    @staticmethod
    def params(preset: int | None = None, **settings: str) -> Params:
        return resolve_params(ZIPNN, settings, preset)

    def encode(
        self, chunks: Iterable[Buffer], params: Params, context: Context | None = None
    ) -> list[Block]:
        return list(ZIPNN.encode(chunks, params, context or Context()))

    def decode(self, blocks: list[Block], params: Params, context: Context | None = None) -> bytes:
        given = (Block(b.raw_size, b.payload) for b in blocks)
        return b"".join(ZIPNN.decode(given, params, context or Context()))

    def round_trip(self, data: bytes, preset: int | None = None, **settings: str) -> int:
        """Encode and decode; the size of the payloads."""
        params = self.params(preset, **settings)
        blocks = self.encode([data], params)
        assert b"".join(bytes(block.raw) for block in blocks) == data
        assert self.decode(blocks, params) == data
        return sum(len(block.payload) for block in blocks)


@pytest.fixture(scope="session")
def zipnn() -> Zipnn:
    return Zipnn()


def _numbers(size: int) -> dict[str, bytes]:
    """Contents of `size` bytes; whether they suit a type is no matter."""
    random = np.random.default_rng(11)
    weights = random.normal(0, 0.02, size // 4 + 1).astype(np.float32)
    special = np.array(
        [0, -0.0, np.inf, -np.inf, np.nan, 1e-45, -1e-40, 1e-38, 3.4e38], np.float32
    ).view(np.uint32)
    special = np.append(special, [0x7F800001, 0xFFC12345, 0x7FFFFFFF, 0xFFFFFFFF])
    zeros = np.where(random.random(size) < 0.9, 0, random.integers(256, size=size))
    skewed = np.where(random.random(size) < 0.97, 7, random.integers(256, size=size))
    row = random.bytes(max(1, size // 20))
    few = random.normal(0, 1, 12).astype(np.float32)
    contents = {
        "weights": weights,
        "brain floats": (weights.view(np.uint32) & 0xFFFF0000),
        "special numbers": random.choice(special, size // 4 + 1).astype(np.uint32),
        "few values": random.choice(few, size // 4 + 1),
        "counters": np.arange(size // 4 + 1, dtype=np.int32) - 400,
        "mostly zero": zeros.astype(np.uint8),
        "skewed": skewed.astype(np.uint8),
        "constant": np.full(size, 0xC0, np.uint8),
        "zero": np.zeros(size, np.uint8),
        "booleans": random.integers(2, size=size, dtype=np.uint8),
        "booleans above one": random.choice([0, 1, 255], size).astype(np.uint8),
        "noise": np.frombuffer(random.bytes(size), np.uint8),
        "repeated rows": np.frombuffer(row * 21, np.uint8),
    }
    return {name: array.tobytes()[:size] for name, array in contents.items()}


@pytest.fixture(scope="session")
def contents() -> Callable[[int], Mapping[str, bytes]]:
    return _numbers


def _safetensors(tensors: Mapping[str, tuple[str, tuple[int, ...], bytes]]) -> bytes:
    header, start = {}, 0
    for name, (dtype, shape, raw) in tensors.items():
        stop = start + len(raw)
        header[name] = {"dtype": dtype, "shape": list(shape), "data_offsets": [start, stop]}
        start = stop
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return len(text).to_bytes(8, "little") + text + b"".join(raw for _, _, raw in tensors.values())


@pytest.fixture(scope="session")
def safetensors() -> Callable[..., bytes]:
    """A file from names to dtype, shape and bytes."""
    return _safetensors


def _gguf_file(name: str, number: int, weights: int, raw: bytes) -> bytes:
    start = b"GGUF" + struct.pack("<IQQ", 3, 1, 0)
    start += struct.pack("<Q", len(name)) + name.encode()
    start += struct.pack("<IQIQ", 1, weights, number, 0)
    return start + bytes(-len(start) % 32) + raw


@pytest.fixture(scope="session")
def gguf_file() -> Callable[[str, int, int, bytes], bytes]:
    """A file of one tensor from its name, type number, number of weights, and bytes."""
    return _gguf_file
