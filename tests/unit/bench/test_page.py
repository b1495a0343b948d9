from __future__ import annotations

import base64
import hashlib
import json
import re
import shutil
import subprocess
import sys
from html import unescape
from html.parser import HTMLParser
from typing import TYPE_CHECKING, Any

import pytest

from nncomp.bench.page import as_html

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nncomp.bench.records import Record

_EMPTY = {"meta", "input"}


class Page(HTMLParser):
    """What is in a page; that its tags close as they opened is checked on the way."""

    def __init__(self, text: str) -> None:
        super().__init__(convert_charrefs=True)
        self.tags: list[tuple[str, dict[str, str | None]]] = []
        self.texts: dict[str, list[str]] = {}
        self._open: list[str] = []
        self.feed(text)
        self.close()
        assert not self._open

    def handle_starttag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))
        self.texts.setdefault(tag, [])
        if tag not in _EMPTY:
            self._open.append(tag)

    def handle_startendtag(self, tag: str, attrs: list[tuple[str, str | None]]) -> None:
        self.tags.append((tag, dict(attrs)))

    def handle_endtag(self, tag: str) -> None:
        assert self._open.pop() == tag

    def handle_data(self, data: str) -> None:
        if self._open:
            self.texts[self._open[-1]].append(data)

    def all(self, tag: str) -> list[dict[str, str | None]]:
        return [attributes for name, attributes in self.tags if name == tag]


@pytest.fixture(scope="module")
def text(record: Record) -> str:
    return as_html(record)


def test_nothing_is_loaded_from_anywhere(text: str) -> None:
    page = Page(text)
    for _, attributes in page.tags:
        for name, value in attributes.items():
            if name in ("src", "href", "xlink:href", "action", "srcset"):
                assert value is not None
                assert value.startswith("#")
            assert not name.startswith("on")
    assert not {"link", "img", "iframe", "base", "object"} & {tag for tag, _ in page.tags}
    outside = text.replace("http://www.w3.org/", "")  # names of SVG, no addresses
    assert "://" not in outside
    assert "@import" not in text
    assert not re.search(r"url\((?!#)", text)


def test_the_policy_lets_nothing_load_and_no_other_script_run(text: str) -> None:
    page = Page(text)
    policy = next(each for each in page.all("meta") if "http-equiv" in each)
    assert policy["http-equiv"] == "Content-Security-Policy"
    rules = dict(rule.split(" ", 1) for rule in str(policy["content"]).split("; "))
    assert rules["default-src"] == "'none'"
    (script,) = page.texts["script"]
    digest = base64.b64encode(hashlib.sha256(script.encode()).digest()).decode()
    assert rules["script-src"] == f"'sha256-{digest}'"


def test_names_are_text_in_whatever_place(hostile: Record) -> None:
    text = as_html(hostile)
    assert text.encode()
    assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    page = Page(text)
    assert len(page.all("script")) == 1
    headings = [each for each in page.texts["h2"] if "alert" in each]
    assert headings == [
        "</h2><script>alert('$1$')</script>|`a`\\x1b[2J\\r\\n\\udcff\"'&字: 5,000 bytes"
    ]
    assert any("no figures: </h2><script>" in each for each in page.texts["td"])


def test_ids_are_there_once_and_what_refers_to_them_finds_them(text: str) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    ids = [value for _, attributes in Page(text).tags if (value := attributes.get("id"))]
    assert len(ids) == len(set(ids)) > 10
    used = re.findall(r'(?:url\(|href=")#([^")]+)', text)
    assert used
    assert set(used) <= set(ids)


def test_pictures_take_the_colours_of_the_page(text: str) -> None:
    pytest.importorskip("matplotlib", reason="pictures need matplotlib")
    assert len(Page(text).all("svg")) == 2
    for name in ("ink", "own", "peer"):
        assert f": var(--{name})" in text[text.index("<svg") :]
    assert "#d55e00" not in text
    assert "fill: #ffffff" not in text


def test_every_row_is_there_with_values_to_sort_by(text: str) -> None:
    page = Page(text)
    rows = [each for each in page.all("tr") if each.get("class")]
    assert len(rows) == 3 * 7
    assert sum("failed" in str(each["class"]) for each in rows) == 4
    sections = [each for each in page.all("section") if "data-table" in each]
    assert [each.get("data-file") for each in sections] == [None, "book", "picture"]
    values = [each["data-value"] for each in page.all("td") if "data-value" in each]
    numbers = [float(value) for value in values if value not in ("yes", None)]
    assert 30303.0 in numbers
    assert len(page.all("button")) == len(page.all("th")) - 3 * 7 - 3  # rows; the list of files


def test_machine_settings_digests_and_missing_peers_are_told(record: Record, text: str) -> None:
    page = Page(text)
    facts = dict(zip(page.texts["dt"], page.texts["dd"], strict=True))
    assert "Some Processor @ 2.60GHz, 2 cores" in facts["machine"]
    assert "zstd 1.5.4" in facts["versions"]
    assert facts["not found"] == "zpaq (apt install zpaq)"
    assert record.inputs[0].sha256 in page.texts["td"]


def test_without_matplotlib_the_page_says_what_to_install(
    record: Record, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setitem(sys.modules, "matplotlib", None)
    page = Page(as_html(record))
    assert not page.all("svg")
    assert any("pip install 'nncomp[plot]'" in each for each in page.texts["p"])


def test_no_file_and_an_empty_one(make: Callable[..., Record]) -> None:
    assert not [each for each in Page(as_html(make({}))).all("section") if "data-table" in each]
    assert Page(as_html(make({"empty": 0})))


# --- in a browser --------------------------------------------------------------------

_BROWSER = next(filter(None, map(shutil.which, ("chromium", "chromium-browser"))), None)

_PROBE = """<script>
const found = {};
const table = document.querySelectorAll("section[data-table] table")[1];
const names = () => Array.from(table.tBodies[0].rows, (row) => row.cells[0].dataset.value);
const press = (title) => {
  const button = Array.from(table.querySelectorAll("button")).find((b) => b.innerText === title);
  button.click();
  return [button.closest("th").getAttribute("aria-sort"), names()];
};
found.sorted = table.querySelectorAll("[aria-sort]").length;
found.ratio = press("ratio");
found.again = press("ratio");
found.speed = press("compress\\nMB/s");
found.method = press("method");
found.marked = table.querySelectorAll("[aria-sort]").length;
const [file, method] = document.querySelectorAll(".filter input");
const filter = (input, text) => {
  input.value = text;
  input.dispatchEvent(new Event("input"));
  return Array.from(document.querySelectorAll("section[data-table]:not([hidden])"),
    (section) => section.querySelectorAll("tbody tr:not([hidden])").length);
};
found.zstd = filter(method, "ZSTD");
found.book = filter(file, "book");
found.none = filter(method, "nothing of the kind");
filter(file, "");
found.all = filter(method, "");
document.body.innerHTML = "<pre></pre>";
document.querySelector("pre").textContent = JSON.stringify(found);
</script>"""


@pytest.mark.skipif(_BROWSER is None, reason="there is no Chromium here to run the script")
def test_tables_sort_and_filter_in_a_browser(text: str, tmp_path: Path) -> None:
    text = re.sub(r"<meta http-equiv=[^>]*>", "", text)  # which forbids the probe
    (tmp_path / "page.html").write_text(text.replace("</body>", f"{_PROBE}</body>"), "utf-8")
    arguments = ["--headless", "--no-sandbox", "--disable-gpu", "--disable-background-networking"]
    address = (tmp_path / "page.html").as_uri()
    run = subprocess.run(
        [str(_BROWSER), *arguments, f"--user-data-dir={tmp_path}/user", "--dump-dom", address],
        capture_output=True,
        text=True,
        timeout=120,
        check=True,
    )
    result = re.search("<pre>(.*?)</pre>", run.stdout, re.DOTALL)
    assert result is not None
    found: dict[str, Any] = json.loads(unescape(result[1]))
    by_ratio = ["sep", "mix -6", "xz -9e", "zstd -19", "zstd:level=3", "memcpy"]
    assert found["sorted"] == 0
    assert found["ratio"] == ["descending", [*by_ratio, "snappy"]]
    assert found["again"] == ["ascending", [*by_ratio[::-1], "snappy"]]  # failed, so the last
    assert found["speed"][1][:3] == ["memcpy", "zstd:level=3", "zstd -19"]
    assert found["method"][1][:3] == ["memcpy", "mix -6", "sep"]
    assert found["marked"] == 1
    assert found["zstd"] == [2, 2, 2]
    assert found["book"] == [2, 2]
    assert found["none"] == []
    assert found["all"] == [7, 7, 7]
