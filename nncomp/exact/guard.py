"""The guard: which torch operations may touch a number on its way to the coder.

Under `ExactGuard` every operation that torch dispatches is looked up here, and one
outside the list raises, naming it. The tests run the reference path of every codec
under it. What was measured to be the same on every machine, and what was not, is the
reason behind each line:

* Moving numbers, and operations on integers, are exact.
* + - * / neg abs reciprocal round clamp compare select of floats are correctly rounded.
* A float sum depends on its order, so only integers are summed.
* `sqrt` differs in the last bit of float64 between vendor libraries; rounded to float32
  afterwards it does not.
* A matrix product of integer values is exact while every partial sum fits the mantissa.
"""

from __future__ import annotations

from typing import Any

import torch
from torch import Tensor
from torch.utils._python_dispatch import TorchDispatchMode

__all__ = ["ExactGuard", "InexactOperationError"]

_MOVES = frozenset(
    [
        "_local_scalar_dense",
        "_reshape_alias",
        "_to_copy",
        "_unsafe_view",
        "alias",
        "arange",
        "as_strided",
        "cat",
        "clone",
        "copy_",
        "detach",
        "empty",
        "empty_like",
        "empty_strided",
        "expand",
        "fill_",
        "full",
        "gather",
        "index",
        "lift_fresh",
        "new_empty",
        "new_empty_strided",
        "new_zeros",
        "ones",
        "ones_like",
        "permute",
        "scalar_tensor",
        "select",
        "select_backward",
        "slice",
        "slice_backward",
        "split",
        "squeeze",
        "stack",
        "t",
        "transpose",
        "unfold",
        "unsqueeze",
        "view",
        "zero_",
        "zeros",
        "zeros_like",
    ]
)
_ROUNDED = frozenset(
    [
        "abs",
        "amax",
        "argmax",
        "clamp",
        "clamp_min",
        "div",
        "eq",
        "ge",
        "gt",
        "le",
        "lt",
        "mul",
        "ne",
        "neg",
        "reciprocal",
        "round",
        "where",
    ]
)
_INTEGER = frozenset(
    [
        "__lshift__",
        "__rshift__",
        "_int_mm",
        "bitwise_left_shift",
        "bitwise_right_shift",
        "cumsum",
        "floor_divide",
        "index_add_",
        "remainder",
        "scatter_add_",
        "sum",
    ]
)
_TWO_OPERANDS = frozenset(["add", "add_", "rsub", "sub", "sub_"])
_PRODUCTS = frozenset(["bmm", "mm"])
# Bits in which sums of integers are exact.
_MANTISSA = {torch.float32: 24, torch.float64: 53}


class InexactOperationError(AssertionError):
    """An operation whose result may differ between machines reached the exact path."""


class ExactGuard(TorchDispatchMode):  # type: ignore[no-untyped-call]  # torch's class is untyped
    """Raises `InexactOperationError` on any torch operation outside the list.

    Attributes:
        seen: Names of the operations that ran.
    """

    def __init__(self) -> None:
        super().__init__()  # type: ignore[no-untyped-call]  # the same
        self.seen: set[str] = set()

    def __torch_dispatch__(
        self, func: Any, types: Any, args: tuple[Any, ...] = (), kwargs: Any = None
    ) -> Any:
        name = func.overloadpacket.__name__
        self.seen.add(name)
        reason = _objection(name, args, kwargs or {})
        if reason:
            raise InexactOperationError(f"{func}: {reason}")
        return func(*args, **(kwargs or {}))


def _objection(name: str, args: tuple[Any, ...], kwargs: dict[str, Any]) -> str:
    """Why this call may not be; empty when it may."""
    tensors = [a for a in args if isinstance(a, Tensor)]
    floating = any(t.is_floating_point() for t in tensors)
    if name == "round" and "decimals" in kwargs:
        return "decimals scale by a power of ten"
    if name in _MOVES or (name in _ROUNDED and name != "div"):
        return ""
    if name == "div":
        scalar = not isinstance(args[1], Tensor)
        return "by a Python number, for which CUDA multiplies by 1 / number" if scalar else ""
    if name in _INTEGER:
        floating = floating or getattr(kwargs.get("dtype"), "is_floating_point", False)
        return "only of integers, a float sum depends on its order" if floating else ""
    if name in _TWO_OPERANDS:
        alpha = args[2] if len(args) > 2 else kwargs.get("alpha", 1)
        return "alpha fuses a multiplication" if alpha != 1 else ""
    if name == "sqrt":
        exact = tensors[0].dtype == torch.float64
        return "" if exact else "only of float64, rounded to float32 afterwards"
    if name in _PRODUCTS:
        return _product_objection(*tensors)
    return "not on the list of exact operations"


def _product_objection(a: Tensor, b: Tensor) -> str:
    """A product is exact if its operands are integers and no sum leaves the mantissa."""
    if a.dtype not in _MANTISSA:
        return f"of {a.dtype}, which is neither float32 nor float64"
    if not all(torch.equal(t, torch.round(t)) for t in (a, b)):
        return "operands that are not integers"
    largest = float(a.abs().max()) * float(b.abs().max()) * a.shape[-1] if a.numel() else 0.0
    bits = _MANTISSA[a.dtype]
    return f"sums beyond {bits} bits" if largest > 2.0**bits else ""
