"""Records made by hand: what is shown does not depend on what was measured."""

from __future__ import annotations

import hashlib
from typing import TYPE_CHECKING

import pytest

from nncomp.bench.records import Input, Record, Row, Runs

if TYPE_CHECKING:
    from collections.abc import Callable, Mapping

    from nncomp.bench.records import Kind

METHODS: tuple[tuple[str, Kind, float, float, float], ...] = (
    ("memcpy", "memcpy", 1.0, 9000.0, 9000.0),
    ("sep", "own", 4.0, 0.01, 0.01),
    ("mix -6", "own", 3.7, 0.3, 0.3),
    ("zstd:level=3", "own", 2.8, 200.0, 600.0),
    ("zstd -19", "program", 3.2, 2.5, 500.0),
    ("xz -9e", "program", 3.3, 2.0, 90.0),
    ("snappy", "library", 1.7, 700.0, 2200.0),
)
"""Name, kind, ratio, MB/s there and back."""


def _runs(size: int, speed: float, *, own: bool) -> Runs:
    wall = tuple(size / 1e6 / speed * factor for factor in (0.9, 1.0, 1.1))
    return Runs(wall, wall, memory=(300 if own else 20) << 20)


def _row(file: str, size: int, method: tuple[str, Kind, float, float, float]) -> Row:
    name, kind, ratio, there, back = method
    own = kind == "own"
    return Row(
        file=file,
        method=name,
        kind=kind,
        raw_size=size,
        size=round(size / ratio),
        compress=_runs(size, there, own=own),
        decompress=_runs(size, back, own=own),
        verified=True,
    )


def make_record(
    files: Mapping[str, int] | None = None, rows: Mapping[tuple[str, str], Row] | None = None
) -> Record:
    """Each method on each file.

    Args:
        files: Their sizes by their names.
        rows: Instead of those that would be made, by file and method.
    """
    if files is None:
        files = {"book": 100_000, "picture": 500_000}
    return Record(
        date="2026-11-21T12:30:00+00:00",
        machine={
            "cpu": "Some Processor @ 2.60GHz",
            "cores": 2,
            "memory_gib": 7.8,
            "load_at_start": 0.2,
            "gpu": None,
        },
        versions={"python": "3.11.7", "nncomp": "0.1", "zstd": "1.5.4"},
        settings={"threads": 1, "device": "cpu", "seed": None, "rounds": 3, "seconds": None},
        inputs=tuple(
            Input(name, size, hashlib.sha256(f"{name!r}{size}".encode()).hexdigest())
            for name, size in files.items()
        ),
        rows=tuple(
            (rows or {}).get((file, method[0])) or _row(file, size, method)
            for file, size in files.items()
            for method in METHODS
        ),
        missing={"zpaq": "apt install zpaq"},
        environment={"OMP_WAIT_POLICY": "PASSIVE"},
        arguments=("book", "picture"),
    )


@pytest.fixture
def make() -> Callable[..., Record]:
    return make_record


@pytest.fixture(scope="session")
def record() -> Record:
    """Two files; one method was killed on one of them, another gave something else back."""
    killed = Row("picture", "xz -9e", "program", 500_000, error="was ended by\nsignal 9 (SIGKILL)")
    other = Row("book", "snappy", "library", 100_000, size=50_000)
    return make_record(rows={("picture", "xz -9e"): killed, ("book", "snappy"): other})


HOSTILE = "</h2><script>alert('$1$')</script>|`a`\x1b[2J\r\n\udcff\"'&字"


@pytest.fixture(scope="session")
def hostile() -> Record:
    """Names and errors that are markup, control characters and bytes that are no text."""
    failed = Row(HOSTILE, "snappy", "library", 5000, error=HOSTILE)
    return make_record(files={HOSTILE: 5000, "book": 4000}, rows={(HOSTILE, "snappy"): failed})
