"""What a codec tells of its payloads: which bytes of the content their bits went to.

An `Account` of a record cuts its content into stretches, in order, and gives every bit of the
payload to one of them, by what the bit is for. So costs always add up to the archive's size.
A codec gives accounts by the method `account`, see `codecs.base.Explains`.
"""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import TYPE_CHECKING, Any, NamedTuple

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator, Mapping

    from numpy.typing import NDArray

    from nncomp.codecs.base import Block, Buffer

__all__ = [
    "HEADERS",
    "STORED",
    "Account",
    "Picture",
    "Stretch",
    "account_of",
    "account_of_stored",
    "cut",
    "spread",
]

HEADERS, STORED = "headers of payloads", "stored as it is"
"""Names of parts that all codecs share."""


class Stretch(NamedTuple):
    """Content that lies together.

    Attributes:
        size: Bytes of content, at least 1.
        bits: What they take in the archive, by the names of parts; fractions of bits, too.
    """

    size: int
    bits: dict[str, float]


@dataclass(frozen=True)
class Picture:
    """What the pixels of a picture cost.

    Attributes:
        width, height: Of the picture, in pixels.
        scale: Pixels to the side of a square of `bits`.
        bits: float64[rows, columns], bits a pixel in each square.
    """

    width: int
    height: int
    scale: int
    bits: NDArray[Any]


@dataclass(frozen=True)
class Account:
    """Where the bits of one record went.

    Attributes:
        raw: Its content, as `decode` gives it.
        stretches: Their sizes add up to the content's, their bits to the payload's.
        unit: What the payload tells the cost of: "byte", "block", "segment" or "record";
            within one, costs are spread evenly.
        inputs: Of predictors that mix: what each input has contributed, see
            `codecs.mix.tally`.
        pictures: Of pictures within the content.
    """

    raw: Buffer
    stretches: list[Stretch]
    unit: str
    inputs: Mapping[str, float] = field(default_factory=dict)
    pictures: tuple[Picture, ...] = ()


def account_of(raw: Buffer, stretches: Iterable[Stretch], unit: str) -> Account:
    """An account of any number of stretches; of very many, neighbours become one."""
    from nncomp.codecs.ledger import Ledger  # loads NumPy, which most codecs do without

    ledger = Ledger()
    ledger.add(stretches)
    return Account(raw, ledger.stretches(), unit)


def account_of_stored(block: Block) -> Account:
    """The account of a record without a payload."""
    raw = b"" if block.raw is None else block.raw
    return Account(raw, [Stretch(block.raw_size, {STORED: 8.0 * block.raw_size})], "byte")


def spread(stretches: Iterable[Stretch], name: str, bits: float) -> list[Stretch]:
    """The stretches with bits that belong to all of their bytes alike."""
    found = list(stretches)
    total = sum(stretch.size for stretch in found)
    return [
        Stretch(size, {**parts, name: parts.get(name, 0.0) + bits * size / total})
        for size, parts in found
    ]


def cut(stretches: Iterable[Stretch], sizes: Iterable[int]) -> Iterator[list[Stretch]]:
    """The stretches in groups of these sizes, cut where an end lies within one."""
    waiting = iter(stretches)
    left: Stretch | None = None
    for size in sizes:
        group: list[Stretch] = []
        while size:
            stretch = left or next(waiting)
            taken, left = _split(stretch, size)
            group.append(taken)
            size -= taken.size
        yield group


def _split(stretch: Stretch, size: int) -> tuple[Stretch, Stretch | None]:
    """The first `size` bytes of a stretch, at most, and the rest."""
    if stretch.size <= size:
        return stretch, None
    share = size / stretch.size
    first = {name: bits * share for name, bits in stretch.bits.items()}
    rest = {name: bits - first[name] for name, bits in stretch.bits.items()}
    return Stretch(size, first), Stretch(stretch.size - size, rest)
