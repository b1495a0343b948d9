"""Keeping freed memory in the process.

Every segment allocates the same arrays of some megabytes anew. glibc takes such sizes
from the kernel and gives them back at once, and the page faults cost as much as the
products. With higher thresholds the same pages are used again.
"""

from __future__ import annotations

import ctypes
from functools import cache

__all__ = ["keep_freed_memory"]

# From glibc's malloc.h.
_M_TRIM_THRESHOLD = -1
_M_MMAP_THRESHOLD = -3
_MMAP_LIMIT = 1 << 25  # the largest value that glibc accepts on 64-bit systems
_TRIM_LIMIT = 1 << 30


@cache
def keep_freed_memory() -> None:
    """Raise glibc's thresholds, once; does nothing on other C libraries."""
    try:
        mallopt = ctypes.CDLL(None).mallopt
    except (AttributeError, OSError, TypeError):
        return
    mallopt(_M_MMAP_THRESHOLD, _MMAP_LIMIT)
    mallopt(_M_TRIM_THRESHOLD, _TRIM_LIMIT)
