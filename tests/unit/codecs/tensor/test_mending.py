"""Checksums in ZIP archives whose arrays have lost precision, wherever records end."""

import io
import struct
import subprocess
import zipfile
from pathlib import Path
from shutil import which

import numpy as np
import pytest

import nncomp
from nncomp.codecs.base import Context
from nncomp.codecs.tensor import mending

RANDOM = np.random.default_rng(3)
UNZIP = which("unzip") or ""
LOSSY = ("emb:bound=1e-2,block=64K", "zipnn:abs=1e-2,block=64K")


class Pipe(io.BytesIO):
    """What cannot be gone back in: checksums stand behind the entries."""

    def seekable(self) -> bool:
        return False

    def seek(self, *_place: int) -> int:
        raise OSError

    def tell(self) -> int:
        raise OSError


def npz(arrays: dict[str, np.ndarray], *, seekable: bool = True, zip64: bool = False) -> bytes:
    """As `numpy.savez`, which always makes room for large sizes."""
    file = io.BytesIO() if seekable else Pipe()
    with zipfile.ZipFile(file, "w") as archive:
        for name, array in arrays.items():
            with archive.open(f"{name}.npy", "w", force_zip64=zip64) as entry:
                np.lib.format.write_array(entry, array)
    return file.getvalue()


def normal(*shape: int) -> np.ndarray:
    return RANDOM.normal(size=shape).astype(np.float32)


def lost(content: bytes, method: str) -> bytes:
    """What comes back, and every checksum in it compared."""
    out = nncomp.decompress(nncomp.compress(content, method))
    assert len(out) == len(content)
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        assert archive.testzip() is None
        for entry in archive.infolist():
            (local,) = struct.unpack_from("<I", out, entry.header_offset + 14)
            assert local == (0 if entry.flag_bits & 8 else entry.CRC)
    return out


@pytest.mark.parametrize("method", LOSSY)
@pytest.mark.parametrize("seekable", [True, False])
def test_entries_of_several_records(method: str, seekable: bool) -> None:
    arrays = {"a": normal(300, 200), "ids": np.arange(40_000), "b": normal(50), "c": normal(70_000)}
    content = npz(arrays, seekable=seekable)
    out = lost(content, method)
    assert out != content
    back = np.load(io.BytesIO(out))
    assert all(np.abs(back[name] - array).max() <= 1e-2 for name, array in arrays.items())


@pytest.mark.parametrize("method", LOSSY)
@pytest.mark.parametrize("seekable", [True, False])
def test_directories_of_several_records(method: str, seekable: bool) -> None:
    """More than a thousand entries of a directory are cut by the ends of records."""
    arrays = {f"{k:05}{'name' * 20}": normal(3) for k in range(10_100)}
    content = npz(arrays, seekable=seekable, zip64=True)
    back = np.load(io.BytesIO(lost(content, method)))
    assert len(back.files) == len(arrays)
    for name in [*arrays][::500]:
        assert 0 < np.abs(back[name] - arrays[name]).max() <= 1e-2


@pytest.mark.parametrize("method", LOSSY)
@pytest.mark.parametrize("seekable", [True, False])
def test_records_may_end_anywhere(method: str, seekable: bool) -> None:
    """Within a header, its checksum, a descriptor, a signature of any of them."""
    arrays = {"a": normal(100), "b": normal(8)}

    def padded(size: int) -> bytes:
        return npz({"pad": np.zeros(size, np.uint8), **arrays}, seekable=seekable)

    start = padded(0)
    for place in (b"PK\3\4", b"PK\1\2"):
        room = 65_536 - start.rindex(place)
        for size in range(room - 34, room + 30):
            lost(padded(size), method)


@pytest.mark.skipif(not UNZIP, reason="there is no unzip")
@pytest.mark.parametrize("method", LOSSY)
def test_programs_find_no_fault(method: str, tmp_path: Path) -> None:
    path = tmp_path / "a.npz"
    path.write_bytes(lost(npz({"a": normal(90_000), "b": normal(9)}), method))
    subprocess.run([UNZIP, "-t", path], check=True, capture_output=True)


@pytest.mark.parametrize("method", LOSSY)
def test_what_cannot_wait_is_told(method: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """NumPy goes by the directory, so that nothing is refused."""
    content = npz({"small": normal(9), "large": normal(90_000), "last": normal(9)})
    told: list[str] = []
    monkeypatch.setattr(mending, "HELD_MAX", 1 << 10)
    archive = io.BytesIO()
    context = Context(warn=told.append)
    nncomp.compress_stream(io.BytesIO(content), archive, method=method, context=context)
    out = nncomp.decompress(archive.getvalue())
    assert any("'large.npy' keeps the CRC-32 of what it was" in text for text in told)
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        assert archive.testzip() is None
        entry = archive.infolist()[1]
        assert struct.unpack_from("<I", out, entry.header_offset + 14) != (entry.CRC,)


@pytest.mark.parametrize("method", LOSSY)
@pytest.mark.parametrize("damage", ["cut off", "another size", "descriptor", "nothing"])
def test_a_directory_that_is_not_found_is_told(method: str, damage: str) -> None:
    """Python reads archives whose local headers are damaged, if their directory is whole."""
    arrays = {"a": normal(30_000), "b": normal(9)}
    content = bytearray(npz(arrays, seekable=damage != "descriptor"))
    if damage == "cut off":
        del content[content.index(b"PK\1\2") :]
    elif damage == "descriptor":
        content[content.index(b"PK\7\x08") + 4] ^= 1
    elif damage == "another size":
        content[content.rindex(b"PK\3\4") + 18] ^= 1
    told: list[str] = []
    context = Context(warn=told.append)
    nncomp.compress_stream(io.BytesIO(content), io.BytesIO(), method=method, context=context)
    assert [text.partition(":")[0] for text in told] == (
        [] if damage == "nothing" else ["the ZIP archive is damaged, or cut off"]
    )


def test_many_records_wait_for_one_entry(monkeypatch: pytest.MonkeyPatch) -> None:
    """Those that wait are not counted anew for each one that comes."""
    calls = 0
    wait = mending.Coded.wait

    def counted(record: mending.Coded) -> int:
        nonlocal calls
        calls += 1
        return wait(record)

    monkeypatch.setattr(mending.Coded, "wait", counted)
    lost(npz({"a": np.zeros(40 << 14, np.float32), "b": normal(9)}), LOSSY[0])
    assert calls <= 50


@pytest.mark.parametrize("method", LOSSY)
def test_what_was_wrong_stays_wrong(method: str) -> None:
    content = bytearray(npz({"a": normal(30_000), "b": normal(9)}))
    content[14:18] = b"1234"
    directory = content.index(b"PK\1\2")
    content[directory + 16 : directory + 20] = b"5678"
    out = nncomp.decompress(nncomp.compress(bytes(content), method))
    assert out[14:18] == b"1234"
    assert out[directory + 16 : directory + 20] == b"5678"
    with zipfile.ZipFile(io.BytesIO(out)) as archive:
        assert archive.testzip() == "a.npy"


@pytest.mark.parametrize("method", LOSSY)
def test_what_is_cut_off_comes_back_to_its_end(method: str) -> None:
    content = npz({"a": normal(30_000), "b": normal(9)})
    for size in (1, 10, 29, 40, 140, 120_100, len(content) - 100, len(content) - 50):
        assert len(nncomp.decompress(nncomp.compress(content[:size], method))) == size
