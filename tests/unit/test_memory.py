"""Memory that is handed out before it is filled."""

import ctypes
import gc
import sys
import tracemalloc

import numpy as np
import pytest

from nncomp.memory import NewBytes, Scratch, keep_freed_memory

SIZES = [0, 1, 2, 15, 4096, 100_001, 5 << 20]


@pytest.mark.parametrize("size", SIZES)
@pytest.mark.parametrize("share", [0, 0.5, 1])
def test_new_bytes_are_what_was_written(size: int, share: float) -> None:
    content = np.random.default_rng(size).bytes(size)
    new = NewBytes(size)
    assert len(new.view) == size
    new.view[:] = content
    kept = int(share * size)
    value = new.finish(kept)
    assert type(value) is bytes
    assert value == content[:kept]
    assert hash(value) == hash(content[:kept])
    assert value + b"x" == content[:kept] + b"x"


def test_new_bytes_are_bytes_of_their_own() -> None:
    values = []
    for content in (b"a", b"b", b"ab"):
        new = NewBytes(len(content))
        new.view[:] = content
        values.append(new.finish(len(content)))
    assert values == [b"a", b"b", b"ab"]
    assert b"".join([bytes([97]), bytes([98])]) == b"ab"
    assert (b"", b"a", bytes(1)) == (b"ab"[:0], b"ab"[:1], b"\0")


def test_nothing_is_written_afterwards() -> None:
    new = NewBytes(10)
    view = new.view
    new.view[:] = b"0123456789"
    assert new.finish(10) == b"0123456789"
    with pytest.raises(ValueError, match="released"):
        view[0] = 0
    with pytest.raises(ValueError, match="released"):
        new.finish(10)


def test_more_memory_than_there_is() -> None:
    with pytest.raises(MemoryError):
        NewBytes(1 << 60)
    gc.collect()


def test_writes_do_not_leave_the_memory() -> None:
    new = NewBytes(10)
    with pytest.raises(ValueError, match="different structures"):
        new.view[5:] = b"too many"
    with pytest.raises(IndexError):
        new.view[10] = 0


@pytest.mark.parametrize("size", [0, 1, 1000, 5 << 20])
@pytest.mark.parametrize("finished", [False, True])
def test_memory_is_given_back(size: int, finished: bool) -> None:
    value = NewBytes(size).finish(size // 2)  # what is imported and cached is there now
    assert sys.getrefcount(value) == sys.getrefcount(NewBytes(size).finish(size // 2)) or size < 4
    gc.collect()
    tracemalloc.start()
    for _ in range(50):
        new = NewBytes(size)
        if finished:
            assert len(new.finish(size // 2)) == size // 2
    del new
    gc.collect()
    kept = tracemalloc.get_traced_memory()[0]
    tracemalloc.stop()
    assert kept < 20_000


def test_views_keep_the_memory() -> None:
    NewBytes(10).view.release()  # what is imported and cached is there now
    tracemalloc.start()
    new = NewBytes(1 << 20)
    part = np.frombuffer(new.view[1000:2000], np.uint8)
    del new
    gc.collect()
    assert tracemalloc.get_traced_memory()[0] > 1 << 20
    part[:] = 7
    assert part.tobytes() == bytes([7]) * 1000
    del part
    assert tracemalloc.get_traced_memory()[0] < 20_000
    tracemalloc.stop()


def test_other_users_of_the_interpreter_are_not_disturbed() -> None:
    create = ctypes.pythonapi.PyBytes_FromStringAndSize
    before = create.restype, create.argtypes
    new = NewBytes(3)
    new.view[:] = b"abc"
    try:
        create.restype, create.argtypes = ctypes.py_object, None
        other = NewBytes(3)
        other.view[:] = b"xyz"
        assert (new.finish(3), other.finish(3)) == (b"abc", b"xyz")
        assert create.restype is ctypes.py_object
    finally:
        create.restype, create.argtypes = before


@pytest.mark.parametrize("size", SIZES)
def test_scratch_keeps_what_is_written(size: int) -> None:
    content = np.random.default_rng(size).bytes(size)
    scratch = Scratch(size + 100)
    third = size // 3
    pieces = (content[:third], bytearray(content[third : 2 * third]), b"", content[2 * third :])
    for piece in pieces:
        assert scratch.write(memoryview(piece)) == len(piece)
    assert scratch.getvalue() == content


def test_scratch_takes_no_more_than_it_has() -> None:
    scratch = Scratch(10)
    scratch.write(b"0123456789")
    with pytest.raises(ValueError, match="different structures"):
        scratch.write(b"!")
    assert scratch.getvalue() == b"0123456789"


def test_freed_memory_is_kept_once(monkeypatch) -> None:
    calls = []

    class Library:
        def __init__(self, name: object) -> None:
            self.mallopt = lambda *arguments: calls.append(arguments)

    monkeypatch.setattr(ctypes, "CDLL", Library)
    keep_freed_memory.cache_clear()
    keep_freed_memory()
    keep_freed_memory()
    assert calls == [(-3, 1 << 25), (-1, 1 << 30)]


@pytest.mark.parametrize("error", [OSError, AttributeError, TypeError])
def test_other_systems_do_without(monkeypatch, error: type[Exception]) -> None:
    def refuse(name: object) -> None:
        raise error

    monkeypatch.setattr(ctypes, "CDLL", refuse)
    keep_freed_memory.cache_clear()
    keep_freed_memory()
    new = NewBytes(5 << 20)
    new.view[:3] = b"abc"
    assert new.finish(3) == b"abc"
