"""--base: the files that differences are taken to, which nothing may replace or remove.

Nor may anything replace or remove the file of --weights.
"""

from __future__ import annotations

import os
import stat
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp import files
from nncomp.errors import FileError, NncompError

if TYPE_CHECKING:
    from pathlib import Path

    from nncomp.codecs.base import Base, Context

__all__ = ["NO_BASES", "Bases", "open_bases"]


@dataclass(frozen=True)
class Bases:
    """What --base names, and the file of --weights.

    Attributes:
        content: What differences are taken to, or None.
        statuses: Of all files behind it, and of weights.
    """

    content: Base | None = None
    statuses: tuple[os.stat_result, ...] = ()

    def have(self, path: Path) -> bool:
        """Whether `path` leads to one of the files."""
        return any(files.same_file(status, path) for status in self.statuses)

    def refuse_input(self, status: os.stat_result | None) -> None:
        """A file is not its own base: with --rm, nothing would be left to decode it with.

        Raises:
            FileError: The open file that `status` was taken from is one of the bases.
        """
        if status and any(os.path.samestat(status, other) for other in self.statuses):
            raise FileError("skipped: it is one of the bases or weights itself")

    def refuse_output(self, path: Path) -> None:
        """No output replaces what archives are decoded with.

        Raises:
            FileError: `path` leads to one of the bases.
        """
        if self.have(path):
            raise FileError(
                f"output {path} is one of the bases or weights; use -o to write elsewhere"
            )


NO_BASES = Bases()


def open_bases(names: tuple[str, ...], context: Context) -> Bases:
    """Open the files of a chain, the nearest first.

    Raises:
        FileError: One of them is not a regular file, or an archive that cannot be read; of
            one that is damaged inside, only the start is looked at.
        OSError: One of them cannot be opened.
    """
    from nncomp.api.base import open_base

    statuses = tuple(os.stat(name) for name in names)  # noqa: PTH116 - "" is no Path
    for name, status in zip(names, statuses, strict=True):
        if not stat.S_ISREG(status.st_mode):
            raise FileError(f"the base {name!r} is not a regular file: it must be able to seek")
    try:
        content = open_base(names, context)
        if content is not None and content.size:
            content.read(0, 1)  # whether its own base is there
    except NncompError as error:
        what = f"the base {names[0]!r}" if len(names) == 1 else "the chain of bases"
        raise FileError(f"{what} cannot be read: {error}") from error
    return Bases(content, statuses)
