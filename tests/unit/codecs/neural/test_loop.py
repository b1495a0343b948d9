"""The loop: what is encoded is decoded, block after block, and damage is noticed early."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from hypothesis import given, settings
from hypothesis import strategies as st

from nncomp.codecs.base import Block, Context
from nncomp.codecs.neural import loop as loop_module
from nncomp.codecs.neural import records, sections, sep, stage
from nncomp.codecs.neural.loop import Training, choose_device, granted
from nncomp.codecs.neural.sep import SEP
from nncomp.coding import jit
from nncomp.errors import CorruptError, DeviceError
from nncomp.exact.adam import AdamConfig
from nncomp.exact.ops import force_reference
from nncomp.exact.threads import allow

if TYPE_CHECKING:
    from collections.abc import Callable

    Params = Callable[..., dict[str, Any]]

TEXT = b"the rain in spain stays mainly in the plain; " * 80


def noise(size: int, seed: int = 0) -> bytes:
    return np.random.default_rng(seed).integers(0, 256, size, dtype=np.uint8).tobytes()


def encode(data: bytes, params: dict[str, Any], context: Context | None = None) -> list[Block]:
    """Blocks as a container would hand them to the decoder."""
    blocks = list(SEP.encode([data], params, context or Context()))
    assert b"".join(bytes(block.raw or b"") for block in blocks) == data
    return [
        Block(b.raw_size, None, b.raw)
        if b.payload is None or len(b.payload) >= b.raw_size
        else Block(b.raw_size, b.payload)
        for b in blocks
    ]


def decode(blocks: list[Block], params: dict[str, Any], context: Context | None = None) -> bytes:
    return b"".join(map(bytes, SEP.decode(blocks, params, context or Context())))


# ---------------------------------------------------------------- round trips


@pytest.mark.parametrize("size", [1, 2, 3, 12, 13, 100, 3000])
def test_sizes(size: int, params: Params) -> None:
    """Fewer bytes than lanes, one segment, one byte more, several segments."""
    blocks = encode(TEXT[:size], params())
    assert [block.raw_size for block in blocks] == [size]
    assert decode(blocks, params()) == TEXT[:size]


def test_nothing_gives_no_block(params: Params) -> None:
    assert encode(b"", params()) == []
    assert decode([], params()) == b""


@settings(max_examples=12)
@given(
    data=st.one_of(st.binary(max_size=400), st.integers(0, 400).map(lambda n: TEXT[:n])),
    lanes=st.integers(1, 9),
    segment=st.integers(1, 9),
    block=st.integers(50, 300),
    seb=st.booleans(),
    mixing=st.sampled_from(["shared", "lane"]),
)
def test_any_layout(params: Params, data: bytes, **changes: Any) -> None:
    """Lanes that do not divide the size, blocks smaller than the lanes, cut anywhere."""
    full = params(**changes)
    blocks = encode(data, full)
    assert len(blocks) == -(-len(data) // changes["block"])
    assert decode(blocks, full) == data


def test_a_last_block_smaller_than_the_lanes(params: Params) -> None:
    full = params(lanes=16, block=500)
    blocks = encode(TEXT[:1003], full)
    assert [block.raw_size for block in blocks] == [500, 500, 3]
    assert decode(blocks, full) == TEXT[:1003]


def test_the_network_goes_on_learning_from_block_to_block(params: Params) -> None:
    full = params(block=600, lr=0.05)
    blocks = encode(TEXT[:1800], full)
    sizes = [len(block.payload) for block in blocks if block.payload is not None]
    assert len(sizes) == 3
    assert sizes[2] < sizes[1] < sizes[0]
    assert decode(blocks, full) == TEXT[:1800]


def test_nothing_is_learned_from_stored_blocks(params: Params) -> None:
    data = TEXT[:600] + noise(600) + TEXT[600:1800]
    full = params(block=600, lr=0.05)
    blocks = encode(data, full)
    assert [block.payload is None for block in blocks] == [False, True, False, False]
    assert decode(blocks, full) == data
    without = encode(TEXT[:1800], full)
    assert [b.payload for b in without] == [b.payload for b in blocks if b.payload is not None]


@pytest.mark.parametrize("mixing", ["shared", "lane"])
def test_reference_and_kernels_give_the_same_payload(mixing: str, params: Params) -> None:
    full = params(mixing=mixing, lanes=2)
    blocks = encode(TEXT[:300], full)
    with force_reference():
        assert encode(TEXT[:300], full) == blocks
        assert decode(blocks, full) == TEXT[:300]


def test_chunks_do_not_matter(params: Params) -> None:
    chunks = [TEXT[:1], TEXT[1:1], memoryview(TEXT)[1:700], bytearray(TEXT[700:1000])]
    blocks = list(SEP.encode(chunks, params(), Context()))
    assert [b.payload for b in blocks] == [b.payload for b in encode(TEXT[:1000], params())]


def test_the_loop_codes_at_the_models_price(params: Params, monkeypatch: Any) -> None:
    """The payload's size is the code length of the rows handed to the coder, and 16 bytes."""
    bits = 0.0
    encoder = records.StageEncoder

    class Listening(encoder):  # type: ignore[valid-type, misc]  # a class chosen at run time
        def encode(self, rows: Any, symbols: Any) -> None:
            nonlocal bits
            chosen = rows[np.arange(len(symbols)), symbols]
            bits += float(np.log2(2.0**24 / chosen).sum())
            super().encode(rows, symbols)

    monkeypatch.setattr(records, "StageEncoder", Listening)
    (block,) = SEP.encode([TEXT[:2000]], params(), Context())
    assert block.payload is not None
    assert bits / 8 <= len(block.payload) <= bits / 8 + 16


def test_nothing_is_learned_from_what_is_not_coded(params: Params, monkeypatch: Any) -> None:
    """Seven bytes in three lanes: at the last step two lanes have none."""
    gradients: list[torch.Tensor] = []
    learn = loop_module.backpropagate

    def listening(logits: torch.Tensor, gradient: torch.Tensor) -> None:
        gradients.append(gradient.view(3, 3, 256))
        learn(logits, gradient)

    monkeypatch.setattr(loop_module, "backpropagate", listening)
    encode(TEXT[:7], params(lanes=3, segment=4))
    (gradient,) = gradients
    learned = gradient.abs().amax(dim=2) > 0
    assert learned.tolist() == [[True, True, True], [True, True, False], [True, True, False]]


@pytest.mark.parametrize("changes", [{}, {"mixing": "lane", "optimiser": "nncp"}], ids=str)
def test_what_was_learned_can_be_forgotten(changes: dict[str, Any], params: Params) -> None:
    """Weights, their integers, moments and the learning rate: all as they were."""
    full = params(decay=100, final=0.1, **changes)
    loop = sep._loop(full, Context())

    def encode_with(data: bytes) -> bytes:
        return loop.encode(np.frombuffer(data, np.uint8), stage.StageEncoder())

    encode_with(TEXT[:300])
    before = loop.learned()
    second = encode_with(TEXT[300:700])
    assert any(not torch.equal(a, b) for a, b in zip(before, loop.learned(), strict=True))
    loop.forget(before)
    assert all(torch.equal(a, b) for a, b in zip(before, loop.learned(), strict=True))
    encode_with(noise(500))
    loop.forget(before)
    assert encode_with(TEXT[300:700]) == second


# ---------------------------------------------------------------- what the context grants


def test_progress_adds_up(params: Params) -> None:
    done: list[int] = []
    context = Context(progress=done.append)
    full = params(block=700)
    blocks = encode(TEXT[:2000], full, context)
    assert sum(done) == 2000
    assert max(done) <= 3 * 4  # a segment at a time
    done.clear()
    assert decode(blocks, full, context) == TEXT[:2000]
    assert sum(done) == 2000


def test_progress_counts_stored_blocks(params: Params) -> None:
    done: list[int] = []
    full = params(block=300)
    blocks = encode(noise(500), full)
    assert all(block.payload is None for block in blocks)
    decode(blocks, full, Context(progress=done.append))
    assert sum(done) == 500


@pytest.mark.parametrize("threads", [1, 3])
def test_threads_are_granted_while_a_block_is_coded(threads: int) -> None:
    before, hook = torch.get_num_threads(), jit.on_compile
    heard: list[str] = []
    with granted(Context(threads=threads, notice=heard.append)):
        assert allow(threads) == threads
        assert torch.get_num_threads() == 1
        assert jit.on_compile is not None
        jit.on_compile("a kernel")
    assert torch.get_num_threads() == before
    assert jit.on_compile is hook
    assert heard == ["compiling kernels, at first use only"]


def test_threads_are_restored_after_an_error(params: Params) -> None:
    before = torch.get_num_threads()
    blocks = [Block(1000, b"\x00" * 3)]
    with pytest.raises(CorruptError):
        decode(blocks, params(), Context(threads=before + 1))
    assert torch.get_num_threads() == before


def test_threads_do_not_change_the_payload(params: Params, monkeypatch: Any) -> None:
    from nncomp.exact import threads

    monkeypatch.setattr(threads, "_WORTH", 16)
    alone = encode(TEXT[:600], params(), Context(threads=1))
    assert encode(TEXT[:600], params(), Context(threads=3)) == alone
    assert decode(alone, params(), Context(threads=2)) == TEXT[:600]


def test_a_device_that_is_not_there(params: Params, monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    assert choose_device("auto").type == "cpu"
    assert choose_device("cpu").type == "cpu"
    with pytest.raises(DeviceError, match=r"no CUDA device.*--device cpu"):
        choose_device("cuda")
    with pytest.raises(DeviceError):
        encode(TEXT, params(), Context(device="cuda"))
    with pytest.raises(DeviceError):
        decode([Block(5, b"abc")], params(), Context(device="cuda"))


def test_auto_is_the_cpu_even_beside_a_gpu(monkeypatch: Any) -> None:
    monkeypatch.setattr(torch.cuda, "is_available", lambda: True)
    assert [choose_device(name).type for name in ("auto", "cuda", "cpu")] == ["cpu", "cuda", "cpu"]


def test_the_learning_rate_falls_hyperbolically() -> None:
    training = Training(segment=1, adam=AdamConfig(lr=0.5), final=0.2, decay=1000)
    assert training.rate(0) == 0.5
    assert training.rate(1000) == pytest.approx(0.5 * 0.6)  # half of the fall
    assert training.rate(10**12) == pytest.approx(0.1)


# ---------------------------------------------------------------- damage


@pytest.fixture
def short_sections(monkeypatch: pytest.MonkeyPatch) -> None:
    """Sections of 10 segments of 12 bytes."""
    monkeypatch.setattr(sections, "_SECTION_BYTES", 120)


@pytest.mark.usefixtures("short_sections")
def test_several_sections(params: Params) -> None:
    for size in (119, 120, 121, 359, 360, 361):
        blocks = encode(TEXT[:size], params(lr=0.1))
        assert decode(blocks, params(lr=0.1)) == TEXT[:size]


@pytest.mark.usefixtures("short_sections")
def test_damage_stops_the_decoder_within_the_section(params: Params) -> None:
    full = params(lr=0.1)
    (block,) = encode(TEXT[:1200], full)
    assert block.payload is not None
    payload, position, ends = bytes(block.payload), 0, []
    for _ in range(9):  # the sections that carry marks
        position += 8 + int.from_bytes(payload[position : position + 4], "little")
        ends.append(position)
    assert position < len(payload)
    for section in (0, 3, 8):
        start = ends[section - 1] if section else 0
        for at in (start + 4, start + 8, (start + 8 + ends[section]) // 2, ends[section] - 1):
            damaged = bytearray(payload)
            damaged[at] ^= 0x10
            done: list[int] = []
            with pytest.raises(CorruptError, match=r"damaged|coded data|differs"):
                decode([Block(1200, bytes(damaged))], full, Context(progress=done.append))
            assert sum(done) <= 120 * (section + 1)


@pytest.mark.usefixtures("short_sections")
def test_a_mark_names_the_bytes_decoded_so_far(params: Params) -> None:
    (block,) = encode(TEXT[:1200], params(lr=0.1))
    damaged = bytearray(bytes(block.payload or b""))
    damaged[4] ^= 1
    with pytest.raises(CorruptError, match="within the 120 bytes of this record decoded so far"):
        decode([Block(1200, bytes(damaged))], params(lr=0.1))


def refused(payload: bytes, size: int, params: dict[str, Any]) -> bool:
    """Whether a payload is refused; if not, it decodes to the right number of bytes."""
    try:
        decoded = decode([Block(size, payload)], params)
    except CorruptError:
        return True
    assert len(decoded) == size
    return False


@pytest.mark.usefixtures("short_sections")
def test_every_truncation_of_a_payload(params: Params) -> None:
    """An error, or bytes that the record's checksum has to judge; never a crash."""
    full = params(lr=0.1)
    (block,) = encode(TEXT[:400], full)
    payload = bytes(block.payload or b"")
    caught = [refused(payload[:size], 400, full) for size in range(0, len(payload), 3)]
    assert sum(caught) > len(caught) - 4  # all but what ends in the coder's last bytes


@pytest.mark.parametrize("payload", [b"", b"\x00", b"\xff" * 4, b"\x00" * 40, b"\xff" * 4000])
def test_payloads_out_of_thin_air(payload: bytes, params: Params) -> None:
    assert refused(payload, 100, params()) in (True, False)


def test_lying_sizes_end_soon(params: Params, monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that claim to be 60,000: the coder knows that they are used up."""
    (block,) = encode(TEXT[:300], params())
    done: list[int] = []
    with pytest.raises(CorruptError):
        decode([Block(60_000, block.payload)], params(), Context(progress=done.append))
    assert sum(done) < 3000


def test_no_network_is_built_before_there_is_a_block(params: Params, monkeypatch: Any) -> None:
    monkeypatch.setattr(sep, "_loop", lambda *args: pytest.fail("built"))
    assert decode([], params()) == b""
