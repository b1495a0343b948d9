"""Words and numbers for people to read: sizes, counts, names, tables."""

from __future__ import annotations

import unicodedata

__all__ = ["aligned", "columns_taken", "human_size", "plural", "printable", "ratio_text"]


def human_size(size: float) -> str:
    """A size in bytes for people, in powers of 1024: "17 B", "1.50 MiB"."""
    unit = "B"
    for larger in ("KiB", "MiB", "GiB", "TiB"):
        if size < 1024:
            break
        size, unit = size / 1024, larger
    digits = 0 if unit == "B" or size >= 100 else 1 if size >= 10 else 2
    return f"{size:.{digits}f} {unit}"


def ratio_text(raw_size: int, archive_size: int) -> str:
    """Original size over archive size, or "-" when there is no archive to divide by."""
    return f"{raw_size / archive_size:.3f}" if archive_size else "-"


def plural(count: int, noun: str) -> str:
    """A count with its noun: "1 file", "2 files"."""
    return f"{count} {noun}" if count == 1 else f"{count} {noun}s"


def printable(text: str) -> str:
    """A text from elsewhere on one line, which must not send commands to the terminal.

    What comes out can be encoded, too: bytes of file names that are no text are escaped.
    """
    return "".join(c if c.isprintable() else c.encode("unicode_escape").decode() for c in text)


def columns_taken(text: str) -> int:
    """Columns of a terminal that a printable text takes: wide characters take two."""
    if text.isascii():
        return len(text)
    return sum(
        0 if unicodedata.combining(c) else 2 if unicodedata.east_asian_width(c) in "WF" else 1
        for c in text
    )


def aligned(rows: list[list[str]], right: set[int]) -> list[str]:
    """Lines of a table, the first row being its titles.

    Args:
        rows: Cells, as many in each row.
        right: Columns of numbers; all others begin on the left.
    """
    widths = [max(map(columns_taken, column)) for column in zip(*rows, strict=True)]
    return ["  ".join(_padded(row, widths, right)).rstrip() for row in rows]


def _padded(row: list[str], widths: list[int], right: set[int]) -> list[str]:
    gaps = [" " * (width - columns_taken(cell)) for cell, width in zip(row, widths, strict=True)]
    return [
        gap + cell if i in right else cell + gap
        for i, (cell, gap) in enumerate(zip(row, gaps, strict=True))
    ]
