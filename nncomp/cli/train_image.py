"""`nncomp train-image`."""

from __future__ import annotations

import hashlib
from contextlib import contextmanager
from dataclasses import fields
from pathlib import Path
from typing import TYPE_CHECKING, Any

import click

from nncomp import files as file_rules
from nncomp.cli import options
from nncomp.errors import DeviceError, UsageError
from nncomp.text import human_size

if TYPE_CHECKING:
    from collections.abc import Callable, Iterator

    from nncomp.cli.console import Console

__all__ = ["train_image"]

_DEVICES = ("auto", "cpu", "cuda")


def _size_options(command: options.Command) -> options.Command:
    """Sizes of the model, by the names that `FsarConfig` has for them."""
    count = click.IntRange(1, 4096)
    return options.apply(
        command,
        click.option("--stride", type=click.Choice(["2", "4", "8"]), help="Pixels to a code."),
        click.option("--groups", type=click.IntRange(1, 4), help="Codes of a place."),
        click.option("--codes", type=click.IntRange(2, 256), help="Of which each is one."),
        click.option("--width", type=click.IntRange(4, 64), help="Of the layers."),
        click.option("--prior", type=click.Choice(["order0", "O1S", "O2S"]), help="State."),
        click.option("--quantiser", type=click.Choice(["STHQ", "VQ"]), help="Way to codes."),
        click.option("--steps", type=click.IntRange(1), help="Updates in all."),
        click.option("--batch", type=count, help="Pieces of pictures in an update."),
        click.option("--size", type=count, help="Pixels of a piece, each way."),
        click.option("--rate", type=click.FloatRange(1e-6, 1), help="Of learning."),
        click.option("--seed", type=click.IntRange(0, (1 << 31) - 1), help="Of all that is drawn."),
    )


@click.command("train-image")
@click.argument("pictures", nargs=-1, required=True, type=click.Path(exists=True))
@click.option("-o", "--output", "target", required=True, metavar="FILE", help="The weights.")
@click.option("-f", "--force", is_flag=True, help="Overwrite them.")
@click.option(
    "--checkpoints",
    metavar="DIR",
    help="Where the training is kept, to go on with, and its log.  [beside the weights]",
)
@click.option("--every", type=click.IntRange(1), default=100, show_default=True, help="Steps.")
@click.option("--device", type=click.Choice(_DEVICES), default="auto", show_default=True)
@click.option("-T", "--threads", type=click.IntRange(1, 1024), default=1, show_default=True)
@_size_options
@options.console_options
def train_image(
    pictures: tuple[str, ...],
    target: str,
    force: bool,
    checkpoints: str | None,
    every: int,
    device: str,
    threads: int,
    console: Console,
    **sizes: Any,
) -> int:
    """Train the image model of the paper on PICTURES, files or folders of them.

    Photographs as they come from a camera, or made smaller, are best; those stored as JPEG have
    traces of that, which go into the model. The same command goes on with a training that was
    interrupted. Its log, log.jsonl, is beside the checkpoint, and so are files for TensorBoard
    where that is installed. The result has whole numbers alone, of which any machine makes the
    same codes and probabilities. nncomp compress -m fsar:mode=paper --weights FILE takes it, and
    decompress needs it; archives name it by its SHA-256.
    """
    import torch

    from nncomp.training.loop import train
    from nncomp.training.pictures import Pictures, find_pictures, load_picture
    from nncomp.training.shipped import pack_model

    torch.set_num_threads(threads)
    plan = _plan(sizes)
    paths = find_pictures(map(Path, pictures))
    loaded = Pictures([p for path in paths for p in load_picture(path)], plan.size)
    folder = Path(checkpoints) if checkpoints else Path(f"{target}.training")
    with file_rules.atomic_output(Path(target), overwrite=force) as sink:
        with (
            file_rules.put_off_signals() as stopped,
            _progress(console, plan.steps, every) as tell,
        ):
            model = train(
                plan,
                loaded,
                folder,
                device=_device(device),
                every=every,
                tell=tell,
                stopped=stopped,
            )
            if stopped():  # the signal does its work behind this block
                console.warn(target, f"stopped; the same command goes on, from {folder}")
        learned = {path.name: hashlib.sha256(path.read_bytes()).hexdigest() for path in paths}
        packed = pack_model(plan, model.cpu(), loaded.pictures, learned)
        sink.write(packed)
    digest = hashlib.sha256(packed).hexdigest()
    console.info(f"{target}: {human_size(len(packed))}, SHA-256 {digest}")
    return 0


def _plan(sizes: dict[str, Any]) -> Any:
    """The plan that options make; those not given stay at its defaults."""
    from nncomp.models.fsar import NEIGHBOURS, FsarConfig
    from nncomp.models.fsar_tensors import check_sizes
    from nncomp.training.loop import Plan

    given = {name: value for name, value in sizes.items() if value is not None}
    if "stride" in given:
        given["stride"] = int(given["stride"])
    of_model = {field.name for field in fields(FsarConfig)} & given.keys()
    config = FsarConfig(**{name: given.pop(name) for name in of_model})
    plan = Plan(model=config, **given)
    try:
        check_sizes(config.groups, config.codes, NEIGHBOURS[config.prior])
    except ValueError as error:
        raise UsageError(f"the image codec could not use it: {error}") from error
    if plan.size % config.stride:
        raise UsageError(
            f"pieces of {plan.size} pixels do not divide into codes of {config.stride}"
        )
    return plan


def _device(name: str) -> str:
    import torch

    if name == "cuda" and not torch.cuda.is_available():
        raise DeviceError("there is no CUDA device on this machine. Use --device cpu")
    return ("cuda" if torch.cuda.is_available() else "cpu") if name == "auto" else name


@contextmanager
def _progress(console: Console, steps: int, every: int) -> Iterator[Callable[[int, float], None]]:
    """A bar of steps, where bars are shown; else what -v asks for, now and then."""
    if not console.shows_progress:
        yield (
            lambda step, bits: (
                None if step % every else console.info(f"step {step}: {bits:.3f} bits a sub-pixel")
            )
        )
        return
    import sys

    from tqdm import tqdm

    tqdm.monitor_interval = 0
    with tqdm(total=steps, unit="step", dynamic_ncols=True, leave=False, file=sys.stderr) as bar:

        def tell(step: int, bits: float) -> None:
            bar.set_postfix_str(f"{bits:.3f} bits a sub-pixel", refresh=False)
            bar.update(step - bar.n)

        yield tell
