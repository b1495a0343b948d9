"""A PNG file as its pixels and a recipe that makes the file of them again, byte by byte.

    file <-- chunks <-- deflate stream <-- filtered lines <-- pixels

The recipe, read by `put_together`:

    u8 flags            1: content is pixels, else lines as they were; 2: types as
                        differences, modulo 5, to `least_types`
    varint n, n bytes   plan of the deflate stream, see `deflate.plan`
    2 bytes             header of the zlib stream (RFC 1950)
    varint n, sizes     of IDAT chunks: of all but the last and of the last, or 0 and n sizes
    chunks, chunks      before and behind them: varint n, then varint size, type, content of each
    u8[height]          types of filters, if the content is pixels

CRCs and the Adler-32 are right, or the file is not taken apart.
"""

from __future__ import annotations

import zlib
from typing import Any, NamedTuple

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.deflate.encoder import plain
from nncomp.coding.deflate.plan import make_plan, make_stream
from nncomp.coding.png.chunks import (
    CHUNKS_MAX,
    DATA,
    HEADER,
    SIGNATURE,
    Chunk,
    Header,
    pack_chunk,
    read_chunks,
)
from nncomp.coding.png.filters import FILTERS, filter_lines, least_types, unfilter_lines
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import CorruptError

__all__ = ["Parts", "put_together", "take_apart"]

Array = NDArray[Any]

_PIXELS, _DIFFERENCES = 1, 2  # flags
_ZLIB_HEADER, _ADLER = 2, 4  # bytes around a deflate stream
_TYPE = 4  # bytes of the type of a chunk


class Parts(NamedTuple):
    """A PNG file taken apart.

    Attributes:
        content: uint8[n], pixels row by row, or lines as the stream has them.
        recipe: What is needed beside them.
        header: Of the picture; None if the content is lines.
        size: Bytes of the file.
    """

    content: Array
    recipe: bytes
    header: Header | None
    size: int


class _Recipe(NamedTuple):
    """What a recipe says."""

    plan: bytes
    zlib_header: bytes
    regular: int
    sizes: list[int]
    before: list[Chunk]
    behind: list[Chunk]
    types: Array | None


def take_apart(data: memoryview, most: int) -> Parts | None:
    """The parts of a PNG file, of which it was made sure that they make it again.

    Args:
        data: Begins with the file, and may go on behind its end.
        most: The most bytes that the lines may have.

    Returns:
        None if it is no PNG, if it is damaged, or if its stream cannot be foretold.
    """
    if data[: len(SIGNATURE)] != SIGNATURE:
        return None
    chunks, size = read_chunks(data)
    kinds = [chunk.type for chunk in chunks]
    if DATA not in kinds or kinds[0] != HEADER:
        return None
    first, count = kinds.index(DATA), kinds.count(DATA)
    stream = bytearray().join(chunk.content for chunk in chunks[first : first + count])
    lines = _inflated(stream, most)
    if lines is None:
        return None
    deflated = np.frombuffer(stream, np.uint8)[_ZLIB_HEADER:-_ADLER]
    plan = make_plan(deflated, lines, (stream[0] >> 4) + 8)
    if plan is None:
        return None
    content, types, header = _unfiltered(lines, chunks[0])
    recipe = _Recipe(
        plan,
        bytes(stream[:_ZLIB_HEADER]),
        *_told_sizes([len(chunk.content) for chunk in chunks[first : first + count]]),
        chunks[:first],
        chunks[first + count :],
        types,
    )
    packed = _pack(recipe, content)
    told = _unpack(packed, content)
    if not np.array_equal(_lines(content, told), lines) or _file(told, stream) != data[:size]:
        return None
    return Parts(content, packed, header, size)


def put_together(content: Array, recipe: bytes, size: int) -> bytes:
    """The file of these parts.

    Args:
        content: uint8[n].
        recipe: As `take_apart` gives it.
        size: Bytes that the file has.

    Raises:
        CorruptError: They make no file, or one of another size.
    """
    told = _unpack(recipe, content)
    lines = _lines(content, told)
    stream = b"".join([told.zlib_header, make_stream(told.plan, lines), _adler(lines)])
    pieces = len(told.sizes) or -(-len(stream) // told.regular)
    if pieces > CHUNKS_MAX or (told.sizes and sum(told.sizes) != len(stream)):
        raise CorruptError(f"a deflate stream of {len(stream)} bytes is in {pieces} pieces")
    file = _file(told, stream)
    if len(file) != size:
        raise CorruptError(f"a PNG file came out with {len(file)} bytes in place of {size}")
    return file


def _inflated(stream: bytearray, most: int) -> Array | None:
    """What a zlib stream decodes to, if it does to its end and is no larger than that."""
    if len(stream) <= _ZLIB_HEADER + _ADLER:
        return None
    decoder = zlib.decompressobj(-15)
    try:
        lines = decoder.decompress(memoryview(stream)[_ZLIB_HEADER:], most + 1)
    except zlib.error:
        return None
    content = np.frombuffer(lines, np.uint8)
    if len(lines) > most or not decoder.eof or decoder.unused_data != _adler(content):
        return None
    return plain(content)


def _adler(content: Array) -> bytes:
    return zlib.adler32(content.data).to_bytes(_ADLER, "big")


def _unfiltered(lines: Array, first: Chunk) -> tuple[Array, Array | None, Header | None]:
    """Pixels, types of filters and the header; or the lines alone if they are not plain."""
    header = Header.read(first.content)
    if header is None or not header.plain or len(lines) != header.height * (header.row + 1):
        return lines, None, None
    table = lines.reshape(header.height, header.row + 1)
    types = table[:, 0].copy()
    if types.max() >= FILTERS:
        return lines, None, None
    return unfilter_lines(table, header.step).ravel(), types, header


def _expected(content: Array, first: Chunk) -> Array:
    """The types of filters that libpng would take for these pixels."""
    header = _picture(content, first)
    return least_types(content.reshape(header.height, header.row), header.step)


def _picture(content: Array, first: Chunk) -> Header:
    """The header of a picture that has these pixels."""
    header = Header.read(first.content)
    if header is None or len(content) != header.height * header.row:
        raise CorruptError("pixels are not as many as the header of their PNG file says")
    return header


def _lines(content: Array, recipe: _Recipe) -> Array:
    """Content as the deflate stream has it, uint8[n]."""
    if recipe.types is None:
        return content
    header = _picture(content, recipe.before[0])
    pixels = content.reshape(header.height, header.row)
    return filter_lines(pixels, recipe.types, header.step).ravel()


def _file(recipe: _Recipe, stream: bytearray | bytes) -> bytes:
    """All of the file, with its stream."""
    view = memoryview(stream)
    sizes = recipe.sizes or [recipe.regular] * -(-len(stream) // recipe.regular)
    pieces, at = [SIGNATURE, *(pack_chunk(*chunk) for chunk in recipe.before)], 0
    for size in sizes:
        pieces.append(pack_chunk(DATA, view[at : at + size]))
        at += size
    pieces += [pack_chunk(*chunk) for chunk in recipe.behind]
    return b"".join(pieces)


def _pack(recipe: _Recipe, content: Array) -> bytes:
    """The bytes of a recipe."""
    flags, types = 0, recipe.types
    if types is not None:
        flags = _PIXELS
        differences = (types + FILTERS - _expected(content, recipe.before[0])) % FILTERS
        if np.count_nonzero(differences) < np.count_nonzero(np.diff(types)):
            flags, types = flags | _DIFFERENCES, differences
    pieces: list[memoryview | bytes] = [bytes([flags]), pack_varint(len(recipe.plan)), recipe.plan]
    pieces.append(recipe.zlib_header)
    sizes = [] if recipe.regular else [len(recipe.sizes), *recipe.sizes]
    pieces += [pack_varint(size) for size in (recipe.regular, *sizes)]
    for chunks in (recipe.before, recipe.behind):
        pieces.append(pack_varint(len(chunks)))
        for chunk in chunks:
            pieces += [pack_varint(len(chunk.content)), chunk.type, chunk.content]
    return b"".join([*pieces, b"" if types is None else types.tobytes()])


def _unpack(packed: bytes, content: Array) -> _Recipe:
    """Read what `_pack` makes."""
    text = Text(packed, 0)
    flags = text.take(1)[0]
    plan = text.take(unpack_varint(text))
    zlib_header = text.take(_ZLIB_HEADER)
    regular, sizes = _read_sizes(text)
    before, behind = _read_chunks(text), _read_chunks(text)
    types = None
    if flags & _PIXELS:
        if not before:
            raise CorruptError("a PNG file has no header", offset=text.offset)
        types = np.frombuffer(text.take(_picture(content, before[0]).height), np.uint8)
        if flags & _DIFFERENCES:
            types = (types + _expected(content, before[0])) % FILTERS
        elif types.max() >= FILTERS:
            raise CorruptError("a PNG file has a filter of no known type", offset=text.offset)
    if text.left:
        raise CorruptError("the recipe of a PNG file goes on behind its end", offset=text.offset)
    return _Recipe(plan, zlib_header, regular, sizes, before, behind, types)


def _told_sizes(sizes: list[int]) -> tuple[int, list[int]]:
    """The size of all chunks but the last, or 0 and all sizes."""
    regular = sizes[0]
    if set(sizes[:-1]) <= {regular} and 0 < sizes[-1] <= regular:
        return regular, []
    return 0, sizes


def _read_sizes(text: Text) -> tuple[int, list[int]]:
    """Read what `_told_sizes` gives."""
    regular = unpack_varint(text)
    if regular:
        return regular, []
    sizes = [unpack_varint(text) for _ in range(_count(text))]
    if not sizes:
        raise CorruptError("a PNG file has no chunks for its stream", offset=text.offset)
    return 0, sizes


def _read_chunks(text: Text) -> list[Chunk]:
    """The chunks on one side of the pixels."""
    chunks = []
    for _ in range(_count(text)):
        size = unpack_varint(text)
        chunks.append(Chunk(text.take(_TYPE), text.take(size)))
    return chunks


def _count(text: Text) -> int:
    """How many entries follow."""
    count = unpack_varint(text)
    if count > CHUNKS_MAX:
        raise CorruptError(f"a PNG file has {count} chunks", offset=text.offset)
    return count
