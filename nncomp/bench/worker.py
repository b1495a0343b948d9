"""One contestant on one file, in a process of its own.

    python -m nncomp.bench.worker

Whatever a contestant does to its process - memory, settings of the allocator, threads that
stay, a crash - the others must not gain or lose by it. The worker makes a round trip that is
not counted, which compiles and loads what there is to, and from then on does what it is told,
a line of JSON each way:

    parent  the fields of a `Job`           worker  {}
    parent  {"way": "compress"}             worker  {"size": BYTES, "weights": BYTES,
                                                     "runs": fields of `Runs`}
    parent  {"way": "decompress"}           the same, for what compress left

Files are read, results compared and freed outside the timing. Each answer can be
{"problem": TEXT} instead. Nothing large is kept while the others have their turn.
"""

from __future__ import annotations

import json
import os
import sys
import time
from contextlib import suppress
from dataclasses import asdict, dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any, Protocol

from nncomp.bench.records import Runs
from nncomp.errors import NncompError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncomp.bench.libraries import Functions
    from nncomp.bench.programs import Commands

__all__ = ["Job", "main"]

_PIECE = 64 << 10  # of comparing: too short to move malloc's own thresholds
_HEAD = 16 << 10  # of the round trip that does not count; more, while that is quick
_QUICK = 0.03  # seconds: eight times that are no long wait
_BEARABLE = 0.5  # seconds of one more, on all of the file
_SHORTEST = 0.01  # seconds of one run; what is over sooner is done several times
_MOST_REPEATS = 1000


@dataclass(frozen=True)
class Job:
    """What the worker is for.

    Attributes:
        kind: "own", "library", "program" or "memcpy".
        text: Method string, name of the library, or name and options of the program.
        level: Of the method, or None.
        name, path, size, dtype, base, told: Of the `Subject`.
        threads: How many it may use.
        device: For methods of ours.
        folder: An empty one that it may fill.
    """

    kind: str
    text: str
    level: int | None
    name: str
    path: str
    size: int
    dtype: str
    base: str | None
    told: bool
    threads: int
    device: str
    folder: str


class Work(Protocol):
    """A contestant with its file: each direction gives the archive's size and one run.

    Attributes:
        weights: Bytes of shipped files that decoding of the archive may need besides.
    """

    weights: int

    def compress(self) -> tuple[int, Runs]: ...

    def decompress(self) -> tuple[int, Runs]: ...


# --- in memory -----------------------------------------------------------------------


class InMemory:
    """Functions from bytes to bytes.

    Args:
        functions: Both ways.
        path: The file.
        head: How much of it the first round trip takes, which does not count.
    """

    def __init__(self, functions: Functions, path: Path, head: int = _HEAD) -> None:
        self._functions, self._path, self._head = functions, path, head
        self._blob: Any = b""
        self.weights = 0

    def warm_up(self) -> None:
        """Load and compile, on the head of the file; on more of it where that is quick.

        The first round trip imports what there is to, which tells nothing of speed. Some
        methods load their kernels only for more than a little, or for some kinds of content.
        """
        size, whole = self._head, self._path.stat().st_size
        self._round_trip(size)
        while size < whole:
            seconds = self._round_trip(size)
            if seconds >= _QUICK and seconds * whole > _BEARABLE * size:
                break
            size = size * 8 if seconds < _QUICK else whole

    def _round_trip(self, size: int) -> float:
        """Seconds for the head of this size."""
        head = self._fresh(self._read(size))
        start = time.perf_counter()
        self._functions.decompress(self._functions.compress(head))
        return time.perf_counter() - start

    def compress(self) -> tuple[int, Runs]:
        """Read the file, and compress it."""
        self._blob = b""
        data = self._read()
        self._blob, runs = _timed(self._functions.compress, lambda: self._fresh(data))
        self.weights = self._functions.weights(self._blob)
        return len(self._blob), runs

    def decompress(self) -> tuple[int, Runs]:
        """Decompress what `compress` left, and compare it with the file."""
        blob, self._blob = self._blob, b""
        _, runs = _timed(self._functions.decompress, lambda: blob, self._verify)
        return len(blob), runs

    def _verify(self, raw: Any) -> None:
        with self._path.open("rb") as file:
            _compare(memoryview(raw).cast("B"), file.read)

    def _fresh(self, data: bytes) -> bytes | bytearray:
        """What to hand over: some write to it."""
        return bytearray(data) if self._functions.spoils else data

    def _read(self, size: int = -1) -> bytes:
        with self._path.open("rb") as file:
            return file.read(size)


def _timed(
    work: Callable[[Any], Any],
    fresh: Callable[[], Any],
    verify: Callable[[Any], None] = lambda result: None,
) -> tuple[Any, Runs]:
    """Call it, several times if one is too short for the clock, and say what one call took."""
    _forget_peaks()
    wall = cpu = 0.0
    result: Any = None
    count = 0
    while count < _MOST_REPEATS and wall < _SHORTEST:
        count += 1
        argument, result = fresh(), None
        cpu_start, start = time.process_time(), time.perf_counter()
        result = work(argument)
        wall += time.perf_counter() - start
        cpu += time.process_time() - cpu_start
        verify(result)
    return result, Runs((wall / count,), (cpu / count,), _peak(), _gpu_peak())


def _compare(raw: memoryview, read: Callable[[int], bytes]) -> None:
    """Whether a result is what a file holds.

    Raises:
        NncompError: It is not.
    """
    at = 0
    while piece := read(_PIECE):
        if raw[at : at + len(piece)] != piece:
            raise NncompError(f"came back different, first between byte {at} and {at + _PIECE}")
        at += len(piece)
    if at != len(raw):
        raise NncompError(f"came back with {len(raw)} bytes instead of {at}")


# --- programs ------------------------------------------------------------------------


class OnFiles:
    """Commands from file to file, timed from their start to their end."""

    weights = 0

    def __init__(self, commands: Commands, path: Path, folder: Path) -> None:
        self._commands, self._path, self._folder = commands, path, folder
        self._archive = folder / f"archive{commands.suffix}"
        self._back = folder / "back"

    def warm_up(self) -> None:
        """Nothing: a program starts anew each time, and its file is in the system's cache."""

    def compress(self) -> tuple[int, Runs]:
        """Copy the file, and have it compressed."""
        import shutil

        from nncomp.bench.programs import DATA, run

        self._archive.unlink(missing_ok=True)
        data = self._folder / DATA
        shutil.copyfile(self._path, data)
        output = self._archive.name if self._commands.prints[0] else None
        runs = run(self._commands.compress, self._folder, output)
        data.unlink()  # nobody shall take it instead of decoding
        return self._archive.stat().st_size, runs

    def decompress(self) -> tuple[int, Runs]:
        """Have the archive decompressed, and compare what came of it with the file."""
        import mmap

        from nncomp.bench.programs import run

        output = self._back.name if self._commands.prints[1] else None
        runs = run(self._commands.decompress, self._folder, output)
        with self._back.open("rb") as back, self._path.open("rb") as file:
            size = self._back.stat().st_size
            view = mmap.mmap(back.fileno(), 0, access=mmap.ACCESS_READ) if size else b""
            _compare(memoryview(view), file.read)
        self._back.unlink()
        return self._archive.stat().st_size, runs


# --- memory --------------------------------------------------------------------------


def _forget_peaks() -> None:
    """Start counting the peak anew, where the system can."""
    with suppress(OSError):
        Path("/proc/self/clear_refs").write_text("5", encoding="ascii")
    torch = sys.modules.get("torch")
    if torch is not None and torch.cuda.is_initialized():
        torch.cuda.reset_peak_memory_stats()


def _peak() -> int | None:
    """Bytes that were resident at once, at most."""
    status = Path("/proc/self/status")
    for line in status.read_text().splitlines() if status.exists() else ():
        if line.startswith("VmHWM:"):
            return int(line.split()[1]) * 1024
    return None


def _gpu_peak() -> int | None:
    torch = sys.modules.get("torch")
    if torch is None or not torch.cuda.is_initialized():
        return None
    return int(torch.cuda.max_memory_allocated())


# --- the process ---------------------------------------------------------------------


def _set_up(job: Job) -> InMemory | OnFiles:
    from nncomp.bench.subjects import Subject

    base = Path(job.base) if job.base else None
    path = Path(job.path)
    subject = Subject(job.name, path, job.size, "", job.dtype, base, job.told)
    if job.kind == "program":
        from nncomp.bench.programs import PROGRAMS

        name, _, options = job.text.partition(" ")
        commands = PROGRAMS[name].with_options(options, job.threads)
        return OnFiles(commands, path, Path(job.folder))
    from nncomp.bench.libraries import LIBRARIES, copying, own

    if job.kind == "memcpy":
        return InMemory(copying(), path)
    if job.kind == "library":
        name, _, setting = job.text.partition(" ")
        functions = LIBRARIES[name].make(subject, job.threads, setting)
    else:
        functions = own(job.text, job.level, subject, job.threads, job.device)
    # A part of a file may not go with all of its base.
    return InMemory(functions, path, head=_HEAD if base is None else subject.size)


def main() -> None:
    """Answer until the parent is gone."""
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(answer: dict[str, Any]) -> None:
        answers.write(json.dumps(answer) + "\n")
        answers.flush()

    try:
        work = _set_up(Job(**json.loads(sys.stdin.readline())))
        work.warm_up()
        say({})
        for line in sys.stdin:
            way = json.loads(line)["way"]
            size, runs = work.compress() if way == "compress" else work.decompress()
            say({"size": size, "weights": work.weights, "runs": asdict(runs)})
    except Exception as error:  # whatever a contestant raises is its result
        say({"problem": str(error) or type(error).__name__})


if __name__ == "__main__":
    main()
