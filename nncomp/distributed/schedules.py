"""How bounds fall over the iterations of training: factors, as pure functions.

Early in training larger errors do no harm, so a bound starts at `c` times its base and has
come down to it at iteration `E`; every schedule is 1 from there on. With i for the iteration,
counted from 0, and i < E:

    constant   c
    linear     c (1 - (i/E) (1 - 1/c))
    log        c ((1 - ln(1 + (i/E) (e - 1))) (1 - 1/c) + 1/c)
    step       c (1 - (floor(10 i/E) / 10) (1 - 1/c))

`linear` falls evenly, `log` faster at first, `step` in ten equal steps, and `constant` at
once, at E. They are those of Feng et al. (SC'24), arXiv:2407.04272, with the constants of the
released scripts as defaults.
"""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import TYPE_CHECKING

from nncomp.errors import UsageError

if TYPE_CHECKING:
    from collections.abc import Callable

__all__ = ["SCHEDULES", "Schedule", "constant", "linear", "log", "step"]


def constant(iteration: int, until: int, start: float) -> float:
    """`start` before iteration `until`, then 1."""
    return start if iteration < until else 1.0


def linear(iteration: int, until: int, start: float) -> float:
    """c (1 - (i/E) (1 - 1/c)), then 1.

    Args:
        iteration: i, from 0.
        until: E, the iteration from which the factor is 1.
        start: c, the factor at iteration 0.
    """
    if iteration >= until:
        return 1.0
    return start * (1 - iteration / until * (1 - 1 / start))


def log(iteration: int, until: int, start: float) -> float:
    """c ((1 - ln(1 + (i/E) (e - 1))) (1 - 1/c) + 1/c), then 1; arguments as of `linear`."""
    if iteration >= until:
        return 1.0
    left = 1 - math.log1p(iteration / until * (math.e - 1))
    return start * (left * (1 - 1 / start) + 1 / start)


def step(iteration: int, until: int, start: float) -> float:
    """c (1 - (floor(10 i/E) / 10) (1 - 1/c)), then 1; arguments as of `linear`."""
    if iteration >= until:
        return 1.0
    return start * (1 - 10 * iteration // until / 10 * (1 - 1 / start))


SCHEDULES: dict[str, Callable[[int, int, float], float]] = {
    "constant": constant,
    "linear": linear,
    "log": log,
    "step": step,
}
"""By their names."""


@dataclass(frozen=True)
class Schedule:
    """A schedule with its constants; called with an iteration, it gives the factor.

    Args:
        name: One of `SCHEDULES`.
        start: c, the factor at iteration 0, at least 1; 1 leaves the bounds as they are.
        until: E, the iteration from which the factor is 1, at least 1.

    Raises:
        UsageError: Of the arguments.
    """

    name: str = "constant"
    start: float = 2.0
    until: int = 65_536

    def __post_init__(self) -> None:
        if self.name not in SCHEDULES:
            raise UsageError(f"no schedule {self.name!r}: there are {', '.join(SCHEDULES)}")
        if not 1 <= self.start < math.inf:
            raise UsageError(f"a schedule starts with a factor of 1 or more, not {self.start}")
        if self.until < 1:
            raise UsageError(f"a schedule goes on until iteration 1 or later, not {self.until}")

    def __call__(self, iteration: int) -> float:
        """The factor at an iteration, counted from 0."""
        if iteration < 0:
            raise UsageError(f"iterations are counted from 0: {iteration} is none")
        return SCHEDULES[self.name](iteration, self.until, self.start)
