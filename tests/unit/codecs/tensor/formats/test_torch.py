"""Files as PyTorch writes them, and hand-made ones with what it would never write."""

from __future__ import annotations

import collections
import io
import warnings
import zipfile

import pytest
import torch

from nncomp.codecs.tensor.dtypes import BYTES, DTYPES
from nncomp.codecs.tensor.formats import directory
from nncomp.codecs.tensor.formats.base import Segment
from nncomp.errors import TensorFileError

TYPES = {
    **{getattr(torch, f"int{8 * n}"): f"I{8 * n}" for n in (1, 2, 4, 8)},
    **{getattr(torch, f"uint{8 * n}"): f"U{8 * n}" for n in (1, 2, 4, 8)},
    torch.float64: "F64",
    torch.float32: "F32",
    torch.float16: "F16",
    torch.bfloat16: "BF16",
    torch.bool: "BOOL",
    torch.complex64: "C64",
    torch.complex128: "C128",
    torch.float8_e4m3fn: "F8_E4M3",
    torch.float8_e5m2: "F8_E5M2",
    torch.float8_e4m3fnuz: "F8_E4M3FNUZ",
    torch.float8_e5m2fnuz: "F8_E5M2FNUZ",
}


def saved(value: object, protocol: int = 2) -> bytes:
    buffer = io.BytesIO()
    torch.save(value, buffer, pickle_protocol=protocol)
    return buffer.getvalue()


def content(tensor: torch.Tensor) -> bytes:
    return tensor.detach().contiguous().flatten().view(torch.uint8).numpy().tobytes()


@pytest.mark.parametrize("protocol", [2, 3, 4, 5])
def test_every_type_with_every_protocol(protocol, walk, tensors):
    state = collections.OrderedDict(
        (name, torch.arange(12).reshape(3, 4).to(dtype)) for dtype, name in TYPES.items()
    )
    data = saved(state, protocol)
    found = tensors(data)
    assert [tensor.name for tensor in found] == list(TYPES.values())
    for tensor in found:
        assert tensor.dtype is DTYPES[tensor.name]
        assert tensor.shape == (3, 4)
        assert data[tensor.start : tensor.stop] == content(state[tensor.name])
    named = [segment.name for _, segment in walk(data) if segment.dtype is not BYTES]
    assert named == list(TYPES.values())
    assert walk(data)[-1][1] == Segment(None, BYTES)


def test_nested_values_have_dotted_names(tensors):
    value = {
        "model": torch.nn.Linear(2, 3).state_dict(),
        "optimizer": {"state": {0: {"exp_avg": torch.zeros(2), "step": 7}}},
        "list": [1, (torch.ones(1), "text", b"bytes", 1.5, None, True, 1 << 70)],
        "set": {1, 2},
    }
    names = [tensor.name for tensor in tensors(saved(value))]
    assert names == ["model.weight", "model.bias", "optimizer.state.0.exp_avg", "list.1.0"]


def test_whole_modules(tensors):
    module = torch.nn.Sequential(torch.nn.Linear(2, 3), torch.nn.BatchNorm1d(3))
    names = [tensor.name for tensor in tensors(saved(module))]
    assert len(names) == len(module.state_dict())
    assert "_modules.0._parameters.weight" in names


def test_one_tensor_alone(tensors):
    (tensor,) = tensors(saved(torch.ones(2, 2)))
    assert (tensor.name, tensor.shape) == ("", (2, 2))


def test_views_share_the_bytes_of_their_storage(walk, tensors):
    base = torch.arange(24.0).reshape(4, 6)
    value = {
        "all": base,
        "turned": base.t(),
        "rows": base[1:3],
        "column": base[:, 2],
        "wide": base[0, :1].expand(5, 7),
        "none": base[4:],
    }
    data = saved(value)
    found = {tensor.name: tensor for tensor in directory(io.BytesIO(data))}
    start = found["all"].start
    ranges = {name: (t.start - start, t.stop - start, t.strides) for name, t in found.items()}
    assert ranges == {
        "all": (0, 96, None),
        "turned": (0, 96, (1, 6)),
        "rows": (24, 72, None),
        "column": (8, 84, (6,)),
        "wide": (0, 4, (0, 0)),
        "none": (96, 96, None),
    }
    assert found["wide"].shape == (5, 7)
    assert (start, Segment(96, DTYPES["F32"], "all", (4, 6))) in walk(data)


def test_storages_without_a_tensor_that_is_all_of_them(walk):
    base = torch.zeros(10)
    data = saved({"a": base[:4], "b": base[4:]})
    segment = next(segment for _, segment in walk(data) if segment.dtype is DTYPES["F32"])
    assert segment == Segment(40, DTYPES["F32"], "archive/data/0")


def test_tied_weights_have_the_first_name(walk, tensors):
    weight = torch.zeros(4, 2)
    data = saved({"embed": weight, "head": weight})
    assert [tensor.name for tensor in tensors(data)] == ["embed", "head"]
    assert "embed" in [segment.name for _, segment in walk(data)]


def test_tensors_of_subclasses_and_parameters_with_attributes(tensors):
    parameter = torch.nn.Parameter(torch.ones(2))
    parameter.note = "kept by _rebuild_parameter_with_state"
    buffer = torch.nn.Buffer(torch.ones(3))
    names = {tensor.name: tensor.shape for tensor in tensors(saved({"p": parameter, "b": buffer}))}
    assert names == {"p": (2,), "b": (3,)}


def test_quantised_tensors_are_integers_to_the_encoder_and_not_listed(walk, tensors):
    with pytest.warns(UserWarning, match="quantized"):
        quantised = torch.quantize_per_tensor(torch.ones(5000), 0.1, 0, torch.qint8)
    data = saved({"q": quantised, "x": torch.ones(2)})
    assert [tensor.name for tensor in tensors(data)] == ["x"]
    assert any(s.dtype is DTYPES["I8"] and s.size == 5000 for _, s in walk(data))


def test_conjugates_are_refused():
    data = saved({"c": torch.ones(2, dtype=torch.complex64).conj()})
    with pytest.raises(TensorFileError, match="pending"):
        directory(io.BytesIO(data))


def test_files_before_1_6_are_unknown(walk):
    buffer = io.BytesIO()
    torch.save({"a": torch.ones(2)}, buffer, _use_new_zipfile_serialization=False)
    assert walk(buffer.getvalue()) == [(0, Segment(None, None))]
    with pytest.raises(TensorFileError, match="no safetensors"):
        directory(buffer)


def test_scripts(walk, tensors):
    """TorchScript has its pickle behind the storages; it is found all the same."""
    buffer = io.BytesIO()
    with warnings.catch_warnings():
        warnings.simplefilter("ignore", DeprecationWarning)  # TorchScript as a whole
        torch.jit.save(torch.jit.script(torch.nn.Linear(40, 30)), buffer)
    found = {tensor.name: tensor.shape for tensor in tensors(buffer.getvalue())}
    assert found == {"weight": (30, 40), "bias": (30,)}
    assert walk(buffer.getvalue())[-1][1] == Segment(None, BYTES)


def test_every_truncation(walk):
    data = saved({"a": torch.ones(3)})
    for stop in range(len(data)):
        walk(data[:stop])
        with pytest.raises(TensorFileError):
            directory(io.BytesIO(data[:stop]))


def test_nothing_is_executed(tmp_path, walk):
    class Evil:
        def __reduce__(self) -> tuple[object, ...]:
            return (tmp_path.joinpath("evil").touch, ())

    data = saved({"a": torch.ones(3), "b": Evil()})
    walk(data)
    assert [tensor.name for tensor in directory(io.BytesIO(data))] == ["a"]
    assert not tmp_path.joinpath("evil").exists()


def test_compressed_storages(walk):
    plain = zipfile.ZipFile(io.BytesIO(saved({"a": torch.ones(3)})))
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w", zipfile.ZIP_DEFLATED) as packed:
        for name in plain.namelist():
            method = zipfile.ZIP_STORED if name.endswith(".pkl") else zipfile.ZIP_DEFLATED
            packed.writestr(name, plain.read(name), method)
    assert {segment.dtype for _, segment in walk(buffer.getvalue())} == {BYTES}
    with pytest.raises(TensorFileError, match="'archive/data/0' is compressed"):
        directory(buffer)
