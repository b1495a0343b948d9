"""Sizes and speeds of methods next to xz and zstd, on whole files, by whole processes.

    python benchmarks/sep.py [PATTERN ...] [--data DIR] [-m METHOD ...] [--runs N] [--save NAME]
    python benchmarks/sep.py --table results/NAME.json

By default `sep`, the memory of contexts that it builds on, and two peers. Each file is
compressed and decompressed by the installed commands, start of the process included, and must
come back the same. The contestants take turns; the tables show medians.
"""

from __future__ import annotations

import argparse
from pathlib import Path
from typing import Any

from commands import WAYS, nncomp_methods, peers, warm_up
from common import DATA, circumstances, load, markdown_table, place, save, short
from rounds import add_options, files, print_text, say_missing, take_turns

METHODS = ["sep", "mix"]
PEERS = ("xz -9e", "zstd --ultra -22")
FILES = (
    "enwik/enwik6",
    "calgary/geo",
    "canterbury/kennedy.xls",
    "weights/dzip_webster.safetensors",
    "artificial/*",
)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """File by file, and make the record."""
    paths = files(options.data, options.patterns)
    others, versions = peers(PEERS)
    say_missing(versions)
    methods = nncomp_methods(options.method or METHODS, options.threads, options.device) + others
    record = {**circumstances(versions), "runs": options.runs, "entries": []}
    warm_up(methods)
    for path in paths:
        name = path.relative_to(options.data).as_posix()
        record["entries"] += take_turns(path, name, methods, options.runs)
    return record


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
        "-m",
        "--method",
        action="append",
        help='e.g. sep, "sep -9", sep:memory=off; may be repeated',
    )
    parser.add_argument("--threads", type=int, default=0, help="of nncomp; 0: all cores")
    add_options(parser)
    options = parser.parse_args()
    if options.table:
        print_markdown(load(options.table))
        return
    record = measure(options)
    print_text(record["entries"])
    if options.save:
        save(options.save, record)


if __name__ == "__main__":
    main()
