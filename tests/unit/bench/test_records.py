from __future__ import annotations

import copy
import json
from dataclasses import replace
from typing import TYPE_CHECKING, Any

import pytest

from nncomp.bench import records
from nncomp.bench.records import Record, Row, totals
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path


def test_what_is_read_back_is_what_was_saved(
    record: Record, hostile: Record, tmp_path: Path
) -> None:
    for each in (record, hostile):
        records.save(tmp_path / "record.json", each)
        assert records.load(tmp_path / "record.json") == each


def test_totals_add_sizes_and_medians_up_and_take_the_largest_memory(record: Record) -> None:
    rows = [row for row in record.rows if row.method == "mix -6"]
    total = next(row for row in totals(record) if row.method == "mix -6")
    assert total.raw_size == 600_000
    assert total.size == sum(row.size or 0 for row in rows)
    assert total.compress is not None
    assert total.compress.seconds == pytest.approx(0.6 / 0.3)
    assert total.speed("compress") == pytest.approx(0.3)
    assert total.compress.memory == 300 << 20
    assert total.problem is None


@pytest.mark.parametrize("method", ["xz -9e", "snappy"])
def test_a_total_that_lacks_a_file_says_so(record: Record, method: str) -> None:
    total = next(row for row in totals(record) if row.method == method)
    assert total.problem == "1 of 2 files without a result"


@pytest.mark.parametrize(
    ("row", "problem"),
    [
        (Row("f", "m", "own", 1, size=1, verified=True), None),
        (Row("f", "m", "own", 1, size=1, verified=True, error="bad"), "bad"),
        (Row("f", "m", "own", 1, size=1, verified=True, error=""), "failed"),
        (Row("f", "m", "own", 1, verified=True), "no result"),
        (Row("f", "m", "own", 1, size=1), "what came back was not verified"),
    ],
)
def test_figures_count_when_all_went_well(row: Row, problem: str | None) -> None:
    assert row.problem == problem


def test_the_spread_is_half_the_distance_as_a_share_of_the_median(record: Record) -> None:
    runs = record.rows[0].compress
    assert runs is not None
    assert runs.spread == pytest.approx(0.1)


# --- what is no record ---------------------------------------------------------------


@pytest.mark.parametrize(
    "text",
    [
        "",
        "{",
        "[]",
        "3",
        "null",
        '"text"',
        "{}",
        '{"schema": 1}',
        "[" * 100_000,
        '{"schema": ' + "9" * 5000 + "}",
        '{"schema": NaN}',
    ],
)
def test_other_texts_are_refused(text: str) -> None:
    with pytest.raises(UsageError, match="no record of nncomp bench"):
        Record.from_json(text)


@pytest.mark.parametrize("schema", [0, 2, None, "1", [1]])
def test_other_schemas_are_refused_by_name(record: Record, schema: object) -> None:
    found = json.loads(record.to_json()) | {"schema": schema}
    with pytest.raises(UsageError, match="this version of nncomp reads 1") as caught:
        Record.from_json(json.dumps(found))
    assert "no record" not in str(caught.value)


def _set(*path: Any, value: Any) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        for step in path[:-1]:
            found = found[step]
        found[path[-1]] = value

    return change


def _remove(*path: Any) -> Callable[[Any], None]:
    def change(found: Any) -> None:
        for step in path[:-1]:
            found = found[step]
        del found[path[-1]]

    return change


_BAD = {
    "rows as a number": _set("rows", value=3),
    "rows as a text": _set("rows", value="abc"),
    "a row as a text": _set("rows", 0, value="abc"),
    "a row as null": _set("rows", 0, value=None),
    "no rows": _remove("rows"),
    "no method": _remove("rows", 0, "method"),
    "a method as a number": _set("rows", 0, "method", value=3),
    "a method as a list": _set("rows", 0, "method", value=[]),
    "an unknown field": _set("rows", 0, "more", value=1),
    "an unknown kind": _set("rows", 0, "kind", value="best"),
    "a size below zero": _set("rows", 0, "size", value=-1),
    "a size as a float": _set("rows", 0, "size", value=1.5),
    "a size as true": _set("rows", 0, "size", value=True),
    "a size beyond all files": _set("rows", 0, "size", value=10**400),
    "sizes that are too large together": lambda found: [
        row.update(size=(1 << 63) - 1) for row in found["rows"]
    ],
    "another raw size than the file": _set("rows", 0, "raw_size", value=7),
    "weights as a text": _set("rows", 0, "weights", value="1"),
    "verified as a number": _set("rows", 0, "verified", value=1),
    "an error as a list": _set("rows", 0, "error", value=["e"]),
    "no runs": _set("rows", 0, "compress", "wall", value=[]),
    "runs as a number": _set("rows", 0, "compress", value=7),
    "wall as a number": _set("rows", 0, "compress", "wall", value=7),
    "wall as a text": _set("rows", 0, "compress", "wall", value="12"),
    "time running back": _set("rows", 0, "compress", "wall", value=[-1.0]),
    "time without end": _set("rows", 0, "compress", "wall", value=[1e999]),
    "no processor seconds": _remove("rows", 0, "compress", "cpu"),
    "memory as a text": _set("rows", 0, "compress", "memory", value="1"),
    "a file of another name": _set("rows", 0, "file", value="elsewhere"),
    "a row twice": lambda found: found["rows"].append(copy.deepcopy(found["rows"][0])),
    "a file twice": lambda found: found["inputs"].append(dict(found["inputs"][0])),
    "a digest as a number": _set("inputs", 0, "sha256", value=1),
    "an input as a list": _set("inputs", 0, value=[]),
    "versions as a list": _set("versions", value=[]),
    "a version as a number": _set("versions", "zstd", value=1),
    "a machine as a text": _set("machine", value="fast"),
    "settings as null": _set("settings", value=None),
    "a date as a number": _set("date", value=2026),
    "arguments as a number": _set("arguments", value=1),
    "an argument as a number": _set("arguments", value=[1]),
    "something else": _set("more", value=1),
}


@pytest.mark.parametrize("name", _BAD)
def test_a_record_that_is_not_right_is_refused(record: Record, name: str) -> None:
    found = json.loads(record.to_json())
    _BAD[name](found)
    with pytest.raises(UsageError, match="no record of nncomp bench"):
        Record.from_json(json.dumps(found))


def test_files_that_are_no_records_are_named(record: Record, tmp_path: Path) -> None:
    path = tmp_path / "r.json"
    path.write_bytes(b"\xff\xfe\x00")
    with pytest.raises(UsageError, match=r"r\.json is no record of nncomp bench: it is not text"):
        records.load(path)
    path.write_text("{}")
    with pytest.raises(UsageError, match=r"r\.json: this is no record .*it has no 'schema'"):
        records.load(path)
    records.save(path, replace(record, rows=()))
    assert records.load(path).rows == ()


def test_what_is_nested_too_deep(record: Record) -> None:
    text = record.to_json()
    deep = '{"a": ' + "[" * 500 + "]" * 500 + "}"
    for part in ("settings", "machine", "extras"):
        found = json.loads(text)
        found[part] = json.loads(deep)
        with pytest.raises(UsageError, match=f"{part} cannot be"):
            Record.from_json(json.dumps(found))
