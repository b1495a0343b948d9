"""`mix` from the outside: what comes back, on what memory, and what damage does."""

from __future__ import annotations

import subprocess
import sys
from contextlib import suppress
from pathlib import Path

import numpy as np
import pytest

from nncomp.codecs.base import Block, Context, Value, resolve_params
from nncomp.codecs.mix.mix import MIX
from nncomp.errors import CorruptError

SMALL = {"table": "256K", "block": "64K"}
RANDOM = np.random.default_rng(4)
TEXT = b"<p>It is a truth universally acknowledged, that a single man [1813]\n" * 40
WAVE = (3000 * np.sin(np.arange(3000) / 7) + RANDOM.normal(0, 20, 3000)).astype("<i2").tobytes()
FLOATS = RANDOM.normal(0, 0.02, 900).astype("<f4").tobytes()
PICTURE = (np.add.outer(np.arange(48), 2 * np.arange(64)) % 251).astype(np.uint8).tobytes()
PIXELS = np.repeat(np.frombuffer(PICTURE, np.uint8), 3).tobytes()
LETTERS = np.frombuffer(b"acgt", np.uint8)[RANDOM.integers(0, 4, 3000)].tobytes()
CONTENTS = {
    "one": b"x",
    "text": TEXT,
    "wave": WAVE,
    "odd wave": WAVE[1:],
    "floats": FLOATS,
    "picture": PICTURE,
    "pixels": PIXELS,
    "noise": RANDOM.bytes(3000),
    "zeros": bytes(70_000),
    "letters": LETTERS,
}


def params_of(**settings: str) -> dict[str, Value]:
    return resolve_params(MIX, {**SMALL, **settings}, None)


def encode(data: bytes, params: dict[str, Value], threads: int = 1) -> list[Block]:
    return list(MIX.encode([data], params, Context(threads=threads)))


def decode(blocks: list[Block], params: dict[str, Value], threads: int = 1) -> bytes:
    given = [Block(b.raw_size, b.payload, b.raw if b.payload is None else None) for b in blocks]
    return b"".join(MIX.decode(given, params, Context(threads=threads)))


@pytest.mark.parametrize("name", CONTENTS)
def test_content_comes_back(name: str) -> None:
    params = params_of()
    blocks = encode(CONTENTS[name], params)
    assert decode(blocks, params) == CONTENTS[name]


@pytest.mark.parametrize(
    ("name", "most"),
    [("text", 120), ("wave", 4300), ("picture", 300), ("zeros", 40), ("letters", 850)],
)
def test_it_is_small(name: str, most: int) -> None:
    blocks = encode(CONTENTS[name], params_of())
    assert sum(len(block.payload or block.raw or b"") for block in blocks) <= most


def test_noise_is_stored() -> None:
    (block,) = encode(CONTENTS["noise"], params_of())
    assert block.payload is None


@pytest.mark.parametrize("level", range(1, 10))
def test_levels(level: int) -> None:
    params = MIX.settle(resolve_params(MIX, {}, level), TEXT, True)
    assert MIX.memory(params) < 60 << 20  # little content asks for little
    assert decode(encode(TEXT, params), params) == TEXT


@pytest.mark.parametrize("name", CONTENTS)
def test_lean(name: str) -> None:
    params = params_of(contexts="5")
    assert decode(encode(CONTENTS[name], params), params) == CONTENTS[name]


def test_threads_change_nothing() -> None:
    params, data = params_of(), TEXT * 60
    blocks = encode(data, params)
    assert len(blocks) == 3
    assert [b.payload for b in encode(data, params, 2)] == [b.payload for b in blocks]
    assert decode(blocks, params, 2) == data
    assert decode(blocks[2:], params) == blocks[2].raw  # on its own


@pytest.mark.parametrize("name", ["text", "floats", "pixels"])
def test_damage_is_noticed_or_changes_the_content(name: str) -> None:
    """The container notices other content; here it only must not go wrong otherwise."""
    params = params_of()
    (block,) = encode(CONTENTS[name][:2048], params)
    payload = bytes(block.payload or b"")
    harmless = 0
    for at in [*range(12), *range(12, len(payload), 97)]:
        damaged = bytearray(payload)
        damaged[at] ^= 1 << at % 8
        with suppress(CorruptError):
            result = decode([Block(2048, bytes(damaged))], params)
            assert len(result) == 2048
            harmless += result == CONTENTS[name][:2048]
    assert harmless <= 1  # in the last byte, of which the coder needs the upper bits
    for wrong in (b"", payload[:1], payload + bytes(8)):
        with pytest.raises(CorruptError):
            decode([Block(2048, wrong)], params)


def test_other_processors_agree() -> None:
    """The compiler's choice of instructions changes no bit."""
    code = (
        "import hashlib\n"
        "from tests.unit.codecs.mix.test_mix import CONTENTS, encode, params_of\n"
        "for name in ('text', 'wave', 'pixels', 'letters'):\n"
        "    (block,) = encode(CONTENTS[name][:3000], params_of())\n"
        "    print(hashlib.sha256(block.payload).hexdigest())\n"
    )
    root = Path(__file__).parents[4]
    seen = set()
    for cpu in ("generic", None):
        environment = {"NUMBA_CPU_NAME": cpu} if cpu else {}
        run = subprocess.run(
            [sys.executable, "-c", code],
            cwd=root,
            env={"PATH": "", "PYTHONPATH": str(root), **environment},
            capture_output=True,
            text=True,
            check=True,
        )
        seen.add(run.stdout)
    assert len(seen) == 1
