"""Sizes and speeds of methods next to xz and zstd, on whole files, by whole processes.

    python benchmarks/sep.py [PATTERN ...] [--data DIR] [-m METHOD ...] [--runs N] [--save NAME]
    python benchmarks/sep.py --table results/NAME.json

Each file is compressed and decompressed by the installed commands, start of the process
included, and must come back the same. The contestants take turns; the tables show medians.
"""

from __future__ import annotations

import argparse
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from commands import Method, nncomp_methods, peers, there_and_back, warm_up
from common import (
    DATA,
    circumstances,
    load,
    markdown_table,
    median,
    per_second,
    place,
    save,
    say,
    sha256,
    short,
    text_table,
    turns,
)

FILES = (
    "enwik/enwik6",
    "calgary/geo",
    "canterbury/kennedy.xls",
    "weights/dzip_webster.safetensors",
    "artificial/*",
)
WAYS = ("compress", "decompress")


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


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """Take turns, and make the record."""
    paths = [p for pattern in options.patterns for p in sorted(options.data.glob(pattern))]
    paths = list(dict.fromkeys(p for p in paths if p.is_file()))
    if not paths:
        raise SystemExit(f"{options.data} has none of {', '.join(options.patterns)}")
    others, versions = peers()
    missing = [name for name, version in versions.items() if version == "missing"]
    if missing:
        say(f"not on this machine: {', '.join(missing)}")
    methods = nncomp_methods(options.method or ["sep"], options.threads, options.device) + others
    record = circumstances(versions)
    warm_up(methods)
    entries = [Entry(p, p.relative_to(options.data).as_posix(), m) for p in paths for m in methods]
    for entry in turns(entries, options.runs):
        size, seconds = there_and_back(entry.method, entry.path)
        entry.sizes.add(size)
        if len(entry.sizes) > 1:
            raise SystemExit(f"{entry.name}: {entry.method.name} gave archives of several sizes")
        for way in WAYS:
            entry.seconds[way].append(seconds[way])
        walls = ", ".join(f"{way} {seconds[way][0]:.2f} s" for way in WAYS)
        say(f"{entry.name}, {entry.method.name}: {size} bytes, {walls}")
    return {**record, "runs": options.runs, "entries": [entry.record() for entry in entries]}


def print_text(record: dict[str, Any]) -> None:
    """A line for each file and method."""
    headings = ["file", "method", "bytes", "coded", "%"]
    headings += [f"{way} {unit}" for way in WAYS for unit in ("s", "cpu s", "KB/s")]
    rows = []
    for e in record["entries"]:
        row = [e["file"], e["method"], f"{e['bytes']:,}", f"{e['size']:,}"]
        row.append(f"{100 * e['size'] / e['bytes']:.1f}" if e["bytes"] else "-")
        for way in WAYS:
            row += [short(e[way][key]) for key in ("wall_s", "cpu_s", "kb_per_s")]
        rows.append(row)
    print(text_table(headings, rows))


def print_markdown(record: dict[str, Any]) -> None:
    """A row for each file, two columns for each method, and where it was measured."""
    entries = {(e["file"], e["method"]): e for e in record["entries"]}
    methods = list(dict.fromkeys(method for _, method in entries))
    headings = ["file", "bytes"]
    for method in methods:
        headings += [f"`{method}`", "KB/s in / out"]
    rows = []
    for file in dict.fromkeys(file for file, _ in entries):
        row = [file, f"{entries[file, methods[0]]['bytes']:,}"]
        for method in methods:
            e = entries[file, method]
            row += [f"{e['size']:,}", " / ".join(short(e[way]["kb_per_s"]) for way in WAYS)]
        rows.append(row)
    print(markdown_table(headings, rows))
    print(f"\nMedians of {record['runs']} runs of whole processes, taking turns. {place(record)}")


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("patterns", nargs="*", default=FILES, help="below the data folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the files")
    parser.add_argument(
        "-m", "--method", action="append", help='e.g. sep, "sep -9", sep:lanes=4; may be repeated'
    )
    parser.add_argument("--runs", type=int, default=3)
    parser.add_argument("--threads", type=int, default=0, help="of nncomp; 0: all cores")
    parser.add_argument("--device", default="cpu", choices=("auto", "cpu", "cuda"))
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    parser.add_argument("--table", metavar="RECORD", help="only print this record, in Markdown")
    options = parser.parse_args()
    if options.table:
        print_markdown(load(options.table))
        return
    record = measure(options)
    print_text(record)
    if options.save:
        save(options.save, record)


if __name__ == "__main__":
    main()
