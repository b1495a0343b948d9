"""`nncomp explain`: text, documents, drawings, and what goes wrong."""

from __future__ import annotations

import importlib.util
import io
import json
import re
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

import nncomp
from nncomp.api.explanation import Region
from nncomp.cli.strip import Style, draw_strip
from tests.cli.conftest import TEXT

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke

CONTENT = TEXT + bytes(range(256)) * 40
needs_matplotlib = pytest.mark.skipif(
    importlib.util.find_spec("matplotlib") is None, reason="needs nncomp[plot]"
)


@pytest.fixture
def plain(tmp_path: Path) -> Path:
    path = tmp_path / "plain"
    path.write_bytes(CONTENT)
    return path


# ---------------------------------------------------------------- output


def test_text_has_all_tables(invoke: Invoke, plain: Path) -> None:
    run = invoke("explain", "-m", "mix:contexts=5", plain)
    assert (run.exit_code, run.stderr) == (0, "")
    size = len(nncomp.compress(CONTENT, "mix:contexts=5"))
    assert f"plain: {len(CONTENT):,} bytes in {size:,}, ratio" in run.stdout
    assert "1 archive, 1 record, compressed for this\nmethod mix:contexts=5," in run.stdout
    assert "costs are known of every byte\n" in run.stdout
    assert re.search(rf"^total +{size:,}\.0 +100\.00%$", run.stdout, re.MULTILINE)
    assert re.search(r"^costliest of 64 regions +bytes +bits/byte", run.stdout, re.MULTILINE)
    assert re.search(r"^container: footer +20\.0 ", run.stdout, re.MULTILINE)
    shares = re.findall(
        r"^(?:order \d|word|match|constant) +(-?[\d.]+)%$", run.stdout, re.MULTILINE
    )
    assert len(shares) == 7
    assert sum(map(float, shares)) == pytest.approx(100, abs=0.05)
    assert "\x1b" not in run.stdout
    assert run.stdout.isascii()


def test_costs_that_are_not_known_by_byte_are_said_to_be_spread(
    invoke: Invoke, plain: Path
) -> None:
    run = invoke("explain", "-m", "lz4", plain)
    assert "costs are known of each record; spread evenly within\n" in run.stdout
    assert "input" not in run.stdout


def test_archives_and_content_give_the_same(invoke: Invoke, plain: Path) -> None:
    assert invoke("compress", "-m", "zstd", plain).exit_code == 0
    documents = []
    for options in (["-m", "zstd", plain], [f"{plain}.nnc"]):
        run = invoke("explain", "--format", "json", *options)
        assert (run.exit_code, run.stderr) == (0, "")
        documents.append(json.loads(run.stdout))
    compressed, archive = documents
    assert (compressed.pop("compressed"), archive.pop("compressed")) == (True, False)
    assert compressed.pop("file").endswith("plain")
    assert archive.pop("file").endswith("plain.nnc")
    assert compressed == archive


def test_document(invoke: Invoke, plain: Path) -> None:
    document = json.loads(invoke("explain", "--format=json", "-m", "mix:contexts=5", plain).stdout)
    assert set(document) == {
        "file", "methods", "compressed", "raw_size", "archive_size", "total", "members",
        "records", "units", "regions", "parts", "inputs", "tensors", "pictures",
    }  # fmt: skip
    assert document["total"] == pytest.approx(document["archive_size"], rel=1e-9)
    assert set(document["regions"][0]) == {"start", "size", "cost"}
    assert sum(region["size"] for region in document["regions"]) == len(CONTENT)
    assert sum(part["cost"] for part in document["parts"]) == document["total"]
    assert sum(one["share"] for one in document["inputs"]) == pytest.approx(1)


def test_nothing_at_all(invoke: Invoke) -> None:
    run = invoke("explain", input=b"")
    assert run.exit_code == 0
    assert "(stdin): 0 bytes in 59, ratio 0.000\n" in run.stdout
    assert "costliest" not in run.stdout


def test_level_and_method_do_not_count_for_archives(invoke: Invoke, archive: Path) -> None:
    run = invoke("explain", "-m", "lz4", archive)
    assert run.exit_code == 0
    assert "is an archive: -m and -1 to -9 do not count" in run.stderr
    assert "method zstd" in run.stdout


def test_names_out_of_files_cannot_command_the_terminal(invoke: Invoke, tmp_path: Path) -> None:
    header = json.dumps({"a\x1b[2Jb": {"dtype": "U8", "shape": [9], "data_offsets": [0, 9]}})
    path = tmp_path / "model.safetensors"
    path.write_bytes(len(header).to_bytes(8, "little") + header.encode() + b"\1\2\3" * 3)
    run = invoke("explain", "-m", "zipnn", path)
    assert r"a\x1b[2Jb" in run.stdout
    assert "\x1b" not in run.stdout


# ---------------------------------------------------------------- the strip


def strip(*costs: float) -> list[Region]:
    return [Region(10 * k, 10, 10 * cost / 8) for k, cost in enumerate(costs)]


def test_strip_in_plain_characters() -> None:
    text = draw_strip(strip(*[0, 1, 2, 3, 4, 5, 6, 8] * 8), Style())
    blocks, ruler = text.split("\n")
    assert blocks == ".:-=+*#@" * 8
    assert ruler.startswith("0 ")
    assert ruler.endswith(" 640")
    assert ". = 0, @ = 8 bits/byte" in ruler
    assert len(ruler) == 64


def test_strip_scales_to_what_there_is() -> None:
    assert "@ = 0.1 bits/byte" in draw_strip(strip(0.0, 0.01, 0.05), Style())
    assert "@ = 9.5 bits/byte" in draw_strip(strip(9.5, 1), Style())
    assert draw_strip(strip(0.0), Style()).startswith(".\n")


class Terminal(io.StringIO):
    encoding = "UTF-8"

    def isatty(self) -> bool:
        return True


def test_terminals_get_colours_unless_asked_not_to(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("COLUMNS", "70")
    monkeypatch.setenv("TERM", "xterm")
    monkeypatch.delenv("NO_COLOR", raising=False)
    assert Style.of(Terminal()) == Style(70, unicode=True, colour=True)
    assert Style.of(io.StringIO()) == Style(64, unicode=False, colour=False)
    coloured = draw_strip(strip(1, 8), Style.of(Terminal()))
    assert re.fullmatch(
        r"\x1b\[38;5;\d+m▂\x1b\[0m\x1b\[38;5;\d+m█\x1b\[0m", coloured.split("\n")[0]
    )
    monkeypatch.setenv("NO_COLOR", "1")
    assert draw_strip(strip(1, 8), Style.of(Terminal())).split("\n")[0] == "▂█"


# ---------------------------------------------------------------- drawings


@needs_matplotlib
@pytest.mark.parametrize(("suffix", "start"), [("svg", b"<?xml"), ("PNG", b"\x89PNG")])
def test_drawing(invoke: Invoke, plain: Path, suffix: str, start: bytes) -> None:
    target = plain.with_suffix(f".{suffix}")
    assert invoke("explain", "-m", "mix:contexts=5", plain, "--plot", target).exit_code == 0
    drawn = target.read_bytes()
    assert drawn.startswith(start)
    refused = invoke("explain", "-m", "mix:contexts=5", plain, "--plot", target)
    assert refused.exit_code == 1
    assert "exists already; use -f to overwrite it" in refused.stderr
    again = invoke("explain", "-m", "mix:contexts=5", plain, "--plot", target, "-f")
    assert again.exit_code == 0
    assert target.read_bytes() == drawn


@needs_matplotlib
def test_drawing_shows_what_there_is(invoke: Invoke, plain: Path) -> None:
    invoke("explain", "-m", "mix:contexts=5", plain, "--plot", "mix.svg")
    drawn = Path("mix.svg").read_text()
    assert "plain: 19,640 bytes in" in drawn
    assert "order 2" in drawn
    assert "bytes of the archive, by tensors" not in drawn
    invoke("explain", "--plot", "empty.svg", input=b"")
    assert "container: header" in Path("empty.svg").read_text()


@needs_matplotlib
@pytest.mark.parametrize(
    "name", ["good-mix-png-v2.nnc", "good-zipnn-safetensors-v1.nnc", "good-zipnn-everything-v1.nnc"]
)
def test_drawing_of_pictures_and_tensors(invoke: Invoke, name: str) -> None:
    path = Path(__file__).parents[1] / "golden" / name
    run = invoke("explain", path, "--plot", "drawn.svg")
    assert (run.exit_code, run.stderr) == (0, "")
    drawn = Path("drawn.svg").read_text()
    assert ("cost of the pixels" in drawn) == ("png" in name)
    assert ("by tensors" in drawn) == ("safetensors" in name)


# ---------------------------------------------------------------- what goes wrong


def test_drawing_without_matplotlib(
    invoke: Invoke, plain: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    run = invoke("explain", plain, "--plot", "x.svg")
    assert run.exit_code == 2
    assert "pip install 'nncomp[plot]'" in run.stderr
    assert run.stdout == ""
    assert not Path("x.svg").exists()


def test_drawing_in_another_format(invoke: Invoke, plain: Path) -> None:
    run = invoke("explain", plain, "--plot", "x.jpg")
    assert run.exit_code == 2
    assert "pictures are written as .svg or .png" in run.stderr


def test_damaged_archive(invoke: Invoke, archive: Path) -> None:
    data = bytearray(archive.read_bytes())
    data[-30] ^= 1
    archive.write_bytes(data)
    run, tested = invoke("explain", archive, "--plot", "x.svg"), invoke("test", archive)
    assert (run.exit_code, run.stdout) == (1, "")
    assert run.stderr == tested.stderr
    assert not Path("x.svg").exists()


def test_what_cannot_be_read(invoke: Invoke, tmp_path: Path) -> None:
    assert invoke("explain", "missing").exit_code == 1
    folder = invoke("explain", tmp_path)
    assert folder.exit_code == 1
    assert "explain takes one file" in folder.stderr  # there is no -r that it could name
    assert invoke("explain", "-m", "nothing", "missing").exit_code == 2
