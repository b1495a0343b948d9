"""`nncomp explain`."""

from __future__ import annotations

import json
import sys
from contextlib import contextmanager
from dataclasses import asdict
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.cli.strip import Style, draw_strip
from nncomp.cli.transfer import (
    Batch,
    bytes_through,
    content_size,
    open_input,
    refuse_typed_archive,
)
from nncomp.errors import FileError
from nncomp.text import aligned, plural, printable, ratio_text

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nncomp.api.explanation import Explanation, TensorCost
    from nncomp.cli.console import Console
    from nncomp.cli.transfer import Source

__all__ = ["explain"]

_ROWS = 12  # of a table
_REGIONS = 5  # the costliest, of as many as the strip has
_UNITS = {
    "byte": "every byte",
    "block": "each block of Zstandard",
    "segment": "each segment of one layout",
    "record": "each record",
}


@click.command()
@click.argument("file", type=click.Path(readable=False), default="-", metavar="[FILE]")
@options.method_options
@click.option(
    "--format",
    "layout",
    type=click.Choice(["text", "json"]),
    default="text",
    show_default=True,
    help="Tables for people, or one document for programs, sizes in bytes.",
)
@click.option(
    "--plot",
    type=click.Path(path_type=Path),
    metavar="FILE",
    help="Draw it, too, as .svg or .png; needs matplotlib: pip install 'nncomp[plot]'.",
)
@click.option("-f", "--force", is_flag=True, help="Overwrite the file of --plot.")
@options.resource_options
@options.console_options
def explain(
    file: str,
    method: str | None,
    level: int | None,
    layout: str,
    plot: Path | None,
    force: bool,
    resources: options.Resources,
    console: Console,
) -> int:
    """Print where the bits of an archive went; any other FILE is compressed first.

    The archive is decoded and checked as by test; nothing else is written. Every byte of it is
    given to what it is for: the container, and for each record the parts that its payload has.
    Costs lie on the content that they stand for, where mix and sep know the cost of each bit,
    zipnn that of each plane of each segment, emb that of each table, zstd that of each block,
    others that of each record; within one they are spread evenly. PNG files that mix codes by
    their pixels have the costs of the pixels in their order.

    Inputs, for mix and sep: for each bit, what an input predicts (in the logistic domain) times
    its weight in the final mix, counted against it where the bit came out the other way. An
    input's share of the sum over all bits and inputs tells how much it carried the prediction;
    one that misled more than it helped has a share below zero.
    """
    from nncomp import api
    from nncomp.api.explanation import explain as find_out

    if plot is not None:
        from nncomp.bench.plot import check

        check(plot)

    def work(name: str) -> None:
        if name != "-" and Path(name).is_dir():
            raise FileError("is a directory; explain takes one file")
        with _drawing(plot, force) as draw, open_input(name, special=True) as source:
            refuse_typed_archive(source, force=False)
            size = _size(source) if console.shows_progress else None
            with console.progress(source.name, size, bytes_through(source.stream)) as progress:
                found = find_out(
                    source.stream,
                    method=method or api.DEFAULT_METHOD,
                    level=level,
                    context=resources.context(progress),
                )
            draw(found, source.name)
        if not found.compressed and (method or level):
            console.warn(source.name, "is an archive: -m and -1 to -9 do not count")
        title = click.format_filename(source.name)
        if layout == "json":
            click.echo(json.dumps({"file": title, **as_document(found)}, indent=2))
        else:
            click.echo(as_text(printable(title), found, Style.of(sys.stdout)))

    return Batch(console).run([file], work, recursive=False, wanted=lambda path: True)


def _size(source: Source) -> int | None:
    """Bytes of content that work will be done on: twice, if it has to be compressed first."""
    of_archive = content_size(source)
    plain = source.remaining()
    return of_archive if of_archive is not None or plain is None else 2 * plain


@contextmanager
def _drawing(plot: Path | None, force: bool) -> Iterator[Callable[[Explanation, str], None]]:
    """What draws; an output that exists is refused before the work."""
    if plot is None:
        yield lambda found, name: None
        return
    from nncomp.bench.heat import draw

    kind = plot.suffix.lower()[1:]
    with file_rules.atomic_output(plot, overwrite=force) as sink:
        yield lambda found, name: draw(found, sink, title=Path(name).name, kind=kind)


def as_document(found: Explanation) -> dict[str, Any]:
    """All of it as plain data, but for what pictures show."""
    return {
        "methods": list(found.methods),
        "compressed": found.compressed,
        "raw_size": found.raw_size,
        "archive_size": found.archive_size,
        "total": found.total,
        "members": found.members,
        "records": found.records,
        "units": list(found.units),
        "regions": [asdict(region) for region in found.regions],
        "parts": [asdict(part) for part in found.parts],
        "inputs": [asdict(one) for one in found.inputs],
        "tensors": [asdict(tensor) for tensor in found.tensors],
        "pictures": [
            {"width": one.width, "height": one.height, "scale": one.scale} for one in found.pictures
        ],
    }


# --- text ----------------------------------------------------------------------------


def as_text(title: str, found: Explanation, style: Style) -> str:
    """All of it for people."""
    blocks = [_summary(title, found)]
    if found.regions:
        strip = found.strip(style.width)
        blocks.append(draw_strip(strip, style))
        blocks.append(_regions(found, style))
    blocks.append(_parts(found))
    if found.inputs:
        blocks.append(_inputs(found))
    if found.tensors:
        blocks.append(_tensors(found))
    return "\n\n".join(blocks)


def _summary(title: str, found: Explanation) -> str:
    raw, archive = found.raw_size, found.archive_size
    ratio = ratio_text(raw, archive)
    bits = f", {8 * archive / raw:.3f} bits/byte" if raw else ""
    lines = [
        f"{title}: {raw:,} bytes in {archive:,}, ratio {ratio}{bits}",
        f"{plural(found.members, 'archive')}, {plural(found.records, 'record')}"
        f"{', compressed for this' if found.compressed else ''}",
        *(f"method {method}" for method in found.methods),
    ]
    if found.units:
        known = " or ".join(_UNITS[unit] for unit in found.units)
        even = "" if found.units == ("byte",) else "; spread evenly within"
        lines.append(f"costs are known of {known}{even}")
    if found.pictures:
        lines.append("costs of pixels lie on the bytes of their PNG file, in order")
    return "\n".join(lines)


def _regions(found: Explanation, style: Style) -> str:
    strip = found.strip(style.width)
    worst = sorted(strip, key=lambda region: -region.bits_per_byte)[:_REGIONS]
    title = f"costliest of {len(strip)} regions"
    rows = [[title, "bytes", "bits/byte", "in archive", "share"]]
    rows += [
        [
            f"{region.start:,} to {region.start + region.size:,}",
            f"{region.size:,}",
            f"{region.bits_per_byte:.3f}",
            f"{region.cost:,.0f}",
            _percent(region.cost / found.archive_size),
        ]
        for region in worst
    ]
    return "\n".join(aligned(rows, {1, 2, 3, 4}))


def _parts(found: Explanation) -> str:
    rows = [["part", "in archive", "share"]]
    rows += [
        [printable(part.name), _bytes(part.cost), _percent(part.cost / found.archive_size)]
        for part in found.parts[:_ROWS]
    ]
    rest = sum(part.cost for part in found.parts[_ROWS:])
    if len(found.parts) > _ROWS:
        left = f"{len(found.parts) - _ROWS} more"
        rows.append([left, _bytes(rest), _percent(rest / found.archive_size)])
    rows.append(["total", _bytes(found.total), _percent(found.total / found.archive_size)])
    return "\n".join(aligned(rows, {1, 2}))


def _inputs(found: Explanation) -> str:
    rows = [["input", "share of the prediction"]]
    rows += [[one.name, _percent(one.share)] for one in found.inputs[:_ROWS]]
    if len(found.inputs) > _ROWS:
        rest = sum(one.share for one in found.inputs[_ROWS:])
        rows.append([f"{len(found.inputs) - _ROWS} more", _percent(rest)])
    return "\n".join(aligned(rows, {1}))


def _tensors(found: Explanation) -> str:
    costly = sorted(found.tensors, key=lambda tensor: -tensor.cost)[:_ROWS]
    title = (
        "tensor"
        if len(costly) == len(found.tensors)
        else f"costliest of {len(found.tensors)} tensors"
    )
    rows = [[title, "dtype", "shape", "in archive", "share", "bits/weight", "of which"]]
    rows += [_tensor(tensor, found) for tensor in costly]
    return "\n".join(aligned(rows, {3, 4, 5}))


def _tensor(tensor: TensorCost, found: Explanation) -> list[str]:
    weights = 8 * tensor.cost / tensor.bits_per_weight if tensor.bits_per_weight else 0.0
    planes = [
        f"{part.name.rpartition(', ')[2]} {8 * part.cost / weights:.2f}"
        for part in tensor.parts
        if weights and 8 * part.cost / weights >= 0.005
    ]
    return [
        printable(tensor.name) or "-",
        tensor.dtype,
        str(list(tensor.shape)),
        _bytes(tensor.cost),
        _percent(tensor.cost / found.archive_size),
        "-" if tensor.bits_per_weight is None else f"{tensor.bits_per_weight:.3f}",
        ", ".join(planes),
    ]


def _bytes(cost: float) -> str:
    return f"{cost:,.1f}"


def _percent(share: float) -> str:
    return f"{100 * share:.2f}%"
