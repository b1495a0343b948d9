"""What tensors take in an archive."""

from __future__ import annotations

import io
import json
from typing import TYPE_CHECKING

import numpy as np
import pytest
import torch

import nncomp
from nncomp.api.base import open_base
from nncomp.codecs.base import Context
from nncomp.container.reader import StreamInput, read_members
from nncomp.container.seeking import SeekableArchive
from nncomp.errors import CorruptError, FormatError, NncompError
from nncomp.tensors.listing import ListedTensor, TensorListing, list_tensors

if TYPE_CHECKING:
    from collections.abc import Mapping

    from nncomp.codecs.base import Base

Arrays = dict[str, "np.ndarray"]
TYPES = {"float32": "F32", "float16": "F16", "int64": "I64", "uint8": "U8"}


def safetensors(arrays: Mapping[str, np.ndarray]) -> bytes:
    entries, start = {}, 0
    for name, array in arrays.items():
        stop = start + array.nbytes
        dtype = TYPES[array.dtype.name]
        entries[name] = {"dtype": dtype, "shape": array.shape, "data_offsets": [start, stop]}
        start = stop
    header = json.dumps(entries).encode()
    content = b"".join(array.tobytes() for array in arrays.values())
    return len(header).to_bytes(8, "little") + header + content


def model(seed: int = 1) -> Arrays:
    """Tensors smaller and larger than a record of 64 KiB, and some that are next to nothing."""
    random = np.random.default_rng(seed)
    return {
        "embedding": random.normal(0, 0.02, (300, 500)).astype(np.float32),
        "scale": np.float32([2]),
        "none": np.zeros((0, 4), np.int64),
        "scalar": np.array(7, np.int64),
        "bias": np.zeros(9000, np.float16),
        "noise": random.integers(256, size=200_000, dtype=np.uint8),
    }


def listing(archive: bytes, base: Base | None = None) -> TensorListing:
    (only,) = list_tensors(io.BytesIO(archive), base)
    return only


def tensors(archive: bytes) -> dict[str, ListedTensor]:
    found = listing(archive).tensors
    assert found is not None
    return {tensor.name: tensor for tensor in found}


def compress(content: bytes, settings: str = "block=64K", base: object = None) -> bytes:
    return nncomp.compress(content, f"zipnn:{settings}", base=base)


def base_of(content: bytes) -> Base:
    base = open_base(content, Context())
    assert base is not None
    return base


def test_everything_is_accounted_for() -> None:
    arrays = model()
    archive = compress(safetensors(arrays))
    found = tensors(archive)
    assert list(found) == list(arrays)
    for name, array in arrays.items():
        tensor = found[name]
        assert (tensor.dtype, tensor.shape) == (TYPES[array.dtype.name], array.shape)
        assert tensor.raw_size == array.nbytes
        assert sum(tensor.planes.values()) <= tensor.coded_size
        assert tensor.lossy is None
        assert tensor.delta == 0
        if array.size:
            assert tensor.bits_per_weight == pytest.approx(8 * tensor.coded_size / array.size)
    assert found["none"].bits_per_weight is None
    assert found["none"].coded_size == 0
    # What is left are the headers of the archive and of the file.
    left = len(archive) - sum(tensor.coded_size for tensor in found.values())
    assert 0 < left < 700


def test_methods() -> None:
    found = tensors(compress(safetensors(model())))
    assert 26 < found["embedding"].bits_per_weight < 27
    assert found["embedding"].planes["raw"] == pytest.approx(0.75 * 600_000, abs=100)
    assert set(found["bias"].planes) == {"zeros"}
    assert 8 < found["noise"].bits_per_weight < 8.01
    assert found["noise"].planes["stored"] > 130_000  # whole records of it


def test_tensors_within_one_segment_share_its_cost() -> None:
    random = np.random.default_rng(2)
    weights = random.normal(size=(4, 10_000)).astype(np.float32)
    content = safetensors({str(number): row for number, row in enumerate(weights)})
    found = tensors(compress(content, "dtype=bytes,block=1M"))  # as if it knew no format
    (first, *rest) = [tensor.bits_per_weight for tensor in found.values()]
    assert rest == pytest.approx([first] * 3)
    assert 28 < first < 32


def test_other_formats() -> None:
    file = io.BytesIO()
    weight = torch.randn(200, 300)
    torch.save({"a": weight, "tied": weight, "row": weight[3], "b": torch.ones(9)}, file)
    found = tensors(compress(file.getvalue()))
    assert {name: tensor.shape for name, tensor in found.items()} == {
        "a": (200, 300),
        "tied": (200, 300),
        "row": (300,),
        "b": (9,),
    }
    assert found["a"].coded_size == found["tied"].coded_size
    file = io.BytesIO()
    np.savez(file, x=np.arange(50_000), y=np.zeros(100_000))
    assert set(tensors(compress(file.getvalue()))) == {"x", "y"}
    file = io.BytesIO()
    np.save(file, np.arange(50_000))
    assert tensors(compress(file.getvalue()))[""].shape == (50_000,)


def test_content_of_no_format() -> None:
    archive = compress(np.random.default_rng(1).normal(size=40_000).astype(np.float32).tobytes())
    assert listing(archive) == TensorListing()
    assert listing(compress(b"text " * 999)) == TensorListing()
    lying = safetensors(model())[:-1]
    assert listing(compress(lying)) == TensorListing()
    assert nncomp.decompress(compress(lying)) == lying


def test_members_of_all_kinds() -> None:
    content = safetensors(model())
    zstd = nncomp.compress(content, "zstd")
    members = [compress(content), zstd, nncomp.compress(b""), compress(content, "abs=0.1")]
    file = io.BytesIO(b"something before" + b"".join(members))
    file.seek(16)
    first, second, third, fourth = list_tensors(file)
    assert first == listing(members[0])
    assert second == third == TensorListing()
    assert fourth == listing(members[3])


def test_losses_are_marked() -> None:
    archive = compress(safetensors(model()), "abs=0.001")
    assert listing(archive).lossy == "abs<=0.001"
    found = tensors(archive)
    marked = {name for name, tensor in found.items() if tensor.lossy == "abs<=0.001"}
    assert marked == {"embedding", "scale", "bias"}


# --- differences


def test_differences() -> None:
    old = model()
    new = {**old, "added": np.arange(20_000)}
    new["embedding"] = old["embedding"].copy()
    new["embedding"][5] += np.float32(1e-3)
    archive = compress(safetensors(new), base=safetensors(old))
    found = listing(archive, base_of(safetensors(old)))
    assert found.base == base_of(safetensors(old)).digest
    delta = {tensor.name: tensor.delta for tensor in found.tensors or []}
    assert delta["embedding"] == delta["noise"] == 1
    assert delta["added"] == 0


def test_directory_that_is_a_difference() -> None:
    old, new = safetensors(model()), bytearray(safetensors(model()))
    new[-5:] = b"other"
    archive = compress(bytes(new), "dtype=i64,block=64K", base=old)
    right, wrong = base_of(old), base_of(bytes(new))
    found = listing(archive, right)
    assert [tensor.name for tensor in found.tensors or []] == list(model())
    assert found.reason is None
    for base in (None, wrong):
        found = listing(archive, base)
        assert (found.tensors, found.base) == (None, right.digest)
        assert f"with XXH3-64 {right.digest}: give that file with --base" in str(found.reason)


# --- bad input


def test_damage_is_found_or_does_not_matter() -> None:
    random = np.random.default_rng(4)
    arrays = model()
    archive = compress(safetensors(arrays))
    whole = listing(archive)
    damaged_records = 0
    for _ in range(300):
        damaged = bytearray(archive)
        damaged[random.integers(len(archive))] ^= 1 << random.integers(8)
        try:
            found = listing(bytes(damaged))
        except FormatError as error:
            damaged_records += isinstance(error, CorruptError) and error.offset is not None
        except NncompError:  # a version of format or codec that does not exist
            pass
        else:
            if found.tensors is not None and whole.tensors is not None:
                assert len(found.tensors) == len(whole.tensors)
    assert damaged_records


def test_damage_to_a_payload_names_the_record() -> None:
    archive = bytearray(compress(safetensors(model()), "block=1M"))
    (member,) = SeekableArchive(io.BytesIO(archive)).members()
    (record,) = next(read_members(StreamInput(io.BytesIO(archive)))).records(1 << 20)
    assert record.payload is not None
    archive[record.offset + record.disk_size - len(record.payload)] ^= 0x7F
    with pytest.raises(CorruptError) as caught:
        listing(bytes(archive))
    assert caught.value.offset == record.offset == member.header_size


def test_truncation() -> None:
    archive = compress(safetensors(model()))
    for length in range(0, len(archive), 997):
        with pytest.raises(FormatError):
            listing(archive[:length])
