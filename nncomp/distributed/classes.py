"""Which tables bear larger errors: classes found on samples, or told in a file.

Quantising makes different rows equal. Where it merges many of them, the model can no longer
tell these categories apart, and the table wants a tighter bound; where it merges none, a
looser one is safe. The measure is

    homogenisation = 1 - (distinct rows after quantising) / (distinct rows before)

between 0, all rows still differ, and nearly 1, one row is left. It is the complement of the
ratio by which the scripts of Feng et al. (SC'24), arXiv:2407.04272, rank tables. Categories
that a sample has twice count once: how often something is looked up says nothing of how well
it survives.

A file of classes is JSON, and names bounds, relative to the range of values, and tables by
number or any other name; tables that it does not name are of class `base`::

    {"bounds": {"tighten": 0.01, "base": 0.02, "loosen": 0.03},
     "tables": {"0": "tighten", "5": "loosen"}}
"""

from __future__ import annotations

import json
from dataclasses import dataclass, field
from pathlib import Path
from typing import TYPE_CHECKING, Any

import numpy as np

from nncomp.codecs.embedding.quantiser import BOUND_MAX
from nncomp.errors import UsageError

if TYPE_CHECKING:
    import os
    from collections.abc import Iterable, Mapping

    from numpy.typing import NDArray

__all__ = [
    "CLASSES",
    "Classes",
    "classify",
    "find_classes",
    "homogenisation",
    "load_classes",
]

CLASSES = ("tighten", "base", "loosen")
"""From the smallest bound to the largest."""

_BOUNDS = {"tighten": 0.01, "base": 0.02, "loosen": 0.03}
"""Of the released scripts for the Terabyte data; for Kaggle's, 0.01, 0.03 and 0.05."""


@dataclass(frozen=True)
class Classes:
    """Bounds of tables by their classes.

    Args:
        tables: Class of each table; those not in it are of class `base`.
        bounds: Bound of each class; what it does not name is as by default.

    Raises:
        UsageError: A class that does not exist, or a bound that is no number above zero.
    """

    tables: Mapping[str, str] = field(default_factory=dict)
    bounds: Mapping[str, float] = field(default_factory=dict)

    def __post_init__(self) -> None:
        for name in {*self.tables.values(), *self.bounds}:
            if name not in CLASSES:
                raise UsageError(f"no class {name!r} of tables: there are {', '.join(CLASSES)}")
        for name, bound in self.bounds.items():
            if not 0 < bound <= BOUND_MAX:
                raise UsageError(f"the bound of {name!r} is above zero, up to {BOUND_MAX:g}")

    def of(self, table: str | int) -> str:
        """The class of a table."""
        return self.tables.get(str(table), "base")

    def bound(self, table: str | int) -> float:
        """The bound of a table, relative to the range of its values."""
        name = self.of(table)
        return self.bounds.get(name, _BOUNDS[name])

    def save(self, path: str | os.PathLike[str]) -> None:
        """Write them as `load_classes` reads them."""
        told = {"bounds": {**_BOUNDS, **self.bounds}, "tables": dict(self.tables)}
        Path(path).write_text(json.dumps(told, indent=1) + "\n", encoding="utf-8")


def load_classes(path: str | os.PathLike[str]) -> Classes:
    """Read a file of classes, whose form is at the head of this module.

    Raises:
        UsageError: It is not of that form.
        OSError: It cannot be read.
    """
    try:
        told = json.loads(Path(path).read_text(encoding="utf-8"))
    except (ValueError, RecursionError) as error:  # of JSON and of UTF-8; of brackets
        raise UsageError(f"{path} is no JSON: {error}") from error
    unknown = told.keys() - {"bounds", "tables"} if isinstance(told, dict) else None
    if unknown is None or unknown:
        raise UsageError(f"{path} is no object of `bounds` and `tables` alone")
    bounds, tables = (_object(path, told, key) for key in ("bounds", "tables"))
    for name, bound in bounds.items():
        if isinstance(bound, bool) or not isinstance(bound, (int, float)):
            raise UsageError(f"{path}: the bound of {name!r} is no number: {bound!r}")
    for table, name in tables.items():
        if not isinstance(name, str):
            raise UsageError(f"{path}: the class of table {table!r} is no name: {name!r}")
    return Classes(tables, bounds)


def _object(path: str | os.PathLike[str], told: dict[str, Any], key: str) -> dict[str, Any]:
    value = told.get(key, {})
    if not isinstance(value, dict):
        raise UsageError(f"{path}: `{key}` is no object")
    return value


# --- found on samples ----------------------------------------------------------------


def homogenisation(rows: NDArray[Any], bound: float) -> float:
    """The share of distinct rows that quantising merges: 0 for none, nearly 1 for all.

    Codes are round(x / (2 bound range)), the range over finite values; what is not finite
    stays as it is, and equals itself alone.

    Args:
        rows: A sample [rows, width] of the table or of what is looked up in it.
        bound: Relative to the range of the sample's values.

    Raises:
        UsageError: Not two-dimensional, or the bound is not above zero.
    """
    if rows.ndim != 2:
        raise UsageError(f"a sample of rows has two dimensions, not {rows.ndim}")
    if not bound > 0:
        raise UsageError(f"a bound is above zero, not {bound}")
    values = np.ascontiguousarray(rows, np.float64) + 0.0  # one zero
    finite = np.isfinite(values)
    before = _distinct(values)
    if not finite.any():
        return 0.0
    low, high = values[finite].min(), values[finite].max()
    if low < high:
        with np.errstate(over="ignore", divide="ignore"):  # at the ends of float64
            codes = np.rint(values / (2 * bound * (high - low)))
    else:
        codes = np.where(finite, 0.0, values)
    return 1 - _distinct(np.where(finite, codes, values) + 0.0) / before


def _distinct(values: NDArray[np.float64]) -> int:
    """Rows that differ in their bytes."""
    if values.size == 0:
        return 0
    return len(np.unique(values.view(np.dtype((np.void, values.shape[1] * 8)))))


def classify(index: float, *, tighten: float = 0.1, loosen: float = 0.01) -> str:
    """The class of a table with that homogenisation.

    Args:
        index: What `homogenisation` gave.
        tighten: From here on rows are worth more bits.
        loosen: Up to here they do with fewer.

    Raises:
        UsageError: The limits are not in order.
    """
    if not 0 <= loosen < tighten <= 1:
        raise UsageError(f"0 <= loosen < tighten <= 1 does not hold for {loosen} and {tighten}")
    return "tighten" if index >= tighten else "loosen" if index <= loosen else "base"


def find_classes(
    samples: Mapping[str, NDArray[Any]] | Iterable[NDArray[Any]],
    *,
    bounds: Mapping[str, float] | None = None,
    tighten: float = 0.1,
    loosen: float = 0.01,
) -> Classes:
    """Classes of tables by samples of their rows, at the bound of class `base`.

    Args:
        samples: By the tables' names, or in their order.
        bounds: Of the classes, as in `Classes`.
        tighten: As in `classify`.
        loosen: As in `classify`.
    """
    named = samples.items() if hasattr(samples, "items") else enumerate(samples)
    at = (bounds or {}).get("base", _BOUNDS["base"])
    found = {
        str(table): classify(homogenisation(rows, at), tighten=tighten, loosen=loosen)
        for table, rows in named
    }
    return Classes(found, bounds or {})
