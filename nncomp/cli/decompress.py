"""`nncomp decompress`."""

from __future__ import annotations

from typing import TYPE_CHECKING, BinaryIO, cast

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.cli.transfer import (
    Batch,
    Source,
    bytes_through,
    content_size,
    convert,
    refuse_typed_archive,
)
from nncomp.errors import FileError

if TYPE_CHECKING:
    from nncomp.api import Result
    from nncomp.cli.console import Console

__all__ = ["decompress"]


class TextOnly:
    """A terminal as a sink: text passes, binary data are refused."""

    def __init__(self, terminal: BinaryIO) -> None:
        self._terminal = terminal

    def write(self, data: bytes) -> int:
        """Write text.

        Raises:
            FileError: There is a NUL byte in it, which no text has.
        """
        if b"\0" in bytes(data):
            raise FileError("binary data are not written to a terminal; use -o, or -f to do it")
        return self._terminal.write(data)

    def flush(self) -> None:
        """Pass on."""
        self._terminal.flush()


@click.command()
@options.files_argument
@options.output_options
@options.resource_options
@options.console_options
def decompress(
    files: tuple[str, ...],
    output: options.Output,
    resources: options.Resources,
    console: Console,
) -> int:
    """Decompress each FILE.nnc to FILE, or standard input to standard output.

    Archives are kept. The method stands in the archive. Nothing appears under the
    output's name before all of it has been decoded and its checksum was found right.
    Archives of differences take the --base that they were compressed with.
    """
    from nncomp import api

    def work(source: Source, sink: BinaryIO) -> Result:
        refuse_typed_archive(source, output.force)
        if file_rules.is_terminal(sink) and not output.force:
            sink = cast("BinaryIO", TextOnly(sink))
        size = content_size(source) if console.shows_progress else None
        with console.progress(source.name, size, bytes_through(source.stream)) as progress:
            return api.decompress_stream(source.stream, sink, context=resources.context(progress))

    return Batch(console).run(
        files,
        lambda name: convert(name, output, console, file_rules.content_path, work, resources.bases),
        recursive=output.recursive,
        wanted=file_rules.has_suffix,
    )
