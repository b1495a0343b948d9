"""`emb` on look-ups of embedding tables, next to quantise+zstd, SZ3 and zfp.

    python benchmarks/embeddings.py --trained [--bounds 1e-2 1e-3] [--runs 5] [--save NAME]
    python benchmarks/embeddings.py FILE... [--bounds 1e-2 1e-3] [--runs 5] [--save NAME]
    python benchmarks/embeddings.py --table results/NAME.json
    python benchmarks/embeddings.py --proof 100000000 [--types F32 F64]

Every file is a table: .npy, or raw float32 with --columns; `--trained` takes the last of
emb_dumps.py, which it makes first. All contestants compress and decompress
all tables in turn, in this process, on one thread, quantisation included, with the same absolute
bound for each table: a share of its range. Times are processor time, the least of the runs, since
whatever else the machine does only adds to them; few tables are taken several times in each run.
Every element is checked.

`--proof` holds the bound against that many random and adversarial numbers of all types (all
exponents, denormal numbers, NaN with payloads), for bounds from 1e-1 to 1e-12, absolute and
relative; see emb_proof.py.
"""

from __future__ import annotations

import argparse
import time
from dataclasses import dataclass, field
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Any

import emb_dumps
import numpy as np
import zstandard
from common import (
    above_zero,
    circumstances,
    count,
    load,
    markdown_table,
    place,
    save,
    say,
    sha256,
    short,
    text_table,
)
from emb_proof import TYPES, prove

from nncomp.bench.machine import package_version
from nncomp.codecs.embedding.table import decode_table, encode_table

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping, Sequence

    from numpy.typing import NDArray

LIMIT = 1 << 34
ENOUGH = 8 << 20  # bytes that a run has at least
CODERS = ("auto", "huffman", "zstd", "lz4")


# --- contestants ---------------------------------------------------------------------


@dataclass
class Contestant:
    """One way to code a table.

    Attributes:
        name: In tables.
        compress: A table, float32[n, columns], within an absolute bound, to anything.
        decompress: Back, from that and the shape.
        size: Of what was coded, in bytes.
        seconds: Of each run, compressing and decompressing all tables.
        coded: Bytes of all tables.
        worst: The largest error, divided by the bound.
        violations: Elements off by more than the bound.
    """

    name: str
    compress: Callable[[NDArray[Any], float], Any]
    decompress: Callable[[Any, tuple[int, ...]], NDArray[Any]]
    size: Callable[[Any], int] = len
    seconds: list[tuple[float, float]] = field(default_factory=list)
    coded: int = 0
    worst: float = 0.0
    violations: int = 0


def ours(coder: str) -> Contestant:
    """`emb` with one of its coders."""
    return Contestant(
        f"emb {coder}",
        lambda x, bound: encode_table(x, bound=bound, entropy=coder),
        lambda coded, shape: decode_table(coded, LIMIT),
    )


def quantised_zstd() -> Contestant:
    """Codes of one or two bytes, and zstd -3, as the scripts of the paper would have it."""

    def compress(x: NDArray[Any], bound: float) -> tuple[bytes, Any, float]:
        codes = np.rint(x * np.float32(0.5 / bound))
        narrow = codes.astype(np.int8 if np.abs(codes).max() < 128 else np.int16)
        return zstandard.compress(narrow.data, 3), narrow.dtype, 2 * bound

    def decompress(coded: tuple[bytes, Any, float], shape: tuple[int, ...]) -> NDArray[Any]:
        content, dtype, step = coded
        codes = np.frombuffer(zstandard.decompress(content), dtype).reshape(shape)
        return codes * np.float32(step)

    return Contestant("quantise+zstd-3", compress, decompress, lambda coded: len(coded[0]))


def sz3(prediction: bool) -> Contestant | None:
    """SZ3 as it comes, or without prediction, which destroys what comes again."""
    try:
        from pysz import sz, szAlgorithm, szConfig, szErrorBoundMode
    except ImportError:
        return None

    def compress(x: NDArray[Any], bound: float) -> NDArray[Any]:
        config = szConfig(x.shape)
        config.errorBoundMode, config.absErrorBound = szErrorBoundMode.ABS, bound
        if not prediction:
            config.cmprAlgo = szAlgorithm.NOPRED
        return sz.compress(x, config)[0]

    name = "SZ3" if prediction else "SZ3, no prediction"
    return Contestant(name, compress, lambda c, shape: sz.decompress(c, np.float32, shape)[0])


def zfp() -> Contestant | None:
    """zfp with its fixed accuracy."""
    try:
        import zfpy
    except ImportError:
        return None
    return Contestant(
        "zfp",
        lambda x, bound: zfpy.compress_numpy(x, tolerance=bound),
        lambda coded, shape: zfpy.decompress_numpy(coded),
    )


def contestants() -> list[Contestant]:
    """All that are on this machine."""
    peers = (sz3(True), sz3(False), zfp())
    return [*map(ours, CODERS), quantised_zstd(), *filter(None, peers)]


# --- measuring -----------------------------------------------------------------------


def measure(tables: Sequence[NDArray[Any]], relative: float, runs: int) -> list[dict[str, Any]]:
    """What each contestant does with all tables at one share of their ranges."""
    tables = [*tables] * -(-ENOUGH // sum(x.nbytes for x in tables))
    bounds = [relative * float(np.ptp(x.astype(np.float64))) for x in tables]
    found = contestants()
    for run in range(runs + 1):
        for one in found:
            turn(one, tables, bounds, warm=run > 0)
    raw = sum(x.nbytes for x in tables)
    records = []
    for one in found:
        there, back = (min(times) for times in zip(*one.seconds, strict=True))
        record = {
            "bound": relative,
            "contestant": one.name,
            "bytes": raw,
            "coded": one.coded,
            "ratio": raw / one.coded,
            "compress_mb_per_s": raw / there / 1e6,
            "decompress_mb_per_s": raw / back / 1e6,
            "worst_error": one.worst,
            "violations": one.violations,
        }
        records.append(record)
        say(f"{relative:g} {one.name}: {record['ratio']:.2f}")
    return records


def turn(
    one: Contestant, tables: Sequence[NDArray[Any]], bounds: Sequence[float], *, warm: bool
) -> None:
    """All tables once; the first turn, in which things are loaded, is checked instead of timed."""
    start = time.process_time()
    coded = [one.compress(x, bound) for x, bound in zip(tables, bounds, strict=True)]
    middle = time.process_time()
    back = [one.decompress(c, x.shape) for c, x in zip(coded, tables, strict=True)]
    end = time.process_time()
    if warm:
        one.seconds.append((middle - start, end - middle))
        return
    one.coded = sum(map(one.size, coded))
    for x, y, bound in zip(tables, back, bounds, strict=True):
        errors = np.abs(y.astype(np.float64) - x)
        one.worst = max(one.worst, float(errors.max()) / bound)
        one.violations += int(np.count_nonzero(errors > bound))


def read(path: Path, columns: int) -> NDArray[Any]:
    """A table of a file."""
    if path.suffix == ".npy":
        return np.ascontiguousarray(np.load(path), np.float32)
    return np.fromfile(path, np.float32).reshape(-1, columns)


def rows_of(records: Sequence[dict[str, Any]]) -> tuple[list[str], list[list[str]]]:
    """Headings and lines of a table."""
    headings = ["contestant", "bound", "ratio", "MB/s in", "MB/s out", "error/bound", "violations"]
    rows = [
        [
            r["contestant"],
            f"{r['bound']:g}",
            f"{r['ratio']:.2f}",
            short(r["compress_mb_per_s"]),
            short(r["decompress_mb_per_s"]),
            f"{r['worst_error']:.6f}",
            f"{r['violations']:,}",
        ]
        for r in records
    ]
    return headings, rows


def trained() -> dict[str, NDArray[Any]]:
    """The tables that emb_dumps.py writes last."""
    with TemporaryDirectory(prefix="nncomp-dumps-") as name:
        options = emb_dumps.arguments([name])
        emb_dumps.train(options)
        paths = sorted(Path(name).glob(f"*-{max(options.iterations):04}.npy"))
        return {path.name: np.load(path) for path in paths}


def markdown(record: Mapping[str, Any]) -> str:
    """The table of a record, and how it came about."""
    told = (
        f"MB/s of processor time, the best of {record['runs']} runs that take turns, on one "
        "thread, quantisation included. "
    )
    return f"{markdown_table(*rows_of(record['results']))}\n\n{told}{place(record)}"


def main() -> None:
    """See above."""
    parser = argparse.ArgumentParser(description="emb next to its peers")
    parser.add_argument("files", nargs="*", type=Path)
    parser.add_argument("--trained", action="store_true", help="tables made by emb_dumps.py")
    parser.add_argument("--columns", type=count, default=64, help="of raw files")
    parser.add_argument("--bounds", nargs="+", type=above_zero, default=[1e-2, 1e-3])
    parser.add_argument("--runs", type=count, default=5)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    parser.add_argument("--table", type=Path, metavar="RECORD", help="print this, in Markdown")
    parser.add_argument("--proof", type=count, metavar="COUNT", help="hold the bound against these")
    parser.add_argument("--types", nargs="+", choices=TYPES, help="of --proof, in turn")
    options = parser.parse_args()
    if options.table:
        print(markdown(load(options.table)))
    elif options.proof:
        violations = prove(options.proof, *([options.types] if options.types else []))
        raise SystemExit(violations > 0)
    else:
        if not options.files and not options.trained:
            parser.error("no tables: give files, or --trained")
        try:
            tables = {path.name: read(path, options.columns) for path in options.files}
        except (OSError, ValueError) as error:  # NumPy's errors do not all name the file
            parser.error(f"{', '.join(map(str, options.files))}: {error}")
        tables |= trained() if options.trained else {}
        record: dict[str, Any] = {**circumstances(), "runs": options.runs}
        record["versions"] |= {name: package_version(name) for name in ("pysz", "zfpy")}
        record["inputs"] = {name: sha256(table.tobytes()) for name, table in tables.items()}
        record["results"] = [
            result
            for bound in options.bounds
            for result in measure(list(tables.values()), bound, options.runs)
        ]
        print(text_table(*rows_of(record["results"])))
        if options.save:
            save(options.save, record)


if __name__ == "__main__":
    main()
