"""All of the way by nvCOMP but for nvCOMP itself, on the host.

What stands in for it has the calls that are used, of version 6: `as_array(buffer, cuda_stream)`,
`Codec(algorithm, device_id, cuda_stream)` with `encode`, `decode` and `get_uncomp_buffer_size`,
and arrays that go to PyTorch by DLPack. It codes with zlib. What it cannot show is whether nvCOMP
does as its documentation says: tests/gpu/test_nvcomp.py asks it, where there is a device.
"""

from __future__ import annotations

import math
import sys
import zlib
from contextlib import nullcontext, suppress
from types import ModuleType, SimpleNamespace
from typing import Any

import pytest
import torch
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from nncomp.distributed import nvcomp, quantise_dequantise
from nncomp.distributed.coding import Coding, largest_message, pack, unpack
from nncomp.distributed.nvcomp import NVCOMP_CODERS
from nncomp.distributed.quantiser import Quantised
from nncomp.errors import DeviceError, PeerError, UsageError

DTYPES = [torch.float16, torch.bfloat16, torch.float32, torch.float64]
HEAD_AT = 8  # of a body, behind its checksum


class Array:
    def __init__(self, data: torch.Tensor) -> None:
        assert data.dtype == torch.uint8
        assert data.dim() == 1
        assert data.is_contiguous()
        assert data.data_ptr() % 16 == 0
        self.data = data

    def __dlpack__(self, **how: Any) -> Any:
        return self.data.__dlpack__(**how)

    def __dlpack_device__(self) -> Any:
        return self.data.__dlpack_device__()


class Codec:
    """Its streams begin with the size of what was coded."""

    def __init__(self, *, algorithm: str, device_id: int | None, cuda_stream: int) -> None:
        assert cuda_stream == 1
        self.level = list(NVCOMP_CODERS.values()).index(algorithm) + 1

    def encode(self, array: Array) -> Array:
        plain = bytes(array.data.tolist())
        return told(len(plain).to_bytes(8, "little") + zlib.compress(plain, self.level))

    def get_uncomp_buffer_size(self, array: Array) -> int:
        return int.from_bytes(bytes(array.data[:8].tolist()), "little")

    def decode(self, array: Array) -> Array:
        data = bytes(array.data.tolist())
        if data[8:] == b"raises":
            raise RuntimeError("nvCOMP: status 12")
        return told(zlib.decompress(data[8:]))  # zlib.error: damaged data got this far


def told(data: bytes) -> Array:
    return Array(torch.tensor(list(data), dtype=torch.uint8))


def install(monkeypatch: pytest.MonkeyPatch) -> None:
    package, module = ModuleType("nvidia"), ModuleType("nvidia.nvcomp")
    vars(package)["nvcomp"] = module
    vars(module).update(Codec=Codec, as_array=lambda data, cuda_stream: Array(data))
    monkeypatch.setitem(sys.modules, "nvidia", package)
    monkeypatch.setitem(sys.modules, "nvidia.nvcomp", module)
    stream = SimpleNamespace(cuda_stream=0)
    monkeypatch.setattr(torch.cuda, "current_stream", lambda device: stream)
    monkeypatch.setattr(torch.cuda, "device", nullcontext)


@pytest.fixture
def stand_in(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    monkeypatch.setattr(nvcomp, "_device", lambda device: device)


def rows(count: int, width: int, dtype: torch.dtype = torch.float32) -> torch.Tensor:
    """All different but for the first, which comes often."""
    some = torch.randn(count, width, generator=torch.Generator().manual_seed(count))
    some[::3] = some[0]
    return some.to(dtype)


def there_and_back(tensor: torch.Tensor, coding: Coding) -> tuple[torch.Tensor, int, int]:
    """What arrives, as what kind, in how many bytes."""
    message = pack([tensor], coding)
    shape = tuple(tensor.shape)
    assert len(message) <= largest_message([shape], tensor.dtype)
    (found,) = unpack(message, [shape], tensor.dtype)
    assert (found.shape, found.dtype) == (tensor.shape, tensor.dtype)
    return found, int(message[0]), len(message)


def exactly(a: torch.Tensor, b: torch.Tensor) -> bool:
    return torch.equal(a.reshape(-1).view(torch.uint8), b.reshape(-1).view(torch.uint8))


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("dtype", DTYPES, ids=str)
@pytest.mark.parametrize("entropy", NVCOMP_CODERS)
def test_within_the_bound(entropy: str, dtype: torch.dtype) -> None:
    tensor = rows(300, 8, dtype)
    for coding in (Coding(0.02, "abs", entropy), Coding(0.003, "rel", entropy)):
        found, kind, size = there_and_back(tensor, coding)
        bound = 0.02
        if coding.mode == "rel":
            bound = 0.003 * (tensor.max().double() - tensor.min().double()).item()
        assert kind == 2
        assert size < tensor.nbytes
        assert 0 < (found.double() - tensor.double()).abs().max() <= bound


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("dtype", DTYPES[1:], ids=str)
def test_simulations_show_what_arrives(dtype: torch.dtype) -> None:
    tensor = rows(3000, 8, dtype)
    tensor[5] = torch.inf
    found, kind, _ = there_and_back(tensor, Coding(0.05, entropy="nvcomp-ans"))
    assert kind == 2
    assert exactly(found, quantise_dequantise(tensor, 0.05))


@pytest.mark.usefixtures("stand_in")
def test_what_has_no_code_arrives_as_it_was() -> None:
    tensor = rows(300, 8)
    special = torch.tensor(
        [0x7F800001, -0x3EDDBB, 0x7FC00000, 0x7F800000, -0x800000, 0x7F7FFFFF, 1, -(2**31)],
        dtype=torch.int32,
    ).view(torch.float32)
    tensor[17], tensor[20:22] = special, special
    found, kind, _ = there_and_back(tensor, Coding(0.01, "abs", "nvcomp-zstd"))
    assert kind == 2
    assert exactly(found[17, :6], special[:6])
    assert exactly(found[20:22, :6], tensor[20:22, :6])
    near = tensor.isfinite() & (tensor.abs() < 1e30)
    assert (found[near] - tensor[near]).abs().max() <= 0.01


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    "tensor",
    [
        torch.zeros(50, 8),
        torch.full((50, 8), math.nan, dtype=torch.bfloat16),
        torch.full((1000,), 3.0, dtype=torch.float64),
        torch.full((1000, 1), 3.0, dtype=torch.float16),
    ],
)
def test_without_a_range_all_is_exact_and_small(tensor: torch.Tensor) -> None:
    found, kind, size = there_and_back(tensor, Coding(0.1, entropy="nvcomp-ans"))
    assert exactly(found, tensor)
    assert kind == 2
    assert size < 250


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("shape", [(), (3,), (0, 8), (8, 0), (1, 1), (2, 3, 4)])
def test_small_tensors_go_as_they_are(shape: tuple[int, ...]) -> None:
    tensor = torch.randn(shape, generator=torch.Generator().manual_seed(1))
    found, kind, _ = there_and_back(tensor, Coding(1e-3, entropy="nvcomp-ans"))
    assert exactly(found, tensor)
    assert kind == 0


@pytest.mark.usefixtures("stand_in")
def test_rows_that_come_again() -> None:
    once = torch.randn(200, 16, generator=torch.Generator().manual_seed(2))
    generator = torch.Generator().manual_seed(3)
    often = once[torch.randint(200, (4000,), generator=generator)]
    sizes = [there_and_back(x, Coding(1e-3, entropy="nvcomp-ans"))[2] for x in (once, often)]
    assert sizes[1] < sizes[0] + 1.1 * len(often)  # a byte for each, instead of its row


@pytest.mark.usefixtures("stand_in")
def test_rows_that_a_hash_cannot_tell_apart(monkeypatch: pytest.MonkeyPatch) -> None:
    tensor = torch.arange(8.0).repeat(60, 1)
    tensor[30:] = tensor[30:].flip(1)
    weights = nvcomp._weights

    def alike(count: int, device: torch.device) -> torch.Tensor:  # for rows, not for checksums
        return weights(count, device) * 0 + 1 if count == 8 else weights(count, device)

    monkeypatch.setattr(nvcomp, "_weights", alike)
    found, _, _ = there_and_back(tensor, Coding(0.1, "abs", "nvcomp-ans"))
    assert (found - tensor).abs().max() <= 0.1


# --- damage --------------------------------------------------------------------------

CODING = Coding(0.01, "abs", "nvcomp-lz4")


@pytest.mark.usefixtures("stand_in")
@settings(suppress_health_check=[HealthCheck.function_scoped_fixture])
@given(st.data())
def test_nothing_damaged_gets_to_nvcomp(data: st.DataObject) -> None:
    """Whatever is changed or cut off is an error of the peer."""
    message = pack([rows(60, 8)], CODING)
    places = data.draw(st.lists(st.integers(0, len(message) - 1), max_size=3, unique=True))
    for place in places:
        message[place] ^= 1 << data.draw(st.integers(0, 7))
    end = data.draw(st.integers(0, len(message)) | st.just(len(message)))
    if places or end < len(message):
        with pytest.raises(PeerError):
            unpack(message[:end], [(60, 8)], torch.float32)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("shape", "dtype"),
    [
        ((59, 8), torch.float32),
        ((61, 8), torch.float32),
        ((60, 7), torch.float32),
        ((60, 8), torch.float64),
        ((60, 16), torch.float16),
        ((60, 8), torch.int32),
        ((0, 8), torch.float32),
    ],
)
def test_other_tensors(shape: tuple[int, ...], dtype: torch.dtype) -> None:
    reason = "tensor 0: " if dtype == torch.float32 else "tensors of another type"
    with pytest.raises(PeerError, match=reason):
        unpack(pack([rows(60, 8)], CODING), [shape], dtype)


def forged(body: torch.Tensor, **changes: float) -> torch.Tensor:
    """With other values in its head, and a checksum that is right."""
    checked = body[HEAD_AT:].clone()
    size = nvcomp._HEAD.size
    head = nvcomp._Head(*nvcomp._HEAD.unpack(bytes(checked[:size].tolist())))
    packed = nvcomp._HEAD.pack(*head._replace(**changes))
    checked[:size] = torch.tensor(list(packed), dtype=torch.uint8)
    return torch.cat([nvcomp._checksum(checked), checked])


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize(
    ("key", "values"),
    [
        ("coder", [4, 255]),
        ("kind", [1, 3, 4]),
        ("size", [0, 1, 3, 4, 8]),
        ("index_size", [0, 2, 3, 8]),
        ("step", [math.nan, math.inf, -1.0, 0.0]),
        ("unique", [0, 30, 61, 2**63]),
        ("exceptions", [1, 481, 2**63]),
    ],
)
def test_heads_that_cannot_be(key: str, values: list[float]) -> None:
    body = nvcomp.encode(rows(60, 8), 0, 0.01, "abs", "nvcomp-lz4")
    nvcomp.decode(forged(body), (60, 8), torch.float32, 0)
    for value in values:
        with pytest.raises(PeerError):
            nvcomp.decode(forged(body, **{key: value}), (60, 8), torch.float32, 0)


@pytest.mark.usefixtures("stand_in")
@pytest.mark.parametrize("place", [-1, 480])
def test_places_that_do_not_exist(place: int, monkeypatch: pytest.MonkeyPatch) -> None:
    quantise = nvcomp.quantise

    def elsewhere(*arguments: Any) -> Quantised:
        found = quantise(*arguments)
        one = torch.tensor([place]), torch.tensor([0], dtype=torch.int32)
        return Quantised(found.numbers, found.step, found.origin, *one)

    monkeypatch.setattr(nvcomp, "quantise", elsewhere)
    body = nvcomp.encode(rows(60, 8), 0, 0.01, "abs", "nvcomp-lz4")
    with pytest.raises(PeerError, match="behind the end"):
        nvcomp.decode(body, (60, 8), torch.float32, 0)


@pytest.mark.usefixtures("stand_in")
def test_rows_that_do_not_exist(monkeypatch: pytest.MonkeyPatch) -> None:
    join = nvcomp._join
    monkeypatch.setattr(nvcomp, "_join", lambda rows: (join(rows)[0], join(rows)[1] + 1))
    body = nvcomp.encode(rows(60, 8), 0, 0.01, "abs", "nvcomp-lz4")
    with pytest.raises(PeerError, match="behind the end"):
        nvcomp.decode(body, (60, 8), torch.float32, 0)


@pytest.mark.usefixtures("stand_in")
def test_what_nvcomp_says_of_its_data(monkeypatch: pytest.MonkeyPatch) -> None:
    def fails(codec: Codec, array: Array) -> Array:
        return told(len(array.data).to_bytes(8, "little") + b"raises")

    monkeypatch.setattr(Codec, "encode", fails)
    body = nvcomp.encode(rows(60, 8), 0, 0.01, "abs", "nvcomp-lz4")
    with pytest.raises(PeerError, match="cannot decode it: nvCOMP: status 12"):
        nvcomp.decode(body, (60, 8), torch.float32, 0)


# --- what may be missing -------------------------------------------------------------


def test_without_the_extra(monkeypatch: pytest.MonkeyPatch) -> None:
    with monkeypatch.context() as other_rank:
        install(other_rank)
        other_rank.setattr(nvcomp, "_device", lambda device: device)
        message = pack([rows(60, 8)], CODING)
    monkeypatch.setitem(sys.modules, "nvidia", None)
    with pytest.raises(UsageError, match=r"pip install 'nncomp\[nvcomp\]'"):
        pack([rows(60, 8)], CODING)
    with pytest.raises(PeerError, match=r"tensor 0: nvCOMP is not installed: pip install"):
        unpack(message, [(60, 8)], torch.float32)


def test_without_a_device(monkeypatch: pytest.MonkeyPatch) -> None:
    install(monkeypatch)
    monkeypatch.setattr(torch.cuda, "is_available", lambda: False)
    with pytest.raises(DeviceError, match="choose another entropy coder"):
        pack([rows(60, 8)], CODING)


def test_names_of_coders() -> None:
    with pytest.raises(UsageError, match="nvcomp-ans, nvcomp-cascaded, nvcomp-lz4, nvcomp-zstd"):
        Coding(0.1, entropy="nvcomp")
    assert Coding(0.1, entropy="nvcomp-ans").scaled(2).entropy == "nvcomp-ans"


def test_names_that_nvcomp_knows() -> None:
    """It looks at them before it looks for a device."""
    library = pytest.importorskip("nvidia.nvcomp", reason="nvCOMP is not installed")
    with pytest.raises(ValueError, match="Unknown algorithm"):
        library.Codec(algorithm="another", device_id=0, cuda_stream=1)
    for name in NVCOMP_CODERS.values():
        with suppress(RuntimeError):  # of CUDA, where there is no device
            library.Codec(algorithm=name, device_id=0, cuda_stream=1)
    assert hasattr(library.Codec, "get_uncomp_buffer_size")
