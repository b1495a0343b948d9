"""The corpus that comes with the package: small files of several kinds, made from a seed.

For a first look, and for continuous integration. Sizes here say how methods differ, and
nothing about real files. The same seed gives the same bytes on any machine: only
`random.Random.random` is drawn from, which Python keeps as it is, and integers and exact
sums are made of it.
"""

from __future__ import annotations

import json
import random
import struct
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

__all__ = ["NAME", "SEED", "files", "write"]

NAME = "tiny"
SEED = 1

_SIZE = 24_000
_CONSONANTS, _VOWELS = "bcdfghklmnprstvw", "aeiou"


def write(folder: Path, seed: int = SEED) -> list[Path]:
    """Make the files in a folder, and return their paths."""
    paths = []
    for name, content in files(seed).items():
        paths.append(folder / name)
        paths[-1].write_bytes(content)
    return paths


def files(seed: int = SEED) -> dict[str, bytes]:
    """Contents by name."""
    makers: dict[str, Callable[[random.Random], bytes]] = {
        "text.txt": _text,
        "table.csv": _table,
        "weights.safetensors": _weights,
        "picture.ppm": _picture,
    }
    return {
        name: make(random.Random(f"{seed} {name}"))  # noqa: S311 - data, no secrets
        for name, make in makers.items()
    }


def _below(source: random.Random, count: int) -> int:
    return int(source.random() * count)


def _skewed(source: random.Random, count: int) -> int:
    """Small numbers much more often than large ones, as words are used."""
    return int(count * source.random() ** 3)


def _bell(source: random.Random) -> float:
    """About normal, with a standard deviation of about 1."""
    return sum(source.random() for _ in range(12)) - 6.0


def _text(source: random.Random) -> bytes:
    """Sentences of made-up words, some of which like to follow each other."""
    words = [
        "".join(
            _CONSONANTS[_below(source, len(_CONSONANTS))] + _VOWELS[_below(source, len(_VOWELS))]
            for _ in range(1 + _below(source, 3))
        )
        for _ in range(900)
    ]
    follower = [_skewed(source, len(words)) for _ in words]
    text: list[str] = []
    size, word = 0, 0
    while size < _SIZE:
        sentence = []
        for _ in range(4 + _below(source, 14)):
            word = follower[word] if source.random() < 0.4 else _skewed(source, len(words))
            sentence.append(words[word])
        text.append(" ".join(sentence).capitalize() + ("." if source.random() < 0.8 else "!"))
        size += len(text[-1]) + 1
    return "\n".join(text).encode()


def _table(source: random.Random) -> bytes:
    """A station's readings: number, temperature and pressure that wander, a class."""
    lines = ["number,temperature,pressure,class"]
    temperature, pressure, size = 150, 101300, 0
    while size < _SIZE:
        temperature += _below(source, 7) - 3
        pressure += _below(source, 41) - 20
        kind = "ABCD"[_skewed(source, 4)]
        lines.append(
            f"{len(lines)},{temperature // 10}.{temperature % 10},{pressure / 100:.2f},{kind}"
        )
        size += len(lines[-1]) + 1
    return "\n".join(lines).encode()


def _weights(source: random.Random) -> bytes:
    """Two tensors of bfloat16 in a safetensors file."""
    shapes = {"layer.weight": (128, 96), "layer.bias": (128,)}
    header: dict[str, object] = {}
    data = b""
    for name, (*rows, columns) in shapes.items():
        count = columns * (rows[0] if rows else 1)
        values = [0.05 * _bell(source) for _ in range(count)]
        floats = struct.pack(f"<{count}f", *values)
        tensor = b"".join(floats[at + 2 : at + 4] for at in range(0, len(floats), 4))
        offsets = [len(data), len(data) + len(tensor)]
        shape = [*rows, columns]
        header[name] = {"dtype": "BF16", "shape": shape, "data_offsets": offsets}
        data += tensor
    text = json.dumps(header).encode()
    text += b" " * (-len(text) % 8)
    return struct.pack("<Q", len(text)) + text + data


def _picture(source: random.Random) -> bytes:
    """Slopes of colour with a disc and some noise, 96 x 80 pixels."""
    width, height = 96, 80
    pixels = bytearray()
    for y in range(height):
        for x in range(width):
            inside = (x - 56) ** 2 + (y - 36) ** 2 < 24**2
            noise = int(_bell(source))
            colours = (2 * x + noise, 40 + y + 60 * inside + noise, 200 - x - y // 2 + noise)
            pixels += bytes(min(255, max(0, colour)) for colour in colours)
    return b"P6\n%d %d\n255\n" % (width, height) + bytes(pixels)
