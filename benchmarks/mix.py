"""Sizes and times of context mixing next to zpaq, PPMd and others, on files of many kinds.

    python benchmarks/mix.py [PATTERN ...] [--data DIR] [-m METHOD ...] [--runs N] [--save NAME]
    python benchmarks/mix.py --table results/NAME.json

Without patterns: every file of the data folder above 100 KB, each counted where it stands (the
fax of the Calgary corpus is in the Canterbury corpus as well), and all files of the Canterbury
corpus. Each is compressed and decompressed by whole processes on one thread, which take turns,
and must come back the same. What was measured of a file goes into the record at once; the same
name again, with other patterns or none, adds what is missing.
"""

from __future__ import annotations

import argparse
import tempfile
from pathlib import Path
from typing import TYPE_CHECKING, Any

from commands import PEERS, WAYS, Method, nncomp_methods, peers, warm_up
from common import DATA, RESULTS, circumstances, load, markdown_table, place, save, short
from rounds import add_options, files, print_text, say_missing, take_turns

if TYPE_CHECKING:
    from collections.abc import Sequence

LARGE = 100_000  # bytes; files above count in the totals
CORPUS = "canterbury/"  # the files that are summed on their own
METHODS = ["mix -6", "mix -9", "mix -3", "mix -1"]
STRONG, FAST = "zpaq -m5", "7z PPMd"  # what sizes and times are compared with
NOTE = b"The same words again, and again the same words; again.\n" * 20  # shrinks, at once

Entries = list[dict[str, Any]]


# --- measuring -----------------------------------------------------------------------


def standard_files(data: Path) -> list[Path]:
    """What a run without patterns takes."""
    found = files(data, ["*/**/*"])
    corpus = {path for path in found if path.relative_to(data).as_posix().startswith(CORPUS)}
    return sorted(corpus | {path for path in found if path.stat().st_size > LARGE})


def begun(name: str | None, fresh: dict[str, Any]) -> dict[str, Any]:
    """The record of that name, to go on with, or a fresh one.

    Raises:
        SystemExit: There is one that was measured on another machine or with other programs.
    """
    path = RESULTS / f"{name}.json"
    if name is None or not path.exists():
        return fresh
    old = load(str(path))
    for part in ("machine", "versions", "runs"):
        if _lasting(old[part]) != _lasting(fresh[part]):
            raise SystemExit(
                f"{path} has the {part} {old[part]}, and this would be {fresh[part]}. Take another "
                "name"
            )
    return old


def _lasting(part: Any) -> Any:
    """Without what changes from minute to minute."""
    if not isinstance(part, dict):
        return part
    return {key: value for key, value in part.items() if key != "load_at_start"}


def start_up(methods: Sequence[Method], rounds: int) -> Entries:
    """How long next to nothing takes, once the kernels are compiled."""
    with tempfile.TemporaryDirectory() as folder:
        note = Path(folder) / "note"
        note.write_bytes(NOTE)
        return take_turns(note, note.name, methods, rounds)


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """File by file; the record is saved after each."""
    paths = files(options.data, options.patterns) if options.patterns else []
    paths = paths or standard_files(options.data)
    others, versions = peers(list(PEERS) if options.peers is None else options.peers)
    say_missing(versions)
    ours = nncomp_methods(options.method or METHODS, 1, options.device)
    fresh = {**circumstances(versions), "runs": options.runs, "start": [], "entries": []}
    record = begun(options.save, fresh)
    warm_up([*ours, *others])
    measured = {e["method"] for e in record["start"]}
    record["start"] += start_up([m for m in ours if m.name not in measured], options.runs)
    for path in paths:
        name = path.relative_to(options.data).as_posix()
        done = {e["method"] for e in record["entries"] if e["file"] == name}
        missing = [method for method in [*ours, *others] if method.name not in done]
        record["entries"] += take_turns(path, name, missing, options.runs)
        if options.save:
            save(options.save, record)
    return record


# --- tables --------------------------------------------------------------------------

Found = dict[str, dict[str, dict[str, Any]]]  # by file and method


def by_file(record: dict[str, Any]) -> tuple[list[str], Found]:
    """The methods, and what they did to each file that all of them were measured on."""
    methods = list(dict.fromkeys(e["method"] for e in record["entries"]))
    found: Found = {}
    for e in record["entries"]:
        found.setdefault(e["file"], {})[e["method"]] = e
    return methods, {
        name: found[name] for name in sorted(found) if len(found[name]) == len(methods)
    }


def total(found: Found, method: str, way: str | None = None) -> float:
    """Bytes of the archives of a method; or processor seconds that it takes, in one way."""
    return sum(e[method][way]["cpu_s"] if way else e[method]["size"] for e in found.values())


def print_totals(methods: list[str], found: Found) -> None:
    """A row for each method: sums of sizes and of processor seconds, and their ratios."""
    large = {n: e for n, e in found.items() if e[methods[0]]["bytes"] > LARGE}
    corpus = {n: e for n, e in found.items() if n.startswith(CORPUS)}
    references = [peer for peer in (STRONG, FAST) if peer in methods]
    headings = ["method", f"{len(large)} files above 100 KB", f"{len(corpus)} of Canterbury"]
    headings += [f"to {peer}" for peer in references]
    for way in WAYS:
        headings += [f"{way}, cpu s", *(f"times {peer}" for peer in references)]
    rows = []
    for method in methods:
        row = [f"`{method}`", f"{total(large, method):,}", f"{total(corpus, method):,}"]
        row += [f"{_above(total(large, method), total(large, p)):+.2f}%" for p in references]
        for way in WAYS:
            seconds = total(large, method, way)
            row.append(short(seconds))
            row += [f"{seconds / total(large, peer, way):.2f}" for peer in references]
        rows.append(row)
    print(markdown_table(headings, rows))


def _above(size: float, other: float) -> float:
    """Percent by which a size is above another; of nothing, nothing."""
    return 100 * (size / other - 1) if other else 0.0


def print_files(methods: list[str], found: Found) -> None:
    """A row for each file, and how the first method compares with the strongest peer."""
    headings = ["file", "bytes", *(f"`{method}`" for method in methods)]
    if STRONG in methods:
        headings.append(f"{methods[0]} to {STRONG}")
    rows = []
    for name, e in found.items():
        row = [name, f"{e[methods[0]]['bytes']:,}", *(f"{e[m]['size']:,}" for m in methods)]
        if STRONG in methods:
            row.append(f"{_above(e[methods[0]]['size'], e[STRONG]['size']):+.1f}%")
        rows.append(row)
    print(markdown_table(headings, rows))


def print_markdown(record: dict[str, Any]) -> None:
    """Totals, files, and where it was measured."""
    methods, found = by_file(record)
    print_totals(methods, found)
    print()
    print_files(methods, found)
    starts = "; ".join(
        f"{e['method']} {short(e['compress']['wall_s'])} s in, "
        f"{short(e['decompress']['wall_s'])} s out"
        for e in record["start"]
    )
    print(
        f"\nMedians of {record['runs']} runs of whole processes on one thread, taking turns. A "
        f"note of {len(NOTE)} bytes takes {starts}. {place(record)}"
    )


def main() -> None:
    """Measure, or print what was measured."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("patterns", nargs="*", help="below the data folder")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the files")
    parser.add_argument(
        "-m", "--method", action="append", help=f"may be repeated; default: {', '.join(METHODS)}"
    )
    parser.add_argument("--peers", nargs="*", metavar="NAME", help=f"of {', '.join(PEERS)}")
    add_options(parser)
    options = parser.parse_args()
    if options.table:
        print_markdown(load(options.table))
        return
    record = measure(options)
    print_text(record["entries"])


if __name__ == "__main__":
    main()
