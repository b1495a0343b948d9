"""One contestant in a process of its own, and the handle that tensors.py has on it.

    python benchmarks/tensor_worker.py NAME THREADS FOLDER

Whatever a library does to its process, as nncomp does when it raises malloc's thresholds, the
others must not gain or lose by it: their users have them without it. FOLDER has the data set,
see Numbers.save. The worker reads it, makes one round trip that is not timed, which compiles
and loads what there is to, and from then on does what it is told, a line of JSON each way:

    worker {"told": TEXT}
    parent {"way": "compress", "repeats": N}      worker {"cpu": S, "wall": S, "size": BYTES}
    parent {"way": "decompress", "repeats": N}    the same, for what compress left

Seconds are those of one call, the mean of N. Inputs are made, results compared and freed
outside the timing, before the next one starts. Each answer can be {"problem": TEXT} instead.
"""

from __future__ import annotations

import json
import os
import subprocess
import sys
import time
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np
from tensor_data import Numbers
from tensor_peers import Contestant, maker

if TYPE_CHECKING:
    from collections.abc import Callable
    from types import TracebackType

WAYS = ("compress", "decompress")
PIECE = 64 << 10  # of comparing: too short to move malloc's own thresholds


class ContestantError(Exception):
    """A contestant failed, or did not give back what it got."""


# --- in the parent -------------------------------------------------------------------


class Worker:
    """A contestant's process, which sleeps unless it is asked; to be used as a context.

    Attributes:
        name: Of the contestant.
    """

    def __init__(self, name: str, threads: int, folder: Path) -> None:
        self.name = name
        self._process = subprocess.Popen(
            [sys.executable, __file__, name, str(threads), str(folder)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            bufsize=0,
        )

    def answer(self) -> dict[str, Any]:
        """The next line: first what the contestant was told, then one for each `ask`.

        Raises:
            ContestantError: It has a problem, or is gone.
        """
        line = self._process.stdout.readline()
        if not line:
            raise ContestantError(f"its process ended with {self._process.wait()}")
        found: dict[str, Any] = json.loads(line)
        if "problem" in found:
            raise ContestantError(found["problem"])
        return found

    def ask(self, way: str, repeats: int) -> dict[str, Any]:
        """Have one direction done, and wait for it.

        Raises:
            ContestantError: See `answer`.
        """
        with suppress(BrokenPipeError):  # `answer` says so
            self._process.stdin.write(json.dumps({"way": way, "repeats": repeats}).encode() + b"\n")
        return self.answer()

    def __enter__(self) -> Worker:
        return self

    def __exit__(
        self,
        kind: type[BaseException] | None,
        error: BaseException | None,
        trace: TracebackType | None,
    ) -> None:
        self._process.kill()
        self._process.__exit__(kind, error, trace)


# --- in the worker -------------------------------------------------------------------


class Work:
    """A contestant and its data set.

    Args:
        contestant: Set up for these numbers.
        data: What it compresses.
        expected: The same, in memory that the contestant does not see.
    """

    def __init__(self, contestant: Contestant, data: bytes, expected: np.ndarray) -> None:
        self._contestant, self._data, self._expected = contestant, data, expected
        self._blob: Any = b""

    def turn(self, way: str, repeats: int) -> dict[str, Any]:
        """One direction, `repeats` times."""
        spent, size = np.zeros(2), 0
        for _ in range(repeats):
            took, size = self._compress() if way == "compress" else self._decompress()
            spent += took
        if way == "decompress":
            self._blob = b""
        cpu, wall = (spent / repeats).tolist()
        return {"cpu": cpu, "wall": wall, "size": size}

    def _compress(self) -> tuple[tuple[float, float], int]:
        self._blob = b""
        source = bytearray(self._data) if self._contestant.spoils else self._data
        self._blob, took = timed(self._contestant.compress, source)
        return took, len(self._blob)

    def _decompress(self) -> tuple[tuple[float, float], int]:
        raw, took = timed(self._contestant.decompress, self._blob)
        raw = np.frombuffer(raw, np.uint8)
        if len(raw) != len(self._expected) or any(
            not np.array_equal(raw[at : at + PIECE], self._expected[at : at + PIECE])
            for at in range(0, len(raw), PIECE)
        ):
            raise ContestantError("came back different")
        return took, len(self._blob)


def timed(work: Callable[[Any], Any], argument: object) -> tuple[Any, tuple[float, float]]:
    """What a call returns, and the processor and wall seconds of it."""
    wall, cpu = time.perf_counter(), time.process_time()
    result = work(argument)
    cpu = time.process_time() - cpu
    return result, (cpu, time.perf_counter() - wall)


def start(name: str, threads: int, folder: Path) -> tuple[Work, str]:
    """Read the data set, set up the contestant, and make the first round trip."""
    numbers = Numbers.load(folder)
    contestant = maker(name)(numbers, threads)
    work = Work(contestant, numbers.data, np.memmap(folder / "data", np.uint8, "r"))
    for way in WAYS:
        work.turn(way, 1)
    return work, contestant.told


def main() -> None:
    """Answer until the parent is gone."""
    name, threads, folder = sys.argv[1:]
    answers = os.fdopen(os.dup(1), "w")
    os.dup2(2, 1)  # what libraries print is no answer

    def say(answer: dict[str, Any]) -> None:
        print(json.dumps(answer), file=answers, flush=True)

    try:
        work, told = start(name, int(threads), Path(folder))
        say({"told": told})
        for line in sys.stdin:
            say(work.turn(**json.loads(line)))
    except Exception as error:  # whatever a library raises is its result
        say({"problem": str(error) or type(error).__name__})


if __name__ == "__main__":
    main()
