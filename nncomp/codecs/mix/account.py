"""Where the bits of a payload went: of what lies around files, of recipes, of contents.

A file is coded as its pixels, whose bytes are none of the file's. So what they cost lies on
the file's bytes in their order: the first tenth of the pixels on the first tenth of the file.
That is nearly true, since a PNG file holds its pixels in their order, too, but for where
some of them shrink better than others there. What its recipe takes lies on all bytes of the
file alike, and so do the headers of a payload on all of its block.
"""

from __future__ import annotations

from typing import TYPE_CHECKING

from nncomp.codecs.account import HEADERS, STORED, Account, Stretch, cut, spread
from nncomp.codecs.mix.layout import FILES
from nncomp.codecs.mix.payload import decode_payload, read_file_head, read_places

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.mix.tally import Stream

__all__ = ["CORRECTIONS", "account_payload"]

CORRECTIONS = "recipes of PNG files"
"""The part that makes files out of pixels."""


def account_payload(
    payload: memoryview, size: int, table: int, contexts: int, most: int
) -> Account:
    """The bytes of a block, and what its bits went to; arguments as of `decode_payload`.

    Raises:
        CorruptError: As there.
    """
    streams: list[Stream] = []
    raw = decode_payload(payload, size, table, contexts, most, streams)
    if payload[0] == FILES:
        stretches = _with_files(payload, size, iter(streams))
    else:
        stretches = streams[0].stretches(size, len(payload))
    inputs: dict[str, float] = {}
    for stream in streams:
        for name, gain in stream.inputs.items():
            inputs[name] = inputs.get(name, 0.0) + gain
    pictures = tuple(stream.picture for stream in streams if stream.picture)
    return Account(raw, stretches, "byte", inputs, pictures)


def _with_files(payload: memoryview, size: int, streams: Iterator[Stream]) -> list[Stretch]:
    """The stretches of a block with files in it."""
    places, coded, at = read_places(payload, size)
    around = size - sum(place.size for place in places)
    rest = len(payload) - at - sum(place.coded for place in places)
    between = [Stretch(around, {STORED: 8.0 * rest})] if around else []
    if coded and around:
        between = next(streams).stretches(around, rest)
    gaps = [place.gap for place in places]
    pieces = cut(between, [*gaps, around - sum(gaps)])
    stretches: list[Stretch] = []
    start = at
    for place in places:
        stretches += next(pieces)
        stretches += _of_file(payload[start : start + place.coded], place.size, streams)
        start += place.coded
    stretches += next(pieces)
    return spread(stretches, HEADERS, 8.0 * at)


def _of_file(payload: memoryview, size: int, streams: Iterator[Stream]) -> list[Stretch]:
    """The stretches of a file."""
    _, plain, coded, _ = read_file_head(payload)
    recipe = coded or plain
    if coded:
        next(streams)  # all that a recipe takes is what it is
    content = next(streams)
    title = "pixels of PNG files" if content.picture else "lines of PNG files"
    stretches = content.stretches(size, len(payload) - recipe, title)
    return spread(stretches, CORRECTIONS, 8.0 * recipe)
