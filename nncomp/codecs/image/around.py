"""What stands around a pixel that is drawn, and the contexts that are made of it.

A pixel is one number, of 8 bits for each plane, the first plane lowest. A context is a sum of
products of neighbours and large odd numbers; what it is asked for is added later. Contexts of
whole pixels find what is exactly the same; those of a part, one plane of a pixel, find what is
alike.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np

from nncomp.coding.jit import bare_inline as inline

if TYPE_CHECKING:
    from nncomp.codecs.image.plates import Array

__all__ = [
    "CONTEXTS_MAX",
    "EQUAL_ALL",
    "FACTORS",
    "NEIGHBOURS",
    "P",
    "W",
    "equals",
    "look_around",
    "part_keys",
    "pixel_keys",
    "wide_keys",
]

CONTEXTS_MAX = 12
NEIGHBOURS = 13
W, N, NW, NE, WW, NN, NNE, NWW, NEE, WWW, NNN, NNW, P = range(NEIGHBOURS)
"""West, north, and so on; P is the same place of the frame before."""

EQUAL_ALL = (1 << 13) - 1
FACTORS = np.array(
    [
        0x2545F4914F6CDD1D,
        0x5851F42D4C957F2D,
        0x1B873593CC9E2D51,
        0x27D4EB2F165667C5,
        0x369DEA0F31A53F85,
        0x42E7B9DEADBEEF63,
        0x61C8864680B583EB,
        0x0D1B54A32D192ED1,
        0x7C6DC1F38C2B5A97,
        0x1F83D9ABFB41BD6B,
        0x5BE0CD19137E2179,
        0x3C6EF372FE94F82B,
    ]
)


@inline
def look_around(n: Array, v: Array, at: int, g: Array, f: int) -> None:
    """Note the neighbours of the pixel at `at` of frame f; g are `Shape.numbers`."""
    above = at - g[3]
    second = above - g[3]
    n[W], n[WW], n[WWW] = v[at - 1], v[at - 2], v[at - 3]
    n[N], n[NW], n[NWW] = v[above], v[above - 1], v[above - 2]
    n[NE], n[NEE] = v[above + 1], v[above + 2]
    n[NN], n[NNE], n[NNW] = v[second], v[second + 1], v[second - 1]
    n[NNN] = v[second - g[3]]
    n[P] = v[at - g[4]] if f else 0


@inline
def equals(n: Array) -> Any:
    """Which neighbours are equal, a bit for each of 13 pairs; all together join all but P."""
    bits = 0
    bits |= 1 if n[W] == n[N] else 0
    bits |= 2 if n[N] == n[NE] else 0
    bits |= 4 if n[N] == n[NW] else 0
    bits |= 8 if n[W] == n[NW] else 0
    bits |= 16 if n[W] == n[WW] else 0
    bits |= 32 if n[N] == n[NN] else 0
    bits |= 64 if n[NNE] == n[NE] else 0
    bits |= 128 if n[NEE] == n[NE] else 0
    bits |= 256 if n[NWW] == n[NW] else 0
    bits |= 512 if n[WWW] == n[WW] else 0
    bits |= 1024 if n[NNE] == n[NN] else 0
    bits |= 2048 if n[NNW] == n[NN] else 0
    bits |= 4096 if n[NNN] == n[NN] else 0
    return bits


@inline
def pixel_keys(k: Array, n: Array, pattern: int, place: int) -> None:
    """Contexts of a pixel, the most useful first.

    Args:
        k: int64[CONTEXTS_MAX], filled in.
        n: Its neighbours.
        pattern: What `equals` says of them.
        place: Where in its frame it stands.
    """
    c = FACTORS
    two = n[W] * c[0] + n[N] * c[1]
    four = two + n[NW] * c[2] + n[NE] * c[3]
    six = four + n[WW] * c[4] + n[NN] * c[5]
    coarse = 0
    for i in range(8):
        coarse = coarse << 3 | (n[i] >> 5 & 7)
    k[0] = two
    k[1] = six
    k[2] = six + n[NNE] * c[6] + n[NEE] * c[7] + n[NWW] * c[8] + n[WWW] * c[9]
    k[3] = n[N] * c[0] + n[NE] * c[1] + n[NW] * c[2] + n[NEE] * c[3]
    k[4] = n[W] * c[0] + n[WW] * c[1] + n[WWW] * c[2]
    k[5] = pattern
    k[6] = coarse
    k[7] = n[W] * c[0] + n[NE] * c[1] + n[NN] * c[2]
    k[8] = four
    k[9] = n[N] * c[0] + n[NN] * c[1]
    k[10] = place * c[3] + n[N]
    k[11] = two + n[P] * c[2]


@inline
def wide_keys(k: Array, n: Array) -> tuple[Any, Any]:
    """Contexts of twelve neighbours, and of four, by which experts look for places."""
    return k[2] + n[NNW] * FACTORS[10] + n[NNN] * FACTORS[11], k[8]


@inline
def part_keys(k: Array, n: Array, plane: int, pixel: int) -> None:
    """In place of some of a pixel's contexts, those of its part in one plane.

    Args:
        k: int64[CONTEXTS_MAX], as `pixel_keys` left it.
        n: The neighbours.
        plane: Which.
        pixel: The parts in planes before.
    """
    shift = 8 * plane
    w, a, nw = n[W] >> shift & 255, n[N] >> shift & 255, n[NW] >> shift & 255
    ne, ww, nn = n[NE] >> shift & 255, n[WW] >> shift & 255, n[NN] >> shift & 255
    off = 0  # how wrong the same prediction was in the plane before
    if plane > 0:
        b = shift - 8
        off = (pixel >> b & 255) - _slope(n[W] >> b & 255, n[N] >> b & 255, n[NW] >> b & 255)
    k[0] = w << 8 | a
    k[3] = min(max(w + a - nw + off, 0), 255)
    k[4] = (w + a + 2 * off >> 3) * FACTORS[2] + (abs(w - a) >> 4)
    k[5] = 0
    k[6] = w >> 4 | a >> 4 << 4 | nw >> 4 << 8 | ne >> 4 << 12 | ww >> 5 << 16 | nn >> 5 << 20
    nne = n[NNE] >> shift & 255
    k[8] = (min(max(a + ne - nne + off, 0), 255) << 8 | min(max(2 * w - ww + off, 0), 255)) + 9
    k[9] = a << 8 | ne
    k[10] = w << 8 | ww
    mean = (3 * w + 3 * a - 2 * nw + 4 * off) >> 2
    rough = abs(w - nw) + abs(a - nw) + abs(ne - a)
    k[11] = mean * FACTORS[5] + (rough >> 3)


@inline
def _slope(w: int, a: int, nw: int) -> int:
    return min(max(w + a - nw, 0), 255)
