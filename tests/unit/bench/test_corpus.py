from __future__ import annotations

import bz2
import hashlib
import io
import json
import tarfile
import threading
import zipfile
from functools import partial
from http.server import SimpleHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

from nncomp.bench import corpus
from nncomp.errors import FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterator

CONTENT = b"some content " * 40


class Handler(SimpleHTTPRequestHandler):
    def log_message(self, *arguments: Any) -> None:
        """Nothing on standard error."""


@pytest.fixture
def site(tmp_path: Path) -> Iterator[tuple[str, Path]]:
    """A server on this machine, and the folder that it shows."""
    folder = tmp_path / "site"
    folder.mkdir()
    handler = partial(Handler, directory=str(folder))
    with ThreadingHTTPServer(("127.0.0.1", 0), handler) as server:
        thread = threading.Thread(target=server.serve_forever)
        thread.start()
        yield f"http://127.0.0.1:{server.server_port}", folder
        server.shutdown()
        thread.join()


def entry(address: str, content: bytes = CONTENT, **more: Any) -> dict[str, Any]:
    digest = hashlib.sha256(content).hexdigest()
    found = {"name": "file", "address": address, "size": len(content), "sha256": digest}
    return found | more


def written(folder: Path, *entries: dict[str, Any]) -> corpus.Corpus:
    path = folder / "mine.json"
    path.write_text(json.dumps({"about": "of this test", "files": entries}))
    return corpus.manifest(str(path))


def nothing(_text: str) -> None:
    """Nobody is told."""


def pack(path: Path) -> None:
    """Put the content into the kind of file that the suffix says."""
    if path.suffix == ".zip":
        with zipfile.ZipFile(path, "w") as archive:
            archive.writestr("inner", CONTENT)
    elif path.suffix == ".gz":
        with tarfile.open(path, "w:gz") as tar:
            info = tarfile.TarInfo("inner")
            info.size = len(CONTENT)
            tar.addfile(info, io.BytesIO(CONTENT))
    elif path.suffix == ".bz2":
        path.write_bytes(bz2.compress(CONTENT))
    else:
        path.write_bytes(CONTENT)


@pytest.mark.parametrize("packed", ["plain", "all.zip", "all.tar.gz", "one.bz2"])
def test_files_are_downloaded_once(packed: str, site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    pack(folder / packed)
    found = written(tmp_path, entry(f"{address}/{packed}", member="inner"))
    told: list[str] = []
    for _ in range(2):
        (path,) = corpus.fetch(found, tmp_path / "kept", told.append)
        assert path == tmp_path / "kept" / "mine" / "file"
        assert path.read_bytes() == CONTENT
    assert told == [f"downloading {address}/{packed}"]
    assert [each.name for each in path.parent.iterdir()] == ["file"]


def test_the_first_bytes_of_a_longer_file(site: tuple[str, Path], tmp_path: Path) -> None:
    address, folder = site
    pack(folder / "plain")
    found = written(tmp_path, entry(f"{address}/plain", CONTENT[:100]))
    (path,) = corpus.fetch(found, tmp_path, nothing)
    assert path.read_bytes() == CONTENT[:100]


def test_files_that_are_there_need_no_network(tmp_path: Path) -> None:
    found = written(tmp_path, entry("http://127.0.0.1:1/nobody"))
    (tmp_path / "mine").mkdir()
    (tmp_path / "mine" / "file").write_bytes(CONTENT)
    assert corpus.fetch(found, tmp_path, nothing) == [tmp_path / "mine" / "file"]
    (tmp_path / "mine" / "file").write_bytes(CONTENT[:-1])
    with pytest.raises(FileError, match="not the file of the manifest"):
        corpus.fetch(found, tmp_path, nothing)


@pytest.mark.parametrize(
    ("packed", "told"),
    [("absent", "cannot be downloaded"), ("other", "another file"), ("bad.zip", "unpacked")],
)
def test_what_cannot_be_had_leaves_nothing(
    packed: str, told: str, site: tuple[str, Path], tmp_path: Path
) -> None:
    address, folder = site
    (folder / "other").write_bytes(CONTENT[::-1])
    (folder / "bad.zip").write_bytes(CONTENT)
    found = written(tmp_path, entry(f"{address}/{packed}", member="inner"))
    with pytest.raises(FileError, match=told):
        corpus.fetch(found, tmp_path, nothing)
    assert list((tmp_path / "mine").iterdir()) == []


@pytest.mark.parametrize("name", corpus.CORPORA)
def test_manifests_of_the_package(name: str) -> None:
    found = corpus.manifest(name)
    assert found.name == name
    assert len({each.name for each in found.files}) == len(found.files) > 0


def test_they_agree_with_files_that_are_here() -> None:
    data = Path(__file__).parents[4] / "shared" / "data"
    if not data.is_dir():
        pytest.skip("the test data are not beside the repository")
    for name in ("calgary", "canterbury", "enwik"):
        corpus.fetch(corpus.manifest(name), data, nothing)


@pytest.mark.parametrize(
    "wrong",
    [
        {"name": "../file"},
        {"name": ".hidden"},
        {"name": "a/b"},
        {"size": -1},
        {"size": "many"},
        {"sha256": "0"},
        {"address": "file:///etc/passwd"},
        {"unknown": 1},
        {"address": 5},
        {"member": []},
    ],
)
def test_a_manifest_that_is_wrong(wrong: dict[str, Any], tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="no manifest"):
        written(tmp_path, entry("http://127.0.0.1/") | wrong)


@pytest.mark.parametrize(
    "text", ["", "[]", "{}", '{"about": "", "files": [1]}', "\udcff", "[" * 100_000]
)
def test_what_is_no_manifest(text: str, tmp_path: Path) -> None:
    path = tmp_path / "mine.json"
    path.write_bytes(text.encode(errors="surrogateescape"))
    with pytest.raises(UsageError, match="no manifest"):
        corpus.manifest(str(path))


def test_two_files_of_one_name(tmp_path: Path) -> None:
    one = entry("http://127.0.0.1/")
    with pytest.raises(UsageError, match="a name is there twice"):
        written(tmp_path, one, one | {"member": "other"})


def test_an_address_that_no_request_can_be_made_of(tmp_path: Path) -> None:
    found = written(tmp_path, entry("http://127.0.0.1/a file"))
    with pytest.raises(FileError, match="cannot be downloaded"):
        corpus.fetch(found, tmp_path, nothing)


def test_a_name_that_nobody_knows() -> None:
    with pytest.raises(UsageError, match=r"There are artificial, calgary"):
        corpus.manifest("silesia")
