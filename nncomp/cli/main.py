"""The command `nncomp`, and the only place where errors become exit codes.

0: everything that was asked for was done. 1: something failed. 2: the request makes no
sense (click's own usage errors too). A signal ends the process as that signal does.
"""

from __future__ import annotations

import os
import signal
import sys
from typing import Any

import click

from nncomp import __version__, files
from nncomp.cli.bench import bench
from nncomp.cli.compress import compress
from nncomp.cli.console import Console
from nncomp.cli.decompress import decompress
from nncomp.cli.explain import explain
from nncomp.cli.list import list_archives
from nncomp.cli.test import test
from nncomp.cli.train_image import train_image
from nncomp.errors import UsageError

__all__ = ["main", "program"]

OK, FAILED, USAGE = 0, 1, 2


class Program(click.Group):
    """The group of commands, each of which returns how many of its files failed."""

    def invoke(self, ctx: click.Context) -> Any:
        """Run a command, and leave with the code its outcome means."""
        try:
            with files.cleanup_on_signal():
                failures = super().invoke(ctx)
        except (click.ClickException, click.exceptions.Exit, click.Abort):
            raise  # click prints these and leaves with 2, the code they carry, and 1
        except BrokenPipeError:
            files.die_of(signal.SIGPIPE)  # as every filter whose reader has gone
        except Exception as error:
            (ctx.obj or Console()).failure(None, error)
            _leave(ctx, USAGE if isinstance(error, UsageError) else FAILED)
        _leave(ctx, FAILED if failures else OK)


def _leave(ctx: click.Context, code: int) -> None:
    """Exit, after making sure that what Python still holds for standard output can go out."""
    try:
        if sys.stdout is not None:
            sys.stdout.flush()
    except OSError:
        # Failed before, and reported then; Python must not try once more while it exits.
        os.dup2(os.open(os.devnull, os.O_WRONLY), sys.stdout.fileno())
    ctx.exit(code)


@click.group(cls=Program, context_settings={"help_option_names": ["-h", "--help"]})
@click.version_option(__version__, prog_name="nncomp", message="%(prog)s %(version)s")
def program() -> None:
    """Compress files so that any machine decodes them to the same bytes.

    Exit codes: 0 all done, 1 something failed, 2 wrong usage.
    """


for _command in (compress, decompress, test, list_archives, explain, bench, train_image):
    program.add_command(_command)


def main() -> None:
    """Entry point of the console script."""
    program(prog_name="nncomp")
