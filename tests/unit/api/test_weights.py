"""Weights of one's own: given to both directions, named in the header."""

from __future__ import annotations

import hashlib
import io
from dataclasses import replace
from typing import TYPE_CHECKING

import numpy as np
import pytest

import nncomp
from nncomp import weights
from nncomp.container.reader import BufferInput, read_members
from nncomp.container.writer import MemberWriter
from nncomp.errors import FileError, MethodError, MissingWeightsError

if TYPE_CHECKING:
    from pathlib import Path

PAPER = "fsar:mode=paper"
SLOPES = np.add.outer(np.arange(40), 2 * np.arange(48))
NOISE = np.random.default_rng(1).integers(0, 9, (40, 48, 3))
PICTURE = b"P6 48 40 255\n" + (SLOPES[:, :, None] + NOISE + 20).astype(np.uint8).tobytes()


def other_weights() -> bytes:
    """A model like the shipped one, but for a bias."""
    shipped = weights.load("fsar")
    tensors = {**shipped.tensors, "decoder.3.bias": shipped.tensors["decoder.3.bias"] + 1}
    return weights.pack(tensors, {"recipe": "a test"})


OWN = other_weights()


def digest_of(archive: bytes) -> str | None:
    (info,) = nncomp.inspect(io.BytesIO(archive))
    return info.weights_digest


def test_archives_name_shipped_weights() -> None:
    archive = nncomp.compress(PICTURE, PAPER)
    shipped = (weights.folder() / "fsar.safetensors").read_bytes()
    assert digest_of(archive) == hashlib.sha256(shipped).hexdigest()
    assert nncomp.decompress(archive) == PICTURE
    assert nncomp.decompress(archive, weights=OWN) == PICTURE  # which this one does not need
    assert digest_of(nncomp.compress(PICTURE, "fsar")) is None


def test_what_was_made_with_own_weights_needs_them(tmp_path: Path) -> None:
    path = tmp_path / "own.safetensors"
    path.write_bytes(OWN)
    archive = nncomp.compress(PICTURE, PAPER, weights=path)
    digest = hashlib.sha256(OWN).hexdigest()
    assert digest_of(archive) == digest
    assert nncomp.decompress(archive, weights=OWN) == PICTURE
    with pytest.raises(MissingWeightsError, match=f"{digest}, which .* --weights, or weights="):
        nncomp.decompress(archive)
    others = weights.pack({"a": np.zeros(1, np.int8)}, {})
    with pytest.raises(MissingWeightsError, match=f"{digest}, those given have "):
        nncomp.decompress(archive, weights=others)


def test_file_objects_take_them(tmp_path: Path) -> None:
    with nncomp.open(tmp_path / "a.nnc", "wb", method=PAPER, weights=OWN) as file:
        file.write(PICTURE)
    with nncomp.open(tmp_path / "a.nnc", weights=OWN) as file:
        assert file.read() == PICTURE
    with pytest.raises(MissingWeightsError), nncomp.open(tmp_path / "a.nnc") as file:
        file.read()


@pytest.mark.parametrize("method", ["fsar", "zstd", "auto"])
def test_weights_without_effect_are_refused(method: str) -> None:
    with pytest.raises(MethodError, match="takes no weights"):
        nncomp.compress(PICTURE, method, weights=OWN)


def test_weights_of_something_else_are_refused(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="are no model of pictures: it has no decoder"):
        nncomp.compress(
            PICTURE, PAPER, weights=(weights.folder() / "fsar_classes.safetensors").read_bytes()
        )
    with pytest.raises(FileError, match="no weights that nncomp train-image made"):
        nncomp.compress(PICTURE, PAPER, weights=b"nothing")
    with pytest.raises(FileNotFoundError):
        nncomp.compress(PICTURE, PAPER, weights=tmp_path / "none")


def test_a_header_that_lies_about_weights_is_noticed() -> None:
    """The records name theirs, too, so that other weights never make other pixels."""
    own, shipped = nncomp.compress(PICTURE, PAPER, weights=OWN), weights.load("fsar")
    member = next(iter(read_members(BufferInput(own))))
    (record,) = member.records(1 << 20)
    sink = io.BytesIO()
    writer = MemberWriter(sink, replace(member.header, weights_digest=shipped.sha256))
    writer.add(PICTURE, record.payload)
    writer.finish()
    with pytest.raises(MissingWeightsError, match="needs the weights with digest"):
        nncomp.decompress(sink.getvalue())
