"""What happens on a terminal, on a real one (a pty)."""

from __future__ import annotations

import contextlib
import fcntl
import os
import pty
import struct
import subprocess
import termios
import time
from typing import TYPE_CHECKING

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator
    from pathlib import Path

    from tests.cli.conftest import Start

PIPE = subprocess.PIPE


class Terminal:
    """One side is given to the program, the other one is what a person would see."""

    def __init__(self, person: int, program: int) -> None:
        self.program = program
        self._person = person

    def screen(self) -> str:
        """What the program showed since the last call."""
        os.set_blocking(self._person, False)
        seen = b""
        with contextlib.suppress(BlockingIOError):
            while piece := os.read(self._person, 65536):
                seen += piece
        return seen.decode()


@pytest.fixture
def terminal() -> Iterator[Terminal]:
    person, program = pty.openpty()
    fcntl.ioctl(program, termios.TIOCSWINSZ, struct.pack("4H", 24, 80, 0, 0))
    yield Terminal(person, program)
    os.close(person)
    os.close(program)


def run(process: subprocess.Popen[bytes]) -> str:
    """Wait for it, and return its standard error, if that is a pipe."""
    _, stderr = process.communicate(timeout=60)
    return (stderr or b"").decode()


# --- binary data


@pytest.mark.parametrize("arguments", [["-c", "text"], ["text", "-o", "-"]])
def test_archive_is_not_written_to_a_terminal(
    start: Start, terminal: Terminal, text_file: Path, arguments: list[str]
) -> None:
    process = start("compress", *arguments, stdout=terminal.program, stderr=PIPE)
    stderr = run(process)
    assert process.returncode == 1
    assert "not written to a terminal; use -o, or -f" in stderr
    assert terminal.screen() == ""


def test_archive_from_a_pipe_is_not_either(start: Start, terminal: Terminal) -> None:
    process = start("compress", stdin=subprocess.DEVNULL, stdout=terminal.program, stderr=PIPE)
    assert "not written to a terminal" in run(process)
    assert process.returncode == 1


def test_force_writes_it(start: Start, terminal: Terminal, text_file: Path) -> None:
    text_file.write_bytes(b"short enough to be stored")
    process = start("compress", "-fcm", "store", "text", stdout=terminal.program, stderr=PIPE)
    run(process)
    assert process.returncode == 0
    os.set_blocking(terminal._person, False)
    assert b"short enough to be stored" in os.read(terminal._person, 65536)


def test_text_is_shown(start: Start, terminal: Terminal, text_file: Path) -> None:
    text_file.write_text("a line\n")
    assert run(start("compress", "text", stderr=PIPE)) == ""
    process = start("decompress", "-c", "text.nnc", stdout=terminal.program, stderr=PIPE)
    assert run(process) == ""
    assert terminal.screen() == "a line\r\n"


def test_binary_content_is_not(start: Start, terminal: Terminal, text_file: Path) -> None:
    text_file.write_bytes(b"\x1b[31m\0")
    assert run(start("compress", "text", stderr=PIPE)) == ""
    process = start("decompress", "-c", "text.nnc", stdout=terminal.program, stderr=PIPE)
    assert "binary data are not written to a terminal" in run(process)
    assert process.returncode == 1
    assert terminal.screen() == ""


@pytest.mark.parametrize("command", ["decompress", "test", "list"])
def test_archive_is_not_typed(start: Start, terminal: Terminal, command: str) -> None:
    process = start(command, stdin=terminal.program, stdout=PIPE, stderr=PIPE)
    assert "not read from a terminal" in run(process)
    assert process.returncode == 1


# --- progress


def test_bar_on_a_terminal(start: Start, terminal: Terminal, text_file: Path) -> None:
    for command in (["compress", "text"], ["test", "text.nnc"], ["decompress", "-f", "text.nnc"]):
        process = start(*command, stderr=terminal.program)
        run(process)
        assert process.returncode == 0
        screen = terminal.screen()
        assert command[-1] in screen
        assert "%|" in screen  # the bar itself
        assert "B/s" in screen  # the rate
        assert screen.endswith("\r")  # and the line is clear again


def test_ratio_in_the_bar(start: Start, terminal: Terminal) -> None:
    words = ["-m", "zstd", "-o", "out"]
    process = start("compress", *words, stdin=PIPE, stderr=terminal.program)
    assert process.stdin is not None
    screen = ""
    for _ in range(1000):  # until the bar is drawn again, which it is some times a second
        process.stdin.write(b"0123456789abcdef" * 65536)
        process.stdin.flush()
        time.sleep(0.02)
        screen += terminal.screen()
        if "ratio " in screen:
            break
    run(process)
    assert "ratio " in screen
    assert "(stdin): " in screen


def test_notices_stand_beside_the_bar(start: Start, terminal: Terminal, text_file: Path) -> None:
    """What a codec says of slow beginnings goes the same way: that it compiles, for one."""
    run(start("compress", "text", stderr=terminal.program))
    assert f"auto: mix -6, for {text_file.stat().st_size:,} bytes]" in terminal.screen()


def test_warnings_have_lines_of_their_own(
    start: Start, terminal: Terminal, text_file: Path
) -> None:
    text_file.write_bytes(b"RIFF\x04\0\0\0WEBP")
    told = "nncomp: text: a WebP file (damaged) is kept as it is"
    run(start("compress", "-f", "-m", "fsar", "text", stderr=terminal.program))
    assert f"\r{told}" in terminal.screen()
    assert told in run(start("compress", "-f", "-m", "fsar", "text", stderr=PIPE))
    assert run(start("compress", "-fq", "-m", "fsar", "text", stderr=PIPE)) == ""
    assert run(start("compress", "-f", "text", stderr=PIPE)) == ""  # nobody asked for `fsar`


@pytest.mark.parametrize("option", ["-q", "--no-progress"])
def test_no_bar_where_none_is_wanted(
    start: Start, terminal: Terminal, text_file: Path, option: str
) -> None:
    run(start("compress", option, "text", stderr=terminal.program))
    assert terminal.screen() == ""


def test_no_bar_elsewhere(start: Start, terminal: Terminal, text_file: Path) -> None:
    process = start("compress", "text", stdout=terminal.program, stderr=PIPE)
    assert run(process) == ""
    assert terminal.screen() == ""
