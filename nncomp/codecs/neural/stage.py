"""What stands between the network's distribution and the coded bytes.

A stage gets, in coding order, one row of frequencies for each byte, and codes the byte
with it. This one hands the rows to the range coder as they are. A stage that mixes them
with other predictions, bit by bit, has the same methods.
"""

from __future__ import annotations

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.range_coder import Decoder, Encoder, gather

__all__ = ["StageDecoder", "StageEncoder"]

Rows = NDArray[np.int32]
Symbols = NDArray[np.uint8]


class StageEncoder:
    """Codes bytes by the network's frequencies alone."""

    def __init__(self) -> None:
        self._coder = Encoder()

    def encode(self, rows: Rows, symbols: Symbols) -> None:
        """Code n bytes, by int32[n, 256] frequencies."""
        self._coder.encode(*gather(rows, symbols))

    def finish(self) -> bytes:
        """The section so far; the next one begins."""
        return self._coder.finish()


class StageDecoder:
    """The inverse of `StageEncoder`."""

    def begin(self, section: bytes | memoryview) -> None:
        """Decode from this section."""
        self._coder = Decoder(section)

    def decode(self, rows: Rows) -> Symbols:
        """Decode n bytes, by int32[n, 256] frequencies.

        Raises:
            CorruptError: The section is not what an encoder writes.
        """
        return self._coder.decode(rows)

    def finish(self) -> None:
        """Check that the section is used up.

        Raises:
            CorruptError: There is more in it.
        """
        self._coder.finish()
