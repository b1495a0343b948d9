"""Which codecs exist: append-only numbers and lazy loaders.

Nothing is imported until it is used, so that `nncomp list` and a fuzzer of headers
load neither torch nor numba. A number, once released, keeps its meaning for ever.
"""

from __future__ import annotations

from importlib import import_module
from typing import TYPE_CHECKING, cast

from nncomp.errors import MethodError, UnknownCodecError

if TYPE_CHECKING:
    from nncomp.codecs.base import Codec

__all__ = ["AUTO", "CODECS", "by_id", "by_name", "name_of"]

AUTO = "auto"
"""Stands in a method string for a codec that is picked by the content; is none itself."""

# id: (name, "module:attribute"). Append only.
CODECS: dict[int, tuple[str, str]] = {
    0: ("store", "nncomp.codecs.general:STORE"),
    1: ("zstd", "nncomp.codecs.general:ZSTD"),
    2: ("lz4", "nncomp.codecs.general:LZ4"),
    3: ("snappy", "nncomp.codecs.general:SNAPPY"),
    8: ("mix", "nncomp.codecs.mix.mix:MIX"),
    16: ("sep", "nncomp.codecs.neural.sep:SEP"),
    32: ("zipnn", "nncomp.codecs.tensor.zipnn:ZIPNN"),
    33: ("emb", "nncomp.codecs.embedding.emb:EMB"),
    48: ("fsar", "nncomp.codecs.image.fsar:FSAR"),
}


def _load(target: str) -> Codec:
    module, _, attribute = target.partition(":")
    return cast("Codec", getattr(import_module(module), attribute))


def name_of(codec_id: int) -> str | None:
    """The name behind a number, without loading anything; None when unknown."""
    entry = CODECS.get(codec_id)
    return entry[0] if entry else None


def by_id(codec_id: int) -> Codec:
    """Load the codec with this number.

    Raises:
        UnknownCodecError: This version of nncomp has no such codec.
    """
    if codec_id not in CODECS:
        raise UnknownCodecError(
            f"the archive uses codec number {codec_id}, which this version of nncomp does not "
            "know. A newer version may read it"
        )
    return _load(CODECS[codec_id][1])


def by_name(name: str) -> Codec:
    """Load the codec with this name.

    Raises:
        MethodError: No such method; the message lists those that exist.
    """
    for known, target in CODECS.values():
        if known == name:
            return _load(target)
    known_names = ", ".join((AUTO, *(entry[0] for entry in CODECS.values())))
    raise MethodError(f"unknown method {name!r}. Methods: {known_names}")
