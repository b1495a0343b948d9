"""The training of FSAR: steps, a checkpoint now and then, and a log.

A step draws from a generator of its own, made of the seed and the step's number, so that a
training that was interrupted goes on to the very weights that it would have come to (on a CPU
with the same number of threads).
"""

from __future__ import annotations

import json
import math
import time
import zipfile
from contextlib import contextmanager
from dataclasses import asdict, dataclass, field
from pickle import UnpicklingError
from typing import TYPE_CHECKING, Any, TextIO

import torch

from nncomp.errors import FileError, UsageError
from nncomp.models.fsar import Bits, Fsar, FsarConfig

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator
    from pathlib import Path

    from nncomp.training.pictures import Pictures

__all__ = ["CHECKPOINT", "Plan", "load_checkpoint", "train"]

CHECKPOINT = "checkpoint.pt"
_LOG = "log.jsonl"
_CLIP = 1.0  # norm of all gradients together


@dataclass(frozen=True)
class Plan:
    """What a training is; a checkpoint goes on with the same plan alone.

    Attributes:
        model: Sizes.
        steps: Updates in all.
        batch: Pieces of pictures in a step.
        size: Pixels of a piece, each way.
        rate: Of learning; it falls to 0 by a straight line over the last half.
        free: Share of the steps in which codes cost nothing, for the decoder to learn what
            they say; in the same share again their price rises. Priced from the start, they
            are given up before they are of use.
        seed: Of weights, pieces and noise.
    """

    model: FsarConfig = field(default_factory=FsarConfig)
    steps: int = 2000
    batch: int = 16
    size: int = 32
    rate: float = 3e-3
    free: float = 0.2
    seed: int = 0

    def learning_rate(self, step: int) -> float:
        """At a step."""
        return self.rate * min(1.0, 2 * (self.steps - step) / self.steps)

    def price(self, step: int) -> float:
        """What a bit of the latent counts in the loss."""
        ramp = self.free * self.steps
        return min(1.0, max(0.0, (step - ramp) / ramp)) if ramp else 1.0

    def generator(self, step: int) -> torch.Generator:
        """What a step draws from, on the CPU for the same draws on every device."""
        return torch.Generator().manual_seed((self.seed << 32) + step)


def train(
    plan: Plan,
    pictures: Pictures,
    folder: Path,
    *,
    device: str = "cpu",
    every: int = 100,
    tell: Callable[[int, float], None] | None = None,
    stopped: Callable[[], bool] = lambda: False,
) -> Fsar:
    """Train, or go on with the training in that folder.

    Args:
        plan: What to do.
        pictures: To learn from.
        folder: Gets checkpoint, log.jsonl and, where the package tensorboard is installed,
            event files.
        device: Of torch.
        every: Steps from one checkpoint and line of the log to the next.
        tell: Called after each step with its number and the bits of a sub-pixel.
        stopped: Whether to end early; there is a checkpoint then of where it ended.

    Returns:
        The model, as far as it has come.

    Raises:
        UsageError: The checkpoint is of another plan, or nothing is learned at such a rate.
        FileError: The checkpoint is damaged.
    """
    torch.manual_seed(plan.seed)
    model = Fsar(plan.model).to(device)
    optimiser = torch.optim.Adam(model.parameters(), plan.rate, betas=(0.9, 0.99))
    start = 0
    folder.mkdir(parents=True, exist_ok=True)
    if (folder / CHECKPOINT).exists():
        start = _resume(folder / CHECKPOINT, plan, model, optimiser)
    with _Log(folder, start) as log:
        for step in range(start, plan.steps):
            bits = _step(plan, step, model, optimiser, pictures, device)
            total = float(bits.total.detach())
            if not math.isfinite(total):
                raise UsageError(
                    f"step {step + 1} has come to {total} bits: take a smaller --rate, and another "
                    f"folder than {folder}, or remove it"
                )
            log.add(bits)
            if tell is not None:
                tell(step + 1, total)
            over = stopped() or step + 1 == plan.steps
            if over or (step + 1) % every == 0:
                log.write(step + 1, plan.price(step))
                _save(folder / CHECKPOINT, plan, model, optimiser, step + 1)
            if over:
                break
    return model.eval()


def _step(
    plan: Plan,
    step: int,
    model: Fsar,
    optimiser: torch.optim.Optimizer,
    pictures: Pictures,
    device: str,
) -> Bits:
    """One update."""
    generator = plan.generator(step)
    x = pictures.batch(plan.batch, generator).to(device)
    bits: Bits = model(x, generator)
    loss = bits.pixels + plan.price(step) * bits.latent + bits.extra
    optimiser.zero_grad()
    loss.backward()  # type: ignore[no-untyped-call]  # torch has no types there
    torch.nn.utils.clip_grad_norm_(model.parameters(), _CLIP)
    for group in optimiser.param_groups:
        group["lr"] = plan.learning_rate(step)
    optimiser.step()
    return bits


# --- checkpoints ---------------------------------------------------------------------


def _save(path: Path, plan: Plan, model: Fsar, optimiser: torch.optim.Optimizer, step: int) -> None:
    """Write beside it first: a training that is killed while it writes has the old one."""
    partial = path.with_suffix(".partial")
    state = {
        "plan": asdict(plan),
        "model": model.state_dict(),
        "optimiser": optimiser.state_dict(),
        "step": step,
    }
    torch.save(state, partial)
    partial.replace(path)


def load_checkpoint(path: Path) -> tuple[Plan, Fsar, dict[str, Any]]:
    """Plan, model and all else that a checkpoint holds; nothing in it is run.

    Raises:
        FileError: It is no checkpoint.
    """
    with _named(path):
        plan, state = _read(path)
        model = Fsar(plan.model)
        model.load_state_dict(state["model"])
    return plan, model.eval(), state


def _resume(path: Path, plan: Plan, model: Fsar, optimiser: torch.optim.Optimizer) -> int:
    """Load what was reached, and say how many steps that were."""
    with _named(path):
        found, state = _read(path)
    if found != plan:
        raise UsageError(
            f"{path} is of another training: {found}. Go on with the same options, or name "
            "another folder"
        )
    with _named(path):
        model.load_state_dict(state["model"])
        optimiser.load_state_dict(state["optimiser"])
        step = int(state["step"])
        if not 0 < step <= plan.steps:
            raise ValueError("it is of a step that there is not")
    return step


def _read(path: Path) -> tuple[Plan, dict[str, Any]]:
    with zipfile.ZipFile(path) as parts:
        if parts.testzip() is not None:  # torch does not look at checksums
            raise ValueError("its checksums do not match")
    state = torch.load(path, map_location="cpu", weights_only=True)
    found = dict(state["plan"])
    return Plan(**{**found, "model": FsarConfig(**found["model"])}), state


@contextmanager
def _named(path: Path) -> Iterator[None]:
    """Whatever can be wrong with a checkpoint says which file it is."""
    try:
        yield
    except (
        AttributeError,
        EOFError,
        LookupError,
        OSError,
        RuntimeError,
        TypeError,
        UnpicklingError,
        ValueError,
        zipfile.BadZipFile,
    ) as error:
        raise FileError(
            f"{path} is damaged, or no checkpoint of this version. Remove it, or name another "
            "folder"
        ) from error


# --- log -----------------------------------------------------------------------------


class _Log:
    """Means since the last line: JSON lines, and event files where there is a writer."""

    def __init__(self, folder: Path, step: int) -> None:
        self._file = _continued(folder / _LOG, step)
        self._events = _event_writer(folder, step)
        self._sums = [0.0, 0.0]
        self._count = 0
        self._start = time.monotonic()

    def __enter__(self) -> _Log:
        return self

    def __exit__(self, *_: object) -> None:
        self._file.close()
        if self._events is not None:
            self._events.close()

    def add(self, bits: Bits) -> None:
        """Another step."""
        self._count += 1
        for i, part in enumerate((bits.pixels, bits.latent)):
            self._sums[i] += float(part.detach())

    def write(self, step: int, price: float) -> None:
        """A line; nothing that tells the time goes into the weights."""
        pixels, latent = (value / self._count for value in self._sums)
        values = {"bits": pixels + latent, "pixels": pixels, "latent": latent, "price": price}
        seconds = round(time.monotonic() - self._start, 2)
        self._file.write(json.dumps({"step": step, "seconds": seconds, **values}) + "\n")
        self._file.flush()
        if self._events is not None:
            for name, value in values.items():
                self._events.add_scalar(name, value, step)
        self._sums, self._count = [0.0, 0.0], 0


def _continued(path: Path, step: int) -> TextIO:
    """A log to be added to, without what was written since the checkpoint."""
    kept = list[str]()
    if path.exists():
        lines = path.read_text(encoding="utf-8").splitlines(keepends=True)
        kept += [line for line in lines if _step_of(line) <= step]
    file = path.open("w", encoding="utf-8")
    file.writelines(kept)
    return file


def _step_of(line: str) -> float:
    """Of a line of a log; beyond all others if it was cut off while it was written."""
    try:
        return float(json.loads(line)["step"])
    except (LookupError, TypeError, ValueError):
        return math.inf


def _event_writer(folder: Path, step: int) -> Any:
    """Of TensorBoard's files; None where the package tensorboard is not installed."""
    try:
        from torch.utils.tensorboard import SummaryWriter
    except ImportError:
        return None
    return SummaryWriter(str(folder), purge_step=step)
