"""Does `emb` hold its bound? Random and adversarial numbers, quantised, decoded, compared.

    python benchmarks/embeddings.py --proof 100000000 [--types F32 F64 F16 BF16]

Tables of 4096 x 64 elements: any bit patterns; few exponents, those of denormal numbers among
them; the edges between codes, and what is next to them; numbers among NaN with payloads and
infinities; repeated rows of numbers far from 0. Four of seven are of float32, one each of the
other types. Bounds are from 1e-1 to 1e-7, of every seventh table from 1e-8 to 1e-12, half of
them shares of the range of the table, the others of its median, given as absolute numbers.

Every element is compared with what comes back: bit for bit, or its error with the bound. The
error is that of float64 and, where this is just the bound, what its rounding left out.
"""

from __future__ import annotations

import time
from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from common import say, text_table

from nncomp.codecs.embedding.table import decode_table, encode_table

if TYPE_CHECKING:
    from collections.abc import Iterator, Sequence

    from numpy.typing import NDArray

__all__ = ["TYPES", "Tally", "excess", "prove"]

SHAPE = (4096, 64)
BOUNDS = tuple(10.0**-k for k in range(1, 8))
SMALL_BOUNDS = tuple(10.0**-k for k in range(8, 13))
LIMIT = 1 << 34
_SEED = 20


@dataclass(frozen=True)
class Floats:
    """A type of floating-point numbers.

    Attributes:
        name: As in safetensors.
        words: Of its bit patterns.
        exponent, mantissa: Bits.
        numbers: The NumPy type of that kind; None: the upper half of float32.
    """

    name: str
    words: type[np.unsignedinteger[Any]]
    exponent: int
    mantissa: int
    numbers: type[np.floating[Any]] | None

    def wide(self, patterns: NDArray[Any]) -> NDArray[np.float64]:
        """Bit patterns as float64, which is exact."""
        if self.numbers is None:
            return (patterns.astype(np.uint32) << 16).view(np.float32).astype(np.float64)
        return patterns.view(self.numbers).astype(np.float64)

    def patterns(self, values: NDArray[Any]) -> NDArray[Any]:
        """float64 as bit patterns; bfloat16 is cut off, not rounded."""
        if self.numbers is None:
            return (values.astype(np.float32).view(np.uint32) >> 16).astype(np.uint16)
        return values.astype(self.numbers).view(self.words)


TYPES = {
    kind.name: kind
    for kind in (
        Floats("F32", np.uint32, 8, 23, np.float32),
        Floats("F64", np.uint64, 11, 52, np.float64),
        Floats("F16", np.uint16, 5, 10, np.float16),
        Floats("BF16", np.uint16, 8, 7, None),
    )
}
_TURNS = ("F32", "F64", "F32", "F16", "F32", "BF16", "F32")


@dataclass
class Tally:
    """What was found of one type.

    Attributes:
        elements: That were tried.
        changed: That did not come back bit for bit, since they were quantised.
        worst: The largest error, divided by the bound.
        violations: Off by more than the bound, or no finite number and changed.
    """

    elements: int = 0
    changed: int = 0
    worst: float = 0.0
    violations: int = 0


def adversarial(random: np.random.Generator, kind: Floats, number: int) -> NDArray[Any]:
    """One table, as bit patterns; `number` says which sort of them."""
    top = (1 << kind.exponent - 1) - 1  # the largest exponent
    scale = 2.0 ** int(random.integers(-top - kind.mantissa // 2, top - 12))
    sort = number % 5
    if sort == 0:
        return _bits(random, kind.exponent + kind.mantissa + 1).astype(kind.words)
    if sort == 1:
        low = int(random.integers(0, 2 * top - 4))
        exponents = random.integers(low, low + 6, SHAPE).astype(np.uint64)
        signs = _bits(random, 1) << np.uint64(kind.exponent)
        rest = _bits(random, kind.mantissa)
        return ((signs | exponents) << np.uint64(kind.mantissa) | rest).astype(kind.words)
    if sort == 2:
        steps = kind.patterns(random.integers(-400, 400, SHAPE) * scale)
        return steps + random.choice([-1, 0, 1], SHAPE).astype(kind.words)  # may wrap: a NaN
    if sort == 3:
        values = kind.patterns(random.normal(0, 1, SHAPE) * scale)
        signs = _bits(random, 1) << np.uint64(kind.exponent)
        none = (signs | np.uint64((1 << kind.exponent) - 1)) << np.uint64(kind.mantissa)
        payloads = _bits(random, kind.mantissa) * _bits(random, 1)  # of infinities 0
        odd = (none | payloads).astype(kind.words)
        return np.where(random.random(SHAPE) < 0.001, odd, values)
    values = kind.patterns(random.uniform(1, 1.001, SHAPE) * scale)
    return values[random.zipf(1.2, SHAPE[0]) % min(200, len(values))]


def _bits(random: np.random.Generator, count: int) -> NDArray[np.uint64]:
    return random.integers(0, 1 << count, SHAPE, np.uint64)


@np.errstate(all="ignore")  # what is no number after this counts
def excess(wanted: NDArray[Any], found: NDArray[Any], bound: float) -> NDArray[np.bool_]:
    """Where two float64 differ by more than a bound, exactly.

    A difference is that of float64 and an error that can be computed (Knuth, TAOCP 2, 4.2.2,
    theorem B). What is no number, or has no finite difference, is off by more.
    """
    difference = found - wanted
    back = difference - found
    rest = (found - (difference - back)) - (wanted + back)
    rest = np.where(difference < 0, -rest, rest)
    size = np.abs(difference)
    return ~(size <= bound) | ((size == bound) & (rest > 0))


def _bound_of(values: NDArray[Any], share: float, *, relative: bool) -> float:
    """The absolute bound: a share of the range in float64, or of what is in the middle."""
    if not relative:
        return min(share * float(np.median(np.abs(values)) + 1e-44), 1e300)
    low, high = float(values.min()), float(values.max())
    span = high - low
    return share * span if np.isfinite(span) else share * high - share * low


def _try(random: np.random.Generator, kind: Floats, number: int, tally: Tally) -> None:
    """One table."""
    patterns = adversarial(random, kind, number)
    share = float(random.choice(SMALL_BOUNDS if random.random() < 1 / 7 else BOUNDS))
    relative = bool(random.integers(2))
    wide = kind.wide(patterns)
    bound = _bound_of(wide[np.isfinite(wide)], share, relative=relative)
    payload = encode_table(
        patterns if kind.numbers is None else patterns.view(kind.numbers),
        bound=share if relative else bound,
        mode="rel" if relative else "abs",
        dtype=kind.name,
    )
    back = decode_table(payload, LIMIT).view(kind.words)
    changed = back != patterns
    wanted, found = wide[changed], kind.wide(back)[changed]
    tally.elements += patterns.size
    tally.changed += int(changed.sum())
    tally.violations += int(excess(wanted, found, bound).sum())
    if len(wanted) and bound:
        tally.worst = max(tally.worst, float(np.abs(found - wanted).max()) / bound)


def prove(count: int, names: Sequence[str] = _TURNS) -> int:
    """Print what about `count` elements of these types gave; how many violate their bound."""
    random = np.random.default_rng(_SEED)
    tallies = {name: Tally() for name in dict.fromkeys(names)}
    start = time.perf_counter()
    for number, name in enumerate(_in_turn(names, count)):
        with np.errstate(all="ignore"):
            _try(random, TYPES[name], number // len(names) + number, tallies[name])
        if number % 100 == 99:
            done = sum(tally.elements for tally in tallies.values())
            say(f"{done:,} elements, {time.perf_counter() - start:.0f} s")
    rows = [
        [name, f"{t.elements:,}", f"{t.changed:,}", f"{t.worst:.9f}", f"{t.violations:,}"]
        for name, t in tallies.items()
    ]
    print(text_table(["type", "elements", "quantised", "error/bound", "violations"], rows))
    print(f"{sum(t.elements for t in tallies.values()):,} elements, seed {_SEED}")
    return sum(tally.violations for tally in tallies.values())


def _in_turn(names: Sequence[str], count: int) -> Iterator[str]:
    for number in range(-(-count // (SHAPE[0] * SHAPE[1]))):
        yield names[number % len(names)]
