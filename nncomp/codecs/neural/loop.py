"""The loop of all neural codecs: predict, code, learn, segment by segment.

A segment is T steps of all lanes. Its T * L bytes are predicted with the same weights;
then the weights are updated once. The encoder knows the bytes and computes the segment
at once. The decoder computes it step by step, each step from the bytes decoded before
it, and then, knowing the bytes too, learns from the segment exactly as the encoder did.
"""

from __future__ import annotations

from contextlib import contextmanager
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nncomp.codecs.neural.lanes import Layout
from nncomp.codecs.neural.sections import SectionReader, SectionWriter, section_steps
from nncomp.codecs.neural.stage import StageDecoder, StageEncoder
from nncomp.coding import jit
from nncomp.coding.cdf import frequencies, frequencies_torch
from nncomp.errors import DeviceError
from nncomp.exact.adam import Adam, AdamConfig
from nncomp.exact.layers import backpropagate, refresh
from nncomp.exact.ops import backend
from nncomp.exact.threads import allow
from nncomp.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from nncomp.codecs.base import Context
    from nncomp.models.byte_model import ByteModel, State

__all__ = ["Loop", "Training", "choose_device", "granted"]


@dataclass(frozen=True)
class Training:
    """How a model learns.

    Attributes:
        segment: T, steps between updates.
        adam: Optimiser; its `lr` is the rate at the start.
        final: Rate at the end of the decay, as a share of the first.
        decay: Bytes after which the rate has fallen by half of what it falls in all.
    """

    segment: int
    adam: AdamConfig
    final: float
    decay: int

    def rate(self, done: int) -> float:
        """Learning rate after `done` bytes: lr (final + (1 - final) / (1 + done / decay)).

        Only operations that are correctly rounded everywhere.
        """
        falling = (1.0 - self.final) / (1.0 + done / self.decay)
        return self.adam.lr * (self.final + falling)


class Loop:
    """One model, learning as it codes block after block.

    Args:
        model: Freshly built, the same for encoder and decoder.
        training: The same, too.
        device: Where it computes; the archive does not depend on it.
        progress: Called with the number of bytes done since the last call.
    """

    def __init__(
        self,
        model: ByteModel,
        training: Training,
        device: torch.device,
        progress: Callable[[int], None],
    ) -> None:
        self._model = model.to(device)
        self._training = training
        self._device = device
        self._progress = progress
        self._adam = Adam(model.parameters(), training.adam)
        self._done = 0

    def encode(self, block: bytes | memoryview) -> bytes:
        """The payload of one block."""
        layout = Layout(len(block), self._model.lanes)
        matrix = layout.split(np.frombuffer(block, np.uint8))
        history = self._history(layout.steps)
        history[:, self._model.context :] = torch.from_numpy(matrix).to(self._device)
        stage, sections = StageEncoder(), SectionWriter()
        state = self._model.start()
        for start, stop, last in self._segments(layout):
            rows, state = self._learn(history, state, layout, start, stop)
            symbols = matrix[:, start:stop].T.reshape(-1)[: len(rows)]
            stage.encode(rows, symbols)
            sections.update(symbols.tobytes())
            if last is not None:
                sections.add(stage.finish(), last)
            self._progress(layout.coded(start, stop))
        return sections.payload()

    def decode(self, payload: memoryview, size: int) -> bytes:
        """The `size` bytes of one block.

        Raises:
            CorruptError: The payload is not what `encode` writes.
        """
        layout = Layout(size, self._model.lanes)
        matrix = np.zeros((layout.lanes, layout.steps), np.uint8)
        history = self._history(layout.steps)
        stage, sections = StageDecoder(), SectionReader(payload)
        state = self._model.start()
        length = section_steps(layout.lanes, self._training.segment)
        for start, stop, last in self._segments(layout):
            if start % length == 0:
                stage.begin(sections.next(last=start + length >= layout.steps))
            running = state
            for step in range(start, stop):
                rows, running = self._predict(history, running, step)
                symbols = stage.decode(rows[: layout.active(step)])
                sections.update(symbols.tobytes())
                matrix[: len(symbols), step] = symbols
                column = torch.from_numpy(matrix[:, step].astype(np.int64))
                history[:, self._model.context + step] = column.to(self._device)
            if last is not None:
                stage.finish()
                sections.check()
            _, state = self._learn(history, state, layout, start, stop)
            self._progress(layout.coded(start, stop))
        return layout.join(matrix).tobytes()

    def _history(self, steps: int) -> Tensor:
        """(L, C + steps) int64, zeros: the bytes before the first step count as zero."""
        shape = (self._model.lanes, self._model.context + steps)
        return torch.zeros(shape, dtype=torch.int64, device=self._device)

    def _segments(self, layout: Layout) -> Iterator[tuple[int, int, bool | None]]:
        """(start, stop, last); `last` is None within a section, at its end: is it the last?"""
        length = section_steps(layout.lanes, self._training.segment)
        for start in range(0, layout.steps, self._training.segment):
            stop = min(start + self._training.segment, layout.steps)
            last = stop == layout.steps
            yield start, stop, last if last or stop % length == 0 else None

    def _window(self, history: Tensor, start: int, stop: int) -> Tensor:
        """What the model reads to predict the steps start..stop."""
        return history[:, start : stop + self._model.context - 1]

    def _predict(self, history: Tensor, state: State, step: int) -> tuple[NDArray[np.int32], State]:
        """int32[L, 256] frequencies of one step, and the state after it."""
        with torch.no_grad():
            logits, state = self._model(self._window(history, step, step + 1), state)
            return _rows(backend(self._device).softmax_weights(logits)), state

    def _learn(
        self, history: Tensor, state: State, layout: Layout, start: int, stop: int
    ) -> tuple[NDArray[np.int32], State]:
        """Predict the steps start..stop, then update the weights from their bytes.

        Returns:
            int32[n, 256] frequencies from before the update, of the n bytes in coding
            order, and the state after.
        """
        ops = backend(self._device)
        logits, state = self._model(self._window(history, start, stop), state)
        weights = ops.softmax_weights(logits.detach())
        first = self._model.context + start
        targets = history[:, first : first + stop - start].clone()
        if layout.active(stop - 1) < layout.lanes:
            targets[layout.active(stop - 1) :, -1] = -1
        coded = layout.coded(start, stop)
        backpropagate(logits, ops.loss_gradient(weights, targets.reshape(-1), coded))
        self._adam.step(self._training.rate(self._done))
        refresh(self._model)
        self._done += coded
        rows = _rows(weights).reshape(layout.lanes, stop - start, -1)
        return rows.transpose(1, 0, 2).reshape(-1, rows.shape[2])[:coded], state


def _rows(weights: Tensor) -> NDArray[np.int32]:
    """Frequencies, on the host."""
    if weights.is_cuda:
        on_host: NDArray[np.int32] = frequencies_torch(weights).cpu().numpy()
        return on_host
    return frequencies(weights.numpy())


def choose_device(name: str) -> torch.device:
    """The device for "auto", "cpu" or "cuda".

    "auto" is the CPU: networks of these sizes are a thousand small operations a step,
    which a GPU takes longer to start than a CPU to do.

    Raises:
        DeviceError: "cuda" where there is none.
    """
    if name != "cuda":
        return torch.device("cpu")
    if not torch.cuda.is_available():
        raise DeviceError("no CUDA device is available here. Use --device cpu or auto")
    return torch.device("cuda")


@contextmanager
def granted(context: Context) -> Iterator[None]:
    """Use what the context grants while a block is coded; restored afterwards."""
    keep_freed_memory()
    before, torch_threads = allow(context.threads), torch.get_num_threads()
    torch.set_num_threads(1)
    try:
        with jit.announced(context.notice):
            yield
    finally:
        allow(before)
        torch.set_num_threads(torch_threads)
