"""Which files are read, written, kept and refused."""

from __future__ import annotations

import os
import stat
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke


def tree(folder: Path) -> set[str]:
    """All names that are no folders; links to folders are names."""
    paths = (path for path in folder.rglob("*") if path.is_symlink() or not path.is_dir())
    return {str(path.relative_to(folder)) for path in paths}


def test_there_and_back(text_file: Path, invoke: Invoke) -> None:
    content = text_file.read_bytes()
    assert invoke("compress", "--rm", "text").exit_code == 0
    assert not text_file.exists()
    assert invoke("decompress", "text.nnc").exit_code == 0
    assert text_file.read_bytes() == content
    assert Path("text.nnc").exists()


@pytest.mark.parametrize("option", [[], ["-k"], ["--keep"]])
def test_source_is_kept(text_file: Path, invoke: Invoke, option: list[str]) -> None:
    assert invoke("compress", *option, "text").exit_code == 0
    assert text_file.exists()


def test_existing_output_is_refused(text_file: Path, invoke: Invoke) -> None:
    Path("text.nnc").write_bytes(b"old")
    result = invoke("compress", "--rm", "text")
    assert result.exit_code == 1
    assert result.stderr == (
        "nncomp: text: output text.nnc exists already; use -f to overwrite it\n"
    )
    assert Path("text.nnc").read_bytes() == b"old"
    assert text_file.exists()
    assert invoke("compress", "-f", "text").exit_code == 0
    assert invoke("test", "text.nnc").exit_code == 0


def test_mode_and_time_are_kept_both_ways(text_file: Path, invoke: Invoke) -> None:
    text_file.chmod(0o640)
    os.utime(text_file, ns=(0, 1_234_567_890_123_456_789))
    invoke("compress", "--rm", "text")
    invoke("decompress", "text.nnc")
    for name in ("text", "text.nnc"):
        status = Path(name).stat()
        assert stat.S_IMODE(status.st_mode) == 0o640
        assert status.st_mtime_ns == 1_234_567_890_123_456_789


def test_output_beside_the_link(text_file: Path, invoke: Invoke) -> None:
    Path("folder").mkdir()
    Path("folder/link").symlink_to("../text")
    assert invoke("compress", "--rm", "folder/link").exit_code == 0
    assert tree(Path()) == {"text", "folder/link.nnc"}  # the link was the source


def test_output_elsewhere(text_file: Path, invoke: Invoke) -> None:
    assert invoke("compress", "text", "-o", "other").exit_code == 0
    assert invoke("decompress", "other").exit_code == 1  # no suffix, so no name
    assert invoke("decompress", "other", "-o", "back").exit_code == 0
    assert Path("back").read_bytes() == text_file.read_bytes()
    result = invoke("decompress", "-c", "other")
    assert result.exit_code == 0
    assert result.stdout_bytes == text_file.read_bytes()


def test_input_and_output_the_same(text_file: Path, invoke: Invoke) -> None:
    content = text_file.read_bytes()
    Path("link").symlink_to("text")
    for name in ("text", "link"):
        result = invoke("compress", "-f", "--rm", "text", "-o", name)
        assert result.exit_code == 1
        assert "the same file" in result.stderr
        assert text_file.read_bytes() == content


def test_archive_is_not_compressed_again(archive: Path, invoke: Invoke) -> None:
    result = invoke("compress", "text.nnc")
    assert result.exit_code == 1
    assert "ends in .nnc already" in result.stderr
    assert not Path("text.nnc.nnc").exists()
    assert invoke("compress", "text.nnc", "-o", "twice").exit_code == 0


def test_several_archives_to_standard_output_are_one_archive(
    text_file: Path, invoke: Invoke
) -> None:
    Path("empty").touch()
    together = invoke("compress", "-c", "text", "empty", "text")
    Path("all.nnc").write_bytes(together.stdout_bytes)
    result = invoke("decompress", "-c", "all.nnc")
    assert result.stdout_bytes == 2 * text_file.read_bytes()


# --- directories


@pytest.fixture
def folder(tmp_path: Path) -> Path:
    top = tmp_path / "top"
    (top / "below").mkdir(parents=True)
    (top / "a").write_bytes(b"a" * 100)
    (top / "below" / "b").write_bytes(b"b" * 100)
    (top / "below" / "loop").symlink_to(top)
    os.mkfifo(top / "fifo")
    return top


def test_directory_needs_the_option(folder: Path, invoke: Invoke) -> None:
    result = invoke("compress", "top")
    assert result.exit_code == 1
    assert result.stderr == "nncomp: top: is a directory; use -r to go through it\n"


def test_directory_there_and_back(folder: Path, invoke: Invoke) -> None:
    before = tree(folder)
    assert invoke("compress", "-r", "--rm", "top").exit_code == 0
    assert tree(folder) == {"a.nnc", "below/b.nnc", "below/loop", "fifo"}
    assert invoke("compress", "-r", "top").exit_code == 0  # nothing left to do
    (folder / "stranger").write_bytes(b"not an archive")
    assert invoke("test", "-r", "top").exit_code == 0
    assert invoke("list", "-r", "top").exit_code == 0
    assert invoke("decompress", "-r", "--rm", "top").exit_code == 0
    assert tree(folder) == before | {"stranger"}


def test_trouble_in_a_directory_is_reported(folder: Path, invoke: Invoke) -> None:
    (folder / "a0").symlink_to("nowhere")
    result = invoke("compress", "-r", "top")
    assert result.exit_code == 1
    assert result.stderr == "nncomp: top/a0: No such file or directory\n"
    assert (folder / "below" / "b.nnc").exists()


# --- trouble


def test_one_bad_file_does_not_stop_the_others(archive: Path, invoke: Invoke) -> None:
    Path("bad.nnc").write_bytes(b"this is no archive")
    Path("text").unlink()
    for command in (["test"], ["list"], ["decompress"]):
        result = invoke(*command, "absent.nnc", "bad.nnc", "text.nnc")
        assert result.exit_code == 1
        first, second = result.stderr.splitlines()
        assert first == "nncomp: absent.nnc: No such file or directory"
        assert second.startswith("nncomp: bad.nnc: ")
    assert Path("text").exists()
    assert not Path("bad").exists()


def test_damaged_archive_gives_no_output(archive: Path, invoke: Invoke) -> None:
    damaged = bytearray(archive.read_bytes())
    damaged[len(damaged) // 2] ^= 1
    Path("damaged.nnc").write_bytes(damaged)
    Path("short.nnc").write_bytes(archive.read_bytes()[:-3])
    for name in ("damaged", "short"):
        result = invoke("decompress", "--rm", f"{name}.nnc")
        assert result.exit_code == 1
        assert result.stderr.count("\n") == 1
    assert tree(Path()) == {"text", "text.nnc", "damaged.nnc", "short.nnc"}


def test_missing_output_folder(text_file: Path, invoke: Invoke) -> None:
    result = invoke("compress", "text", "-o", "absent/text.nnc")
    assert result.exit_code == 1
    assert result.stderr == (
        "nncomp: text: absent: cannot create a file there: No such file or directory\n"
    )


def test_empty_name(invoke: Invoke) -> None:
    result = invoke("compress", "-r", "")
    assert result.exit_code == 1
    assert "No such file" in result.stderr


def test_link_loop(invoke: Invoke) -> None:
    Path("loop").symlink_to("loop")
    result = invoke("compress", "loop")
    assert result.exit_code == 1
    assert "symbolic links" in result.stderr


def test_reading_decides_what_is_readable(
    text_file: Path, invoke: Invoke, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(os, "access", lambda *arguments, **options: False)
    assert invoke("compress", "text").exit_code == 0  # no check of its own stops the program


@pytest.mark.skipif(os.geteuid() == 0, reason="root reads everything")
def test_unreadable_file(text_file: Path, invoke: Invoke) -> None:
    text_file.chmod(0)
    result = invoke("compress", "text")
    assert result.exit_code == 1
    assert result.stderr == "nncomp: text: Permission denied\n"


def test_fifo_is_skipped(invoke: Invoke) -> None:
    os.mkfifo("fifo")
    result = invoke("compress", "fifo")
    assert result.exit_code == 1
    assert "not a regular file" in result.stderr


def test_source_of_a_device_is_kept(text_file: Path, invoke: Invoke) -> None:
    result = invoke("compress", "--rm", "text", "-o", "/dev/null")
    assert result.exit_code == 0
    assert result.stderr == "nncomp: text: kept: its output is not a regular file\n"
    assert text_file.exists()


def test_name_that_is_no_text(text_file: Path, invoke: Invoke) -> None:
    name = os.fsdecode(b"caf\xe9")
    text_file.rename(name)
    assert invoke("compress", name).exit_code == 0
    assert Path(name + ".nnc").exists()
    assert invoke("list", name + ".nnc").exit_code == 0
    assert invoke("list", "--json", name + ".nnc").exit_code == 0
