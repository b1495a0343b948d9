"""Caps on what a reader believes, in one place; FORMAT.md gives the reasons."""

from __future__ import annotations

import os

__all__ = [
    "INDEX_SIZE_MAX",
    "PIECE",
    "default_memory_limit",
]

# Payloads are read in pieces of this many bytes, so that a size that lies costs at most
# one piece more than the file has.
PIECE = 1 << 20

# The footer keeps the index size in 32 bits.
INDEX_SIZE_MAX = (1 << 32) - 1

# Used where the operating system does not tell its memory.
_ASSUMED_MEMORY = 4 << 30


def default_memory_limit() -> int:
    """Three quarters of the physical memory in bytes, leaving the rest to everyone else."""
    try:
        physical = os.sysconf("SC_PAGE_SIZE") * os.sysconf("SC_PHYS_PAGES")
    except (AttributeError, ValueError, OSError):
        physical = _ASSUMED_MEMORY
    return physical // 4 * 3
