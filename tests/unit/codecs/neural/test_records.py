"""Records with a memory: which kind is kept, what is learned of it, and damage."""

from __future__ import annotations

import struct
from itertools import product
from typing import Any

import numpy as np
import pytest

from nncomp.codecs.base import Block, Context, resolve_params
from nncomp.codecs.mix.detect import find_layout
from nncomp.codecs.mix.mix import MIX, memory_of
from nncomp.codecs.neural import records
from nncomp.codecs.neural.sep import SEP
from nncomp.errors import CorruptError

TEXT = b"the rain in spain stays mainly in the plain; " * 20
NOISE = np.random.default_rng(1).integers(0, 256, 300, dtype=np.uint8).tobytes()


@pytest.fixture
def alone(monkeypatch: pytest.MonkeyPatch) -> set[bytes]:
    """The records for which the memory alone takes less; for all others it takes more."""
    chosen: set[bytes] = set()
    by_itself, together = records._alone, records.Records._joint

    def _alone(raw: bytes, *others: Any) -> bytes | None:
        return by_itself(raw, *others) if raw in chosen else None

    def _joint(self: Any, data: Any, *others: Any) -> bytes:
        return together(self, data, *others) + bytes(1000 * (data.tobytes() in chosen))

    monkeypatch.setattr(records, "_alone", _alone)
    monkeypatch.setattr(records.Records, "_joint", _joint)
    return chosen


# ---------------------------------------------------------------- which kind


def test_the_smaller_kind_is_kept(joint: Any, alone: set[bytes]) -> None:
    full = joint.params(block=300, lr=0.01, lanes=1)
    assert joint.kinds(TEXT[:900], full) == [0, 0, 0]
    alone.add(TEXT[300:600])
    assert joint.kinds(TEXT[:900], full) == [0, 1, 0]


def test_noise_is_stored(joint: Any) -> None:
    assert joint.kinds(NOISE, joint.params()) == [None]


def test_kind_1_is_the_payload_of_mix(joint: Any, alone: set[bytes]) -> None:
    alone.add(TEXT)
    (block,) = joint.encode(TEXT, joint.params(contexts=7))
    mix = resolve_params(MIX, {"contexts": "7", "table": "256K", "block": "64K"}, None)
    (other,) = MIX.encode([TEXT], mix, Context())
    assert other.payload is not None
    assert block.payload == b"\x01" + other.payload


@pytest.mark.usefixtures("never_alone")
def test_kind_0_begins_with_the_layout(joint: Any) -> None:
    (block,) = joint.encode(TEXT[:400], joint.params())
    layout = find_layout(np.frombuffer(TEXT[:400], np.uint8)).pack()
    assert bytes(block.payload).startswith(b"\x00" + layout)


# ---------------------------------------------------------------- what is learned


def payloads(joint: Any, data: bytes, params: dict[str, Any]) -> list[bytes | None]:
    blocks = joint.encode(data, params)
    assert joint.decode(blocks, params) == data
    return [block.payload for block in blocks]


def test_nothing_is_learned_of_records_without_the_network(joint: Any, alone: set[bytes]) -> None:
    """Neither of kind 1 nor of what is stored: the others are as if those were not there."""
    full = joint.params(block=300, lr=0.01, lanes=1)
    other = TEXT[7:307]
    alone.add(other)
    mixed = payloads(joint, TEXT[:300] + other + NOISE + TEXT[300:600], full)
    assert [payload and payload[0] for payload in mixed] == [0, 1, None, 0]
    assert [mixed[0], mixed[3]] == payloads(joint, TEXT[:600], full)
    assert mixed[3] != payloads(joint, TEXT[300:600], full)[0]  # of the first it learned


# ---------------------------------------------------------------- what the context grants


def test_progress_counts_every_kind(joint: Any, alone: set[bytes]) -> None:
    full = joint.params(block=300, lr=0.01, lanes=1)
    alone.add(TEXT[300:600])
    data, done = TEXT[:600] + NOISE, list[int]()
    context = Context(progress=done.append)
    blocks = joint.encode(data, full, context)
    assert [b.payload and b.payload[0] for b in blocks] == [0, 1, None]
    assert sum(done) == 900
    done.clear()
    assert joint.decode(blocks, full, context) == data
    assert sum(done) == 900


@pytest.mark.parametrize("memory", [True, False])
def test_where_the_time_went_is_told(memory: bool, joint: Any) -> None:
    said: list[str] = []
    full, context = joint.params(memory=memory), Context(notice=said.append)
    joint.decode(joint.encode(TEXT, full, context), full, context)
    encoding, decoding = (line for line in said if line.startswith("time: "))
    assert "network" in encoding
    assert "mixer and coder, beside it" in encoding
    assert "steps of network, mixer and coder" in decoding
    assert all(line.count("%") == 2 for line in (encoding, decoding))


def test_time_of_the_memory_alone_is_counted(joint: Any, alone: set[bytes]) -> None:
    said: list[str] = []
    full, context = joint.params(lanes=1), Context(notice=said.append)
    alone.add(TEXT)
    joint.decode(joint.encode(TEXT, full), full, context)
    assert "network 0.0 s (0%)" in said[-1]
    assert "(100%)" in said[-1]


@pytest.mark.parametrize("spare", [-1, 0])
def test_two_memories_only_where_there_is_room(
    spare: int, joint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """Without, the memory alone comes first; the payload is the same."""
    happened: list[str] = []
    by_itself, together = records._alone, records.Records._joint
    full = joint.params()
    wanted = joint.encode(TEXT, full)

    def first(*args: Any) -> bytes | None:
        payload = by_itself(*args)
        happened.append("alone, done")
        return payload

    def second(*args: Any) -> bytes:
        happened.append("together")
        return together(*args)

    monkeypatch.setattr(records, "_alone", first)
    monkeypatch.setattr(records.Records, "_joint", second)
    context = Context(memory_limit=SEP.memory(full) + memory_of(full) + spare)
    assert joint.encode(TEXT, full, context) == wanted
    assert sorted(happened) == ["alone, done", "together"]
    if spare < 0:
        assert happened[0] == "alone, done"


# ---------------------------------------------------------------- damage


def refused(joint: Any, payload: bytes, size: int, params: dict[str, Any]) -> bool:
    """Whether a payload is refused; if not, it decodes to the right number of bytes."""
    try:
        decoded = joint.decode([Block(size, payload)], params)
    except CorruptError:
        return True
    assert len(decoded) == size
    return False


@pytest.mark.parametrize("kind", [*range(2, 256, 23), 2, 128, 255])
def test_unknown_kinds(kind: int, joint: Any) -> None:
    full = joint.params()
    (block,) = joint.encode(TEXT[:300], full)
    payload = bytes([kind]) + bytes(block.payload)[1:]
    with pytest.raises(CorruptError, match="begins with"):
        joint.decode([Block(300, payload)], full)


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\x01", b"\x00\x00", b"\x01\x00"])
def test_payloads_that_end_at_once(payload: bytes, joint: Any) -> None:
    assert refused(joint, payload, 300, joint.params()) or payload == b"\x00\x00"


@pytest.mark.parametrize("kind", [0, 1])
def test_every_truncation_and_something_more(kind: int, joint: Any, alone: set[bytes]) -> None:
    full = joint.params(lr=0.01, lanes=1)
    if kind:
        alone.add(TEXT[:120])
    (block,) = joint.encode(TEXT[:120], full)
    payload = bytes(block.payload)
    assert payload[0] == kind
    cut = [refused(joint, payload[:size], 120, full) for size in range(len(payload) - 2)]
    assert sum(cut) >= len(cut) - 1  # zeros after a few bytes may mean as many of the content
    for more in (b"\x00", bytes(9), b"\xff" * 9):
        assert refused(joint, payload + more, 120, full)


@pytest.mark.parametrize("kind", [b"\x00", b"\x01"])
def test_hostile_layouts(kind: bytes, joint: Any) -> None:
    """Elements, rows and planes of any size: an error, or as many bytes as there should be."""
    full = joint.params(lanes=3, seb=False, levels=1, tokens=1, ffn=1)
    layouts = {
        bytes([first]) + struct.pack("<BHH", *sizes)[: 3 if first & 1 else 5]
        for first in (0x01, 0x02, 0x22, 0x81, 0xC1, 0x82)
        for sizes in product((0, 1, 2, 3, 8, 9), (0, 1, 2, 65535), (0, 1, 65535))
    }
    outcomes = [refused(joint, kind + layout + NOISE[:40], 64, full) for layout in layouts]
    assert any(outcomes)


@pytest.mark.parametrize("kind", [b"\x00", b"\x01"])
def test_layouts_of_no_kind(kind: bytes, joint: Any) -> None:
    for first in (6, 7, 0x1F, 0xE6, 0xFF):
        with pytest.raises(CorruptError, match="no layout"):
            joint.decode([Block(64, kind + bytes([first]) + NOISE[:40])], joint.params())
