"""What benchmarks/tensors.py compresses, and how small an order-0 coder could make it.

The order-0 limit of a data set is the sum, over chunks of 128 KiB of each of its planes, of
the entropy of the bytes in the chunk under the chunk's own counts; tables cost nothing. The
planes are:

    floats         the bit pattern's upper 16 bits rotated left by one, which moves the sign
                   below what follows the exponent; then each byte a plane (8 bits: as it is)
    signed ints    zigzag, (x << 1) ^ (x >> bits - 1); then each byte a plane
    bool           one plane with a symbol for each element
    bytes, uints   each byte of an element a plane

Complex numbers are two floats. In a file of tensors, neighbours of one type are one run, in
the file's order, and chunks do not stop at tensors; the header is bytes. A coder that adapts
to less than a chunk, or sees more than one byte at a time, can go below the limit.
"""

from __future__ import annotations

import json
from collections.abc import Callable
from dataclasses import dataclass, replace
from fnmatch import fnmatch
from itertools import groupby
from typing import TYPE_CHECKING, Any

import numpy as np

from nncomp.bench.subjects import BYTES, WIDTHS, Subject

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

CHUNK = 128 << 10
ROW = 4096
BLOCK = 256  # rows that are made at a time

FILES = {
    "minilm.bf16": ("derived/minilm_layer0.bf16.safetensors", "BF16"),
    "minilm.fp16": ("derived/minilm_layer0.fp16.safetensors", "F16"),
    "minilm.fp32": ("derived/minilm_layer0.fp32.safetensors", "F32"),
    "webster": ("weights/dzip_webster.safetensors", "F32"),
}
"""Below the data folder, each with the type of its weights."""


@dataclass(frozen=True)
class Numbers:
    """One data set.

    Attributes:
        name: In tables.
        dtype: Type of the numbers, as safetensors names it; of a file, what most of it is.
        data: The bytes.
        file: Whether these are the bytes of a safetensors file.
        base: What `data` is a small change of.
    """

    name: str
    dtype: str
    data: bytes
    file: bool = False
    base: bytes | None = None

    @property
    def limit(self) -> float | None:
        """Bytes that an order-0 coder needs; none is computed for a change of something."""
        if self.base is not None:
            return None
        runs = _runs(self.data) if self.file else [(self.dtype, self.data)]
        return sum(entropy(plane) for dtype, raw in runs for plane in planes(raw, dtype))

    def subject(self, folder: Path) -> Subject:
        """Write it for those that compress it, into a folder that is empty."""
        path, base = folder / "data", None
        path.write_bytes(self.data)
        if self.base is not None:
            base = folder / "base"
            base.write_bytes(self.base)
        return replace(Subject.of(path, self.name, self.dtype, base), told=not self.file)


# --- the order-0 limit ---------------------------------------------------------------


def _runs(data: bytes) -> Iterator[tuple[str, bytes]]:
    """Neighbours of one type in a safetensors file, which must be well-formed."""
    start = 8 + int.from_bytes(data[:8], "little")
    header = json.loads(data[8:start])
    header.pop("__metadata__", None)
    yield BYTES, data[:start]
    tensors = sorted(header.values(), key=lambda tensor: tensor["data_offsets"][0])
    for dtype, run in groupby(tensors, key=lambda tensor: tensor["dtype"]):
        spans = [tensor["data_offsets"] for tensor in run]
        yield dtype, data[start + spans[0][0] : start + spans[-1][1]]


def planes(data: bytes, dtype: str) -> list[np.ndarray]:
    """The planes of the numbers in `data`, uint8, as the module's description says."""
    width = WIDTHS[dtype]
    if dtype[0] == "I" and width > 1:
        signed = np.frombuffer(data, f"<i{width}")
        data = ((signed << 1) ^ (signed >> (8 * width - 1))).tobytes()
    table = np.frombuffer(data, np.uint8).reshape(-1, width)
    if dtype[0] not in "FBC" or width == 1:
        return list(table.T)
    top = table.view("<u2")[:, -1]
    top = (top << 1) | (top >> 15)
    return [*table.T[:-2], top.astype(np.uint8), (top >> 8).astype(np.uint8)]


def entropy(plane: np.ndarray) -> float:
    """Bytes for a plane at the entropy of each of its chunks."""
    bits = 0.0
    for start in range(0, len(plane), CHUNK):
        chunk = plane[start : start + CHUNK]
        counts = np.bincount(chunk, minlength=256)
        counts = counts[counts > 0]
        bits += len(chunk) * np.log2(len(chunk)) - (counts * np.log2(counts)).sum()
    return float(bits) / 8


# --- synthetic data ------------------------------------------------------------------
#
# Rows of 4,096 with scales of their own, log-normal, as the channels of a layer have them.

Random = np.random.Generator


def _scales(random: Random, centre: float, spread: float = 0.5) -> np.ndarray:
    """A column: a scale for each row of a block."""
    return centre * np.exp(spread * random.standard_normal((BLOCK, 1)))


def _weights(random: Random) -> np.ndarray:
    """A block of weights of a layer, float32."""
    normal = random.standard_normal((BLOCK, ROW), np.float32)
    return normal * _scales(random, 0.02).astype(np.float32)


def _full_range(random: Random, top: float) -> np.ndarray:
    """Weights scaled row by row so that the largest of each becomes `top`."""
    weights = _weights(random)
    return weights * (top / np.abs(weights).max(axis=1, keepdims=True))


def _cast(values: np.ndarray, name: str) -> np.ndarray:
    """To a type that NumPy does not have, rounded to nearest; the bit patterns."""
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return torch.from_numpy(values).to(dtype).view(torch.uint8).numpy()


def _whole(random: Random, centre: float, dtype: type) -> np.ndarray:
    """Whole numbers of both signs, geometric, with a scale for each row."""
    magnitude = random.standard_exponential((BLOCK, ROW)) * _scales(random, centre)
    sign = 1 - 2 * random.integers(0, 2, (BLOCK, ROW))
    info = np.iinfo(dtype)
    return (np.clip(np.floor(magnitude), 0, info.max) * sign).astype(dtype)


def _lowered(values: np.ndarray, name: str) -> np.ndarray:
    """float32 that holds what a narrower type can say."""
    import torch

    dtype: torch.dtype = getattr(torch, name)
    return torch.from_numpy(values).to(dtype).to(torch.float32).numpy()


Maker = Callable[[Random], np.ndarray]

SYNTHETIC: dict[str, tuple[str, Maker]] = {
    "f64": ("F64", lambda r: r.standard_normal((BLOCK, ROW)) * _scales(r, 0.02)),
    "f32": ("F32", _weights),
    "f16": ("F16", lambda r: _weights(r).astype(np.float16)),
    "bf16": ("BF16", lambda r: _cast(_weights(r), "bfloat16")),
    "f8_e4m3": ("F8_E4M3", lambda r: _cast(_full_range(r, 448), "float8_e4m3fn")),
    "f8_e5m2": ("F8_E5M2", lambda r: _cast(_full_range(r, 57344), "float8_e5m2")),
    "i64": ("I64", lambda r: _whole(r, 100_000, np.int64)),
    "i32": ("I32", lambda r: _whole(r, 1000, np.int32)),
    "i16": ("I16", lambda r: _whole(r, 50, np.int16)),
    "i8": ("I8", lambda r: np.rint(_full_range(r, 127)).astype(np.int8)),
    "bool": ("BOOL", lambda r: r.random((BLOCK, ROW)) < _scales(r, 0.1)),
    "c64": ("C64", _weights),
    "f32-bf16": ("F32", lambda r: _lowered(_weights(r), "bfloat16")),
    "f32-f16": ("F32", lambda r: _lowered(_weights(r), "float16")),
}
"""How a block of each is made; a name with "-": numbers of the second type in the first."""


def synthetic(name: str, size: int) -> Numbers:
    """A data set of about `size` bytes, the same in every run: whole numbers of 8 bytes."""
    dtype, make = SYNTHETIC[name]
    random = np.random.default_rng(list(name.encode()))
    size -= size % 8
    data = bytearray()
    while len(data) < size:
        data += make(random).tobytes()
    return Numbers(name, dtype, bytes(memoryview(data)[:size]))


def changed(numbers: Numbers, share: float = 0.1, step: float = 0.01) -> Numbers:
    """A later checkpoint: some of the floats differ by about `step` of themselves.

    The steps are normal, rounded to units of the last place, and at least one of those: just
    `share` of the numbers changes. Only for types whose bit patterns are 16 or 32 bits.
    """
    fraction = {"BF16": 7, "F16": 10, "F32": 23}[numbers.dtype]
    old = np.frombuffer(numbers.data, f"<i{WIDTHS[numbers.dtype]}")
    random = np.random.default_rng(len(old))
    chosen = np.flatnonzero(random.random(len(old), np.float32) < share)
    significand = (old[chosen] & ((1 << fraction) - 1)) + (1 << fraction)
    ulps = np.rint(step * significand * random.standard_normal(len(chosen))).astype(old.dtype)
    new = old.copy()
    new[chosen] += np.where(ulps == 0, old.dtype.type(1), ulps)
    return Numbers(f"{numbers.name} delta", numbers.dtype, new.tobytes(), base=numbers.data)


# --- all -----------------------------------------------------------------------------


def chosen(only: list[str]) -> list[str]:
    """Names of the data sets that match one of the patterns; all of them if there is none.

    Raises:
        SystemExit: A pattern matches no name.
    """
    names = [*FILES, *SYNTHETIC]
    for pattern in only:
        if not any(fnmatch(name, pattern) for name in names):
            raise SystemExit(f"no data set is called {pattern}; there are {', '.join(names)}")
    return [name for name in names if not only or any(fnmatch(name, each) for each in only)]


def data_set(name: str, folder: Path, size: int) -> Numbers:
    """One of them: a file below the folder, or made, of that size.

    Raises:
        SystemExit: The file is missing.
    """
    if name in SYNTHETIC:
        return synthetic(name, size)
    path, dtype = FILES[name]
    if not (folder / path).is_file():
        raise SystemExit(f"{folder} has no {path}: give its folder with --data")
    return Numbers(name, dtype, (folder / path).read_bytes(), file=True)


def write_safetensors(path: Path, size: int, tensor: bytes, every: int) -> list[str]:
    """A BF16 file of about `size` bytes, most of it holes.

    Args:
        path: Where.
        size: Rounded down to whole tensors.
        tensor: The content of each `every`th tensor; the others are zero, and take no disk.
        every: 1: there are no holes.

    Returns:
        The names of the tensors that have this content.
    """
    count = max(1, size // len(tensor))
    header: dict[str, Any] = {"__metadata__": {"format": "pt"}}
    for i in range(count):
        header[f"layer.{i}.weight"] = {
            "dtype": "BF16",
            "shape": [len(tensor) // 2],
            "data_offsets": [i * len(tensor), (i + 1) * len(tensor)],
        }
    text = json.dumps(header, separators=(",", ":")).encode()
    text += b" " * (-len(text) % 8)
    filled = range(0, count, every)
    with path.open("wb") as file:
        file.write(len(text).to_bytes(8, "little") + text)
        start = file.tell()
        for i in filled:
            file.seek(start + i * len(tensor))
            file.write(tensor)
        file.truncate(start + count * len(tensor))
    return [f"layer.{i}.weight" for i in filled]
