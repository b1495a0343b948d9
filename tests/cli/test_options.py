"""Options, the environment, exit codes and messages."""

from __future__ import annotations

import json
from pathlib import Path
from typing import TYPE_CHECKING, Any

import pytest
from click.testing import CliRunner

import nncomp
from nncomp import api
from nncomp.cli import options
from nncomp.cli.main import program
from nncomp.errors import DeviceError, LimitError

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke


@pytest.fixture
def asked(monkeypatch: pytest.MonkeyPatch, text_file: Path) -> list[dict[str, Any]]:
    """What `compress text` asks of the library, without doing it."""
    calls: list[dict[str, Any]] = []

    def compress_stream(source: object, sink: object, **arguments: Any) -> api.Result:
        calls.append(arguments)
        return api.Result(raw_size=1, archive_size=1, method="store")

    monkeypatch.setattr(api, "compress_stream", compress_stream)
    return calls


def test_version(invoke: Invoke) -> None:
    result = invoke("--version")
    assert (result.exit_code, result.stdout) == (0, f"nncomp {nncomp.__version__}\n")


@pytest.mark.parametrize("command", ["compress", "decompress", "test", "list"])
def test_help(invoke: Invoke, command: str) -> None:
    assert f"\n  {command} " in invoke("--help").stdout
    result = invoke(command, "--help")
    assert result.exit_code == 0
    assert result.stdout.startswith(f"Usage: nncomp {command} [OPTIONS] [FILE]...\n")


@pytest.mark.parametrize(
    "arguments",
    [
        "extract text",
        "compress --best text",
        "compress -m text",
        "compress -m unknown text",
        "compress -m zstd:speed=3 text",
        "compress -m auto:level=3 text",
        "compress -m zstd:level text",
        "compress -M 0 text",
        "compress -M 1.5G text",
        "compress -M 5X text",
        "compress -T -1 text",
        "compress -T many text",
        "compress --device tpu text",
        "compress -o out -c text",
        "compress -o out text text",
        "compress -o out -r text",
        "compress -k --rm text",
        "compress -c --rm text",
        "decompress -9 text.nnc",
        "decompress -m zstd text.nnc",
        "test -o out text.nnc",
    ],
)
def test_usage_errors(invoke: Invoke, archive: Path, arguments: str) -> None:
    before = set(Path().iterdir())
    result = invoke(*arguments.split())
    assert result.exit_code == 2
    assert result.stdout == ""
    assert "Error: " in result.stderr
    assert set(Path().iterdir()) == before


def test_unknown_method_lists_the_known_ones(invoke: Invoke) -> None:
    said = invoke("compress", "-m", "x", "text").stderr
    assert "auto, store, zstd, lz4, snappy, mix, sep" in said


def test_unknown_parameter_lists_the_known_ones(invoke: Invoke) -> None:
    assert "level" in invoke("compress", "-m", "zstd:speed=3", "text").stderr


@pytest.mark.parametrize(
    ("text", "size"),
    [
        ("1", 1),
        ("4096", 4096),
        ("3K", 3 << 10),
        ("500M", 500 << 20),
        ("2g", 2 << 30),
        ("1TiB", 1 << 40),
    ],
)
def test_sizes(text: str, size: int) -> None:
    assert options.parse_size(text) == size


def test_defaults(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    assert invoke("compress", "text").exit_code == 0
    (call,) = asked
    assert call["method"] == api.DEFAULT_METHOD
    assert call["level"] is None
    assert call["content_size"] == Path("text").stat().st_size
    assert call["context"].threads >= 1
    assert call["context"].memory_limit is None
    assert call["context"].device == "auto"


def test_everything_reaches_the_library(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    words = ["-m", "zstd:level=7", "-4", "-T", "3", "-M", "2G", "--device", "cpu"]
    assert invoke("compress", *words, "text").exit_code == 0
    (call,) = asked
    assert (call["method"], call["level"]) == ("zstd:level=7", 4)
    context = call["context"]
    assert (context.threads, context.memory_limit, context.device) == (3, 2 << 30, "cpu")


@pytest.mark.parametrize("level", range(1, 10))
def test_levels(invoke: Invoke, asked: list[dict[str, Any]], level: int) -> None:
    assert invoke("compress", f"-{level}", "text").exit_code == 0
    assert asked[0]["level"] == level


def test_short_options_in_one_word(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    assert invoke("compress", "-k9fT2", "text").exit_code == 0
    assert asked[0]["level"] == 9
    assert asked[0]["context"].threads == 2


ENVIRONMENT = {"NNCOMP_METHOD": "lz4", "NNCOMP_LEVEL": "7", "NNCOMP_NBTHREADS": "5"}


def test_environment(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    assert invoke("compress", "text", env=ENVIRONMENT).exit_code == 0
    assert (asked[0]["method"], asked[0]["level"]) == ("lz4", 7)
    assert asked[0]["context"].threads == 5


def test_command_line_wins(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    words = ["compress", "-f", "-m", "zstd", "-2", "-T1", "text"]
    for environment in (ENVIRONMENT, dict.fromkeys(ENVIRONMENT, "nonsense")):
        assert invoke(*words, env=environment).exit_code == 0
        assert (asked[-1]["method"], asked[-1]["level"]) == ("zstd", 2)
        assert asked[-1]["context"].threads == 1


def test_empty_variable_is_none(invoke: Invoke, asked: list[dict[str, Any]]) -> None:
    assert invoke("compress", "text", env=dict.fromkeys(ENVIRONMENT, "")).exit_code == 0
    assert asked[0]["method"] == api.DEFAULT_METHOD


@pytest.mark.parametrize("variable", ENVIRONMENT)
@pytest.mark.parametrize("value", ["nonsense", "-1"])
def test_bad_variable_is_named(invoke: Invoke, text_file: Path, variable: str, value: str) -> None:
    result = invoke("compress", "text", env={variable: value})
    assert result.exit_code == 2
    assert f"environment variable {variable}={value!r}" in result.stderr


# --- what the library refuses


def refuse_with(monkeypatch: pytest.MonkeyPatch, error: BaseException) -> list[int]:
    calls: list[int] = []

    def compress_stream(source: object, sink: object, **arguments: Any) -> api.Result:
        calls.append(1)
        raise error

    monkeypatch.setattr(api, "compress_stream", compress_stream)
    return calls


def test_usage_error_of_the_library_stops_everything(
    invoke: Invoke, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    calls = refuse_with(monkeypatch, DeviceError("no CUDA device here"))
    result = invoke("compress", "--device", "cuda", "-c", "text", "text")
    assert (result.exit_code, result.stderr) == (2, "nncomp: no CUDA device here\n")
    assert len(calls) == 1


@pytest.mark.parametrize(
    ("error", "message"),
    [
        (LimitError("needs 3 GiB"), "needs 3 GiB"),
        (MemoryError(), "out of memory"),
        (OSError(5, "Input/output error"), "Input/output error"),
    ],
)
def test_other_errors_are_counted(
    invoke: Invoke,
    text_file: Path,
    monkeypatch: pytest.MonkeyPatch,
    error: BaseException,
    message: str,
) -> None:
    calls = refuse_with(monkeypatch, error)
    result = invoke("compress", "-f", "-v", "text", "text")
    assert result.exit_code == 1
    assert len(calls) == 2
    assert result.stderr.count(f"nncomp: text: {message}") == 2
    assert "Traceback" not in result.stderr
    assert not Path("text.nnc").exists()


def test_defects_ask_to_be_reported(
    invoke: Invoke, text_file: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    refuse_with(monkeypatch, KeyError("lane"))
    result = invoke("compress", "text")
    assert result.exit_code == 1
    assert result.stderr.startswith(
        "nncomp: text: internal error (KeyError: 'lane'); please report"
    )
    assert result.stderr.count("\n") == 1
    assert "Traceback" in invoke("compress", "-v", "text").stderr


def test_defects_outside_of_files_too(monkeypatch: pytest.MonkeyPatch) -> None:
    def fail(*arguments: object, **options: object) -> int:
        raise KeyError("lane")

    monkeypatch.setattr(program.commands["test"], "callback", fail)
    result = CliRunner().invoke(program, ["test", "x"])
    assert result.exit_code == 1
    assert "please report" in result.stderr


@pytest.mark.parametrize("command", ["test", "decompress -c"])
def test_memory_limit_is_obeyed(invoke: Invoke, archive: Path, command: str) -> None:
    result = invoke(*command.split(), "-M", "1", "text.nnc")
    assert result.exit_code == 1
    assert result.stdout == ""
    assert result.stderr.startswith("nncomp: text.nnc: ")
    assert "memory" in result.stderr


# --- what is said


def test_silence_is_golden(invoke: Invoke, text_file: Path) -> None:
    result = invoke("compress", "text")
    assert (result.stdout, result.stderr) == ("", "")


def test_summary(invoke: Invoke, text_file: Path) -> None:
    raw = text_file.stat().st_size
    line = invoke("compress", "-v", "-m", "zstd", "text").stderr
    size = Path("text.nnc").stat().st_size
    assert line.startswith(
        f"text: {raw:,} raw, {size:,} archive, ratio {raw / size:.3f}, "
        f"{8 * size / raw:.3f} bits/byte, "
    )
    assert line.endswith("\n")
    assert line.count("\n") == 1
    assert "KB/s, zstd:level=" in line
    line = invoke("test", "-v", "text.nnc").stderr
    assert line.startswith(f"text.nnc: {raw:,} raw, {size:,} archive, ")
    assert line.endswith(", ok\n")


def test_what_auto_picked(invoke: Invoke, text_file: Path) -> None:
    picked, summary = invoke("compress", "-v", "text").stderr.splitlines()
    assert picked == f"auto: mix -6, for {text_file.stat().st_size:,} bytes"
    assert "KB/s, mix:contexts=" in summary
    said = invoke("compress", "-v", "-c", "-4", "-M", "10M", "text").stderr
    assert said.startswith(f"auto: zstd -4, for {text_file.stat().st_size:,} bytes, in limited")
    said = invoke("compress", "-v", "-c", "--base", "text", "text.nnc").stderr
    assert said.startswith("auto: zipnn, for differences to a base\n")
    (info,) = json.loads(invoke("list", "--json", "text.nnc").stdout)["files"][0]["archives"]
    assert info["codec"] == "mix"


def test_summary_of_nothing(invoke: Invoke) -> None:
    Path("empty").touch()
    assert ", - bits/byte, " in invoke("compress", "-v", "empty").stderr


def test_quiet(invoke: Invoke, text_file: Path) -> None:
    result = invoke("compress", "-q", "--rm", "text", "-o", "/dev/null")
    assert (result.exit_code, result.stderr) == (0, "")
    assert invoke("compress", "-q", "absent").stderr != ""


# --- list


def test_list(invoke: Invoke, archive: Path, text_file: Path) -> None:
    result = invoke("list", "text.nnc")
    assert result.exit_code == 0
    titles, row = result.stdout.splitlines()
    assert titles.split() == ["method", "raw", "archive", "ratio", "checksum", "memory", "file"]
    words = row.split()
    assert words[0] == "zstd"
    assert words[1:3] == [f"{text_file.stat().st_size:,}", f"{archive.stat().st_size:,}"]
    assert words[-1] == "text.nnc"


def test_list_has_totals(invoke: Invoke, archive: Path) -> None:
    Path("double.nnc").write_bytes(2 * archive.read_bytes())
    lines = invoke("list", "text.nnc", "double.nnc").stdout.splitlines()
    assert len(lines) == 5
    assert lines[-1].startswith("3 archives ")
    assert f"{3 * archive.stat().st_size:,}" in lines[-1]
    assert lines[-1].endswith("2 files")


def test_list_in_detail(invoke: Invoke, archive: Path) -> None:
    titles, row = invoke("list", "-v", "text.nnc").stdout.splitlines()
    details = {"offset", "records", "version", "numerics", "weights", "parameters"}
    assert details <= set(titles.split())
    assert " block=" in row


def test_list_as_json(invoke: Invoke, archive: Path, text_file: Path) -> None:
    Path("double.nnc").write_bytes(2 * archive.read_bytes())
    result = invoke("list", "--json", "text.nnc", "absent", "double.nnc")
    assert result.exit_code == 1
    document = json.loads(result.stdout)
    assert set(document) == {"files", "raw_size", "archive_size"}
    assert document["raw_size"] == 3 * text_file.stat().st_size
    assert document["archive_size"] == 3 * archive.stat().st_size
    one, two = document["files"]
    assert (one["file"], two["file"]) == ("text.nnc", "double.nnc")
    assert [info["offset"] for info in two["archives"]] == [0, archive.stat().st_size]
    assert one["archives"][0] == {
        **one["archives"][0],
        "codec": "zstd",
        "codec_id": 1,
        "offset": 0,
        "raw_size": text_file.stat().st_size,
        "archive_size": archive.stat().st_size,
        "weights_digest": None,
    }
    assert set(one["archives"][0]) == {
        "codec", "codec_id", "codec_version", "params", "profile", "memory", "weights_digest",
        "raw_size", "archive_size", "offset", "records", "checksum",
    }  # fmt: skip


def test_what_may_not_be_meant_is_told(invoke: Invoke) -> None:
    """A bound, but no table."""
    Path("numbers").write_bytes(bytes(9000))
    lossy = ("compress", "-k", "-f", "-m", "emb:bound=0.1")
    told = "nncomp: numbers: no table was found"
    assert invoke(*lossy, "numbers").stderr.startswith(told)
    assert invoke(*lossy, "-q", "numbers").stderr == ""
    assert invoke("compress", "-kf", "-m", "emb:bound=0.1,shape=90x25", "numbers").stderr == ""
