"""What a benchmark leaves behind: rows with their runs, and where they were measured.

Everything that is shown - tables, plots, pages, comparisons - comes from these records,
and a record read back from its file shows the same.
"""

from __future__ import annotations

import json
import statistics
from collections.abc import Mapping
from dataclasses import asdict, dataclass, field, replace
from typing import TYPE_CHECKING, Any, Literal, NoReturn, TypeAlias, cast, get_args

from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence
    from pathlib import Path

__all__ = ["SCHEMA", "WAYS", "Input", "Kind", "Record", "Row", "Runs", "load", "save", "totals"]

SCHEMA = 1
"""Version of the file format; a reader refuses others."""

Kind: TypeAlias = Literal["own", "program", "library", "memcpy"]
"""Ours; a program that was run; a library called in a process of its own; plain copying."""

WAYS = ("compress", "decompress")
_LEVELS = 8  # of lists and mappings in each other, in what a record holds besides its rows


@dataclass(frozen=True)
class Runs:
    """One direction of one method on one file, or on all of them.

    Attributes:
        wall, cpu: Seconds of each run: by the clock, and of processors (user and system).
        memory: Bytes resident at most, of the process that did it, all of it; None: unknown.
        gpu_memory: Bytes of the device at most; None where no device took part.
    """

    wall: tuple[float, ...]
    cpu: tuple[float, ...]
    memory: int | None = None
    gpu_memory: int | None = None

    def __post_init__(self) -> None:
        for name, seconds in (("wall", self.wall), ("cpu", self.cpu)):
            _require(len(seconds) > 0 and all(map(_is_time, seconds)), name, seconds)
        for name, count in (("memory", self.memory), ("gpu_memory", self.gpu_memory)):
            _require(count is None or _is_count(count), name, count)

    @property
    def seconds(self) -> float:
        """The median by the clock."""
        return statistics.median(self.wall)

    @property
    def cpu_seconds(self) -> float:
        """The median of processors."""
        return statistics.median(self.cpu)

    @property
    def spread(self) -> float:
        """Half the distance from the fastest to the slowest run, as a share of the median."""
        return (max(self.wall) - min(self.wall)) / 2 / self.seconds if self.seconds else 0.0


@dataclass(frozen=True)
class Row:
    """One method on one file.

    Attributes:
        file: Name as given by the user.
        method: The method string or the peer's name with its settings.
        kind: What was run.
        raw_size: Bytes of the original.
        size: Bytes of the archive; None where there is none.
        weights: Bytes of weights shipped in the package that decoding needs, not in `size`.
        compress, decompress: The runs; None where there were none.
        verified: Whether every decode gave the original; False is a failure.
        error: Why there is no result, or not all of it; None: all went well.
        stopped: Whether `error` is only that the time was up.
    """

    file: str
    method: str
    kind: Kind
    raw_size: int
    size: int | None = None
    weights: int = 0
    compress: Runs | None = None
    decompress: Runs | None = None
    verified: bool = False
    error: str | None = None
    stopped: bool = False

    def __post_init__(self) -> None:
        for name in ("file", "method"):
            _require(isinstance(getattr(self, name), str), name, getattr(self, name))
        _require(self.kind in get_args(Kind), "kind", self.kind)
        for name in ("raw_size", "weights"):
            _require(_is_count(getattr(self, name)), name, getattr(self, name))
        _require(self.size is None or _is_count(self.size), "size", self.size)
        for name in ("verified", "stopped"):
            _require(isinstance(getattr(self, name), bool), name, getattr(self, name))
        _require(self.error is None or isinstance(self.error, str), "error", self.error)

    @property
    def problem(self) -> str | None:
        """Why the figures count for nothing; None: they stand."""
        if self.error is not None:
            return self.error or "failed"
        if self.size is None:
            return "no result"
        return None if self.verified else "what came back was not verified"

    def runs(self, way: str) -> Runs | None:
        """Those of one of the `WAYS`."""
        return self.compress if way == "compress" else self.decompress

    @property
    def ratio(self) -> float | None:
        """Original over compressed: larger is better."""
        return self.raw_size / self.size if self.size else None

    @property
    def bits_per_byte(self) -> float | None:
        """Bits of the archive for each byte of the original."""
        return 8 * self.size / self.raw_size if self.size is not None and self.raw_size else None

    def speed(self, way: str) -> float | None:
        """MB/s: millions of bytes of the original in a second by the clock."""
        runs = self.runs(way)
        return self.raw_size / 1e6 / runs.seconds if runs and runs.seconds else None


@dataclass(frozen=True)
class Input:
    """A file that was measured: its name, its bytes, and which content it was."""

    name: str
    size: int
    sha256: str

    def __post_init__(self) -> None:
        for name in ("name", "sha256"):
            _require(isinstance(getattr(self, name), str), name, getattr(self, name))
        _require(_is_count(self.size), "size", self.size)


@dataclass(frozen=True)
class Record:
    """One run of the benchmark: each file once, each method once for each file.

    Attributes:
        date: ISO 8601, UTC.
        machine: cpu, cores, memory_gib, load_at_start, system, gpu (or None).
        versions: Of Python, this package, libraries and peers, by name.
        settings: threads, device, seed, rounds, time (seconds, the bound).
        environment: Variables that change speed.
        arguments: Of the command line.
        inputs: The files.
        missing: Peers that this machine does not have, with what would install them.
        rows: Method by method within each file.
        extras: What else somebody wants to be kept, by name, as JSON has it.
    """

    date: str
    machine: Mapping[str, Any]
    versions: Mapping[str, str]
    settings: Mapping[str, Any]
    inputs: tuple[Input, ...]
    rows: tuple[Row, ...]
    missing: Mapping[str, str] = field(default_factory=dict)
    environment: Mapping[str, str] = field(default_factory=dict)
    arguments: tuple[str, ...] = ()
    extras: Mapping[str, Any] = field(default_factory=dict)

    def __post_init__(self) -> None:
        _require(isinstance(self.date, str), "date", self.date)
        for name in ("machine", "settings", "extras"):
            _require(_is_plain(getattr(self, name), _LEVELS), name, getattr(self, name))
        for name in ("versions", "missing", "environment"):
            _require(_is_mapping(getattr(self, name), str), name, getattr(self, name))
        _require(all(isinstance(each, str) for each in self.arguments), "arguments", self.arguments)
        sizes = {each.name: each.size for each in self.inputs}
        _require_once("file", [each.name for each in self.inputs])
        _require_once("row", [(row.file, row.method) for row in self.rows])
        for row in self.rows:
            _require(sizes.get(row.file) == row.raw_size, f"raw_size of {row.file!r}", row.raw_size)
        self._require_sums()

    def _require_sums(self) -> None:
        """What each row may hold, all of them may hold together: `totals` adds them up."""
        sizes = sum(row.raw_size + (row.size or 0) for row in self.rows)
        _require(_is_count(sizes), "the sum of sizes", sizes)
        runs = [each for row in self.rows for way in WAYS if (each := row.runs(way))]
        seconds = sum(sum(each.wall) + sum(each.cpu) for each in runs)
        _require(_is_time(seconds), "the sum of seconds", seconds)

    @property
    def methods(self) -> tuple[str, ...]:
        """In the order in which they were measured."""
        return tuple(dict.fromkeys(row.method for row in self.rows))

    def going_on(self, later: Record) -> Record:
        """This record, for `later` to add its files to.

        Args:
            later: Measured, or about to be, by the same methods.

        Raises:
            UsageError: Something else would have measured them.
        """
        for name in ("machine", "versions", "settings", "environment"):
            old, new = _lasting(getattr(self, name)), _lasting(getattr(later, name))
            changed = [key for key in {**old, **new} if old.get(key) != new.get(key)]
            if changed:
                key = changed[0]
                raise UsageError(
                    f"the record to go on with has {name} of its own: {key} was {old.get(key)!r}, "
                    f"and is {new.get(key)!r}. Begin a new one"
                )
        return self

    def with_file(self, measured: Input, rows: Iterable[Row]) -> Record:
        """This record with one more file; one of the same name gives way."""
        return replace(
            self,
            inputs=(*(each for each in self.inputs if each.name != measured.name), measured),
            rows=(*(row for row in self.rows if row.file != measured.name), *rows),
        )

    def to_json(self) -> str:
        """The text of a file that `load` reads."""
        return json.dumps({"schema": SCHEMA, **asdict(self)}, indent=1) + "\n"

    @classmethod
    def from_json(cls, text: str) -> Record:
        """Read it back.

        Raises:
            UsageError: It is no such record, or one of another schema.
        """
        try:
            found = json.loads(text, parse_constant=_refuse_constant)
            if found["schema"] != SCHEMA:
                raise UsageError(
                    f"the record has schema {found['schema']!r}, and this version of nncomp "
                    f"reads {SCHEMA}. Measure again with --format json"
                )
            found.pop("schema")
            found["inputs"] = tuple(Input(**each) for each in found["inputs"])
            found["rows"] = tuple(_row(each) for each in found["rows"])
            found["arguments"] = tuple(found["arguments"])
            return cls(**found)
        except UsageError:
            raise
        except (ValueError, KeyError, TypeError, AttributeError, RecursionError) as error:
            raise UsageError(
                f"this is no record of nncomp bench ({_cause(error)}). --format json writes one"
            ) from error


def _row(found: dict[str, Any]) -> Row:
    for way in WAYS:
        if found[way] is not None:
            found[way] = Runs(
                **{**found[way], **{name: tuple(found[way][name]) for name in ("wall", "cpu")}}
            )
    return Row(**found)


def _require(condition: bool, name: str, value: object) -> None:
    if not condition:
        raise ValueError(f"{name} cannot be {value!r:.80}")


def _require_once(what: str, values: Iterable[object]) -> None:
    seen = set()
    for value in values:
        if value in seen:
            raise ValueError(f"{what} {value!r:.80} is there twice")
        seen.add(value)


def _is_count(value: object) -> bool:
    return isinstance(value, int) and not isinstance(value, bool) and 0 <= value < 1 << 63


def _is_time(value: object) -> bool:
    return isinstance(value, (int, float)) and not isinstance(value, bool) and 0 <= value < 1e12


def _is_mapping(value: object, values: type) -> bool:
    return isinstance(value, Mapping) and all(
        isinstance(key, str) and isinstance(each, values) for key, each in value.items()
    )


def _is_plain(part: object, levels: int) -> bool:
    """Whether it is a mapping of plain values, or of such mappings and lists, not too deep."""
    return _is_mapping(part, object) and all(
        _is_value(each, levels) for each in cast("Mapping[str, object]", part).values()
    )


def _is_value(value: object, levels: int) -> bool:
    if isinstance(value, Mapping):
        return levels > 0 and _is_plain(value, levels - 1)
    if isinstance(value, (list, tuple)):
        return levels > 0 and all(_is_value(each, levels - 1) for each in value)
    return value is None or isinstance(value, (str, int, float))


def _lasting(part: Mapping[str, Any]) -> dict[str, Any]:
    """Without what changes from minute to minute."""
    return {key: value for key, value in part.items() if key != "load_at_start"}


def _refuse_constant(name: str) -> NoReturn:
    raise ValueError(f"{name} is no number")


def _cause(error: Exception) -> str:
    if isinstance(error, KeyError):
        return f"it has no {error}"
    return str(error)


def load(path: Path) -> Record:
    """Read a record from its file.

    Raises:
        UsageError: There is none in it.
    """
    try:
        return Record.from_json(path.read_text(encoding="utf-8"))
    except UnicodeDecodeError as error:
        raise UsageError(f"{path} is no record of nncomp bench: it is not text") from error
    except UsageError as error:
        raise UsageError(f"{path}: {error}") from error


def save(path: Path, record: Record) -> None:
    """Write a record to its file, of which there is the old or the new at any moment."""
    fresh = path.with_name(f"{path.name}.new")
    fresh.write_text(record.to_json(), encoding="utf-8")
    fresh.replace(path)


def totals(record: Record) -> tuple[Row, ...]:
    """A row for each method over all files that it has results for.

    Sizes and seconds are sums, memory is the maximum, so that ratio and speed are those of
    all files one after the other. A method without a result for some file says so in
    `error`, and must not be compared with one that has all.
    """
    return tuple(
        _total([row for row in record.rows if row.method == method], len(record.inputs))
        for method in record.methods
    )


def _total(rows: Sequence[Row], files: int) -> Row:
    done = [row for row in rows if row.problem is None]
    missing = files - len(done)
    return Row(
        file=f"{len(done)} files" if len(done) != 1 else "1 file",
        method=rows[0].method,
        kind=rows[0].kind,
        raw_size=sum(row.raw_size for row in done),
        size=sum(row.size or 0 for row in done) if done else None,
        weights=max((row.weights for row in done), default=0),
        compress=_sum([row.compress for row in done]),
        decompress=_sum([row.decompress for row in done]),
        verified=bool(done),
        error=f"{missing} of {files} files without a result" if missing else None,
    )


def _sum(runs: Sequence[Runs | None]) -> Runs | None:
    """One run of all files: medians added up."""
    there = [each for each in runs if each is not None]
    if not there or len(there) < len(runs):
        return None
    return Runs(
        wall=(sum(each.seconds for each in there),),
        cpu=(sum(each.cpu_seconds for each in there),),
        memory=_largest([each.memory for each in there]),
        gpu_memory=_largest([each.gpu_memory for each in there]),
    )


def _largest(values: Sequence[int | None]) -> int | None:
    known = [value for value in values if value is not None]
    return max(known) if known else None
