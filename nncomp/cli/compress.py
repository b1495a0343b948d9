"""`nncomp compress`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.cli.transfer import Batch, Source, bytes_through, convert
from nncomp.errors import FileError

if TYPE_CHECKING:
    from nncomp.api import Result
    from nncomp.cli.console import Console

__all__ = ["compress"]


@click.command()
@options.files_argument
@options.method_options
@options.output_options
@options.resource_options
@options.console_options
def compress(
    files: tuple[str, ...],
    method: str | None,
    level: int | None,
    output: options.Output,
    resources: options.Resources,
    console: Console,
) -> int:
    """Compress each FILE to FILE.nnc, or standard input to standard output.

    Sources are kept. The method, auto, picks one by content and size, and -v says which.
    Without -m and -1 to -9, the environment variables NNCOMP_METHOD and NNCOMP_LEVEL
    count, as does NNCOMP_NBTHREADS for -T. With --base, auto is zipnn; decompressing takes
    the same bases.
    """
    from nncomp import api

    bases = resources.bases
    method = method or api.DEFAULT_METHOD

    def work(source: Source, sink: BinaryIO) -> Result:
        if file_rules.is_terminal(sink) and not output.force:
            raise FileError("an archive is not written to a terminal; use -o, or -f to do it")
        bases.refuse_input(source.status)
        size = source.remaining()
        with console.progress(source.name, size, bytes_through(sink)) as progress:
            return api.compress_stream(
                source.stream,
                sink,
                method=method,
                level=level,
                context=resources.context(progress),
                content_size=size,
            )

    return Batch(console).run(
        files,
        lambda name: convert(name, output, console, file_rules.archive_path, work, bases),
        recursive=output.recursive,
        wanted=lambda path: not (file_rules.has_suffix(path) or bases.have(path)),
    )
