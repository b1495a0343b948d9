import io

import pytest
import xxhash

from nncomp.container import writer as writer_module
from nncomp.container.layout import Header
from nncomp.container.writer import MemberWriter, write_all
from nncomp.errors import LimitError

HEADER = Header(codec_id=9, codec_version=1, profile=0, memory=300, params="a=1")


class Trickle(io.RawIOBase):
    """A raw stream that takes three bytes at a time and cannot seek."""

    def __init__(self) -> None:
        self.got = bytearray()

    def writable(self) -> bool:
        return True

    def write(self, data) -> int:
        self.got += bytes(data[:3])
        return len(data[:3])


def test_bytes_of_a_member() -> None:
    def xxh(data: bytes, seed: int = 0) -> int:
        return xxhash.xxh3_64_intdigest(data, seed)

    def u64(number: int) -> bytes:
        return number.to_bytes(8, "little")

    def low32(number: int) -> bytes:
        return u64(number)[:4]

    header = bytes.fromhex("894e4e430d0a1a0a 01 00 0900 09 01 00 ac02 03") + b"a=1"
    seed = xxh(header)
    header += u64(seed)
    raw = [b"ten of us!", b"five."]
    first = bytes.fromhex("010a03") + u64(xxh(raw[0]))
    first += low32(xxh(first, seed)) + b"10!"
    second = bytes.fromhex("0205") + u64(xxh(raw[1]))
    second += low32(xxh(second, seed + 1)) + raw[1]
    index = bytes([0, len(header), 10, len(first), 5, len(second)])
    index += u64(xxh(index))
    footer = u64(xxh(b"".join(raw))) + len(index).to_bytes(4, "little")
    footer += low32(xxh(footer)) + b"CNN\x89"

    sink = io.BytesIO()
    writer = MemberWriter(sink, HEADER)
    writer.add(raw[0], b"10!")
    writer.add(memoryview(raw[1]), None)
    assert writer.finish() == len(sink.getvalue())
    assert sink.getvalue() == header + first + second + index + footer
    assert writer.raw_size == 15


@pytest.mark.parametrize("payload", [b"12345", b"123456", None])
def test_what_does_not_shrink_is_stored(payload: bytes | None) -> None:
    sinks = [io.BytesIO(), io.BytesIO()]
    for sink, given in zip(sinks, [payload, None], strict=True):
        MemberWriter(sink, HEADER).add(b"abcde", given)
    assert sinks[0].getvalue() == sinks[1].getvalue()


def test_buffers_of_wider_items_count_in_bytes() -> None:
    numbers = memoryview(bytes(range(16))).cast("I")
    sinks = [io.BytesIO(), io.BytesIO()]
    for sink, raw in zip(sinks, [numbers, bytes(range(16))], strict=True):
        writer = MemberWriter(sink, HEADER)
        writer.add(raw, b"short")
        writer.finish()
    assert sinks[0].getvalue() == sinks[1].getvalue()


def test_empty_record_is_refused() -> None:
    with pytest.raises(ValueError, match="at least one byte"):
        MemberWriter(io.BytesIO(), HEADER).add(b"", b"")


def test_raw_sinks_get_every_byte() -> None:
    sink, plain = Trickle(), io.BytesIO()
    for out in (sink, plain):
        writer = MemberWriter(out, HEADER)
        writer.add(b"0123456789" * 10, None)
        writer.finish()
    assert bytes(sink.got) == plain.getvalue()


def test_sinks_that_return_nothing_are_taken_at_their_word() -> None:
    class Silent:
        got = b""

        def write(self, data) -> None:
            self.got += bytes(data)

    sink = Silent()
    write_all(sink, b"0123")
    assert sink.got == b"0123"


def test_index_that_the_footer_cannot_describe_is_refused(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(writer_module, "INDEX_SIZE_MAX", 20)
    writer = MemberWriter(io.BytesIO(), HEADER)
    for _ in range(6):
        writer.add(b"abc", None)
    with pytest.raises(LimitError, match="too many records"):
        writer.finish()
