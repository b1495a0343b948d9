"""`nncomp bench emb`."""

from __future__ import annotations

import math
import sys
from pathlib import Path
from typing import TYPE_CHECKING

import click

from nncomp.cli import options
from nncomp.errors import UsageError

if TYPE_CHECKING:
    from nncomp.cli.console import Console

__all__ = ["emb"]

_CODERS = ("auto", "ans", "huffman", "zstd", "lz4")
_TYPES = ("f16", "bf16", "f32", "f64")
_WRITABLE = click.Path(dir_okay=False, writable=True)


@click.command()
@click.argument(
    "dumps",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="DUMP...",
)
@click.option(
    "--bound",
    "bounds",
    multiple=True,
    type=click.FloatRange(0, min_open=True),
    default=(1e-2, 1e-3),
    show_default=True,
    help="Largest error; again for more.",
)
@click.option(
    "--mode",
    type=click.Choice(["rel", "abs"]),
    default="rel",
    show_default=True,
    help="Bounds are of the range of each table, or absolute.",
)
@click.option(
    "--entropy",
    "coders",
    multiple=True,
    type=click.Choice(_CODERS),
    default=("auto",),
    show_default=True,
    help="Coder of what quantising leaves; again for more.",
)
@click.option("--shape", metavar="ROWSxCOLUMNS", help="Of tables in files of numbers alone.")
@click.option(
    "--dtype", type=click.Choice(_TYPES), default="f32", show_default=True, help="The same."
)
@click.option(
    "--copies",
    type=click.IntRange(1, 1024),
    default=1,
    show_default=True,
    help="Repeat each table, as a larger batch; results are too good then.",
)
@click.option(
    "--bandwidth",
    "bandwidths",
    multiple=True,
    type=click.FloatRange(0, min_open=True),
    metavar="GBIT/S",
    help="Of networks, for the modelled speed-up; again for more.",
)
@click.option(
    "--rounds", type=click.IntRange(1, 1000), default=3, show_default=True, help="Runs of each."
)
@click.option(
    "--format",
    "form",
    type=click.Choice(["table", "json"]),
    default="table",
    show_default=True,
    help="json has every run.",
)
@click.option(
    *("-o", "--output", "target"), type=_WRITABLE, help="A file in place of the terminal."
)
@click.option("--plot", type=_WRITABLE, metavar="FILE", help="Speed-up: .svg, .png.")
@options.console_options
def emb(
    dumps: tuple[str, ...],
    bounds: tuple[float, ...],
    mode: str,
    coders: tuple[str, ...],
    shape: str | None,
    dtype: str,
    copies: int,
    bandwidths: tuple[float, ...],
    rounds: int,
    form: str,
    target: str | None,
    plot: str | None,
    console: Console,
) -> int:
    """Measure compression of embedding tables within bounds.

    DUMPs are .npy, .npz, PyTorch or safetensors files, or numbers alone with --shape. Every
    element that comes back is checked; one that misses its bound is a failure.
    """
    from nncomp.bench import embedding_files, embeddings
    from nncomp.bench.embedding_report import Report

    _check(plot, target, bandwidths)
    settings = tuple(embeddings.Setting(b, mode, coder) for b in bounds for coder in coders)
    plan = embeddings.Plan(settings, rounds, copies)
    tables = embedding_files.tables(
        dumps,
        None if shape is None else embedding_files.parse_shape(shape),
        embedding_files.KINDS[dtype],
    )
    results = embeddings.measure(tables, plan, console.info)
    report = Report(plan, results, bandwidths or embeddings.BANDWIDTHS, sys.argv[2:])
    if plot is not None:
        report.save_plot(Path(plot))
    text = report.to_json() if form == "json" else report.as_text()
    if target is None:
        click.echo(text)
    else:
        Path(target).write_text(f"{text}\n", encoding="utf-8")
    if report.violations:
        console.warn("emb", f"{report.violations} elements are off by more than their bound")
    return report.violations


def _check(plot: str | None, target: str | None, bandwidths: tuple[float, ...]) -> None:
    """Refuse now what would fail only after minutes of measuring."""
    for bandwidth in bandwidths:
        if not bandwidth < math.inf:
            raise UsageError(f"{bandwidth} Gbit/s is no bandwidth: expected a finite number")
    if plot is not None:
        from nncomp.bench import plot as pictures

        pictures.check(Path(plot))
    for name in (plot, target):
        if name is not None and not Path(name).parent.is_dir():
            raise UsageError(f"{name} cannot be written: there is no {Path(name).parent}")
