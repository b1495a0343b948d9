"""What stands between the network's distribution and the coded bytes.

A stage gets, in coding order, one row of frequencies for each byte, and codes the byte
with it. `Encoding` and `Decoding` say what a stage is. These ones hand the rows to the range
coder as they are; the ones in `memory` mix them with other predictions, bit by bit.
"""

from __future__ import annotations

from typing import Protocol

import numpy as np
from numpy.typing import NDArray

from nncomp.coding.range_coder import Decoder, Encoder, gather

__all__ = ["Decoding", "Encoding", "StageDecoder", "StageEncoder"]

Rows = NDArray[np.int32]
Symbols = NDArray[np.uint8]


class Encoding(Protocol):
    """Codes bytes by what the network says of them."""

    def encode(self, rows: Rows, symbols: Symbols) -> None:
        """Code n bytes, by int32[n, 256] frequencies."""
        ...

    def finish(self) -> bytes:
        """The section so far; the next one begins."""
        ...


class Decoding(Protocol):
    """The inverse of `Encoding`."""

    def begin(self, section: bytes | memoryview) -> None:
        """Decode from this section."""
        ...

    def decode(self, rows: Rows) -> Symbols:
        """Decode n bytes, by int32[n, 256] frequencies.

        Raises:
            CorruptError: The section is not what an encoder writes.
        """
        ...

    def finish(self) -> None:
        """Check that the section is used up.

        Raises:
            CorruptError: There is more in it, or less.
        """
        ...


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
