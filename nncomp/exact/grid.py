"""The power-of-two grids on which numbers become integers.

A row, column or tensor with largest magnitude in [2**e, 2**(e + 1)) is held as
integers q with value q * 2**(e + 1 - bits), so that |q| <= 2**bits, clipped to what
the format holds. Powers of two make scaling exact: the only rounding is `rint`.

The exponent has a floor. It keeps every scale, and every product of two scales, a
normal float32: whether a processor flushes denormals to zero then never matters.
"""

from __future__ import annotations

__all__ = [
    "FLOOR",
    "GRADIENT_BOUND",
    "GRAD_BITS",
    "GRAD_FLOOR",
    "GRAD_LIMIT",
    "NORM_BITS",
    "SLICE",
    "SUM_BITS",
    "UNIT_BITS",
    "UNIT_BOUND",
    "VALUE_BITS",
    "VALUE_LIMIT",
    "WEIGHT_BOUND",
]

# Activations and weights: 6 bits and a sign, within -63..63. Any two such operands
# are exact in int8 products even where oneDNN adds pairs in saturating 16 bits.
VALUE_BITS = 6
VALUE_LIMIT = 63
FLOOR = -48

# Gradients: 13 bits and a sign, as two slices q = 128 * high + low, both in -64..63.
GRAD_BITS = 13
SLICE = 128
GRAD_LIMIT = 63 * SLICE + 63
GRAD_FLOOR = -90

# Operands of integer sums over a row or a column.
NORM_BITS = 15  # layer norm statistics: squares of 30 bits, 2**20 of them in int64
UNIT_BITS = 10  # fraction bits of normalised values
SUM_BITS = 22  # sums of gradients

# No NaN may arise, whatever is learned: what becomes of one depends on the machine. So
# three things are clipped, far above what they are in a network that works. Weights;
# normalised values, at most sqrt(K) but for the rounding of rows that are all but constant;
# gradients where they leave a product or a layer norm. Then all values are finite, but for
# the square of a gradient in Adam, which by that stops the weight from learning.
WEIGHT_BOUND = 4096.0
UNIT_BOUND = 4096.0
GRADIENT_BOUND = 2.0**60
