"""Speed and overhead of the coder: `python benchmarks/coding.py [--symbols N] [--rounds N]`.

Each step from weights to bytes and back is timed next to the same step in plain NumPy and
Python, which must give the same result. The contestants take turns, so that a slow phase of
the machine meets all of them; the table shows medians. Rows are like a model's on text:
about 4 bits per symbol, some rows nearly certain and some nearly flat. rANS, which has one row
for all of a block, codes the same symbols.
"""

from __future__ import annotations

import argparse
import math
import statistics
import time
from typing import TYPE_CHECKING, Any

import numpy as np
from common import markdown_table

from nncomp.coding import rans, rans_kernels
from nncomp.coding.cdf import BITS, SYMBOLS, frequencies
from nncomp.coding.range_coder import Decoder, Encoder, gather

if TYPE_CHECKING:
    from collections.abc import Callable


def model_rows(count: int, rng: np.random.Generator) -> tuple[Any, Any]:
    """Weights int32[count, 256] and symbols uint8[count] drawn from them."""
    peak = rng.choice([2, 10, 100, 2000], (count, 1))
    weights = (rng.random((count, SYMBOLS)) ** peak * (1 << 23)).astype(np.int32)
    weights[:, 32] += 1  # never a row of zeros
    np.minimum(weights, 1 << 23, out=weights)
    cumulative = frequencies(weights).cumsum(axis=1)
    return weights, (cumulative > rng.integers(0, 1 << BITS, (count, 1))).argmax(axis=1).astype(
        np.uint8
    )


def plain_frequencies(weights: Any) -> Any:
    """int64 in NumPy."""
    wide = weights.astype(np.int64)
    freqs = 1 + wide * ((1 << BITS) - SYMBOLS) // wide.sum(axis=1, keepdims=True)
    freqs[np.arange(len(wide)), wide.argmax(axis=1)] += (1 << BITS) - freqs.sum(axis=1)
    return freqs.astype(np.int32)


def plain_gather(freqs: Any, symbols: Any) -> tuple[Any, Any]:
    """All cumulative sums, then two of them per row."""
    rows = np.arange(len(symbols))
    own = freqs[rows, symbols]
    return (freqs.cumsum(axis=1)[rows, symbols] - own).astype(np.uint32), own.astype(np.uint32)


def plain_encode(starts: Any, freqs: Any) -> bytes:
    """All of `low` at the end, which is not the shortest end but a valid one."""
    low, width, mask = 0, 2**64 - 1, 2**64 - 1
    code = bytearray()
    for start, freq in zip(starts.tolist(), freqs.tolist(), strict=True):
        r = width >> BITS
        low += start * r
        width = freq * r
        if low > mask:
            low &= mask
            place = len(code) - 1
            while code[place] == 0xFF:
                code[place] = 0
                place -= 1
            code[place] += 1
        while width < 2**48:
            code += (low >> 48).to_bytes(2, "big")
            low, width = low << 16 & mask, width << 16
    return bytes(code) + low.to_bytes(8, "big")


def plain_decode(data: bytes, freqs: Any) -> Any:
    """Bisection in all cumulative sums."""
    offset, width, position = int.from_bytes(data[:8], "big"), 2**64 - 1, 8
    bounds = freqs.cumsum(axis=1)
    symbols = np.empty(len(freqs), np.uint8)
    for i, bound in enumerate(bounds):
        r = width >> BITS
        symbol = int(bound.searchsorted(offset // r, side="right"))
        freq = int(freqs[i, symbol])
        offset -= (int(bound[symbol]) - freq) * r
        width = freq * r
        while width < 2**48:
            word = data[position : position + 2].ljust(2, b"\0")
            offset, width, position = (
                offset << 16 | int.from_bytes(word, "big"),
                width << 16,
                position + 2,
            )
        symbols[i] = symbol
    return symbols


def compiled_encode(starts: Any, freqs: Any) -> bytes:
    """One stream of all symbols."""
    encoder = Encoder()
    encoder.encode(starts, freqs)
    return encoder.finish()


def medians(steps: dict[str, Callable[[], Any]], rounds: int) -> dict[str, float]:
    """Seconds per call of each step, taking turns, the first call of each not counted."""
    seconds: dict[str, list[float]] = {name: [] for name in steps}
    for _ in range(rounds + 1):
        for name, step in steps.items():
            start = time.perf_counter()
            step()
            seconds[name].append(time.perf_counter() - start)
    return {name: statistics.median(times[1:]) for name, times in seconds.items()}


def main() -> None:
    """Check that the ways agree, time them, print the table."""
    parser = argparse.ArgumentParser(description=__doc__.splitlines()[0])
    parser.add_argument("--symbols", type=int, default=20000)
    parser.add_argument("--rounds", type=int, default=15)
    options = parser.parse_args()

    weights, symbols = model_rows(options.symbols, np.random.default_rng(0))
    freqs = frequencies(weights)
    starts, own = gather(freqs, symbols)
    data = compiled_encode(starts, own)
    if not np.array_equal(plain_frequencies(weights), freqs):
        raise SystemExit("the two ways to frequencies differ")
    for other in (data, plain_encode(starts, own)):
        for found in (Decoder(other).decode(freqs), plain_decode(other, freqs)):
            if not np.array_equal(found, symbols):
                raise SystemExit("a stream does not decode to its symbols")
    plane = rans_kernels.encode_plane(symbols)
    if rans.encode_plane(symbols) != plane:
        raise SystemExit("the two ways to code a plane differ")

    steps: dict[str, tuple[Callable[[], Any], Callable[[], Any]]] = {
        "frequencies": (lambda: frequencies(weights), lambda: plain_frequencies(weights)),
        "gather": (lambda: gather(freqs, symbols), lambda: plain_gather(freqs, symbols)),
        "encode": (lambda: compiled_encode(starts, own), lambda: plain_encode(starts, own)),
        "decode": (lambda: Decoder(data).decode(freqs), lambda: plain_decode(data, freqs)),
        "rANS encode": (
            lambda: rans_kernels.encode_plane(symbols),
            lambda: rans.encode_plane(symbols),
        ),
        "rANS decode": (
            lambda: rans_kernels.decode_plane(plane, len(symbols)),
            lambda: rans.decode_plane(plane, len(symbols)),
        ),
    }
    contestants: dict[str, Callable[[], Any]] = {}
    for name, (compiled, plain) in steps.items():
        contestants[name], contestants[f"plain {name}"] = compiled, plain
    times = medians(contestants, options.rounds)

    rows = []
    for name in steps:
        speed, plain_speed = (options.symbols / times[key] / 1e6 for key in (name, f"plain {name}"))
        rows.append([name, f"{speed:.1f}", f"{plain_speed:.2f}"])
    print(markdown_table(["step", "million symbols/s", "plain NumPy and Python"], rows))
    ideal = math.fsum(BITS - math.log2(freq) for freq in own.tolist()) / 8
    print(
        f"\n{options.symbols} symbols take {len(data)} bytes, {len(data) - ideal:+.2f} bytes from "
        f"the ideal code length, {8 * ideal / options.symbols:.3f} bits per symbol"
    )


if __name__ == "__main__":
    main()
