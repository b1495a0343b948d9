"""numcodecs, Zarr and fsspec find nncomp by its entry points."""

import io
import subprocess
import sys
from pathlib import Path

import numpy as np
import pytest

import nncomp
from nncomp.errors import CorruptError, MethodError, NncompError, UsageError

numcodecs = pytest.importorskip("numcodecs", reason="numcodecs is not installed")
fsspec = pytest.importorskip("fsspec", reason="fsspec is not installed")

ARRAY = np.random.default_rng(1).integers(0, 9, (20, 30)).astype(np.float32)


def test_numcodecs_finds_it() -> None:
    codec = numcodecs.get_codec({"id": "nncomp", "method": "zstd", "level": 3})
    assert codec.get_config() == {"id": "nncomp", "method": "zstd", "level": 3}
    assert numcodecs.get_codec(codec.get_config()) == codec
    archive = codec.encode(ARRAY)
    assert nncomp.decompress(archive) == ARRAY.tobytes()
    assert codec.decode(np.frombuffer(archive, np.uint8)) == ARRAY.tobytes()
    out = np.empty_like(ARRAY)
    assert codec.decode(archive, out=out) is not None
    assert (out == ARRAY).all()
    fortran = codec.decode(codec.encode(np.asfortranarray(ARRAY)))
    assert fortran == ARRAY.tobytes(order="F")
    times = np.arange("2020", "2024", dtype="M8[Y]")
    assert codec.decode(codec.encode(times)) == times.tobytes()
    assert codec.decode(codec.encode(b"")) == b""


def test_the_element_type_is_a_hint() -> None:
    from nncomp.tensors.hints import method_for

    assert method_for("zipnn", ARRAY) == "zipnn:dtype=f32"
    assert method_for("zipnn:block=64K", ARRAY[0]) == "zipnn:block=64K,dtype=f32"
    for method in ("zstd", "zstd:block=64K", "zipnn:dtype=u8"):
        assert method_for(method, ARRAY) == method
    for other in (ARRAY.astype(">f4"), np.array(["x"]), np.ma.masked_array(ARRAY)):
        assert method_for("zipnn", other) == "zipnn"
    codec = numcodecs.get_codec({"id": "nncomp"})
    assert codec.decode(codec.encode(ARRAY)) == ARRAY.tobytes()


def test_numcodecs_refusals() -> None:
    codec = numcodecs.get_codec({"id": "nncomp"})
    archive = codec.encode(ARRAY)
    with pytest.raises(CorruptError, match="2400 bytes where 2404"):
        codec.decode(archive, out=np.empty(601, np.float32))
    with pytest.raises(NncompError):
        codec.decode(archive[:-1])
    with pytest.raises(MethodError):
        numcodecs.get_codec({"id": "nncomp", "method": "none"}).encode(ARRAY)


@pytest.mark.parametrize("version", [2, 3])
def test_zarr(version: int) -> None:
    zarr = pytest.importorskip("zarr", minversion="3", reason="zarr 3 is not installed")
    if version == 2:
        codec = numcodecs.get_codec({"id": "nncomp", "level": 3})
    else:
        codec = {"name": "nncomp", "configuration": {"level": 3}}
    store = zarr.storage.MemoryStore()
    array = zarr.create_array(
        store, shape=ARRAY.shape, chunks=(7, 30), dtype="f4", zarr_format=version, compressors=codec
    )
    array[:] = ARRAY
    again = zarr.open_array(store, mode="r")
    assert (again[:] == ARRAY).all()
    assert (again[3:9, ::4] == ARRAY[3:9, ::4]).all()
    chunk = next(key for key in store._store_dict if key.endswith(("0/0", "0.0")))
    content = nncomp.decompress(store._store_dict[chunk].to_bytes())
    assert content == ARRAY[:7].tobytes()


def test_fsspec_finds_the_file_system_without_an_import(tmp_path: Path) -> None:
    path = tmp_path / "a.txt.nnc"
    path.write_bytes(nncomp.compress(b"one\ntwo\n"))
    code = """
import fsspec, sys
address = sys.argv[1]
assert fsspec.open("nncomp::" + address, "rb").open().read() == b"one\\ntwo\\n"
with fsspec.open(address, "rt", compression="infer") as file:
    assert file.readlines() == ["one\\n", "two\\n"]
"""
    subprocess.run([sys.executable, "-c", code, f"file://{path}"], check=True)


def test_fsspec_file_system() -> None:
    memory = fsspec.filesystem("memory")
    content = bytes(range(256)) * 1000
    memory.pipe("/folder/a.nnc", nncomp.compress(content))
    with fsspec.open("nncomp::memory://folder/a.nnc", "rb") as file:
        file.seek(100_000)
        assert file.read(300) == content[100_000:100_300]
    files = fsspec.filesystem("nncomp", target_protocol="memory")
    assert files.cat("/folder/a.nnc") == content
    assert files.info("/folder/a.nnc")["size"] == len(content)
    assert files.info("/folder")["type"] == "directory"
    assert files.ls("/folder", detail=False) == ["/folder/a.nnc"]
    assert files.ls("/folder")[0]["size"] is None
    with pytest.raises(UsageError, match="for reading"):
        files.open("/folder/b.nnc", "wb")
    memory.rm("/folder", recursive=True)


def test_fsspec_compression() -> None:
    import nncomp.tensors.fsspec_files

    assert "nncomp" in fsspec.available_compressions()
    memory = fsspec.filesystem("memory")
    with fsspec.open("memory://b.nnc", "wb", compression="infer") as file:
        file.write(b"some text")
    archive = memory.cat("/b.nnc")
    assert nncomp.decompress(archive) == b"some text"
    with fsspec.open("memory://b.nnc", "rt", compression="nncomp") as file:
        assert file.read() == "some text"
    stream = io.BytesIO(archive)
    with nncomp.tensors.fsspec_files.open_compressed(stream, threads=2) as file:
        assert file.read() == b"some text"
    assert not stream.closed
    memory.rm("/b.nnc")
