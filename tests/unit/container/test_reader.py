import io
import tracemalloc
from collections.abc import Callable, Iterable

import pytest
import xxhash

from nncomp.container.layout import (
    CODED,
    STORED,
    Footer,
    Header,
    RecordHeader,
    pack_entry,
    pack_index_start,
)
from nncomp.container.reader import StreamInput, read_members
from nncomp.container.writer import MemberWriter
from nncomp.errors import (
    CorruptError,
    FormatVersionError,
    NotAnArchiveError,
    TrailingDataError,
    TruncatedError,
)

HEADER = Header(codec_id=9, codec_version=1, profile=0, memory=300, params="")
LARGEST = 1000
MIB = 1 << 20

Content = list[tuple[int, bytes]]


class Unseekable(io.RawIOBase):
    """A pipe: cannot seek, gives what it likes per read."""

    def __init__(self, data: bytes, step: int = 7) -> None:
        self._data = io.BytesIO(data)
        self._step = step

    def readable(self) -> bool:
        return True

    def readinto(self, target) -> int:
        piece = self._data.read(min(len(target), self._step))
        target[: len(piece)] = piece
        return len(piece)


def read(data: bytes, *, largest: int = LARGEST, load: bool = True) -> list[Content]:
    """Kind and payload of every record of every member."""
    contents = []
    for member in read_members(StreamInput(io.BytesIO(data))):
        records = member.records(largest, load=load)
        contents.append([(r.header.kind, bytes(r.payload or b"")) for r in records])
        assert member.footer is not None
    return contents


def stored(raw: bytes) -> tuple[RecordHeader, bytes]:
    return RecordHeader(STORED, len(raw), len(raw), xxhash.xxh3_64_intdigest(raw)), raw


def skippable(payload: bytes) -> tuple[RecordHeader, bytes]:
    size = len(payload)
    return RecordHeader(0x40, size, size, xxhash.xxh3_64_intdigest(payload)), payload


def build(
    records: Iterable[tuple[RecordHeader, bytes]],
    header: Header = HEADER,
    *,
    numbers: Iterable[int] | None = None,
    change_index: Callable[[bytes], bytes] = bytes,
    change_footer: Callable[[Footer], Footer] = lambda footer: footer,
) -> bytes:
    """A member of any records, all of its checks valid."""
    packed = header.pack()
    seed = int.from_bytes(packed[-8:], "little")
    index, body, content = pack_index_start(len(packed)), b"", b""
    records = list(records)
    for number, (record, payload) in zip(numbers or range(len(records)), records, strict=True):
        disk = record.pack(seed + number) + payload
        body += disk
        index += pack_entry(record, len(disk))
        content += b"" if record.skippable else payload
    index = change_index(index)
    index += xxhash.xxh3_64_intdigest(index).to_bytes(8, "little")
    footer = change_footer(Footer(xxhash.xxh3_64_intdigest(content), len(index)))
    return packed + body + index + footer.pack()


def test_build_is_what_the_writer_writes() -> None:
    sink = io.BytesIO()
    writer = MemberWriter(sink, HEADER)
    for raw in (b"one", b"two"):
        writer.add(raw, None)
    writer.finish()
    assert build([stored(b"one"), stored(b"two")]) == sink.getvalue()
    assert read(sink.getvalue()) == [[(STORED, b"one"), (STORED, b"two")]]


def test_members_follow_each_other() -> None:
    data = build([stored(b"one")]) + build([]) + build([stored(b"two")])
    assert read(data) == [[(STORED, b"one")], [], [(STORED, b"two")]]


@pytest.mark.parametrize("step", [1, 5, 100])
def test_streams_that_give_little_at_a_time(step: int) -> None:
    source = StreamInput(Unseekable(build([stored(b"x" * 300), stored(b"y" * 20)]), step))
    (member,) = (list(m.records(LARGEST)) for m in read_members(source))
    assert [bytes(record.payload or b"") for record in member] == [b"x" * 300, b"y" * 20]


def test_payloads_can_be_passed_over_with_and_without_seeking() -> None:
    data = build([stored(b"x" * 300), skippable(b"z" * 50), stored(b"y")])
    assert read(data, load=False) == [[(STORED, b""), (STORED, b"")]]
    member = next(read_members(StreamInput(Unseekable(data))))
    assert [record.header.raw_size for record in member.records(LARGEST, load=False)] == [300, 1]


def test_skippable_records_are_skipped() -> None:
    data = build([skippable(b"a note"), stored(b"one"), skippable(b""), stored(b"two")])
    assert read(data) == [[(STORED, b"one"), (STORED, b"two")]]


def test_damaged_skippable_record_is_corrupt() -> None:
    data = build([skippable(b"a note"), stored(b"one")])
    with pytest.raises(CorruptError, match="skippable"):
        read(data.replace(b"a note", b"a vote"))


def test_empty_is_truncated() -> None:
    with pytest.raises(TruncatedError, match="empty"):
        read(b"")


@pytest.mark.parametrize("load", [True, False])
def test_every_prefix_is_truncated(load: bool) -> None:
    data = build([stored(b"one"), skippable(b"note"), stored(b"two")])
    for size in range(len(data)):
        with pytest.raises(TruncatedError):
            read(data[:size], load=load)


@pytest.mark.parametrize("data", [b"\x1f\x8b\x08\x00", b"\x89PNG\r\n\x1a\n", b"\x00" * 100, b"n"])
def test_other_files_are_no_archives(data: bytes) -> None:
    with pytest.raises(NotAnArchiveError):
        read(data)


@pytest.mark.parametrize("tail", [b"\x00", b"\x00" * 5000, b"garbage", b"\x89NNX", b"\x89PNG\r\n"])
def test_what_follows_must_be_a_member(tail: bytes) -> None:
    data = build([stored(b"one")])
    with pytest.raises(TrailingDataError) as caught:
        read(data + tail)
    assert caught.value.offset == len(data)


def test_second_member_cut_short_is_truncated() -> None:
    data = build([stored(b"one")])
    for size in range(1, len(data)):
        with pytest.raises(TruncatedError):
            read(data + data[:size])


def test_future_version_behind_a_member_is_unsupported() -> None:
    data = build([stored(b"one")])
    with pytest.raises(FormatVersionError) as caught:
        read(data + data[:8] + b"\x02")
    assert caught.value.offset == len(data) + 8


@pytest.mark.parametrize("numbers", [[1, 0], [0, 0], [1, 2], [0, 2]])
def test_records_out_of_their_places_are_corrupt(numbers: list[int]) -> None:
    with pytest.raises(CorruptError, match="place"):
        read(build([stored(b"one"), stored(b"two")], numbers=numbers))


def test_record_of_another_archive_is_corrupt() -> None:
    other = Header(codec_id=9, codec_version=1, profile=0, memory=301, params="")
    ours, theirs = (build([stored(b"one"), stored(b"two")], header) for header in (HEADER, other))
    size = len(HEADER.pack())
    with pytest.raises(CorruptError, match="place") as caught:
        read(ours[:size] + theirs[size:])
    assert caught.value.offset == size


def test_record_above_the_largest_is_corrupt() -> None:
    read(build([stored(b"x" * LARGEST)]))
    with pytest.raises(CorruptError, match="1001 bytes"):
        read(build([stored(b"x" * (LARGEST + 1))]))


def test_empty_record_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="0 bytes"):
        read(build([stored(b"")]))


@pytest.mark.parametrize("coded_size", [10, 11, 1 << 63])
def test_coded_size_not_below_raw_size_is_corrupt(coded_size: int) -> None:
    with pytest.raises(CorruptError, match="coded bytes"):
        read(build([(RecordHeader(CODED, 10, coded_size, 0), b"x" * 10)]))


@pytest.mark.parametrize("load", [True, False])
@pytest.mark.parametrize(
    "record",
    [
        pytest.param(RecordHeader(STORED, 1 << 40, 1 << 40, 0), id="stored"),
        pytest.param(RecordHeader(CODED, 1 << 40, (1 << 40) - 1, 0), id="coded"),
        pytest.param(RecordHeader(0x7F, (1 << 64) - 1, (1 << 64) - 1, 0), id="skippable"),
    ],
)
def test_sizes_that_lie_cost_no_memory(record: RecordHeader, load: bool) -> None:
    data = build([(record, b"x" * 100)])
    for file in (io.BytesIO(data), Unseekable(data, 1000)):
        member = next(read_members(StreamInput(file)))
        tracemalloc.start()
        with pytest.raises(TruncatedError):
            list(member.records(1 << 60, load=load))
        peak = tracemalloc.get_traced_memory()[1]
        tracemalloc.stop()
        assert peak < 4 * MIB


@pytest.mark.parametrize(
    "change",
    [
        pytest.param(lambda index: index[:-1], id="shorter"),
        pytest.param(lambda index: index + b"\x03\x11", id="longer"),
        pytest.param(lambda index: index[:2] + bytes([index[2] + 1]) + index[3:], id="raw size"),
        pytest.param(lambda index: index[:3] + bytes([index[3] + 1]) + index[4:], id="disk size"),
        pytest.param(lambda index: index[:1] + bytes([index[1] + 1]) + index[2:], id="header size"),
        pytest.param(lambda index: index[:2] + index[4:6] + index[2:4], id="order"),
    ],
)
def test_index_that_disagrees_is_corrupt(change: Callable[[bytes], bytes]) -> None:
    with pytest.raises(CorruptError, match="index"):
        read(build([stored(b"one"), stored(b"four")], change_index=change))


def test_footer_that_disagrees_is_corrupt() -> None:
    with pytest.raises(CorruptError, match="footer"):
        read(build([stored(b"x")], change_footer=lambda f: Footer(f.checksum, f.index_size + 1)))


@pytest.mark.parametrize("announced", [0, 2, 4, 1 << 63])
def test_content_size_that_disagrees_is_corrupt(announced: int) -> None:
    header = Header(9, 1, 0, 300, "", content_size=announced)
    with pytest.raises(CorruptError, match=f"announces {announced} bytes"):
        read(build([stored(b"one")], header))


def test_content_size_is_exceeded_at_the_first_record_above() -> None:
    header = Header(9, 1, 0, 300, "", content_size=3)
    data = build([stored(b"one"), stored(b"two"), stored(b"x")], header)
    member = next(read_members(StreamInput(io.BytesIO(data))))
    records = member.records(LARGEST)
    next(records)
    with pytest.raises(CorruptError, match="at least 6"):
        next(records)


def test_nothing_is_kept_per_record() -> None:
    record = stored(b"x")
    data = io.BytesIO(build([record] * 5000))
    member = next(read_members(StreamInput(data)))
    records = member.records(LARGEST)
    next(records)
    tracemalloc.start()
    for _ in records:
        pass
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 100_000
