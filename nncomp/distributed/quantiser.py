"""The quantiser of the codec `emb` in PyTorch, for tensors on whatever device they are.

The arithmetic is that of `nncomp.codecs.embedding.quantiser`, and so is the guarantee: each
element is checked against what `dequantise` makes of its code, and what misses the bound is kept
bit for bit. Only float16 is rounded by way of float32 here, as PyTorch does it: such a value may
be another one of those within the bound than the codec would choose.
"""

from __future__ import annotations

from dataclasses import dataclass

import torch

from nncomp.codecs.embedding.arrays import CODE_MAX, F64
from nncomp.codecs.embedding.quantiser import (
    BOUND_MAX,
    EXCEPTIONS_SHARE,
    NO_MARGIN,
    margin_of,
    share_of_range,
    step_of,
)

__all__ = ["INTEGERS", "Quantised", "dequantise", "narrow", "quantise"]

INTEGERS = {1: torch.int8, 2: torch.int16, 4: torch.int32, 8: torch.int64}
"""By their size in bytes: PyTorch computes little with unsigned ones."""
_TOGETHER = 1 << 22  # elements at once: they become float64, and more than once


@dataclass(frozen=True)
class Quantised:
    """Elements as codes, or as they are.

    Attributes:
        numbers: Codes less `origin`, or bit patterns; one dimension, of the least of
            `INTEGERS` that holds them.
        step: Distance of the values that codes stand for; 0: the numbers are bit patterns.
        origin: To be added to the numbers.
        places: int64, ascending: which elements are exceptions. Their codes mean nothing.
        patterns: The bit patterns of these.
    """

    numbers: torch.Tensor
    step: float
    origin: int
    places: torch.Tensor
    patterns: torch.Tensor


def quantise(values: torch.Tensor, kind: int, bound: float, mode: str) -> Quantised:
    """Codes for elements; bit patterns where codes do not pay.

    Args:
        values: Of one dimension, not empty, float16, bfloat16, float32 or float64.
        kind: Their type, as in `nncomp.codecs.embedding.arrays.KINDS`.
        bound: Above 0.
        mode: "abs", or "rel": a share of the range of finite values.
    """
    if mode == "rel":
        low, high = _ends(values, values.isfinite())
        bound = share_of_range(low, max(low, high), bound)
    found = _coded(values, kind, min(bound, BOUND_MAX)) if bound > 0 else None
    if found:
        return found
    none = torch.empty(0, dtype=torch.int64, device=values.device)
    patterns = _patterns(values)
    return Quantised(patterns, 0.0, 0, none, patterns[:0])


def _coded(values: torch.Tensor, kind: int, bound: float) -> Quantised | None:
    """None where too many would be exceptions."""
    step = step_of(bound, NO_MARGIN)
    codes, missed = _attempt(values, step, bound, kind)
    if (missed & values.isfinite()).any():
        smaller = step_of(bound, margin_of(*_ends(values, ~missed), kind))
        if smaller > bound:  # else more than half of it went into the margin
            others, missing = _attempt(values, smaller, bound, kind)
            if missing.sum() < missed.sum():
                codes, missed, step = others, missing, smaller
    places = missed.nonzero().reshape(-1)
    if len(places) * EXCEPTIONS_SHARE > len(values):
        return None
    least, most = (int(end) for end in _ends(codes, ~missed))
    codes[places] = min(max(0, least), most)
    numbers, origin = narrow(codes, least, most)
    return Quantised(numbers, step, origin, places, _patterns(values)[places])


def dequantise(quantised: Quantised, dtype: torch.dtype) -> torch.Tensor:
    """Elements of that type, of one dimension."""
    numbers = quantised.numbers
    if not quantised.step:
        return numbers.view(dtype)
    values = torch.empty(len(numbers), dtype=dtype, device=numbers.device)
    for part, out in zip(*(torch.split(one, _TOGETHER) for one in (numbers, values)), strict=True):
        codes = part.to(torch.float64) + quantised.origin
        out.copy_(_restored(codes, quantised.step, dtype))
    _patterns(values)[quantised.places] = quantised.patterns
    return values


def narrow(codes: torch.Tensor, least: int, most: int) -> tuple[torch.Tensor, int]:
    """Whole numbers in 8, 16 or 32 bits, less an origin in their middle, and the origin."""
    origin = (least + most + 1) // 2
    size = next(size for size in (1, 2, 4) if most - least < 1 << 8 * size)
    return (codes - origin).to(INTEGERS[size]), origin


def _attempt(
    values: torch.Tensor, step: float, bound: float, kind: int
) -> tuple[torch.Tensor, torch.Tensor]:
    """int32 codes, and for each element whether it is missed."""
    codes = torch.empty(len(values), dtype=torch.int32, device=values.device)
    missed = torch.empty_like(codes, dtype=torch.bool)
    parts = (torch.split(one, _TOGETHER) for one in (values, codes, missed))
    for x, code, miss in zip(*parts, strict=True):
        wide = x.to(torch.float64)
        rounded = torch.round(wide * (1.0 / step))
        near = rounded.abs() <= CODE_MAX
        rounded = torch.where(near, rounded, 0.0)
        error = (_restored(rounded, step, x.dtype).to(torch.float64) - wide).abs()
        # As in the codec: the error of a float64 may itself have been rounded to the bound.
        good = near & (error < bound if kind == F64 else error <= bound)
        code.copy_(rounded)
        torch.logical_not(good, out=miss)
    return codes, missed


def _patterns(values: torch.Tensor) -> torch.Tensor:
    return values.view(INTEGERS[values.element_size()])


def _restored(codes: torch.Tensor, step: float, dtype: torch.dtype) -> torch.Tensor:
    """What whole numbers in float64 stand for."""
    values = codes * step
    # 16 bits by way of 32, explicitly: on every device the same two roundings.
    return (values.to(torch.float32) if dtype.itemsize == 2 else values).to(dtype)


def _ends(values: torch.Tensor, among: torch.Tensor) -> tuple[float, float]:
    """The smallest and the largest value among some; in the wrong order if there is none."""
    limits = (torch.finfo if values.is_floating_point() else torch.iinfo)(values.dtype)
    low = torch.where(among, values, limits.max).amin()
    high = torch.where(among, values, limits.min).amax()
    found: list[float] = torch.stack((low, high)).tolist()
    return found[0], found[1]
