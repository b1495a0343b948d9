"""Where the time of a neural codec goes, encoding and decoding.

    python benchmarks/profile_sep.py [FILE] [--bytes N] [-m METHOD] [--threads N] [--save NAME]

Timers are put around the leaves of the library from here: integer products, element-wise
kernels, frequencies, coder. What is left is torch's autograd, copies between them, Python, and
what the timers themselves cost, which is estimated and told.
"""

from __future__ import annotations

import argparse
import functools
import time
from collections import defaultdict
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import DATA, circumstances, median, per_second, save, sha256, short, text_table

from nncomp.api import compress, decompress
from nncomp.codecs.neural import loop, stage
from nncomp.coding.range_coder import Decoder, Encoder
from nncomp.exact import cpu, layers

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

REST = "autograd, copies, Python"
OPTIMISER = ("adam",)
# Part, owner of the name as its callers look it up, name.
LEAVES: list[tuple[str, Any, str]] = [
    ("integer products", layers, "product"),
    ("integer products", layers, "batched"),
    *(
        ("optimiser" if name in OPTIMISER else "element-wise kernels", cpu, name)
        for name in cpu.__all__
    ),
    ("frequencies", loop, "frequencies"),
    ("gather", stage, "gather"),
    ("range coder", Encoder, "encode"),
    ("range coder", Encoder, "finish"),
    ("range coder", Decoder, "decode"),
]
PARTS = list(dict.fromkeys(part for part, _, _ in LEAVES))


class Clock:
    """Seconds and calls by part; a call within another is taken from the outer one."""

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._inner = [0.0]

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time counted."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            self._inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - start
                self.seconds[part] += spent - self._inner.pop()
                self.calls[part] += 1
                self._inner[-1] += spent

        return wrapper


@contextmanager
def watched(clock: Clock) -> Iterator[None]:
    """Put the timers around the leaves, and take them off again."""
    before = [(owner, name, getattr(owner, name)) for _, owner, name in LEAVES]
    try:
        for part, owner, name in LEAVES:
            setattr(owner, name, clock.timed(part, getattr(owner, name)))
        yield
    finally:
        for owner, name, function in before:
            setattr(owner, name, function)


def cost_of_a_timer() -> float:
    """Seconds that a timer adds to a call, by 100,000 calls of nothing."""
    calls = range(100_000)
    clock = Clock()
    nothing = clock.timed("nothing", lambda: None)
    start = time.perf_counter()
    for _ in calls:
        nothing()
    return (time.perf_counter() - start) / len(calls)


def profile(job: Callable[[], bytes], size: int) -> tuple[bytes, dict[str, Any]]:
    """Run a job with timers; seconds, share and calls of each part."""
    clock = Clock()
    with watched(clock):
        start = time.perf_counter()
        result = job()
        total = time.perf_counter() - start
    clock.seconds[REST] = total - sum(clock.seconds.values())
    parts = {
        part: {
            "s": median([clock.seconds[part]]),
            "percent": round(100 * clock.seconds[part] / total, 1),
            "calls": clock.calls[part],
        }
        for part in (*PARTS, REST)
    }
    kb_per_s = round(per_second(size, total), 3)
    return result, {
        "wall_s": median([total]),
        "kb_per_s": kb_per_s,
        "timers_s": median([cost_of_a_timer() * sum(clock.calls.values())]),
        "parts": parts,
    }


def print_table(record: dict[str, Any]) -> None:
    """Encode and decode side by side."""
    ways = record["ways"]
    headings = ["part"] + [f"{way} {unit}" for way in ways for unit in ("s", "%", "calls")]
    rows = []
    for part in (*PARTS, REST):
        row = [part]
        for way in ways.values():
            found = way["parts"][part]
            calls = f"{found['calls']:,}" if found["calls"] else "-"
            row += [f"{found['s']:.2f}", f"{found['percent']:.1f}", calls]
        rows.append(row)
    total = ["together"]
    for way in ways.values():
        total += [f"{way['wall_s']:.2f}", f"{short(way['kb_per_s'])} KB/s", ""]
    print(text_table(headings, [*rows, total]))
    timers = ", ".join(f"{name} {way['timers_s']:.2f} s" for name, way in ways.items())
    print(f"of which the timers, mostly in the last part: {timers}")


def main() -> None:
    """Profile both ways on a prefix of a file."""
    parser = argparse.ArgumentParser(description=(__doc__ or "").splitlines()[0])
    parser.add_argument("file", nargs="?", type=Path, default=DATA / "enwik" / "enwik6")
    parser.add_argument("--bytes", type=int, default=200_000, help="a prefix of the file")
    parser.add_argument("-m", "--method", default="sep")
    parser.add_argument("--threads", type=int, default=1)
    parser.add_argument("--save", metavar="NAME", help="write results/NAME.json")
    options = parser.parse_args()
    data = options.file.read_bytes()[: options.bytes]
    # The kernels watched are the CPU's; on a GPU the time is elsewhere.
    settings: dict[str, Any] = {"threads": options.threads, "device": "cpu"}

    def encode(content: bytes) -> bytes:
        return compress(content, options.method, **settings)

    def decode(archive: bytes) -> bytes:
        return decompress(archive, **settings)

    record = circumstances()
    record["input"] = {"file": options.file.name, "bytes": len(data), "sha256": sha256(data)}
    record["method"] = options.method
    sample = data[:8192]
    if decode(encode(sample)) != sample:  # compiles what is to be timed
        raise SystemExit("the first bytes came back different")
    archive, encoding = profile(lambda: encode(data), len(data))
    back, decoding = profile(lambda: decode(archive), len(data))
    if back != data:
        raise SystemExit("the file came back different")
    record["ways"] = {"encode": encoding, "decode": decoding}
    print_table(record)
    if options.save:
        save(options.save, record)


if __name__ == "__main__":
    main()
