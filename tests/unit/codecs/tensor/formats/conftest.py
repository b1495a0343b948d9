"""What all tests of formats share: a strict stream, and small files built by hand."""

from __future__ import annotations

import io
import json
import struct
import zipfile
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nncomp.codecs.tensor.formats import directory, segments
from nncomp.codecs.tensor.formats.base import PEEK_MAX, Segment, Tensor

if TYPE_CHECKING:
    from collections.abc import Callable

Placed = tuple[int, Segment]
ROOT = Path(__file__).parents[5]


class StrictFeed:
    """A stream over bytes; looking further ahead than allowed fails the test."""

    def __init__(self, data: bytes) -> None:
        self.data = data
        self.position = 0

    def peek(self, size: int) -> bytes:
        assert 0 <= size <= PEEK_MAX
        return self.data[self.position : self.position + size]


def _walk(data: bytes) -> list[Placed]:
    """All segments with their offsets, checked against what `formats.segments` promises."""
    feed = StrictFeed(data)
    placed = []
    for segment in segments(feed):
        placed.append((feed.position, segment))
        if segment.size is None:
            return placed
        assert segment.size > 0
        feed.position += segment.size
        if feed.position >= len(data):
            return placed
    assert feed.position == len(data)
    return placed


@pytest.fixture(scope="session")
def walk() -> Callable[[bytes], list[Placed]]:
    return _walk


@pytest.fixture(scope="session")
def tensors() -> Callable[[bytes], list[Tensor]]:
    """The directory; what the stream says of the same tensors must not contradict it."""

    def read(data: bytes) -> list[Tensor]:
        found = directory(io.BytesIO(data))
        assert [tensor.start for tensor in found] == sorted(tensor.start for tensor in found)
        named = {segment.name: (at, segment) for at, segment in _walk(data) if segment.name}
        for tensor in found:
            if tensor.name in named:
                at, segment = named[tensor.name]
                assert (at, segment.dtype) == (tensor.start, tensor.dtype)
                assert (segment.size, segment.shape) == (tensor.stop - at, tensor.shape)
        return found

    return read


@pytest.fixture(scope="session")
def shared_data() -> Path:
    folder = ROOT.parent / "shared" / "data"
    if not folder.is_dir():
        pytest.skip(f"the folder of test data, {folder}, is not here")
    return folder


@pytest.fixture(scope="session")
def safetensors_file() -> Callable[..., bytes]:
    """Build a file of a header (a dictionary or text) and the bytes of the tensors."""

    def build(header: object, body: bytes = b"") -> bytes:
        text = header if isinstance(header, str) else json.dumps(header)
        return struct.pack("<Q", len(text.encode())) + text.encode() + body

    return build


@pytest.fixture(scope="session")
def zip_file() -> Callable[..., bytes]:
    """Build a ZIP archive of entries by name."""

    def build(entries: dict[str, bytes], method: int = zipfile.ZIP_STORED) -> bytes:
        buffer = io.BytesIO()
        with zipfile.ZipFile(buffer, "w", method) as archive:
            for name, data in entries.items():
                archive.writestr(name, data)
        return buffer.getvalue()

    return build


class Pickle:
    """Operations of pickles, put together by hand."""

    @staticmethod
    def text(value: str) -> bytes:
        data = value.encode()
        return b"X" + struct.pack("<I", len(data)) + data

    @staticmethod
    def integer(value: int) -> bytes:
        data = value.to_bytes(value.bit_length() // 8 + 1, "little", signed=True)
        return b"\x8a" + bytes([len(data)]) + data

    @staticmethod
    def tuple_(*parts: bytes) -> bytes:
        return b"(" + b"".join(parts) + b"t"

    @staticmethod
    def name(path: str) -> bytes:
        module, _, name = path.rpartition(".")
        return f"c{module}\n{name}\n".encode()

    @classmethod
    def dict_(cls, items: dict[str, bytes]) -> bytes:
        return b"}(" + b"".join(cls.text(key) + value for key, value in items.items()) + b"u"

    @classmethod
    def call(cls, function: str, *arguments: bytes) -> bytes:
        return cls.name(function) + cls.tuple_(*arguments) + b"R"

    @classmethod
    def storage(cls, key: str, elements: int, kind: str = "torch.FloatStorage") -> bytes:
        parts = cls.text("storage"), cls.name(kind), cls.text(key), cls.text("cpu")
        return cls.tuple_(*parts, cls.integer(elements)) + b"Q"

    @classmethod
    def tensor(
        cls, storage: bytes, shape: tuple[int, ...], strides: tuple[int, ...], offset: int = 0
    ) -> bytes:
        numbers = (cls.tuple_(*map(cls.integer, values)) for values in (shape, strides))
        return cls.call(
            "torch._utils._rebuild_tensor_v2",
            *(storage, cls.integer(offset), *numbers),
            *(b"\x89", cls.call("collections.OrderedDict")),
        )

    @staticmethod
    def end(root: bytes) -> bytes:
        return b"\x80\x02" + root + b"."


@pytest.fixture(scope="session")
def pickle_of() -> type[Pickle]:
    return Pickle


class Gguf:
    """Builds GGUF files."""

    @staticmethod
    def text(value: str) -> bytes:
        return struct.pack("<Q", len(value.encode())) + value.encode()

    @classmethod
    def field(cls, key: str, kind: int, value: bytes) -> bytes:
        return cls.text(key) + struct.pack("<I", kind) + value

    @classmethod
    def info(cls, name: str, lengths: tuple[int, ...], kind: int, offset: int) -> bytes:
        shape = struct.pack(f"<I{len(lengths)}Q", len(lengths), *lengths)
        return cls.text(name) + shape + struct.pack("<IQ", kind, offset)

    @staticmethod
    def file(
        fields: list[bytes],
        infos: list[bytes],
        body: bytes = b"",
        *,
        version: int = 3,
        tensor_count: int | None = None,
        field_count: int | None = None,
        alignment: int = 32,
    ) -> bytes:
        counts = (
            len(infos) if tensor_count is None else tensor_count,
            len(fields) if field_count is None else field_count,
        )
        header = struct.pack("<4sI2Q", b"GGUF", version, *counts) + b"".join(fields + infos)
        return header + bytes(-len(header) % alignment) + body


@pytest.fixture(scope="session")
def gguf() -> type[Gguf]:
    return Gguf
