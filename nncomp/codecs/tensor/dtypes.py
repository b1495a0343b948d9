"""The element types of tensors, under the names of safetensors, and how each is coded."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal, TypeAlias

__all__ = ["BYTES", "DTYPES", "DType", "Kind", "blocks"]

Kind: TypeAlias = Literal["float", "int", "uint", "bool", "bytes", "blocks"]


@dataclass(frozen=True)
class DType:
    """One element type.

    Attributes:
        name: As safetensors writes it; GGML's name for quantised blocks.
        kind: What its bits mean.
        unit: Bytes of what is coded as one element: a component of a complex number, a
            whole block of a quantised type.
        bits: Bits of one element as its shape counts them: 4 for F4, 128 for C128; for
            quantised blocks, bits of the block divided by its number of weights.
        fields: Bytes of the fields of a quantised block, in order; they add up to `unit`.
    """

    name: str
    kind: Kind
    unit: int
    bits: float
    fields: tuple[int, ...] = ()


def blocks(name: str, weights: int, fields: tuple[int, ...]) -> DType:
    """A quantised type of blocks with `weights` weights each."""
    size = sum(fields)
    return DType(name, "blocks", size, 8 * size / weights, fields)


def _plain(name: str, kind: Kind, unit: int, bits: int | None = None) -> DType:
    return DType(name, kind, unit, bits or 8 * unit)


BYTES = DType("BYTES", "bytes", 1, 8)
"""Bytes that are no numbers: headers, text, padding."""

DTYPES = {
    dtype.name: dtype
    for dtype in (
        _plain("BOOL", "bool", 1),
        _plain("U8", "uint", 1),
        _plain("I8", "int", 1),
        _plain("U16", "uint", 2),
        _plain("I16", "int", 2),
        _plain("U32", "uint", 4),
        _plain("I32", "int", 4),
        _plain("U64", "uint", 8),
        _plain("I64", "int", 8),
        _plain("F4", "bytes", 1, 4),
        _plain("F6_E2M3", "bytes", 1, 6),
        _plain("F6_E3M2", "bytes", 1, 6),
        _plain("F8_E5M2", "float", 1),
        _plain("F8_E4M3", "float", 1),
        _plain("F8_E5M2FNUZ", "float", 1),
        _plain("F8_E4M3FNUZ", "float", 1),
        _plain("F8_E8M0", "uint", 1),
        _plain("F16", "float", 2),
        _plain("BF16", "float", 2),
        _plain("F32", "float", 4),
        _plain("F64", "float", 8),
        _plain("C64", "float", 4, 64),
        _plain("C128", "float", 8, 128),
    )
}
"""By name. C128 is not in safetensors; NumPy and PyTorch have it."""
