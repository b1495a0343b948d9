"""Training: it goes on where it ended, to the same weights, and its result is a file."""

from __future__ import annotations

import json
import struct
import zlib
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest
import torch
from click.testing import CliRunner

from nncomp import weights
from nncomp.cli.train_image import train_image
from nncomp.codecs.image.paper import decode_paper, encode_paper, paper_model
from nncomp.codecs.image.plates import Shape
from nncomp.errors import FileError, UsageError
from nncomp.models.fsar import Fsar, FsarConfig
from nncomp.models.fsar_integer import Decoder, Encoder
from nncomp.training.export import counts_of
from nncomp.training.loop import CHECKPOINT, Plan, load_checkpoint, train
from nncomp.training.pictures import Pictures, find_pictures, load_picture
from nncomp.training.shipped import pack_model

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

PLAN = Plan(FsarConfig(codes=4, dim=2, width=4, hidden=4), steps=5, batch=2, size=8, free=0.2)


@pytest.fixture(autouse=True)
def _one_thread() -> Iterator[None]:
    before = torch.get_num_threads()
    torch.set_num_threads(1)
    yield
    torch.set_num_threads(before)


@pytest.fixture
def pictures() -> Pictures:
    rng = np.random.default_rng(1)
    shapes = [(20, 12, 3), (9, 30, 3), (4, 40, 3)]
    return Pictures([rng.integers(0, 256, shape).astype(np.uint8) for shape in shapes], 8)


def state_of(folder: Path) -> dict[str, Any]:
    return load_checkpoint(folder / CHECKPOINT)[1].state_dict()


class StoppedError(Exception):
    """As if the machine had been switched off."""


def test_an_interrupted_training_comes_to_the_same_weights(
    pictures: Pictures, tmp_path: Path
) -> None:
    train(PLAN, pictures, tmp_path / "whole", every=2)

    def stop(step: int, bits: float) -> None:
        if step == 3:
            raise StoppedError

    with pytest.raises(StoppedError):
        train(PLAN, pictures, tmp_path / "parts", every=2, tell=stop)
    seen = list[int]()
    train(PLAN, pictures, tmp_path / "parts", every=2, tell=lambda step, _: seen.append(step))
    assert seen == [3, 4, 5]
    whole, parts = state_of(tmp_path / "whole"), state_of(tmp_path / "parts")
    assert whole.keys() == parts.keys()
    assert all(torch.equal(whole[name], parts[name]) for name in whole)

    lines = [json.loads(x) for x in (tmp_path / "parts" / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [2, 4, 5]
    assert all(line["bits"] > 1 for line in lines)


def test_seeds_differ(pictures: Pictures, tmp_path: Path) -> None:
    train(replace(PLAN, steps=1), pictures, tmp_path / "0")
    train(replace(PLAN, steps=1, seed=1), pictures, tmp_path / "1")
    first, second = state_of(tmp_path / "0"), state_of(tmp_path / "1")
    assert not torch.equal(first["quantiser.codes"], second["quantiser.codes"])


def test_another_plan_is_refused(pictures: Pictures, tmp_path: Path) -> None:
    train(replace(PLAN, steps=1), pictures, tmp_path)
    with pytest.raises(UsageError, match="another training"):
        train(PLAN, pictures, tmp_path)


def test_a_damaged_checkpoint_is_named(pictures: Pictures, tmp_path: Path) -> None:
    train(replace(PLAN, steps=1), pictures, tmp_path)
    path = tmp_path / CHECKPOINT
    whole = path.read_bytes()
    flipped = bytearray(whole)
    middle = len(whole) // 2
    flipped[middle : middle + 256] = bytes(x ^ 1 for x in whole[middle : middle + 256])
    for damaged in (b"", b"nothing", whole[: len(whole) // 2], bytes(flipped)):
        path.write_bytes(damaged)
        with pytest.raises(FileError, match=CHECKPOINT):
            train(replace(PLAN, steps=1), pictures, tmp_path)
    for state in ([], {"plan": None}, {"plan": {"model": {}}, "model": 0}):
        torch.save(state, path)
        with pytest.raises((FileError, UsageError), match=CHECKPOINT):
            train(replace(PLAN, steps=1), pictures, tmp_path)


def test_a_training_that_is_told_to_stop_has_a_checkpoint(
    pictures: Pictures, tmp_path: Path
) -> None:
    seen = list[int]()
    train(PLAN, pictures, tmp_path, tell=lambda step, _: seen.append(step), stopped=lambda: True)
    assert seen == [1]
    assert load_checkpoint(tmp_path / CHECKPOINT)[2]["step"] == 1


def test_the_log_has_no_step_twice(pictures: Pictures, tmp_path: Path) -> None:
    train(PLAN, pictures, tmp_path, every=2, stopped=lambda: True)
    with (tmp_path / "log.jsonl").open("a") as log:  # as if it had died before the checkpoint
        log.write('{"step": 2, "bits": 1}\n{"step": 4, "bi')
    train(PLAN, pictures, tmp_path, every=2)
    lines = [json.loads(x) for x in (tmp_path / "log.jsonl").read_text().splitlines()]
    assert [line["step"] for line in lines] == [1, 2, 4, 5]


def test_a_training_that_learns_nothing_ends(pictures: Pictures, tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="smaller --rate"):
        train(replace(PLAN, steps=50, rate=1e30), pictures, tmp_path)


def test_codes_cost_nothing_first_and_their_price_later() -> None:
    plan = Plan(steps=100, free=0.2)
    assert [plan.price(step) for step in (0, 20, 30, 40, 99)] == [0, 0, 0.5, 1, 1]
    assert [plan.learning_rate(step) for step in (0, 50, 75)] == [3e-3, 3e-3, 1.5e-3]


def test_pieces_are_whole_numbers_of_the_size_asked_for(pictures: Pictures) -> None:
    batch = pictures.batch(5, torch.Generator().manual_seed(1))
    assert batch.shape == (5, 3, 8, 8)
    assert torch.equal(batch, batch.round())
    assert batch.min() >= 0
    assert batch.max() <= 255
    assert len(pictures.pictures) == 2  # the third is too low
    with pytest.raises(UsageError, match="41 x 41"):
        Pictures(pictures.pictures, 41)


def test_pictures_are_found_and_read(tmp_path: Path) -> None:
    image = pytest.importorskip("PIL.Image")
    pixels = np.arange(48, dtype=np.uint8).reshape(4, 4, 3)
    (tmp_path / "deep").mkdir()
    image.fromarray(pixels).save(tmp_path / "deep" / "b.png")
    image.fromarray(pixels[:, :, 0]).save(tmp_path / "a.png")
    np.save(tmp_path / "c.npy", pixels[None])
    (tmp_path / "notes.txt").touch()
    paths = find_pictures([tmp_path])
    assert [path.name for path in paths] == ["a.png", "c.npy", "b.png"]
    grey, stack, colour = (load_picture(path) for path in paths)
    assert np.array_equal(grey[0], np.repeat(pixels[:, :, :1], 3, axis=2))
    assert np.array_equal(colour[0], pixels)
    assert np.array_equal(stack[0], pixels)

    (tmp_path / "a.png").write_bytes(b"no picture")
    with pytest.raises(FileError, match=r"a\.png"):
        load_picture(tmp_path / "a.png")
    whole = (tmp_path / "deep" / "b.png").read_bytes()
    giant = whole[:16] + struct.pack(">II", 60_000, 60_000) + whole[24:29]
    giant += struct.pack(">I", zlib.crc32(giant[12:])) + whole[33:]
    for damaged in (whole[:50], giant):  # Pillow says so of each by an error of another kind
        (tmp_path / "a.png").write_bytes(damaged)
        with pytest.raises(FileError, match=r"a\.png"):
            load_picture(tmp_path / "a.png")
    np.save(tmp_path / "c.npy", pixels)
    with pytest.raises(FileError, match=r"uint8\[4, 4, 3\]"):
        load_picture(tmp_path / "c.npy")
    (tmp_path / "empty").mkdir()
    with pytest.raises(UsageError, match="no pictures"):
        find_pictures([tmp_path / "empty"])


# --- the file ------------------------------------------------------------------------


def test_what_was_trained_is_a_model(pictures: Pictures, tmp_path: Path) -> None:
    model = train(PLAN, pictures, tmp_path / "training")
    found = weights.read(pack_model(PLAN, model, pictures.pictures, {"a.png": "00"}))
    assert json.loads(found.metadata["recipe"])["plan"]["steps"] == 5
    codes = Encoder(found.tensors)(pictures.pictures[0])
    assert Decoder(found.tensors)(codes)[0].shape == (3, 20, 12)
    assert found.tensors["prior.counts"].dtype == np.uint16


def test_others_read_the_file_too(tmp_path: Path) -> None:
    numpy = pytest.importorskip("safetensors.numpy")
    tensors = {"a": np.arange(3, dtype=np.uint8), "b": np.ones((2, 2), np.int32)}
    (tmp_path / "x.safetensors").write_bytes(weights.pack(tensors, {"recipe": "none"}))
    found = numpy.load_file(tmp_path / "x.safetensors")
    assert {name: value.tolist() for name, value in found.items()} == {
        name: value.tolist() for name, value in tensors.items()
    }


# --- the command ---------------------------------------------------------------------


def test_the_command_trains_and_goes_on(tmp_path: Path) -> None:
    stack = np.random.default_rng(3).integers(0, 256, (2, 16, 16, 3)).astype(np.uint8)
    np.save(tmp_path / "stack.npy", stack)
    target = tmp_path / "own.safetensors"
    arguments = [str(tmp_path / "stack.npy"), "-o", str(target), "--steps", "2", "--batch", "1"]
    arguments += ["--size", "8", "--width", "4", "--codes", "4", "--device", "cpu"]
    run = CliRunner().invoke(train_image, arguments, standalone_mode=False)
    assert run.exception is None, run.output
    first = target.read_bytes()
    recipe = json.loads(weights.unpack(first).metadata["recipe"])
    assert recipe["plan"]["model"]["codes"] == 4
    assert list(recipe["pictures"]) == ["stack.npy"]

    again = CliRunner().invoke(train_image, [*arguments, "-f"], standalone_mode=False)
    assert again.exception is None, again.output
    assert target.read_bytes() == first
    log = (tmp_path / "own.safetensors.training" / "log.jsonl").read_text()
    assert len(log.splitlines()) == 1  # there was nothing left to do

    uneven = [*arguments, "-f", "--stride", "8", "--size", "12"]
    wrong = CliRunner().invoke(train_image, uneven, standalone_mode=False)
    assert isinstance(wrong.exception, UsageError)

    large = [*arguments, "-f", "--codes", "90"]
    wrong = CliRunner().invoke(train_image, large, standalone_mode=False)
    assert isinstance(wrong.exception, UsageError)
    assert "89 codes would do" in str(wrong.exception)


SIZES = [
    {"codes": 89, "groups": 4, "width": 4},
    {"codes": 256, "groups": 2, "prior": "O1S", "width": 4},
    {"codes": 2, "groups": 1, "prior": "order0", "stride": 8, "quantiser": "VQ"},
    {"width": 64, "stride": 4, "prior": "O1S"},
]


@pytest.mark.parametrize("sizes", SIZES, ids=lambda sizes: "-".join(map(str, sizes.values())))
def test_the_codec_takes_all_sizes_that_the_command_offers(sizes: dict[str, Any]) -> None:
    torch.manual_seed(1)
    config = FsarConfig(**sizes)
    ramp = np.add.outer(np.arange(24), np.arange(20)).astype(np.uint8)
    picture = np.stack([ramp, 3 * ramp, 200 - ramp], axis=2)
    model = paper_model(weights.read(pack_model(Plan(config), Fsar(config), [picture], {})))
    samples, shape = picture.transpose(2, 0, 1)[[1, 0, 2], None], Shape(3, 1, 24, 20, 8)
    coded = encode_paper(samples, shape, model)
    assert np.array_equal(decode_paper(memoryview(coded), shape, model), samples)


def test_counts_of_many_codes_are_tables() -> None:
    p = np.full((1, 3, 256), 1 / 256)
    p[0, 1, :128] *= 0.7
    p[0, 1, 128:] *= 1.3
    p[0, 2] = np.linspace(0.5, 1.5, 256) / 256
    counts = counts_of(p).astype(int)
    assert (counts.sum(axis=-1) == 1024).all()
    assert (counts[..., -1] > 0).all()
    assert counts.max() < 10
