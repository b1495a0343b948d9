"""The documents' tables and plots, made from the committed records; and what makes those.

    python benchmarks/readme.py                     rewrite README.md and benchmarks/README.md
    python benchmarks/readme.py --check             exit with 1 if something would change
    python benchmarks/readme.py --measure NAME ...  make results/NAME.json anew, then rewrite

In a document, what stands between <!-- table: RECORD, KIND --> and <!-- end --> is made here: a
KIND of tables.py, or "plot"; "figures" of a record that a script with figures of its own made.
Measuring with `nncomp bench` can be interrupted: the same call goes on, in
results/NAME.part.json, as long as machine, versions and settings are the same.
"""

from __future__ import annotations

import argparse
import difflib
import hashlib
import os
import re
import shlex
import subprocess
import sys
from dataclasses import dataclass
from importlib import import_module
from pathlib import Path
from typing import TYPE_CHECKING

from common import DATA, HERE, ROOT, begun, load, result, say
from tables import CORPUS, KINDS, LARGE

from nncomp.bench import records
from nncomp.errors import NncompError

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

DOCUMENTS = (ROOT / "README.md", HERE / "README.md")


# --- what is measured ----------------------------------------------------------------


@dataclass(frozen=True)
class Files:
    """A run of `nncomp bench` over files.

    Attributes:
        files: Their names below a data folder.
        methods: Of nncomp; the others are compared with the first.
        peers: As `--peer` takes them; none: all that are found.
        rounds: See `--rounds`.
    """

    files: Callable[[Path], list[str]]
    methods: tuple[str, ...]
    peers: tuple[str, ...] = ()
    rounds: int = 1

    def command(self, name: str, data: Path) -> list[str]:
        """The words, run in the data folder."""
        words = [sys.executable, "-m", "nncomp", "bench", *self.files(data)]
        words += [word for method in self.methods for word in ("-m", method)]
        words += [word for peer in self.peers for word in ("--peer", peer)]
        return [
            *words,
            "--rounds",
            str(self.rounds),
            "--resume",
            os.path.relpath(begun(name), data.resolve()),
        ]


@dataclass(frozen=True)
class Tensors:
    """A run of tensors.py."""

    arguments: tuple[str, ...]

    def command(self, name: str, data: Path) -> list[str]:
        """The words, run in the data folder."""
        script, target = str(HERE / "tensors.py"), os.path.relpath(begun(name), data.resolve())
        return [sys.executable, script, *self.arguments, "--data", ".", "--resume", target]


@dataclass(frozen=True)
class Script:
    """A run of a script whose records have figures of their own, shown by its `markdown`.

    Attributes:
        module: Its name, without .py.
        arguments: Beside the name of the record.
        manual: What it needs that cannot be told here; such a record is only shown.
    """

    module: str
    arguments: tuple[str, ...] = ()
    manual: str = ""

    def command(self, name: str, data: Path) -> list[str]:
        """The words, run in the data folder."""
        if self.manual:
            raise SystemExit(f"{name} needs {self.manual}: run {self.module}.py as its help says")
        script, target = str(HERE / f"{self.module}.py"), begun(name).stem
        return [sys.executable, script, *self.arguments, "--save", target]

    def shown(self, name: str) -> str:
        """Its figures, in Markdown."""
        text: str = import_module(self.module).markdown(load(result(name)))
        return text


def _matching(*patterns: str) -> Callable[[Path], list[str]]:
    return lambda data: [
        path.relative_to(data).as_posix()
        for pattern in patterns
        for path in sorted(data.glob(pattern))
        if path.is_file()
    ]


def _large_and_corpus(data: Path) -> list[str]:
    return [
        name
        for name in _matching("*/**/*")(data)
        if name.startswith(CORPUS) or (data / name).stat().st_size > LARGE
    ]


_CLASSICS = ("zpaq", "xz", "7z", "bzip3", "brotli", "zstd")
_LOOKUPS = "embed/dlrm_EMB_1_iter_20.bin.f32"
_LIKE_MEASURED = ("--size", "128M", "--only", "bf16", "f16", "f32", "f32-bf16")

MEASUREMENTS: dict[str, Files | Tensors | Script] = {
    "general": Files(_large_and_corpus, ("mix", "mix -1"), _CLASSICS),
    "sep-enwik6": Files(_matching("enwik/enwik6"), ("sep", "mix"), _CLASSICS),
    "calgary-canterbury": Files(
        _matching("calgary/*", "canterbury/*"),
        ("mix", "mix -3", "mix -1", "zstd -9", "zstd", "zipnn", "snappy", "lz4"),
    ),
    "tensors": Tensors(("--size", "128M", "--peers", "zipnn")),
    "tensors-peers": Tensors((*_LIKE_MEASURED, "f8_e4m3", "i8", "--rounds", "3")),
    "tensors-threads": Tensors((*_LIKE_MEASURED, "--peers", "zipnn", "--threads", "all")),
    "tensors-numpy": Tensors((*_LIKE_MEASURED, "--peers", "zipnn", "--compiled", "off")),
    "tensors-delta": Tensors(("--size", "128M", "--delta", "--only", "bf16", "f32")),
    "images": Script("images", ("--data", ".")),
    "embeddings-dumps": Script("embeddings", ("--trained", "--runs", "6")),
    "embeddings-real": Script("embeddings", (_LOOKUPS, "--runs", "6")),
    "dlrm": Script("dlrm"),
    "image-ablation": Script("image_ablation", manual="photographs to learn from"),
}
"""The records that documents show, by name: every file and contestant, fixed beforehand."""


def measure(name: str, data: Path) -> None:
    """Make a record anew, or go on with one that was begun.

    Raises:
        SystemExit: It did not come to an end, or nncomp failed at something.
    """
    if not data.is_dir():
        raise SystemExit(f"there is no folder {data}: give that of the files with --data")
    words = MEASUREMENTS[name].command(name, data)
    say(shlex.join(words))
    paths = os.pathsep.join(filter(None, (str(ROOT), os.environ.get("PYTHONPATH"))))
    done = subprocess.run(words, cwd=data, env={**os.environ, "PYTHONPATH": paths}, check=False)
    if done.returncode:
        raise SystemExit(
            f"{name}: ended with {done.returncode}. {begun(name)} has what was measured; the same "
            "call goes on with it"
        )
    begun(name).replace(result(name))


# --- what is shown -------------------------------------------------------------------

_BLOCK = re.compile(r"(<!-- table: ([\w-]+), ([\w ]+) -->\n).*?(<!-- end -->)", re.DOTALL)


def rewritten(document: Path) -> str:
    """The text of a document as the records want it.

    Raises:
        SystemExit: It asks for something that nothing makes.
    """

    def block(found: re.Match[str]) -> str:
        name, kind = found[2], found[3]
        if name not in MEASUREMENTS or kind not in _kinds(name):
            raise SystemExit(f"{document}: nothing makes {found[1].strip()}")
        return f"{found[1]}\n{_content(document, name, kind)}\n\n{found[4]}"

    return _BLOCK.sub(block, document.read_text(encoding="utf-8"))


def _kinds(name: str) -> set[str]:
    return {"figures"} if isinstance(MEASUREMENTS[name], Script) else {*KINDS, "plot"}


def _content(document: Path, name: str, kind: str) -> str:
    if not result(name).exists():
        return f"Not measured yet: `python benchmarks/readme.py --measure {name}`."
    if kind == "plot":
        target = _plot(name).relative_to(document.parent).as_posix()
        return f"![Ratio against speed, in both directions: {name}]({target})"
    wanted = MEASUREMENTS[name]
    return (
        wanted.shown(name)
        if isinstance(wanted, Script)
        else KINDS[kind](records.load(result(name)))
    )


def plots() -> Iterator[str]:
    """Records whose plots stand in some document."""
    for document in DOCUMENTS:
        for _, name, kind, _ in _BLOCK.findall(document.read_text(encoding="utf-8")):
            if kind == "plot" and result(name).exists():
                yield name


def _plot(name: str) -> Path:
    return result(name).with_suffix(".svg")


def _origin(name: str) -> str:
    """The last line of a plot: the record that it shows, since drawing differs by versions."""
    digest = hashlib.sha256(result(name).read_bytes()).hexdigest()
    return f"<!-- {name}.json, SHA-256 {digest} -->\n"


def stale_plots() -> list[str]:
    """Those that are missing, or show an older record."""
    return [
        name
        for name in plots()
        if not _plot(name).exists()
        or not _plot(name).read_text(encoding="utf-8").endswith(_origin(name))
    ]


def check() -> int:
    """Print what would change; 1 if anything would."""
    wrong = 0
    for document in DOCUMENTS:
        old, new = document.read_text(encoding="utf-8"), rewritten(document)
        wrong |= old != new
        lines = (old.splitlines(keepends=True), new.splitlines(keepends=True))
        sys.stdout.writelines(difflib.unified_diff(*lines, str(document), "as the records want it"))
    for name in stale_plots():
        wrong = 1
        print(f"{_plot(name)} does not show {result(name)}")
    return int(wrong)


def write() -> None:
    """Bring documents and plots up to date."""
    from nncomp.bench import plot

    for name in stale_plots():
        plot.save(records.load(result(name)), _plot(name))
        with _plot(name).open("a", encoding="utf-8") as file:
            file.write(_origin(name))
    for document in DOCUMENTS:
        document.write_text(rewritten(document), encoding="utf-8")


def main() -> None:
    """Measure, check or rewrite."""
    parser = argparse.ArgumentParser(
        description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter
    )
    parser.add_argument("--check", action="store_true", help="change nothing")
    parser.add_argument("--measure", nargs="+", choices=MEASUREMENTS, default=[], metavar="NAME")
    parser.add_argument("--data", type=Path, default=DATA, help="folder of the files")
    options = parser.parse_args()
    try:
        for name in options.measure:
            measure(name, options.data)
        if options.check:
            raise SystemExit(check())
        write()
    except NncompError as error:
        raise SystemExit(str(error)) from error


if __name__ == "__main__":
    main()
