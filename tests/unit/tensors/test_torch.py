"""PyTorch tensors: in files, in memory, and as safetensors and transformers have them."""

import warnings
from pathlib import Path

import numpy as np
import pytest
import safetensors.torch
import torch

import nncomp
import nncomp.tensors
import nncomp.tensors.torch
from nncomp.errors import DeviceError, TensorFileError, UsageError
from nncomp.tensors import compress_tensor, decompress_tensor

torch.manual_seed(7)
DTYPES = [
    *(torch.bool, torch.uint8, torch.int8, torch.uint16, torch.int16, torch.uint32, torch.int32),
    *(torch.uint64, torch.int64, torch.float16, torch.bfloat16, torch.float32, torch.float64),
    *(torch.complex64, torch.float8_e4m3fn, torch.float8_e5m2, torch.float8_e4m3fnuz),
    *(torch.float8_e5m2fnuz, torch.float8_e8m0fnu),
]


def any_bits(dtype: torch.dtype, *shape: int) -> torch.Tensor:
    """A tensor of all bit patterns, NaN payloads among them."""
    if dtype == torch.bool:
        return torch.rand(shape) < 0.5
    size = torch.empty(0, dtype=dtype).element_size()
    raw = torch.randint(0, 256, (*shape[:-1], shape[-1] * size), dtype=torch.uint8)
    return raw.view(dtype)


def bits(tensor: torch.Tensor) -> bytes:
    if tensor.numel() == 0:
        return b""
    flat = tensor.detach().resolve_conj().resolve_neg().contiguous().reshape(-1)
    return flat.view(torch.uint8).numpy().tobytes()


def same(got: torch.Tensor, want: torch.Tensor) -> None:
    assert (got.dtype, got.shape, got.device) == (want.dtype, want.shape, want.device)
    assert bits(got) == bits(want)
    assert not got.requires_grad


STATE = {str(dtype): any_bits(dtype, 5, 6) for dtype in DTYPES}


@pytest.mark.parametrize("suffix", [".safetensors", ".nnc"])
def test_files(tmp_path: Path, suffix: str) -> None:
    path = tmp_path / f"model{suffix}"
    nncomp.tensors.torch.save_file(STATE, path, {"format": "pt"})
    plain = safetensors.torch.save(STATE, {"format": "pt"})
    with nncomp.open(path) as file:
        assert file.read() == plain
    loaded = nncomp.tensors.torch.load_file(path)
    assert loaded.keys() == STATE.keys()
    for name, tensor in STATE.items():
        same(loaded[name], tensor)
    other = tmp_path / "plain"
    other.write_bytes(plain)
    with nncomp.tensors.open(other, framework="pt") as file:
        for name, tensor in STATE.items():
            same(file[name], tensor)
            same(file.get_slice(name)[1:3, ::2], tensor[1:3, ::2])
            same(file.get_slice(name)[2], tensor[2])
        part = file.get_slice("torch.float32")[1:, 2:4]
        assert part.is_contiguous()
        assert part.untyped_storage().nbytes() == 4 * 2 * 4
        part.zero_()
        same(file["torch.float32"], STATE["torch.float32"])


def test_tensors_that_share_memory_or_have_strides(tmp_path: Path) -> None:
    base = torch.arange(24.0).reshape(4, 6)
    state = {"a": base, "b": base, "t": base.t(), "s": base[::2, 1:4], "e": base[:1].expand(3, 6)}
    path = tmp_path / "x.nnc"
    nncomp.tensors.save_file(state, path)
    for name, tensor in nncomp.tensors.load_file(path).items():
        same(tensor, state[name])


def test_files_of_pytorch(tmp_path: Path) -> None:
    base = any_bits(torch.bfloat16, 40, 30)
    image = torch.rand(2, 3, 4, 5).to(memory_format=torch.channels_last)
    state = {"w": base, "t": base.t(), "part": base[3:9, 2:7], "image": image}
    state |= {"expanded": torch.rand(1, 6).expand(4, 6), "none": torch.empty(0, 4)}
    path = tmp_path / "model.pt"
    torch.save(state, path)
    archive = tmp_path / "model.pt.nnc"
    archive.write_bytes(nncomp.compress(path.read_bytes()))
    for file in (path, archive):
        loaded = nncomp.tensors.load_file(file)
        assert loaded.keys() == state.keys()
        for name, tensor in state.items():
            same(loaded[name], tensor)
            loaded[name].zero_()
        with nncomp.tensors.open(file, framework="pt") as tensors:
            for name in ("t", "part", "image", "expanded"):
                same(tensors.get_slice(name)[1:3], state[name][1:3])
                same(tensors.get_slice(name)[1, 2:], state[name][1, 2:])


@pytest.mark.parametrize("dtype", [*DTYPES, torch.complex128], ids=str)
def test_in_memory(dtype: torch.dtype) -> None:
    for tensor in (any_bits(dtype, 7, 4), any_bits(dtype, 4)[2], torch.empty(2, 0, dtype=dtype)):
        before = tensor.clone()
        got = decompress_tensor(compress_tensor(tensor))
        same(got, before)
        assert bits(tensor) == bits(before)
        assert got.data_ptr() != tensor.data_ptr() or not got.numel()
    wide = any_bits(dtype, 6, 4)
    same(decompress_tensor(compress_tensor(wide.t()[1:, ::2])), wide.t()[1:, ::2])


def test_kinds_of_tensors_in_memory() -> None:
    parameter = torch.nn.Parameter(torch.rand(3))
    same(decompress_tensor(compress_tensor(parameter)), parameter.detach())
    waves = torch.rand(4, dtype=torch.complex128).conj()
    same(decompress_tensor(compress_tensor(waves)), waves)
    same(decompress_tensor(compress_tensor(waves.imag)), waves.imag)
    packed = torch.arange(6, dtype=torch.uint8).reshape(2, 3).view(torch.float4_e2m1fn_x2)
    same(decompress_tensor(compress_tensor(packed)), packed)
    with warnings.catch_warnings():
        warnings.simplefilter("ignore")  # some releases say that these types are to go
        quantised = torch.empty(3, dtype=torch.qint8)
    for bad in (
        torch.eye(3).to_sparse(),
        torch.empty(3, device="meta"),
        quantised,
        torch.rand(3).tolist(),
    ):
        with pytest.raises(UsageError):
            compress_tensor(bad)


def test_arrays_of_numpy_stay_so() -> None:
    assert isinstance(decompress_tensor(compress_tensor(np.ones(3))), np.ndarray)


def archive_from(tmp_path: Path, tensor: torch.Tensor, **metadata: str) -> bytes:
    path = tmp_path / "one.nnc"
    nncomp.tensors.save_file({"tensor": tensor}, path, {"format": "pt", **metadata})
    return path.read_bytes()


def test_devices(tmp_path: Path) -> None:
    tensor = torch.rand(3)
    # Neither devices that are not here nor those that hold no numbers are asked for.
    for device in ("cuda:97", "meta", "nonsense", "cuda:x", ""):
        same(decompress_tensor(archive_from(tmp_path, tensor, device=device)), tensor)
    archive = compress_tensor(tensor)
    same(decompress_tensor(archive, device="cpu"), tensor)
    for device in ("cuda:97", "nonsense"):
        with pytest.raises(DeviceError):
            decompress_tensor(archive, device=device)


@pytest.mark.gpu
def test_a_tensor_of_a_gpu_goes_back_to_it(tmp_path: Path) -> None:
    if not torch.cuda.is_available():
        pytest.skip("no CUDA device")
    tensor = torch.rand(3, 4, device="cuda:0").t()
    got = decompress_tensor(compress_tensor(tensor))
    assert got.device == tensor.device
    assert torch.equal(got, tensor)
    assert decompress_tensor(compress_tensor(tensor), device="cpu").device.type == "cpu"
    nncomp.tensors.torch.save_file({"t": tensor}, tmp_path / "x.nnc")
    assert torch.equal(nncomp.tensors.torch.load_file(tmp_path / "x.nnc", "cuda:0")["t"], tensor)


def test_lies_about_complex_numbers_are_refused(tmp_path: Path) -> None:
    for tensor in (torch.rand(3, 2), torch.rand(3, dtype=torch.float64), torch.tensor(1.0)):
        with pytest.raises(TensorFileError, match="complex"):
            decompress_tensor(archive_from(tmp_path, tensor, dtype="C128"))


@pytest.mark.filterwarnings("ignore")  # of transformers, which is not under test
def test_a_model_of_transformers_loads_from_compressed_shards(tmp_path: Path) -> None:
    transformers = pytest.importorskip("transformers", reason="transformers is not installed")
    config = transformers.BertConfig(
        vocab_size=50, hidden_size=16, num_hidden_layers=2, num_attention_heads=2,
        intermediate_size=32, max_position_embeddings=20,
    )  # fmt: skip
    model = transformers.BertModel(config).eval()
    model.save_pretrained(tmp_path, max_shard_size="10KB")
    shards = list(tmp_path.glob("*.safetensors"))
    assert len(shards) > 1
    for shard in shards:
        shard.with_name(shard.name + ".nnc").write_bytes(nncomp.compress(shard.read_bytes()))
        shard.unlink()
    config = transformers.AutoConfig.from_pretrained(tmp_path)
    state = nncomp.tensors.load_file(tmp_path)
    model_class = getattr(transformers, config.architectures[0])
    loaded = model_class.from_pretrained(None, config=config, state_dict=state).eval()
    ids = torch.arange(10)[None]
    with torch.no_grad():
        assert torch.equal(loaded(ids).last_hidden_state, model(ids).last_hidden_state)
