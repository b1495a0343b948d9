"""What must hold for any content and any damage: the content, or one of our errors."""

import io
import struct
from contextlib import suppress

import pytest
from hypothesis import given
from hypothesis import strategies as st

import nncomp
from nncomp.errors import FormatError, NncompError, TruncatedError

METHODS = ["store", "zstd", "lz4", "snappy", "zipnn", "emb", "mix", "fsar"]
SMALL = {
    "store": b"stored as it is",
    **dict.fromkeys(["zstd", "lz4", "snappy"], b"again and again " * 6),
    **dict.fromkeys(["zipnn", "emb", "mix"], b"again and again " * 9),
    "fsar": b"P6 12 12 255\n" + bytes(10 * (i // 36) + i % 36 * 3 + i * i % 5 for i in range(432)),
}
RECORDS = b"".join(struct.pack("<IhB", 1000 * i, i * i % 301 - 150, 255) for i in range(150))
SOUND = b"".join(struct.pack("<h", i * i * 37 % 401 - 200) for i in range(600))

# Runs, repetitions and noise; most of it compresses.
contents = st.lists(
    st.tuples(st.binary(min_size=1, max_size=200), st.integers(1, 2000)), max_size=8
).map(lambda parts: b"".join(piece * times for piece, times in parts))
methods = st.sampled_from(
    [
        "store",
        "zstd",
        "zstd:level=-7",
        "zstd:level=19,long=20",
        "lz4",
        "lz4:level=9",
        "snappy",
        "zipnn",
        "zipnn:dtype=f32",
        "zipnn:dtype=bf16,backend=huffman",
        "zipnn:dtype=bool",
        "zipnn:groups=5,backend=zstd",
        "emb",
        "emb:shape=7x20",
    ]
).flatmap(
    lambda name: (
        st.just(name)
        if name == "store"
        else st.integers(65536, 300_000).map(
            lambda block: f"{name}{',' if ':' in name else ':'}block={block}"
        )
    )
)

cases = st.tuples(contents, methods)

# What context mixing looks at in different ways; little of it, since it is slow.
texts = st.lists(st.sampled_from(b"the cat sat on a mat, and <b>the</b> dog\n".split(b" "))).map(
    b" ".join
)
records = st.lists(
    st.tuples(st.integers(0, 9999), st.integers(-150, 150), st.sampled_from([0, 1, 255]))
).map(lambda fields: b"".join(struct.pack("<IhB", *one) for one in fields))
numbers = st.tuples(
    st.lists(st.integers(-100, 100), min_size=1), st.sampled_from(["<h", "<i", "<d", "<B"])
).map(lambda found: b"".join(struct.pack(found[1], n + 100) for n in found[0]))
mixed = st.tuples(
    st.tuples(st.one_of(texts, records, numbers, st.binary()), st.integers(1, 20)).map(
        lambda found: found[0] * found[1]
    ),
    st.sampled_from(["mix", "mix:contexts=3,table=256K", "mix:contexts=16,block=64K"]),
)
any_cases = st.one_of(cases, mixed)


def read_everything(data: bytes) -> bytes:
    """Decode in every way that there is; they must agree."""
    content = nncomp.decompress(data)
    assert nncomp.open(io.BytesIO(data)).read() == content
    assert sum(info.raw_size for info in nncomp.inspect(io.BytesIO(data))) == len(content)
    return content


def check_damaged(data: bytes, content: bytes) -> None:
    """Damaged data give an error of ours, or the content; also to those who seek."""
    with suppress(NncompError):
        assert nncomp.decompress(data) == content
    with suppress(NncompError):
        nncomp.inspect(io.BytesIO(data))
    with suppress(NncompError), nncomp.open(io.BytesIO(data)) as file:
        file.seek(len(content) // 2)
        assert file.read() == content[len(content) // 2 :]


@given(any_cases, st.sampled_from([1, 3]))
def test_round_trip_and_size_rule(case: tuple[bytes, str], threads: int) -> None:
    content, method = case
    archive = nncomp.compress(content, method, threads=threads)
    assert len(archive) <= len(content) + 100 + len(content) // 1000
    assert read_everything(archive) == content


@given(st.lists(any_cases, min_size=1, max_size=4))
def test_concatenation(parts: list[tuple[bytes, str]]) -> None:
    archive = b"".join(nncomp.compress(content, method) for content, method in parts)
    assert read_everything(archive) == b"".join(content for content, _ in parts)


@given(any_cases, st.data())
def test_seeking_gives_what_is_there(case: tuple[bytes, str], data: st.DataObject) -> None:
    content, method = case
    file = nncomp.open(io.BytesIO(nncomp.compress(content, method)))
    plain = io.BytesIO(content)
    for _ in range(data.draw(st.integers(1, 6))):
        position = data.draw(st.integers(0, len(content) + 10))
        size = data.draw(st.integers(-1, len(content)))
        assert file.seek(position) == plain.seek(position)
        assert file.read(size) == plain.read(size)
        assert file.tell() == plain.tell()


@pytest.mark.parametrize("method", METHODS)
@pytest.mark.parametrize("content", [b"", b"x", None], ids=["empty", "one", "small"])
def test_every_prefix_is_truncated(method: str, content: bytes | None) -> None:
    archive = nncomp.compress(SMALL[method] if content is None else content, method)
    for size in range(len(archive)):
        for read in (
            lambda cut: nncomp.decompress(cut),
            lambda cut: nncomp.inspect(io.BytesIO(cut)),
            lambda cut: nncomp.open(io.BytesIO(cut)).read(),
        ):
            with pytest.raises(TruncatedError):
                read(archive[:size])


def test_every_flipped_bit_is_noticed() -> None:
    content = SMALL["store"]
    archive = nncomp.compress(content, "store")
    for bit in range(8 * len(archive)):
        flipped = bytearray(archive)
        flipped[bit // 8] ^= 1 << bit % 8
        with pytest.raises(NncompError):
            nncomp.decompress(flipped)
        check_damaged(bytes(flipped), content)


@pytest.mark.parametrize("method", METHODS[1:])
def test_flipped_bits_are_noticed_or_change_nothing(method: str) -> None:
    content = SMALL[method]
    archive = nncomp.compress(content, method)
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == method
    harmless = 0
    for bit in range(8 * len(archive)):
        flipped = bytearray(archive)
        flipped[bit // 8] ^= 1 << bit % 8
        check_damaged(bytes(flipped), content)
        with suppress(NncompError):
            harmless += nncomp.decompress(flipped) == content
    # Payloads may say the same in two ways (a match one period further back); nothing
    # else in an archive may.
    assert harmless <= 8


@given(any_cases, st.data())
def test_cuts_and_flips_of_larger_archives(case: tuple[bytes, str], data: st.DataObject) -> None:
    content, method = case
    archive = bytearray(nncomp.compress(content, method))
    size = data.draw(st.integers(0, len(archive) - 1))
    with pytest.raises(TruncatedError):
        nncomp.decompress(archive[:size])
    for at in data.draw(st.lists(st.integers(0, len(archive) - 1), min_size=1, max_size=4)):
        archive[at] ^= data.draw(st.integers(1, 255))
    check_damaged(bytes(archive), content)


@given(any_cases, st.binary(min_size=1, max_size=40))
def test_whatever_follows_is_noticed(case: tuple[bytes, str], tail: bytes) -> None:
    content, method = case
    with pytest.raises(FormatError):
        nncomp.decompress(nncomp.compress(content, method) + tail)


@given(st.binary(max_size=300))
def test_any_bytes_are_refused(data: bytes) -> None:
    for start in (b"", b"\x89NNC\r\n\x1a\n", b"\x89NNC\r\n\x1a\n\x01\x00"):
        with pytest.raises(NncompError):
            nncomp.decompress(start + data)


@given(any_cases, st.data())
def test_parts_put_together_anew_are_refused(case: tuple[bytes, str], data: st.DataObject) -> None:
    content, method = case
    archive = nncomp.compress(content, method)
    start = data.draw(st.integers(0, len(archive)))
    end = data.draw(st.integers(start, len(archive)))
    where = data.draw(st.integers(0, len(archive)))
    mixed = archive[:where] + archive[start:end] + archive[where:]
    if mixed not in (archive, archive * 2):
        check_damaged(mixed, content)


@pytest.mark.parametrize("content", [RECORDS, SOUND], ids=["records", "sound"])
def test_flipped_bits_of_what_mix_codes(content: bytes) -> None:
    archive = nncomp.compress(content, "mix")
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert info.codec == "mix"
    for bit in [*range(0, 8 * 64, 3), *range(8 * 64, 8 * len(archive), 97)]:
        flipped = bytearray(archive)
        flipped[bit // 8] ^= 1 << bit % 8
        check_damaged(bytes(flipped), content)
    for size in range(0, len(archive), 7):
        with pytest.raises(TruncatedError):
            nncomp.decompress(archive[:size])


@given(contents, contents, methods.filter(lambda method: "zipnn" in method), st.data())
def test_differences(content: bytes, base: bytes, method: str, data: st.DataObject) -> None:
    start = data.draw(st.integers(0, len(content)))
    mixed = bytearray(content)
    mixed[start : start + len(base)] = base
    for one, other in ((content, base), (bytes(mixed), content), (content, bytes(mixed))):
        if other.startswith(b"\x89NNC"):
            continue  # of such a base the content is meant
        archive = nncomp.compress(one, method, base=other)
        assert nncomp.decompress(archive, base=other) == one
