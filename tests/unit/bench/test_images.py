"""Pictures are read from files as pixels; everyone must give the same ones back."""

from __future__ import annotations

import io
import json
import struct
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from nncomp.bench.images import Peer, Stack, as_json, as_text, load, measure, own, peers
from nncomp.cli.bench_images import images
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from pathlib import Path

PIXELS = (np.arange(3 * 20 * 30).reshape(1, 20, 30, 3) % 251).astype(np.uint8)
STACK = Stack("made up", PIXELS, PIXELS.nbytes)


def written(folder: Path) -> dict[str, Path]:
    """The same pixels in files of several formats."""
    npy = io.BytesIO()
    np.save(npy, PIXELS)
    lines = b"".join(b"\0" + row.tobytes() for row in PIXELS[0])
    head = struct.pack(">IIBBBBB", 30, 20, 8, 2, 0, 0, 0)
    chunks = ((b"IHDR", head), (b"IDAT", zlib.compress(lines)), (b"IEND", b""))
    contents = {
        "a.ppm": b"P6 30 20 255\n" + PIXELS.tobytes(),
        "a.npy": npy.getvalue(),
        "a.png": SIGNATURE + b"".join(pack_chunk(*chunk) for chunk in chunks),
        "a.raw": PIXELS.tobytes(),
    }
    for name, content in contents.items():
        (folder / name).write_bytes(content)
    return {name: folder / name for name in contents}


def test_files_give_pixels(tmp_path: Path) -> None:
    for name, path in written(tmp_path).items():
        stack = load(path, "20x30x3" if name == "a.raw" else "auto")
        assert np.array_equal(stack.pixels, PIXELS)
        assert stack.file == path.stat().st_size
    with pytest.raises(UsageError, match="holds no picture"):
        load(tmp_path / "a.raw")
    with pytest.raises(UsageError, match="--shape 20xa is not valid"):
        load(tmp_path / "a.raw", "20xa")


def test_peers_by_name() -> None:
    found, missing = peers(("cjxl -e 7",))
    assert [*(peer.name for peer in found), *missing] == ["cjxl -e 7"]
    with pytest.raises(UsageError, match="no peer 'cjxl -e 77'"):
        peers(("cjxl -e 7", "cjxl -e 77"))


def test_results_add_up() -> None:
    results = measure([STACK, STACK], [own("fsar", 1), own("store")], 1)
    small, stored = results
    assert [result.name for result in results] == ["fsar -1", "store"]
    assert stored.results["bytes"][0] > PIXELS.nbytes
    assert small.results["bpsp"][0] == pytest.approx(8 / small.results["ratio"][0])
    read = json.loads(as_json(results))
    assert [set(entry) for entry in read] == [{"name", "description", "results"}] * 2
    assert len(read[0]["results"]["encoding_time"]) == 2
    assert as_text(results).count("fsar -1") == 2


def test_who_gives_other_pixels_back_is_found_out() -> None:
    liar = Peer("liar", lambda pixels: [b"x"], lambda files, like: np.zeros_like(like))
    with pytest.raises(UsageError, match="liar gives other pixels"):
        measure([STACK], [liar], 1)


def test_who_cannot_take_pictures_is_left_out() -> None:
    grey = Peer("grey", lambda pixels: [b"x"], lambda files, like: like, kinds=(1,))
    assert measure([STACK], [grey], 1) == []


def test_command(tmp_path: Path) -> None:
    names = written(tmp_path)
    words = [str(names["a.ppm"]), "-m", "fsar -1", "--peer", "none", "--rounds", "1"]
    answer = CliRunner().invoke(images, words)
    assert answer.exit_code == 0
    assert "a.ppm" in answer.stdout
    target = tmp_path / "out.json"
    assert (
        CliRunner().invoke(images, [*words, "--format", "json", "-o", str(target)]).exit_code == 0
    )
    assert json.loads(target.read_text())[0]["name"] == "fsar -1"
    assert isinstance(CliRunner().invoke(images, [*words, "-m", "fsar -x"]).exception, UsageError)
