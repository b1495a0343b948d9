from __future__ import annotations

import shutil
import subprocess
from typing import TYPE_CHECKING

import pytest

from nncomp.bench import machine

if TYPE_CHECKING:
    from pathlib import Path


@pytest.fixture
def checkout(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """A folder that the package seems to run from."""
    for name in ("nncomp/bench/machine.py", "README.md"):
        (tmp_path / name).parent.mkdir(parents=True, exist_ok=True)
        (tmp_path / name).write_text("old")
    monkeypatch.setattr(machine, "__file__", str(tmp_path / "nncomp/bench/machine.py"))
    return tmp_path


def test_an_installed_package_has_no_commit(checkout: Path) -> None:
    assert "commit" not in machine.versions()


def test_a_commit_that_cannot_be_asked_for_is_none(checkout: Path) -> None:
    (checkout / ".git").write_text("no repository")
    assert "commit" not in machine.versions()


def test_a_change_of_the_package_makes_it_dirty(checkout: Path) -> None:
    git = shutil.which("git")
    if git is None:
        pytest.skip("git is not installed")
    who = ("-c", "user.name=n", "-c", "user.email=e")
    for words in (("init", "-q"), ("add", "."), (*who, "commit", "-q", "-m", "first")):
        subprocess.run([git, "-C", checkout, *words], check=True)
    commit = machine.versions()["commit"]
    assert len(commit) >= 7
    assert "dirty" not in commit
    (checkout / "README.md").write_text("new")
    assert machine.versions()["commit"] == commit
    subprocess.run([git, "-C", checkout, *who, "commit", "-q", "-a", "-m", "second"], check=True)
    assert machine.versions()["commit"] == commit
    (checkout / "nncomp/bench/machine.py").write_text("new")
    assert machine.versions()["commit"] == f"{commit}-dirty"
