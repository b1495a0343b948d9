"""Makes the golden archives that are missing; those that exist are for ever.

    python tests/golden/make.py

Prints a line of README.md for each new file, to be completed by hand.
"""

from __future__ import annotations

import hashlib
import io
import json
import struct
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING
from unittest.mock import patch

import xxhash

import nncomp
from nncomp import api
from nncomp.codecs.base import pack_params
from nncomp.codecs.neural import records
from nncomp.container.layout import (
    FOOTER_SIZE,
    MAGIC,
    Footer,
    Header,
    RecordHeader,
    pack_entry,
    pack_index_start,
)
from nncomp.container.writer import MemberWriter

if TYPE_CHECKING:
    from collections.abc import Iterator

FOLDER = Path(__file__).parent
TEXT = b"".join(b"line %d of a text that compresses\n" % number for number in range(3000))
NOISE = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(10))


def member(*records: bytes, **fields: object) -> bytes:
    """Stored records under any header."""
    default = {"codec_id": 0, "codec_version": 1, "profile": 0, "memory": 4 << 20, "params": ""}
    sink = io.BytesIO()
    writer = MemberWriter(sink, Header(**{**default, **fields}))
    for raw in records:
        writer.add(raw, None)
    writer.finish()
    return sink.getvalue()


def streamed(content: bytes, method: str) -> bytes:
    """As from a pipe: without content size, and in records of 64 KiB even if it is small."""
    codec, params = api.encoding.prepare(method, None)
    sink = io.BytesIO()
    text = pack_params(codec, params)
    header = Header(codec.codec_id, codec.version, codec.profile, codec.memory(params), text)
    writer = MemberWriter(sink, header)
    for block in codec.encode([content], params, api.Context()):
        writer.add(block.raw or b"", block.payload)
    writer.finish()
    return sink.getvalue()


def with_records(*records: tuple[RecordHeader, bytes], content: bytes, number: int = 0) -> bytes:
    """A member of the codec `store` with any records, numbered from `number` on."""
    header = Header(0, 1, 0, 4 << 20, "").pack()
    seed = int.from_bytes(header[-8:], "little") + number
    body, index = b"", pack_index_start(len(header))
    for record, payload in records:
        disk = record.pack(seed) + payload
        seed += 1
        body += disk
        index += pack_entry(record, len(disk))
    index += xxhash.xxh3_64_digest(index)[::-1]
    footer = Footer(xxhash.xxh3_64_intdigest(content), len(index)).pack()
    return header + body + index + footer


def record(kind: int, payload: bytes, raw_size: int | None = None) -> tuple[RecordHeader, bytes]:
    """A record whose checksum is that of its payload."""
    size = len(payload) if raw_size is None else raw_size
    return RecordHeader(kind, size, len(payload), xxhash.xxh3_64_intdigest(payload)), payload


def sealed_header(version_flags: bytes, body: bytes) -> bytes:
    """A header with a valid checksum over anything."""
    fields = MAGIC + version_flags + len(body).to_bytes(2, "little") + body
    return fields + xxhash.xxh3_64_digest(fields)[::-1]


def flipped(data: bytes, at: int) -> bytes:
    """The same with one bit changed; `at` may count from the end."""
    changed = bytearray(data)
    changed[at] ^= 0x01
    return bytes(changed)


def tensor_member(*records: tuple[bytes, bytes], params: str = "65536,0.0,0.0,0,none") -> bytes:
    """Any payloads and their contents under a header of `zipnn`."""
    sink = io.BytesIO()
    writer = MemberWriter(sink, Header(32, 1, 0, 4 << 20, params))
    for payload, raw in records:
        writer.add(raw, payload)
    writer.finish()
    return sink.getvalue()


def joint(content: bytes, method: str) -> bytes:
    """An archive of network and memory together, even where the memory alone is smaller."""
    with patch.object(records, "_alone", lambda raw, sizes: None):
        return nncomp.compress(content, method)


def sound() -> bytes:
    """int16 samples of a decaying swing, by integer arithmetic alone."""
    samples, x, v = [], 9000, 0
    for number in range(2000):
        v -= x // 50 + v // 300
        x += v
        samples.append(x + (number * number * 7919 >> 5) % 17)
    return struct.pack("<2000h", *samples)


def letters() -> bytes:
    """Four symbols, some of them foreseeable."""
    digits = b"".join(hashlib.sha256(bytes([number])).digest() for number in range(20))
    text = bytes(b"ACGT"[byte & 3] for byte in digits)
    return text + text[100:400] + text


def picture() -> bytes:
    """A PNG of 64 x 48 pixels with some noise."""
    noise = b"".join(hashlib.sha256(bytes([number, 1])).digest() for number in range(256)) * 2
    slope = bytes(
        (x + 2 * y + 40 * c) & 255 for y in range(48) for x in range(64) for c in range(3)
    )
    pixels = bytes((a + (b & 7)) & 255 for a, b in zip(slope, noise, strict=False))
    rows = (b"\x00" + pixels[at : at + 192] for at in range(0, len(pixels), 192))

    def chunk(kind: bytes, body: bytes) -> bytes:
        return (
            struct.pack(">I", len(body)) + kind + body + struct.pack(">I", zlib.crc32(kind + body))
        )

    header = struct.pack(">IIBBBBB", 64, 48, 8, 2, 0, 0, 0)
    stream = zlib.compress(b"".join(rows), 6)
    chunks = chunk(b"IHDR", header), chunk(b"IDAT", stream), chunk(b"IEND", b"")
    return b"\x89PNG\r\n\x1a\n" + b"".join(chunks)


def pixels(planes: int, frames: int, height: int, width: int) -> bytes:
    """Slopes with some noise, as bytes of frames of rows of pixels."""
    count = planes * frames * height * width
    digests = (hashlib.sha256(number.to_bytes(4, "big")).digest() for number in range(count))
    noise = b"".join(digests)[:count]
    slopes = (
        (x + 2 * y + 40 * c + f) & 127
        for f in range(frames)
        for y in range(height)
        for x in range(width)
        for c in range(planes)
    )
    return bytes(a + (b & 3) + (b >> 7) for a, b in zip(slopes, noise, strict=True))


def drawing() -> bytes:
    """A PPM file of signs in rows on a ground."""
    signs = [hashlib.sha256(bytes([number])).digest() for number in range(7)]
    colours = (b"\xf0\xf1\xff", b"\x20\x30\x40")
    rows = (
        b"".join(
            colours[x % 8 > 0 < y % 10 and signs[x // 8 * (y // 10) % 7][y % 10] >> x % 8 & 1]
            for x in range(120)
        )
        for y in range(100)
    )
    return b"P6 120 100 255\n" + b"".join(rows)


def pictures() -> Iterator[tuple[str, str, bytes]]:
    """Names, parameters and contents for `fsar`."""
    colours = b"P6 160 120 255\n" + pixels(3, 1, 120, 160)
    yield "", "", colours
    yield "-small", "prior=o1s,contexts=0", b"P6 17 31 255\n" + pixels(3, 1, 31, 17)
    yield "-everything", "classes=9,rounds=6,step=1", colours
    yield "-paper", "mode=paper", colours
    deep = b"".join(struct.pack(">H", 300 * byte) for byte in pixels(1, 1, 50, 60))
    yield "-deep", "classes=3,prior=o0", b"P5 60 50 65535\n" + deep
    yield (
        "-opacity",
        "contexts=0",
        b"P7\nWIDTH 40\nHEIGHT 30\nDEPTH 4\nMAXVAL 255\nENDHDR\n" + pixels(4, 1, 30, 40),
    )
    yield "-png", "", picture()
    yield "-drawn", "", drawing()
    yield "-drawn-slowly", "contexts=12", drawing()
    yield "-frames", "shape=40x28x28,block=64K", pixels(1, 140, 28, 28)


def floats() -> bytes:
    """float32 numbers of integer arithmetic alone: the same wherever this runs."""
    digests = b"".join(hashlib.sha256(bytes([k, 1])).digest() for k in range(64))
    # Sign and mantissa of all kinds; exponents from 120 to 127, the higher the rarer.
    exponents = (120 + (byte & -byte).bit_length() % 8 for byte in digests[1::4])
    words = (
        (byte & 1) << 31 | exponent << 23 | byte << 15 | byte * byte
        for byte, exponent in zip(digests[::4], exponents, strict=True)
    )
    return b"".join(word.to_bytes(4, "little") for word in words)


def tensors() -> Iterator[tuple[str, str, bytes, bytes | None]]:
    """Name, parameters, content and base of archives that an encoder makes."""
    numbers = floats()
    yield "float32", "dtype=f32", numbers, None
    upper = b"".join(numbers[k : k + 2] for k in range(2, len(numbers), 4))
    yield "bfloat16", "dtype=bf16,backend=huffman", upper, None
    yield "ans", "dtype=bf16,backend=ans", upper, None
    yield "text", "dtype=bytes", TEXT[:5000], None
    yield "lz4", "dtype=f32,backend=lz4", numbers[:400] * 3, None
    yield "snappy", "dtype=bytes,backend=snappy", numbers[:400] * 3, None
    yield "lossy", "dtype=f32,rel=0.01", numbers, None
    yield "bool", "dtype=bool", bytes(byte & byte >> 4 & 1 for byte in numbers), None
    entry = {"dtype": "F32", "shape": [len(numbers) // 4], "data_offsets": [0, len(numbers)]}
    text = json.dumps({"weights": entry}).encode()
    file = len(text).to_bytes(8, "little") + text + numbers
    yield "safetensors", "", file, None
    changed = bytearray(numbers)
    changed[::200] = b"\x11" * len(changed[::200])
    yield "difference", "dtype=f32", bytes(changed), numbers


def every_segment() -> bytes:
    """Each layout and each method, by hand from FORMAT.md; it decodes to `EVERY_SEGMENT`."""
    frame = b"\x19\x00\x00abc"  # the last block, raw, of three bytes
    segments = (
        b"\x03\x00\x01\x00xyz",  # bytes, raw
        b"\x05\x00\x02\x00ac\x00bd!",  # two planes, a tail
        b"\x04\x01\x02\x01\x01\x01\x7f",  # rotated, constant
        b"\x04\x02\x02\x00\x01\x02\x01\x00",  # zigzag: -1 and 1
        b"\x0a\x03\x01\x00\x81\x02",  # ten bits
        b"\x06\x04\x02\x01abxy\x00\x01\x00\x01",  # a palette of two
        b"\x06\x05\x02\x01\x02\x00\x01\x02\x00abcd",  # fields of one and two
        b"\x06\x80\x02\x00\x05\x00\x01\x03\x00\x02\x04",  # a zero map
        b"\x04\x82\x02\x01\x00",  # nothing but zeros
        b"\x03\x00\x01\x02\x06" + frame,  # Zstandard
        b"\x06\x00\x01\x03\x07\x60aaabbb",  # LZ4: literals
        b"\x06\x00\x01\x04\x07\x14cccddd",  # Snappy: literals
        b"\x05\x00\x01\x05\x09\x00\x0a\x00\x01\x02",  # sparse
        b"\x40\x00\x01\x06\x10\x00\x01\x00\x01\x03\x01P\x01Q\x01S",  # rows
        b"\x64\x00\x04\x01\x07\x01\x08\x01\x09\x01\x0a",  # so that it shrinks
    )
    return b"".join(segments)


EVERY_SEGMENT = b"".join(
    (
        b"xyz",
        b"abcd!",
        b"\x80\xbf\x80\xbf",
        b"\xff\xff\x01\x00",
        b"\x01\x00\x00\x00\x00\x00\x00\x01\x00\x01",
        b"xyabxy",
        b"\x01ab\x02cd",
        b"\x01\x02\x00\x00\x03\x04",
        bytes(4),
        b"abc",
        b"aaabbb",
        b"cccddd",
        b"\x09\x01\x09\x02\x09",
        b"Q" * 16 + b"P" * 16 + b"Q" * 16 + b"S" * 16,
        b"\x07\x08\x09\x0a" * 25,
    )
)


def bad_tensors() -> Iterator[tuple[str, bytes]]:
    """Payloads that no encoder makes, in members whose checks are all valid."""
    for name, payload in (
        ("index", b"\x64\x04\x02\x00ab\x01\x01"),
        ("plane", b"\x64\x00\x01\x02\x06\x19\x00\x00abc"),
        ("larger", b"\x65\x00\x01\x01\x00"),
        ("trailing", b"\x64\x00\x01\x01\x00\x00"),
        ("nested", b"\x64\x00\x01\x05\x00\x05\x00"),
        ("bitmap", b"\x64\x80\x01\x01\xff\x01\x00"),
        ("difference", b"\x64\x40\x01\x00\x01\x00"),
        ("field", b"\x64\x05\x02\x01\x00\x01\x00"),
    ):
        yield f"bad-zipnn-{name}", tensor_member((payload, bytes(100)))
    lying = tensor_member((b"\x64\x00\x01\x01\x01", bytes(100)))
    yield "bad-zipnn-content", lying
    yield "bad-zipnn-parameters", tensor_member(params="65536,0.0,0.0,0")
    yield "bad-zipnn-loss", tensor_member(params="65536,nan,0.0,0,none")


def lookups(count: int, columns: int) -> list[float]:
    """Rows of a small table, some of them again and again, as whole numbers of 1024ths."""
    digests = b"".join(hashlib.sha256(bytes([k, 2])).digest() for k in range(160))
    rows = [
        [
            (digests[k * columns + j] - digests[k * columns + j + 1]) * (1 + k % 3 * 4) / 1024
            for j in range(columns)
        ]
        for k in range(len(digests) // columns - 1)
    ]
    chosen = (digests[k] * digests[k + 1] >> 9 for k in range(count))
    return [value for k in chosen for value in rows[k % len(rows)]]


def tables() -> Iterator[tuple[str, str, bytes]]:
    """Name, parameters and content of archives of `emb`."""
    values = lookups(120, 16)
    content = struct.pack(f"<{len(values)}f", *values)
    for entropy in ("ans", "huffman", "lz4", "zstd"):
        yield entropy, f"bound=0.01,mode=rel,shape=60x16,entropy={entropy}", content
    yield "low-bits", "bound=1e-5,shape=120x16,entropy=ans", content
    yield "exact", "shape=120x16", content
    special = bytearray(content)
    for place, pattern in ((3, 0x7F800001), (90, 0xFF800000), (700, 0x7F7FFFFF), (701, 1)):
        special[4 * place : 4 * place + 4] = pattern.to_bytes(4, "little")
    yield "exceptions", "bound=0.01,shape=120x16", bytes(special)
    yield "float16", "bound=0.01,shape=120x16,dtype=f16", struct.pack(f"<{len(values)}e", *values)
    upper = b"".join(content[k : k + 2] for k in range(2, len(content), 4))
    yield "bfloat16", "bound=0.01,shape=120x16,dtype=bf16", upper
    yield "float64", "bound=1e-4,shape=120x16,dtype=f64", struct.pack(f"<{len(values)}d", *values)
    header = "{'descr': '<f4', 'fortran_order': False, 'shape': (120, 16), }".ljust(117) + "\n"
    head = b"\x93NUMPY\x01\x00" + len(header).to_bytes(2, "little") + header.encode()
    yield "npy", "bound=0.01", head + content
    many = lookups(900, 64)
    yield "contexts", "bound=0.002,shape=900x64", struct.pack(f"<{len(many)}f", *many)


def table_member(payload: bytes, raw: bytes) -> bytes:
    """Any payload and its content under a header of `emb`."""
    sink = io.BytesIO()
    writer = MemberWriter(sink, Header(33, 1, 0, 8 << 20, "0.0,abs,65536"))
    writer.add(raw, payload)
    writer.finish()
    return sink.getvalue()


def bad_tables() -> Iterator[tuple[str, bytes]]:
    """Payloads of `emb` that no encoder makes."""
    head = b"\x50\x01"  # a table of 80 bytes
    coded = b"\x00\x04\x05"  # four rows of five float32
    bound = struct.pack("<dH", 0.5, 9)
    for name, payload in (
        ("kind", b"\x50\x02\x00"),
        ("shape", head + b"\x04\x00\x04\x04\x00"),
        ("flags", head + b"\x04" + coded + b"\x08"),
        ("bound", head + b"\x10" + coded + b"\x01" + struct.pack("<dH", -1.0, 9) + b"\x00\x00"),
        ("margin", head + b"\x11" + coded + b"\x01" + bound + b"\x99\x11\x00"),
        ("unique", head + b"\x06" + coded + b"\x02\x05\x00"),
        ("row", head + b"\x08" + coded + b"\x02\x02\x00\x01\x02"),
        (
            "place",
            head
            + b"\x1c"
            + coded
            + b"\x05"
            + bound
            + b"\x00\x00\x01"
            + b"\x01\x15"
            + b"\x01\x00" * 3,
        ),
        ("trailing", head + b"\x0d" + coded + b"\x00" + b"\x01\x00" * 4 + b"\x00"),
    ):
        yield f"bad-emb-{name}", table_member(payload, bytes(80))


def good() -> Iterator[tuple[str, bytes]]:
    """Archives that every later reader must read."""
    mixed = TEXT[: 64 << 10] + NOISE  # the second record does not shrink
    yield "good-empty-v1", nncomp.compress(b"")
    yield "good-store-v1", nncomp.compress(NOISE, "store")
    for method in ("zstd", "lz4", "snappy"):
        yield f"good-{method}-v1", nncomp.compress(TEXT, method)
        yield f"good-{method}-streamed-v1", streamed(mixed, f"{method}:block=64K")
    yield "good-zstd-long-v1", nncomp.compress(TEXT, "zstd:level=22,long=20")
    parts = (nncomp.compress(b"abc"), nncomp.compress(b""), nncomp.compress(TEXT, "lz4"))
    yield "good-concatenated-v1", b"".join(parts)
    yield "good-mix-v2", nncomp.compress(TEXT, "mix")
    yield "good-mix-lean-v2", nncomp.compress(TEXT, "mix:contexts=5")
    yield "good-mix-numbers-v2", nncomp.compress(floats(), "mix:contexts=12")
    yield "good-mix-sound-v2", nncomp.compress(sound(), "mix")
    yield "good-mix-letters-v2", nncomp.compress(letters(), "mix")
    yield "good-mix-png-v2", nncomp.compress(b"before " + picture() + b" after", "mix")
    yield "good-mix-streamed-v2", streamed(mixed, "mix:table=1M,block=64K")
    yield "good-sep-v2", joint(TEXT[:3000], "sep")
    small = "embedding=8,ffn=32,levels=3,tokens=4,block=64K"
    yield "good-sep-memory-v2", nncomp.compress(TEXT[:3000], "sep")
    yield "good-sep-lanes-v2", joint(floats(), f"sep:lanes=3,words=0,table=1M,{small}")
    network = f"sep:memory=off,lanes=5,mixing=lane,{small}"
    yield "good-sep-network-v2", nncomp.compress(TEXT[:3000], network)
    plain = f"sep:memory=off,seb=off,mask=on,optimiser=adam,lanes=64,segment=8,{small}"
    yield "good-sep-streamed-v2", streamed(mixed, plain)
    for name, method, content in pictures():
        yield (
            f"good-fsar{name}-v2",
            nncomp.compress(content, f"fsar:{method}" if method else "fsar"),
        )
    yield "good-fsar-streamed-v2", streamed(mixed, "fsar:block=64K")
    for name, method, content, base in tensors():
        yield f"good-zipnn-{name}-v1", nncomp.compress(content, f"zipnn:{method}", base=base)
    yield "good-zipnn-streamed-v1", streamed(mixed, "zipnn:block=64K")
    yield "good-zipnn-everything-v1", tensor_member((every_segment(), EVERY_SEGMENT))
    for name, method, content in tables():
        yield f"good-emb-{name}-v1", nncomp.compress(content, f"emb:{method}")
    skippable = record(0x40, b"a note"), record(0x7F, b""), record(0x02, b"content")
    yield "good-skippable-v1", with_records(*skippable, content=b"content")


def bad() -> Iterator[tuple[str, bytes]]:
    """Archives that no reader may read."""
    plain = member(b"one", b"four", content_size=7)
    coded = nncomp.compress(TEXT, "zstd")
    size = len(Header(0, 1, 0, 4 << 20, "", content_size=7).pack())
    yield "bad-empty-file", b""
    yield "bad-magic", flipped(plain, 1)
    yield "bad-truncated", coded[: len(coded) // 2]
    yield "bad-no-footer", plain[:-FOOTER_SIZE]
    yield "bad-trailing-zeros", plain + bytes(512)
    yield "bad-trailing-text", plain + b"text\n"
    yield "bad-header", flipped(plain, 13)
    yield "bad-header-overlong-number", sealed_header(b"\x01\x00", b"\x80\x00\x01\x00\x05\x00")
    yield "bad-header-parameters", member(b"one", codec_id=1, params="5")
    yield "bad-header-terabytes", member(b"one", memory=1 << 43)
    yield "bad-content-size", member(b"one", content_size=4)
    yield "bad-record-header", flipped(plain, size + 3)
    huge = RecordHeader(0x02, 1 << 40, 1 << 40, 0), b""
    yield "bad-record-too-large", with_records(huge, content=b"")
    yield "bad-record-not-shrunk", with_records(record(0x01, b"abcd", raw_size=4), content=b"abcd")
    yield "bad-record-order", with_records(record(0x02, b"one"), content=b"one", number=1)
    yield "bad-record-payload", flipped(plain, size + 14)
    yield "bad-record-coded", flipped(coded, len(coded) // 2)
    yield "bad-index", flipped(plain, -FOOTER_SIZE - 10)
    yield "bad-footer", flipped(plain, -10)
    yield from bad_tensors()
    yield from bad_tables()
    yield "bad-content-checksum", plain[:-FOOTER_SIZE] + member(b"one", b"five")[-FOOTER_SIZE:]


def unsupported() -> Iterator[tuple[str, bytes]]:
    """Archives that a later version may read."""
    plain = member(b"one")
    yield "unsupported-version-2", plain[:8] + b"\x02" + plain[9:]
    yield "unsupported-flag", sealed_header(b"\x01\x80", b"\x00\x01\x00\x05\x00")
    yield "unsupported-record-kind", with_records(record(0x03, b"one", 4), content=b"")
    yield "unsupported-codec", member(b"one", codec_id=1 << 40)
    yield "unsupported-codec-version", member(b"one", codec_version=2)
    yield "unsupported-numerics", member(b"one", profile=2)
    numbers = floats()
    yield "unsupported-base", nncomp.compress(numbers, "zipnn:dtype=f32", base=numbers)
    yield "unsupported-weights", member(b"one", weights_digest=bytes(range(32)))


def reading(data: bytes, base: bytes | None) -> str:
    """What README.md says about it."""
    try:
        content = nncomp.decompress(data, base=base)
    except nncomp.NncompError as error:
        return f"`{type(error).__name__}`: {error}"
    return f"{len(content)} bytes, SHA-256 `{hashlib.sha256(content).hexdigest()}`"


def main() -> None:
    """Write what is missing."""
    for maker in (good, bad, unsupported):
        for name, data in maker():
            path = FOLDER / f"{name}.nnc"
            if not path.exists():
                path.write_bytes(data)
                base = floats() if "good-zipnn-difference" in name else None
                sys.stdout.write(f"| {path.name} | {reading(data, base)} | |\n")


if __name__ == "__main__":
    main()
