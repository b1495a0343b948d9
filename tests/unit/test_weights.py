"""Files of weights: found whole, or refused with a reason, whatever is in them."""

from __future__ import annotations

import hashlib
import json
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import xxhash

from nncomp import weights
from nncomp.codecs.image.known import known_classes
from nncomp.errors import FileError, MissingWeightsError

if TYPE_CHECKING:
    from pathlib import Path

TENSORS = {"a": np.arange(3, dtype=np.uint8), "b": np.ones((2, 2), np.int32)}
FILE = weights.pack(TENSORS, {"recipe": "none"})


def file_of(entries: Any, data: bytes = b"") -> bytes:
    """With a digest that is right, whatever the entries are."""
    if isinstance(entries, dict) and "__metadata__" not in entries:
        text = json.dumps(entries, separators=(",", ":"), sort_keys=True).encode()
        digest = xxhash.xxh3_64_hexdigest(text + data)
        entries = {"__metadata__": {"digest": digest}, **entries}
    header = json.dumps(entries).encode()
    return len(header).to_bytes(8, "little") + header + data


def test_they_come_back(tmp_path: Path) -> None:
    (tmp_path / "x.safetensors").write_bytes(FILE)
    for source in (FILE, tmp_path / "x.safetensors", str(tmp_path / "x.safetensors")):
        found = weights.read(source)
        assert {name: value.tolist() for name, value in found.tensors.items()} == {
            name: value.tolist() for name, value in TENSORS.items()
        }
        assert found.metadata == {"recipe": "none", "digest": found.digest}
        assert found.sha256 == hashlib.sha256(FILE).digest()


def test_damage_is_noticed() -> None:
    for place in range(len(FILE)):
        for damaged in (FILE[:place], FILE[:place] + bytes([FILE[place] ^ 1]) + FILE[place + 1 :]):
            try:
                found = weights.read(damaged)
            except FileError:
                continue
            # Metadata are not in the digest, but in the SHA-256.
            assert found.digest == weights.read(FILE).digest
            assert found.sha256 != weights.read(FILE).sha256


@pytest.mark.parametrize(
    "entry",
    [
        None,
        [],
        3,
        {},
        {"dtype": "F64", "shape": [1], "data_offsets": [0, 8]},
        {"dtype": ["I8"], "shape": [8], "data_offsets": [0, 8]},
        {"dtype": "I8", "shape": 8, "data_offsets": [0, 8]},
        {"dtype": "I8", "shape": [8.0], "data_offsets": [0, 8]},
        {"dtype": "I8", "shape": ["8"], "data_offsets": [0, 8]},
        {"dtype": "I8", "shape": [-2, -4], "data_offsets": [0, 8]},
        {"dtype": "I8", "shape": [8], "data_offsets": [0]},
        {"dtype": "I8", "shape": [8], "data_offsets": [0, 8, 8]},
        {"dtype": "I8", "shape": [9], "data_offsets": [0, 9]},
        {"dtype": "I8", "shape": [8], "data_offsets": [-8, 0]},
        {"dtype": "I8", "shape": [0, 10**30], "data_offsets": [9, 9]},
        {"dtype": "I16", "shape": [8], "data_offsets": [0, 8]},
        {"dtype": "I8", "shape": [1] * 60, "data_offsets": [0, 1]},
    ],
)
def test_entries_that_make_no_sense_are_refused(entry: Any) -> None:
    with pytest.raises(FileError, match=r"has no type, shape or place|lies outside"):
        weights.read(file_of({"a": entry}, bytes(8)))


@pytest.mark.parametrize(
    "file",
    [
        b"",
        b"PK",
        bytes(8),
        b"\xff" * 40,
        file_of([]),
        file_of(3),
        file_of({"__metadata__": None}),
        file_of({"__metadata__": "digest"}),
        file_of({"__metadata__": {}}),
        file_of({"__metadata__": {"digest": 5}}),
        file_of({"__metadata__": {"digest": "x" * 100}}),
        (1 << 17).to_bytes(8, "little") + b"[" * (1 << 17),
        bytes(weights.FILE_MAX + 1),
    ],
    ids=range(13),
)
def test_what_is_no_file_of_weights_is_refused(file: bytes) -> None:
    with pytest.raises(FileError, match="no weights that nncomp train-image made"):
        weights.read(file)


def test_shipped_weights_are_whole_or_refused(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "own.safetensors").write_bytes(FILE)
    (tmp_path / "damaged.safetensors").write_bytes(FILE[:-1])
    monkeypatch.setattr(weights, "folder", lambda: tmp_path)
    found = weights.load("own")
    assert weights.load("own", found.digest) is found
    with pytest.raises(MissingWeightsError, match="are needed"):
        weights.load("own", "0" * 16)
    with pytest.raises(MissingWeightsError, match="are damaged"):
        weights.load("damaged")
    with pytest.raises(MissingWeightsError, match="Install nncomp again"):
        weights.load("none")


def test_shipped_weights_are_small() -> None:
    paths = list(weights.folder().glob("*.safetensors"))
    assert {path.stem for path in paths} == {"fsar", "fsar_classes"}
    assert all(path.stat().st_size <= 1 << 20 for path in paths)


def test_shipped_classes_are_those_of_the_format() -> None:
    for planes in (1, 3):
        known = known_classes(planes)
        assert known is not None
        assert known.means.shape == (planes, 32)
    assert known_classes(2) is None
