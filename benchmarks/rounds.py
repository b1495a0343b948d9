"""Methods on files, by whole processes that take turns: what sep.py and mix.py share."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

from commands import WAYS, Method, there_and_back
from common import median, per_second, say, sha256, short, text_table, turns

if TYPE_CHECKING:
    import argparse
    from collections.abc import Sequence
    from pathlib import Path


@dataclass
class Entry:
    """What one method did to one file, run by run: (wall, processor) seconds."""

    path: Path
    name: str
    method: Method
    sizes: set[int] = field(default_factory=set)
    seconds: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {way: [] for way in WAYS}
    )

    def turn(self) -> None:
        """One run there and back."""
        size, seconds = there_and_back(self.method, self.path)
        self.sizes.add(size)
        if len(self.sizes) > 1:
            raise SystemExit(f"{self.name}: {self.method.name} gave archives of several sizes")
        for way in WAYS:
            self.seconds[way].append(seconds[way])
        walls = ", ".join(f"{way} {seconds[way][0]:.2f} s" for way in WAYS)
        say(f"{self.name}, {self.method.name}: {size} bytes, {walls}")

    def record(self) -> dict[str, Any]:
        """Medians, and the runs they come from."""
        raw = self.path.read_bytes()
        found: dict[str, Any] = {
            "file": self.name,
            "sha256": sha256(raw),
            "bytes": len(raw),
            "method": self.method.name,
            "size": max(self.sizes),
        }
        for way, runs in self.seconds.items():
            wall = median([run[0] for run in runs])
            found[way] = {
                "wall_s": wall,
                "cpu_s": median([run[1] for run in runs]),
                "kb_per_s": round(per_second(len(raw), wall), 3),
                "runs_wall_s": [round(run[0], 4) for run in runs],
            }
        return found


def files(data: Path, patterns: Sequence[str]) -> list[Path]:
    """What the patterns match below the folder, in their order.

    Raises:
        SystemExit: Nothing.
    """
    paths = [path for pattern in patterns for path in sorted(data.glob(pattern))]
    paths = list(dict.fromkeys(path for path in paths if path.is_file()))
    if not paths:
        raise SystemExit(f"{data} has none of {', '.join(patterns)}")
    return paths


def take_turns(
    path: Path, name: str, methods: Sequence[Method], rounds: int
) -> list[dict[str, Any]]:
    """All methods on one file, again and again; the records of each."""
    entries = [Entry(path, name, method) for method in methods]
    for entry in turns(entries, rounds):
        entry.turn()
    return [entry.record() for entry in entries]


def add_options(parser: argparse.ArgumentParser) -> None:
    """What the command lines have in common."""
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    parser.add_argument("--table", metavar="RECORD", help="only print this record, in Markdown")


def say_missing(versions: dict[str, str]) -> None:
    """Name the peers that are not here."""
    missing = [name for name, version in versions.items() if version == "missing"]
    if missing:
        say(f"not on this machine: {', '.join(missing)}")


def print_text(entries: Sequence[dict[str, Any]]) -> None:
    """A line for each file and method."""
    headings = ["file", "method", "bytes", "coded", "%"]
    headings += [f"{way} {unit}" for way in WAYS for unit in ("s", "cpu s", "KB/s")]
    rows = []
    for e in entries:
        row = [e["file"], e["method"], f"{e['bytes']:,}", f"{e['size']:,}"]
        row.append(f"{100 * e['size'] / e['bytes']:.1f}" if e["bytes"] else "-")
        for way in WAYS:
            row += [short(e[way][key]) for key in ("wall_s", "cpu_s", "kb_per_s")]
        rows.append(row)
    print(text_table(headings, rows))
