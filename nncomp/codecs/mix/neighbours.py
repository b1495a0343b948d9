"""Which samples foretell a sample: those around it, in its plane and in planes before."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

if TYPE_CHECKING:
    from nncomp.codecs.mix.layout import Layout

__all__ = ["SOUND", "places"]

Array = NDArray[Any]

SOUND = 32
"""Taps back in time."""

# Neighbours in a picture, the most useful first: columns, lines, planes back.
_PICTURE = (
    (-1, 0, 0), (0, -1, 0), (-1, -1, 0), (1, -1, 0),
    (0, 0, 1), (-1, 0, 1), (0, -1, 1), (1, 0, 1), (0, 1, 1),
    (0, 0, 2), (-1, 0, 2), (0, -1, 2),
    (-2, 0, 0), (0, -2, 0), (1, -2, 0), (-1, -2, 0), (2, -1, 0), (-2, -1, 0),
    (-1, -1, 1), (1, -1, 1), (-1, 1, 1), (1, 1, 1),
)  # fmt: skip


def places(layout: Layout) -> Array:
    """int64[6, taps], of those that come before the sample.

    Rows: columns and lines to each neighbour, bytes to its plane, the two neighbours whose
    mean is its base, planes to its plane.
    """
    if layout.row:
        taps = [t for t in _PICTURE if layout.plane or t[2] == 0]
    else:
        taps = [(-k, 0, 0) for k in range(1, SOUND + 1)]
        if layout.plane:
            taps += [(-k, 0, 1) for k in range(SOUND // 2)]
    known = [t for t in taps if t[2] * layout.plane - t[0] * layout.element - t[1] * layout.row > 0]
    result = []
    for k, (x, y, p) in enumerate(known):
        if layout.row:
            r1 = known.index((-1, 0, p))
            r2 = known.index((0, -1, p)) if (0, -1, p) in known else r1
        else:
            r1 = r2 = min(k + 1, len(known) - 1)
        result.append((x, y, p * layout.plane, r1, r2, p))
    return np.array(result, np.int64).T.copy()
