"""Compressors of pictures, measured on pixels: sizes, speeds, and time for one picture.

Everyone codes the same pixels and must give them back. Libraries and this package are called
in this process; programs are run with files in a folder of their own, and what a process costs
is counted with them. All take turns, so that a slow phase of the machine meets everyone; times
are medians, by the clock and of the processor.
"""

from __future__ import annotations

import json
import resource
import statistics
import time
from dataclasses import asdict, dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np

from nncomp.errors import FileError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncomp.bench.image_files import Stack
    from nncomp.bench.image_peers import Peer

__all__ = ["Result", "as_json", "as_text", "measure"]


@dataclass
class Result:
    """What one compressor did, file by file.

    Attributes:
        name: Of the compressor.
        description: How it is run, and its version.
        runs: See `Peer`.
        results: Lists by the name of the quantity, with one entry for each file.
        failed: Where and why it was given up, or nothing.
    """

    name: str
    description: str
    runs: str
    results: dict[str, list[Any]] = field(default_factory=dict)
    failed: str = ""

    def add(self, **quantities: Any) -> None:
        """One entry of each quantity."""
        for key, value in quantities.items():
            self.results.setdefault(key, []).append(value)


def _cpu() -> float:
    """Seconds of the processor that this process and its children took."""
    total = 0.0
    for who in (resource.RUSAGE_SELF, resource.RUSAGE_CHILDREN):
        usage = resource.getrusage(who)
        total += usage.ru_utime + usage.ru_stime
    return total


class _Run(NamedTuple):
    """One run: bytes of the files, and seconds by the clock and of the processor, each way."""

    size: int
    encoding: float
    encoding_cpu: float
    decoding: float
    decoding_cpu: float


def _timed(work: Callable[[], Any]) -> tuple[Any, float, float]:
    """What some work gives, and its seconds by the clock and of the processor."""
    begin, own_begin = time.perf_counter(), _cpu()
    given = work()
    own = _cpu() - own_begin
    return given, time.perf_counter() - begin, own


def _run(peer: Peer, stack: Stack) -> _Run:
    files, encoding, encoding_cpu = _timed(lambda: peer.encode(stack.pixels))
    back, decoding, decoding_cpu = _timed(lambda: peer.decode(files, stack.pixels))
    if not np.array_equal(back, stack.pixels):
        raise FileError("other pixels came back")
    return _Run(sum(map(len, files)), encoding, encoding_cpu, decoding, decoding_cpu)


def measure(
    stacks: list[Stack],
    contestants: list[Peer],
    rounds: int = 3,
    tell: Callable[[str], None] = lambda text: None,
) -> list[Result]:
    """Let all contestants code all pictures, in turn.

    Args:
        stacks: The pictures.
        contestants: Who takes part.
        rounds: Runs of each; one of a small part comes before, which is not counted.
        tell: Called with what is being done, and with what went wrong.

    Returns:
        One for each that takes any of them; one that fails is given up.
    """
    results = {p.name: Result(p.name, f"{p.runs}; {p.version}", p.runs) for p in contestants}
    for stack in stacks:
        takers = [peer for peer in contestants if peer.takes(stack.pixels)]
        runs: dict[str, list[_Run]] = {peer.name: [] for peer in takers}
        for peer in takers * rounds:
            result = results[peer.name]
            if result.failed:
                continue
            tell(f"{stack.name}: {peer.name}")
            try:
                if not result.results and not runs[peer.name]:  # what is compiled or loaded first
                    small = np.ascontiguousarray(stack.pixels[:1, :64, :64])
                    peer.decode(peer.encode(small), small)
                runs[peer.name].append(_run(peer, stack))
            except Exception as error:  # libraries raise what they like: it costs their row alone
                result.failed = f"{stack.name}: {str(error) or type(error).__name__}"
                tell(f"{peer.name} failed: {result.failed}")
        for peer in takers:
            if not results[peer.name].failed:
                _add(results[peer.name], stack, runs[peer.name])
    return [result for result in results.values() if result.results or result.failed]


def _add(result: Result, stack: Stack, runs: list[_Run]) -> None:
    """One entry of each quantity: times are medians."""
    pixels, size = stack.pixels, runs[0].size
    middle = _Run(*(statistics.median(values) for values in zip(*runs, strict=True)))
    megabytes = pixels.nbytes / 1e6
    result.add(
        image=stack.name,
        bytes=size,
        bpp=8 * size / (pixels.size // pixels.shape[3]),
        bpsp=8 * size / pixels.size,
        ratio=pixels.nbytes / size,
        encoding_time=middle.encoding / len(pixels),
        decoding_time=middle.decoding / len(pixels),
        encoding_cpu=middle.encoding_cpu / len(pixels),
        decoding_cpu=middle.decoding_cpu / len(pixels),
        encoding_speed=megabytes / middle.encoding,
        decoding_speed=megabytes / middle.decoding,
        samples=pixels.size,
        megabytes=megabytes,
        frames=len(pixels),
    )


# --- showing -------------------------------------------------------------------------


def as_json(results: list[Result]) -> str:
    """A list of what CompressAI keeps: name, description, and results by quantity.

    Each result has one number for each file: `bpp` (bits per pixel), `bpsp` (per sample),
    `encoding_time` and `decoding_time` (seconds for one picture), and others.
    """
    return json.dumps([asdict(result) for result in results], indent=1) + "\n"


_HEAD = (
    f"{'':16} {'runs as':>7} {'bits/sub-pixel':>14} {'ratio':>6} {'MB/s in':>9} {'out':>9} "
    f"{'by CPU in':>9} {'out':>9} {'ms/image in':>12} {'out':>8}  files"
)


def as_text(results: list[Result]) -> str:
    """A table: of all files together, then bits per sub-pixel file by file."""
    whole = [result for result in results if not result.failed]
    lines = [_HEAD, *map(_line, whole)]
    lines += [f"{r.name:16} failed on {r.failed}" for r in results if r.failed]
    if any(result.runs == "program" for result in whole):
        lines.append("(Times of programs hold starting them, and files; those of calls do not.)")
    for result in whole:
        pairs = zip(result.results["image"], result.results["bpsp"], strict=True)
        lines.append(f"{result.name:16} " + "  ".join(f"{n} {b:.4f}" for n, b in pairs))
    return "\n".join(lines) + "\n"


def _line(result: Result) -> str:
    """What one compressor did, all files together."""
    r = result.results
    size, samples, mb = sum(r["bytes"]), sum(r["samples"]), sum(r["megabytes"])
    seconds = {
        key: sum(t * n for t, n in zip(r[key], r["frames"], strict=True))
        for key in ("encoding_time", "decoding_time", "encoding_cpu", "decoding_cpu")
    }
    speeds = (f"{mb / max(value, 1e-9):9.2f}" for value in seconds.values())
    times = [1000 * seconds[key] / sum(r["frames"]) for key in list(seconds)[:2]]
    return (
        f"{result.name:16} {result.runs:>7} {8 * size / samples:14.4f} {mb * 1e6 / size:6.3f} "
        f"{' '.join(speeds)} {times[0]:12.1f} {times[1]:8.1f}  {len(r['image'])}"
    )
