"""From a trained model to the file of weights that the image codec loads."""

from __future__ import annotations

import json
from dataclasses import asdict
from typing import TYPE_CHECKING, Any

from nncomp.models.fsar_tensors import checked
from nncomp.training.export import decoder_tensors, encoder_tensors, prior_counts
from nncomp.weights import pack

if TYPE_CHECKING:
    from collections.abc import Mapping, Sequence

    from numpy.typing import NDArray

    from nncomp.models.fsar import Fsar
    from nncomp.training.loop import Plan

__all__ = ["pack_model"]

_LOOKED_AT, _SIDE = 8, 1024  # pictures, and pixels each way, by which ranges are chosen


def pack_model(
    plan: Plan, model: Fsar, pictures: Sequence[NDArray[Any]], learned: Mapping[str, str]
) -> bytes:
    """Encoder, decoder and prior in whole numbers, with how they were made.

    Args:
        plan: By which it was trained.
        model: Trained, on the CPU.
        pictures: uint8[H, W, 3], some of those it was trained on.
        learned: SHA-256 of these by name.

    Raises:
        ValueError: The codec would refuse them: sizes are beyond its own.
    """
    some = [picture[:_SIDE, :_SIDE] for picture in pictures[:_LOOKED_AT]]
    tensors = encoder_tensors(model, some) | decoder_tensors(model, some)
    tensors["prior.counts"] = prior_counts(model)
    checked(tensors)
    recipe = {"plan": asdict(plan), "pictures": dict(learned)}
    return pack(tensors, {"format": "fsar 1", "recipe": json.dumps(recipe, sort_keys=True)})
