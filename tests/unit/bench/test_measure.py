from __future__ import annotations

import os
import sys
from dataclasses import replace
from typing import TYPE_CHECKING

import pytest

import nncomp
from nncomp.bench import contestants, synthetic
from nncomp.bench.libraries import Functions
from nncomp.bench.measure import Plan, _Entry, measure
from nncomp.bench.programs import PROGRAMS
from nncomp.bench.records import Record, totals
from nncomp.bench.subjects import Subject
from nncomp.bench.worker import InMemory
from nncomp.errors import NncompError, UsageError

if TYPE_CHECKING:
    from collections.abc import Callable
    from pathlib import Path

    from nncomp.bench.records import Row

TEXT = b"to be or not to be, that is the question. " * 200
ONE = Plan(rounds=1)


@pytest.fixture
def text(tmp_path: Path) -> Subject:
    path = tmp_path / "text"
    path.write_bytes(TEXT)
    return Subject.of(path, "text")


@pytest.fixture
def program(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Callable[[str, str], None]:
    """Put a program of some name in front of all others."""
    folder = tmp_path / "bin"
    folder.mkdir()
    monkeypatch.setenv("PATH", f"{folder}:/usr/bin:/bin")

    def put(name: str, script: str) -> None:
        path = folder / name
        path.write_text(f"#!/bin/sh\n{script}\n")
        path.chmod(0o755)

    return put


# bzip3 takes "-e ... -c data" and "-d -c archive.bz3"
COPIES = 'case "$*" in *-c*) for last; do :; done; exec cat "$last";; *) echo bzip3 9.87;; esac'


def run(subject: Subject, *peers: str, plan: Plan = ONE) -> dict[str, Row]:
    """zstd, and peers between it and plain copying."""
    found, _ = contestants.peers(peers)
    record = measure([subject], [*found, *contestants.methods(["zstd"])], plan)
    rows = {row.method: row for row in record.rows}
    assert next(iter(rows)) == "memcpy"
    assert [*rows][-1] == "nncomp zstd"
    for name in ("memcpy", "nncomp zstd"):  # whatever the peers do
        assert rows[name].verified
        assert rows[name].error is None
    return rows


# --- what is measured ----------------------------------------------------------------


def test_a_row_says_what_the_method_does(text: Subject) -> None:
    record = measure([text], contestants.methods(["zstd -9", "store"]), Plan(rounds=2))
    copied, coded, stored = record.rows
    assert coded.size == len(nncomp.compress(TEXT, "zstd", level=9))
    assert copied.size == coded.raw_size == len(TEXT)
    assert stored.size == len(nncomp.compress(TEXT, "store"))
    for row in record.rows:
        assert row.verified
        for runs in (row.compress, row.decompress):
            assert runs is not None
            assert len(runs.wall) == len(runs.cpu) == 2
            assert min(runs.wall) > 0
            assert runs.gpu_memory is None
    assert record.inputs[0].sha256 == text.sha256
    assert record.settings["rounds"] == 2
    assert {"python", "nncomp"} <= set(record.versions)


def test_a_record_comes_back_from_its_text(text: Subject) -> None:
    record = measure([text], contestants.methods(["lz4"]), ONE, missing={"xz": "how"})
    assert Record.from_json(record.to_json()) == record


def test_turns_are_taken(text: Subject) -> None:
    told: list[str] = []
    chosen = contestants.methods(["zstd", "lz4"])
    measure([text], chosen, Plan(rounds=2), tell=told.append)
    order = [(line.split(": ")[1].split(",")[0], line[-1]) for line in told]
    assert order == [
        (name, run) for run in "12" for name in ("memcpy", "nncomp zstd", "nncomp lz4")
    ]


def test_totals_are_sums(text: Subject, tmp_path: Path) -> None:
    other = tmp_path / "other"
    other.write_bytes(bytes(5000))
    record = measure([text, Subject.of(other)], contestants.methods(["zstd"]), ONE)
    copied, coded = totals(record)
    assert copied.size == coded.raw_size == len(TEXT) + 5000
    assert coded.size == sum(row.size or 0 for row in record.rows if row.method == "nncomp zstd")
    assert coded.file == "2 files"
    assert coded.error is None


def test_an_empty_file(tmp_path: Path) -> None:
    path = tmp_path / "empty"
    path.touch()
    row = measure([Subject.of(path)], contestants.methods(["zstd"]), ONE).rows[1]
    assert row.verified
    assert row.size == len(nncomp.compress(b"", "zstd"))
    assert row.bits_per_byte is None


def test_a_program_is_measured_as_a_whole(
    text: Subject, program: Callable[[str, str], None]
) -> None:
    program("bzip3", COPIES)
    row = run(text, "bzip3")["bzip3 -b 16"]
    assert row.verified
    assert row.kind == "program"
    assert row.size == len(TEXT)
    assert row.compress is not None
    assert row.compress.memory is not None


def test_an_archiver_writes_its_files_itself(
    text: Subject, program: Callable[[str, str], None]
) -> None:
    copy = "import sys, shutil; data = open(sys.argv[1], 'rb').read()"
    program(
        "zpaq",
        'case "$1" in\n'
        f"add) \"{sys.executable}\" -c \"{copy}; open(sys.argv[2], 'wb').write(b'archive' + data)\""
        ' "$3" "$2";;\n'
        f'extract) "{sys.executable}" -c "{copy}; open(sys.argv[2], \'wb\').write(data[7:])"'
        ' "$2" "$5";;\n'
        "*) echo; echo zpaq v9.87 of this test; exit 1;;\nesac",
    )
    row = run(text, "zpaq")["zpaq -m5"]
    assert row.error is None
    assert row.size == len(TEXT) + 7
    assert contestants.versions_of(contestants.peers(["zpaq"])[0]) == {"zpaq": "9.87"}


def test_programs_that_are_here(text: Subject, tmp_path: Path) -> None:
    """The real ones; small settings, where large ones take long."""
    asked = ("zstd", "bzip3", "7z", "xz", "brotli -q 5", "zpaq -m1")
    here, _ = contestants.peers(asked)
    if not here:
        pytest.skip(f"none of these is on this machine: {', '.join(asked)}")
    empty = tmp_path / "empty"
    empty.touch()
    record = measure([text, Subject.of(empty, "empty")], here, ONE)
    assert [(row.method, row.error) for row in record.rows if not row.verified] == []
    for row in record.rows:
        assert row.kind == "memcpy" or 0 < (row.size or 0) < 2000


def test_a_base_goes_both_ways(tmp_path: Path) -> None:
    noise = synthetic.files()["weights.safetensors"][-8000:]
    base, path = tmp_path / "base", tmp_path / "file"
    base.write_bytes(noise)
    path.write_bytes(bytes(20) + noise[20:])
    row = measure([Subject.of(path, base=base)], contestants.methods(["zipnn"]), ONE).rows[1]
    assert row.verified
    assert row.size is not None
    assert row.size < len(noise) / 10


def test_what_the_package_ships_is_told(text: Subject) -> None:
    chosen = contestants.methods(["fsar", "zstd"])
    _, pictures, coded = measure([text], chosen, ONE).rows
    assert pictures.weights > 100_000  # a network; of the text nothing is coded with it
    assert coded.weights == 0


# --- what goes wrong -----------------------------------------------------------------


def test_a_peer_that_is_killed_has_a_row_that_says_so(
    text: Subject, program: Callable[[str, str], None]
) -> None:
    program("bzip3", "kill -9 $$")
    row = run(text, "bzip3")["bzip3 -b 16"]
    assert row.error is not None
    assert "ended with -9" in row.error
    assert row.size is None
    assert not row.verified


def test_what_a_failing_peer_says_is_passed_on(
    text: Subject, program: Callable[[str, str], None]
) -> None:
    program("bzip3", "echo no such block size >&2; exit 3")
    row = run(text, "bzip3 -b 99")["bzip3 -b 99"]
    assert row.error is not None
    assert "ended with 3: no such block size" in row.error
    assert "-b 99" in row.error


def test_a_peer_that_gives_other_bytes_back_is_not_verified(
    text: Subject, program: Callable[[str, str], None]
) -> None:
    program("bzip3", f'case "$1" in -d) echo other;; *) {COPIES};; esac')
    row = run(text, "bzip3")["bzip3 -b 16"]
    assert row.error is not None
    assert "came back" in row.error
    assert not row.verified


def test_a_peer_that_hangs_is_stopped(text: Subject, program: Callable[[str, str], None]) -> None:
    program("bzip3", 'case "$1" in -e) sleep 600;; *) echo 1.0;; esac')
    plan = Plan(rounds=1, seconds=20.0)  # the others need two of them at most, the peer none
    found, _ = contestants.peers(["bzip3"])
    record = measure([text], [*found, *contestants.methods(["zstd"])], plan)
    _, hanging, coded = record.rows
    assert hanging.stopped
    assert hanging.error is not None
    assert "time was up" in hanging.error
    assert coded.verified


def test_what_was_done_before_a_stop_stands(text: Subject) -> None:
    with _Entry(*contestants.methods(["store"]), text, ONE) as entry:
        entry.turn(None)
        entry.turn(0.0)
        row = entry.row()
    assert not entry.alive
    assert row.verified
    assert row.error is None
    for runs in (row.compress, row.decompress):
        assert runs is not None
        assert len(runs.wall) == 1


def test_every_decode_is_compared(text: Subject) -> None:
    """What is over soon is done many times in a run: the last time alone tells little."""
    calls: list[int] = []

    def wrong_at_first(blob: bytearray) -> bytearray:
        calls.append(len(blob))
        return blob[1:] if len(calls) == 1 else blob

    work = InMemory(Functions(bytearray, wrong_at_first), text.path)
    work.compress()
    with pytest.raises(NncompError, match="came back"):
        work.decompress()


def test_a_library_that_ends_its_process_costs_its_own_row(
    text: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    (tmp_path / "pcodec.py").write_text("import os\nos.abort()\n")
    monkeypatch.syspath_prepend(str(tmp_path))
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    row = run(text, "pcodec")["pcodec"]
    assert row.error is not None
    assert "SIGABRT" in row.error


def test_a_library_that_does_not_load_says_why(
    text: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.syspath_prepend(str(tmp_path))
    (tmp_path / "pcodec.py").write_text("raise ImportError('built for another Python')\n")
    monkeypatch.setenv("PYTHONPATH", str(tmp_path), prepend=":")
    row = run(text, "pcodec")["pcodec"]
    assert row.error == "built for another Python"


def test_files_of_workers_are_removed(
    text: Subject, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    folder = tmp_path / "temporary"
    folder.mkdir()
    monkeypatch.setattr("tempfile.tempdir", str(folder))
    measure([text], contestants.methods(["zstd"]), ONE)
    assert list(folder.iterdir()) == []


# --- going on ------------------------------------------------------------------------


@pytest.fixture
def two(tmp_path: Path) -> list[Subject]:
    subjects = []
    for name in ("first", "second"):
        (tmp_path / name).write_bytes(name.encode() * 500)
        subjects.append(Subject.of(tmp_path / name, name))
    return subjects


def test_what_was_measured_is_not_measured_again(two: list[Subject]) -> None:
    zstd, kept = contestants.methods(["zstd"]), []
    earlier = measure(two[:1], zstd, ONE, keep=kept.append)
    assert kept == [earlier]
    earlier = replace(Record.from_json(earlier.to_json()), extras={"limit": [1, None]})
    record = measure(two, zstd, ONE, earlier=earlier, keep=kept.append)
    assert kept[1:] == [record]
    assert record.rows[:2] == earlier.rows
    assert [each.name for each in record.inputs] == ["first", "second"]
    assert (record.date, record.extras) == (earlier.date, {"limit": [1, None]})


def test_a_file_that_has_changed_is_measured_again(two: list[Subject]) -> None:
    zstd = contestants.methods(["zstd"])
    earlier = measure(two, zstd, ONE)
    two[0].path.write_bytes(TEXT)
    changed = Subject.of(two[0].path, "first")
    record = measure([changed, two[1]], zstd, ONE, earlier=earlier)
    assert {each.name: each.size for each in record.inputs} == {"second": 3000, "first": len(TEXT)}
    assert record.rows[:2] == earlier.rows[2:]


def test_others_do_not_go_on_with_a_record(two: list[Subject]) -> None:
    zstd = contestants.methods(["zstd"])
    earlier = measure(two[:1], zstd, ONE)
    with pytest.raises(UsageError, match="of memcpy, nncomp zstd, and now"):
        measure(two, contestants.methods(["store"]), ONE, earlier=earlier)
    with pytest.raises(UsageError, match="rounds was 1, and is 2"):
        measure(two, zstd, Plan(rounds=2), earlier=earlier)
    other = replace(earlier, versions={**earlier.versions, "nncomp": "0"})
    with pytest.raises(UsageError, match="nncomp was '0', and is"):
        measure(two, zstd, ONE, earlier=other)
    busier = replace(earlier, machine={**earlier.machine, "load_at_start": 99})
    assert len(measure(two, zstd, ONE, earlier=busier).inputs) == 2


# --- who takes part ------------------------------------------------------------------


def test_methods_have_levels() -> None:
    plain, high = contestants.methods(["mix", "sep:lanes=2 -9"])
    assert (plain.name, plain.text, plain.level) == ("nncomp mix", "mix", None)
    assert (high.name, high.text, high.level) == ("nncomp sep:lanes=2 -9", "sep:lanes=2", 9)
    assert plain.urgency < high.urgency


@pytest.mark.parametrize("method", ["mix 9", "mix -10", "nothing", "zstd:level=99", ""])
def test_a_method_that_does_not_exist(method: str) -> None:
    with pytest.raises(UsageError):
        contestants.methods([method])


@pytest.mark.parametrize("peer", ["gzip", "lz4 -9", "blosc2 xz", "zstandard 23", ""])
def test_a_peer_that_does_not_exist(peer: str) -> None:
    with pytest.raises(UsageError):
        contestants.peers([peer])


def test_a_peer_that_no_shell_would_read() -> None:
    with pytest.raises(UsageError, match="No closing quotation"):
        contestants.peers(["zstd '"])


def test_options_stay_words(program: Callable[[str, str], None]) -> None:
    program("zstd", "echo 'zstd v1.5'")
    (found,), _ = contestants.peers(["zstd -19 'two words'"])
    commands = PROGRAMS["zstd"].with_options(found.text.partition(" ")[2], 1)
    assert commands.compress[2:4] == ("-19", "two words")


def test_what_is_missing_is_named(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setenv("PATH", "/nowhere")
    monkeypatch.setitem(sys.modules, "pcodec", None)
    found, missing = contestants.peers(["xz", "lz4"])
    assert [each.name for each in found] == ["lz4"]
    assert missing == {"xz": "apt install xz-utils"}


def test_options_replace_those_of_a_program(program: Callable[[str, str], None]) -> None:
    program("zstd", "echo 'zstd v1.5'")
    found, _ = contestants.peers(["zstd", "zstd  -19 --long=27"])
    assert [each.name for each in found] == ["zstd --ultra -22", "zstd -19 --long=27"]
    assert contestants.versions_of(found) == {"zstd": "1.5"}


def test_a_peer_and_a_method_of_ours_with_one_name(text: Subject) -> None:
    peers, _ = contestants.peers(["lz4"])
    record = measure([text], [*peers, *contestants.methods(["lz4"])], ONE)
    assert [row.method for row in record.rows] == ["memcpy", "lz4", "nncomp lz4"]
    assert record.versions["lz4"]


def test_a_library_takes_a_setting(text: Subject) -> None:
    rows = run(text, "zstandard", "zstandard 19")
    assert 0 < rows["zstandard 19"].size < rows["zstandard 3"].size < len(TEXT)


def test_differences_to_a_base(text: Subject, tmp_path: Path) -> None:
    base = tmp_path / "base"
    base.write_bytes(os.urandom(50_000))
    path = tmp_path / "changed"
    path.write_bytes(base.read_bytes()[:-8] + bytes(8))
    subject = Subject.of(path, base=base)
    peers, _ = contestants.peers(["zstandard 19"])
    record = measure([subject], [*peers, *contestants.methods(["zipnn"])], ONE)
    for row in record.rows[1:]:
        assert row.verified, row.error
        assert row.size is not None
        assert row.size < 1000


# --- what compressors of numbers are told --------------------------------------------


def test_the_type_comes_from_the_name_or_the_header(tmp_path: Path) -> None:
    raw = tmp_path / "raw.f32"
    raw.write_bytes(bytes(8))
    tensors = tmp_path / "model.safetensors"
    tensors.write_bytes(synthetic.files()["weights.safetensors"])
    broken = tmp_path / "broken.safetensors"
    broken.write_bytes(b"no header")
    assert [Subject.of(path).dtype for path in (raw, tensors, broken)] == ["F32", "BF16", "U8"]
    assert Subject.of(broken, dtype="bfloat16").dtype == "BF16"
    with pytest.raises(UsageError, match="no element type 'float12'"):
        Subject.of(raw, dtype="float12")
