"""`nncomp test`."""

from __future__ import annotations

import time
from typing import TYPE_CHECKING

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.cli.transfer import (
    Batch,
    bytes_through,
    content_size,
    open_input,
    refuse_typed_archive,
    summary,
)

if TYPE_CHECKING:
    from nncomp.cli.console import Console

__all__ = ["test"]


@click.command()
@options.files_argument
@options.recursive_option
@options.resource_options
@options.console_options
def test(
    files: tuple[str, ...],
    recursive: bool,
    resources: options.Resources,
    console: Console,
) -> int:
    """Decode each archive without writing anything, and check all of its checksums."""
    from nncomp import api

    def check(name: str) -> None:
        start = time.perf_counter()
        with open_input(name, special=True) as source:
            refuse_typed_archive(source, force=False)
            size = content_size(source) if console.shows_progress else None
            with console.progress(source.name, size, bytes_through(source.stream)) as progress:
                context = resources.context(progress)
                result = api.decompress_stream(source.stream, None, context=context)
        console.info(summary(source.name, result, time.perf_counter() - start) + ", ok")

    return Batch(console).run(files, check, recursive=recursive, wanted=file_rules.has_suffix)
