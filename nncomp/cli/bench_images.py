"""`nncomp bench images`."""

from __future__ import annotations

from pathlib import Path

import click

from nncomp.errors import UsageError

__all__ = ["images"]

_METHODS = ("fsar -1", "fsar", "fsar -9", "mix", "zstd:level=19")


@click.command()
@click.argument(
    "files",
    nargs=-1,
    required=True,
    type=click.Path(exists=True, dir_okay=False),
    metavar="FILE...",
)
@click.option(
    *("-m", "--method", "methods"),
    multiple=True,
    metavar="METHOD",
    help="One of nncomp's, with a level if need be. Again for more. Default: "
    + ", ".join(_METHODS),
)
@click.option(
    *("--peer", "peers"),
    multiple=True,
    metavar="PEER",
    help="'cjxl -e 7', 'webp -z 9', ...; 'none' for none. Again for more. Default: all found.",
)
@click.option("--shape", default="auto", metavar="NxHxWxC", help="Of plain pixels.")
@click.option("--planar", is_flag=True, help="Plain pixels are NxCxHxW.")
@click.option("--depth", type=click.Choice(["8", "16"]), default="8", help="Bits of plain samples.")
@click.option("--rounds", type=click.IntRange(1, 1000), default=3, show_default=True)
@click.option("--format", "form", type=click.Choice(["text", "json"]), default="text")
@click.option("-o", "--output", type=click.Path(dir_okay=False, writable=True))
def images(
    *,
    files: tuple[str, ...],
    methods: tuple[str, ...],
    peers: tuple[str, ...],
    shape: str,
    planar: bool,
    depth: str,
    rounds: int,
    form: str,
    output: str | None,
) -> None:
    """Compare compressors of pictures on the pixels of files.

    Bits per sub-pixel, ratio, MB/s and time for one picture, against optimised PNG, WebP,
    JPEG XL without loss and QOI, where they are installed: pip install 'nncomp[bench]'. JSON is
    in the shape of CompressAI. One that fails is told and given up; the exit code is then 1.
    """
    from nncomp.bench import image_peers
    from nncomp.bench import images as bench
    from nncomp.bench.image_files import load

    stacks = [load(Path(name), shape, planar=planar, depth=int(depth)) for name in files]
    others, missing = ([], {}) if peers == ("none",) else image_peers.peers(peers)
    for name, install in missing.items():
        click.echo(f"{name} is not on this machine; {install}", err=True)
    own = [image_peers.own(*_parsed(method)) for method in methods or _METHODS]
    results = bench.measure(stacks, [*others, *own], rounds, _say)
    text = bench.as_json(results) if form == "json" else bench.as_text(results)
    if output is None:
        click.echo(text, nl=False)
    else:
        Path(output).write_text(text, encoding="utf-8")
    if any(result.failed for result in results):
        click.get_current_context().exit(1)


def _say(text: str) -> None:
    click.echo(text, err=True)


def _parsed(method: str) -> tuple[str, int | None]:
    """A method, and a level behind it."""
    name, _, level = method.partition(" -")
    if level and not level.isdigit():
        raise UsageError(f"{method!r} is no method with a level, such as 'fsar -9'")
    return name.strip(), int(level) if level else None
