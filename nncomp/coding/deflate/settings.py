"""What zlib's encoder can be told, as it is kept beside a stream.

The numbers of the levels are those of zlib's manual and of its `algorithm.txt`: how long a
match must be to look less hard, or no further, for a better one, and how many places to try.
"""

from __future__ import annotations

import struct
from typing import NamedTuple

from nncomp.errors import CorruptError

__all__ = [
    "DEFAULT",
    "FILTERED",
    "FILTERED_MIN",
    "FIXED_CODES",
    "HUFFMAN",
    "RUNS",
    "SETTINGS_SIZE",
    "Settings",
]

DEFAULT, FILTERED, HUFFMAN, RUNS, FIXED_CODES = range(5)
"""Strategies, numbered as zlib does."""

FILTERED_MIN = 6
"""Bytes of the shortest match with `FILTERED`."""

_FORM = struct.Struct("<BBH")
SETTINGS_SIZE = _FORM.size
"""Bytes of packed settings."""

# good, lazy, nice, tries
_LEVELS = (
    (4, 4, 8, 4),
    (4, 5, 16, 8),
    (4, 6, 32, 32),
    (4, 4, 16, 16),
    (8, 16, 32, 32),
    (8, 16, 128, 128),
    (8, 32, 128, 256),
    (32, 128, 258, 1024),
    (32, 258, 258, 4096),
)
_FAR_MAX = 0xFFFF
_GREEDY = 3  # levels up to this take the first match


class Settings(NamedTuple):
    """Settings of zlib's encoder.

    Attributes:
        level: 1 to 9.
        strategy: One of the constants above.
        memory: 1 to 9: log2 of the symbols of a block less 6, and bits of the hash less 7.
        window: 9 to 15: log2 of its bytes.
        far: Matches of three bytes at greater distances are not used; 4096 unless zlib
            was compiled otherwise, as in pngcrush.
    """

    level: int = 6
    strategy: int = DEFAULT
    memory: int = 8
    window: int = 15
    far: int = 4096

    @property
    def greedy(self) -> bool:
        """Whether a match is taken without a look at the next place."""
        return self.level <= _GREEDY

    @property
    def effort(self) -> tuple[int, int, int, int]:
        """Good, lazy and nice length, tries."""
        return _LEVELS[self.level - 1]

    @property
    def symbols(self) -> int:
        """A block ends after so many."""
        return (1 << self.memory + 6) - 1

    def pack(self) -> bytes:
        """As read by `unpack`: u8 level and strategy << 4, u8 memory and window << 4, u16 far."""
        return _FORM.pack(self.level | self.strategy << 4, self.memory | self.window << 4, self.far)

    @classmethod
    def unpack(cls, packed: bytes | memoryview) -> Settings:
        """Read what `pack` makes.

        Raises:
            CorruptError: There are no such settings.
        """
        if len(packed) != SETTINGS_SIZE:
            raise CorruptError("the settings of a deflate encoder are not complete")
        first, second, far = _FORM.unpack(packed)
        settings = cls(first & 15, first >> 4, second & 15, second >> 4, far)
        if not settings.possible():
            raise CorruptError(f"{settings} is not possible for a deflate encoder")
        return settings

    def possible(self) -> bool:
        """Whether an encoder can be set so."""
        return (
            1 <= self.level <= 9
            and DEFAULT <= self.strategy <= FIXED_CODES
            and 1 <= self.memory <= 9
            and 9 <= self.window <= 15
            and 0 <= self.far <= _FAR_MAX
        )
