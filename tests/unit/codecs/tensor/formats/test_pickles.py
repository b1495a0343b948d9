"""PyTorch files with pickles that PyTorch would never write."""

from __future__ import annotations

import io
import struct

import pytest

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats import directory
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.codecs.tensor.formats.torch_pickle import load, named_tensors
from nncomp.errors import TensorFileError


@pytest.fixture
def file_of(pickle_of, zip_file):
    """A PyTorch file of a root value, with one storage of 12 floats."""

    def build(root: bytes, **more: bytes) -> bytes:
        entries = {"x/data.pkl": pickle_of.end(root), "x/data/0": bytes(48)}
        return zip_file({**entries, **{f"x/{name}": data for name, data in more.items()}})

    return build


@pytest.fixture
def refuse(file_of, walk):
    def check(root: bytes, reason: str) -> None:
        data = file_of(root)
        sizes = [segment.size for _, segment in walk(data)]
        assert sizes[3] == 48
        with pytest.raises(TensorFileError, match=reason):
            directory(io.BytesIO(data))

    return check


def test_the_file_that_all_of_these_begin_with(file_of, pickle_of, tensors):
    root = pickle_of.dict_({"w": pickle_of.tensor(pickle_of.storage("0", 12), (3, 4), (4, 1))})
    (tensor,) = tensors(file_of(root))
    assert (tensor.name, tensor.shape, tensor.stop - tensor.start) == ("w", (3, 4), 48)


@pytest.mark.parametrize(
    ("shape", "strides", "offset"),
    [
        ((13,), (1,), 0),
        ((3, 4), (4, 1), 1),
        ((3, 4), (5, 1), 0),
        ((2,), (1 << 62,), 0),
        ((1,), (1,), 1 << 62),
        ((0,), (1,), 13),
    ],
)
def test_tensors_larger_than_their_storage(shape, strides, offset, pickle_of, refuse):
    tensor = pickle_of.tensor(pickle_of.storage("0", 12), shape, strides, offset)
    refuse(pickle_of.dict_({"w": tensor}), "'w' is larger than its data")


@pytest.mark.parametrize("elements", [11, 13, 1 << 60])
def test_storages_of_another_size_than_their_entry(elements, pickle_of, refuse):
    tensor = pickle_of.tensor(pickle_of.storage("0", elements), (3,), (1,))
    refuse(pickle_of.dict_({"w": tensor}), "larger than its data")


def test_storages_that_are_not_there(pickle_of, refuse):
    tensor = pickle_of.tensor(pickle_of.storage("../0", 12), (3,), (1,))
    refuse(pickle_of.dict_({"w": tensor}), "'w' has no data")


def test_two_tensors_of_one_name(pickle_of, refuse):
    tensor = pickle_of.tensor(pickle_of.storage("0", 12), (3,), (1,))
    refuse(
        pickle_of.dict_({"a.b": tensor, "a": pickle_of.dict_({"b": tensor})}),
        "two tensors have the name 'a.b'",
    )


def test_types_that_are_known_to_no_reader(pickle_of, refuse):
    tensor = pickle_of.tensor(pickle_of.storage("0", 12, "torch.NewStorage"), (3,), (1,))
    refuse(pickle_of.dict_({"w": tensor}), "unknown element type 'NewStorage'")


@pytest.mark.parametrize(
    ("shape", "strides", "reason"),
    [
        ((3, 4), (1,), "damaged"),
        ((-1,), (1,), "integer"),
        ((1 << 64,), (1,), "integer"),
        ((1,) * 65, (1,) * 65, "damaged"),
        ((1 << 40, 1 << 40), (0, 0), "elements"),
        ((3,), (-1,), "integer"),
    ],
)
def test_shapes_that_no_tensor_has(shape, strides, reason, pickle_of, refuse):
    tensor = pickle_of.tensor(pickle_of.storage("0", 12), shape, strides)
    refuse(pickle_of.dict_({"w": tensor}), reason)


def test_big_endian_files(file_of, pickle_of, walk, zip_file):
    root = pickle_of.dict_({"w": pickle_of.tensor(pickle_of.storage("0", 12), (3, 4), (4, 1))})
    entries = {"x/data.pkl": pickle_of.end(root), "x/byteorder": b"big", "x/data/0": bytes(48)}
    data = zip_file(entries)
    assert Segment(48, None, "w", (3, 4)) in [segment for _, segment in walk(data)]
    with pytest.raises(TensorFileError, match="big-endian"):
        directory(io.BytesIO(data))


def test_the_stream_believes_the_pickle_only_where_the_header_agrees(file_of, pickle_of, walk):
    root = pickle_of.dict_({"w": pickle_of.tensor(pickle_of.storage("0", 99), (99,), (1,))})
    placed = [segment for _, segment in walk(file_of(root))]
    assert placed[3] == Segment(48, BYTES)


@pytest.mark.parametrize(
    ("operations", "reason"),
    [
        (b"", "unknown"),
        (b"\xff.", "unknown"),
        (b".", "damaged"),
        (b"t.", "damaged"),
        (b"(", "unknown"),
        (b"h\x05.", "damaged"),
        (b"q\x05.", "damaged"),
        (b"a.", "damaged"),
        (b"NNs.", "damaged"),
        (b"}(Nu.", "damaged"),
        (b"NNNa.", "damaged"),
        (b"X\xff\xff\xff\xff.", "damaged"),
        (b"\x8d" + b"\xff" * 8 + b".", "damaged"),
        (b"\x8b\xff\xff\xff\xff.", "damaged"),
        (b"X\x02\x00\x00\x00\xff\xff.", "damaged"),
        (b"cos\nsystem", "damaged"),
        (b"NN\x93.", "damaged"),
        (b"NQ.", "damaged"),
        (b"(NNNNNtQ.", "damaged"),
        (b"ios\nsystem\n.", "INST"),
        (b"I1\n.", "INT"),
        (b"P0\n.", "PERSID"),
        (b"\x82\x01.", "EXT1"),
    ],
)
def test_damaged_pickles(operations, reason):
    with pytest.raises(TensorFileError, match=reason):
        load(operations)


@pytest.mark.parametrize("name", ["_rebuild_tensor_v2", "_rebuild_tensor_v3"])
@pytest.mark.parametrize("arguments", [[], [b"N"], [b"N"] * 7, [b")"] * 7])
def test_calls_of_known_functions_with_wrong_arguments(name, arguments, pickle_of):
    with pytest.raises(TensorFileError, match="damaged"):
        load(pickle_of.end(pickle_of.call(f"torch._utils.{name}", *arguments)))


def test_too_many_operations():
    with pytest.raises(TensorFileError, match="more than 1048576 operations"):
        load(b"N0" * (1 << 20) + b"N.")


def test_values_shared_many_times_over(pickle_of):
    """Forty lists of two, each twice the one before: 2**40 ways to one tensor."""
    value = pickle_of.tensor(pickle_of.storage("0", 1), (1,), (1,)) + b"q\x00"
    levels = b"".join(
        b"](h" + bytes([level]) + b"h" + bytes([level]) + b"eq" + bytes([level + 1])
        for level in range(40)
    )
    root, _ = load(value + levels + b".")
    with pytest.raises(TensorFileError, match="names of tensors take more"):
        list(named_tensors(root))


def test_long_lists_shared_many_times_over():
    elements = b"](" + b"N" * 1000 + b"eq\x00"
    root, _ = load(elements + b"](" + b"h\x00" * 100_000 + b"e.")
    with pytest.raises(TensorFileError, match="names of tensors take more"):
        list(named_tensors(root))


def test_values_that_contain_themselves(pickle_of):
    tensor = pickle_of.tensor(pickle_of.storage("0", 1), (1,), (1,))
    root, _ = load(b"]q\x00(h\x00" + tensor + b"e.")
    assert [name for name, _ in named_tensors(root)] == ["1"]


@pytest.mark.parametrize("levels", [60, 70, 100_000])
def test_deep_values(levels, pickle_of):
    tensor = pickle_of.tensor(pickle_of.storage("0", 1), (1,), (1,))
    root, _ = load(b"](" * levels + tensor + b"e" * levels + b".")
    if levels < 64:
        assert len(list(named_tensors(root))) == 1
    else:
        with pytest.raises(TensorFileError, match="deeper than 64 levels"):
            list(named_tensors(root))


def test_keys_of_any_kind_make_names(pickle_of):
    tensor = pickle_of.tensor(pickle_of.storage("0", 1), (1,), (1,))
    huge = b"\x8b" + struct.pack("<I", 5000) + b"\x7f" * 5000
    keys = [pickle_of.integer(-3), b"N", b"\x88", huge, b")"]
    for key, name in zip(keys, ["-3", "?", "?", "?", "?"], strict=True):
        root, _ = load(b"}" + key + tensor + b"s.")
        assert [found for found, _ in named_tensors(root)] == [name]


def test_storages_of_several_types_have_none(pickle_of, file_of, walk):
    storage = pickle_of.storage("0", 48, "torch.storage.UntypedStorage")

    def typed(dtype: str) -> bytes:
        numbers = pickle_of.tuple_(pickle_of.integer(2)), pickle_of.tuple_(pickle_of.integer(1))
        return pickle_of.call(
            "torch._utils._rebuild_tensor_v3",
            *(storage, pickle_of.integer(0), *numbers, b"\x89", b"N"),
            pickle_of.name(f"torch.{dtype}"),
        )

    one = file_of(pickle_of.dict_({"a": typed("uint16")}))
    assert Segment(48, DTYPES["U16"], "x/data/0") in [segment for _, segment in walk(one)]
    two = file_of(pickle_of.dict_({"a": typed("uint16"), "b": typed("uint32")}))
    assert Segment(48, None, "x/data/0") in [segment for _, segment in walk(two)]
