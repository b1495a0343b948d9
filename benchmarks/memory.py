"""What the command or a lazy read takes beyond importing, measured from inside the process.

    python benchmarks/memory.py REPORT METHOD SAMPLE command ARGUMENT ...
    python benchmarks/memory.py REPORT METHOD SAMPLE tensor ARCHIVE NAME ROUNDS THREADS

First a SAMPLE makes a round trip in memory, so that everything is imported, compiled kernels
included: it has to be long enough for them to be worth loading. What is resident then, all
that was freed given back to the system, is the start. Linux only: the peak is set back and
read in /proc/self. (What the system tells the parent of a process can be the parent's peak.)
"""

from __future__ import annotations

import ctypes
import gc
import hashlib
import json
import sys
import time
from pathlib import Path
from typing import Any

STATUS, FORGET_PEAK = Path("/proc/self/status"), Path("/proc/self/clear_refs")


def resident(field: str) -> int:
    """Bytes: VmRSS for now, VmHWM for the peak."""
    for line in STATUS.read_text().splitlines():
        name, _, value = line.partition(":")
        if name == field:
            return int(value.split()[0]) * 1024
    raise SystemExit(f"{STATUS} has no {field}: this needs Linux")


def command(arguments: list[str], _found: dict[str, Any]) -> None:
    """Run the command in this process, as its entry point does."""
    from nncomp.cli.main import program

    program(arguments, prog_name="nncomp")


def tensor(arguments: list[str], found: dict[str, Any]) -> None:
    """Open the archive and read one tensor, ROUNDS times; the last one's digest."""
    import torch

    import nncomp.tensors

    archive, name, rounds, threads = arguments
    found |= {"open_wall_s": [], "cpu_s": [], "wall_s": []}
    for _ in range(int(rounds)):
        opening = time.perf_counter()
        with nncomp.tensors.open(archive, framework="pt", threads=int(threads)) as tensors:
            found["open_wall_s"].append(time.perf_counter() - opening)
            cpu, wall = time.process_time(), time.perf_counter()
            value = tensors.get_tensor(name)
            found["cpu_s"].append(time.process_time() - cpu)
            found["wall_s"].append(time.perf_counter() - wall)
        raw = value.view(torch.uint8).numpy()
        found["sha256"] = hashlib.sha256(raw).hexdigest()
        del value, raw


def load(sample: Path, method: str, action: str) -> None:
    """Import whatever the work will, by doing a small piece of it."""
    import nncomp
    import nncomp.cli.main

    content = sample.read_bytes()
    if nncomp.decompress(nncomp.compress(content, method)) != content:
        raise SystemExit(f"{sample} came back different from {method}")
    if action == "tensor":
        import nncomp.tensors

        with nncomp.tensors.open(sample, framework="pt") as tensors:
            tensors.get_tensor(next(iter(tensors)))


def main() -> None:
    """Import, forget the peak, work, and write the report."""
    report, method, sample, action, *arguments = sys.argv[1:]
    work = {"command": command, "tensor": tensor}[action]
    load(Path(sample), method, action)
    gc.collect()
    ctypes.CDLL(None).malloc_trim(0)
    FORGET_PEAK.write_text("5")
    found: dict[str, Any] = {"start_bytes": resident("VmRSS")}
    cpu, wall = time.process_time(), time.perf_counter()
    code = 0
    try:
        work(arguments, found)
    except SystemExit as leaving:
        code = leaving.code if isinstance(leaving.code, int) else 1
    found.setdefault("cpu_s", time.process_time() - cpu)
    found.setdefault("wall_s", time.perf_counter() - wall)
    found["extra_bytes"] = resident("VmHWM") - found["start_bytes"]
    Path(report).write_text(json.dumps(found))
    sys.exit(code)


if __name__ == "__main__":
    main()
