"""The README is true where a test can tell."""

from __future__ import annotations

import json
import os
import re
import struct
import subprocess
import sys
import zlib
from pathlib import Path
from typing import TYPE_CHECKING

import numpy as np
import pytest

from nncomp.api.choice import LADDER
from nncomp.codecs.registry import AUTO, CODECS, by_name
from nncomp.coding.png.chunks import SIGNATURE, pack_chunk

if TYPE_CHECKING:
    from tests.cli.conftest import Invoke

NUMBER = re.compile(r"\d+(?:\.\d+)?")
ROOT = Path(__file__).parents[2]
README = (ROOT / "README.md").read_text()
PICTURES = README[README.index("### Pictures") : README.index("### Tensors and model files")]
TENSORS = README[README.index("### Tensors and model files") : README.index("### Embedding tables")]
EMBEDDINGS = README[README.index("### Embedding tables") : README.index("### Pipes")]


def table(start: str, within: str = README) -> str:
    """The table whose titles begin like that, without them."""
    text = within[within.index(start) :]
    return text[text.index("\n") : text.index("\n\n")]


@pytest.mark.parametrize("number", range(README.count("```python")))
def test_python_example_runs(number: int) -> None:
    examples = re.findall(r"```python\n(.*?)```", README, re.DOTALL)
    subprocess.run([sys.executable, "-c", examples[number]], check=True, timeout=120)


def test_every_method_is_in_the_table() -> None:
    rows = re.findall(r"^\| `(\w+)` \|", table("| method | what it is"), re.MULTILINE)
    assert rows == [AUTO, *(name for name, _ in CODECS.values())]


def test_thresholds_of_the_default_are_those_of_the_program() -> None:
    rows = re.findall(r"^\| (\S+ \S+|more, .*) \| `(\w+)` `-(\d)` \|", README, re.MULTILINE)
    sizes = {"16 MiB": 16 << 20, "32 MiB": 32 << 20, "64 MiB": 64 << 20, "1 GiB": 1 << 30}
    described = [(method, int(level), sizes.get(size)) for size, method, level in rows]
    ladder = {largest: (method, level, largest) for method, level, largest in reversed(LADDER)}
    assert described == sorted(ladder.values(), key=lambda rung: rung[2] or 1 << 60)


def test_every_option_in_the_table_exists(invoke: Invoke) -> None:
    described = invoke("compress", "--help").stdout
    options = re.findall(r"`(--?[\w-]+)", table("| option | meaning |"))
    assert len(options) > 12
    missing = [name for name in options if not re.search(rf"(^|\s){name}\b", described)]
    assert missing == []


@pytest.mark.skipif(not (ROOT / ".ci" / "run").exists(), reason="not in the source distribution")
def test_checks_end_with_the_command_of_the_readme() -> None:
    lines = (ROOT / ".ci" / "run").read_text().split("\n")
    install, last = re.search(
        r"pip install -e ('\S+') && (pytest[ \w-]*)$", README, re.MULTILINE
    ).groups()
    assert any(line.endswith(f"pip install --quiet -e {install}") for line in lines)
    assert lines[-2:] == [last, ""]


def test_commands_that_explain(invoke: Invoke) -> None:
    section = README[README.index("### Where the bits go") : README.index("### Exit codes")]
    Path("notes.txt").write_text("".join(f"note {n}: {n * n}\n" for n in range(300)))
    commands = re.findall(r"^    nncomp (\w.*?)(?: +#.*)?$", section, re.MULTILINE)
    assert len(commands) == 5
    for command in commands:
        if "--plot" in command:
            pytest.importorskip("matplotlib")
        run = invoke(*command.split())
        assert (run.exit_code, run.stderr) == (0, "")
    assert Path("notes.svg").stat().st_size > 1000


# --- pictures


def test_commands_for_pictures(invoke: Invoke) -> None:
    text = README[README.index("### Pictures") : README.index("    nncomp train-image")]
    commands = re.findall(r"^    nncomp (.*?)(?: +#.*)?$", text, re.MULTILINE)
    assert len(commands) == 3
    lines = b"".join(b"\0" + bytes((x * y) % 200 for x in range(120)) for y in range(40))
    chunks = (
        (b"IHDR", struct.pack(">IIBBBBB", 40, 40, 8, 2, 0, 0, 0)),
        (b"IDAT", zlib.compress(lines, 9)),
        (b"IEND", b""),
    )
    Path("photo.png").write_bytes(SIGNATURE + b"".join(pack_chunk(*chunk) for chunk in chunks))
    Path("batch.u8").write_bytes(bytes(x % 7 + x // 32 % 32 for x in range(3 * 3072)))
    for command in commands:
        assert invoke(*command.split()).exit_code == 0
    assert Path("copy.png").read_bytes() == Path("photo.png").read_bytes()
    assert Path("batch.u8.nnc").stat().st_size < 3000


# --- tensors


def model(scale: float) -> bytes:
    """The safetensors file that the README lists; its weights change with `scale`."""
    random = np.random.default_rng(1)
    embed = random.normal(0, 0.02, 800 * 512).astype(np.float32).view(np.uint32) >> 16
    norm = (random.normal(1, 0.1, 512) * scale).astype(np.float32)
    arrays = {
        "embed": ("BF16", [800, 512], embed.astype("<u2")),
        "norm.weight": ("F32", [512], norm),
    }
    entries, start = {}, 0
    for name, (dtype, shape, array) in arrays.items():
        place = [start, start := start + array.nbytes]
        entries[name] = {"dtype": dtype, "shape": shape, "data_offsets": place}
    header = json.dumps(entries).encode()
    content = b"".join(array.tobytes() for _, _, array in arrays.values())
    return len(header).to_bytes(8, "little") + header + content


def run_commands(section: str, folder: Path) -> str:
    """Run the commands of a section, one after the other; what they print."""
    programs = folder / "programs"
    programs.mkdir()
    (programs / "nncomp").write_text(f'#!/bin/sh\nexec "{sys.executable}" -m nncomp "$@"\n')
    (programs / "nncomp").chmod(0o755)
    commands = re.findall(r"^    (nncomp .*)$", section, re.MULTILINE)
    assert len(commands) > 3
    run = subprocess.run(
        ["/bin/sh", "-e", "-c", "\n".join(commands)],
        env={**os.environ, "PATH": f"{programs}{os.pathsep}{os.environ['PATH']}"},
        capture_output=True,
        text=True,
        timeout=300,
        check=False,
    )
    assert (run.returncode, run.stderr) == (0, "")
    return run.stdout


@pytest.fixture
def shell(tmp_path: Path) -> str:
    """What the commands of the section on tensors print."""
    for number, name in enumerate(["model", "tuned", "newest"]):
        Path(f"{name}.safetensors").write_bytes(model(1 + number / 1000))
    Path("weights.raw").write_bytes(model(2)[-10_000:])
    return run_commands(TENSORS, tmp_path)


def test_commands_for_tensors(shell: str) -> None:
    for copy, name in (("copy", "model"), ("same", "tuned")):
        assert Path(f"{copy}.safetensors").read_bytes() == Path(f"{name}.safetensors").read_bytes()
    listed = re.search(r"\n\n((    .*\n)+)\nBits per weight", TENSORS)
    assert listed is not None
    titles, *lines = [line[4:] for line in listed[1].splitlines()]
    printed = shell[shell.index(titles + "\n") :].splitlines()[1 : 1 + len(lines)]
    assert [NUMBER.sub("#", line) for line in printed] == [NUMBER.sub("#", line) for line in lines]
    numbers = [[float(number) for number in NUMBER.findall(" ".join(t))] for t in (printed, lines)]
    assert numbers[0] == pytest.approx(numbers[1], rel=0.05, abs=1)
    assert "(lossy: abs<=0.001)" in shell


@pytest.mark.parametrize(("method", "section"), [("zipnn", TENSORS), ("fsar", PICTURES)])
def test_every_parameter_is_in_the_table(method: str, section: str) -> None:
    titles = "| parameters | what they set"
    rows = re.findall(r"^\| ([^|]*) \|", table(titles, section), re.MULTILINE)
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert sorted(named) == sorted(p.name for p in by_name(method).params if p.name != "base")


def test_every_option_of_zipnn_has_a_counterpart() -> None:
    rows = re.findall(r"^\| (`[^|]*) \| ([^|]+) \|$", table("| ZipNN | here |"), re.MULTILINE)
    theirs = [name for row, _ in rows for name in re.findall(r"`(\w+)`", row)]
    assert theirs == [
        "method", "delta_compressed_type", "bg_partitions", "bg_compression_threshold",
        "torch_dtype", "torch_shape", "signbit_to_lsb", "lossy_compressed_type",
        "lossy_compressed_factor", "is_streaming", "streaming_chunk_KB", "input_type",
        "input_file", "compressed_ret_type", "compressed_file", "decompressed_ret_type",
        "decompressed_file", "zstd_level", "zstd_threads", "lz4_compression_level",
    ]  # fmt: skip
    parameters = {p.name for p in by_name("zipnn").params}
    ours = re.findall(r"(\w+)=", " ".join(re.findall(r"`([^`]+)`", " ".join(o for _, o in rows))))
    assert set(ours) <= parameters | {"dtype", "shape", "threads"}


# --- embeddings


def test_commands_for_embeddings(tmp_path: Path) -> None:
    random = np.random.default_rng(1)
    table = random.normal(size=(500, 64)).astype(np.float32)[random.zipf(1.3, 2048) % 500]
    Path("lookups.f32").write_bytes(table.tobytes())
    np.save("lookups.npy", table)
    run_commands(EMBEDDINGS, tmp_path)
    assert 0 < np.abs(np.load("copy.npy") - table).max() <= 1e-3
    assert Path("lookups.f32.nnc").stat().st_size < 0.1 * table.nbytes


def test_every_parameter_of_emb_is_in_the_table() -> None:
    rows = re.findall(
        r"^\| ([^|]*) \|", table("| parameter | what it sets | default |", EMBEDDINGS), re.MULTILINE
    )
    named = [name for row in rows for name in re.findall(r"`(\w+)`", row)]
    assert named == [p.name for p in by_name("emb").params]
