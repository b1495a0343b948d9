"""Machine code: calls become absolute, and relative again."""

from __future__ import annotations

import numpy as np
import pytest

from nncomp.codecs.mix.detect import find_layout
from nncomp.codecs.mix.layout import LETTERS, TEXT, Layout, arranged, read_layout, restored
from nncomp.codecs.mix.machine import is_machine_code, make_absolute, make_relative

RANDOM = np.random.default_rng(5)


def calls(places: list[int], target: int, size: int) -> np.ndarray:
    """Bytes other than calls, and calls of one function at these places."""
    code = RANDOM.integers(0, 0xE0, size).astype(np.uint8)
    for at in places:
        relative = (target - at) & 0xFFFFFFFF
        code[at : at + 5] = [0xE8, *relative.to_bytes(4, "little")]
    return code


def test_calls_of_one_function_read_the_same() -> None:
    places = [7, 100, 105, 3000]
    code = calls(places, 1500, 4000)
    make_absolute(code)
    assert len({code[at : at + 4].tobytes() for at in places}) == 1
    assert int.from_bytes(code[8:11].tobytes(), "little") == 1500


@pytest.mark.parametrize("size", [*range(8), 1000])
@pytest.mark.parametrize("symbols", [[0xE8], [0xE8, 0], [0xE8, 0xE9, 0, 0xFF], range(256)])
def test_any_bytes_come_back(size: int, symbols: list[int]) -> None:
    x = RANDOM.choice(np.array(symbols, np.uint8), size)
    turned = x.copy()
    make_absolute(turned)
    make_relative(turned)
    assert (turned == x).all()


def test_programs_are_known() -> None:
    assert is_machine_code(calls([*range(0, 60_000, 100)], 9000, 65_536))
    assert not is_machine_code(RANDOM.integers(0, 256, 65_536).astype(np.uint8))


def test_a_layout_tells_of_it() -> None:
    code = calls([*range(0, 3000, 60)], 9000, 4096)
    layout = Layout(TEXT, machine=True)
    read, rest = read_layout(memoryview(layout.pack() + b"rest"))
    assert (read, bytes(rest)) == (layout, b"rest")
    coded = arranged(code, layout)
    assert (coded != code).any()
    assert (restored(coded, layout) == code).all()


def test_letters_are_known() -> None:
    letters = RANDOM.choice(np.frombuffer(b"ACGT", np.uint8), 5000)
    assert find_layout(letters).kind == LETTERS
    letters[::80] = 10  # in lines
    assert find_layout(letters).kind == LETTERS
    assert find_layout(RANDOM.choice(np.frombuffer(b"abcd", np.uint8), 5000)).kind == TEXT
