"""Runs the kernels of `mix` with checked indices; run by `test_bounds.py`.

Every layout that a payload can announce, sensible or not, on content and on payloads of
chance, alone and in lanes beside a network. Exit code 1 if a kernel reaches outside of its
memory.
"""

from __future__ import annotations

import sys
from typing import TYPE_CHECKING

import numpy as np

from nncomp.codecs.mix.coder import decode_block, encode_block
from nncomp.codecs.mix.layout import NUMBERS, RECORDS, TEXT, Layout
from nncomp.codecs.neural.lanes import Layout as Lanes
from nncomp.codecs.neural.memory import Memory, MixedDecoder, MixedEncoder
from nncomp.errors import CorruptError

if TYPE_CHECKING:
    from numpy.typing import NDArray

ROUNDS = 1500
TABLE = 12  # log2 of its lines


def main() -> None:
    random = np.random.default_rng(int(sys.argv[1]))
    for _ in range(ROUNDS):
        layout = any_layout(random)
        size = int(random.choice([1, 2, 7, 300, 1500]))
        content = random.integers(0, random.integers(1, 256), size, np.uint8)
        payload = random.integers(0, 256, random.integers(1, 400), np.uint8)
        lanes = Lanes(size, int(random.integers(1, 10)))
        what, *job = [
            ("encoding", encode_block, content, layout, TABLE, 24),
            ("decoding", decode_block, payload, size, layout, TABLE, 24),
            ("encoding in lanes", encode_lanes, content, layout, lanes),
            ("decoding in lanes", decode_lanes, payload, layout, lanes),
        ][random.integers(4)]
        try:
            job[0](*job[1:])
        except CorruptError:
            pass  # what else should come of chance
        except IndexError as error:
            sys.exit(f"{what} {size} bytes as {layout}: {error}")


def frequencies(size: int) -> NDArray[np.int32]:
    """What a network that knows nothing says."""
    return np.full((size, 256), 1 << 16, np.int32)


def encode_lanes(content: NDArray[np.uint8], layout: Layout, lanes: Lanes) -> None:
    """Code as a neural codec does."""
    stage = MixedEncoder(Memory(layout, TABLE, 24), lanes)
    stage.encode(frequencies(lanes.size), content)
    stage.finish()


def decode_lanes(payload: NDArray[np.uint8], layout: Layout, lanes: Lanes) -> None:
    """Decode as a neural codec does."""
    stage = MixedDecoder(Memory(layout, TABLE, 24), lanes)
    stage.begin(payload.data)
    stage.decode(frequencies(lanes.size))
    stage.finish()


def any_layout(random: np.random.Generator) -> Layout:
    """One that `read_layout` would take."""
    kind = int(random.choice([TEXT, RECORDS, NUMBERS]))
    if kind == TEXT:
        return Layout()
    row = int(random.choice([1, 2, 3, 5, 64, 90, 300, 5000, 65535]))
    plane = 0
    if kind == NUMBERS:
        row *= int(random.integers(2))
        plane = int(random.choice([0, 1, 2, 3, 64, 1024, 65535]))
    return Layout(kind, int(random.integers(1, 9)), row, plane, bool(random.integers(2)))


if __name__ == "__main__":
    main()
