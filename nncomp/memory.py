"""Memory as the operating system hands it out, which costs more than computing on it.

A fresh page costs a fault and its zeroing; on virtual machines that is several times the
price of writing to it. Pages that were freed can be kept, and large results can be put on
huge pages, with one fault for 512 small ones. All of it is advice: elsewhere than on
Linux with glibc it does nothing, and nothing depends on it.
"""

from __future__ import annotations

import ctypes
import mmap
from functools import cache
from typing import TYPE_CHECKING, TypeAlias

if TYPE_CHECKING:
    Buffer: TypeAlias = bytes | bytearray | memoryview

__all__ = ["NewBytes", "Scratch", "keep_freed_memory"]

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MMAP_LIMIT = 1 << 25  # the largest value that glibc accepts on 64-bit systems
_TRIM_LIMIT = 1 << 30

_HUGE = 4 << 20  # from which size on huge pages are asked for
_MADV_HUGEPAGE = 14  # from Linux's mman.h


@cache
def keep_freed_memory() -> None:
    """Raise glibc's thresholds, once, so that freed arrays of some megabytes are used again."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_LIMIT)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_LIMIT)


class NewBytes:
    """A `bytes` object that is filled before anybody else sees it, as C extensions do it.

    Attributes:
        view: Its memory, to be written to; not initialised. The memory stays as long as
            this view, or any that was made of it.

    Args:
        size: How many bytes; it can be made shorter in the end.

    Raises:
        MemoryError: There is not as much.
    """

    def __init__(self, size: int) -> None:
        self._held = _Held(size)
        start: int = _python().PyBytes_AsString(self._held.pointer)
        if size >= _HUGE:
            _ask_for_huge_pages(start, size)
        memory = (ctypes.c_ubyte * size).from_address(start)
        memory.__dict__["held"] = self._held  # every view refers to `memory`
        self.view = memoryview(memory).cast("B")

    def finish(self, size: int) -> bytes:
        """The object with its first `size` bytes; no view of it must be used any more."""
        full = size == len(self.view)
        self.view.release()
        pointer, self._held.pointer = self._held.pointer, ctypes.c_void_p()
        if not full and _python()._PyBytes_Resize(ctypes.byref(pointer), size):
            raise MemoryError("a result cannot be made shorter")
        value: bytes = ctypes.cast(pointer, ctypes.py_object).value
        _python().Py_DecRef(pointer)  # `value` has a reference of its own
        return value


class _Held:
    """A reference to an object that is being made, or none.

    Attributes:
        pointer: As a pointer: an object with a second reference cannot be resized.
    """

    def __init__(self, size: int) -> None:
        self.pointer = ctypes.c_void_p()
        self.pointer.value = _python().PyBytes_FromStringAndSize(None, size)

    def __del__(self) -> None:
        if self.pointer:
            _python().Py_DecRef(self.pointer)


@cache
def _python() -> ctypes.PyDLL:
    """Python's C interface: an object of our own, for others set types on `ctypes.pythonapi`."""
    python = ctypes.PyDLL("python", handle=ctypes.pythonapi._handle)
    pointer, size = ctypes.c_void_p, ctypes.c_ssize_t
    for name, result, arguments in (
        ("PyBytes_FromStringAndSize", pointer, [pointer, size]),
        ("PyBytes_AsString", pointer, [pointer]),
        ("_PyBytes_Resize", ctypes.c_int, [pointer, size]),
        ("Py_DecRef", None, [pointer]),
    ):
        function = getattr(python, name)
        function.restype, function.argtypes = result, arguments
    return python


def _ask_for_huge_pages(start: int, size: int) -> None:
    """Advise the kernel about the whole pages of a piece of memory."""
    first = -(-start // mmap.PAGESIZE) * mmap.PAGESIZE
    whole = (start + size - first) // mmap.PAGESIZE * mmap.PAGESIZE
    try:
        ctypes.CDLL(None).madvise(
            ctypes.c_void_p(first), ctypes.c_size_t(whole), ctypes.c_int(_MADV_HUGEPAGE)
        )
    except (AttributeError, OSError, TypeError):
        return


class Scratch:
    """Memory to write to one after the other, whose largest size is known.

    Args:
        size: Bytes that it can take.
    """

    def __init__(self, size: int) -> None:
        self._bytes = NewBytes(size)
        self._size = 0

    def write(self, data: Buffer, /) -> int:
        """Append."""
        end = self._size + len(data)
        self._bytes.view[self._size : end] = data
        self._size = end
        return len(data)

    def getvalue(self) -> bytes:
        """Everything that was written; nothing can be written after it."""
        return self._bytes.finish(self._size)
