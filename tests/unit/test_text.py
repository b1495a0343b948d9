from __future__ import annotations

import pytest

from nncomp.text import aligned, columns_taken, human_size, plural, printable, ratio_text


@pytest.mark.parametrize(
    ("size", "text"),
    [
        (0, "0 B"),
        (1023, "1023 B"),
        (1536 << 10, "1.50 MiB"),
        (20 << 10, "20.0 KiB"),
        (2 << 40, "2.00 TiB"),
    ],
)
def test_sizes(size: int, text: str) -> None:
    assert human_size(size) == text


def test_counts_and_ratios() -> None:
    assert [plural(n, "file") for n in (0, 1, 2)] == ["0 files", "1 file", "2 files"]
    assert ratio_text(3, 2) == "1.500"
    assert ratio_text(3, 0) == "-"


@pytest.mark.parametrize(
    ("name", "shown"),
    [("a b.txt", "a b.txt"), ("a\x1b[2J\n", r"a\x1b[2J\n"), ("\udcff", r"\udcff"), ("é字", "é字")],
)
def test_what_is_printed_is_one_line_that_can_be_encoded(name: str, shown: str) -> None:
    assert printable(name) == shown
    assert printable(name).encode()


def test_tables_count_the_columns_that_a_terminal_takes() -> None:
    rows = [["name", "size"], ["字字", "1"], ["e\u0301", "1,000"], ["abc", ""]]
    lines = aligned(rows, {1})
    assert lines == ["name   size", "字字      1", "e\u0301     1,000", "abc"]
    assert [columns_taken(line) for line in lines[:3]] == [11, 11, 11]
