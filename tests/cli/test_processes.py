"""Pipes, full disks and signals, on real processes."""

from __future__ import annotations

import contextlib
import os
import signal
import subprocess
import time
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tests.cli.conftest import Start

PIPE = subprocess.PIPE
PATIENCE = 60  # seconds until a test gives up; nothing passes or fails by being slow


def finish(process: subprocess.Popen[bytes], data: bytes | None = None) -> tuple[bytes, str]:
    """Feed it, and return what it wrote to standard output and standard error."""
    stdout, stderr = process.communicate(data, timeout=PATIENCE)
    return stdout, (stderr or b"").decode()


# --- pipes


@pytest.mark.parametrize("method", ["store", "zstd", "lz4", "snappy"])
@pytest.mark.parametrize("size", [0, 1, 3_000_000])
def test_pipe_there_and_back(start: Start, method: str, size: int) -> None:
    data = (bytes(range(256)) * (size // 256 + 1))[:size]
    first = start("compress", "-m", method, stdin=PIPE, stdout=PIPE)
    second = start("decompress", stdin=first.stdout, stdout=PIPE)
    assert first.stdin is not None
    assert first.stdout is not None
    first.stdout.close()
    with first.stdin:
        first.stdin.write(data)
    stdout, _ = finish(second)
    assert stdout == data
    assert (first.wait(PATIENCE), second.returncode) == (0, 0)


def test_standard_input_among_files(start: Start, text_file: Path) -> None:
    process = start("compress", "-c", "text", "-", "text", stdin=PIPE, stdout=PIPE)
    archive, _ = finish(process, b"between")
    content = text_file.read_bytes()
    stdout, _ = finish(start("decompress", "-", stdin=PIPE, stdout=PIPE), archive)
    assert stdout == content + b"between" + content


def test_size_of_redirected_file_is_known(start: Start, text_file: Path) -> None:
    with text_file.open("rb") as stdin:
        stdin.seek(100)  # as a shell does after `read`
        process = start("compress", "-v", "-o", "out.nnc", stdin=stdin, stderr=PIPE)
        _, stderr = finish(process)
    assert process.returncode == 0
    assert f"(stdin): {text_file.stat().st_size - 100:,} raw, " in stderr


def test_listing_of_redirected_file(start: Start, archive: Path) -> None:
    with archive.open("rb") as stdin:
        process = start("list", stdin=stdin, stdout=PIPE)
        stdout, _ = finish(process)
    assert process.returncode == 0
    assert stdout.rstrip().endswith(b"(stdin)")


def test_reader_that_leaves(start: Start) -> None:
    with Path("big").open("wb") as big:
        big.truncate(50 << 20)
    process = start("compress", "-m", "store", "-c", "big", stdout=PIPE, stderr=PIPE)
    assert process.stdout is not None
    assert len(process.stdout.read(10)) == 10
    process.stdout.close()
    process.stdout = None
    _, stderr = finish(process)
    assert stderr == ""
    assert process.returncode == -signal.SIGPIPE


def test_truncated_pipe(start: Start, archive: Path) -> None:
    process = start("decompress", stdin=PIPE, stdout=PIPE, stderr=PIPE)
    _, stderr = finish(process, archive.read_bytes()[:-1])
    assert process.returncode == 1
    assert stderr.startswith("nncomp: (stdin): ")
    assert stderr.count("\n") == 1


# --- full disks


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
@pytest.mark.parametrize("option", [["-c"], ["-o", "/dev/full"]])
def test_full_device(start: Start, text_file: Path, option: list[str]) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start("compress", *option, "text", stdout=full, stderr=PIPE)
        _, stderr = finish(process)
    assert process.returncode == 1
    assert stderr == "nncomp: text: No space left on device\n"


@pytest.mark.skipif(not Path("/dev/full").exists(), reason="needs /dev/full")
def test_listing_to_a_full_device(start: Start, archive: Path) -> None:
    with Path("/dev/full").open("wb") as full:
        process = start("list", "text.nnc", stdout=full, stderr=PIPE)
        _, stderr = finish(process)
    assert process.returncode == 1
    assert stderr == "nncomp: No space left on device\n"


def test_full_disk_leaves_nothing(start: Start) -> None:
    Path("random").write_bytes(os.urandom(100_000))
    # The nearest thing to a full disk that needs no privilege.
    limit = "import resource; resource.setrlimit(resource.RLIMIT_FSIZE, (50_000, 50_000))"
    process = start("compress", "--rm", "random", stderr=PIPE, prepare=limit)
    _, stderr = finish(process)
    assert process.returncode == 1
    assert stderr == "nncomp: random: File too large\n"
    assert here() == ["random"]


# --- interruption

# A shell starts background jobs with SIGINT ignored, and nncomp leaves it so.
LISTEN = """
import signal
for number in (signal.SIGINT, signal.SIGTERM, signal.SIGHUP):
    signal.signal(number, signal.default_int_handler if number == 2 else signal.SIG_DFL)
"""


def here() -> list[str]:
    """All names in the current folder, hidden ones too."""
    return sorted(path.name for path in Path().iterdir())


@contextlib.contextmanager
def under_way(
    start: Start, *arguments: object, prepare: str = LISTEN
) -> Iterator[subprocess.Popen[bytes]]:
    """A compression of standard input that has begun its output and waits for more input."""
    process = start("compress", *arguments, stdin=PIPE, stderr=PIPE, prepare=prepare)
    with process:
        try:
            feed(process, b"the first bytes")
            deadline = time.monotonic() + PATIENCE
            while not any(name.startswith(".nncomp-") for name in here()):
                assert process.poll() is None
                assert time.monotonic() < deadline
                time.sleep(0.01)
            yield process
        finally:
            process.kill()


def feed(process: subprocess.Popen[bytes], data: bytes) -> None:
    assert process.stdin is not None
    process.stdin.write(data)
    process.stdin.flush()


@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM, signal.SIGHUP])
@pytest.mark.parametrize("force", [False, True])
def test_interruption_leaves_nothing(start: Start, number: int, force: bool) -> None:
    if force:
        Path("out.nnc").write_bytes(b"old")
    before = here()
    with under_way(start, "-o", "out.nnc", *["-f"] * force) as process:
        process.send_signal(number)
        assert process.wait(PATIENCE) == -number
        assert process.stderr is not None
        assert process.stderr.read() == b""
    assert here() == before


def test_interruption_while_reading_a_fifo(start: Start) -> None:
    os.mkfifo("fifo")
    process = start("compress", "-f", "fifo", stderr=PIPE, prepare=LISTEN)
    with process, Path("fifo").open("wb") as fifo:
        fifo.write(b"the first bytes")
        fifo.flush()
        deadline = time.monotonic() + PATIENCE
        while len(here()) == 1:
            assert time.monotonic() < deadline
            time.sleep(0.01)
        process.send_signal(signal.SIGTERM)
        assert process.wait(PATIENCE) == -signal.SIGTERM
    assert here() == ["fifo"]


def test_nohup_is_respected(start: Start) -> None:
    ignore = "import signal; signal.signal(signal.SIGHUP, signal.SIG_IGN)"
    with under_way(start, "-o", "out.nnc", prepare=ignore) as process:
        process.send_signal(signal.SIGHUP)
        finish(process, b" and the last")
        assert process.returncode == 0
    assert here() == ["out.nnc"]


def test_output_of_somebody_faster_is_not_overwritten(start: Start) -> None:
    with under_way(start, "-o", "out.nnc") as process:
        Path("out.nnc").write_bytes(b"theirs")
        _, stderr = finish(process, b" and the last")
        assert process.returncode == 1
        assert "out.nnc exists already" in stderr
    assert here() == ["out.nnc"]
    assert Path("out.nnc").read_bytes() == b"theirs"
