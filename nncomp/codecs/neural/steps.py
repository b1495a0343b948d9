"""The steps of a segment, decoded one after the other: two ways to the same bytes."""

from __future__ import annotations

from typing import TYPE_CHECKING

import torch
from torch import Tensor

from nncomp.coding.cdf import frequencies, frequencies_torch
from nncomp.exact.ops import backend

if TYPE_CHECKING:
    import numpy as np
    from numpy.typing import NDArray

    from nncomp.codecs.neural.lanes import Layout
    from nncomp.codecs.neural.memory import MixedDecoder
    from nncomp.codecs.neural.stage import Decoding
    from nncomp.exact.stepper import Stepper
    from nncomp.models.byte_model import ByteModel, State

__all__ = ["CompiledSteps", "TorchSteps", "on_host"]


class TorchSteps:
    """Each step of all lanes by torch: any model, any device.

    Args:
        stage: Decodes the bytes.
        model: Predicts them.
        history: (L, C + steps) int64; what is decoded is written there.
    """

    def __init__(self, stage: Decoding, model: ByteModel, history: Tensor) -> None:
        self._stage = stage
        self._model = model
        self._history = history

    def decode(self, layout: Layout, start: int, stop: int, state: State) -> NDArray[np.uint8]:
        """The bytes of the steps start..stop, uint8[n], in coding order.

        Args:
            layout: Of the block.
            start, stop: The steps.
            state: The model's before them.
        """
        decoded = []
        context = self._model.context
        for step in range(start, stop):
            window = self._history[:, step : step + context]
            with torch.no_grad():
                logits, state = self._model(window, state)
                rows = on_host(backend(window.device).softmax_weights(logits))
            symbols = self._stage.decode(rows[: layout.active(step)])
            column = torch.from_numpy(symbols).to(self._history)
            self._history[: len(symbols), context + step] = column
            decoded.append(torch.from_numpy(symbols))
        return torch.cat(decoded).numpy()

    def refresh(self) -> None:
        """After an update of the weights: nothing to do."""


class CompiledSteps:
    """All steps in one call: for models that write themselves down, on the CPU."""

    def __init__(self, stage: MixedDecoder, stepper: Stepper, history: Tensor) -> None:
        self._stage = stage
        self._stepper = stepper
        self._program = stepper.program()
        self._history = history.numpy()

    def decode(self, layout: Layout, start: int, stop: int, state: State) -> NDArray[np.uint8]:
        """As `TorchSteps.decode`; the model's state is in the program."""
        count = layout.coded(start, stop)
        return self._stage.decode_steps(self._program, self._history, start, count)

    def refresh(self) -> None:
        """After an update of the weights."""
        self._stepper.refresh()


def on_host(weights: Tensor) -> NDArray[np.int32]:
    """Frequencies, int32[n, 256], from integer weights of the same shape on any device."""
    if weights.is_cuda:
        rows: NDArray[np.int32] = frequencies_torch(weights).cpu().numpy()
        return rows
    return frequencies(weights.numpy())
