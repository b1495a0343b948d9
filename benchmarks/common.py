"""What the benchmarks share: turns, tables, and records that say where they were measured."""

from __future__ import annotations

import hashlib
import json
import os
import platform
import statistics
import subprocess
import sys
from datetime import datetime, timezone
from importlib import metadata
from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeVar

if TYPE_CHECKING:
    from collections.abc import Iterator, Mapping, Sequence

HERE = Path(__file__).resolve().parent
RESULTS = HERE / "results"
DATA = HERE.parent.parent / "shared" / "data"

# Settings of the environment that change speed, and must not change a bit.
_PREFIXES = (
    *("ATEN_", "BLOSC_", "KMP_", "MALLOC_", "MKL_", "NNCOMP_", "NUMBA_", "NUMEXPR_", "OMP_"),
    *("ONEDNN_", "OPENBLAS_", "RAYON_"),
)

T = TypeVar("T")


def turns(contestants: Sequence[T], rounds: int) -> Iterator[T]:
    """Every contestant in turn, again and again: a slow phase of the machine meets all."""
    for _ in range(rounds):
        yield from contestants


def median(values: Sequence[float], digits: int = 4) -> float:
    """The middle one, rounded to what a clock of a shared machine is good for."""
    return round(statistics.median(values), digits)


def per_second(size: int, seconds: float) -> float:
    """KB/s: thousands of bytes of the original in a second."""
    return size / 1000 / seconds if seconds else 0.0


def short(value: float) -> str:
    """Three digits, or all before the point: 0.00412, 15.3, 4,310."""
    if abs(value) >= 100:
        return f"{value:,.0f}"
    return f"{value:.3g}"


def text_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """Aligned columns: the first to the left, numbers to the right."""
    lines = [list(headings), *map(list, rows)]
    widths = [max(map(len, column)) for column in zip(*lines, strict=True)]
    return "\n".join(
        "  ".join(
            cell.rjust(width) if i else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(line, widths, strict=True))
        ).rstrip()
        for line in lines
    )


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a README: the first column to the left, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *rows))


def sha256(data: bytes) -> str:
    """Which input it was."""
    return hashlib.sha256(data).hexdigest()


def first_line(command: Sequence[str]) -> str:
    """The first line that a program prints, however it ends; empty if there is none."""
    try:
        done = subprocess.run(command, capture_output=True, text=True, check=False, cwd=HERE)
    except OSError:
        return ""
    return next(filter(None, done.stdout.splitlines()), "")


def _cpu_model() -> str:
    """By the system's own description; other systems than Linux know less."""
    info = Path("/proc/cpuinfo")
    for line in info.read_text().splitlines() if info.exists() else ():
        name, _, value = line.partition(":")
        if name.strip() == "model name":
            return value.strip()
    return platform.processor() or platform.machine()


def circumstances(peers: Mapping[str, str] | None = None) -> dict[str, Any]:
    """Machine, versions, date and settings, for the head of a record.

    Args:
        peers: Versions of the other programs in the run, by name.
    """
    packages = ("nncomp", "torch", "numba", "numpy")
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": {
            "cpu": _cpu_model(),
            "cores": os.cpu_count(),
            "memory_gib": round(
                os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES") / 2**30, 1
            ),
            "load_at_start": round(os.getloadavg()[0], 2),
            "system": platform.platform(),
        },
        "versions": {
            "python": platform.python_version(),
            **{name: metadata.version(name) for name in packages},
            "commit": first_line(["git", "describe", "--always", "--dirty"]) or "unknown",
            **(peers or {}),
        },
        "environment": {k: v for k, v in sorted(os.environ.items()) if k.startswith(_PREFIXES)},
        "arguments": sys.argv[1:],
    }


def place(record: Mapping[str, Any]) -> str:
    """One sentence under a table: where, when and with what it was measured."""
    machine, versions = record["machine"], record["versions"]
    with_versions = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, {machine['memory_gib']} GiB; "
        f"load {machine['load_at_start']} at the start; {record['date'][:10]}; {with_versions}."
    )


def save(name: str, record: Mapping[str, Any]) -> None:
    """Write results/NAME.json; an absolute name goes where it says."""
    path = RESULTS / f"{name}.json"
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n")


def load(name: str) -> dict[str, Any]:
    """Read a record by its path, from here or from the folder of the benchmarks."""
    path = Path(name)
    record: dict[str, Any] = json.loads((path if path.exists() else HERE / name).read_text())
    return record


def say(text: str) -> None:
    """Progress, apart from the results on standard output."""
    print(text, file=sys.stderr, flush=True)
