"""Bases of differences: files, bytes, archives, chains; and what is refused."""

import gc
import io
import os
import threading
from concurrent.futures import ThreadPoolExecutor
from pathlib import Path

import numpy as np
import pytest
import xxhash

import nncomp
from nncomp.api.base import open_base
from nncomp.codecs.base import Context
from nncomp.errors import (
    CorruptError,
    FileError,
    FormatError,
    MethodError,
    MissingBaseError,
    NncompError,
    UsageError,
)

RANDOM = np.random.default_rng(30)
OLD = RANDOM.normal(0, 0.02, 50_000).astype(np.float32)
METHOD = "zipnn:dtype=f32,block=64K"


def later(numbers: np.ndarray) -> np.ndarray:
    """A twentieth of the numbers changed a little."""
    return np.where(RANDOM.random(len(numbers)) < 0.05, numbers * np.float32(1.01), numbers)


NEW = later(OLD)
NEWER = later(NEW)
A, B, C = OLD.tobytes(), NEW.tobytes(), NEWER.tobytes()
CODED = {name: nncomp.compress(data, METHOD) for name, data in (("a", A), ("b", B))}
B_FROM_A = nncomp.compress(B, METHOD, base=A)


def test_differences_are_small_and_come_back() -> None:
    assert len(B_FROM_A) < 0.2 * len(CODED["b"])
    assert nncomp.decompress(B_FROM_A, base=A) == B


def test_a_base_is_a_path_or_bytes_or_an_archive_of_it(tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(A)
    (tmp_path / "a.nnc").write_bytes(CODED["a"])
    forms = [
        A,
        bytearray(A),
        memoryview(A),
        tmp_path / "a",
        str(tmp_path / "a"),
        CODED["a"],
        nncomp.compress(A, "zstd"),
        nncomp.compress(A[:1000], "lz4") + nncomp.compress(A[1000:], "store"),
        tmp_path / "a.nnc",
        [A],
        (tmp_path / "a",),
    ]
    for base in forms:
        assert nncomp.compress(B, METHOD, base=base) == B_FROM_A
        assert nncomp.decompress(B_FROM_A, base=base) == B
        assert nncomp.decompress(B_FROM_A, base=base, threads=3) == B
        with nncomp.open(io.BytesIO(B_FROM_A), base=base) as file:
            file.seek(100_000)
            assert file.read() == B[100_000:]


def test_streams_take_bases() -> None:
    context = Context(base=open_base(A, Context()))
    sink, out = io.BytesIO(), io.BytesIO()
    nncomp.compress_stream(io.BytesIO(B), sink, method=METHOD, context=context)
    assert len(sink.getvalue()) < 0.2 * len(CODED["b"])
    sink.seek(0)
    nncomp.decompress_stream(sink, out, context=context)
    assert out.getvalue() == B


def test_chains() -> None:
    c_from_b = nncomp.compress(C, METHOD, base=[B_FROM_A, CODED["a"]])
    assert c_from_b == nncomp.compress(C, METHOD, base=B)
    assert nncomp.decompress(c_from_b, base=[B_FROM_A, A]) == C
    assert nncomp.decompress(c_from_b, base=B) == C
    d_from_c = nncomp.compress(A, METHOD, base=C)
    assert nncomp.decompress(d_from_c, base=[c_from_b, B_FROM_A, CODED["a"]], threads=2) == A
    for broken in ([c_from_b, B_FROM_A], [c_from_b, A], [B_FROM_A, c_from_b, A], c_from_b):
        with pytest.raises(MissingBaseError):
            nncomp.decompress(d_from_c, base=broken)


@pytest.mark.parametrize(
    ("base", "problem"),
    [
        (None, "Give that file with --base"),
        (B, f"the base given has {xxhash.xxh3_64_hexdigest(B)}"),
        (A[:-1], "the base given has"),
        (A + b"\0", "the base given has"),
        (b"", "the base given has"),
        (CODED["b"], "the base given has"),
    ],
    ids=["none", "another", "shorter", "longer", "empty", "archive of another"],
)
def test_other_bases_are_refused_before_work(base, problem: str) -> None:
    with pytest.raises(MissingBaseError, match=problem) as caught:
        nncomp.decompress(B_FROM_A, base=base)
    assert xxhash.xxh3_64_hexdigest(A) in str(caught.value)
    out = io.BytesIO()
    context = Context(base=open_base(base, Context()))
    with pytest.raises(MissingBaseError):
        nncomp.decompress_stream(io.BytesIO(B_FROM_A), out, context=context)
    assert not out.getvalue()
    with pytest.raises(MissingBaseError), nncomp.open(io.BytesIO(B_FROM_A), base=base) as file:
        file.read()


def test_the_archive_names_its_base() -> None:
    (info,) = nncomp.inspect(io.BytesIO(B_FROM_A))
    assert f"base={xxhash.xxh3_64_hexdigest(A)}" in info.params.split(",")
    (info,) = nncomp.inspect(io.BytesIO(CODED["a"]))
    assert "base=none" in info.params.split(",")


def test_a_base_that_is_not_needed_does_no_harm() -> None:
    assert nncomp.decompress(CODED["a"], base=B) == A
    assert nncomp.decompress(nncomp.compress(A, "zstd"), base=B) == A


def test_small_contents_of_any_kind() -> None:
    for content in (b"", b"x", A[:100]):
        for base in (b"", b"y", A):
            archive = nncomp.compress(content, "zipnn", base=base)
            assert nncomp.decompress(archive, base=base) == content


def test_no_base_for_other_methods() -> None:
    for method in ("zstd", "store", "lz4"):
        with pytest.raises(MethodError, match="takes no base"):
            nncomp.compress(B, method, base=A)


def test_what_cannot_be_a_base(tmp_path: Path) -> None:
    with pytest.raises(UsageError, match="at least one"):
        nncomp.compress(B, METHOD, base=[])
    with pytest.raises(FileNotFoundError):
        nncomp.compress(B, METHOD, base=tmp_path / "missing")
    with pytest.raises((IsADirectoryError, PermissionError)):
        nncomp.compress(B, METHOD, base=tmp_path)
    for damaged in (CODED["a"][:-1], CODED["a"][:100], CODED["a"] + b"!", CODED["a"][:8]):
        with pytest.raises(FormatError):
            nncomp.compress(B, METHOD, base=damaged)


@pytest.mark.skipif(not hasattr(os, "mkfifo"), reason="this system has no named pipes")
def test_pipes_are_refused(tmp_path: Path) -> None:
    path = tmp_path / "pipe"
    os.mkfifo(path)
    writer = threading.Thread(target=lambda: path.write_bytes(b""))
    writer.start()
    try:
        with pytest.raises(FileError, match="seek"):
            open_base(path, Context())
    finally:
        writer.join()


def test_damaged_archives_as_bases() -> None:
    """What is wrong in a base is an error, whichever of its records is needed."""
    for at in range(0, len(CODED["a"]), 997):
        damaged = bytearray(CODED["a"])
        damaged[at] ^= 0x10
        with pytest.raises(NncompError):
            assert nncomp.decompress(B_FROM_A, base=bytes(damaged)) != B


def test_a_base_that_changes_while_it_is_used(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(A)
    base = open_base(path, Context())
    assert base is not None
    assert base.read(0, 10) == A[:10]
    assert base.digest == xxhash.xxh3_64_hexdigest(A)
    path.write_bytes(B[:1000])
    with pytest.raises(FileError, match="changed"):
        base.read(50_000, 1000)
    path.write_bytes(B)  # of the same size: what comes out is not what went in
    with pytest.raises(CorruptError):
        nncomp.decompress_stream(io.BytesIO(B_FROM_A), io.BytesIO(), context=Context(base=base))


@pytest.mark.parametrize("form", ["file", "bytes", "archive"])
def test_bases_are_read_by_many_threads(form: str, tmp_path: Path) -> None:
    (tmp_path / "a").write_bytes(A)
    base = open_base({"file": tmp_path / "a", "bytes": A, "archive": CODED["a"]}[form], Context())
    assert base is not None
    assert (base.size, base.digest) == (len(A), xxhash.xxh3_64_hexdigest(A))
    places = [(int(at), int(size)) for at, size in RANDOM.integers(0, 90_000, (200, 2))]
    with ThreadPoolExecutor(8) as pool:
        parts = pool.map(lambda place: bytes(base.read(*place)), places)
        for (at, size), part in zip(places, parts, strict=True):
            assert part == A[at : at + size]
    with base.file() as one, base.file() as other:
        assert one.seek(100) == 100
        assert other.read(10) == A[:10]
        assert one.read(10) == A[100:110]


def test_bases_are_not_written_to_and_closed(tmp_path: Path) -> None:
    path = tmp_path / "a"
    path.write_bytes(A)
    path.chmod(0o400)
    before = path.stat()
    writable = bytearray(A)
    array = np.frombuffer(A, np.uint8)  # read-only
    for base in (path, writable, array.data):
        archive = nncomp.compress(NEW.data, METHOD, base=base)
        assert nncomp.decompress(archive, base=base) == B
    assert writable == A
    after = path.stat()
    assert (before.st_mtime_ns, before.st_size) == (after.st_mtime_ns, after.st_size)
    del archive, base
    gc.collect()  # an open file would be a ResourceWarning, which is an error here
