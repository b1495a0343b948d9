"""Sections and marks: exact bytes, every truncation, sizes that lie, marks that differ."""

from __future__ import annotations

import struct

import pytest
import xxhash
from hypothesis import given
from hypothesis import strategies as st

from nncomp.codecs.neural.sections import SectionReader, SectionWriter, section_steps
from nncomp.errors import CorruptError

DECODED = [b"first section", b"second", b"third and last"]
CODED = [b"\x01\x02\x03", b"", b"\xff" * 5]


def write(decoded: list[bytes], coded: list[bytes]) -> bytes:
    writer = SectionWriter()
    for i, (raw, code) in enumerate(zip(decoded, coded, strict=True)):
        writer.update(raw)
        writer.add(code, last=i == len(coded) - 1)
    return writer.payload()


def read(payload: bytes, decoded: list[bytes]) -> list[bytes]:
    """The coded bytes of all sections, whose decoded bytes would be `decoded`."""
    reader = SectionReader(memoryview(payload))
    coded = []
    for i, raw in enumerate(decoded):
        coded.append(bytes(reader.next(last=i == len(decoded) - 1)))
        reader.update(raw[:2])
        reader.update(raw[2:])
        reader.check()
    return coded


def mark(data: bytes) -> int:
    return xxhash.xxh3_64_intdigest(data) & 0xFFFFFFFF


def test_exact_bytes() -> None:
    want = struct.pack("<II", 3, mark(b"first section")) + b"\x01\x02\x03"
    want += struct.pack("<II", 0, mark(b"first sectionsecond"))
    assert write(DECODED, CODED) == want + b"\xff" * 5


@given(st.lists(st.tuples(st.binary(max_size=50), st.binary(max_size=20)), min_size=1, max_size=6))
def test_round_trip(sections: list[tuple[bytes, bytes]]) -> None:
    decoded, coded = [raw for raw, _ in sections], [code for _, code in sections]
    assert read(write(decoded, coded), decoded) == coded


def test_every_truncation_before_the_last_section_is_noticed() -> None:
    """The last one runs to the end: there the coder and the record's checksum notice."""
    payload = write(DECODED, CODED)
    for size in range(len(payload) - len(CODED[-1])):
        with pytest.raises(CorruptError, match=r"ends within|claims"):
            read(payload[:size], DECODED)
    assert read(payload[:-2], DECODED) == [*CODED[:2], b"\xff" * 3]


@pytest.mark.parametrize("size", [4, 17, 2**31, 2**32 - 1])
def test_a_size_beyond_the_payload(size: int) -> None:
    payload = struct.pack("<II", size, 0) + b"abc"
    reader = SectionReader(memoryview(payload))
    with pytest.raises(CorruptError, match=rf"claims {size} bytes where the payload has 3 more"):
        reader.next(last=False)


def test_every_flipped_bit_of_a_mark_is_noticed() -> None:
    payload = write(DECODED, CODED)
    for bit in range(32):
        damaged = bytearray(payload)
        damaged[4 + bit // 8] ^= 1 << bit % 8
        with pytest.raises(CorruptError, match="within the 13 bytes of this record"):
            read(bytes(damaged), DECODED)


def test_other_decoded_bytes_are_noticed_at_the_end_of_their_section() -> None:
    payload = write(DECODED, CODED)
    with pytest.raises(CorruptError, match="within the 13 bytes"):
        read(payload, [b"First section", *DECODED[1:]])
    with pytest.raises(CorruptError, match="within the 19 bytes"):
        read(payload, [DECODED[0], b"Second", DECODED[2]])


@given(lanes=st.integers(1, 4096), segment=st.integers(1, 256))
def test_sections_are_whole_segments_of_64_kib_or_little_more(lanes: int, segment: int) -> None:
    steps = section_steps(lanes, segment)
    assert steps % segment == 0
    assert 1 << 16 <= steps * lanes < (1 << 16) + lanes * segment
