"""What the neural loop asks of an architecture."""

from __future__ import annotations

from typing import TYPE_CHECKING, TypeAlias

from torch import Tensor, nn

if TYPE_CHECKING:
    from nncomp.exact.stepper import Stepper

__all__ = ["ByteModel", "State"]

State: TypeAlias = tuple[Tensor, ...]


class ByteModel(nn.Module):
    """Predicts the next byte of every lane from the bytes before it.

    Built from `nncomp.exact` alone, and row-wise: what is predicted for a lane at a
    step depends on the weights and on that lane's bytes before the step, never on how
    many steps or lanes are computed together.

    Attributes:
        context: How many bytes before a step the forward pass reads, C.
        lanes: How many lanes it is built for, L.
    """

    context: int
    lanes: int

    def start(self) -> State:
        """What the model remembers before the first step, besides its weights."""
        return ()

    def write(self, stepper: Stepper) -> None:
        """Write the forward pass down as steps, for decoders of few lanes.

        Raises:
            NotImplementedError: The model, or this form of it, is not available so.
        """
        raise NotImplementedError  # then decoders go by `forward`

    def forward(self, history: Tensor, state: State) -> tuple[Tensor, State]:
        """Predict T steps.

        Args:
            history: (L, C + T - 1) int64, the bytes up to the one before the last step.
            state: From `start`, or from the call for the steps just before.

        Returns:
            Logits (L * T, 256) float32, lane by lane, and the state after the T steps,
            detached.
        """
        raise NotImplementedError  # every architecture has its own
