"""Memory asked for ahead of its use, for kernels that read all over large tables."""

from __future__ import annotations

from typing import Any

from llvmlite import ir
from numba.core import cgutils, config, types
from numba.extending import intrinsic

__all__ = ["prefetch"]


_item: Any = cgutils.get_item_pointer  # untyped in numba, like all that is `Any` here
_config: Any = config
_declared: Any = cgutils.get_or_insert_function


def _prefetch(_context: Any, array: Any, index: Any) -> Any:
    def generate(context: Any, builder: Any, signature: Any, arguments: Any) -> Any:
        kind = signature.args[0]
        values = context.make_array(kind)(context, builder, arguments[0])
        place = _item(context, builder, kind, values, [arguments[1]], wraparound=False)
        pointer = ir.IntType(8).as_pointer()
        number = ir.IntType(32)
        function = _declared(
            builder.module,
            ir.FunctionType(ir.VoidType(), [pointer, number, number, number]),
            "llvm.prefetch.p0i8",
        )
        read, keep, data = number(0), number(3), number(1)
        builder.call(function, [builder.bitcast(place, pointer), read, keep, data])
        return context.get_dummy_value()

    return types.void(array, types.intp), generate


def _nothing(array: Any, index: int) -> None:
    """In place of `prefetch` where nothing is compiled."""


prefetch: Any = _nothing if _config.DISABLE_JIT else intrinsic(_prefetch)
"""`prefetch(array, index)` asks for the cache line of `array[index]`, of one dimension.

It does not wait, and changes nothing but the time that a later access takes.
"""
