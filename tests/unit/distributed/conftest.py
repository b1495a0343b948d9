"""Groups of processes for tests of what they do together."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest

if TYPE_CHECKING:
    from collections.abc import Iterator

HERE = Path(__file__).parent
PATIENCE = 300  # seconds; whatever takes longer hangs, on a busy machine too


class Group:
    """Processes that wait for jobs, which are described in ranks.py."""

    def __init__(self, world: int, folder: Path) -> None:
        self._folder = folder
        self._jobs = 0
        self.processes = [
            subprocess.Popen(
                [sys.executable, HERE / "ranks.py", str(rank), str(world)],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
                text=True,
            )
            for rank in range(world)
        ]
        # Loading PyTorch takes its time, and none of what a job has.
        assert self._lines() == ["ready\n"] * world

    def __call__(self, job: str, *, timeout: float = 120, **arguments: Any) -> list[Any]:
        """Answers of all ranks; None from those that ended instead."""
        self._jobs += 1
        store = str(self._folder / f"store-{self._jobs}")
        order = {"job": job, "store": store, "timeout": timeout, **arguments}
        for process in self.processes:
            assert process.stdin
            process.stdin.write(json.dumps(order) + "\n")
            process.stdin.flush()
        return [json.loads(line) if line else None for line in self._lines()]

    def _lines(self) -> list[str]:
        """What each process says next; nothing where it ended."""
        watch = threading.Timer(PATIENCE, self.kill)
        watch.start()
        try:
            return [process.stdout.readline() for process in self.processes if process.stdout]
        finally:
            watch.cancel()

    def kill(self) -> None:
        """End them, whatever they are doing."""
        for process in self.processes:
            process.kill()
        for process in self.processes:
            process.communicate()


@pytest.fixture(scope="package")
def pair(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Group]:
    """Two ranks, which many tests share."""
    group = Group(2, tmp_path_factory.mktemp("ranks"))
    yield group
    group.kill()


@pytest.fixture
def own_pair(tmp_path: Path) -> Iterator[Group]:
    """Two ranks, for a test that one of them will not survive."""
    group = Group(2, tmp_path)
    yield group
    group.kill()
