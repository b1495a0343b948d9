from __future__ import annotations

import struct
import zlib
from typing import Any

import pytest
import torch
from hypothesis import given
from hypothesis import strategies as st

from nncomp.distributed.coding import Coding, largest_message, pack, unpack
from nncomp.errors import PeerError, UsageError

HEAD = struct.Struct("<BIQ")
TYPE = zlib.crc32(b"torch.float32")


def message(*bodies: tuple[int, bytes]) -> torch.Tensor:
    """As `pack` makes them, of kinds and bodies."""
    heads = b"".join(HEAD.pack(kind, TYPE, len(body)) for kind, body in bodies)
    return told(heads + b"".join(body for _, body in bodies))


def told(data: bytes) -> torch.Tensor:
    return torch.tensor(list(data), dtype=torch.uint8)


def rows(count: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    generator = torch.Generator().manual_seed(count)
    some = torch.rand(4, width, generator=generator)
    return some[torch.randint(4, (count,), generator=generator)].to(dtype)


TENSORS = [rows(50, 8), rows(30, 16), torch.rand(3)]
SHAPES = [tuple(tensor.shape) for tensor in TENSORS]
MESSAGE = pack(TENSORS, Coding((0.1, 0.01, 0.1), "abs"))


@pytest.mark.parametrize(
    "dtype", [torch.float16, torch.bfloat16, torch.float32, torch.float64], ids=str
)
def test_there_and_back_within_the_bound(dtype: torch.dtype) -> None:
    tensors = [rows(300, 8, dtype), torch.rand(5, 0).to(dtype), torch.tensor(0.5).to(dtype)]
    shapes = [tuple(tensor.shape) for tensor in tensors]
    packed = pack(tensors, Coding((0.1, 0.1, 0.2), "abs"))
    assert len(packed) < largest_message(shapes, dtype)
    found = unpack(packed, shapes, dtype)
    assert [tensor.shape for tensor in found] == [tensor.shape for tensor in tensors]
    assert found[0].dtype == dtype
    assert 0 < (found[0].double() - tensors[0].double()).abs().max() <= 0.1


def test_every_tensor_has_its_bound() -> None:
    found = unpack(MESSAGE, SHAPES, torch.float32)
    errors = [(a - b).abs().max().item() for a, b in zip(found, TENSORS, strict=True)]
    assert 0.01 < errors[0] <= 0.1
    assert 0 < errors[1] <= 0.01
    assert errors[2] == 0  # three numbers go as they are


def test_without_coding_any_type_goes() -> None:
    tensor = torch.arange(12).reshape(3, 4).T
    (found,) = unpack(pack([tensor], None), [(4, 3)], torch.int64)
    assert torch.equal(found, tensor)


def test_a_message_is_never_longer_than_raw() -> None:
    generator = torch.Generator().manual_seed(1)
    noise = torch.randint(-(2**31), 2**31, (100, 8), generator=generator).to(torch.int32)
    packed = pack([noise.view(torch.float32)], Coding(1e-9, "abs"))
    assert len(packed) == largest_message([(100, 8)], torch.float32)
    (found,) = unpack(packed, [(100, 8)], torch.float32)
    assert torch.equal(found.view(torch.int32), noise)


@given(st.data())
def test_damaged_messages(data: st.DataObject) -> None:
    """Whatever comes: an error that names it, or tensors of the shapes that were expected."""
    damaged = bytearray(MESSAGE.tolist())
    for place in data.draw(st.lists(st.integers(0, len(MESSAGE) - 1), max_size=3)):
        damaged[place] ^= 1 << data.draw(st.integers(0, 7))
    damaged = damaged[: data.draw(st.integers(0, len(MESSAGE)))]
    try:
        found = unpack(told(damaged), SHAPES, torch.float32)
    except PeerError:
        return
    assert [tuple(tensor.shape) for tensor in found] == SHAPES


@pytest.mark.parametrize(
    ("sent", "reason"),
    [
        (told(b""), "ends within the heads"),
        (MESSAGE[:40], "tensor 0 is said to have"),
        (torch.cat([MESSAGE, told(b"?")]), "1 bytes follow the last tensor"),
        (message((0, b"1234"), (0, b""), (0, b"")), "tensor 0: 1600 bytes expected, got 4 of kin"),
        (message((7, bytes(1600)), (0, b""), (0, b"")), "got 1600 of kind 7"),
        (message((1, b"1234"), (0, b""), (0, b"")), "tensor 0: "),
        (pack([rows(40, 8), *TENSORS[1:]], Coding(0.1)), "tensor 0: .* expected"),
        (pack([rows(4000, 8), *TENSORS[1:]], Coding(0.1)), "tensor 0: "),
        (pack([rows(50, 8, torch.float64), *TENSORS[1:]], Coding(0.1)), "of another type than"),
        (pack([rows(25, 8, torch.float64), *TENSORS[1:]], None), "of another type than"),
    ],
)
def test_messages_of_other_tensors(sent: torch.Tensor, reason: str) -> None:
    with pytest.raises(PeerError, match=reason):
        unpack(sent, SHAPES, torch.float32)


@pytest.mark.parametrize(
    ("sent", "expected"),
    [
        (torch.float16, torch.bfloat16),
        (torch.bfloat16, torch.float16),
        (torch.float32, torch.int32),
        (torch.float64, torch.int64),
    ],
    ids=str,
)
@pytest.mark.parametrize("coding", [None, Coding(0.1)])
def test_types_of_one_size_are_told_apart(
    sent: torch.dtype, expected: torch.dtype, coding: Coding | None
) -> None:
    with pytest.raises(PeerError, match=f"of another type than {expected}"):
        unpack(pack([rows(300, 8, sent)], coding), [(300, 8)], expected)


@pytest.mark.parametrize(
    ("arguments", "reason"),
    [
        ((0.0,), "above zero"),
        ((float("nan"),), "above zero"),
        (((0.1, float("inf")),), "above zero"),
        ((1e301, "abs"), r"up to 1e\+300"),
        (([0.1, 0.2],), "a tuple of such"),
        ((0.1, "relative"), "abs or rel"),
        ((0.1, "rel", "lzma"), "no coder 'lzma'"),
        ((0.1, "rel", "zstd", 1e9), "nothing to choose"),
        ((0.1, "rel", "auto", -1.0), "0 or more bytes per second"),
    ],
)
def test_codings_that_make_no_sense(arguments: tuple[Any, ...], reason: str) -> None:
    with pytest.raises(UsageError, match=reason):
        Coding(*arguments)


def test_the_coder_follows_the_bandwidth() -> None:
    """Fewest bytes where sending is slow, and little work where it is fast."""
    table = [rows(2000, 16)]
    sizes = [len(pack(table, Coding(1e-3, "rel", "auto", rate))) for rate in (1e3, 1e11)]
    assert sizes[0] == len(pack(table, Coding(1e-3))) < sizes[1]


def test_codings_for_tensors_that_are_not_there() -> None:
    with pytest.raises(UsageError, match="2 bounds for 3 tensors"):
        pack(TENSORS, Coding((0.1, 0.1)))
    with pytest.raises(UsageError, match=r"not torch\.int64"):
        pack([torch.arange(5)], Coding(0.1))


def test_a_schedule_scales_all_bounds() -> None:
    assert Coding((0.1, 0.2), "abs", "zstd").scaled(2) == Coding((0.2, 0.4), "abs", "zstd")
    assert Coding(0.1).scaled(2) == Coding(0.2)
