"""Files of tensors through NumPy: lazy reading, slices, limits and damage."""

import io
import json
import threading
from pathlib import Path

import ml_dtypes
import numpy as np
import pytest
import safetensors
import safetensors.numpy

import nncomp
import nncomp.tensors
import nncomp.tensors.numpy
from nncomp.errors import (
    CorruptError,
    LimitError,
    TensorFileError,
    TruncatedError,
    UsageError,
)

RNG = np.random.default_rng(3)
STATE = {
    "b.weight": RNG.normal(size=(40, 30, 3)).astype(np.float32),
    "a.bias": RNG.normal(size=40),
    "ids": np.arange(7),
    "mask": RNG.random(11) < 0.5,
    "scalar": np.array(2.5, np.float16),
    "none": np.empty((0, 3), np.uint8),
    "wave": np.exp(1j * np.arange(5)).astype(np.complex64),
    'é"\n\x01': np.arange(3, dtype=np.int8),
}


def same(got: np.ndarray, want: np.ndarray) -> None:
    assert got.dtype == want.dtype
    assert got.shape == want.shape
    assert got.tobytes() == want.tobytes()


@pytest.fixture(params=["plain", "archive"])
def state_file(request: pytest.FixtureRequest, tmp_path: Path) -> Path:
    path = tmp_path / "model.safetensors"
    if request.param == "plain":
        safetensors.numpy.save_file(STATE, path, {"k": "v"})
    else:
        nncomp.tensors.numpy.save_file(STATE, path, {"k": "v"})
    return path


def test_the_content_is_what_safetensors_writes(tmp_path: Path) -> None:
    everything = {
        name: np.ones((2, 3), name)
        for name in (
            *("bool", "uint8", "int8", "uint16", "int16", "uint32", "int32", "uint64", "int64"),
            *("float16", "float32", "float64", "complex64"),
            *(ml_dtypes.bfloat16, ml_dtypes.float8_e5m2, ml_dtypes.float8_e4m3fn),
            *(ml_dtypes.float8_e5m2fnuz, ml_dtypes.float8_e4m3fnuz),
        )
    }
    named = {np.dtype(key).name: value for key, value in everything.items()}
    for state in (STATE, named, {}):
        path = tmp_path / "x.nnc"
        nncomp.tensors.numpy.save_file(state, path, {"format": "np"})
        with nncomp.open(path) as file:
            assert file.read() == safetensors.numpy.save(state, {"format": "np"})
        assert nncomp.inspect(path)[0].raw_size == len(
            safetensors.numpy.save(state, {"format": "np"})
        )
        loaded = nncomp.tensors.numpy.load_file(path)
        assert loaded.keys() == state.keys()
        for name, array in state.items():
            same(loaded[name], array)


def test_arrays_out_of_order_are_written_in_order(tmp_path: Path) -> None:
    path = tmp_path / "x.nnc"
    base = np.arange(24, dtype=">i4").reshape(4, 6)
    before = base.copy()
    base.flags.writeable = False
    nncomp.tensors.save_file({"t": base.T, "s": base[::2, ::-1]}, path)
    loaded = nncomp.tensors.numpy.load_file(path)
    assert (loaded["t"] == before.T).all()
    assert (loaded["s"] == before[::2, ::-1]).all()
    assert (base == before).all()


def test_a_mapping_that_reads_when_asked(state_file: Path) -> None:
    with nncomp.tensors.open(state_file) as file:
        assert set(file) == set(STATE)
        assert len(file) == len(STATE)
        assert "ids" in file
        assert "nothing" not in file
        assert file.get("nothing") is None
        assert file.metadata() == {"k": "v"}
        assert sorted(file.keys()) == sorted(file.offset_keys())
        assert file.offset_keys() == list(file)
        for name, array in STATE.items():
            same(file[name], array)
            assert file[name].flags.writeable
        with pytest.raises(KeyError):
            file.get_tensor("nothing")
        kept = file["ids"]
        kept[:] = 0
        assert file["ids"][1] == 1
    assert kept.sum() == 0
    with pytest.raises(ValueError, match="closed"):
        file["ids"]


@pytest.mark.parametrize(
    "index",
    [
        np.s_[...],
        np.s_[3],
        np.s_[-1],
        np.s_[5:9],
        np.s_[5:30:4],
        np.s_[-100:100],
        np.s_[30:10],
        np.s_[5, 7],
        np.s_[5, 7, 2],
        np.s_[np.int64(5), 3:8],
        np.s_[:, 3],
        np.s_[2:4, ::2, 1:],
        np.s_[..., 0],
        np.s_[1, ..., 2],
        np.s_[:, :, :],
        np.s_[::],
        (),
    ],
)
def test_slices_are_those_of_the_array(state_file: Path, index: object) -> None:
    want = STATE["b.weight"][index]
    with nncomp.tensors.open(state_file) as file:
        part = file.get_slice("b.weight")
        assert part.get_shape() == [40, 30, 3]
        assert part.get_dtype() == "F32"
        same(part[index], np.asarray(want))
        assert part[index].flags.writeable
        assert part[index].flags.c_contiguous


@pytest.mark.parametrize(
    ("index", "error"),
    [
        (40, IndexError),
        (-41, IndexError),
        ((0, 0, 0, 0), IndexError),
        ((..., ...), IndexError),
        (slice(None, None, -1), UsageError),
        ((0, slice(None, None, -1)), UsageError),
        (True, UsageError),
        (None, UsageError),
        ([1, 2], UsageError),
        (np.array([1, 2]), UsageError),
    ],
)
def test_an_index_that_does_not_fit(state_file: Path, index: object, error: type) -> None:
    with nncomp.tensors.open(state_file) as file, pytest.raises(error):
        file.get_slice("b.weight")[index]


class Counted(io.BytesIO):
    """Counts the bytes that are read from it."""

    count = 0

    def read(self, size: int | None = -1) -> bytes:
        data = super().read(size)
        self.count += len(data)
        return data

    def readinto(self, target) -> int:
        size = super().readinto(target)
        self.count += size
        return size


@pytest.mark.parametrize("archived", [False, True])
def test_only_what_is_asked_for_is_read(archived: bool) -> None:
    big = {f"t{i}": RNG.integers(0, 99, (1000, 500), np.uint8) for i in range(8)}
    data = safetensors.numpy.save(big)
    if archived:
        data = nncomp.compress(data, "zstd:block=128K")
    stream = Counted(data)
    with nncomp.tensors.open(stream) as file:
        opening = stream.count
        same(file["t5"], big["t5"])
        one = stream.count - opening
        same(file.get_slice("t6")[990:992], big["t6"][990:992])
        rows = stream.count - opening - one
    assert not stream.closed
    assert opening < 3000 + (300_000 if archived else 0)
    assert one <= len(data) / 8 + (400_000 if archived else 0)
    assert rows <= 1000 + (300_000 if archived else 0)


def test_several_threads_may_read(state_file: Path) -> None:
    failures = []

    def work() -> None:
        for _ in range(5):
            names = ("a.bias", "b.weight", "ids")
            failures.extend(name for name in names if not (file[name] == STATE[name]).all())

    with nncomp.tensors.open(state_file, threads=2) as file:
        threads = [threading.Thread(target=work) for _ in range(4)]
        for thread in threads:
            thread.start()
        for thread in threads:
            thread.join()
    assert not failures


def test_other_formats(tmp_path: Path) -> None:
    one = STATE["b.weight"]
    np.save(tmp_path / "one.npy", np.asfortranarray(one))
    np.savez(tmp_path / "two.npz", x=one, y=STATE["ids"])
    for name in ("one.npy", "two.npz"):
        path = tmp_path / name
        archive = path.with_name(name + ".nnc")
        archive.write_bytes(nncomp.compress(path.read_bytes()))
        for file in (path, archive, io.BytesIO(archive.read_bytes())):
            loaded = nncomp.tensors.load_file(file, framework="np")
            if name == "one.npy":
                same(loaded[""], one)
                with nncomp.tensors.open(file) as lazy:
                    same(lazy.get_slice("")[3:9, 1], one[3:9, 1].copy())
            else:
                same(loaded["x"], one)
                same(loaded["y"], STATE["ids"])


def gguf_file(blocks: bytes, rows: int) -> bytes:
    """A file with one tensor of Q8_0, `rows` times 64 weights."""
    name = b"w"
    head = b"GGUF" + (3).to_bytes(4, "little") + (1).to_bytes(8, "little") + bytes(8)
    head += len(name).to_bytes(8, "little") + name + (2).to_bytes(4, "little")
    head += (64).to_bytes(8, "little") + rows.to_bytes(8, "little")
    head += (8).to_bytes(4, "little") + bytes(8)
    return head + bytes(-len(head) % 32) + blocks


def test_quantised_blocks_come_as_bytes() -> None:
    blocks = RNG.integers(0, 256, (5, 68), np.uint8)
    with nncomp.tensors.open(io.BytesIO(gguf_file(blocks.tobytes(), 5))) as file:
        same(file["w"], blocks)
        part = file.get_slice("w")
        assert part.get_dtype() == "Q8_0"
        assert part.get_shape() == [5, 68]
        same(part[2:4], blocks[2:4])


def one_tensor(dtype: str, shape: list[int], data: bytes) -> io.BytesIO:
    entry = {"t": {"dtype": dtype, "shape": shape, "data_offsets": [0, len(data)]}}
    text = json.dumps(entry).encode()
    return io.BytesIO(len(text).to_bytes(8, "little") + text + data)


def test_differences_to_a_base(tmp_path: Path) -> None:
    path = tmp_path / "new.nnc"
    old = {"t": RNG.normal(size=50_000).astype(np.float32)}
    new = {"t": old["t"].copy()}
    new["t"][::100] += 1
    base = safetensors.numpy.save(old)
    nncomp.tensors.save_file(new, path, base=base)
    assert path.stat().st_size < 20_000
    with nncomp.tensors.open(path, base=base) as file:
        same(file.get_slice("t")[49_000:], new["t"][49_000:])
    same(nncomp.tensors.load_file(path, framework="np", base=base)["t"], new["t"])
    with pytest.raises(nncomp.NncompError, match="base"):
        nncomp.tensors.load_file(path, framework="np")


def test_types_that_numpy_lacks(monkeypatch: pytest.MonkeyPatch) -> None:
    file = one_tensor("BF16", [2], b"\x80\x3f\x00\xc0")
    with nncomp.tensors.open(file) as tensors:
        same(tensors["t"], np.array([1, -2], ml_dtypes.bfloat16))
    with nncomp.tensors.open(one_tensor("F4", [4], b"\x00\x00")) as tensors:
        assert tensors.get_slice("t").get_shape() == [2]
        with pytest.raises(UsageError, match="no element type for F4"):
            tensors["t"]
    with (
        nncomp.tensors.open(one_tensor("F6_E2M3", [4], b"\x00\x00\x00")) as tensors,
        pytest.raises(UsageError, match="6 bits"),
    ):
        tensors["t"]
    monkeypatch.setitem(__import__("sys").modules, "ml_dtypes", None)
    with (
        nncomp.tensors.open(file) as tensors,
        pytest.raises(UsageError, match='install ml_dtypes, or use framework="pt"'),
    ):
        tensors["t"]


@pytest.mark.parametrize("archived", [False, True])
def test_limits(archived: bool) -> None:
    data = safetensors.numpy.save({"t": np.zeros((3, 1 << 20), np.uint8), "u": np.ones(9)})
    file = io.BytesIO(nncomp.compress(data, "zstd:block=64K") if archived else data)
    with nncomp.tensors.open(file, memory_limit=5 << 19) as tensors:
        with pytest.raises(LimitError, match=str(3 << 20)):
            tensors["t"]
        assert tensors.get_slice("t")[1:].shape == (2, 1 << 20)
        with pytest.raises(LimitError):
            tensors.get_tensors()
    with pytest.raises(LimitError):
        nncomp.tensors.load_file(file, framework="np", memory_limit=3 << 20)
    loaded = nncomp.tensors.load_file(file, framework="np", memory_limit=(3 << 20) + 72)
    assert loaded["u"].sum() == 9


def test_wrong_usage(tmp_path: Path) -> None:
    path = tmp_path / "x"
    with pytest.raises(UsageError, match="framework"):
        nncomp.tensors.open(path, framework="tf")
    with pytest.raises(UsageError, match="CPU only"):
        nncomp.tensors.open(path, device="cuda")
    with pytest.raises(UsageError, match="threads"):
        nncomp.tensors.open(path, threads=0)
    with pytest.raises(FileNotFoundError):
        nncomp.tensors.open(path)
    save = nncomp.tensors.save_file
    with pytest.raises(UsageError, match="type list"):
        save({"t": [1, 2]}, path)
    with pytest.raises(UsageError, match="complex128"):
        save({"t": np.ones(1, complex)}, path)
    with pytest.raises(UsageError, match="masked"):
        save({"t": np.ma.masked_array([1, 2], [0, 1])}, path)
    with pytest.raises(UsageError, match="name of a tensor"):
        save({"__metadata__": np.ones(1)}, path)
    with pytest.raises(UsageError, match="name of a tensor"):
        save({3: np.ones(1)}, path)
    with pytest.raises(UsageError, match="no valid text"):
        save({"\ud800": np.ones(1)}, path)
    with pytest.raises(UsageError, match="text by text"):
        save({}, path, {"epoch": 3})
    with pytest.raises(UsageError, match="method"):
        save({"t": np.ones(1)}, path, method="none")
    assert not list(tmp_path.iterdir())


def test_a_stream_that_cannot_seek() -> None:
    class Pipe(io.BytesIO):
        def seekable(self) -> bool:
            return False

    with pytest.raises(UsageError, match="seek"):
        nncomp.tensors.open(Pipe(b""))


def test_files_of_other_kinds_are_refused(tmp_path: Path) -> None:
    for content in (b"", b"x", b"no tensors, but a text that is long enough"):
        with pytest.raises(TensorFileError):
            nncomp.tensors.open(io.BytesIO(content))
        with pytest.raises(TensorFileError):
            nncomp.tensors.open(io.BytesIO(nncomp.compress(content)))


def test_damage_never_gives_other_numbers(tmp_path: Path) -> None:
    path = tmp_path / "x.nnc"
    nncomp.tensors.save_file(STATE, path)
    archive = path.read_bytes()
    for at in range(0, len(archive), 97):
        with pytest.raises(nncomp.NncompError):
            nncomp.tensors.load_file(io.BytesIO(archive[:at]), framework="np")
        damaged = io.BytesIO(archive[:at] + bytes([archive[at] ^ 4]) + archive[at + 1 :])
        try:
            loaded = nncomp.tensors.load_file(damaged, framework="np")
        except nncomp.NncompError:
            continue
        for name, array in STATE.items():
            same(loaded[name], array)
    with pytest.raises((TruncatedError, CorruptError)):
        nncomp.tensors.load_file(io.BytesIO(archive[:-1]), framework="np")


def test_a_plain_file_that_shrinks(tmp_path: Path) -> None:
    path = tmp_path / "x.safetensors"
    safetensors.numpy.save_file({"t": np.ones(100_000)}, path)
    with nncomp.tensors.open(path) as file:
        with path.open("r+b") as other:
            other.truncate(300_000)
        with pytest.raises(TensorFileError, match="ends within"):
            file["t"]
