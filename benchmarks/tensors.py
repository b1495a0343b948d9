"""Sizes and speeds of the tensor codec next to zipnn and others, in memory, taking turns.

    python benchmarks/tensors.py [--only NAME ...] [--size 128M] [--threads 1] [--save NAME]
    python benchmarks/tensors.py --delta     a checkpoint with a tenth of its weights changed
    python benchmarks/tensors.py --memory    peak of the command on a file of 1 GB
    python benchmarks/tensors.py --large     5 GB by path and pipe, and one tensor out of it
    python benchmarks/tensors.py --table results/NAME.json

Each contestant has a process of its own, described in tensor_worker.py, and they take turns:
while one works, the others sleep. The two directions are timed apart. What comes back is
compared outside the timing. The data sets, and the order-0 limit that each is compared with,
are described in tensor_data.py.
"""

from __future__ import annotations

import argparse
import os
import re
import tempfile
from contextlib import ExitStack
from dataclasses import dataclass, field
from functools import partial
from pathlib import Path
from typing import Any

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
    turns,
)
from tensor_data import Numbers, changed, data_sets, synthetic
from tensor_files import large, memory, print_steps
from tensor_peers import DELTA_PEERS, PEERS, here
from tensor_worker import WAYS, ContestantError, Worker

SIZES = {"speed": "128M", "delta": "128M", "memory": "1G", "large": "5G"}
AT_LEAST = 32_000_000  # bytes per turn: shorter data sets are done several times
THREAD_SETTINGS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS", "BLOSC_NTHREADS"),
)
"""Variables of the environment that hold pools of threads to a number; read at import."""


# --- measuring -----------------------------------------------------------------------


@dataclass
class Entry:
    """What one contestant did to one data set, round by round: (processor, wall) seconds."""

    worker: Worker
    told: str = ""
    size: int = 0
    problem: str = ""
    seconds: dict[str, list[tuple[float, float]]] = field(
        default_factory=lambda: {way: [] for way in WAYS}
    )

    def start(self) -> None:
        """Wait until it is ready."""
        self.told = self.worker.answer()["told"]

    def turn(self, repeats: int) -> None:
        """There and back, each several times; the mean counts."""
        for way in WAYS:
            found = self.worker.ask(way, repeats)
            self.size = found["size"]
            self.seconds[way].append((found["cpu"], found["wall"]))

    def record(self, raw_size: int) -> dict[str, Any]:
        """Medians, and the rounds they come from."""
        found: dict[str, Any] = {"method": self.worker.name, "told": self.told}
        if self.problem:
            return {**found, "problem": self.problem}
        found["size"] = self.size
        for way, rounds in self.seconds.items():
            cpu = median([cpu for cpu, _ in rounds], 6)
            found[way] = {
                "cpu_s": cpu,
                "wall_s": median([wall for _, wall in rounds], 6),
                "mb_per_cpu_s": round(per_second(raw_size, cpu) / 1000, 1),
                "runs_cpu_s": [round(cpu, 6) for cpu, _ in rounds],
                "runs_wall_s": [round(wall, 6) for _, wall in rounds],
            }
        return found


def compare(numbers: Numbers, names: list[str], options: argparse.Namespace) -> dict[str, Any]:
    """Let all take turns on one data set.

    A peer that fails or lies is named and left out of the rest of this data set; nncomp stops
    the run.
    """
    repeats = max(1, AT_LEAST // max(1, len(numbers.data)))
    with tempfile.TemporaryDirectory(dir=options.tmp) as folder, ExitStack() as stack:
        numbers.save(Path(folder))
        entries = [
            Entry(stack.enter_context(Worker(name, options.threads, Path(folder))))
            for name in names
        ]
        steps = [(entry, entry.start) for entry in entries]
        steps += [(entry, partial(entry.turn, repeats)) for entry in turns(entries, options.rounds)]
        for entry, step in steps:
            if entry.problem:
                continue
            try:
                step()
            except ContestantError as error:
                entry.problem = str(error)
                told = f"{numbers.name}, {entry.worker.name}: {error}"
                if entry.worker.name.startswith("nncomp "):
                    raise SystemExit(told) from error
                say(told)
    limit = numbers.limit
    return {
        "data": numbers.name,
        "dtype": numbers.dtype,
        "bytes": len(numbers.data),
        "sha256": sha256(numbers.data),
        "order0": None if limit is None else round(limit),
        "methods": [entry.record(len(numbers.data)) for entry in entries],
    }


def measure(options: argparse.Namespace) -> dict[str, Any]:
    """The data sets, or the deltas, one after the other."""
    known = DELTA_PEERS if options.mode == "delta" else PEERS
    names, versions = here(known, options.peers if options.peers is not None else list(known))
    missing = [name for name, version in versions.items() if version == "missing"]
    if missing:
        say(f"not installed: {', '.join(missing)}")
    names = [*(f"nncomp {method}" for method in options.method), *names]
    os.environ |= dict.fromkeys(THREAD_SETTINGS, str(options.threads))
    record = {**circumstances(versions), "entries": []}
    if options.mode == "delta":
        sources = (changed(synthetic(name, options.size)) for name in options.only or ["bf16"])
    else:
        sources = data_sets(options.data, options.size, options.only)
    for numbers in sources:
        say(f"{numbers.name}: {len(numbers.data):,} bytes")
        record["entries"].append(compare(numbers, names, options))
    return record


# --- tables --------------------------------------------------------------------------


def print_markdown(record: dict[str, Any]) -> None:
    """Sizes in percent of the original, and how many times faster than zipnn nncomp is."""
    methods = list(dict.fromkeys(m["method"] for e in record["entries"] for m in e["methods"]))
    first, clocks = methods[0], ["cpu"] if record["threads"] == 1 else ["cpu", "wall"]
    ratios = [(way, clock) for way in WAYS for clock in clocks] if "zipnn" in methods else []
    headings = ["data", "bytes", "order-0 %", f"`{first}` %", "above order-0"]
    headings += [f"{method} %" for method in methods[1:]]
    headings += [f"{way}, {clock}" for way, clock in ratios]
    rows = []
    for entry in record["entries"]:
        found, raw, limit = (
            {m["method"]: m for m in entry["methods"]},
            entry["bytes"],
            entry["order0"],
        )
        above = "-" if limit is None else f"{100 * (found[first]['size'] - limit) / raw:+.2f}"
        row = [entry["data"], f"{raw:,}", "-" if limit is None else f"{100 * limit / raw:.2f}"]
        sizes = [
            "failed" if "problem" in m else f"{100 * m['size'] / raw:.2f}"
            for m in (found[method] for method in methods)
        ]
        row += [sizes[0], above, *sizes[1:]]
        for way, clock in ratios:
            row.append(_times_faster(found[first], found["zipnn"], way, f"{clock}_s"))
        rows.append(row)
    print(markdown_table(headings, rows))
    print(
        f"\nSizes in % of the original, `{first}` in points above the order-0 limit; times faster "
        f"than zipnn; medians of {record['rounds']} rounds, threads: {record['threads']}, "
        f"compiled kernels: {record['compiled']}. {place(record)}"
    )


def _times_faster(ours: dict[str, Any], theirs: dict[str, Any], way: str, key: str) -> str:
    if "problem" in theirs:
        return "-"
    return f"{theirs[way][key] / ours[way][key]:.2f}"


def print_record(record: dict[str, Any]) -> None:
    """By what was measured."""
    if record["mode"] in ("memory", "large"):
        print_steps(record)
        print(f"\nThreads: {record['threads']}. {place(record)}")
    else:
        print_markdown(record)


# --- the command ---------------------------------------------------------------------


def byte_count(text: str) -> int:
    """A number with K, M or G for thousands, millions or thousands of millions."""
    match = re.fullmatch(r"(\d+)([KMG]?)", text.upper())
    if not match:
        raise argparse.ArgumentTypeError(f"{text} is no size: 4M, 128M, 1G")
    return int(match[1]) * 1000 ** " KMG".index(match[2] or " ")


def thread_count(text: str) -> int:
    """A number, or "all" cores."""
    return os.cpu_count() or 1 if text == "all" else int(text)


def arguments() -> argparse.Namespace:
    """The command line, with what depends on the kind of run filled in."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    kinds = parser.add_mutually_exclusive_group()
    for kind in ("delta", "memory", "large"):
        kinds.add_argument(f"--{kind}", dest="mode", action="store_const", const=kind)
    parser.add_argument("--only", nargs="+", default=[], metavar="NAME", help="data sets, patterns")
    parser.add_argument("--peers", nargs="*", metavar="NAME", help="default: all that are here")
    parser.add_argument(
        "-m", "--method", action="append", help="of nncomp, may be repeated; default zipnn"
    )
    parser.add_argument("--size", type=byte_count, help=f"of what is made; default: {SIZES}")
    parser.add_argument("--rounds", type=int, default=5)
    parser.add_argument("--threads", type=thread_count, default=1, help="a number, or all")
    parser.add_argument(
        "--compiled", choices=("on", "off"), default="on", help="compiled kernels of nncomp"
    )
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the files")
    parser.add_argument("--tmp", type=Path, help="folder for what is written meanwhile")
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    parser.add_argument("--table", metavar="RECORD", help="only print this record")
    options = parser.parse_args()
    options.mode = options.mode or "speed"
    options.method = options.method or ["zipnn"]
    options.size = byte_count(SIZES[options.mode]) if options.size is None else options.size
    return options


def main() -> None:
    """Measure, or print what was measured."""
    options = arguments()
    if options.table:
        print_record(load(options.table))
        return
    # Before nncomp is imported, here or in the processes started.
    os.environ["NNCOMP_COMPILED"] = "1" if options.compiled == "on" else "0"
    if options.mode in ("memory", "large"):
        work = memory if options.mode == "memory" else large
        record = circumstances()
        with tempfile.TemporaryDirectory(dir=options.tmp) as folder:
            method, threads = options.method[0], options.threads
            record |= work(Path(folder), method, threads, options.size, options.rounds)
    else:
        record = measure(options)
    record |= {key: getattr(options, key) for key in ("mode", "rounds", "threads", "compiled")}
    if options.save:
        save(options.save, record)
    print_record(record)


if __name__ == "__main__":
    main()
