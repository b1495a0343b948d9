"""When compressing what is sent pays: a model of time, and nothing else.

Of `n` raw bytes, sending takes n / B seconds at a bandwidth of B bytes per second. With
compression, what is left takes n / (CR B), and compressing and decompressing, one after the
other, n / Tc and n / Td. From Feng et al., "Accelerating Communication in Deep Learning
Recommendation Model Training with Dual-Level Adaptive Lossy Compression" (SC'24),
arXiv:2407.04272. Nothing overlaps in this model, so it errs on the careful side where a
program sends while it compresses.
"""

from __future__ import annotations

import math

from nncomp.errors import UsageError

__all__ = ["break_even", "speedup"]


def speedup(ratio: float, compress_rate: float, decompress_rate: float, bandwidth: float) -> float:
    """How many times faster the exchange gets: 1 / (1/CR + B (1/Tc + 1/Td)).

    Args:
        ratio: CR, raw bytes over compressed bytes.
        compress_rate: Tc, raw bytes per second, with everything that compressing takes.
        decompress_rate: Td, the same the other way.
        bandwidth: B, bytes per second, in the same unit as the rates; at 0 only the ratio counts.

    Raises:
        UsageError: One of them is not above zero, or the bandwidth below it.
    """
    _check(ratio, compress_rate, decompress_rate)
    if not bandwidth >= 0:
        raise UsageError(f"a bandwidth is not below zero: {bandwidth}")
    return 1 / (1 / ratio + bandwidth * (1 / compress_rate + 1 / decompress_rate))


def break_even(ratio: float, compress_rate: float, decompress_rate: float) -> float:
    """The bandwidth at which the speed-up is 1: (1 - 1/CR) / (1/Tc + 1/Td).

    On faster lines compressing costs time; 0 where it does not make anything smaller. Units
    and errors are those of `speedup`.
    """
    _check(ratio, compress_rate, decompress_rate)
    return max(0.0, (1 - 1 / ratio) / (1 / compress_rate + 1 / decompress_rate))


def _check(*values: float) -> None:
    if not all(value > 0 and not math.isnan(value) for value in values):
        raise UsageError(f"ratio and rates are above zero, not {values}")
