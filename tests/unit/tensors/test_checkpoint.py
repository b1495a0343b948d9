"""Checkpoints in several files, as Hugging Face lays them out."""

import json
from pathlib import Path

import numpy as np
import pytest
import safetensors.numpy

import nncomp
import nncomp.tensors
import nncomp.tensors.numpy
from nncomp.errors import FileError, LimitError, TensorFileError, UsageError

SHARDS = {
    "model-00001-of-00002.safetensors": {
        "z": np.arange(12.0).reshape(3, 4),
        "a": np.arange(5, dtype=np.int32),
    },
    "model-00002-of-00002.safetensors": {"m": np.ones((2, 2), np.float16)},
}
TENSORS = {name: array for shard in SHARDS.values() for name, array in shard.items()}
INDEX = "model.safetensors.index.json"


def write(folder: Path, archived: int) -> Path:
    """A checkpoint of which the first `archived` shards are archives."""
    weight_map = {}
    for number, (file, tensors) in enumerate(SHARDS.items()):
        if number < archived:
            nncomp.tensors.numpy.save_file(tensors, folder / (file + ".nnc"))
        else:
            safetensors.numpy.save_file(tensors, folder / file)
        weight_map.update(dict.fromkeys(tensors, file))
    write_index(folder, weight_map)
    return folder


def write_index(folder: Path, weight_map: object) -> None:
    index = {"metadata": {"total_size": 124}, "weight_map": weight_map}
    (folder / INDEX).write_text(json.dumps(index))


@pytest.mark.parametrize("archived", [0, 1, 2])
def test_by_folder_and_by_index(tmp_path: Path, archived: int) -> None:
    write(tmp_path, archived)
    for path in (tmp_path, tmp_path / INDEX, str(tmp_path)):
        with nncomp.tensors.open(path) as file:
            assert list(file) == ["z", "a", "m"]
            assert file.metadata() == {"total_size": "124"}
            assert (file.get_slice("z")[1:] == TENSORS["z"][1:]).all()
            for name, array in TENSORS.items():
                assert file[name].dtype == array.dtype
                assert (file[name] == array).all()
            assert sorted(file.offset_keys()[:2]) == ["a", "z"]
        with pytest.raises(ValueError, match="closed"):
            file["z"]
    loaded = nncomp.tensors.load_file(tmp_path, framework="np")
    assert loaded.keys() == TENSORS.keys()


def test_an_archived_index(tmp_path: Path) -> None:
    index = write(tmp_path, 2) / INDEX
    index.with_name(INDEX + ".nnc").write_bytes(nncomp.compress(index.read_bytes()))
    index.unlink()
    assert nncomp.tensors.numpy.load_file(tmp_path)["a"][4] == 4


def test_shards_are_opened_when_needed(tmp_path: Path) -> None:
    write(tmp_path, 2)
    (tmp_path / "model-00002-of-00002.safetensors.nnc").unlink()
    with nncomp.tensors.open(tmp_path) as file:
        assert file["a"][4] == 4
        with pytest.raises(FileError, match="incomplete: model-00002"):
            file["m"]


def test_links_as_in_the_cache_of_huggingface_hub(tmp_path: Path) -> None:
    snapshot, blobs = tmp_path / "snapshot", tmp_path / "blobs"
    snapshot.mkdir()
    blobs.mkdir()
    write(blobs, 1)
    for blob in blobs.iterdir():
        (snapshot / blob.name).symlink_to(f"../blobs/{blob.name}")
    assert nncomp.tensors.numpy.load_file(snapshot).keys() == TENSORS.keys()


def test_a_folder_with_one_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="neither"):
        nncomp.tensors.open(tmp_path)
    nncomp.tensors.numpy.save_file(TENSORS, tmp_path / "adapter.safetensors.nnc")
    with nncomp.tensors.open(tmp_path) as file:
        assert set(file) == set(TENSORS)
    nncomp.tensors.numpy.save_file(TENSORS, tmp_path / "other.safetensors.nnc")
    with pytest.raises(FileError, match="several"):
        nncomp.tensors.open(tmp_path)
    nncomp.tensors.numpy.save_file({"x": np.ones(1)}, tmp_path / "model.safetensors.nnc")
    with nncomp.tensors.open(tmp_path) as file:
        assert list(file) == ["x"]


@pytest.mark.parametrize(
    "file", ["../model.safetensors", "/etc/passwd", "a/b", "..", ".", "", "a\\b", "c:x", "\0", 3]
)
def test_an_index_that_leads_elsewhere(tmp_path: Path, file: object) -> None:
    write_index(tmp_path, {"t": file})
    with pytest.raises(TensorFileError, match="same folder"):
        nncomp.tensors.open(tmp_path)


@pytest.mark.parametrize(
    "text",
    [
        *("", "[]", "{}", '{"weight_map": []}', '{"weight_map": {}, "metadata": 3}'),
        *("[" * 100_000, '{"weight_map": {"a": "x", "a": "y"}}', "\udcff"),
    ],
)
def test_an_index_that_is_none(tmp_path: Path, text: str) -> None:
    (tmp_path / INDEX).write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(TensorFileError, match=INDEX):
        nncomp.tensors.open(tmp_path)


def test_an_index_that_is_wrong_about_a_shard(tmp_path: Path) -> None:
    write(tmp_path, 0)
    write_index(tmp_path, {"new": "model-00001-of-00002.safetensors"})
    with (
        nncomp.tensors.open(tmp_path) as file,
        pytest.raises(TensorFileError, match="is without it"),
    ):
        file["new"]


def test_a_base_is_for_one_file(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="one by one"):
        nncomp.tensors.open(write(tmp_path, 0), base=b"")


def test_the_limit_is_for_all_shards(tmp_path: Path) -> None:
    write(tmp_path, 0)
    with pytest.raises(LimitError, match="124 bytes"):
        nncomp.tensors.load_file(tmp_path, framework="np", memory_limit=123)
