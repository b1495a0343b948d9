"""nncomp: neural and tensor compression in one container format.

The names of `nncomp.api` and `nncomp.errors` are loaded when they are first used, so that
`import nncomp` costs nothing.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING

if TYPE_CHECKING:
    from nncomp.api import (
        ArchiveInfo,
        Result,
        compress,
        compress_stream,
        decompress,
        decompress_stream,
        inspect,
        open,  # noqa: A004 - named as in gzip, lzma and zstandard
    )
    from nncomp.api.explanation import Explanation, explain
    from nncomp.errors import NncompError

__version__ = "0.1.0.dev0"

__all__ = [
    "ArchiveInfo",
    "Explanation",
    "NncompError",
    "Result",
    "__version__",
    "compress",
    "compress_stream",
    "decompress",
    "decompress_stream",
    "explain",
    "inspect",
    "open",
]


_HOMES = {
    "Explanation": "nncomp.api.explanation",
    "NncompError": "nncomp.errors",
    "explain": "nncomp.api.explanation",
}
"""Where names are that `nncomp.api` has not, since they load what others need not wait for."""


def __getattr__(name: str) -> object:
    if name not in __all__:
        raise AttributeError(f"module {__name__!r} has no attribute {name!r}")
    value: object = getattr(import_module(_HOMES.get(name, "nncomp.api")), name)
    globals()[name] = value
    return value


def __dir__() -> list[str]:
    return sorted({*globals(), *__all__})
