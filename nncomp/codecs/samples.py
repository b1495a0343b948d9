"""Whether content can be made smaller at all, told by samples in some milliseconds."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import zstandard

if TYPE_CHECKING:
    from nncomp.codecs.base import Buffer

__all__ = ["shrinks"]

_COUNT = 16
_SIZE = 16 << 10  # large enough for short matches, and for bytes to be counted
_LEVEL = 1
# Samples of what is compressed or encrypted come to 0.994 and more, numbers and pictures whose
# bytes look even to 0.97 and less.
_SHARE = 0.98
_DISTANCES = (1, 2, 3, 4, 8)


def shrinks(content: Buffer) -> bool:
    """Whether a sample shrinks by matches or by codes for bytes, or by its differences.

    The second is for sounds and pictures of many values, in which nothing ever repeats.

    Args:
        content: Of less than some kilobytes nothing can be told: it is taken to shrink.
    """
    data = np.frombuffer(content, np.uint8)
    if len(data) < _SIZE // 2:
        return True
    starts = np.linspace(0, max(0, len(data) - _SIZE), _COUNT, dtype=np.int64)
    samples = [data[start : start + _SIZE] for start in np.unique(starts)]
    size = _SHARE * sum(map(len, samples))
    compressor = zstandard.ZstdCompressor(level=_LEVEL)
    if sum(len(compressor.compress(sample.tobytes())) for sample in samples) < size:
        return True
    return any(_differences(samples, distance) < size for distance in _DISTANCES)


def _differences(samples: list[Any], distance: int) -> float:
    """Bytes of the differences at a distance by their entropy, those of all samples together."""
    counts = np.zeros(256, np.int64)
    for sample in samples:
        counts += np.bincount(sample[distance:] - sample[:-distance], minlength=256)
    shares = counts[counts > 0] / counts.sum()
    return float(-(counts[counts > 0] * np.log2(shares)).sum()) / 8
