"""Network and memory together: lanes, layouts, and two ways to decode them."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nncomp.codecs.base import Context
from nncomp.codecs.mix.layout import KINDS, NUMBERS, RECORDS, TEXT, Layout
from nncomp.codecs.neural import loop as loop_module
from nncomp.codecs.neural import records
from nncomp.exact.ops import force_reference
from nncomp.models.pac import Pac
from nncomp.models.sep import Sep

if TYPE_CHECKING:
    from nncomp.models.byte_model import ByteModel

pytestmark = pytest.mark.usefixtures("never_alone")

RANDOM = np.random.default_rng(4)
TEXT_BYTES = b"the rain in spain stays mainly in the plain; " * 40
ROWS = b"".join(i.to_bytes(4, "little") + b"ab" + bytes([i * i % 256]) for i in range(220))
WAVE = (3000 * np.sin(np.arange(800) / 7) + RANDOM.normal(0, 20, 800)).astype("<i2").tobytes()
PICTURE = (np.add.outer(np.arange(32), 2 * np.arange(48)) % 251).astype(np.uint8).tobytes()
CONTENTS = {"text": TEXT_BYTES, "records": ROWS, "wave": WAVE, "picture": PICTURE}
LAYOUTS = {
    "text": Layout(TEXT),
    "records": Layout(RECORDS, 1, 7),
    "elements, reversed": Layout(RECORDS, 4, 12, 0, reverse=True),
    "sound": Layout(NUMBERS, 2, 0),
    "sound of two channels": Layout(NUMBERS, 4, 0),
    "sound, reversed": Layout(NUMBERS, 2, 0, 0, reverse=True),
    "picture": Layout(NUMBERS, 1, 48),
    "colours": Layout(NUMBERS, 3, 48, 1),
    "planes": Layout(NUMBERS, 1, 16, 256),
}


def round_trip(joint: Any, data: bytes, params: dict[str, Any]) -> None:
    assert set(joint.kinds(data, params)) <= {0, None}


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("lanes", [1, 2, 3, 7])
@pytest.mark.parametrize("name", CONTENTS)
def test_contents_and_lanes(name: str, lanes: int, joint: Any) -> None:
    assert joint.kinds(CONTENTS[name], joint.params(lanes=lanes)) == [0]


@pytest.mark.parametrize("lanes", [1, 3])
@pytest.mark.parametrize("name", LAYOUTS)
def test_layouts(name: str, lanes: int, joint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    """Each of them for each content, suitable or not, and all contexts that it has."""
    monkeypatch.setattr(records, "find_layout", lambda _: LAYOUTS[name])
    for content in CONTENTS.values():
        round_trip(joint, content[:501], joint.params(lanes=lanes, contexts=24, seb=False))


@settings(max_examples=20)
@given(
    data=st.one_of(st.binary(max_size=300), st.integers(0, 300).map(lambda n: TEXT_BYTES[:n])),
    lanes=st.integers(1, 9),
    segment=st.integers(2, 20),
    block=st.integers(2, 200),
    contexts=st.integers(1, 24),
    seb=st.booleans(),
)
def test_any_cut(joint: Any, data: bytes, **changes: Any) -> None:
    """Blocks smaller than the lanes, segments longer than the block."""
    round_trip(joint, data, joint.params(**changes))


@settings(max_examples=20, suppress_health_check=[HealthCheck.too_slow])
@given(
    phrases=st.lists(st.binary(min_size=1, max_size=12), min_size=1, max_size=3),
    order=st.lists(st.integers(0, 2), min_size=10, max_size=60),
    lanes=st.integers(2, 9),
)
def test_matches_across_lanes(
    joint: Any, phrases: list[bytes], order: list[int], lanes: int
) -> None:
    """Lanes that say the same: a match may point to where another lane has yet to come."""
    data = b"".join(phrases[i % len(phrases)] * 3 for i in order)
    assert joint.kinds(data, joint.params(lanes=lanes, segment=8, seb=False)) in ([0], [None])


@pytest.mark.parametrize("lanes", range(2, 10))
def test_lanes_that_are_the_same(lanes: int, joint: Any) -> None:
    piece = RANDOM.integers(0, 256, 40, dtype=np.uint8).tobytes() * 3
    assert joint.kinds(piece * lanes, joint.params(lanes=lanes, lr=0.001)) == [0]


@pytest.mark.parametrize("changes", [{"lanes": 1}, {"lanes": 3}, {"lanes": 2, "segment": 256}])
def test_several_sections(
    changes: dict[str, Any], joint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The memory goes on where the coder begins anew."""
    from nncomp.codecs.neural import sections

    monkeypatch.setattr(sections, "_SECTION_BYTES", 120)
    for size in (119, 120, 121, 361, 1500):
        assert joint.kinds(TEXT_BYTES[:size], joint.params(**changes)) == [0]


def test_several_records(joint: Any) -> None:
    """The network goes on learning; the memory of a record is its own."""
    full = joint.params(block=300, lr=0.05)
    assert joint.kinds(TEXT_BYTES[:1000], full) == [0, 0, 0, 0]
    first, second, *_ = joint.encode(TEXT_BYTES[:300] * 2, full)
    assert first.payload != second.payload


# ---------------------------------------------------------------- two ways to decode


@pytest.fixture
def taken(monkeypatch: pytest.MonkeyPatch) -> list[str]:
    """The ways that decoders took."""
    ways: list[str] = []

    def listening(name: str) -> type:
        class Steps(getattr(loop_module, name)):  # type: ignore[misc]  # chosen at run time
            def decode(self, *args: Any) -> Any:
                ways.append(name)
                return super().decode(*args)

        return Steps

    for name in ("CompiledSteps", "TorchSteps"):
        monkeypatch.setattr(loop_module, name, listening(name))
    return ways


def unwritten(*_: object) -> None:
    raise NotImplementedError


@pytest.mark.parametrize("model", [Sep, Pac])
@pytest.mark.parametrize("lanes", [1, 3])
def test_both_ways_decode_the_same(
    model: type[ByteModel],
    lanes: int,
    joint: Any,
    taken: list[str],
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    full = joint.params(lanes=lanes, seb=model is Sep, block=200)
    blocks = joint.encode(TEXT_BYTES[:500], full)
    assert joint.decode(blocks, full) == TEXT_BYTES[:500]
    assert set(taken) == {"CompiledSteps"}
    taken.clear()
    monkeypatch.setattr(model, "write", unwritten)
    assert joint.decode(blocks, full) == TEXT_BYTES[:500]
    assert set(taken) == {"TorchSteps"}


@pytest.mark.parametrize(
    "changes",
    [
        {"seb": False, "mask": True},
        {"mask": True, "lanes": 1},
        {"mixing": "lane"},
        {"mixing": "lane", "lanes": 1, "seb": False},
    ],
    ids=str,
)
def test_models_that_cannot_be_written(
    changes: dict[str, Any], joint: Any, taken: list[str]
) -> None:
    assert joint.kinds(TEXT_BYTES[:400], joint.params(**changes)) == [0]
    assert set(taken) == {"TorchSteps"}


def test_the_network_alone_is_decoded_by_torch(joint: Any, taken: list[str]) -> None:
    full = joint.params(memory=False)
    assert joint.decode(joint.encode(TEXT_BYTES[:400], full), full) == TEXT_BYTES[:400]
    assert set(taken) == {"TorchSteps"}


@pytest.mark.parametrize("changes", [{}, {"mixing": "lane"}, {"seb": False}], ids=str)
def test_reference_and_kernels_give_the_same_payload(changes: dict[str, Any], joint: Any) -> None:
    full = joint.params(lanes=2, **changes)
    blocks = joint.encode(TEXT_BYTES[:300], full)
    with force_reference():
        assert joint.encode(TEXT_BYTES[:300], full) == blocks
        assert joint.decode(blocks, full) == TEXT_BYTES[:300]


def test_threads_do_not_change_the_payload(joint: Any, monkeypatch: pytest.MonkeyPatch) -> None:
    from nncomp.exact import threads

    monkeypatch.setattr(threads, "_WORTH", 16)
    full = joint.params()
    alone = joint.encode(TEXT_BYTES[:600], full, Context(threads=1))
    assert joint.encode(TEXT_BYTES[:600], full, Context(threads=3)) == alone
    assert joint.decode(alone, full, Context(threads=2)) == TEXT_BYTES[:600]


# ---------------------------------------------------------------- both take part


def size_of(joint: Any, data: bytes, params: dict[str, Any]) -> int:
    return sum(len(block.payload or b"") or block.raw_size for block in joint.encode(data, params))


def test_the_memory_makes_it_smaller(joint: Any) -> None:
    together = size_of(joint, TEXT_BYTES, joint.params())
    assert together < 0.5 * size_of(joint, TEXT_BYTES, joint.params(memory=False))


def test_the_network_makes_it_smaller(joint: Any) -> None:
    """By what its context tells, and the one context of the memory does not."""
    symbols, shifts = [0, 0], RANDOM.integers(0, 3, 4000)
    for shift in shifts:
        symbols.append((symbols[-2] + int(shift)) % 32)
    full = joint.params(lanes=1, contexts=1, lr=0.02)
    learned = size_of(joint, bytes(symbols), full)
    assert learned < 0.95 * size_of(joint, bytes(symbols), {**full, "lr": 1e-8})


@pytest.mark.parametrize("name", ["text", "sound", "elements, reversed"])
def test_a_kind_has_so_many_contexts_and_no_more(
    name: str, joint: Any, monkeypatch: pytest.MonkeyPatch
) -> None:
    most = KINDS[LAYOUTS[name].kind]
    monkeypatch.setattr(records, "find_layout", lambda _: LAYOUTS[name])

    def payload(contexts: int) -> list[Any]:
        blocks: list[Any] = joint.encode(WAVE[:600], joint.params(contexts=contexts, lanes=1))
        return blocks

    assert payload(24) == payload(most)
    assert payload(most) != payload(most - 1)
