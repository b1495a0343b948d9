"""Streams are cut into records and pieces without a gap, whatever their formats claim."""

import io
import zipfile
from collections.abc import Iterator

import numpy as np
import pytest

from nncomp.codecs.tensor.dtypes import DTYPES
from nncomp.codecs.tensor.layouts import BITS, BYTEWISE, FIELDS, PLAIN, ROTATED, ZIGZAG
from nncomp.codecs.tensor.records import Options, Record, cut
from nncomp.codecs.tensor.segments import Piece

RANDOM = np.random.default_rng(14)
BLOCK = 64 << 10
WEIGHTS = RANDOM.normal(0, 0.02, 100_000).astype("<f4")
BF16 = (WEIGHTS.view("<u4") >> 16).astype("<u2")


def records(data: bytes, chunk: int = 10_000, **options: object) -> list[Record]:
    """The records, checked against the content."""
    chunks = (data[start : start + chunk] for start in range(0, len(data), chunk))
    found = list(cut(chunks, Options(**{"block": BLOCK, **options})))
    assert b"".join(bytes(record.raw) for record in found) == data
    for record in found:
        assert 0 < len(record.raw) <= options.get("block", BLOCK)
        assert sum(piece.size for piece in record.pieces) == len(record.raw)
        assert all(piece.size > 0 for piece in record.pieces)
    return found


def pieces(data: bytes, **options: object) -> list[Piece]:
    return [piece for record in records(data, **options) for piece in record.pieces]


def layouts(data: bytes, **options: object) -> list[tuple[int, int]]:
    """Family and width of the pieces, equal ones in a row once."""
    found = [(piece.layout.family, piece.layout.width) for piece in pieces(data, **options)]
    return [one for k, one in enumerate(found) if not k or one != found[k - 1]]


def test_nothing() -> None:
    assert records(b"") == []
    assert records(b"", dtype=DTYPES["F32"]) == []


@pytest.mark.parametrize("size", [1, 2, 3, 7, 8, 9, BLOCK - 1, BLOCK, BLOCK + 1, 3 * BLOCK + 5])
@pytest.mark.parametrize("dtype", [None, "F64", "BF16", "BOOL"])
def test_sizes(dtype: str | None, size: int) -> None:
    data = WEIGHTS.tobytes()[:size]
    for chunk in (999, BLOCK, 1 << 20):
        found = records(data, chunk, dtype=DTYPES[dtype] if dtype else None)
        assert all(len(record.raw) > BLOCK - 8 for record in found[:-1])


def test_tensors_of_a_file_get_their_layouts(safetensors) -> None:
    raw = WEIGHTS.tobytes()
    file = safetensors(
        {
            "a": ("BF16", (30_000,), BF16[:30_000].tobytes()),
            "b": ("I16", (500,), raw[:1000]),
            "c": ("BOOL", (8000,), bytes(8000)),
            "d": ("F32", (50_000,), raw[:200_000]),
            "e": ("U8", (77,), raw[:77]),
        }
    )
    assert layouts(file, probing=False) == [
        (PLAIN, 1),
        (ROTATED, 2),
        (ZIGZAG, 2),
        (BITS, 1),
        (ROTATED, 4),
        (PLAIN, 1),
    ]
    assert layouts(file, probing=False, sign=False)[1] == (PLAIN, 2)
    assert layouts(file, probing=False, groups=5) == [(PLAIN, 5)]


def test_elements_are_whole_in_every_record(safetensors) -> None:
    sizes = [1001, 33_333, 2, 40_000]
    shapes = {f"t{n}": ("F32", (n,), WEIGHTS[:n].tobytes()) for n in sizes}
    for piece in pieces(safetensors(shapes)):
        assert piece.layout == BYTEWISE or piece.size % 4 == 0


def test_rows_are_whole_where_that_is_asked_for(safetensors) -> None:
    matrix = ("BF16", (100, 1000), BF16.tobytes())
    file = safetensors({"m": matrix})
    whole = [piece for piece in pieces(file, rows=True) if piece.layout != BYTEWISE]
    assert {piece.row for piece in whole} == {1000}
    assert all(piece.size % 2000 == 0 for piece in whole)
    assert not any(piece.row for piece in pieces(file))
    # A row that is longer than records may be cut to is none.
    wide = safetensors({"m": ("BF16", (2, 50_000), BF16.tobytes())})
    assert not any(piece.row for piece in pieces(wide, rows=True))


def test_blocks_of_gguf_are_whole(gguf_file) -> None:
    raw = RANDOM.bytes(18 * 10_000)
    found = pieces(gguf_file("w", 2, 320_000, raw))
    assert {piece.layout.family for piece in found} == {PLAIN, FIELDS}
    assert all(piece.size % 18 == 0 for piece in found if piece.layout.family == FIELDS)


def test_bytes_in_a_row_are_one_piece(safetensors) -> None:
    small = {f"t{k}": ("U8", (3,), b"abc") for k in range(50)}
    assert len(pieces(safetensors(small), probing=False)) == 2


def files(safetensors, gguf_file) -> Iterator[bytes]:
    """A small file of every format."""
    tensors = {"a": ("F32", (300,), WEIGHTS[:300].tobytes()), "b": ("I8", (5,), b"12345")}
    yield safetensors(tensors)
    yield gguf_file("blk.0.weight", 2, 320, RANDOM.bytes(180))
    for save in (np.save, np.savez):
        sink = io.BytesIO()
        save(sink, WEIGHTS[:300])
        yield sink.getvalue()
    sink = io.BytesIO()
    with zipfile.ZipFile(sink, "w") as archive:
        archive.writestr("archive/data/0", WEIGHTS[:300].tobytes())
        archive.writestr("archive/version", "3")
    yield sink.getvalue()


def test_damaged_files_come_back_as_they_were(zipnn, safetensors, gguf_file) -> None:
    params = zipnn.params(block="64K")
    for file in files(safetensors, gguf_file):
        zipnn.round_trip(file)
        for number in range(60):
            damaged = bytearray(file)
            for _ in range(RANDOM.integers(1, 4)):
                at = RANDOM.integers(min(len(file), 200 if number % 2 else len(file)))
                damaged[at] = RANDOM.choice([0, 1, 0x20, 0x30, 0x39, 0x7F, 0xFF, damaged[at] ^ 1])
            if number % 3 == 0:
                del damaged[RANDOM.integers(len(damaged)) :]
            if number % 5 == 0:
                damaged += file
            blocks = zipnn.encode([damaged], params)
            assert zipnn.decode(blocks, params) == damaged
