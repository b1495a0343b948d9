import io
from collections.abc import Callable

import pytest
import xxhash

from nncomp.container.layout import (
    FOOTER_SIZE,
    STORED,
    Footer,
    Header,
    RecordHeader,
    pack_index_start,
    pack_varint,
)
from nncomp.container.seeking import SeekableArchive
from nncomp.container.writer import MemberWriter
from nncomp.errors import (
    CorruptError,
    FormatVersionError,
    LimitError,
    NotAnArchiveError,
    TrailingDataError,
    TruncatedError,
)

HEADER = Header(codec_id=9, codec_version=1, profile=0, memory=300, params="")
RAW = [b"one", b"four" * 10, b"x" * 300]
LIMIT = 1 << 20


def member(raw: list[bytes], header: Header = HEADER) -> bytes:
    sink = io.BytesIO()
    writer = MemberWriter(sink, header)
    for piece in raw:
        writer.add(piece, None)
    writer.finish()
    return sink.getvalue()


def reindexed(data: bytes, change: Callable[[bytes], bytes]) -> bytes:
    """The member `data` with another index, its checksum and the footer valid."""
    footer = data[-FOOTER_SIZE:]
    size = int.from_bytes(footer[8:12], "little")
    index = change(data[-FOOTER_SIZE - size : -FOOTER_SIZE - 8])
    index += xxhash.xxh3_64_intdigest(index).to_bytes(8, "little")
    new_footer = Footer(int.from_bytes(footer[:8], "little"), len(index)).pack()
    return data[: -FOOTER_SIZE - size] + index + new_footer


def archive(data: bytes) -> SeekableArchive:
    return SeekableArchive(io.BytesIO(data))


def test_members_are_found_from_the_end() -> None:
    parts = [member(RAW), member([]), member(RAW[:1])]
    found = archive(b"".join(parts)).members()
    assert [m.size for m in found] == [len(part) for part in parts]
    assert [m.offset for m in found] == [0, len(parts[0]), len(parts[0]) + len(parts[1])]
    assert [m.raw_size for m in found] == [343, 0, 3]
    assert [m.records for m in found] == [3, 0, 1]
    assert [m.checksum for m in found] == [
        xxhash.xxh3_64_intdigest(content) for content in (b"".join(RAW), b"", b"one")
    ]
    assert all(m.header == HEADER for m in found)


def test_archive_starts_where_the_file_stands() -> None:
    file = io.BytesIO(b"junk" + member(RAW))
    file.seek(4)
    (found,) = SeekableArchive(file).members()
    assert found.offset == 0


def test_records_are_not_touched() -> None:
    data = bytearray(member(RAW))
    data[60] ^= 1
    assert archive(bytes(data)).members()[0].raw_size == 343


def test_index_finds_the_record_of_every_byte() -> None:
    data = archive(member(RAW))
    (found,) = data.members()
    index = data.index(found, LIMIT)
    expected = [number for number, raw in enumerate(RAW) for _ in raw]
    assert [index.find(position) for position in range(343)] == expected
    assert [index.raw_start(number) for number in range(3)] == [0, 3, 43]
    assert [index.raw_size(number) for number in range(4)] == [3, 40, 300, 0]


@pytest.mark.parametrize("number", [0, 1, 2])
def test_records_from_any_on(number: int) -> None:
    data = archive(member(RAW) + member([b"z"]))
    found = data.members()[0]
    records = data.records(found, data.index(found, LIMIT), number, largest=1000)
    assert [bytes(record.payload or b"") for record in records] == RAW[number:]


def test_index_above_the_memory_limit_is_refused() -> None:
    data = archive(member(RAW))
    (found,) = data.members()
    data.index(found, 48)
    with pytest.raises(LimitError, match="3 records takes 48 bytes"):
        data.index(found, 47)


def test_every_prefix_is_truncated() -> None:
    data = member(RAW[:2])
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            archive(data[:size]).members()


def test_every_prefix_of_a_second_member_is_truncated() -> None:
    data = member(RAW[:1])
    for size in range(1, len(data)):
        with pytest.raises(TruncatedError):
            archive(data + data[:size]).members()


@pytest.mark.parametrize(
    ("tail", "error"),
    [(b"\x00", TrailingDataError), (b"\x00" * 500, TrailingDataError), (b"CNN\x89" * 9, None)],
)
def test_trailing_data_is_named(tail: bytes, error: type[Exception] | None) -> None:
    with pytest.raises(error or TrailingDataError) as caught:
        archive(member(RAW) + tail).members()
    assert caught.value.offset == len(member(RAW))


def test_other_files_are_no_archives() -> None:
    with pytest.raises(NotAnArchiveError):
        archive(b"\x1f\x8b" + bytes(500)).members()


def test_future_version_is_named() -> None:
    data = bytearray(member(RAW))
    data[8] = 2
    with pytest.raises(FormatVersionError):
        archive(bytes(data)).members()


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda index: index[:-1], id="half an entry"),
        pytest.param(lambda index: index[:1], id="no header size"),
        pytest.param(lambda index: b"\x01" + index[1:], id="kind"),
        pytest.param(lambda index: index + b"\x03\x11", id="one record more"),
        pytest.param(lambda index: index + b"\x03\x0d", id="record without a header"),
        pytest.param(lambda index: index[:2] + b"\x83\x00" + index[3:], id="overlong number"),
        pytest.param(lambda index: index[:-4], id="one record less"),
        pytest.param(
            lambda index: index + pack_varint(3) + pack_varint(1 << 63), id="larger than the file"
        ),
    ],
)
def test_index_that_does_not_fit_is_corrupt(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CorruptError, match=r"index|number|record header"):
        archive(reindexed(member(RAW), change)).members()


def test_content_of_more_than_64_bits_is_corrupt() -> None:
    record = RecordHeader(STORED, 3, 3, 0).pack(0) + b"one"
    header = HEADER.pack()
    index = pack_index_start(len(header)) + (pack_varint((1 << 64) - 1) + b"\x11") * 2
    index += xxhash.xxh3_64_intdigest(index).to_bytes(8, "little")
    data = header + record * 2 + index + Footer(0, len(index)).pack()
    with pytest.raises(CorruptError):
        archive(data).members()


def test_index_larger_than_the_archive_is_corrupt() -> None:
    data = member(RAW)
    footer = Footer(0, (1 << 32) - 1).pack()
    with pytest.raises(CorruptError):
        archive(data[:-FOOTER_SIZE] + footer).members()


def test_content_size_of_the_header_must_be_that_of_the_index() -> None:
    right, wrong = (
        member([b"one"], Header(9, 1, 0, 300, "", content_size=size)) for size in (3, 4)
    )
    assert archive(right).members()[0].raw_size == 3
    with pytest.raises(CorruptError, match="announces 4"):
        archive(wrong).members()


def test_record_that_is_not_the_one_of_the_index_is_corrupt() -> None:
    # Sizes of the first two records changed such that the sum stays.
    data = reindexed(
        member([b"one", b"four"]), lambda index: index[:2] + b"\x04\x11\x03\x12" + index[6:]
    )
    opened = archive(data)
    (found,) = opened.members()
    records = opened.records(found, opened.index(found, LIMIT), 0, largest=1000)
    with pytest.raises(CorruptError, match="disagrees with the index"):
        list(records)
