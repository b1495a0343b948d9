"""Whole files of tensors through the command: what memory they take, and one tensor's time.

Each step runs in a process of its own, which measures itself: benchmarks/memory.py.
"""

from __future__ import annotations

import hashlib
import json
import subprocess
import sys
from typing import TYPE_CHECKING, Any

from common import HERE, median, say, text_table
from tensor_data import synthetic, write_safetensors

if TYPE_CHECKING:
    from collections.abc import Iterable
    from pathlib import Path

TENSOR = 20_000_000  # bytes; of its own chunks there are many, of others far more


class Files:
    """A temporary folder with a file of tensors, and the steps that are taken with it.

    Attributes:
        source: The safetensors file.
        filled: Names of its tensors that are not zero.
        steps: What was measured.
    """

    def __init__(self, folder: Path, method: str, threads: int, size: int, every: int) -> None:
        self._folder, self._method, self._threads = folder, method, threads
        self._weights = synthetic("bf16", TENSOR).data
        self.source = folder / "model.safetensors"
        self.steps: list[dict[str, Any]] = []
        say(f"writing {self.source}")
        self.filled = write_safetensors(self.source, size, self._weights, every)
        write_safetensors(folder / "sample", 2 * TENSOR, self._weights, 1)

    def size(self, name: str) -> int:
        """Bytes of a file in the folder."""
        return (self._folder / name).stat().st_size

    def _measure(self, step: str, action: Iterable[str], pipe: list[str] | None = None) -> None:
        """One step; `pipe` is a shell's command with $WORK for the measured process."""
        report = self._folder / "report.json"
        report.unlink(missing_ok=True)
        work = [sys.executable, str(HERE / "memory.py"), str(report), self._method]
        work += [str(self._folder / "sample"), *action]
        call = work if pipe is None else ["bash", "-c", f"set -o pipefail; {pipe[0]}", *work]
        done = subprocess.run(call, cwd=self._folder, capture_output=True, text=True, check=False)
        if done.returncode:
            raise SystemExit(f"{step} failed: {done.stdout[-500:]} {done.stderr[-2000:]}")
        self.steps.append({"step": step, **json.loads(report.read_text())})
        taken = self.steps[-1]["extra_bytes"] / 1e6
        say(f"{step}: {taken:.1f} MB beyond the start")

    def _command(self, *arguments: str) -> list[str]:
        return ["command", *arguments, "-q", "-T", str(self._threads)]

    def by_path(self) -> None:
        """There and back, the file's names on the command line."""
        to = self._command("compress", "-f", "-m", self._method, "-o", "a.nnc", self.source.name)
        self._measure("compress, path", to)
        self._measure("decompress, path", self._command("decompress", "-f", "-o", "b", "a.nnc"))
        same = subprocess.run(["cmp", self.source.name, "b"], cwd=self._folder, check=False)
        (self._folder / "b").unlink()
        if same.returncode:
            raise SystemExit("the file came back different by path")

    def by_pipe(self) -> None:
        """There and back, between other processes."""
        name = self.source.name
        to = self._command("compress", "-c", "-m", self._method)
        self._measure("compress, pipe", to, [f'cat {name} | "$0" "$@" > p.nnc'])
        back = self._command("decompress", "-c")
        self._measure("decompress, pipe", back, [f'cat p.nnc | "$0" "$@" | cmp - {name}'])

    def one_tensor(self, rounds: int) -> None:
        """A tensor from the middle of the archive, and the same tensor from one of its own."""
        write_safetensors(self._folder / "one", TENSOR, self._weights, 1)
        to = self._command("compress", "-f", "-m", self._method, "-o", "one.nnc", "one")
        self._measure("compress, the tensor alone", to)
        expected = hashlib.sha256(self._weights).hexdigest()
        middle = self.filled[len(self.filled) // 2]
        for step, archive, name in (
            ("read the tensor", "a.nnc", middle),
            ("read the tensor, alone in its file", "one.nnc", "layer.0.weight"),
        ):
            self._measure(step, ["tensor", archive, name, str(rounds), str(self._threads)])
            if self.steps[-1].pop("sha256") != expected:
                raise SystemExit(f"{step}: {name} came back different")


def memory(folder: Path, method: str, threads: int, size: int, _rounds: int) -> dict[str, Any]:
    """Peak of the command beyond its start, for a file without holes, by path."""
    files = Files(folder, method, threads, size, every=1)
    files.by_path()
    return {
        "bytes": files.size(files.source.name),
        "size": files.size("a.nnc"),
        "steps": files.steps,
    }


def large(folder: Path, method: str, threads: int, size: int, rounds: int) -> dict[str, Any]:
    """A file that is mostly holes, by path and through pipes; then one tensor out of it."""
    files = Files(folder, method, threads, size, every=5)
    files.by_path()
    files.by_pipe()
    files.one_tensor(rounds)
    return {
        "bytes": files.size(files.source.name),
        "size": files.size("a.nnc"),
        "tensor_bytes": TENSOR,
        "steps": files.steps,
    }


def print_steps(record: dict[str, Any]) -> None:
    """A line for each step; of several rounds, the median."""
    print(f"{record['bytes']:,} bytes, archive {record['size']:,}")
    rows = []
    for step in record["steps"]:
        row = [step["step"]]
        for key in ("open_wall_s", "wall_s", "cpu_s"):
            value = step.get(key)
            value = median(value) if isinstance(value, list) else value
            row.append("-" if value is None else f"{value:.4f}")
        rows.append([*row, *(f"{step[key] / 1e6:.1f}" for key in ("start_bytes", "extra_bytes"))])
    headings = ["step", "open, wall s", "wall s", "cpu s", "MB at the start", "MB beyond"]
    print(text_table(headings, rows))
