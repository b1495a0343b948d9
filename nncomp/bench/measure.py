"""Contestants on files: in turns, each in its own process, within a bound of time."""

from __future__ import annotations

import json
import os
import selectors
import signal
import subprocess
import sys
import tempfile
import time
from contextlib import ExitStack, contextmanager, suppress
from dataclasses import asdict, dataclass, field
from datetime import datetime, timezone
from typing import IO, TYPE_CHECKING, Any, cast

from nncomp.bench import machine
from nncomp.bench.contestants import MEMCPY, Contestant, versions_of
from nncomp.bench.records import WAYS, Input, Record, Row, Runs
from nncomp.bench.worker import Job
from nncomp.errors import NncompError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator, Mapping, Sequence

    from nncomp.bench.subjects import Subject

__all__ = ["Plan", "measure"]

_POOLS = (
    *("OMP_NUM_THREADS", "MKL_NUM_THREADS", "OPENBLAS_NUM_THREADS", "NUMBA_NUM_THREADS"),
    *("NUMEXPR_NUM_THREADS", "RAYON_NUM_THREADS", "BLOSC_NTHREADS"),
)
"""Variables that hold pools of threads to a number; libraries read them when they start."""
_DIGITS = 10  # of seconds: copying a small file takes tenths of microseconds
_SAID = 4096  # bytes of what a worker said at last


@dataclass(frozen=True)
class Plan:
    """How to measure.

    Attributes:
        rounds: Runs of each contestant on each file, at most; at least one.
        seconds: The bound on all of it, or None: every contestant has one run on every
            file, and more while the first `extra` seconds last.
        extra: See above.
        threads: How many each contestant may use.
        device: For methods of ours.
        seed: What made the files, if a seed did.
    """

    rounds: int = 3
    seconds: float | None = None
    extra: float = 60.0
    threads: int = 1
    device: str = "cpu"
    seed: int | None = None


class StoppedError(NncompError):
    """A contestant was stopped since its time was up."""


class FailedError(NncompError):
    """A contestant failed, or its process ended."""


def measure(
    subjects: Sequence[Subject],
    contestants: Sequence[Contestant],
    plan: Plan,
    *,
    missing: Mapping[str, str] | None = None,
    arguments: Sequence[str] = (),
    tell: Callable[[str], None] = lambda text: None,
    earlier: Record | None = None,
    keep: Callable[[Record], None] = lambda record: None,
) -> Record:
    """Every contestant on every subject, and plain copying beside them.

    Args:
        subjects: The files.
        contestants: Those that run, in the order of the rows.
        plan: How.
        missing: Peers that are not here, for the record.
        arguments: Of the command line, for the record.
        tell: Called with a line about each turn before it begins.
        earlier: To go on with: files that it has are not measured again.
        keep: Called after each file with the record so far.

    Raises:
        UsageError: `earlier` was not measured here, by this version, or by these contestants.
    """
    everyone = [MEMCPY, *contestants]
    record = Record(
        date=datetime.now(timezone.utc).isoformat(timespec="seconds"),
        machine=machine.machine(plan.device),  # before the load is ours
        versions={**machine.versions(), **versions_of(contestants)},
        settings=asdict(plan),
        inputs=(),
        rows=(),
        missing=dict(missing or {}),
        environment=machine.environment(),
        arguments=tuple(arguments),
    )
    if earlier is not None:
        record = _going_on(earlier, record, everyone)
    inputs = {each: Input(each.name, each.size, each.sha256) for each in subjects}
    waiting = [each for each in subjects if inputs[each] not in record.inputs]
    if plan.seconds is not None and waiting:
        _prepare(waiting[0], contestants, plan, tell)
    clock = _Clock(plan, sum(subject.size for subject in waiting))
    for subject in waiting:
        rows = _file(subject, everyone, plan, clock, tell)
        record = record.with_file(inputs[subject], rows)
        keep(record)
    return record


def _going_on(earlier: Record, fresh: Record, contestants: Sequence[Contestant]) -> Record:
    names = tuple(each.name for each in contestants)
    if earlier.methods not in ((), names):
        raise UsageError(
            f"the record to go on with is of {', '.join(earlier.methods)}, and now it would be "
            f"{', '.join(names)}. Begin a new one"
        )
    return earlier.going_on(fresh)


def _prepare(
    subject: Subject,
    contestants: Sequence[Contestant],
    plan: Plan,
    tell: Callable[[str], None],
) -> None:
    """Let kernels be compiled, once and for all, before the time is counted that is bounded."""
    for contestant in contestants:
        if contestant.kind == "own":
            tell(f"preparing {contestant.name}")
            with _Entry(contestant, subject, plan) as entry:
                entry.start(None)


# --- time ----------------------------------------------------------------------------


class _Clock:
    """Shares the time out: to files by their sizes, within one to its contestants."""

    def __init__(self, plan: Plan, size: int) -> None:
        self._plan = plan
        self._left = size + 1
        self._end = time.monotonic() + (plan.extra if plan.seconds is None else plan.seconds)
        self._file_end = self._end

    def next_file(self, size: int) -> None:
        """A file of this size begins; what the ones before it left over is shared by the rest."""
        now = time.monotonic()
        self._file_end = now + max(0.0, self._end - now) * (size + 1) / (self._left + 1)
        self._left -= size

    def allowance(self, waiting: int) -> float | None:
        """Seconds for the next contestant's turn; None: no bound.

        Half of what is left, since most need little; of `waiting`, the last one has all, and
        so has each that had a turn before.
        """
        if self._plan.seconds is None:
            return None
        return max(0.0, self._file_end - time.monotonic()) / min(2, waiting)

    def again(self, seconds: float) -> bool:
        """Whether there is time for one more turn that took so long before."""
        return time.monotonic() + seconds <= self._file_end


# --- one file ------------------------------------------------------------------------


def _file(
    subject: Subject,
    contestants: Sequence[Contestant],
    plan: Plan,
    clock: _Clock,
    tell: Callable[[str], None],
) -> list[Row]:
    """Rows in the order of the contestants; ours have their turns first, slow ones last."""
    clock.next_file(subject.size)
    with ExitStack() as stack:
        entries = [stack.enter_context(_Entry(each, subject, plan)) for each in contestants]
        order = sorted(entries, key=lambda entry: entry.contestant.urgency)
        for number in range(plan.rounds):
            for place, entry in enumerate(order):
                if number and not (entry.alive and clock.again(entry.seconds)):
                    continue
                tell(f"{subject.name}: {entry.contestant.name}, run {number + 1}")
                entry.turn(clock.allowance(1 if number else len(order) - place))
        return [entry.row() for entry in entries]


@dataclass
class _Entry:
    """What one contestant does to one file, run by run.

    Attributes:
        contestant, subject, plan: As they say.
        alive: Whether it may have another turn.
    """

    contestant: Contestant
    subject: Subject
    plan: Plan
    alive: bool = True
    _size: int | None = None
    _weights: int = 0
    _error: str | None = None
    _stopped: bool = False
    _runs: dict[str, list[Runs]] = field(default_factory=lambda: {way: [] for way in WAYS})
    _worker: _Worker | None = None

    def start(self, end: float | None) -> None:
        """Have a process that is ready by then; what goes wrong ends up in the row."""
        with self._noting():
            self._worker = _Worker(self.contestant, self.subject, self.plan)
            self._worker.answer(end)

    def turn(self, seconds: float | None) -> None:
        """There and back, once; what goes wrong ends up in the row."""
        end = None if seconds is None else time.monotonic() + seconds
        if self._worker is None:
            self.start(end)
        with self._noting():
            if self._worker is not None:
                for way in WAYS:
                    self._note(way, self._worker.ask(way, end))

    @contextmanager
    def _noting(self) -> Iterator[None]:
        try:
            yield
        except NncompError as error:
            self.alive = False
            self.close()
            done = len(self._runs["decompress"])
            if done and isinstance(error, StoppedError):  # what it did before stands
                del self._runs["compress"][done:]
                return
            self._error, self._stopped = str(error), isinstance(error, StoppedError)

    def _note(self, way: str, answer: dict[str, Any]) -> None:
        if self._size not in (None, answer["size"]):
            raise FailedError(f"gave archives of {self._size} and of {answer['size']} bytes")
        self._size, self._weights = answer["size"], answer["weights"]
        self._runs[way].append(Runs(**answer["runs"]))

    @property
    def seconds(self) -> float:
        """What a turn takes: the longest way there, and the longest way back."""
        return sum(max(runs.wall[0] for runs in self._runs[way]) for way in WAYS)

    def row(self) -> Row:
        """All runs so far."""
        verified = bool(self._runs["decompress"]) and self._error is None
        return Row(
            file=self.subject.name,
            method=self.contestant.name,
            kind=self.contestant.kind,
            raw_size=self.subject.size,
            size=self._size,
            weights=self._weights,
            compress=_together(self._runs["compress"]),
            decompress=_together(self._runs["decompress"]),
            verified=verified,
            error=self._error,
            stopped=self._stopped,
        )

    def close(self) -> None:
        """End the process, however it is."""
        if self._worker is not None:
            self._worker.close()
            self._worker = None

    def __enter__(self) -> _Entry:
        return self

    def __exit__(self, *_error: object) -> None:
        self.close()


def _together(runs: Sequence[Runs]) -> Runs | None:
    if not runs:
        return None
    return Runs(
        wall=tuple(round(each.wall[0], _DIGITS) for each in runs),
        cpu=tuple(round(each.cpu[0], _DIGITS) for each in runs),
        memory=max((each.memory for each in runs if each.memory is not None), default=None),
        gpu_memory=max(
            (each.gpu_memory for each in runs if each.gpu_memory is not None), default=None
        ),
    )


# --- the other process ---------------------------------------------------------------


class _Worker:
    """The handle on a worker, which sleeps unless it is asked."""

    def __init__(self, contestant: Contestant, subject: Subject, plan: Plan) -> None:
        self._folder = tempfile.TemporaryDirectory(prefix="nncomp-bench-")
        job = Job(
            kind=contestant.kind,
            text=contestant.text,
            level=contestant.level,
            name=subject.name,
            path=str(subject.path.resolve()),
            size=subject.size,
            dtype=subject.dtype,
            base=str(subject.base.resolve()) if subject.base else None,
            told=subject.told,
            threads=plan.threads,
            device=plan.device,
            folder=self._folder.name,
        )
        self._said = tempfile.TemporaryFile()  # noqa: SIM115 - `close` closes it
        self._process = subprocess.Popen(
            [sys.executable, "-m", "nncomp.bench.worker"],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=self._said,
            env={**os.environ, **dict.fromkeys(_POOLS, str(plan.threads))},
            start_new_session=True,  # so that what it starts ends with it
            bufsize=0,
        )
        self._input = cast("IO[bytes]", self._process.stdin)
        self._output = cast("IO[bytes]", self._process.stdout)
        self._tell(asdict(job))

    def ask(self, way: str, end: float | None) -> dict[str, Any]:
        """Have one direction done, and wait for it.

        Raises:
            StoppedError, FailedError: See `answer`.
        """
        self._tell({"way": way})
        return self.answer(end)

    def _tell(self, what: dict[str, Any]) -> None:
        with suppress(BrokenPipeError):  # `answer` says so
            self._input.write(json.dumps(what).encode() + b"\n")

    def answer(self, end: float | None) -> dict[str, Any]:
        """The next line.

        Args:
            end: When to give up, by `time.monotonic`; None: never.

        Raises:
            StoppedError: It did not come in time.
            FailedError: The contestant has a problem, or its process has ended.
        """
        line = self._line(end)
        if not line:
            raise FailedError(f"its process {_ending(self._process.wait())}{self._last_words()}")
        found: dict[str, Any] = json.loads(line)
        if "problem" in found:
            raise FailedError(" ".join(found["problem"].split()))
        return found

    def _line(self, end: float | None) -> bytes:
        """All bytes up to the end of a line, or of the pipe."""
        line = b""
        with selectors.DefaultSelector() as selector:
            selector.register(self._output, selectors.EVENT_READ)
            while not line.endswith(b"\n"):
                left = None if end is None else end - time.monotonic()
                if left is not None and (left <= 0 or not selector.select(left)):
                    raise StoppedError("stopped: its share of the time was up (--time)")
                piece = os.read(self._output.fileno(), 1 << 16)
                if not piece:
                    return b""
                line += piece
        return line

    def close(self) -> None:
        """End the process and all that it started, and remove their files."""
        with suppress(ProcessLookupError):
            os.killpg(self._process.pid, signal.SIGKILL)
        self._process.__exit__(None, None, None)
        self._said.close()
        self._folder.cleanup()

    def _last_words(self) -> str:
        """The last line of what it said, as a rule the reason."""
        self._said.seek(max(self._said.seek(0, os.SEEK_END) - _SAID, 0))
        lines = self._said.read().decode(errors="replace").strip().splitlines()
        return f": {lines[-1][:200]}" if lines else ""


def _ending(code: int) -> str:
    if code < 0:
        return f"was ended by signal {-code} ({signal.Signals(-code).name})"
    return f"ended with {code}"
