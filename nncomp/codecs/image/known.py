"""Classes that the package ships: for pictures too small to tell their own, and for haste.

`known.npz` was made by `benchmarks/image_classes.py` of photographs in scikit-image,
scikit-learn and matplotlib. It is part of the format: a change of it is a new version.
"""

from __future__ import annotations

from functools import cache
from importlib.resources import files
from io import BytesIO

import numpy as np

from nncomp.codecs.image.fit import Known

__all__ = ["known_classes"]


@cache
def known_classes(planes: int) -> Known | None:
    """The classes for pictures of so many planes; None if there are none."""
    data = files(__package__).joinpath("known.npz").read_bytes()
    with np.load(BytesIO(data), allow_pickle=False) as arrays:
        if f"means{planes}" not in arrays:
            return None

        def every(name: str) -> list[np.ndarray]:
            return [arrays[f"{name}{planes}{p}"].astype(np.int64) for p in range(planes)]

        means = arrays[f"means{planes}"].astype(np.float64) / 256
        return Known(every("weights"), every("trust"), every("floor"), every("laws"), means)
