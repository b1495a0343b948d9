import io
import shutil
from pathlib import Path
from typing import BinaryIO

import numpy as np
import pytest

import nncomp
from nncomp.codecs.base import Codec
from nncomp.errors import (
    CorruptError,
    LimitError,
    TrailingDataError,
    TruncatedError,
    UsageError,
)

METHODS = ["store", "zstd", "lz4", "snappy"]
TEXT = b"".join(b"line %d of a text that compresses\n" % i for i in range(30_000))
NOISE = np.random.default_rng(5).bytes(3_000_000)


def test_inspect_takes_paths_and_refuses_pipes(tmp_path: Path, pipe: type) -> None:
    path = tmp_path / "a.nnc"
    path.write_bytes(nncomp.compress(TEXT, "zstd"))
    assert nncomp.inspect(path) == nncomp.inspect(str(path))
    assert nncomp.inspect(path)[0].raw_size == len(TEXT)
    with pytest.raises(UsageError, match="seek"):
        nncomp.inspect(pipe(path.read_bytes()))


def seekable_archive(method: str) -> tuple[bytes, bytes]:
    content = TEXT + NOISE[:100_000] + TEXT
    parts = [content, b"", content[:70_000]]
    return b"".join(parts), b"".join(nncomp.compress(part, method) for part in parts)


@pytest.mark.parametrize("method", ["store", "zstd:block=64K", "lz4:block=64K", "snappy:block=64K"])
@pytest.mark.parametrize("threads", [1, 3])
def test_random_access(method: str, threads: int) -> None:
    content, archive = seekable_archive(method)
    rng = np.random.default_rng(11)
    with nncomp.open(io.BytesIO(archive), threads=threads) as file:
        assert file.seekable()
        assert file.readable()
        for _ in range(100):
            start, size = int(rng.integers(len(content) + 1000)), int(rng.integers(200_000))
            assert file.seek(start) == start
            assert file.read(size) == content[start : start + size]
        assert file.seek(0, io.SEEK_END) == len(content)
        assert file.read() == b""
        file.seek(-10, io.SEEK_END)
        assert file.read() == content[-10:]
        file.seek(0)
        assert file.read() == content


def test_random_access_reads_only_what_it_needs() -> None:
    class Counted(io.BytesIO):
        total = 0

        def read(self, size: int | None = -1, /) -> bytes:
            data = super().read(size)
            self.total += len(data)
            return data

    source = Counted(nncomp.compress(NOISE, "zstd:block=64K"))
    with nncomp.open(source) as file:
        file.seek(1_000_000)
        assert file.read(10) == NOISE[1_000_000:1_000_010]
    assert source.total < 200_000


def test_random_access_to_chained_records(stub: Codec) -> None:
    content = b"abcd" * 2000 + NOISE[:5000] + b"ef" * 3000
    archive = nncomp.compress(content, "stub") + nncomp.compress(content, "stub")
    file = nncomp.open(io.BytesIO(archive))
    for start in (18_000, 5, 9_999, 37_000, 20_000, 0, 38_000):
        file.seek(start)
        assert file.read(100) == (content * 2)[start : start + 100]


def test_random_access_notices_damage_where_it_reads() -> None:
    archive = bytearray(nncomp.compress(NOISE, "zstd:block=64K"))
    archive[1_500_000] ^= 1
    with nncomp.open(io.BytesIO(archive)) as file:
        file.seek(2_000_000)
        assert file.read(100) == NOISE[2_000_000:2_000_100]
        file.seek(1_490_000)
        with pytest.raises(CorruptError):
            file.read(20_000)


def test_reading_on_after_an_error_does_not_look_like_the_end() -> None:
    archive = bytearray(nncomp.compress(NOISE, "store"))
    archive[2_000_000] ^= 1
    file = nncomp.open(io.BytesIO(archive))
    for _ in range(3):
        with pytest.raises(CorruptError):
            shutil.copyfileobj(file, io.BytesIO())


def test_reading_in_order_verifies_the_end() -> None:
    for tail, error in [(b"x", TrailingDataError), (b"", None)]:
        file = nncomp.open(io.BytesIO(nncomp.compress(TEXT, "zstd") + tail))
        if error:
            with pytest.raises(error):
                file.read()
        else:
            assert file.read() == TEXT


@pytest.mark.parametrize("position", [(-1, 0), (-1, 1), (-len(TEXT) - 1, 2), (0, 5)])
def test_positions_that_do_not_exist(position: tuple[int, int]) -> None:
    file = nncomp.open(io.BytesIO(nncomp.compress(TEXT, "zstd")))
    with pytest.raises((ValueError, OSError)):
        file.seek(*position)


def test_pipes_are_read_in_order(pipe: type) -> None:
    file = nncomp.open(pipe(nncomp.compress(TEXT + NOISE, "zstd")))
    assert not file.seekable()
    assert file.read(10) == TEXT[:10]
    assert file.tell() == 10
    with pytest.raises(io.UnsupportedOperation):
        file.seek(0)
    assert file.read() == (TEXT + NOISE)[10:]


def test_anything_that_takes_a_file_takes_this(tmp_path: Path) -> None:
    path = tmp_path / "a.nnc"
    path.write_bytes(nncomp.compress(TEXT, "zstd"))
    with io.TextIOWrapper(nncomp.open(path), encoding="ascii", newline="") as text:
        assert text.readline() == "line 0 of a text that compresses\n"
        assert sum(1 for _ in text) == 29_999
    with nncomp.open(path) as file:
        copy = io.BytesIO()
        shutil.copyfileobj(file, copy)
        assert copy.getvalue() == TEXT
    with nncomp.open(path) as file:
        assert np.frombuffer(file.read(), np.uint8).tobytes() == TEXT


def test_paths_are_closed_and_file_objects_left_open(tmp_path: Path) -> None:
    given = io.BytesIO(nncomp.compress(TEXT, "zstd"))
    file = nncomp.open(given)
    file.read(10)
    file.close()
    file.close()
    assert file.closed
    assert not given.closed
    with pytest.raises(ValueError, match="closed"):
        file.read(1)


@pytest.mark.parametrize("method", METHODS)
def test_writing(method: str, tmp_path: Path) -> None:
    path = tmp_path / "a.nnc"
    with nncomp.open(path, "wb", method=method) as file:
        assert file.writable()
        assert not file.seekable()
        assert file.write(b"") == 0
        for start in range(0, len(TEXT), 9_999):
            file.write(TEXT[start : start + 9_999])
        file.write(memoryview(NOISE))
        assert file.tell() == len(TEXT) + len(NOISE)
        assert not path.exists()
    assert nncomp.decompress(path.read_bytes()) == TEXT + NOISE
    assert list(tmp_path.iterdir()) == [path]


def test_writing_to_a_file_object_leaves_it_open() -> None:
    sink = io.BytesIO()
    with nncomp.open(sink, "wb", method="zstd") as file:
        file.write(TEXT)
    assert nncomp.decompress(sink.getvalue()) == TEXT


def test_writing_text() -> None:
    sink = io.BytesIO()
    file = nncomp.open(sink, "wb", method="zstd")
    with io.TextIOWrapper(file, encoding="ascii", newline="") as text:
        text.write(TEXT.decode())
    assert nncomp.decompress(sink.getvalue()) == TEXT


def write_and_fail(target: Path | BinaryIO) -> None:
    with nncomp.open(target, "wb", method="zstd") as file:
        file.write(NOISE)
        raise ZeroDivisionError


def test_nothing_is_published_on_an_exception(tmp_path: Path) -> None:
    with pytest.raises(ZeroDivisionError):
        write_and_fail(tmp_path / "a.nnc")
    assert not list(tmp_path.iterdir())


def test_nothing_is_published_by_dropping_the_object(tmp_path: Path) -> None:
    file = nncomp.open(tmp_path / "a.nnc", "wb", method="zstd")
    file.write(NOISE)
    del file
    assert not list(tmp_path.iterdir())


def test_unfinished_archive_in_a_file_object_is_truncated() -> None:
    sink = io.BytesIO()
    with pytest.raises(ZeroDivisionError):
        write_and_fail(sink)
    assert sink.getvalue()
    with pytest.raises(TruncatedError):
        nncomp.decompress(sink.getvalue())


def test_errors_of_the_worker_reach_the_writer(tmp_path: Path, pipe: type) -> None:
    class Full(pipe):
        def write(self, data) -> int:
            raise OSError(28, "No space left on device")

    file = nncomp.open(Full(), "wb", method="store")
    with pytest.raises(OSError, match="No space"):
        file.writelines([NOISE] * 1000)
    with pytest.raises(OSError, match="No space"):
        file.close()
    assert file.closed
    missing = nncomp.open(tmp_path / "no" / "folder.nnc", "wb")
    with pytest.raises(FileNotFoundError):
        missing.close()


def test_memory_limit_reaches_the_worker(tmp_path: Path) -> None:
    with (
        pytest.raises(LimitError),
        nncomp.open(tmp_path / "a.nnc", "wb", method="zstd", memory_limit=1000) as file,
    ):
        file.write(NOISE)
    assert not list(tmp_path.iterdir())


def test_closed_writer_takes_nothing() -> None:
    file = nncomp.open(io.BytesIO(), "wb")
    file.close()
    file.close()
    with pytest.raises(ValueError, match="closed"):
        file.write(b"x")


@pytest.mark.parametrize("mode", ["r", "w", "ab", "rb+", ""])
def test_other_modes_are_refused(mode: str) -> None:
    with pytest.raises(UsageError, match="expected 'rb' or 'wb'"):
        nncomp.open(io.BytesIO(), mode)


def test_names_are_there() -> None:
    for name in nncomp.__all__:
        assert getattr(nncomp, name) is not None
        assert name in dir(nncomp)
    with pytest.raises(AttributeError, match="no attribute 'nothing'"):
        nncomp.nothing  # noqa: B018 - raises
