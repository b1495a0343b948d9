"""Sizes and speeds of the tensor codec next to zipnn and others, in memory, taking turns.

    python benchmarks/tensors.py [--only NAME ...] [--size 128M] [--threads 1] [--resume FILE]
    python benchmarks/tensors.py --delta     a checkpoint with a tenth of its weights changed
    python benchmarks/tensors.py --memory    peak of the command on a file of 1 GB
    python benchmarks/tensors.py --large     5 GB by path and pipe, and one tensor out of it
    python benchmarks/tensors.py --table results/NAME.json

The data sets, and the order-0 limit that each is compared with, are described in
tensor_data.py; they are made, or read, one at a time, and measured as `nncomp bench` does.
"""

from __future__ import annotations

import argparse
import os
import re
import sys
import tempfile
from dataclasses import replace
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import DATA, circumstances, load, save, say
from tables import numbers as tensor_table
from tensor_data import changed, chosen, data_set, synthetic
from tensor_files import large, memory, print_steps

from nncomp.bench import contestants, records
from nncomp.bench.measure import Plan
from nncomp.bench.measure import measure as compare
from nncomp.errors import NncompError

if TYPE_CHECKING:
    from collections.abc import Iterator

    from tensor_data import Numbers

    from nncomp.bench.records import Record

SIZES = {"speed": "128M", "delta": "128M", "memory": "1G", "large": "5G"}
PEERS = {
    "speed": (
        *("zipnn", "zstandard 1", "zstandard 3", "lz4", "blosc2 lz4", "blosc2 zstd"),
        *("openzl", "pcodec"),
    ),
    "delta": ("zipnn", "zstandard 19"),
}
PATIENCE = 1e6  # seconds in which all rounds are made


# --- measuring -----------------------------------------------------------------------


def names(options: argparse.Namespace) -> list[str]:
    """Of the data sets."""
    if options.mode == "delta":
        return [f"{name} delta" for name in options.only or ["bf16"]]
    return chosen(options.only)


def made(name: str, options: argparse.Namespace) -> Numbers:
    """A data set by its name."""
    if options.mode == "delta":
        return changed(synthetic(name.removesuffix(" delta"), options.size))
    return data_set(name, options.data, options.size)


def measured(options: argparse.Namespace) -> Iterator[Record]:
    """The record so far, after each data set.

    Raises:
        SystemExit: nncomp failed, or the record to go on with is of another call.
    """
    record = begun(options.resume)
    peers = options.peers if options.peers is not None else PEERS[options.mode]
    others, missing = contestants.peers(peers) if peers else ([], {})
    for name, install in missing.items():
        say(f"{name} is not on this machine; {install}")
    everyone = [*contestants.methods(options.method), *others]
    plan = Plan(options.rounds, extra=PATIENCE, threads=options.threads)
    for name in names(options):
        if record is not None and name in {each.name for each in record.inputs}:
            continue
        numbers = made(name, options)
        say(f"{name}: {len(numbers.data):,} bytes")
        with tempfile.TemporaryDirectory(dir=options.tmp) as folder:
            record = compare(
                [numbers.subject(Path(folder))],
                everyone,
                plan,
                missing=missing,
                arguments=sys.argv[1:],
                earlier=record,
            )
        record = with_extras(record, numbers, options.compiled)
        complain(record, name)
        yield record


def begun(path: Path | None) -> Record | None:
    """What there is to go on with."""
    if path is None or not path.exists():
        return None
    record = records.load(path)
    if record.arguments != tuple(sys.argv[1:]):
        raise SystemExit(f"{path} was begun by {' '.join(record.arguments)}: remove it, or go on")
    return record


def with_extras(record: Record, numbers: Numbers, compiled: str) -> Record:
    """What a record has besides: the type and the limit of each data set."""
    limit = numbers.limit
    extras: dict[str, Any] = {"dtypes": {}, "order0": {}, **record.extras, "compiled": compiled}
    extras["dtypes"] |= {numbers.name: numbers.dtype}
    extras["order0"] |= {numbers.name: None if limit is None else round(limit)}
    return replace(record, extras=extras)


def complain(record: Record, name: str) -> None:
    """Name those that failed at a data set; nncomp ends the run.

    Raises:
        SystemExit: nncomp did.
    """
    for row in record.rows:
        if row.file == name and row.problem:
            say(f"{name}, {row.method}: {row.problem}")
            if row.kind == "own":
                raise SystemExit(1)


def measure(options: argparse.Namespace) -> Record:
    """All data sets; the file of `--resume` has the record after each."""
    record = None
    for record in measured(options):
        if options.resume is not None:
            records.save(options.resume, record)
    record = record or begun(options.resume)
    if record is None:
        raise SystemExit("there is nothing to measure")
    return record


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
    parser.add_argument(
        "--peers", nargs="*", metavar="PEER", help=f"as of nncomp bench; default: {PEERS}"
    )
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
    parser.add_argument(
        "--resume", type=Path, metavar="FILE", help="keep the record there, and go on with one"
    )
    parser.add_argument("--save", metavar="NAME", help="of --memory, --large: results/NAME.json")
    parser.add_argument("--table", type=Path, metavar="RECORD", help="only print this record")
    options = parser.parse_args()
    options.mode = options.mode or "speed"
    options.method = options.method or ["zipnn"]
    options.size = byte_count(SIZES[options.mode]) if options.size is None else options.size
    return options


def print_record(path: Path) -> None:
    """By what it is of."""
    found = load(path)
    if "steps" in found:
        print_steps(found)
    else:
        print(tensor_table(records.load(path)))


def measure_files(options: argparse.Namespace) -> None:
    """`--memory` and `--large`."""
    work = memory if options.mode == "memory" else large
    record = circumstances()
    with tempfile.TemporaryDirectory(dir=options.tmp) as folder:
        method, threads = options.method[0], options.threads
        record |= work(Path(folder), method, threads, options.size, options.rounds)
    record |= {key: getattr(options, key) for key in ("mode", "rounds", "threads", "compiled")}
    if options.save:
        save(options.save, record)
    print_steps(record)


def main() -> None:
    """Measure, or print what was measured."""
    options = arguments()
    # What nncomp reads when it is first needed, here or in the processes started.
    os.environ["NNCOMP_COMPILED"] = "1" if options.compiled == "on" else "0"
    try:
        if options.table:
            print_record(options.table)
        elif options.mode in ("memory", "large"):
            measure_files(options)
        else:
            print(tensor_table(measure(options)))
    except NncompError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
