from __future__ import annotations

from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

from nncomp.bench.baseline import (
    Condition,
    as_text,
    check,
    check_inputs,
    compare,
    parse_condition,
)
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

    from nncomp.bench.records import Record, Row

SIZE = parse_condition("size>1.001")


def changed(record: Record, file: str, method: str, **fields: object) -> Record:
    """The record with other fields in one row."""
    rows = [
        replace(row, **fields) if (row.file, row.method) == (file, method) else row  # type: ignore[arg-type]
        for row in record.rows
    ]
    return replace(record, rows=tuple(rows))


def slower(record: Record, factor: float, *methods: str) -> Record:
    """The record with some methods, or all, taking so many times as long."""

    def scaled(row: Row) -> Row:
        if methods and row.method not in methods:
            return row
        runs = {
            way: replace(runs, wall=tuple(seconds * factor for seconds in runs.wall))
            for way in ("compress", "decompress")
            if (runs := row.runs(way))
        }
        return replace(row, **runs)  # type: ignore[arg-type]

    return replace(record, rows=tuple(map(scaled, record.rows)))


@pytest.fixture
def old(make: Callable[..., Record]) -> Record:
    return make()


# --- conditions ----------------------------------------------------------------------


@pytest.mark.parametrize(
    ("text", "condition"),
    [
        ("size>1.001", Condition("size", ">", 1.001)),
        (" memory > 1.2 ", Condition("memory", ">", 1.2)),
        ("compress-speed<.8", Condition("compress-speed", "<", 0.8)),
        ("decompress-speed<8e-1", Condition("decompress-speed", "<", 0.8)),
    ],
)
def test_conditions(text: str, condition: Condition) -> None:
    assert parse_condition(text) == condition
    assert parse_condition(str(condition)) == condition


@pytest.mark.parametrize(
    "text",
    [
        *("", "size", "size>", ">1", "size=1", "size>=1", "size>1 and memory>1", "speed<1"),
        *("size>-1", "size>0", "size>nan", "size>inf", "size>1e999", "size>1..2", "size>x", "é>1"),
    ],
)
def test_other_conditions_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match=r"size>1\.001|Try 1\.001"):
        parse_condition(text)


def test_the_limit_itself_is_kept() -> None:
    assert not SIZE.broken(1.001)
    assert SIZE.broken(1.0011)
    assert not parse_condition("compress-speed<0.8").broken(0.8)
    assert parse_condition("compress-speed<0.8").broken(0.79)


# --- sizes and memory ----------------------------------------------------------------


def test_the_same_run_has_no_difference(old: Record) -> None:
    conditions = [parse_condition(text) for text in ("size>1", "size<1", "memory>1")]
    found = compare(old, old, [*conditions, parse_condition("compress-speed<1")], "memcpy")
    assert len(found) == 0
    assert as_text(found).startswith("As in the baseline\n")
    assert "6 the same, 0 larger, 0 smaller" in as_text(found)


def test_a_planted_growth_is_found_with_its_file_and_method(old: Record) -> None:
    new = changed(old, "picture", "mix -6", size=140_000)
    found = compare(old, new, [SIZE])
    (difference,) = found.differences
    assert (difference.file, difference.method) == ("picture", "mix -6")
    assert difference.change == pytest.approx(140_000 / 135_135)
    assert str(difference) == (
        "picture: mix -6: size was 135,135 and is 140,000 bytes, 1.0360 times as much (size>1.001)"
    )
    assert "Next to the baseline: 1 reason to fail" in as_text(found)
    assert "5 the same, 1 larger, 0 smaller" in as_text(found)


def test_growth_within_the_limit_and_shrinking_pass(old: Record) -> None:
    assert len(compare(old, changed(old, "picture", "mix -6", size=135_200), [SIZE])) == 0
    assert len(compare(old, changed(old, "picture", "mix -6", size=1), [SIZE])) == 0
    fewer = parse_condition("size<0.5")
    assert len(compare(old, changed(old, "picture", "mix -6", size=1), [fewer])) == 1


def test_something_out_of_nothing_is_growth(old: Record) -> None:
    empty = changed(old, "book", "sep", size=0)
    assert len(compare(empty, empty, [SIZE])) == 0
    assert len(compare(empty, old, [SIZE])) == 1


def test_memory_is_the_larger_one_of_both_directions(old: Record) -> None:
    row = next(row for row in old.rows if row.method == "sep")
    assert row.decompress is not None
    new = changed(old, "book", "sep", decompress=replace(row.decompress, memory=400 << 20))
    found = compare(old, new, [parse_condition("memory>1.2")])
    assert [each.method for each in found.differences] == ["sep"]
    less = changed(old, "book", "sep", decompress=replace(row.decompress, memory=100 << 20))
    assert len(compare(old, less, [parse_condition("memory>1.2")])) == 0
    unknown = changed(old, "book", "sep", decompress=None, compress=None)
    assert len(compare(old, unknown, [parse_condition("memory>1.2")])) == 0


# --- speeds --------------------------------------------------------------------------


def test_a_slower_machine_is_no_slower_method(old: Record) -> None:
    conditions = [parse_condition(f"{way}-speed<0.95") for way in ("compress", "decompress")]
    assert len(compare(old, slower(old, 7.5), conditions, "zstd -19")) == 0


def test_a_method_that_slows_down_next_to_its_reference_is_found(old: Record) -> None:
    found = compare(
        old, slower(old, 2, "mix -6"), [parse_condition("compress-speed<0.8")], "xz -9e"
    )
    (difference,) = found.differences
    assert str(difference) == (
        "2 files: mix -6: compress-speed was 0.15 and is 0.075 times xz -9e's, "
        "0.5000 times as much (compress-speed<0.8)"
    )


def test_speeds_are_of_the_files_that_both_have_in_both_runs(old: Record) -> None:
    failed = {"error": "killed", "size": None, "compress": None, "decompress": None}
    new = changed(slower(old, 2, "mix -6"), "picture", "xz -9e", **failed)
    found = compare(old, new, [parse_condition("decompress-speed<0.8")], "xz -9e")
    assert [(each.file, each.method) for each in found.differences] == [
        ("picture", "xz -9e"),
        ("1 file", "mix -6"),
    ]


def test_speeds_need_a_reference_that_both_runs_have(old: Record) -> None:
    speed = parse_condition("compress-speed<0.8")
    with pytest.raises(UsageError, match="--reference"):
        check(old, [speed], None)
    with pytest.raises(UsageError, match=r"the baseline has no method 'gzip'.* it has memcpy, sep"):
        check(old, [speed], "gzip")
    without = replace(old, rows=tuple(row for row in old.rows if row.method != "xz -9e"))
    with pytest.raises(UsageError, match="this run has no method 'xz -9e'"):
        compare(old, without, [speed], "xz -9e")
    check(old, [SIZE], None)


# --- rows that are not there, or not the same ----------------------------------------


def test_rows_without_a_result_fail_whatever_the_conditions(old: Record) -> None:
    new = changed(old, "book", "snappy", error="ended\nwith 1", size=None, verified=False)
    new = changed(new, "picture", "sep", verified=False)
    assert [str(each) for each in compare(old, new).differences] == [
        "book: snappy: no figures: ended with 1",
        "picture: sep: no figures: what came back was not verified",
    ]


def test_what_time_stopped_fails_unless_it_was_so_before(old: Record) -> None:
    stopped = {"error": "its time was up", "stopped": True, "size": None, "verified": False}
    new = changed(old, "book", "sep", **stopped)
    assert [each.method for each in compare(old, new, [SIZE]).differences] == ["sep"]
    again = compare(new, new, [SIZE])
    assert len(again) == 0
    assert "stopped before it ended: book: sep" in as_text(again)


def test_what_was_measured_before_must_be_measured_again(
    old: Record, make: Callable[..., Record]
) -> None:
    without = replace(old, rows=tuple(row for row in old.rows if row.method != "mix -6"))
    assert [(each.file, each.method) for each in compare(old, without).differences] == [
        ("book", "mix -6"),
        ("picture", "mix -6"),
    ]
    fewer = make({"book": 100_000})
    assert [str(each) for each in compare(old, fewer).differences] == [
        "picture: is in the baseline and was not measured"
    ]


def test_peers_may_come_and_go_and_that_is_said(old: Record, make: Callable[..., Record]) -> None:
    without = replace(old, rows=tuple(row for row in old.rows if row.method != "snappy"))
    assert len(compare(old, without)) == 0
    assert "in the baseline only: snappy" in as_text(compare(old, without))
    assert "not in the baseline: book: snappy, picture: snappy" in as_text(compare(without, old))
    more = make({"book": 100_000, "picture": 500_000, "third": 7})
    assert "not in the baseline: third: memcpy, " in as_text(compare(old, more))
    assert "and 2 more" in as_text(compare(old, more))


def test_other_content_cannot_be_compared(old: Record, make: Callable[..., Record]) -> None:
    other = make({"book": 100_001, "picture": 500_000})
    with pytest.raises(
        UsageError, match=r"not the content that the baseline was measured on: book\."
    ):
        compare(old, other)
    digest = replace(old, inputs=(replace(old.inputs[0], sha256="0" * 64), old.inputs[1]))
    with pytest.raises(UsageError, match="not the content"):
        check_inputs(old, digest.inputs)
    with pytest.raises(UsageError, match="no file is in the baseline, which has book, picture"):
        compare(old, make({"elsewhere": 5}))


def test_what_else_differs_is_said(old: Record) -> None:
    new = replace(
        old,
        versions={**old.versions, "zstd": "1.5.7", "brotli": "1.1"},
        settings={**old.settings, "threads": 4},
        machine={**old.machine, "cpu": "Another"},
    )
    text = as_text(compare(old, new, [SIZE]))
    assert "note: other versions: zstd 1.5.4 -> 1.5.7\n" in text + "\n"
    assert "note: threads was 1 and is 4" in text
    assert "note: another machine: cpu was Some Processor @ 2.60GHz and is Another" in text


def test_names_send_no_commands(hostile: Record) -> None:
    text = as_text(compare(hostile, hostile, [SIZE]))
    assert text.encode()
    assert "\x1b" not in text
    assert len(text.splitlines()) == 3  # what fails, and the sizes
