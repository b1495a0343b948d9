"""`nncomp list`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass
from typing import TYPE_CHECKING, Any

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.cli.console import human_size, plural, ratio_text
from nncomp.cli.transfer import Batch, open_input, refuse_typed_archive

if TYPE_CHECKING:
    from nncomp.api import ArchiveInfo
    from nncomp.cli.console import Console

__all__ = ["list_archives"]

_TITLES = ("method", "raw", "archive", "ratio", "checksum", "memory", "file")
_DETAILED = ("offset", "records", "version", "numerics", "weights", "parameters")


@dataclass(frozen=True)
class Listed:
    """The archives of one file, in order."""

    name: str
    archives: list[ArchiveInfo]


@click.command("list")
@options.files_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, sizes in bytes.")
@options.recursive_option
@options.console_options
def list_archives(files: tuple[str, ...], as_json: bool, recursive: bool, console: Console) -> int:
    """Print what is in each archive, without decoding it: a row each, and their totals.

    The columns: method (its parameters with -v), original size, archive size, original over
    archive size, checksum of the content, and the memory that decoding takes.
    """
    from nncomp import api

    found: list[Listed] = []

    def inspect(name: str) -> None:
        with open_input(name, special=False) as source:
            refuse_typed_archive(source, force=False)
            found.append(Listed(source.name, api.inspect(source.stream)))

    failures = Batch(console).run(files, inspect, recursive=recursive, wanted=file_rules.has_suffix)
    if as_json:
        click.echo(json.dumps(as_document(found), indent=2))
    elif found:
        click.echo(as_table(found, detailed=console.verbosity > 0))
    return failures


def as_document(found: list[Listed]) -> dict[str, Any]:
    """The listing as plain data: `files`, each with its `archives`, and the totals."""
    archives = [info for listed in found for info in listed.archives]
    return {
        "files": [
            {"file": listed.name, "archives": [asdict(info) for info in listed.archives]}
            for listed in found
        ],
        "raw_size": sum(info.raw_size for info in archives),
        "archive_size": sum(info.archive_size for info in archives),
    }


def as_table(found: list[Listed], *, detailed: bool) -> str:
    """The listing for people; numbers to the right, words to the left."""
    titles = [*_TITLES[:-1], *(_DETAILED if detailed else ()), _TITLES[-1]]
    rows = [
        [*_cells(info), *(_details(info) if detailed else ()), click.format_filename(listed.name)]
        for listed in found
        for info in listed.archives
    ]
    if len(rows) != 1:
        rows.append(_totals(found, len(titles)))
    widths = [max(len(row[i]) for row in [titles, *rows]) for i in range(len(titles))]
    right = {titles.index(title) for title in ("raw", "archive", "ratio", "memory")}
    lines = [
        "  ".join(
            cell.rjust(width) if i in right else cell.ljust(width)
            for i, (cell, width) in enumerate(zip(row, widths, strict=True))
        ).rstrip()
        for row in [titles, *rows]
    ]
    return "\n".join(lines)


def _cells(info: ArchiveInfo) -> list[str]:
    return [
        info.codec,
        f"{info.raw_size:,}",
        f"{info.archive_size:,}",
        ratio_text(info.raw_size, info.archive_size),
        info.checksum,
        human_size(info.memory),
    ]


def _details(info: ArchiveInfo) -> list[str]:
    return [
        str(info.offset),
        str(info.records),
        str(info.codec_version),
        str(info.profile),
        info.weights_digest or "-",
        info.params or "-",
    ]


def _totals(found: list[Listed], columns: int) -> list[str]:
    archives = [info for listed in found for info in listed.archives]
    raw = sum(info.raw_size for info in archives)
    size = sum(info.archive_size for info in archives)
    memory = human_size(max((info.memory for info in archives), default=0))
    cells = [
        plural(len(archives), "archive"),
        f"{raw:,}",
        f"{size:,}",
        ratio_text(raw, size),
        "",
        memory,
    ]
    return [*cells, *[""] * (columns - len(cells) - 1), plural(len(found), "file")]
