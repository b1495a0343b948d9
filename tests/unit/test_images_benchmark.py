"""benchmarks/images.py, and how readme.py shows what scripts save."""

from __future__ import annotations

import sys
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nncomp.bench import image_peers

if TYPE_CHECKING:
    from types import ModuleType

BENCHMARKS = Path(__file__).parents[2] / "benchmarks"


@pytest.fixture
def script(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> ModuleType:
    """The script on two small pictures, its records in a folder of their own."""
    monkeypatch.syspath_prepend(BENCHMARKS)
    found = import_module("images")
    for name, height in (("a.pgm", 6), ("b.pgm", 2)):
        (tmp_path / name).write_bytes(b"P5 4 %d 255\n" % height + bytes(range(4 * height)))
    monkeypatch.setattr(found, "FILES", (("a.pgm", "auto", False), ("b.pgm", "auto", False)))
    monkeypatch.setattr(found, "COLUMNS", {"Both": ("a.pgm", "b.pgm"), "None": ("c.pgm",)})
    monkeypatch.setattr(found, "METHODS", (("store", None),))
    monkeypatch.setattr(image_peers, "peers", lambda: ([], {"cjxl": "apt-get install it"}))
    monkeypatch.setattr(import_module("common"), "RESULTS", tmp_path)
    return found


def run(script: ModuleType, monkeypatch: pytest.MonkeyPatch, *words: str) -> None:
    monkeypatch.setattr(sys, "argv", ["images.py", *words])
    script.main()


def test_measuring_and_showing(
    script: ModuleType,
    monkeypatch: pytest.MonkeyPatch,
    tmp_path: Path,
    capsys: pytest.CaptureFixture[str],
) -> None:
    run(script, monkeypatch, "--data", str(tmp_path), "--rounds", "1", "--save", "some")
    printed, told = capsys.readouterr()
    assert "cjxl is not on this machine; apt-get install it" in told
    record: dict[str, Any] = import_module("common").load(tmp_path / "some.json")
    (one,) = record["results"]
    assert (one["name"], one["results"]["image"]) == ("store", ["a.pgm", "b.pgm"])
    cells = printed.splitlines()[2].strip("| ").split(" | ")
    bits = 8 * sum(one["results"]["bytes"]) / 32
    assert cells[:4] == ["`store`", "call", f"{bits:.3f}", "-"]
    assert bits > 8  # an archive around what is stored
    assert record["machine"]["cpu"] in printed
    run(script, monkeypatch, "--table", str(tmp_path / "some.json"))
    assert capsys.readouterr().out == printed


def test_the_document_shows_it(
    script: ModuleType, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    readme = import_module("readme")
    wanted = {"some": readme.Script("images", ("--rounds", "1", "--data", ".")), "by-hand": None}
    wanted["by-hand"] = readme.Script("images", manual="a photograph")
    document = tmp_path / "document.md"
    document.write_text("<!-- table: some, figures -->\n<!-- end -->\n")
    monkeypatch.setattr(readme, "MEASUREMENTS", wanted)
    monkeypatch.setattr(readme, "DOCUMENTS", (document,))
    readme.write()
    assert "`python benchmarks/readme.py --measure some`" in document.read_text()
    run(script, monkeypatch, "--data", str(tmp_path), "--rounds", "1", "--save", "some")
    assert readme.check() == 1
    readme.write()
    assert "| `store` | " in document.read_text()
    assert readme.check() == 0
    assert wanted["some"].command("some", tmp_path)[2:] == [
        *("--rounds", "1", "--data", ".", "--save", "some.part"),
    ]
    with pytest.raises(SystemExit, match="by-hand needs a photograph"):
        readme.measure("by-hand", tmp_path)
    document.write_text("<!-- table: some, methods -->\n<!-- end -->\n")
    with pytest.raises(SystemExit, match="nothing makes"):
        readme.check()
