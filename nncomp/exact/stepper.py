"""A model's forward pass for one row at a time, in one compiled call: for decoders.

A decoder of few lanes computes row after row, each when the byte before it is known. Torch
takes longer to start the operations of such a row than to do them. So a model can write its
forward pass down as a list of operations on one vector of numbers, its arena; `run` goes
through the list. Every operation is done by the kernel that also does it for whole segments,
or in the same order, so that the bits are the same.

    EMBED      dst, back, count, width, table, turned
    WORDS      dst, count, width, table
    LINEAR     dst, src, rows, inputs, outputs, matrix, numbers (scales, biases), activation
    GELU       dst, src, count
    NORM       dst, src, count, numbers (gains, biases)
    MEAN       dst, src, src2, count
    TRANSPOSE  dst, src, rows, columns

`dst` and `src` are places in the arena. The arena stays from step to step: a model keeps
caches there. Without `turned`, EMBED puts the vectors of `count` bytes, the oldest of them
`back` bytes before the one to be predicted, one after the other; turned, it puts the first
numbers of all bytes first. WORDS puts the vectors of `count` words, the newest first.
"""

from __future__ import annotations

from typing import TYPE_CHECKING, Any, NamedTuple

import numpy as np
import torch
from numpy.typing import NDArray

from nncomp.coding.jit import kernel
from nncomp.exact import kernels
from nncomp.exact.layers import EPS, LayerNorm, Linear
from nncomp.exact.words import SPAN, words_before

if TYPE_CHECKING:
    from collections.abc import Callable

    from torch import Tensor

__all__ = ["Program", "Stepper", "run"]

Array = NDArray[Any]

EMBED, WORDS, LINEAR, GELU, NORM, MEAN, TRANSPOSE = range(7)
_FIELDS = 9


class Program(NamedTuple):
    """What `run` goes through, and its room.

    Attributes:
        ops: int64[n, 9], see the module.
        matrices: int8, all matrices, row by row.
        numbers: float32, all vectors and tables.
        arena: float32[L, size], one for each lane.
        integers, scales, sums: Room for one LINEAR.
        result: Where in the arena the logits are.
        context: How many bytes a step reads.
        weights: int32[1, 256], of the softmax of the last run.
    """

    ops: Array
    matrices: Array
    numbers: Array
    arena: Array
    integers: Array
    scales: Array
    sums: Array
    result: int
    context: int
    weights: Array


class Stepper:
    """Writes a program, and keeps its weights up to date."""

    def __init__(self, lanes: int, context: int) -> None:
        self._lanes = lanes
        self._context = context
        self._ops: list[tuple[int, ...]] = []
        self._size = 0
        self._room = [1, 1, 1]
        self._matrices: list[tuple[int, Callable[[], Tensor]]] = []
        self._numbers: list[tuple[int, Callable[[], Tensor]]] = []
        self._result = 0
        self._program: Program | None = None

    def room(self, count: int) -> int:
        """A place in the arena."""
        self._size += count
        return self._size - count

    def numbers(self, count: int, make: Callable[[], Tensor]) -> int:
        """Where the numbers will be that `make` gives after each update."""
        return _note(self._numbers, count, make)

    def matrix(self, count: int, make: Callable[[], Tensor]) -> int:
        """Where the integers will be that `make` gives after each update."""
        return _note(self._matrices, count, make)

    def embed(self, table: int, width: int, back: int, count: int, turned: bool = False) -> int:
        """Vectors of bytes."""
        dst = self.room(count * width)
        self._add(EMBED, dst, back, count, width, table, int(turned))
        return dst

    def words(self, table: int, width: int, count: int) -> int:
        """Vectors of words."""
        dst = self.room(count * width)
        self._add(WORDS, dst, count, width, table)
        return dst

    def linear(self, src: int, layer: Linear, dst: int | None = None) -> int:
        """A layer of the model."""
        outputs, inputs = layer.weight.shape
        matrix = self.matrix(outputs * inputs, lambda: layer.q)
        scales = self.numbers(outputs, lambda: layer.scale)
        self.numbers(outputs, lambda: layer.bias)
        return self.product(src, (1, inputs, outputs), matrix, scales, layer.activation, dst)

    def product(
        self,
        src: int,
        sizes: tuple[int, int, int],
        matrix: int,
        numbers: int,
        activation: bool = False,
        dst: int | None = None,
    ) -> int:
        """Rows times a matrix; sizes are rows, inputs, outputs."""
        rows, inputs, outputs = sizes
        dst = self.room(rows * outputs) if dst is None else dst
        needed = (rows * inputs, rows, rows * outputs)
        self._room = [max(*both) for both in zip(self._room, needed, strict=True)]
        self._add(LINEAR, dst, src, *sizes, matrix, numbers, int(activation))
        return dst

    def gelu(self, src: int, count: int) -> int:
        """GELU, logistic form."""
        dst = self.room(count)
        self._add(GELU, dst, src, count)
        return dst

    def norm(self, src: int, layer: LayerNorm) -> int:
        """Layer norm."""
        count = layer.gain.shape[0]
        gains = self.numbers(count, lambda: layer.gain)
        self.numbers(count, lambda: layer.bias)
        dst = self.room(count)
        self._add(NORM, dst, src, count, gains)
        return dst

    def mean(self, src: int, src2: int, count: int, dst: int | None = None) -> int:
        """(a + b) / 2."""
        dst = self.room(count) if dst is None else dst
        self._add(MEAN, dst, src, src2, count)
        return dst

    def transpose(self, dst: int, src: int, rows: int, columns: int) -> None:
        """A matrix turned; with one row, a copy."""
        self._add(TRANSPOSE, dst, src, rows, columns)

    def logits(self, src: int) -> None:
        """Where the result is: 256 numbers."""
        self._result = src

    def _add(self, *fields: int) -> None:
        self._ops.append(fields + (0,) * (_FIELDS - len(fields)))

    def program(self) -> Program:
        """The program, with empty caches and the weights as they are now."""
        self._program = Program(
            ops=np.array(self._ops, np.int64),
            matrices=np.zeros(_total(self._matrices), np.int8),
            numbers=np.zeros(_total(self._numbers), np.float32),
            arena=np.zeros((self._lanes, self._size), np.float32),
            integers=np.zeros(self._room[0], np.int8),
            scales=np.zeros(self._room[1], np.float32),
            sums=np.zeros(self._room[2], np.int32),
            result=self._result,
            context=self._context,
            weights=np.zeros((1, 256), np.int32),
        )
        self.refresh()
        return self._program

    def refresh(self) -> None:
        """Take over the model's weights, after an update."""
        if self._program is None:
            raise ValueError("there is no program yet")
        with torch.no_grad():
            for sources, target in (
                (self._matrices, self._program.matrices),
                (self._numbers, self._program.numbers),
            ):
                at = 0
                for count, make in sources:
                    target[at : at + count] = make().reshape(-1).numpy()
                    at += count


def _total(sources: list[tuple[int, Callable[[], Tensor]]]) -> int:
    return sum(count for count, _ in sources)


def _note(
    sources: list[tuple[int, Callable[[], Tensor]]], count: int, make: Callable[[], Tensor]
) -> int:
    at = _total(sources)
    sources.append((count, make))
    return at


@kernel
def run(p: Program, lane: int, history: Array) -> None:
    """One step of one lane: `p.weights` from int64[C] bytes, the newest last."""
    x = p.arena[lane]
    for op in p.ops:
        kind, dst, src = op[0], op[1], op[2]
        if kind == EMBED:
            _embed(p, x, op, history)
        elif kind == WORDS:
            _words(p, x, op, history)
        elif kind == LINEAR:
            _linear(p, x, op)
        elif kind == GELU:
            n = op[3]
            kernels.gelu(0, 1, x[src : src + n].reshape(1, n), x[dst : dst + n].reshape(1, n))
        elif kind == NORM:
            _norm(p, x, op)
        elif kind == MEAN:
            a, b, y = x[src : src + op[4]], x[op[3] : op[3] + op[4]], x[dst : dst + op[4]]
            for i in range(y.shape[0]):
                y[i] = (a[i] + b[i]) * np.float32(0.5)
        else:
            rows, columns = op[3], op[4]
            for i in range(rows):
                for j in range(columns):
                    x[dst + j * rows + i] = x[src + i * columns + j]
    logits = x[p.result : p.result + 256].reshape(1, 256)
    kernels.softmax_weights(0, 1, logits, p.weights)


@kernel
def _embed(p: Program, x: Array, op: Array, history: Array) -> None:
    dst, back, count, width, table, turned = op[1], op[2], op[3], op[4], op[5], op[6]
    for i in range(count):
        row = table + history[history.shape[0] - back + i] * width
        for j in range(width):
            x[dst + (j * count + i if turned else i * width + j)] = p.numbers[row + j]


@kernel
def _words(p: Program, x: Array, op: Array, history: Array) -> None:
    dst, count, width, table = op[1], op[2], op[3], op[4]
    rows = np.empty(count, np.int64)
    words_before(history[history.shape[0] - SPAN :], rows)
    for i in range(count):
        row = table + rows[i] * width
        for j in range(width):
            x[dst + i * width + j] = p.numbers[row + j]


@kernel
def _linear(p: Program, x: Array, op: Array) -> None:
    dst, src, rows, inputs, outputs = op[1], op[2], op[3], op[4], op[5]
    q = p.integers[: rows * inputs].reshape(rows, inputs)
    scale = p.scales[:rows]
    matrix = p.matrices[op[6] : op[6] + outputs * inputs].reshape(outputs, inputs)
    sums = p.sums[: rows * outputs].reshape(rows, outputs)
    column = p.numbers[op[7] : op[7] + outputs]
    bias = p.numbers[op[7] + outputs : op[7] + 2 * outputs]
    source = x[src : src + rows * inputs].reshape(rows, inputs)
    kernels.quantise_rows(0, rows, source, op[8] != 0, q, scale)
    for i in range(rows):
        for j in range(outputs):
            left, right = q[i], matrix[j]
            total = np.int32(0)
            for k in range(left.shape[0]):
                total += np.int32(left[k]) * np.int32(right[k])
            sums[i, j] = total
    y = x[dst : dst + rows * outputs].reshape(rows, outputs)
    kernels.rescale(0, rows, sums, scale, column, bias, y)


@kernel
def _norm(p: Program, x: Array, op: Array) -> None:
    dst, src, n, gains = op[1], op[2], op[3], op[4]
    gain, bias = p.numbers[gains : gains + n], p.numbers[gains + n : gains + 2 * n]
    source, y = x[src : src + n].reshape(1, n), x[dst : dst + n].reshape(1, n)
    centre, scale = np.empty(1, np.float32), np.empty(1, np.float32)
    kernels.layer_norm(0, 1, source, gain, bias, EPS, y, centre, scale)
