"""The loop of all neural codecs: predict, code, learn, segment by segment.

A segment is T steps of all lanes. Its T * L bytes are predicted with the same weights;
then the weights are updated once. The encoder knows the bytes and computes the segment
at once. The decoder computes it step by step, each step from the bytes decoded before
it, and then, knowing the bytes too, learns from the segment exactly as the encoder did.
"""

from __future__ import annotations

import time
from contextlib import contextmanager, suppress
from dataclasses import dataclass
from typing import TYPE_CHECKING

import numpy as np
import torch
from torch import Tensor

from nncomp.codecs.neural.lanes import Layout
from nncomp.codecs.neural.memory import MixedDecoder
from nncomp.codecs.neural.sections import SectionReader, SectionWriter, section_steps
from nncomp.codecs.neural.steps import CompiledSteps, TorchSteps, on_host
from nncomp.codecs.parallel import behind
from nncomp.coding import jit
from nncomp.errors import DeviceError
from nncomp.exact.adam import Adam, AdamConfig
from nncomp.exact.layers import backpropagate, refresh
from nncomp.exact.ops import backend
from nncomp.exact.stepper import Stepper
from nncomp.exact.threads import allow
from nncomp.memory import keep_freed_memory

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from numpy.typing import NDArray

    from nncomp.codecs.base import Context
    from nncomp.codecs.neural.stage import Decoding, Encoding
    from nncomp.models.byte_model import ByteModel, State

__all__ = ["WAITING", "Loop", "Training", "choose_device", "granted"]

WAITING = 4
"""How many portions of rows the encoder's network may be ahead of the coder."""


# Bytes that make a portion: threads that take turns too often only wait.
_TOGETHER = 1 << 11


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
        self.progress = progress
        self._adam = Adam(model.parameters(), training.adam)
        self._done = 0
        self.seconds = {"network": 0.0, "coding": 0.0}

    @property
    def lanes(self) -> int:
        """How many lanes a block is cut into."""
        return self._model.lanes

    def encode(self, data: NDArray[np.uint8], stage: Encoding) -> bytes:
        """The payload of one block.

        Args:
            data: uint8[size].
            stage: Codes the bytes; in a thread of its own, a little behind the network.
        """
        layout = Layout(len(data), self._model.lanes)
        matrix = layout.split(data)
        history = self._history(layout.steps)
        history[:, self._model.context :] = torch.from_numpy(matrix).to(self._device)
        sections = SectionWriter()
        state = self._model.start()

        def code(rows: NDArray[np.int32], symbols: NDArray[np.uint8], last: bool | None) -> None:
            with self.timed("coding"):
                stage.encode(rows, symbols)
                sections.update(symbols.tobytes())
                if last is not None:
                    sections.add(stage.finish(), last)

        rows: list[NDArray[np.int32]] = []
        coded = 0
        with behind(code, WAITING) as later:
            for start, stop, last in self._segments(layout):
                with self.timed("network"):
                    weights, state = self._learn(history, state, layout, start, stop)
                    rows.append(_in_order(weights, layout, start, stop))
                if last is not None or (stop - coded) * layout.lanes >= _TOGETHER:
                    symbols = matrix[:, coded:stop].T.reshape(-1)[: layout.coded(coded, stop)]
                    later(np.concatenate(rows), symbols, last)
                    rows, coded = [], stop
                self.progress(layout.coded(start, stop))
        return sections.payload()

    def decode(self, payload: memoryview, size: int, stage: Decoding) -> NDArray[np.uint8]:
        """The bytes of one block, uint8[size].

        Raises:
            CorruptError: The payload is not what `encode` writes.
        """
        layout = Layout(size, self._model.lanes)
        history = self._history(layout.steps)
        sections = SectionReader(payload)
        state = self._model.start()
        steps = self._steps(stage, history)
        length = section_steps(layout.lanes, self._training.segment)
        for start, stop, last in self._segments(layout):
            with self.timed("coding"):
                if start % length == 0:
                    stage.begin(sections.next(last=start + length >= layout.steps))
                sections.update(steps.decode(layout, start, stop, state).tobytes())
                if last is not None:
                    stage.finish()
                    sections.check()
            with self.timed("network"):
                _, state = self._learn(history, state, layout, start, stop)
                steps.refresh()
            self.progress(layout.coded(start, stop))
        matrix = history[:, self._model.context :].to("cpu", torch.uint8).numpy()
        return layout.join(matrix)

    def _steps(self, stage: Decoding, history: Tensor) -> CompiledSteps | TorchSteps:
        """How the steps of a segment are computed: in one call, if stage and model can."""
        if isinstance(stage, MixedDecoder) and self._device.type == "cpu":
            stepper = Stepper(self._model.lanes, self._model.context)
            with suppress(NotImplementedError):  # no model has to: torch can do any of them
                self._model.write(stepper)
                return CompiledSteps(stage, stepper, history)
        return TorchSteps(stage, self._model, history)

    def learned(self) -> tuple[Tensor, ...]:
        """A copy of all that was learned so far; see `forget`."""
        return (torch.tensor(self._done), *self._adam.learned())

    def forget(self, learned: tuple[Tensor, ...]) -> None:
        """Go back to what `learned` gave."""
        self._done = int(learned[0])
        self._adam.forget(learned[1:])
        refresh(self._model)

    @contextmanager
    def timed(self, part: str) -> Iterator[None]:
        """Count the time that this takes, as "network" or "coding"."""
        start = time.perf_counter()
        yield
        self.seconds[part] += time.perf_counter() - start

    def shares(self, coding: str) -> str:
        """Where the time went, for people; `coding` names what is not the network alone."""
        network, other = self.seconds["network"], self.seconds["coding"]
        total = max(network + other, 1e-9)
        return (
            f"time: network {network:.1f} s ({network / total:.0%}), "
            f"{coding} {other:.1f} s ({other / total:.0%})"
        )

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

    def _learn(
        self, history: Tensor, state: State, layout: Layout, start: int, stop: int
    ) -> tuple[Tensor, State]:
        """Predict the steps start..stop, then update the weights from their bytes.

        Returns:
            int32[L * T, 256] weights of the softmax from before the update, lane by lane,
            and the state after.
        """
        ops = backend(self._device)
        logits, state = self._model(history[:, start : stop + self._model.context - 1], state)
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
        return weights, state


def _in_order(weights: Tensor, layout: Layout, start: int, stop: int) -> NDArray[np.int32]:
    """int32[n, 256] frequencies in coding order, of weights lane by lane."""
    rows = on_host(weights).reshape(layout.lanes, stop - start, -1)
    return rows.transpose(1, 0, 2).reshape(-1, rows.shape[2])[: layout.coded(start, stop)]


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
