import pytest
import xxhash

from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.container.layout import (
    CODED,
    MAGIC,
    STORED,
    Footer,
    Header,
    RecordHeader,
)
from nncomp.errors import CorruptError, FormatVersionError

HEADER = Header(codec_id=1, codec_version=1, profile=0, memory=300, params="block=65536")


def unpack_header(data: bytes) -> Header:
    assert data.startswith(MAGIC)
    return Header.unpack(Text(data[len(MAGIC) :], len(MAGIC)))


def sealed(fields: bytes) -> bytes:
    """A header with a valid checksum over whatever `fields` are."""
    return fields + xxhash.xxh3_64_intdigest(fields).to_bytes(8, "little")


def header_of(body: bytes, flags: int = 0, version: int = 1) -> bytes:
    return sealed(MAGIC + bytes([version, flags]) + len(body).to_bytes(2, "little") + body)


@pytest.mark.parametrize(
    ("number", "packed"),
    [
        (0, "00"),
        (1, "01"),
        (127, "7f"),
        (128, "8001"),
        (300, "ac02"),
        (16383, "ff7f"),
        (16384, "808001"),
        ((1 << 64) - 1, "ffffffffffffffffff01"),
    ],
)
def test_varint_bytes(number: int, packed: str) -> None:
    assert pack_varint(number).hex() == packed
    assert unpack_varint(Text(bytes.fromhex(packed), 0)) == number


@pytest.mark.parametrize(
    "packed",
    ["8000", "ff00", "80808000", "ffffffffffffffffff02", "ffffffffffffffffff7f", "80" * 10 + "01"],
)
def test_varint_overlong_or_above_64_bits_is_corrupt(packed: str) -> None:
    with pytest.raises(CorruptError):
        unpack_varint(Text(bytes.fromhex(packed), 0))


@pytest.mark.parametrize("number", [-1, 1 << 64])
def test_varint_refuses_what_it_cannot_write(number: int) -> None:
    with pytest.raises(ValueError, match="outside"):
        pack_varint(number)


def test_header_bytes() -> None:
    body = "010100ac020b" + b"block=65536".hex()
    start = "894e4e430d0a1a0a01001100" + body
    assert HEADER.pack().hex() == start + "b43ea8bf4fbb380d"


@pytest.mark.parametrize("size", [None, 0, 5, (1 << 64) - 1])
@pytest.mark.parametrize("digest", [None, bytes(range(32))])
@pytest.mark.parametrize("params", ["", "a=1,b=2", "x" * 60000])
def test_header_comes_back(size: int | None, digest: bytes | None, params: str) -> None:
    header = Header(2**32, 7, 1, 1 << 50, params, content_size=size, weights_digest=digest)
    assert unpack_header(header.pack()) == header


@pytest.mark.parametrize("params", ["ä", "a\nb", "a\x7f", "x" * 65536])
def test_header_refuses_parameters_it_cannot_write(params: str) -> None:
    with pytest.raises(ValueError, match=r"ascii|ASCII|above"):
        Header(1, 1, 0, 0, params).pack()


@pytest.mark.parametrize("version", [0, 2, 255])
def test_other_version_is_refused_before_anything_else(version: int) -> None:
    # Nothing after the version makes sense, and it must not matter.
    with pytest.raises(FormatVersionError, match=f"version {version}") as caught:
        unpack_header(MAGIC + bytes([version]))
    assert caught.value.offset == 8


@pytest.mark.parametrize("bit", range(2, 8))
def test_reserved_flag_is_unsupported_if_meant_and_corrupt_if_damaged(bit: int) -> None:
    packed = HEADER.pack()
    flipped = packed[:9] + bytes([1 << bit]) + packed[10:]
    with pytest.raises(CorruptError):
        unpack_header(flipped)
    with pytest.raises(FormatVersionError, match="flags"):
        unpack_header(sealed(flipped[:-8]))


@pytest.mark.parametrize(
    "body",
    [
        pytest.param(b"\x01\x01\x00\x05\x03ab", id="text longer than the body"),
        pytest.param(b"\x01\x01\x00\x05\x01ab", id="body longer than the text"),
        pytest.param(b"\x01\x01\x00", id="fields missing"),
        pytest.param(b"", id="empty"),
        pytest.param(b"\x01\x01\x00\x85\x00\x00", id="overlong number"),
        pytest.param(b"\x01\x01\x00\x05\x02a\n", id="control character"),
        pytest.param(b"\x01\x01\x00\x05\x02a\xff", id="not ASCII"),
        pytest.param(b"\x01\x01\x00\x05\xff\xff\xff\xff\xff\xff\xff\xff\xff\x01", id="huge text"),
    ],
)
def test_malformed_body_under_a_valid_checksum_is_corrupt(body: bytes) -> None:
    with pytest.raises(CorruptError) as caught:
        unpack_header(header_of(body))
    assert caught.value.offset is not None


def test_header_cut_short_in_the_digest_is_corrupt() -> None:
    with pytest.raises(CorruptError):
        unpack_header(header_of(b"\x01\x01\x00\x05" + bytes(31), flags=2))


@pytest.mark.parametrize(
    ("record", "packed"),
    [
        (RecordHeader(STORED, 300, 300, 0x0102030405060708), "02ac020807060504030201"),
        (RecordHeader(CODED, 300, 5, 0x0102030405060708), "01ac02050807060504030201"),
        (RecordHeader(0x40, 5, 5, 0), "40050000000000000000"),
        (RecordHeader(0x80, 5, 9, 0), "8005090000000000000000"),
    ],
)
def test_record_header_bytes(record: RecordHeader, packed: str) -> None:
    seed = 77
    check = xxhash.xxh3_64_intdigest(bytes.fromhex(packed), seed) & 0xFFFFFFFF
    data = record.pack(seed)
    assert data.hex() == packed + check.to_bytes(4, "little").hex()


def test_record_header_comes_back_in_its_place_only() -> None:
    record = RecordHeader(CODED, 1 << 20, 1000, 42)
    packed = record.pack(seed=5)
    assert RecordHeader.unpack(packed[0], Text(packed[1:], 1), seed=5) == record
    with pytest.raises(CorruptError, match="place"):
        RecordHeader.unpack(packed[0], Text(packed[1:], 1), seed=6)


@pytest.mark.parametrize("kind", [0x03, 0x3F, 0x80, 0xFF])
def test_reserved_kind_is_unsupported_if_meant_and_corrupt_if_damaged(kind: int) -> None:
    packed = RecordHeader(kind, 10, 5, 42).pack(seed=1)
    with pytest.raises(FormatVersionError, match="record kind"):
        RecordHeader.unpack(kind, Text(packed[1:], 1), seed=1)
    with pytest.raises(CorruptError):
        RecordHeader.unpack(kind ^ 0x80, Text(packed[1:], 1), seed=1)


def test_footer_bytes() -> None:
    packed = Footer(checksum=0x0102030405060708, index_size=300).pack()
    assert packed.hex() == "08070605040302012c010000d928277c434e4e89"
    assert Footer.unpack(Text(packed, 0)) == Footer(0x0102030405060708, 300)


@pytest.mark.parametrize("byte", range(20))
def test_footer_notices_every_damaged_byte(byte: int) -> None:
    packed = bytearray(Footer(checksum=1 << 60, index_size=300).pack())
    packed[byte] ^= 0x10
    with pytest.raises(CorruptError):
        Footer.unpack(Text(bytes(packed), 0))
