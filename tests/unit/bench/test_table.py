from __future__ import annotations

import csv
import io
import re
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nncomp.bench.columns import columns, figure_text, groups
from nncomp.bench.table import as_csv, as_markdown, as_text
from nncomp.text import columns_taken

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncomp.bench.records import Record


def tables(text: str) -> list[list[str]]:
    """Blocks of lines."""
    return [block.splitlines() for block in text.split("\n\n")]


# --- terminal ------------------------------------------------------------------------


def test_each_file_has_a_table_and_all_files_come_last(record: Record) -> None:
    book, picture, total, legend, facts = tables(as_text(record))
    assert [lines[0] for lines in (book, picture, total)] == [
        "book: 100,000 bytes",
        "picture: 500,000 bytes",
        "All 2 files: 600,000 bytes",
    ]
    assert "ratio: original size / compressed size, larger is better" in legend
    assert any(line.startswith("machine ") and "2 cores, 7.8 GiB" in line for line in facts)
    assert any("zpaq (apt install zpaq)" in line for line in facts)


def test_rows_have_the_figures_and_the_smallest_is_the_first(record: Record) -> None:
    book = tables(as_text(record))[0]
    assert book[1].split() == ["bits/", *("compress", "decompress") * 2]
    assert book[2].split() == [
        *("method", "size", "ratio", "byte"),
        *("MB/s", "±", "MB/s", "±", "memory", "memory", "verified"),
    ]
    methods = [re.split(r"  +", line)[0] for line in book[3:]]
    assert methods == ["sep", "mix -6", "xz -9e", "zstd -19", "zstd:level=3", "memcpy", "snappy"]
    assert re.split(r"  +", book[5])[1:] == [
        *("30,303", "3.300", "2.424", "2.00", "±10%", "90.0", "±10%"),
        *("20.0 MiB", "20.0 MiB", "yes"),
    ]
    ends = {len(line[: line.index(" MiB")]) for line in book[3:-1]}
    assert len(ends) == 1  # numbers stand under each other


def test_failures_have_their_reason_in_place_of_figures(record: Record) -> None:
    book, picture, total, *_ = tables(as_text(record))
    assert picture[-1] == "xz -9e  no figures: was ended by signal 9 (SIGKILL)"
    assert book[-1] == "snappy  no figures: what came back was not verified"
    assert set(total[-2:]) == {
        "xz -9e  no figures: 1 of 2 files without a result",
        "snappy  no figures: 1 of 2 files without a result",
    }


def test_one_file_needs_no_total(make: Callable[..., Record]) -> None:
    assert "All 1" not in as_text(make({"book": 1000}))


@pytest.mark.parametrize("width", [60, 80, 100, 140])
def test_tables_fit_the_terminal_and_say_what_they_leave_out(record: Record, width: int) -> None:
    text = as_text(record, width=width)
    lines = text.splitlines()
    assert max(map(columns_taken, lines)) <= width
    assert any(line.split()[:3] == ["method", "size", "ratio"] for line in lines)
    assert ("no room here" in text) == (width < 120)
    if width == 80:
        note = " ".join(text[text.index("no room here") :].split("\n\n")[0].split())
        assert note.endswith("for: bits/byte, ±, verified")


def test_of_many_files_there_is_one_table_of_ratios(make: Callable[..., Record]) -> None:
    record = make({f"file{i}": 10_000 + i for i in range(30)})
    text = as_text(record, width=80)
    assert max(map(columns_taken, text.splitlines())) <= 80
    assert text.startswith("Ratios of 30 files")
    assert re.search(r"^file8 +4\.000\* +3\.700 ", text, re.MULTILINE)
    assert "[1] sep\n" in text
    assert text.count("method  ") == 1
    assert "All 30 files: 300,435 bytes" in text


def test_memory_of_a_device_and_weights_have_columns_where_there_are_any(record: Record) -> None:
    titles = {column.one_line for column in columns(record)}
    assert not titles & {"GPU memory", "weights not in size"}
    row = record.rows[1]
    assert row.compress is not None
    with_both = replace(row, weights=5 << 20, compress=replace(row.compress, gpu_memory=1 << 30))
    record = replace(record, rows=(record.rows[0], with_both, *record.rows[2:]))
    text = as_text(record)
    assert "GPU" in text
    assert "weights: shipped with nncomp" in text
    line = next(line for line in text.splitlines() if line.startswith("sep "))
    assert re.split(r"  +", line)[-3:] == ["1.00 GiB", "5.00 MiB", "yes"]


def test_a_single_run_has_no_spread(record: Record) -> None:
    rows = tuple(
        replace(
            row,
            compress=row.compress and replace(row.compress, wall=(1.0,), cpu=(1.0,)),
            decompress=row.decompress and replace(row.decompress, wall=(1.0,), cpu=(1.0,)),
        )
        for row in record.rows
    )
    assert "±" not in as_text(replace(record, rows=rows))


def test_an_empty_file_and_no_file_at_all(make: Callable[..., Record]) -> None:
    row = re.split(r"  +", tables(as_text(make({"empty": 0})))[0][3])
    assert row[1:4] == ["0", "-", "-"]
    assert groups(make({})) == ()
    assert "machine" in as_text(make({}))
    assert as_csv(make({})) == ""


@pytest.mark.parametrize(
    ("speed", "text"),
    [
        (None, "-"),
        (0.01234, "0.0123"),
        (0.1234, "0.123"),
        (1.234, "1.23"),
        (12.34, "12.3"),
        (123.4, "123"),
        (12345.6, "12,346"),
    ],
)
def test_speeds_have_three_digits(speed: float | None, text: str) -> None:
    assert figure_text(speed) == text


# --- all formats ---------------------------------------------------------------------


def test_names_send_no_commands_and_can_be_encoded(hostile: Record) -> None:
    for text in (as_text(hostile), as_text(hostile, width=80), as_markdown(hostile)):
        assert text.encode()
        assert not re.search(r"[\x00-\x09\x0b-\x1f\x7f]", text)
    assert as_csv(hostile).encode()


def test_markdown_has_tables_that_names_cannot_break(hostile: Record) -> None:
    text = as_markdown(hostile)
    assert re.search(r"(?<!\\)<", text) is None
    lines = [line for line in text.splitlines() if line.startswith("|")]
    cells = {len(re.findall(r"(?<!\\)\|", line)) for line in lines}
    assert len(lines) == 3 * 2 + 3 * 7 - 2  # a row failed, and so its total
    assert cells <= {11 + 1, 11 - 2 + 1}  # sums have no spread
    assert r"- snappy: no figures: \</h2\>" in text


def test_csv_has_every_row_with_plain_numbers(record: Record) -> None:
    rows = list(csv.DictReader(io.StringIO(as_csv(record))))
    assert [(row["file"], row["method"]) for row in rows] == [
        (row.file, row.method) for row in record.rows
    ]
    for read, row in zip(rows, record.rows, strict=True):
        if row.problem:
            continue
        assert int(read["compressed_bytes"]) == row.size
        assert float(read["ratio_original_over_compressed"]) == row.ratio
        assert float(read["decompress_MB_per_s"]) == row.speed("decompress")
        assert int(read["compress_runs"]) == 3
        assert read["verified"] == "1"
    killed = rows[-2]
    assert killed["error"].startswith("was ended by")
    assert killed["compressed_bytes"] == killed["compress_MB_per_s"] == ""
