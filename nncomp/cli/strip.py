"""A strip of blocks that tells what content costs, from its start to its end."""

from __future__ import annotations

import os
import shutil
from dataclasses import dataclass
from typing import TYPE_CHECKING, TextIO

import click

if TYPE_CHECKING:
    from nncomp.api.explanation import Region

__all__ = ["Style", "draw_strip"]

_BLOCKS = "▁▂▃▄▅▆▇█"
_PLAIN = ".:-=+*#@"  # the same in plain characters
_COLOURS = (27, 39, 43, 77, 148, 220, 208, 196)  # of 256, from cheap to dear
_SCALES = (0.1, 0.2, 0.5, 1, 2, 3, 4, 5, 6, 8)  # bits a byte
_WIDTH, _WIDTH_MAX = 64, 128


@dataclass(frozen=True)
class Style:
    """What a stream can show.

    Attributes:
        width: Blocks of a strip.
        unicode: Whether there are characters of several heights.
        colour: Whether there are colours.
    """

    width: int = _WIDTH
    unicode: bool = False
    colour: bool = False

    @classmethod
    def of(cls, stream: TextIO) -> Style:
        """Of a terminal, whatever it has; of everything else, plain characters.

        Without colour where the environment variable NO_COLOR is set (no-color.org), or the
        terminal says that it is dumb.
        """
        if not stream.isatty():
            return cls()
        dumb = os.environ.get("TERM") == "dumb"
        return cls(
            max(min(shutil.get_terminal_size().columns, _WIDTH_MAX), 8),
            (stream.encoding or "").lower().replace("-", "") == "utf8",
            not os.environ.get("NO_COLOR") and not dumb,
        )


def draw_strip(regions: list[Region], style: Style) -> str:
    """The strip, a ruler below it, and what its blocks mean."""
    costs = [region.bits_per_byte for region in regions]
    top = max(*costs, 0.0)
    scale = next((scale for scale in _SCALES if top <= scale), top)
    characters = _BLOCKS if style.unicode else _PLAIN
    drawn = []
    for cost in costs:
        level = min(int(cost / scale * len(characters)), len(characters) - 1)
        block = characters[max(level, 0)]
        drawn.append(click.style(block, fg=_COLOURS[max(level, 0)]) if style.colour else block)
    end = f"{regions[-1].start + regions[-1].size:,}"
    legend = f"{characters[0]} = 0, {characters[-1]} = {scale:g} bits/byte"
    ruler = f"0{legend.center(max(len(regions) - 1 - len(end), len(legend) + 2))}{end}"
    return "\n".join(["".join(drawn), ruler])
