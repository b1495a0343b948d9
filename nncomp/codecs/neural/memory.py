"""The stage with a memory of contexts: the network's distribution is one opinion among many.

Each byte goes through the predictor of `mix`, bit by bit, which gets the network's
distribution as one more input. All lanes share the memory and learn it together; each
has its own history. See `codecs/mix` for the parts, FORMAT.md there for the format.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import TYPE_CHECKING, Any

import numpy as np
from numpy.typing import NDArray

from nncomp.codecs.mix.coder import ROOM, code_bytes, end_writing, start_reading
from nncomp.codecs.mix.layout import KINDS, LEAN, NUMBERS
from nncomp.codecs.mix.predictor import Predictor, predictor
from nncomp.codecs.mix.tally import Stream, Tally, new_tally
from nncomp.coding.binary_coder import AHEAD, coder_state
from nncomp.coding.cdf import fill_frequencies
from nncomp.coding.jit import kernel
from nncomp.errors import CorruptError
from nncomp.exact.stepper import Program, run

if TYPE_CHECKING:
    from nncomp.codecs.mix.layout import Layout
    from nncomp.codecs.neural.lanes import Layout as Lanes

__all__ = ["Memory", "MixedDecoder", "MixedEncoder", "suits"]

Array = NDArray[Any]


def suits(layout: Layout, lanes: int) -> bool:
    """Whether a network can code with it; the memory of numbers knows one lane alone."""
    return layout.kind != LEAN and (lanes == 1 or layout.kind != NUMBERS)


@dataclass(frozen=True)
class Memory:
    """What decides on the memory: the layout of the bytes, and sizes.

    Attributes:
        layout: What the bytes are taken for.
        table: log2 of the lines of the slot table.
        contexts: The most contexts in use.
    """

    layout: Layout
    table: int
    contexts: int

    def predictor(self, lanes: Lanes) -> Predictor:
        """A memory that knows nothing yet.

        Raises:
            CorruptError: The layout does not suit, see `suits`.
        """
        if not suits(self.layout, lanes.lanes):
            raise CorruptError(
                f"{self.layout} is not for networks. The file is damaged: take another copy"
            )
        contexts = min(self.contexts, KINDS[self.layout.kind])
        return predictor(self.layout, lanes.size, self.table, contexts, lanes.starts, True)

    def tally(self, size: int) -> Tally:
        """To count what the bits of so many bytes cost."""
        return new_tally(self.layout, size, self.contexts, network=True)

    def stream(self, tally: Tally, coded: int, size: int) -> Stream:
        """What was counted of so many bytes of content in so many coded ones."""
        return Stream.of(tally, self.layout, coded, size, self.contexts, network=True)


class MixedEncoder:
    """Codes bytes by the memory and the network's frequencies; as `stage.StageEncoder`."""

    def __init__(self, memory: Memory, lanes: Lanes) -> None:
        self._predictor = memory.predictor(lanes)
        self._state = coder_state()
        self._coded = bytearray()

    def encode(self, rows: Array, symbols: Array) -> None:
        """Code n bytes, uint8[n], by int32[n, 256] frequencies."""
        room = np.empty(ROOM * (len(symbols) + 1), np.uint8)
        code_bytes(self._predictor, rows, symbols, room, self._state, False, None)
        self._take(room)

    def finish(self) -> bytes:
        """The section so far; the next one begins."""
        room = np.empty(ROOM, np.uint8)
        end_writing(self._state, room)
        self._take(room)
        coded, self._coded, self._state = bytes(self._coded), bytearray(), coder_state()
        return coded

    def _take(self, room: Array) -> None:
        self._coded += room[: self._state[2]].tobytes()
        self._state[2] = 0


class MixedDecoder:
    """The inverse of `MixedEncoder`.

    Args:
        memory, lanes: As there.
        tally: Counts what bits cost, if somebody wants to know.

    Attributes:
        taken: Coded bytes of the sections so far.
    """

    def __init__(self, memory: Memory, lanes: Lanes, tally: Tally | None = None) -> None:
        self._predictor = memory.predictor(lanes)
        self._tally = tally
        self.taken = 0

    def begin(self, section: bytes | memoryview) -> None:
        """Decode from this section."""
        self._state = coder_state()
        # A copy, since a kernel for memory that must not be written would be another one.
        self._coded = np.frombuffer(section, np.uint8).copy()
        self.taken += len(section)
        start_reading(self._state, self._coded)

    def decode(self, rows: Array) -> Array:
        """Decode n bytes, by int32[n, 256] frequencies."""
        symbols = np.empty(len(rows), np.uint8)
        args = (self._predictor, rows, symbols, self._coded, self._state, True, self._tally)
        code_bytes(*args)
        return symbols

    def decode_steps(self, program: Program, history: Array, first: int, count: int) -> Array:
        """Decode several steps, the network's forward pass included.

        Args:
            program: The model's.
            history: int64[lanes, C + steps]; what is decoded is written there.
            first: The first of the steps: its window begins there.
            count: How many bytes; the last step may have fewer lanes.

        Returns:
            uint8[count], in coding order.
        """
        symbols = np.empty(count, np.uint8)
        args = (self._predictor, history, first, symbols, self._coded, self._state, self._tally)
        _decode_steps(program, *args)
        return symbols

    def finish(self) -> None:
        """Check that the section is used up.

        Raises:
            CorruptError: It is longer or shorter than what was decoded needs.
        """
        over = int(self._state[2]) - len(self._coded)
        if not AHEAD - 1 <= over <= AHEAD:
            raise CorruptError(
                f"a section has {len(self._coded)} bytes where its content takes about "
                f"{int(self._state[2]) - AHEAD}. The file is damaged: take another copy"
            )


@kernel
def _decode_steps(
    p: Program,
    m: Predictor,
    history: Array,
    first: int,
    symbols: Array,
    coded: Array,
    state: Array,
    tally: Tally | None,
) -> None:
    lanes = history.shape[0]
    row = np.empty((1, 256), np.int32)
    for i in range(symbols.shape[0]):
        lane, step = i % lanes, first + i // lanes
        run(p, lane, history[lane][step : step + p.context])
        fill_frequencies(p.weights, row)
        code_bytes(m, row, symbols[i : i + 1], coded, state, True, tally)
        history[lane, step + p.context] = symbols[i]
