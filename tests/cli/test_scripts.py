"""Shell scripts with what they must print: scripts/NAME.sh, NAME.stdout, NAME.stderr, NAME.exit.

A missing file of expectations means: prints nothing, or exits with 0. In the expectations
`*` stands for anything within a line.
"""

from __future__ import annotations

import fnmatch
import os
import subprocess
import sys
from pathlib import Path

import pytest

SCRIPTS = Path(__file__).parent / "scripts"


def expected(script: Path, what: str, default: str) -> str:
    path = script.with_suffix(f".{what}")
    return path.read_text() if path.exists() else default


def matches(text: str, pattern: str) -> bool:
    lines, patterns = text.splitlines(), pattern.splitlines()
    literal = [line.replace("[", "[[]").replace("?", "[?]") for line in patterns]
    return len(lines) == len(patterns) and all(map(fnmatch.fnmatchcase, lines, literal))


@pytest.mark.parametrize("script", sorted(SCRIPTS.glob("*.sh")), ids=lambda path: path.stem)
def test_script(script: Path, tmp_path: Path) -> None:
    programs = tmp_path / "programs"
    programs.mkdir()
    (programs / "nncomp").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nncomp "$@"\n')
    (programs / "nncomp").chmod(0o755)
    work = tmp_path / "work"
    work.mkdir()
    run = subprocess.run(
        ["/bin/sh", script],
        cwd=work,
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        stdin=subprocess.DEVNULL,
        capture_output=True,
        text=True,
        timeout=120,
        check=False,
    )
    stdout, stderr = expected(script, "stdout", ""), expected(script, "stderr", "")
    assert matches(run.stdout, stdout), run.stdout
    assert matches(run.stderr, stderr), run.stderr
    assert run.returncode == int(expected(script, "exit", "0"))
