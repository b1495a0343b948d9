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
    """A `bytes` object that is filled before anybody else sees it.

    Attributes:
        view: Its memory, to be written to; not initialised.

    Args:
        size: How many bytes.
    """

    def __init__(self, size: int) -> None:
        create = ctypes.pythonapi.PyBytes_FromStringAndSize
        create.restype, create.argtypes = ctypes.py_object, [ctypes.c_void_p, ctypes.c_ssize_t]
        address = ctypes.pythonapi.PyBytes_AsString
        address.restype, address.argtypes = ctypes.c_void_p, [ctypes.py_object]
        self._bytes: bytes = create(None, size)
        start: int = address(self._bytes)
        if size >= _HUGE:
            _ask_for_huge_pages(start, size)
        self.view = memoryview((ctypes.c_ubyte * size).from_address(start)).cast("B")

    def finish(self) -> bytes:
        """The object; its memory must not be written to any more."""
        self.view.release()
        return self._bytes


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
        # Private, where there is a choice: shared memory gets no huge pages.
        private = {"flags": mmap.MAP_PRIVATE} if hasattr(mmap, "MAP_PRIVATE") else {}
        self._map = mmap.mmap(-1, max(1, size), **private)
        if size >= _HUGE and hasattr(mmap, "MADV_HUGEPAGE"):
            self._map.madvise(mmap.MADV_HUGEPAGE)

    def write(self, data: Buffer, /) -> int:
        """Append."""
        return self._map.write(data)

    def getvalue(self) -> bytes:
        """Everything that was written."""
        size = self._map.tell()
        out = NewBytes(size)
        with memoryview(self._map) as view:
            out.view[:] = view[:size]
        return out.finish()
