"""Archives that two readers would read differently are read by neither part here."""

from __future__ import annotations

import io
import struct
import zipfile

import numpy as np
import pytest

from nncomp.codecs.tensor.formats import directory
from nncomp.errors import TensorFileError

LOCAL, CENTRAL, END = b"PK\x03\x04", b"PK\x01\x02", b"PK\x05\x06"


def array(value: int) -> bytes:
    buffer = io.BytesIO()
    np.save(buffer, np.full(4, value, "i4"))
    return buffer.getvalue()


@pytest.fixture
def good(zip_file):
    return bytearray(zip_file({"a.npy": array(1), "b.npy": array(2)}))


@pytest.fixture
def refuse(walk):
    """Check that a file is refused for a reason; as a stream it is only odd."""

    def check(data: bytes, reason: str) -> None:
        walk(bytes(data))
        with pytest.raises(TensorFileError, match=reason):
            directory(io.BytesIO(data))

    return check


def poke(data: bytearray, signature: bytes, offset: int, layout: str, value: int) -> None:
    """Change a field of the last record with a signature."""
    struct.pack_into(layout, data, data.rindex(signature) + offset, value)


def test_the_archive_that_all_of_these_begin_with(good, tensors):
    assert [tensor.name for tensor in tensors(bytes(good))] == ["a", "b"]


def test_two_entries_of_one_name(zip_file, refuse):
    buffer = io.BytesIO()
    with zipfile.ZipFile(buffer, "w") as archive:
        archive.writestr("a.npy", array(1))
        with pytest.warns(UserWarning, match="Duplicate"):
            archive.writestr("a.npy", array(2))
    refuse(buffer.getvalue(), "two ZIP entries have the name 'a.npy'")


def test_two_directory_entries_for_the_same_bytes(good, refuse):
    poke(good, CENTRAL, 42, "<I", 0)
    refuse(good, "'b.npy' is another in its own header")


def test_entries_within_entries(zip_file, refuse):
    """As in a bomb: the bytes of one entry hold the header of another."""
    inner = zip_file({"b.npy": array(2)})
    data = bytearray(zip_file({"a.npy": inner[: inner.index(CENTRAL)], "b.npy": array(2)}))
    poke(data, CENTRAL, 42, "<I", data.index(LOCAL, 4))
    refuse(data, "'a.npy' overlaps what follows it")


def test_an_entry_that_reaches_into_the_directory(good, refuse):
    size = len(array(2)) + 30
    for signature, offsets in ((CENTRAL, (20, 24)), (LOCAL, (18, 22))):
        for offset in offsets:
            poke(good, signature, offset, "<I", size)
    refuse(good, "'b.npy' overlaps what follows it")


def test_another_name_in_the_local_header(good, refuse):
    good[good.index(b"a.npy")] = ord("c")
    refuse(good, "'a.npy' is another in its own header")


def test_another_size_in_the_local_header(good, refuse):
    poke(good, LOCAL, 18, "<I", 1)
    poke(good, LOCAL, 22, "<I", 1)
    refuse(good, "'b.npy' is another in its own header")


def test_another_method_in_the_local_header(good, refuse):
    poke(good, LOCAL, 8, "<H", zipfile.ZIP_DEFLATED)
    refuse(good, "'b.npy' is another in its own header")


def test_stored_with_two_sizes(good, refuse):
    poke(good, CENTRAL, 24, "<I", 1 << 30)
    refuse(good, "stored with two sizes")


def test_encrypted_entries(good, refuse):
    poke(good, CENTRAL, 8, "<H", 1)
    refuse(good, "'b.npy' is encrypted")


def test_offsets_beyond_the_file(good, refuse):
    poke(good, CENTRAL, 42, "<I", 0x7FFFFFFF)
    refuse(good, "ends too early")


def test_offsets_beyond_what_any_system_seeks_to(monkeypatch, refuse):
    monkeypatch.setattr(zipfile, "ZIP64_LIMIT", 0)
    buffer = io.BytesIO()
    np.savez(buffer, a=np.zeros(3))
    data = bytearray(buffer.getvalue())
    poke(data, b"PK\x06\x06", 48, "<Q", (1 << 64) - 1)
    refuse(data, "does not end where")
    data = bytearray(buffer.getvalue())
    poke(data, b"PK\x06\x07", 8, "<Q", (1 << 64) - 1)
    refuse(data, "do not meet")


def test_sizes_that_are_in_no_extra_field(good, refuse):
    poke(good, CENTRAL, 20, "<I", 0xFFFFFFFF)
    refuse(good, "not where they should be")


def test_absurd_counts(good, refuse):
    for offset in (8, 10):
        poke(good, END, offset, "<H", 0xFFFF)
    refuse(good, "65535 entries")


def test_counts_that_lie(good, refuse):
    for count, reason in ((1, "longer than it says"), (0, "longer than it says")):
        for offset in (8, 10):
            poke(good, END, offset, "<H", count)
        refuse(good, reason)


def test_a_directory_that_is_no_directory(good, refuse):
    poke(good, CENTRAL, 0, "<I", 0)
    refuse(good, "shorter than it says")


def test_names_longer_than_the_directory(good, refuse):
    poke(good, CENTRAL, 28, "<H", 0xFFFF)
    refuse(good, "ends after it")


def test_archives_in_parts(good, refuse):
    poke(good, END, 4, "<H", 1)
    refuse(good, "several parts")


def test_bytes_before_the_archive(good):
    with pytest.raises(TensorFileError, match="does not end where"):
        directory(io.BytesIO(LOCAL + bytes(26) + good))


def test_bytes_after_the_archive(good, refuse):
    refuse(good + b"more", "belong to nothing")


def test_an_archive_behind_another(good, refuse):
    refuse(good + good, "does not end where")


def test_every_truncation(good, walk):
    for stop in range(len(good)):
        walk(bytes(good[:stop]))
        with pytest.raises(TensorFileError):
            directory(io.BytesIO(good[:stop]))
