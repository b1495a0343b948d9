"""Two ways to run the program: in this process for messages, as a process for the rest."""

from __future__ import annotations

import os
import subprocess
import sys
from typing import TYPE_CHECKING, Any, Protocol

import pytest
from click.testing import CliRunner, Result

from nncomp.cli.main import program

if TYPE_CHECKING:
    from pathlib import Path

RUN = "\nimport runpy; runpy.run_module('nncomp', run_name='__main__', alter_sys=True)"
TEXT = b"A sentence that repeats itself repeats itself. " * 200


class Invoke(Protocol):
    def __call__(self, *arguments: object, **options: Any) -> Result: ...


class Start(Protocol):
    def __call__(self, *arguments: object, **options: Any) -> subprocess.Popen[bytes]: ...


@pytest.fixture(autouse=True)
def _own_environment(monkeypatch: pytest.MonkeyPatch, tmp_path: Path) -> None:
    """Each test has a folder of its own and none of the caller's settings."""
    for name in list(os.environ):
        if name.startswith("NNCOMP_"):
            monkeypatch.delenv(name)
    monkeypatch.chdir(tmp_path)


@pytest.fixture
def invoke() -> Invoke:
    """Run a command in this process."""

    def run(*arguments: object, **options: Any) -> Result:
        words = [str(argument) for argument in arguments]
        return CliRunner().invoke(program, words, prog_name="nncomp", **options)

    return run


@pytest.fixture
def start() -> Start:
    """Start a command as a process of its own, `prepare` being code that runs in it before."""

    def popen(*arguments: object, prepare: str = "", **options: Any) -> subprocess.Popen[bytes]:
        words = [str(argument) for argument in arguments]
        return subprocess.Popen([sys.executable, "-c", prepare + RUN, *words], **options)

    return popen


@pytest.fixture
def text_file(tmp_path: Path) -> Path:
    """A file that compresses well."""
    path = tmp_path / "text"
    path.write_bytes(TEXT)
    return path


@pytest.fixture
def archive(text_file: Path, invoke: Invoke) -> Path:
    """Its archive, beside it."""
    assert invoke("compress", "-m", "zstd", text_file).exit_code == 0
    return text_file.with_name("text.nnc")
