import io
from collections.abc import Callable
from pathlib import Path

import pytest

import nncomp
from nncomp.errors import (
    CorruptError,
    MissingWeightsError,
    NncompError,
    NotAnArchiveError,
    NumericsProfileError,
    TrailingDataError,
    TruncatedError,
    UnknownCodecError,
    UsageError,
)


@pytest.mark.parametrize(
    ("changes", "error", "message"),
    [
        ({"codec_id": 12345}, UnknownCodecError, "12345"),
        ({"codec_version": 2}, UnknownCodecError, "version 2 of codec 'store'"),
        ({"codec_version": 0}, UnknownCodecError, "version 0"),
        ({"profile": 1}, NumericsProfileError, "profile 1"),
        ({"profile": 77}, NumericsProfileError, "profile 77"),
        ({"weights_digest": bytes(range(32))}, MissingWeightsError, "000102030405"),
        ({"params": "block=65536"}, CorruptError, "parameters"),
        ({"codec_id": 1}, CorruptError, "parameters"),
        ({"codec_id": 1, "params": "block=5"}, CorruptError, "64K to 1G"),
        ({"content_size": 4}, CorruptError, "announces 4 bytes"),
    ],
)
def test_header_that_cannot_be_followed(
    changes: dict[str, object], error: type[NncompError], message: str, member: Callable[..., bytes]
) -> None:
    with pytest.raises(error, match=message):
        nncomp.decompress(member([(b"one", None)], **changes))


def test_unknown_codec_is_listed_by_number(member: Callable[..., bytes]) -> None:
    archive = member([(b"one", None)], codec_id=12345, weights_digest=bytes(range(32)))
    (info,) = nncomp.inspect(io.BytesIO(archive))
    assert (info.codec, info.codec_id, info.raw_size) == ("unknown-12345", 12345, 3)
    assert info.weights_digest == bytes(range(32)).hex()


@pytest.mark.parametrize(
    ("data", "error"),
    [
        (b"", TruncatedError),
        (b"\x89NN", TruncatedError),
        (b"PK\x03\x04" + bytes(50), NotAnArchiveError),
        (nncomp.compress(b"abc") + b"\x00", TrailingDataError),
        (nncomp.compress(b"abc") + b"abc", TrailingDataError),
        (nncomp.compress(b"abc")[:-1], TruncatedError),
    ],
)
def test_other_bytes(data: bytes, error: type[NncompError]) -> None:
    for reading in (
        lambda: nncomp.decompress(data),
        lambda: nncomp.inspect(io.BytesIO(data)),
        lambda: nncomp.open(io.BytesIO(data)).read(),
    ):
        with pytest.raises(error):
            reading()


def test_content_that_is_not_the_checksums_is_corrupt(member: Callable[..., bytes]) -> None:
    data = member([(b"one", None)])
    other = member([(b"two", None)])
    with pytest.raises(CorruptError, match="content does not match"):
        nncomp.decompress(data[:-20] + other[-20:])


@pytest.mark.parametrize(
    "arguments",
    [
        {"threads": 0},
        {"threads": -1},
        {"memory_limit": -1},
        {"device": "tpu"},
        {"method": "bzip9"},
        {"method": "zstd:level=99"},
        {"level": 10},
    ],
)
def test_arguments_are_checked(arguments: dict[str, object], tmp_path: Path) -> None:
    with pytest.raises(UsageError):
        nncomp.compress(b"abc", **arguments)
    with pytest.raises(UsageError):
        nncomp.open(tmp_path / "x.nnc", "wb", **arguments)
    assert not list(tmp_path.iterdir())


def test_announced_sizes_that_are_lies(member: Callable[..., bytes]) -> None:
    for size in (4, 2, 1 << 59):
        lying = member([(b"abc", None)], content_size=size)
        with pytest.raises(CorruptError):
            nncomp.decompress(lying, memory_limit=1 << 60)
    announced = member([(b"abc", None), (b"de", None)], content_size=5)
    plain = member([(b"fgh", None)])
    for parts in ((announced, plain), (plain, announced), (announced, announced, plain)):
        content = {announced: b"abcde", plain: b"fgh"}
        assert nncomp.decompress(b"".join(parts)) == b"".join(content[part] for part in parts)
