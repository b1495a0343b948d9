"""Where the bits of a payload went: of what lies around files, of recipes, of contents.

A file is coded as its pixels, whose bytes are none of the file's. So what they cost lies on
the file's bytes in their order: the first tenth of the pixels on the first tenth of the file.
That is nearly true, since a PNG file holds its pixels in their order, too, but for where
some of them shrink better than others there. What its recipe takes lies on all bytes of the
file alike, and so do the headers of a payload on all of its block.
"""

from __future__ import annotations

from contextlib import suppress
from typing import TYPE_CHECKING

from nncomp.codecs.account import HEADERS, STORED, Account, Picture, Stretch, cut, spread
from nncomp.codecs.ledger import Ledger
from nncomp.codecs.mix.layout import FILES
from nncomp.codecs.mix.payload import decode_payload, read_file_head, read_places

if TYPE_CHECKING:
    from collections.abc import Generator

    from nncomp.codecs.mix.tally import Stream

__all__ = ["CORRECTIONS", "account_payload"]

CORRECTIONS = "recipes of PNG files"
"""The part that makes files out of pixels."""

_PICTURES = 4  # that are kept


def account_payload(
    payload: memoryview, size: int, table: int, contexts: int, most: int
) -> Account:
    """The bytes of a block, and what its bits went to; arguments as of `decode_payload`.

    Raises:
        CorruptError: As there.
    """
    book = _Book(payload, size)
    raw = decode_payload(payload, size, table, contexts, most, book.note)
    return Account(raw, book.stretches(), "byte", book.inputs, tuple(book.pictures))


class _Book:
    """Takes the streams of a payload as they are decoded, and keeps little of each.

    Args:
        payload, size: As for `decode_payload`.

    Attributes:
        inputs: The contributions in all streams.
        pictures: The first of them.
    """

    def __init__(self, payload: memoryview, size: int) -> None:
        self.inputs: dict[str, float] = {}
        self.pictures: list[Picture] = []
        self._ledger = Ledger()
        files = payload[:1] == bytes([FILES])
        self._head = read_places(payload, size)[2] if files else 0
        entries = _files if files else _one_stream
        self._entries = entries(payload, size, self._ledger)
        next(self._entries)  # so that it waits for a stream

    def note(self, stream: Stream) -> None:
        """The next stream."""
        for name, gain in stream.inputs.items():
            self.inputs[name] = self.inputs.get(name, 0.0) + gain
        if stream.picture and len(self.pictures) < _PICTURES:
            self.pictures.append(stream.picture)
        with suppress(StopIteration):  # it was the last
            self._entries.send(stream)

    def stretches(self) -> list[Stretch]:
        """What all streams came to."""
        found = self._ledger.stretches()
        return spread(found, HEADERS, 8.0 * self._head) if self._head else found


def _one_stream(payload: memoryview, size: int, ledger: Ledger) -> Generator[None, Stream, None]:
    """Enters the stream that it gets."""
    stream = yield
    ledger.add(stream.stretches(size, len(payload)))


def _files(payload: memoryview, size: int, ledger: Ledger) -> Generator[None, Stream, None]:
    """Enters the streams that it gets: what lies around files, recipes, contents."""
    places, coded, start = read_places(payload, size)
    around = size - sum(place.size for place in places)
    rest = len(payload) - start - sum(place.coded for place in places)
    between = [Stretch(around, {STORED: 8.0 * rest})] if around else []
    if coded and around:
        stream = yield
        between = stream.stretches(around, rest)
    gaps = [place.gap for place in places]
    pieces = cut(between, [*gaps, around - sum(gaps)])
    for place in places:
        ledger.add(next(pieces))
        file = payload[start : start + place.coded]
        _, plain, recipe, _ = read_file_head(file)
        if recipe:
            yield  # all that a recipe takes is what it is
        stream = yield
        title = "pixels of PNG files" if stream.picture else "lines of PNG files"
        apart = recipe or plain
        stretches = stream.stretches(place.size, place.coded - apart, title)
        ledger.add(spread(stretches, CORRECTIONS, 8.0 * apart))
        start += place.coded
    ledger.add(next(pieces))
