"""The README is true where a test can tell."""

from __future__ import annotations

import re
import subprocess
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import pytest

from nncomp.codecs.registry import CODECS

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke

ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()


def test_python_example_runs() -> None:
    (example,) = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    subprocess.run([sys.executable, "-c", example], check=True, timeout=120)


def test_every_method_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", README, re.MULTILINE)
    assert rows == [name for name, _ in CODECS.values()]


def test_every_option_in_the_table_exists(invoke: Invoke) -> None:
    described = invoke("compress", "--help").stdout
    table = README[README.index("| option | meaning |") : README.index("Without `-f`")]
    options = re.findall(r"`(--?[\w-]+)", table)
    assert len(options) > 12
    missing = [name for name in options if not re.search(rf"(^|\s){name}\b", described)]
    assert missing == []


@pytest.mark.skipif(not (ROOT / ".ci" / "run").exists(), reason="not in the source distribution")
def test_checks_end_with_the_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text().split("\n")
    install, last = re.search(r"pip install -e ('\S+') && (\w+)$", README, re.MULTILINE).groups()
    assert any(line.endswith(f"pip install --quiet -e {install}") for line in lines)
    assert lines[-2:] == [last, ""]
