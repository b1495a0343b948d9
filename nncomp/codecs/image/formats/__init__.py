"""Files of pictures: where in them samples lie, and how."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

if TYPE_CHECKING:
    from nncomp.codecs.image.layout import Layout

__all__ = ["Found"]


class Found(NamedTuple):
    """Samples in a file.

    Attributes:
        start: Bytes before them.
        layout: How they lie.
    """

    start: int
    layout: Layout
