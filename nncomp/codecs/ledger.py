"""What content takes, from its start to its end, in bounded memory whatever it claims to be."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.account import Stretch

if TYPE_CHECKING:
    from collections.abc import Iterable

__all__ = ["OTHERS", "Curve", "Ledger"]

Array = NDArray[Any]

_MOST = 1 << 14
_NAMES = 256  # of parts
OTHERS = "everything else"
"""The part of what would have one name too many."""


class Curve:
    """What all content up to a position takes, for any position.

    Args:
        ends: int64[n], positions from 0 on, between which costs are spread evenly.
        names: Of parts.
        sums: float64[n, parts], bits of the content up to each position.
    """

    def __init__(self, ends: Array, names: list[str], sums: Array) -> None:
        self._ends = ends
        self._sums = sums
        self.names = names

    def total(self, positions: Array) -> Array:
        """Bits of all parts up to each of some positions."""
        totals: Array = np.interp(positions, self._ends, self._sums.sum(axis=1))
        return totals

    def between(self, start: int, stop: int) -> dict[str, float]:
        """Bits of the content from one position to another, by parts, without those of none."""
        costs = {
            name: float(np.subtract(*np.interp((stop, start), self._ends, column)))
            for name, column in zip(self.names, self._sums.T, strict=True)
        }
        return {name: bits for name, bits in costs.items() if bits}


class Ledger:
    """Takes stretches of content one after the other.

    Of very many, short neighbours become one, so that their number stays bounded; their bits
    are then spread over all of it.

    Args:
        most: How many stretches are kept.
    """

    def __init__(self, most: int = _MOST) -> None:
        self._most = most
        self._least = 0  # bytes: together, neighbours have more
        self._size = 0
        self._sizes: list[int] = []
        self._bits: list[dict[str, float]] = []
        self._names: dict[str, str] = {}

    def add(self, stretches: Iterable[Stretch]) -> None:
        """The next stretches; one of no content counts for the one before it."""
        for stretch in stretches:
            self._size += stretch.size
            self._append(stretch.size, self._known(stretch.bits))
            if len(self._sizes) > self._most:
                # Two neighbours have more than four of so many parts: at most half are left.
                self._least = 4 * self._size // self._most
                found = list(zip(self._sizes, self._bits, strict=True))
                self._sizes, self._bits = [], []
                for size, bits in found:
                    self._append(size, bits)

    def _known(self, bits: dict[str, float]) -> dict[str, float]:
        """The same by names of which there are not too many."""
        known: dict[str, float] = {}
        for name, cost in bits.items():
            if name not in self._names and len(self._names) < _NAMES:
                self._names[name] = name
            kept = self._names.get(name, OTHERS)
            known[kept] = known.get(kept, 0.0) + cost
        return known

    def _append(self, size: int, bits: dict[str, float]) -> None:
        last = self._sizes[-1] if self._sizes else None
        if last is None or (last and size and last + size > self._least):
            self._sizes.append(size)
            self._bits.append(bits)
        else:
            self._sizes[-1] = last + size
            self._bits[-1] = _sum(self._bits[-1], bits)

    def stretches(self) -> list[Stretch]:
        """What came so far."""
        return [Stretch(*pair) for pair in zip(self._sizes, self._bits, strict=True)]

    def curve(self) -> Curve:
        """What came so far, summed up."""
        names = list(dict.fromkeys(name for bits in self._bits for name in bits))
        columns = {name: k for k, name in enumerate(names)}
        sums = np.zeros((len(self._sizes) + 1, len(names)))
        for row, bits in enumerate(self._bits, start=1):
            for name, cost in bits.items():
                sums[row, columns[name]] = cost
        ends = np.concatenate([[0], np.cumsum(np.array(self._sizes, np.int64))])
        return Curve(ends, names, np.cumsum(sums, axis=0))


def _sum(a: dict[str, float], b: dict[str, float]) -> dict[str, float]:
    return {name: a.get(name, 0.0) + b.get(name, 0.0) for name in a | b}
