"""What stands between the network's distribution and the coded bytes.

A stage gets, in coding order, one row of frequencies for each byte, and codes the byte
with it. `Encoding` and `Decoding` say what a stage is. These ones hand the rows to the range
coder as they are; the ones in `memory` mix them with other predictions, bit by bit.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Protocol

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.tally import Stream, byte_cells
from nncomp.coding.cdf import BITS
from nncomp.coding.range_coder import Decoder, Encoder, gather

if TYPE_CHECKING:
    from nncomp.codecs.neural.lanes import Layout as Lanes

__all__ = ["CountingDecoder", "Decoding", "Encoding", "StageDecoder", "StageEncoder"]

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


class CountingDecoder(StageDecoder):
    """A `StageDecoder` that counts what bytes cost.

    Args:
        lanes: How the block lies, all of which is decoded.
    """

    def __init__(self, lanes: Lanes) -> None:
        self._lanes = lanes
        self._starts = np.array(lanes.starts, np.int64)
        self._cells, self._ends = byte_cells(lanes.size)
        self._done = self._taken = 0

    def begin(self, section: bytes | memoryview) -> None:
        """Decode from this section."""
        super().begin(section)
        self._taken += len(section)

    def decode(self, rows: Rows) -> Symbols:
        """Decode n bytes, by int32[n, 256] frequencies."""
        symbols = super().decode(rows)
        order = self._done + np.arange(len(symbols))
        places = self._starts[order % self._lanes.lanes] + order // self._lanes.lanes
        costs = BITS - np.log2(rows[np.arange(len(symbols)), symbols])
        np.add.at(self._cells[0], np.searchsorted(self._ends, places, side="right"), costs)
        self._done += len(symbols)
        return symbols

    def stream(self) -> Stream:
        """What was counted; the network is all there is."""
        size = self._lanes.size
        return Stream("bytes", size, self._taken, self._cells, self._ends, {"network": float(size)})
