"""What the benchmarks share: places, tables, and records that are not of `nncomp bench`."""

from __future__ import annotations

import argparse
import hashlib
import json
import math
import statistics
import sys
from datetime import datetime, timezone
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nncomp.bench.machine import environment, machine, versions
from nncomp.text import aligned

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

HERE = Path(__file__).resolve().parent
ROOT = HERE.parent
RESULTS = HERE / "results"
DATA = ROOT.parent / "shared" / "data"


# --- figures -------------------------------------------------------------------------


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
    return "\n".join(aligned(lines, set(range(1, len(headings)))))


def markdown_table(headings: Sequence[str], rows: Sequence[Sequence[str]]) -> str:
    """A table for a document: the first column to the left, numbers to the right."""
    rule = ["---"] + ["---:"] * (len(headings) - 1)
    return "\n".join(f"| {' | '.join(line)} |" for line in (headings, rule, *rows))


def sha256(data: bytes) -> str:
    """Which input it was."""
    return hashlib.sha256(data).hexdigest()


# --- records of other questions than those of `nncomp bench` -------------------------


def circumstances() -> dict[str, Any]:
    """Machine, versions, date and settings, for the head of a record."""
    return {
        "date": datetime.now(timezone.utc).isoformat(timespec="seconds"),
        "machine": machine(),
        "versions": versions(),
        "environment": environment(),
        "arguments": sys.argv[1:],
    }


def place(record: Mapping[str, Any]) -> str:
    """Where and with what it was measured, in a sentence."""
    machine, versions = record["machine"], record["versions"]
    told = ", ".join(f"{name} {version}" for name, version in versions.items())
    return (
        f"{machine['cpu']}, {machine['cores']} cores, load {machine['load_at_start']} at the "
        f"start; {record['date'][:10]}; {told}."
    )


def result(name: str) -> Path:
    """results/NAME.json; an absolute name goes where it says."""
    return RESULTS / f"{name}.json"


def begun(name: str) -> Path:
    """Where a record grows that is not complete yet, beside its place."""
    return RESULTS / f"{name}.part.json"


def save(name: str, record: Mapping[str, Any]) -> None:
    """Write results/NAME.json."""
    path = result(name)
    path.parent.mkdir(parents=True, exist_ok=True)
    path.write_text(json.dumps(record, indent=1) + "\n", encoding="utf-8")


def load(path: Path) -> dict[str, Any]:
    """Read what `save` wrote."""
    record: dict[str, Any] = json.loads(path.read_text(encoding="utf-8"))
    return record


def say(text: str) -> None:
    """Progress, apart from the results on standard output."""
    print(text, file=sys.stderr, flush=True)


def count(text: str) -> int:
    """A whole number of things; none is too few of any."""
    if (number := int(text)) < 1:
        raise argparse.ArgumentTypeError(f"{number} is too few: 1 or more are wanted")
    return number


def above_zero(text: str) -> float:
    """A bound, or a time; exchanges without loss are the run "plain"."""
    try:
        number = float(text)
    except ValueError:
        number = 0
    if not 0 < number < math.inf:
        raise argparse.ArgumentTypeError(f"{text} is not valid: expected a number above 0")
    return number
