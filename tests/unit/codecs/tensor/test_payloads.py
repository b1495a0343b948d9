"""Payloads made by hand: each lie by name, and what no name has been thought of for."""

import tracemalloc
from collections.abc import Iterator

import lz4.block
import numpy as np
import pytest
import snappy
import zstandard

from nncomp.codecs.base import Block, Context
from nncomp.codecs.tensor.zipnn import ZIPNN
from nncomp.coding.varint import pack_varint
from nncomp.errors import CorruptError

MIB = 1 << 20
RAW, CONSTANT, ZSTD, LZ4, SNAPPY, SPARSE, ROWS, ANS = range(8)
PLAIN, ROTATED, ZIGZAG, BITS, PALETTE, FIELDS = range(6)
DELTA, ZERO_MAP = 0x40, 0x80
NOISE = np.random.default_rng(1).bytes(4096)


def decode(payload: bytes, size: int, base=None) -> bytes:
    params = {p.name: p.default for p in ZIPNN.params}
    if base is not None:
        params["base"] = base.digest
    return b"".join(ZIPNN.decode([Block(size, payload)], params, Context(base=base)))


def segment(size: int, code: int, *rest: bytes) -> bytes:
    return pack_varint(size) + bytes([code]) + b"".join(rest)


def raw(*content: int) -> bytes:
    return bytes([RAW, *content])


def constant(byte: int) -> bytes:
    return bytes([CONSTANT, byte])


def coded(method: int, content: bytes) -> bytes:
    return bytes([method]) + pack_varint(len(content)) + content


def zstd_frame(content: bytes) -> bytes:
    settings = zstandard.ZstdCompressionParameters(write_content_size=False)
    return zstandard.ZstdCompressor(compression_params=settings).compress(content)[6:]


class Base:
    """Bytes as a base."""

    def __init__(self, content: bytes) -> None:
        self.content = content
        self.size = len(content)
        self.digest = "0123456789abcdef"

    def read(self, offset: int, size: int) -> bytes:
        assert offset + size <= self.size
        return self.content[offset : offset + size]


BASE = Base(bytes(range(10)))

# What FORMAT.md says, by hand: payload and what it decodes to.
VALID = {
    "plain bytes": (segment(3, PLAIN, b"\1", raw(7, 8, 9)), b"\7\x08\x09"),
    "two planes": (segment(4, PLAIN, b"\2", raw(1, 2), constant(0)), b"\1\0\2\0"),
    "a tail": (segment(3, PLAIN, b"\2", constant(1), constant(2), b"\xff"), b"\1\2\xff"),
    "a tail alone": (segment(3, PLAIN, b"\4", b"abc"), b"abc"),
    "three bytes": (segment(3, PLAIN, b"\3", raw(1), raw(2), raw(3)), b"\1\2\3"),
    "rotated": (segment(2, ROTATED, b"\2", raw(0x01), raw(0x7F)), b"\x80\xbf"),
    "zigzag": (segment(3, ZIGZAG, b"\1", raw(0, 1, 2)), b"\0\xff\1"),
    "bits": (segment(10, BITS, b"\1", raw(0b10000001, 0b10)), b"\1\0\0\0\0\0\0\1\0\1"),
    "palette": (segment(6, PALETTE, b"\2", b"\1", b"abxy", raw(1, 0, 1)), b"xyabxy"),
    "fields": (segment(6, FIELDS, b"\2", b"\1\2", raw(1, 2), raw(3, 4, 5, 6)), b"\1\3\4\2\5\6"),
    "zero map": (
        segment(6, PLAIN | ZERO_MAP, b"\2", raw(0b101), raw(1, 3), raw(2, 4)),
        b"\1\2\0\0\3\4",
    ),
    "nothing but zeros": (segment(6, PLAIN | ZERO_MAP, b"\2", constant(0)), bytes(6)),
    "difference": (segment(4, PLAIN | DELTA, b"\2", b"\3", raw(1, 0), constant(0)), b"\4\4\5\6"),
    "carry": (segment(2, PLAIN | DELTA, b"\2", b"\0", constant(255), constant(255)), b"\xff\0"),
    "difference and zero map": (
        segment(4, ZIGZAG | DELTA | ZERO_MAP, b"\1", b"\2", raw(0b10), raw(1)),
        b"\2\2\4\5",
    ),
    "difference with a tail": (
        segment(3, PLAIN | DELTA, b"\2", b"\x08", constant(0), constant(0), b"!"),
        b"\x08\x09!",
    ),
    "sparse": (
        segment(5, PLAIN, b"\1", bytes([SPARSE, 9]), raw(0b01010), raw(1, 2)),
        b"\x09\1\x09\2\x09",
    ),
    "rows": (
        segment(64, PLAIN, b"\1", bytes([ROWS, 16]), raw(1, 0, 1, 3), raw(*range(16)),
                raw(*range(40, 72)), constant(9)),
        bytes([*range(40, 56), *range(16), *range(56, 72)]) + b"\x09" * 16,
    ),
    "one row": (
        segment(17, PLAIN, b"\1", bytes([ROWS, 17]), raw(0), raw(*range(17))), bytes(range(17)),
    ),
    "zstd": (segment(6, PLAIN, b"\1", coded(ZSTD, zstd_frame(b"aaabbb"))), b"aaabbb"),
    "lz4": (
        segment(6, PLAIN, b"\1", coded(LZ4, lz4.block.compress(b"aaabbb", store_size=False))),
        b"aaabbb",
    ),
    "snappy": (segment(6, PLAIN, b"\1", coded(SNAPPY, snappy.compress(b"aaabbb")[1:])), b"aaabbb"),
    "ans": (segment(6, PLAIN, b"\1", coded(ANS, b"\0aaabbb")), b"aaabbb"),
    "ans of one symbol": (segment(6, PLAIN, b"\1", coded(ANS, b"\1c")), b"cccccc"),
    "two segments": (segment(1, PLAIN, b"\1", raw(1)) + segment(2, BITS, b"\1", raw(2)), b"\1\0\1"),
}  # fmt: skip

# Payload, size of the record, and what the error says.
HOSTILE = {
    "nothing": (b"", 3, "ends too early"),
    "a segment of no bytes": (segment(0, PLAIN, b"\1", raw(1)), 1, "no size"),
    "larger than the record": (segment(4, PLAIN, b"\1", constant(1)), 3, "4 bytes, where .* 3"),
    "absurdly large": (segment((1 << 64) - 1, PLAIN, b"\1", constant(1)), 3, "where the record"),
    "overlong size": (b"\x83\0\0\1\0abc", 3, "shortest"),
    "endless size": (b"\xff" * 11, 3, "64 bits"),
    "larger together": (2 * segment(2, PLAIN, b"\1", constant(1)), 3, "where the record"),
    "less than the record": (segment(2, PLAIN, b"\1", constant(1)), 3, "ends too early"),
    "trailing bytes": (segment(3, PLAIN, b"\1", constant(1), b"\0"), 3, "goes on"),
    "unknown flag": (segment(3, 0x20, b"\1", constant(1)), 3, "does not exist"),
    "unknown layout": (segment(3, 6, b"\1", constant(1)), 3, "there is none"),
    "no width": (segment(3, PLAIN, b"\0", constant(1)), 3, "there is none"),
    "too wide": (segment(33, PLAIN, b"\x21", *[constant(1)] * 33), 33, "there is none"),
    "rotated bytes": (segment(3, ROTATED, b"\1", constant(1)), 3, "there is none"),
    "zigzag of three": (segment(3, ZIGZAG, b"\3", *[constant(1)] * 3), 3, "there is none"),
    "palette of bytes": (segment(3, PALETTE, b"\1", b"\0a", constant(0)), 3, "there is none"),
    "wide bits": (segment(4, BITS, b"\2", constant(0)), 4, "there is none"),
    "fields of nothing": (segment(3, FIELDS, b"\2", b"\1\0", constant(1)), 3, "of no bytes"),
    "no fields": (segment(3, FIELDS, b"\0"), 3, "there is none"),
    "too many fields": (segment(65, FIELDS, b"\x41" + b"\1" * 65, *[constant(1)] * 65), 65,
                        "there is none"),
    "zero map of three": (segment(3, PLAIN | ZERO_MAP, b"\3", constant(0)), 3, "zero map"),
    "zero map of bits": (segment(3, BITS | ZERO_MAP, b"\1", constant(0)), 3, "zero map"),
    "zero map of a palette": (segment(4, PALETTE | ZERO_MAP, b"\2", b"\0ab", constant(0)), 4,
                              "zero map"),
    "difference of fields": (segment(3, FIELDS | DELTA, b"\1\3\0", constant(0)), 3, "base"),
    "difference to nothing": (segment(3, PLAIN | DELTA, b"\1\0", constant(0)), 3, "base"),
    "bitmap goes on": (segment(3, PLAIN | ZERO_MAP, b"\1", raw(0x0F), raw(1, 2, 3)), 3,
                       "behind its end"),
    "bitmap with more than there is": (segment(3, PLAIN | ZERO_MAP, b"\1", raw(7), raw(1, 2)), 3,
                                       "ends too early"),
    "bitmap with fewer than there are": (
        segment(3, PLAIN | ZERO_MAP, b"\1", raw(1), raw(1, 2)), 3, "goes on"),
    "bits go on": (segment(3, BITS, b"\1", raw(0x0F)), 3, "behind the last"),
    "index above the table": (segment(4, PALETTE, b"\2", b"\0", b"ab", raw(0, 1)), 4, "above it"),
    "table cut off": (segment(4, PALETTE, b"\2", b"\xff", b"abcd", raw(0, 1)), 4, "too early"),
    "unknown method": (segment(3, PLAIN, b"\1", b"\x63"), 3, "method 99"),
    "plane larger than the payload": (segment(3, PLAIN, b"\1", raw(1, 2)), 3, "too early"),
    "coded size larger than the payload": (segment(3, PLAIN, b"\1", b"\2\x7f"), 3, "too early"),
    "coded size beyond everything": (
        segment(3, PLAIN, b"\1\2", pack_varint((1 << 64) - 1)), 3, "too early"),
    "zstd of fewer bytes": (segment(3, PLAIN, b"\1", coded(ZSTD, zstd_frame(b"ab"))), 3, "decode"),
    "zstd of more bytes": (segment(3, PLAIN, b"\1", coded(ZSTD, zstd_frame(b"abcd"))), 3, "decode"),
    "zstd of nothing": (segment(3, PLAIN, b"\1", coded(ZSTD, b"")), 3, "decode"),
    "zstd with a tail": (
        segment(3, PLAIN, b"\1", coded(ZSTD, zstd_frame(b"abc") + b"\0")), 3, "decode"),
    "lz4 of fewer bytes": (segment(3, PLAIN, b"\1", coded(LZ4, b"\x10a")), 3, "decode"),
    "lz4 of more bytes": (segment(3, PLAIN, b"\1", coded(LZ4, b"\x40abcd")), 3, "decode"),
    "lz4 of nothing": (segment(3, PLAIN, b"\1", coded(LZ4, b"")), 3, "decode"),
    "snappy of fewer bytes": (segment(3, PLAIN, b"\1", coded(SNAPPY, b"\0a")), 3, "decode"),
    "snappy of more bytes": (segment(3, PLAIN, b"\1", coded(SNAPPY, b"\x0cabcd")), 3, "decode"),
    "snappy of nothing": (segment(3, PLAIN, b"\1", coded(SNAPPY, b"")), 3, "decode"),
    "sparse in sparse": (
        segment(3, PLAIN, b"\1", bytes([SPARSE, 0, SPARSE, 0]), constant(0)), 3, "method 5"),
    "sparse bitmap goes on": (
        segment(3, PLAIN, b"\1", bytes([SPARSE, 0]), raw(8), raw(1)), 3, "behind its end"),
    "sparse with more than there is": (
        segment(3, PLAIN, b"\1", bytes([SPARSE, 0]), raw(7), raw(1)), 3, "too early"),
    "ans of nothing": (segment(3, PLAIN, b"\1", coded(ANS, b"")), 3, "ends"),
    "ans of fewer bytes": (segment(3, PLAIN, b"\1", coded(ANS, b"\0ab")), 3, "ends"),
    "ans of more bytes": (segment(3, PLAIN, b"\1", coded(ANS, b"\0abcd")), 3, "follows"),
    "ans of another kind": (segment(3, PLAIN, b"\1", coded(ANS, b"\4abc")), 3, "kind"),
    "ans without a table": (segment(3, PLAIN, b"\1", coded(ANS, b"\3" + bytes(35))), 3, "table"),
    "rows of nothing": (
        segment(3, PLAIN, b"\1", bytes([ROWS, 0]), constant(0)), 3, "no rows of 0"),
    "short rows": (
        segment(30, PLAIN, b"\1", bytes([ROWS, 15]), constant(0)), 30, "no rows of 15"),
    "rows that do not fit": (
        segment(33, PLAIN, b"\1", bytes([ROWS, 16]), constant(0)), 33, "no rows of 16"),
    "rows longer than the plane": (
        segment(30, PLAIN, b"\1", bytes([ROWS, 60]), constant(0)), 30, "no rows of 60"),
    "endless rows": (
        segment(30, PLAIN, b"\1", bytes([ROWS]), pack_varint((1 << 64) - 1)), 30, "no rows of"),
    "class that does not exist": (
        segment(32, PLAIN, b"\1", bytes([ROWS, 32]), raw(64), constant(0)), 32, "class"),
    "rows with more than there is": (
        segment(32, PLAIN, b"\1", bytes([ROWS, 16]), raw(0, 1), raw(*range(16)), raw(3)), 32,
        "too early"),
    "rows in rows": (
        segment(32, PLAIN, b"\1", bytes([ROWS, 16, ROWS, 16]), raw(0, 0)), 32, "method 6"),
    "sparse in rows": (
        segment(32, PLAIN, b"\1", bytes([ROWS, 16]), raw(0, 0), bytes([SPARSE])), 32, "method 5"),
    "rows in sparse": (
        segment(32, PLAIN, b"\1", bytes([SPARSE, 0, ROWS, 16])), 32, "method 6"),
}  # fmt: skip


@pytest.mark.parametrize("name", VALID)
def test_the_format_by_hand(name: str) -> None:
    payload, content = VALID[name]
    assert decode(payload, len(content), BASE) == content


@pytest.mark.parametrize("name", HOSTILE)
def test_lies_by_name(name: str) -> None:
    payload, size, problem = HOSTILE[name]
    with pytest.raises(CorruptError, match=problem):
        decode(payload, size)


@pytest.mark.parametrize("offset", [7, 10, 11, 1 << 40, (1 << 64) - 1])
def test_differences_beyond_the_base(offset: int) -> None:
    payload = segment(4, PLAIN | DELTA, b"\2", pack_varint(offset), constant(0), constant(0))
    with pytest.raises(CorruptError, match="its base does not have"):
        decode(payload, 4, BASE)
    inside = segment(4, PLAIN | DELTA, b"\2", b"\6", constant(0), constant(0))
    assert decode(inside, 4, BASE) == b"\6\7\x08\x09"


@pytest.mark.parametrize("name", VALID)
def test_every_cut_and_every_changed_byte(name: str) -> None:
    payload, content = VALID[name]
    for size in range(len(payload)):
        with pytest.raises(CorruptError):
            decode(payload[:size], len(content), BASE)
    for at in range(len(payload)):
        for byte in range(256):
            _decode_or_refuse(payload[:at] + bytes([byte]) + payload[at + 1 :], len(content), BASE)


def _decode_or_refuse(payload: bytes, size: int, base: Base | None = None) -> None:
    """Without the checksums of the container: bytes of the right size, or the one error."""
    try:
        content = decode(payload, size, base)
    except CorruptError:
        return
    assert len(content) == size


def _payloads(zipnn, contents) -> Iterator[tuple[bytes, int]]:
    """What the encoder makes of contents of all kinds."""
    for settings in (
        {"dtype": "bf16"},
        {"dtype": "f32"},
        {"dtype": "bool"},
        {"dtype": "i16"},
        {"groups": "3"},
        {"backend": "snappy", "dtype": "f64"},
        {"backend": "lz4", "dtype": "f16"},
    ):
        for raw_bytes in contents(3001).values():
            (block,) = zipnn.encode([raw_bytes], zipnn.params(**settings))
            yield bytes(block.payload), block.raw_size


def _damaged(payloads: list[tuple[bytes, int]], count: int) -> Iterator[tuple[bytes, int]]:
    """Some of the payloads with some bytes changed, or with their start cut off."""
    random = np.random.default_rng(9)
    for number in range(count):
        payload, size = payloads[random.integers(len(payloads))]
        damaged = bytearray(payload)
        # Most of what can go wrong is in the first bytes of segments and planes.
        reach = len(damaged) if number % 3 else min(len(damaged), 40)
        for _ in range(random.integers(1, 4)):
            damaged[random.integers(reach)] = random.integers(256)
        start = random.integers(len(damaged)) if number % 5 == 0 else 0
        yield bytes(damaged[start:]), size


def test_mutated_payloads(zipnn, contents) -> None:
    for payload, size in _damaged(list(_payloads(zipnn, contents)), 8000):
        _decode_or_refuse(payload, size)


def test_mutated_payloads_take_no_memory(zipnn, contents) -> None:
    damaged = list(_damaged(list(_payloads(zipnn, contents)), 800))
    tracemalloc.start()
    for payload, size in damaged:
        _decode_or_refuse(payload, size)
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < MIB // 2  # zstd gives no frame more than a window of some kilobytes


def test_noise_as_payload() -> None:
    random = np.random.default_rng(10)
    for _ in range(3000):
        size = int(random.integers(1, 300))
        start = segment(size, int(random.integers(6)), bytes([random.integers(1, 9)]))
        _decode_or_refuse(start + random.bytes(int(random.integers(60))), size)


BOMBS = {
    "many small segments": segment(16 * MIB - 40_000, PLAIN, b"\1", constant(7))
    + segment(1, PLAIN, b"\x20a") * 40_000,
    "constants": segment(16 * MIB, PLAIN, b"\x20", constant(7) * 32),
    "eight planes": segment(16 * MIB, ROTATED, b"\x08", constant(7) * 8),
    "fields": segment(16 * MIB, FIELDS, b"\x40" + b"\x04" * 64, constant(7) * 64),
    "bits": segment(16 * MIB, BITS, b"\1", constant(0x55)),
    "sparse": segment(16 * MIB, PLAIN, b"\1", bytes([SPARSE, 9]), constant(0x55), constant(8)),
    "sparse without zeros": segment(
        16 * MIB, ZIGZAG | ZERO_MAP, b"\1", bytes([SPARSE, 0xFF]), constant(0),
        bytes([SPARSE, 1]), constant(0),
    ),
    "palette": segment(16 * MIB, PALETTE, b"\2\0ab", constant(0)),
    "palette of sparse indices": segment(
        16 * MIB, PALETTE, b"\2\0ab", bytes([SPARSE, 0]), constant(0)
    ),
    "rows": segment(16 * MIB, PLAIN, b"\1", bytes([ROWS, 16]), constant(0), constant(7)),
    "rows without zeros": segment(
        16 * MIB, ZIGZAG | ZERO_MAP, b"\1", constant(0xFF),
        bytes([ROWS, 16]), constant(0), constant(7),
    ),
    "rows of high classes": segment(
        16 * MIB, ZIGZAG, b"\2", (bytes([ROWS, 16]) + constant(63) + constant(7)) * 2
    ),
    "everything": segment(
        16 * MIB, ROTATED | ZERO_MAP, b"\2", bytes([SPARSE, 0xFF]), constant(0),
        (bytes([ROWS, 16]) + constant(0) + constant(7)) * 2,
    ),
    "ans": segment(16 * MIB, ROTATED, b"\2", coded(ANS, b"\1a" * 64) * 2),
    "zstd": segment(16 * MIB, PLAIN, b"\1", coded(ZSTD, zstd_frame(bytes(16 * MIB)))),
    "snappy and lz4": segment(
        16 * MIB, ROTATED, b"\2",
        coded(SNAPPY, snappy.compress(bytes(8 * MIB))[4:]),
        coded(LZ4, lz4.block.compress(bytes(8 * MIB), store_size=False)),
    ),
}  # fmt: skip


@pytest.mark.parametrize("compiled", [False, True])
@pytest.mark.parametrize("name", BOMBS)
def test_bombs_take_no_more_memory_than_was_announced(
    zipnn, monkeypatch, name: str, compiled: bool
) -> None:
    params = zipnn.params(block="16M")
    monkeypatch.setattr("nncomp.codecs.tensor.zipnn._COMPILED_FROM", 0 if compiled else 1 << 30)
    next(iter(ZIPNN.decode([Block(1, segment(1, PLAIN, b"\1", raw(1)))], params, Context())))
    tracemalloc.start()
    content = next(iter(ZIPNN.decode([Block(16 * MIB, BOMBS[name])], params, Context())))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert len(content) == 16 * MIB
    assert peak < ZIPNN.memory(params)
