"""`nncomp list`."""

from __future__ import annotations

import json
from dataclasses import asdict, dataclass, field
from itertools import zip_longest
from typing import TYPE_CHECKING, Any

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.cli.transfer import Batch, open_input, refuse_typed_archive
from nncomp.text import aligned, human_size, plural, printable, ratio_text

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.api import ArchiveInfo
    from nncomp.cli.bases import Bases
    from nncomp.cli.console import Console
    from nncomp.tensors.listing import ListedTable, ListedTensor, TensorListing

__all__ = ["list_archives"]

_TITLES = ("method", "raw", "archive", "ratio", "checksum", "memory", "file")
_TENSOR_TITLES = ("tensor", "dtype", "shape", "bits/weight", "planes", "marks")
_TABLE_TITLES = ("table", "dtype", "shape", "ratio", "bound", "max error", "rows kept", "exact")
_WITH_TENSORS = ("zipnn", "emb")
_DETAILED = ("offset", "records", "version", "numerics", "weights", "parameters")


@dataclass(frozen=True)
class Listed:
    """The archives of one file, in order, and what is known of their tensors, if anything."""

    name: str
    archives: list[ArchiveInfo]
    tensors: list[TensorListing] = field(default_factory=list)

    def __iter__(self) -> Iterator[tuple[ArchiveInfo, TensorListing | None]]:
        return zip_longest(self.archives, self.tensors)


@click.command("list")
@options.files_argument
@click.option("--json", "as_json", is_flag=True, help="Print one JSON document, sizes in bytes.")
@options.recursive_option
@options.base_option
@options.console_options
def list_archives(
    files: tuple[str, ...], as_json: bool, recursive: bool, bases: Bases, console: Console
) -> int:
    """Print what is in each archive, without decoding it: a row each, and their totals.

    The columns: method (its parameters with -v), original size, archive size, original over
    archive size, checksum of the content, and the memory that decoding takes.

    Below them come the tensors of model files that zipnn has compressed: name, type, shape,
    bits that a weight takes, and how: what its planes have come to, by their methods, as
    shares of the original size. Marks: whether differences are stored, and what was lost.
    Archives of differences may need their --base for that. Of archives of emb come the tables:
    bound, largest error, how many rows are kept, and how many numbers exactly.
    """
    from nncomp import api

    found: list[Listed] = []

    def inspect(name: str) -> None:
        with open_input(name, special=False) as source:
            refuse_typed_archive(source, force=False)
            start = source.stream.tell()
            listed = Listed(source.name, api.inspect(source.stream))
            found.append(listed)
            if any(info.codec in _WITH_TENSORS for info in listed.archives):
                from nncomp.tensors.listing import list_tensors

                source.stream.seek(start)
                listed.tensors.extend(list_tensors(source.stream, bases.content))
            for reason in filter(None, (listing.reason for listing in listed.tensors)):
                console.warn(source.name, f"tensors are not listed: {reason}")

    failures = Batch(console).run(files, inspect, recursive=recursive, wanted=file_rules.has_suffix)
    if as_json:
        click.echo(json.dumps(as_document(found), indent=2))
    elif found:
        click.echo(as_table(found, detailed=console.verbosity > 0))
        for listed in found:
            for table in tensor_tables(listed):
                click.echo("\n" + table)
    return failures


def as_document(found: list[Listed]) -> dict[str, Any]:
    """The listing as plain data: `files`, each with its `archives`, and the totals."""
    archives = [info for listed in found for info in listed.archives]
    return {
        "files": [
            {"file": listed.name, "archives": [_entry(*pair) for pair in listed]}
            for listed in found
        ],
        "raw_size": sum(info.raw_size for info in archives),
        "archive_size": sum(info.archive_size for info in archives),
    }


def _entry(info: ArchiveInfo, listing: TensorListing | None) -> dict[str, Any]:
    """One archive; those that may have tensors have what is known of these, too."""
    entry = asdict(info)
    if listing is not None and info.codec in _WITH_TENSORS:
        entry |= asdict(listing)
    return entry


def as_table(found: list[Listed], *, detailed: bool) -> str:
    """The listing for people; numbers to the right, words to the left."""
    titles = [*_TITLES[:-1], *(_DETAILED if detailed else ()), _TITLES[-1]]
    rows = [
        [
            *_cells(info, listing),
            *(_details(info) if detailed else ()),
            click.format_filename(listed.name),
        ]
        for listed in found
        for info, listing in listed
    ]
    if len(rows) != 1:
        rows.append(_totals(found, len(titles)))
    right = {titles.index(title) for title in ("raw", "archive", "ratio", "memory")}
    return "\n".join(aligned([titles, *rows], right))


def _cells(info: ArchiveInfo, listing: TensorListing | None) -> list[str]:
    marks = []
    if listing is not None and listing.base is not None:
        marks.append(f"base {listing.base}")
    if listing is not None and listing.lossy is not None:
        marks.append(f"lossy: {listing.lossy}")
    return [
        " ".join([info.codec, *([f"({', '.join(marks)})"] if marks else [])]),
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


# --- tensors -------------------------------------------------------------------------


def tensor_tables(listed: Listed) -> list[str]:
    """A table of tensors for each archive that has some."""
    tables = []
    for number, listing in enumerate(listed.tensors, start=1):
        where = f", archive {number}" if len(listed.archives) > 1 else ""
        name = click.format_filename(listed.name) + where
        if listing.tensors is not None:
            title = f"{name}: {plural(len(listing.tensors), 'tensor')}"
            rows = [list(_TENSOR_TITLES), *map(_tensor_cells, listing.tensors)]
            lines = aligned(rows, {_TENSOR_TITLES.index("bits/weight")}) if listing.tensors else []
            tables.append("\n".join([title, *lines]))
        if listing.tables:
            title = f"{name}: {plural(len(listing.tables), 'table')}"
            rows = [list(_TABLE_TITLES), *map(_table_cells, listing.tables)]
            tables.append("\n".join([title, *aligned(rows, set(range(3, len(_TABLE_TITLES))))]))
    return tables


def _table_cells(table: ListedTable) -> list[str]:
    return [
        printable(table.name) or "-",
        table.dtype,
        str(list(table.shape)),
        ratio_text(table.raw_size, table.coded_size),
        f"{table.bound:.4g}" if table.bound else "-",
        f"{table.error:.4g}" if table.bound else "-",
        f"{table.unique:,}",
        f"{table.exceptions:,}",
    ]


def _tensor_cells(tensor: ListedTensor) -> list[str]:
    bits = tensor.bits_per_weight
    return [
        printable(tensor.name) or "-",
        tensor.dtype,
        str(list(tensor.shape)),
        "-" if bits is None else f"{bits:.3f}",
        _planes(tensor) or "-",
        ", ".join(_marks(tensor)),
    ]


def _planes(tensor: ListedTensor) -> str:
    """What the planes take of the original size by their methods, the largest first."""
    planes = sorted(tensor.planes.items(), key=lambda pair: -pair[1])
    return " ".join(f"{kind} {_percent(size / tensor.raw_size)}" for kind, size in planes)


def _marks(tensor: ListedTensor) -> list[str]:
    marks = []
    if tensor.delta:
        marks.append("delta" if tensor.delta == 1 else f"delta {_percent(tensor.delta)}")
    if tensor.lossy is not None:
        marks.append(f"lossy: {tensor.lossy}")
    return marks


def _percent(share: float) -> str:
    return f"{100 * share:.0f}%"
