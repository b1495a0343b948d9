"""Where the time of a neural codec goes, encoding and decoding.

    python benchmarks/profile_sep.py [FILE] [--bytes N] [-m METHOD] [--threads N] [--save NAME]

Timers are put around the leaves of the library from here: integer products, element-wise
kernels, frequencies, mixer, coder. What is left of the main thread's time is torch's autograd,
copies between them, Python, and what the timers themselves cost, which is estimated and told.
Encoding, the coder works in a thread beside it, and so does the memory of contexts alone: what
they do is told apart.
"""

from __future__ import annotations

import argparse
import functools
import threading
import time
from collections import defaultdict
from concurrent.futures import Future
from contextlib import contextmanager
from pathlib import Path
from typing import TYPE_CHECKING, Any

from common import DATA, circumstances, median, per_second, save, sha256, short, text_table

from nncomp.api import compress, decompress
from nncomp.codecs.neural import records, stage, steps
from nncomp.codecs.neural.memory import MixedDecoder, MixedEncoder
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
    ("frequencies", steps, "frequencies"),
    ("gather", stage, "gather"),
    ("range coder", Encoder, "encode"),
    ("range coder", Encoder, "finish"),
    ("range coder", Decoder, "decode"),
    ("mixer and its coder", MixedEncoder, "encode"),
    ("mixer and its coder", MixedDecoder, "decode"),
    ("steps: network, mixer, coder", MixedDecoder, "decode_steps"),
    ("memory alone", records, "encode_payload"),
    ("memory alone", records, "decode_payload"),
    ("layout", records, "find_layout"),
    ("waiting for the thread beside", Future, "result"),
]
PARTS = list(dict.fromkeys(part for part, _, _ in LEAVES))
BESIDE = {part: f"beside: {part}" for part in PARTS}
EVERY = (*PARTS, REST, *BESIDE.values())


class Clock:
    """Seconds and calls by part; a call within another is taken from the outer one.

    What other threads do than the one that made the clock has names of its own: `BESIDE`.
    """

    def __init__(self) -> None:
        self.seconds: dict[str, float] = defaultdict(float)
        self.calls: dict[str, int] = defaultdict(int)
        self._main = threading.get_ident()
        self._threads = threading.local()

    def timed(self, part: str, function: Callable[..., Any]) -> Callable[..., Any]:
        """The same function, with its time counted."""

        @functools.wraps(function)
        def wrapper(*args: Any, **kwargs: Any) -> Any:
            inner = self._threads.__dict__.setdefault("inner", [0.0])
            inner.append(0.0)
            start = time.perf_counter()
            try:
                return function(*args, **kwargs)
            finally:
                spent = time.perf_counter() - start
                name = part if threading.get_ident() == self._main else BESIDE[part]
                self.seconds[name] += spent - inner.pop()
                self.calls[name] += 1
                inner[-1] += spent

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
    nothing = clock.timed(PARTS[0], lambda: None)
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
    clock.seconds[REST] = total - sum(clock.seconds[part] for part in PARTS)
    parts = {
        part: {
            "s": median([clock.seconds[part]]),
            "percent": round(100 * clock.seconds[part] / total, 1),
            "calls": clock.calls[part],
        }
        for part in EVERY
    }
    kb_per_s = round(per_second(size, total), 3)
    return result, {
        "wall_s": median([total]),
        "kb_per_s": kb_per_s,
        "timers_s": median([cost_of_a_timer() * sum(clock.calls[part] for part in PARTS)]),
        "parts": parts,
    }


def warm_up(
    encode: Callable[[bytes], bytes], decode: Callable[[bytes], bytes], sample: bytes
) -> None:
    """Let all be compiled that is to be timed: the memory alone, and network and memory."""
    kept = records._alone
    try:
        for alone in (kept, lambda *_: None):
            records._alone = alone
            if decode(encode(sample)) != sample:
                raise SystemExit("the first bytes came back different")
    finally:
        records._alone = kept


def print_table(record: dict[str, Any]) -> None:
    """Encode and decode side by side."""
    ways = record["ways"]
    headings = ["part"] + [f"{way} {unit}" for way in ways for unit in ("s", "%", "calls")]
    rows = []
    total = ["together"]
    for way in ways.values():
        total += [f"{way['wall_s']:.2f}", f"{short(way['kb_per_s'])} KB/s", ""]
    for part in EVERY:
        if not any(way["parts"][part]["calls"] for way in ways.values()) and part != REST:
            continue
        row = [part]
        for way in ways.values():
            found = way["parts"][part]
            calls = f"{found['calls']:,}" if found["calls"] else "-"
            row += [f"{found['s']:.2f}", f"{found['percent']:.1f}", calls]
        rows.append(row)
        if part == REST:
            rows.append(total)
    print(text_table(headings, rows))
    timers = ", ".join(f"{name} {way['timers_s']:.2f} s" for name, way in ways.items())
    print(f"of which the timers, mostly in {REST}: {timers}")


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
    warm_up(encode, decode, data[:8192])
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
