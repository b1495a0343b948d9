"""Embedding tables, compressed within bounds: how small, fast and exact, and whether it pays.

Every combination of bound and entropy coder compresses and decompresses each table in turn,
quantisation included, in this process and on one thread. What comes back is compared with the
original, element by element. Whether it pays to compress what is sent follows by the model in
`nncomp.codecs.embedding.model` from ratio and speeds, which are those of processor time: what a
machine that does nothing else would take.
"""

from __future__ import annotations

import math
import statistics
import time
from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any

import numpy as np

from nncomp.codecs.embedding.model import break_even, speedup
from nncomp.codecs.embedding.quantiser import BOUND_MAX
from nncomp.codecs.embedding.table import decode_table, encode_table
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterable, Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["BANDWIDTHS", "Plan", "Result", "Setting", "Table", "measure", "totals"]

BANDWIDTHS = (0.1, 1.0, 10.0, 25.0, 100.0)
"""Of networks, in Gbit/s."""
_PER_GBIT = 125e6  # bytes per second


@dataclass(frozen=True)
class Table:
    """What is compressed.

    Attributes:
        name: For people.
        rows: [n, width]; bfloat16 as bit patterns, uint16.
        kind: "F16", "BF16", "F32" or "F64".
    """

    name: str
    rows: NDArray[Any]
    kind: str

    def copies(self, count: int) -> Table:
        """So many of them, one after the other: a larger batch, as some simulate it."""
        return Table(self.name, np.tile(self.rows, (count, 1)), self.kind)

    def values(self, rows: NDArray[Any]) -> NDArray[np.float64]:
        """Elements of this kind as numbers."""
        if self.kind == "BF16":
            rows = (rows.astype(np.uint32) << 16).view(np.float32)
        return rows.astype(np.float64)


@dataclass(frozen=True)
class Setting:
    """How to compress.

    Attributes:
        bound: Absolute, or relative to the range of each table.
        mode: "abs" or "rel".
        entropy: Coder, as in `nncomp.codecs.embedding.table`.
    """

    bound: float
    mode: str
    entropy: str

    def __post_init__(self) -> None:
        if not 0 < self.bound <= BOUND_MAX:
            raise UsageError(f"{self.bound} is no bound: expected more than 0, up to {BOUND_MAX:g}")

    @property
    def name(self) -> str:
        """As in a method string."""
        return f"emb:bound={self.bound:g},mode={self.mode},entropy={self.entropy}"


@dataclass(frozen=True)
class Plan:
    """What to measure.

    Attributes:
        settings: Each of them on every table.
        rounds: Runs of each; one more comes first and does not count.
        copies: How many times each table is repeated.
    """

    settings: tuple[Setting, ...]
    rounds: int = 3
    copies: int = 1

    def __post_init__(self) -> None:
        if self.rounds < 1 or self.copies < 1 or not self.settings:
            raise UsageError("there is nothing to measure without settings, rounds and copies")


@dataclass
class Result:
    """One setting on one table, or on all of them.

    Attributes:
        table: Its name; of several, how many.
        setting: How it was compressed.
        shape: Rows and columns; None for several tables.
        raw, coded: Bytes.
        compress, decompress: (wall, processor) seconds of each run; of several tables, sums of
            medians.
        bound: Absolute; None for several tables, which have several.
        error: Largest error over bound; 0 where everything is exact.
        violations: Elements off by more than the bound, or not the same and no numbers.
    """

    table: str
    setting: Setting
    shape: tuple[int, int] | None
    raw: int
    coded: int
    bound: float | None
    error: float
    violations: int
    compress: list[tuple[float, float]] = field(default_factory=list)
    decompress: list[tuple[float, float]] = field(default_factory=list)

    @property
    def ratio(self) -> float:
        """Raw bytes over compressed bytes."""
        return self.raw / self.coded

    def rate(self, way: str, *, wall: bool = False) -> float:
        """Raw bytes per second, by the median of the runs; of processor time unless `wall`."""
        seconds = _median(getattr(self, way), wall=wall)
        return self.raw / seconds if seconds else math.inf

    def speedup(self, bandwidth: float) -> float:
        """Modelled, of sending over so many Gbit/s."""
        rates = self.rate("compress"), self.rate("decompress")
        return speedup(self.ratio, *rates, bandwidth * _PER_GBIT)

    @property
    def break_even(self) -> float:
        """Gbit/s up to which compressing pays."""
        return break_even(self.ratio, self.rate("compress"), self.rate("decompress")) / _PER_GBIT

    def to_dict(self, bandwidths: Sequence[float]) -> dict[str, Any]:
        """For JSON."""
        found: dict[str, Any] = {
            "table": self.table,
            "method": self.setting.name,
            "shape": self.shape,
            "raw_bytes": self.raw,
            "coded_bytes": self.coded,
            "ratio": self.ratio,
            "absolute_bound": self.bound,
            "error_over_bound": _finite(self.error),
            "violations": self.violations,
            "break_even_gbit_s": _finite(self.break_even),
            "speedup": {f"{bandwidth:g}": self.speedup(bandwidth) for bandwidth in bandwidths},
        }
        for way in ("compress", "decompress"):
            runs: list[tuple[float, float]] = getattr(self, way)
            found[way] = {
                "bytes_per_cpu_s": _finite(self.rate(way)),
                "bytes_per_wall_s": _finite(self.rate(way, wall=True)),
                "wall_s": [wall for wall, _ in runs],
                "cpu_s": [cpu for _, cpu in runs],
            }
        return found


def _finite(number: float) -> float | None:
    """JSON has no infinities."""
    return number if math.isfinite(number) else None


def _median(runs: Sequence[tuple[float, float]], *, wall: bool) -> float:
    return statistics.median(run[0 if wall else 1] for run in runs)


# --- measuring -----------------------------------------------------------------------


def measure(
    tables: Iterable[Table], plan: Plan, tell: Callable[[str], None] = lambda text: None
) -> list[Result]:
    """Every setting on every table.

    Args:
        tables: Of which one is held at a time.
        plan: What to do.
        tell: Called with the name of each table.

    Returns:
        For each table the settings in their order.
    """
    results = []
    for table in tables:
        tell(table.name)
        results += list(_measure_table(table.copies(plan.copies), plan))
    if not results:
        raise UsageError(
            "there are no tables to measure: no file has floating-point numbers of two dimensions "
            "or more"
        )
    return results


def _measure_table(table: Table, plan: Plan) -> Iterator[Result]:
    """The settings take turns, so that a slow phase of the machine meets all of them."""
    found = [_first(table, setting) for setting in plan.settings]
    for _ in range(plan.rounds):
        for result in found:
            start = _clocks()
            payload = _encode(table, result.setting)
            middle = _clocks()
            decode_table(payload, table.rows.nbytes)
            end = _clocks()
            result.compress.append((middle[0] - start[0], middle[1] - start[1]))
            result.decompress.append((end[0] - middle[0], end[1] - middle[1]))
    yield from found


def _clocks() -> tuple[float, float]:
    return time.perf_counter(), time.process_time()


def _encode(table: Table, setting: Setting) -> bytes:
    return encode_table(
        table.rows,
        bound=setting.bound,
        mode=setting.mode,
        entropy=setting.entropy,
        dtype=table.kind,
    )


def _first(table: Table, setting: Setting) -> Result:
    """The run that compiles, warms up and is checked."""
    payload = _encode(table, setting)
    back = decode_table(payload, table.rows.nbytes)
    if back.shape != table.rows.shape or back.dtype != table.rows.dtype:
        raise UsageError(f"{table.name} came back as {back.shape} of {back.dtype}")
    bound, error, violations = compare(table, back, setting)
    shape = (table.rows.shape[0], table.rows.shape[1])
    return Result(
        table.name, setting, shape, table.rows.nbytes, len(payload), bound, error, violations
    )


def compare(table: Table, back: NDArray[Any], setting: Setting) -> tuple[float, float, int]:
    """The absolute bound, the largest error over it, and how many elements are off by more.

    In float64, where differences of smaller types are exact as far as they matter; elements
    that are no finite numbers must come back bit for bit.
    """
    wanted, found = table.values(table.rows), table.values(back)
    finite = np.isfinite(wanted)
    known = wanted[finite]
    bound = setting.bound
    if setting.mode == "rel":
        low, high = (float(known.min()), float(known.max())) if known.size else (0.0, 0.0)
        wide = bound * (high - low)
        # The range itself may be larger than any float64.
        bound = min(bound * high - bound * low if math.isinf(wide) else wide, BOUND_MAX)
    with np.errstate(invalid="ignore", over="ignore"):
        errors = np.abs(found - wanted)[finite]
    words = np.dtype(f"u{table.rows.itemsize}")
    changed = np.ascontiguousarray(table.rows).view(words) != np.ascontiguousarray(back).view(words)
    violations = int((~(errors <= bound)).sum()) + int(changed[~finite].sum())
    largest = float(errors.max(initial=0.0))
    return bound, largest / bound if bound else (math.inf if largest else 0.0), violations


def totals(results: Sequence[Result]) -> list[Result]:
    """All tables together, a line for each setting."""
    found = []
    for setting in dict.fromkeys(result.setting for result in results):
        rows = [result for result in results if result.setting == setting]
        whole = Result(
            f"{len(rows)} table{'s' * (len(rows) > 1)}",
            setting,
            None,
            raw=sum(row.raw for row in rows),
            coded=sum(row.coded for row in rows),
            bound=None,
            error=max(row.error for row in rows),
            violations=sum(row.violations for row in rows),
        )
        for way in ("compress", "decompress"):
            runs = [getattr(row, way) for row in rows]
            wall, cpu = (sum(_median(each, wall=wall) for each in runs) for wall in (True, False))
            getattr(whole, way).append((wall, cpu))
        found.append(whole)
    return found
