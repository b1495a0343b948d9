"""What is not done as asked is said, or refused."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import pytest

import nncomp
from nncomp.codecs.base import Context, resolve_params
from nncomp.codecs.image.fsar import FSAR
from nncomp.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    import numpy as np


@pytest.mark.parametrize("method", ["depth=16", "planar=on"])
def test_plain_pixels_without_a_shape(method: str) -> None:
    with pytest.raises(MethodError, match="tell their shape="):
        nncomp.compress(b"x" * 100, f"fsar:{method}")


@pytest.mark.parametrize("method", ["shape=9x9", "shape=9x9x4", "shape=9x9x3,depth=16"])
def test_paper_for_a_shape_that_it_does_not_know(method: str) -> None:
    with pytest.raises(MethodError, match="three colours of 8 bits"):
        nncomp.compress(b"x" * 972, f"fsar:mode=paper,{method}")


@pytest.mark.parametrize("name", ["pgm", "pgm 16", "png rgb 16", "png grey", "npy HW"])
def test_paper_for_other_files(
    name: str, files: Mapping[str, bytes], coded: Callable[..., Any]
) -> None:
    (block,), said = coded(files[name], mode="paper", classes="1")
    assert block.payload is not None
    assert said == [
        "mode=paper is for three colours of 8 bits: this picture is coded as without it"
    ]


@pytest.mark.parametrize("name", ["ppm", "png rgb"])
def test_pictures_larger_than_a_record(
    name: str,
    ppm: Callable[[np.ndarray], bytes],
    png: Callable[..., bytes],
    picture: Callable[..., np.ndarray],
    coded: Callable[..., Any],
) -> None:
    samples = picture(3, 1, 200, 200)
    _, said = coded(ppm(samples) if name == "ppm" else png(samples, 2), block="64K")
    assert len(said) == 1
    assert "larger than a record" in said[0]
    assert "block=1M" in said[0]


def test_shapes_that_do_not_fit(coded: Callable[..., Any]) -> None:
    _, said = coded(bytes(99), shape="10x10")
    assert said == ["99 bytes are less than a picture of shape=: 100 bytes"]
    _, said = coded(bytes(720), shape="10x10", classes="1")
    assert said == [
        "20 bytes behind the last whole picture are coded as plain bytes: shape= makes pictures of "
        "100 bytes"
    ]
    assert coded(bytes(700), shape="10x10", classes="1")[1] == []


def test_what_follows_a_png_file_does_not_keep_it_from_being_coded(
    files: Mapping[str, bytes], coded: Callable[..., Any]
) -> None:
    data = files["png rgb"] + b"what is this"
    blocks, said = coded(data)
    assert said == []
    assert [block.raw for block in blocks] == [files["png rgb"], b"what is this"]
    assert len(blocks[0].payload) < len(blocks[0].raw)
    assert nncomp.decompress(nncomp.compress(data, "fsar")) == data


def test_pixels_only_keeps_png_files_that_are_damaged(
    files: Mapping[str, bytes], coded: Callable[..., Any]
) -> None:
    data = files["png foreign"][:-30]
    (block,), said = coded(data, pixels="only")
    assert block.raw == data
    assert len(said) == 1
    assert "it is damaged" in said[0]


def test_nothing_is_said_twice(picture: Callable[..., np.ndarray]) -> None:
    said: list[str] = []
    data = picture(1, 200, 28, 30)[0].tobytes()
    head = b"\x93NUMPY\1\0\x76\0{'descr': '|u1', 'fortran_order': False, 'shape': (200, 28, 30), }"
    content = head.ljust(127) + b"\n" + data
    params = resolve_params(FSAR, {"block": "64K", "mode": "paper", "classes": "1"}, None)
    assert len(list(FSAR.encode([content], params, Context(2, warn=said.append)))) > 1
    assert len(said) == 1
