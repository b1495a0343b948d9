"""Pictures are read from files as pixels; everyone must give the same ones back."""

from __future__ import annotations

import io
import json
import struct
import sys
import zlib
from typing import TYPE_CHECKING

import numpy as np
import pytest
from click.testing import CliRunner

from nncomp.bench import image_peers
from nncomp.bench.image_files import Stack, load
from nncomp.bench.image_peers import Peer, own, peers
from nncomp.bench.images import as_json, as_text, measure
from nncomp.cli.bench_images import images
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk
from nncomp.errors import FileError, UsageError

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
    with pytest.raises(FileError, match=r"a\.raw holds no picture"):
        load(tmp_path / "a.raw")
    with pytest.raises(UsageError, match="--shape 20xa is not valid"):
        load(tmp_path / "a.raw", "20xa")


def test_peers_by_name() -> None:
    found, missing = peers(("cjxl -e 7",))
    assert [*(peer.name for peer in found), *missing] == ["cjxl -e 7"]
    with pytest.raises(UsageError, match="no peer 'cjxl -e 77'"):
        peers(("cjxl -e 7", "cjxl -e 77"))


def test_libraries_that_cannot_be_loaded(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    (tmp_path / "imagecodecs.py").write_text("raise ImportError('a symbol is missing')")
    monkeypatch.syspath_prepend(tmp_path)
    monkeypatch.delitem(sys.modules, "imagecodecs", raising=False)
    found, missing = peers(("qoi",))
    assert not found
    assert "a symbol is missing" in missing["qoi"]
    assert "pip install 'nncomp[bench]'" in missing["qoi"]


def test_results_add_up() -> None:
    results = measure([STACK, STACK], [own("fsar", 1), own("store")], 1)
    small, stored = results
    assert [result.name for result in results] == ["fsar -1", "store"]
    assert stored.results["bytes"][0] > PIXELS.nbytes
    assert small.results["bpsp"][0] == pytest.approx(8 / small.results["ratio"][0])
    read = json.loads(as_json(results))
    assert [set(entry) for entry in read] == [
        {"name", "description", "runs", "results", "failed"}
    ] * 2
    assert len(read[0]["results"]["encoding_time"]) == 2
    assert read[0]["results"]["bpp"][0] == pytest.approx(3 * read[0]["results"]["bpsp"][0])
    assert as_text(results).count("fsar -1") == 2


def no_decoder(files: list[bytes], like: np.ndarray) -> np.ndarray:
    raise OverflowError


def test_who_fails_costs_its_own_row_alone() -> None:
    liar = Peer("liar", lambda pixels: [b"x"], lambda files, like: np.zeros_like(like))
    broken = Peer("broken", lambda pixels: [b"x"], no_decoder)
    said: list[str] = []
    results = measure([STACK], [liar, broken, own("store")], 1, said.append)
    assert [result.failed for result in results] == [
        "made up: other pixels came back",
        "made up: OverflowError",
        "",
    ]
    assert "liar failed: made up: other pixels came back" in said
    shown = as_text(results)
    assert "broken           failed on made up: OverflowError" in shown
    assert shown.count("store") == 2
    assert json.loads(as_json(results))[0]["failed"] == results[0].failed


@pytest.mark.parametrize(
    ("script", "told"),
    [
        ("echo bad luck >&2; exit 3", "ended with code 3: bad luck"),
        ("exit 0", "made no file"),
        ("exec /bin/sleep 60", "did not end within 0.3 s"),
        ("kill -9 $$", "ended with code -9: no message"),
        (None, "cannot be run"),
    ],
)
def test_programs_that_fail(
    script: str | None, told: str, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    program = tmp_path / "cjxl"
    program.write_text(f"#!/bin/sh\n{script}\n" if script else "#!/no/such/program\n")
    program.chmod(0o755)
    (tmp_path / "djxl").symlink_to(program)
    monkeypatch.setenv("PATH", str(tmp_path))
    monkeypatch.setattr(image_peers, "_PATIENCE", 0.3)
    found, missing = peers(("cjxl -e 7",))
    assert not missing
    failed, stored = measure([STACK], [*found, own("store")], 1)
    assert failed.failed.startswith("made up: cjxl ")
    assert told in failed.failed
    assert not stored.failed


@pytest.mark.parametrize("name", ["png optimised", "webp -z 9", "jpegxl -e 7", "qoi", "cjxl -e 7"])
@pytest.mark.parametrize("channels", [1, 3, 4])
def test_peers_give_pixels_back(name: str, channels: int) -> None:
    found, missing = peers((name,))
    if missing:
        pytest.skip(f"{name} is not here: {missing[name]}")
    pixels = np.random.default_rng(1).integers(0, 256, (2, 20, 30, channels)).astype(np.uint8)
    for result in measure([Stack("made up", pixels, 0)], found, 1):
        assert not result.failed
        assert result.results["bpp"][0] == pytest.approx(result.results["bpsp"][0] * channels)


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


def test_command_fails_if_somebody_did(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    broken = Peer("broken", lambda pixels: [b"x"], no_decoder)
    monkeypatch.setattr(image_peers, "peers", lambda names: ([broken], {}))
    words = [str(written(tmp_path)["a.ppm"]), "-m", "store", "--rounds", "1"]
    answer = CliRunner().invoke(images, words)
    assert answer.exit_code == 1
    assert "failed on a.ppm" in answer.stdout
    assert "store" in answer.stdout
