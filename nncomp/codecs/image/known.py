"""Classes that the package ships: for pictures too small to tell their own, and for haste.

They were made by `benchmarks/image_classes.py` of photographs in scikit-image, scikit-learn and
matplotlib: `nncomp/weights/README.md`. They are part of the format: others are a new version.
"""

from __future__ import annotations

from functools import cache

import numpy as np

from nncomp import weights
from nncomp.codecs.image.fit import Known

__all__ = ["known_classes"]

_WEIGHTS, _DIGEST = "fsar_classes", "f584a715eb42be35"


@cache
def known_classes(planes: int) -> Known | None:
    """The classes for pictures of so many planes; None if there are none.

    Raises:
        MissingWeightsError: Their file is not there, or it is damaged.
    """
    tensors = weights.load(_WEIGHTS, _DIGEST).tensors
    if f"means{planes}" not in tensors:
        return None

    def every(name: str) -> list[np.ndarray]:
        return [tensors[f"{name}{planes}{p}"].astype(np.int64) for p in range(planes)]

    means = tensors[f"means{planes}"].astype(np.float64) / 256
    return Known(every("weights"), every("trust"), every("floor"), every("laws"), means)
