"""`auto`: which method and level suit a content, by what it is, its size and the memory.

All thresholds stand here. Speeds behind them, of one core of a shared machine: `mix` codes
text at 240 KB/s at level 6, 370 at 3 and 470 at 1, pictures at 70 to 200; `fsar` pictures at
some 300 at level 9, and at megabytes from 8 down; `zstd` codes text at 3 MB/s at level 8, at 15
at level 6. So text of up to 64 MiB takes some two minutes, other content up to 1 GiB five or
ten, and of what comes then a gigabyte takes about one.
"""

from __future__ import annotations

from itertools import chain
from typing import TYPE_CHECKING, NamedTuple

from nncomp.codecs.base import resolve_params
from nncomp.codecs.registry import AUTO, by_name

if TYPE_CHECKING:
    from collections.abc import Iterable, Iterator

    from nncomp.api.source import Source
    from nncomp.codecs.base import Buffer, Context

__all__ = ["HEAD_SIZE", "LADDER", "Choice", "choose"]

HEAD_SIZE = 256 << 10
"""What is always looked at before the header is written, in bytes."""

_MIB = 1 << 20
# Content that cannot pay for the parameters in the header of any method.
_TINY = 16
# The largest content for `mix`; up to here everything is looked at, also of a pipe.
_MIX = 64 * _MIB
# The same where somebody asks for a level that is patient.
_PATIENT, _MIX_PATIENT = 6, 1024 * _MIB
LADDER: tuple[tuple[str, int, int | None], ...] = (
    ("mix", 6, 16 * _MIB),
    ("mix", 3, 32 * _MIB),
    ("mix", 1, _MIX),
    ("zstd", 8, 1024 * _MIB),
    ("zstd", 6, None),
    ("zstd", 3, None),
)
"""Method, level, and the largest content that they are taken for in bytes, from small archives
to fast; the last is for little memory."""

# For pictures, where levels are for speed, or their pixels are more than this and `mix` would
# take minutes; up to the size of its records.
_PICTURES = "fsar", 9
_PIXELS, _PIXELS_MAX = 8 * _MIB, 64 * _MIB
# For what does not shrink in samples: finds repetitions at the speed of a disk.
_CHEAP = "zstd", 3
# For tensors; the level is the one that the codec has without any.
_TENSORS = "zipnn", 5
# PNG files are compressed, but `mix` codes their pixels. One that begins here shows that they
# are what content consists of, a folder in an archive perhaps.
_PNG_WITHIN = _MIB


class Choice(NamedTuple):
    """What was picked.

    Attributes:
        method: Of a codec.
        level: Of that method, or None.
        reason: For people, to come behind the method and a comma.
    """

    method: str
    level: int | None
    reason: str

    def __str__(self) -> str:
        level = "" if self.level is None else f" -{self.level}"
        return f"{AUTO}: {self.method}{level}, {self.reason}"


def choose(source: Source, level: int | None, context: Context) -> Choice:
    """Pick a method for a content.

    What is looked at: 256 KiB for tensors and pictures, up to 64 MiB for what `mix` may be
    taken for.

    Args:
        source: Not read beyond what is looked at.
        level: As given by the user; one that takes more memory than allowed is lowered.
        context: Its `base` needs a method that takes one; its `memory_limit` is held, as far
            as that is possible.
    """
    if context.base is not None:
        return Choice(_TENSORS[0], level, "for differences to a base")
    tensors = _tensor_format(source)
    if tensors:
        rungs = _downward(_TENSORS[0], level or _TENSORS[1])
        return _first_that_fits(rungs, source, context, f"for {tensors}, by its beginning")
    pixels = _pixels(source)
    if pixels <= _PIXELS_MAX and (level < _PATIENT if level and pixels else pixels > _PIXELS):
        own = _downward(_PICTURES[0], level or _PICTURES[1])
        rungs = chain(own, _by_size(source.size, level, _MIX))
        return _first_that_fits(rungs, source, context, "for a picture, by its beginning")
    most = _MIX_PATIENT if level and level >= _PATIENT else _MIX
    if source.size is None or source.size <= most:
        seen = source.look(_MIX + 1)
        if len(seen) <= _TINY:
            return Choice("store", None, "for so few bytes")
        if not _worth_mixing(seen):
            rungs = _downward(_CHEAP[0], level or _CHEAP[1])
            return _first_that_fits(rungs, source, context, "since samples do not shrink")
    reason = "for a long stream" if source.size is None else f"for {source.size:,} bytes"
    return _first_that_fits(_by_size(source.size, level, most), source, context, reason)


def _by_size(size: int | None, level: int | None, most: int) -> Iterator[tuple[str, int]]:
    """What is allowed for a size, the smallest archives first."""
    if level is None:
        for method, own, largest in LADDER:
            if largest is None or (size is not None and size <= largest):
                yield method, own
        return
    if size is not None and size <= most:
        yield from _downward("mix", level)
    yield from _downward("zstd", level)


def _downward(method: str, level: int) -> Iterator[tuple[str, int]]:
    return ((method, own) for own in range(level, 0, -1))


def _first_that_fits(
    rungs: Iterable[tuple[str, int]], source: Source, context: Context, reason: str
) -> Choice:
    """The first that the memory limit has room for, else the last."""
    head = source.look(HEAD_SIZE)
    for number, (method, level) in enumerate(rungs):
        if number == 1:
            reason += ", in limited memory"
        codec = by_name(method)
        params = resolve_params(codec, {}, level)
        settled = codec.settle(params, head, len(head) < HEAD_SIZE)
        if context.memory_limit is None or codec.memory(settled) <= context.memory_limit:
            break
    return Choice(method, level, reason)


def _tensor_format(source: Source) -> str | None:
    from nncomp.codecs.tensor.formats import format_of

    return format_of(bytes(source.look(HEAD_SIZE)))


def _pixels(source: Source) -> int:
    """Bytes of the pixels of the picture that begins here; 0 if none does that can be coded."""
    from nncomp.codecs.image.formats import bmp, netpbm
    from nncomp.coding.png.chunks import lines_size

    head = bytes(source.look(HEAD_SIZE))
    found = netpbm.find(head) or bmp.find(head)
    return found.layout.size if found else lines_size(memoryview(head))


def _worth_mixing(seen: Buffer) -> bool:
    from nncomp.codecs.samples import shrinks
    from nncomp.coding.png.chunks import SIGNATURE

    return shrinks(seen) or SIGNATURE in bytes(seen[:_PNG_WITHIN])
