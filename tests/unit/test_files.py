from __future__ import annotations

import errno
import os
import signal
import stat
import threading
from pathlib import Path

import pytest

from nncomp import files
from nncomp.errors import FileError, OutputExistsError


def write(path: Path, data: bytes = b"new", **options: object) -> None:
    with files.atomic_output(path, **{"overwrite": False, **options}) as stream:
        stream.write(data)


def names(folder: Path) -> list[str]:
    return sorted(p.name for p in folder.iterdir())


# --- names


@pytest.mark.parametrize(
    ("name", "archive"), [("a", "a.nnc"), ("a.tar", "a.tar.nnc"), (".nnc", ".nnc.nnc")]
)
def test_archive_name_and_back(name: str, archive: str) -> None:
    assert files.archive_path(Path("d", name)) == Path("d", archive)
    assert files.content_path(Path("d", archive)) == Path("d", name)


def test_no_second_suffix() -> None:
    with pytest.raises(FileError, match=r"ends in \.nnc already"):
        files.archive_path(Path("a.nnc"))


@pytest.mark.parametrize("name", ["a", ".nnc", "a.nnc.txt", "a.NNC", "annc"])
def test_no_name_without_the_suffix(name: str) -> None:
    with pytest.raises(FileError, match=r"does not end in \.nnc"):
        files.content_path(Path(name))


# --- input


def test_source_must_be_a_file(tmp_path: Path) -> None:
    with pytest.raises(FileError, match="is a directory; use -r"):
        files.open_source(str(tmp_path), special=True)
    os.mkfifo(tmp_path / "fifo")
    with pytest.raises(FileError, match="not a regular file"):
        files.open_source(str(tmp_path / "fifo"), special=False)
    with pytest.raises(FileNotFoundError):
        files.open_source("", special=True)


def test_source_behind_a_link(tmp_path: Path) -> None:
    (tmp_path / "file").write_bytes(b"data")
    (tmp_path / "link").symlink_to("file")
    with files.open_source(str(tmp_path / "link"), special=False) as stream:
        assert stream.read() == b"data"


def test_same_file(tmp_path: Path) -> None:
    for name in ("a", "b"):
        (tmp_path / name).touch()
    (tmp_path / "link").symlink_to("a")
    status = (tmp_path / "a").stat()
    assert files.same_file(status, tmp_path / "link")
    assert not files.same_file(status, tmp_path / "b")
    assert not files.same_file(status, tmp_path / "absent")


# --- output


def test_output_appears_at_the_end_only(tmp_path: Path) -> None:
    target = tmp_path / "out"
    with files.atomic_output(target, overwrite=False) as stream:
        stream.write(b"data")
        stream.flush()
        assert not target.exists()
        (temporary,) = tmp_path.iterdir()
        assert temporary.name.startswith(".")
        assert stat.S_IMODE(temporary.stat().st_mode) == 0o600
    assert target.read_bytes() == b"data"
    assert names(tmp_path) == ["out"]


@pytest.mark.parametrize("failure", [OSError(errno.ENOSPC, "full"), KeyboardInterrupt()])
@pytest.mark.parametrize("overwrite", [False, True])
def test_exception_leaves_nothing(tmp_path: Path, failure: BaseException, overwrite: bool) -> None:
    def fail() -> None:
        with files.atomic_output(tmp_path / "out", overwrite=overwrite) as stream:
            stream.write(b"half")
            raise failure

    with pytest.raises(type(failure)):
        fail()
    assert names(tmp_path) == []
    assert not files._partial


def test_existing_output_is_refused_at_once(tmp_path: Path) -> None:
    (tmp_path / "out").write_bytes(b"old")
    with (
        pytest.raises(OutputExistsError, match="use -f"),
        files.atomic_output(tmp_path / "out", overwrite=False),
    ):
        pytest.fail("the block must not run")
    assert (tmp_path / "out").read_bytes() == b"old"


def test_dangling_link_counts_as_existing(tmp_path: Path) -> None:
    (tmp_path / "out").symlink_to("nowhere")
    with pytest.raises(OutputExistsError):
        write(tmp_path / "out")
    assert names(tmp_path) == ["out"]


def test_output_of_somebody_faster_stays(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputExistsError),
        files.atomic_output(tmp_path / "out", overwrite=False),
    ):
        (tmp_path / "out").write_bytes(b"theirs")
    assert (tmp_path / "out").read_bytes() == b"theirs"
    assert names(tmp_path) == ["out"]


def test_overwrite_replaces_a_link_not_its_target(tmp_path: Path) -> None:
    (tmp_path / "target").write_bytes(b"old")
    (tmp_path / "out").symlink_to("target")
    write(tmp_path / "out", overwrite=True)
    assert (tmp_path / "target").read_bytes() == b"old"
    assert (tmp_path / "out").read_bytes() == b"new"
    assert not (tmp_path / "out").is_symlink()


@pytest.mark.parametrize("overwrite", [False, True])
def test_directory_is_no_output(tmp_path: Path, overwrite: bool) -> None:
    (tmp_path / "out").mkdir()
    with pytest.raises(IsADirectoryError):
        write(tmp_path / "out", overwrite=overwrite)
    assert names(tmp_path) == ["out"]


def test_missing_folder_is_named(tmp_path: Path) -> None:
    with pytest.raises(FileNotFoundError, match="cannot create a file there") as caught:
        write(tmp_path / "absent" / "out")
    assert caught.value.filename == str(tmp_path / "absent")


# --- output, on a file system without hard links


@pytest.fixture
def no_hard_links(monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "link", link)


@pytest.mark.usefixtures("no_hard_links")
def test_without_hard_links(tmp_path: Path) -> None:
    write(tmp_path / "out")
    assert (tmp_path / "out").read_bytes() == b"new"
    assert names(tmp_path) == ["out"]
    assert not files._partial


@pytest.mark.usefixtures("no_hard_links")
def test_without_hard_links_the_faster_one_stays_too(tmp_path: Path) -> None:
    with (
        pytest.raises(OutputExistsError),
        files.atomic_output(tmp_path / "out", overwrite=False),
    ):
        (tmp_path / "out").write_bytes(b"theirs")
    assert (tmp_path / "out").read_bytes() == b"theirs"
    assert names(tmp_path) == ["out"]


@pytest.mark.usefixtures("no_hard_links")
def test_without_hard_links_a_failing_rename_leaves_nothing(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    def replace(self: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(Path, "replace", replace)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "out")
    assert names(tmp_path) == []


def test_other_errors_of_link_are_errors(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    def link(source: Path, target: Path) -> None:
        raise OSError(errno.EIO, "Input/output error")

    monkeypatch.setattr(os, "link", link)
    with pytest.raises(OSError, match="Input/output error"):
        write(tmp_path / "out")
    assert names(tmp_path) == []


# --- devices and FIFOs


def test_device_is_written_directly() -> None:
    assert files.writes_directly(Path("/dev/null"))
    write(Path("/dev/null"))
    assert stat.S_ISCHR(Path("/dev/null").stat().st_mode)


def test_fifo_is_written_directly(tmp_path: Path) -> None:
    fifo = tmp_path / "fifo"
    os.mkfifo(fifo)
    received: list[bytes] = []
    reader = threading.Thread(target=lambda: received.append(fifo.read_bytes()))
    reader.start()
    write(fifo)
    reader.join()
    assert received == [b"new"]
    assert fifo.is_fifo()


def test_what_is_published(tmp_path: Path) -> None:
    (tmp_path / "file").touch()
    assert not files.writes_directly(tmp_path / "file")
    assert not files.writes_directly(tmp_path / "absent")
    assert files.writes_directly(Path("/dev/fd/1"))


# --- metadata


def test_metadata_of_the_source(tmp_path: Path) -> None:
    source = tmp_path / "source"
    source.touch()
    source.chmod(0o4751)
    os.utime(source, ns=(1_000_000_000_123_456_789, 1_100_000_000_987_654_321))
    write(tmp_path / "out", like=source.stat())
    status = (tmp_path / "out").stat()
    assert status.st_mtime_ns == 1_100_000_000_987_654_321
    assert stat.S_IMODE(status.st_mode) == 0o751  # but not set-user-id


def test_mode_without_a_source_follows_the_umask(tmp_path: Path) -> None:
    before = os.umask(0o027)
    try:
        write(tmp_path / "out")
        assert os.umask(0o027) == 0o027
    finally:
        os.umask(before)
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == 0o640


def test_owner_is_kept_where_permitted(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    asked: list[tuple[int, int]] = []
    monkeypatch.setattr(os, "fchown", lambda fd, uid, gid: asked.append((uid, gid)))
    source = tmp_path / "source"
    source.touch()
    status = source.stat()
    write(tmp_path / "out", like=status)
    assert asked == [(status.st_uid, -1), (-1, status.st_gid)]


@pytest.mark.parametrize(
    ("mode", "expected"), [(0o664, 0o644), (0o660, 0o600), (0o676, 0o666), (0o607, 0o600)]
)
def test_another_group_gains_no_right(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, mode: int, expected: int
) -> None:
    def fchown(descriptor: int, uid: int, gid: int) -> None:
        raise PermissionError(errno.EPERM, "Operation not permitted")

    monkeypatch.setattr(os, "fchown", fchown)
    source = tmp_path / "source"
    source.touch()
    source.chmod(mode)
    write(tmp_path / "out", like=source.stat())
    assert stat.S_IMODE((tmp_path / "out").stat().st_mode) == expected


# --- signals


def test_handlers_are_only_lent() -> None:
    numbers = (signal.SIGINT, signal.SIGTERM, signal.SIGHUP)
    inherited = {number: signal.signal(number, signal.SIG_DFL) for number in numbers}
    try:  # under nohup, one of them is ignored, and stays so
        with files.cleanup_on_signal():
            inside = [signal.getsignal(number) for number in numbers]
        after = [signal.getsignal(number) for number in numbers]
    finally:
        for number, handler in inherited.items():
            signal.signal(number, handler)
    assert all(handler is files._clean_up_and_die for handler in inside)
    assert after == [signal.SIG_DFL] * 3


def test_ignored_signals_stay_ignored() -> None:
    before = signal.signal(signal.SIGHUP, signal.SIG_IGN)
    try:
        with files.cleanup_on_signal():
            assert signal.getsignal(signal.SIGHUP) is signal.SIG_IGN
    finally:
        signal.signal(signal.SIGHUP, before)


def test_no_handlers_outside_the_main_thread() -> None:
    seen: list[object] = []

    def work() -> None:
        with files.cleanup_on_signal():
            seen.append(signal.getsignal(signal.SIGTERM))

    thread = threading.Thread(target=work)
    thread.start()
    thread.join()
    assert seen == [signal.getsignal(signal.SIGTERM)]
