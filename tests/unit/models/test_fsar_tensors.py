"""Tensors that are a model, and all the ways in which they are not."""

from __future__ import annotations

from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

from nncomp import weights
from nncomp.models.fsar_integer import Decoder, Encoder
from nncomp.models.fsar_tensors import Sizes, check_sizes, checked

if TYPE_CHECKING:
    from collections.abc import Callable

    from numpy.typing import NDArray

    Array = NDArray[Any]

SHIPPED = weights.load("fsar").tensors


def test_the_shipped_model_is_one() -> None:
    assert checked(SHIPPED) == Sizes(stride=2, groups=2, codes=32, neighbours=2)


@pytest.mark.parametrize("name", SHIPPED)
def test_a_tensor_that_is_missing_is_named(name: str) -> None:
    with pytest.raises(ValueError, match=r"it has no|layers|kind|inputs"):
        checked({key: value for key, value in SHIPPED.items() if key != name})


@pytest.mark.parametrize("name", SHIPPED)
@pytest.mark.parametrize(
    "change",
    [
        lambda x: x.astype(np.float32),
        lambda x: x[None],
        lambda x: x[:0],
        lambda x: np.concatenate([x, x]),
        lambda x: x.ravel()[:1].reshape(()),
    ],
    ids=["float", "axis", "empty", "twice", "scalar"],
)
def test_other_types_and_shapes_are_refused(name: str, change: Callable[[Array], Array]) -> None:
    with pytest.raises(ValueError, match=r"."):
        checked({**SHIPPED, name: change(SHIPPED[name])})


@pytest.mark.parametrize(
    ("name", "value"),
    [
        ("encoder.groups", 3),
        ("encoder.0.kind", 0),
        ("encoder.0.kind", 200),
        ("encoder.0.weight", -128),
        ("encoder.0.shift", 0),
        ("encoder.0.shift", 32),
        ("encoder.1.multiplier", 0),
        ("encoder.1.multiplier", (1 << 15) + 1),
        ("encoder.1.low", -129),
        ("encoder.1.high", 128),
        ("encoder.1.high", -1),
        ("encoder.3.high", (1 << 24) + 1),
        ("encoder.3.low", -(1 << 24) - 1),
        ("decoder.3.low", -1),
        ("decoder.3.high", 1021),
        ("prior.counts", 0),
        ("prior.counts", 31),
    ],
)
def test_numbers_out_of_range_are_refused(name: str, value: int) -> None:
    changed = np.full_like(SHIPPED[name], value)
    with pytest.raises(ValueError, match=name.split(".")[0]):
        checked({**SHIPPED, name: changed})


def test_a_layer_too_many_is_refused() -> None:
    more = {
        f"decoder.4.{field}": SHIPPED[f"decoder.3.{field}"]
        for field in ("kind", "weight", "bias", "multiplier", "shift", "low", "high")
    }
    with pytest.raises(ValueError, match="more layers"):
        checked({**SHIPPED, **more})


def test_layers_that_do_not_fit_are_refused() -> None:
    with pytest.raises(ValueError, match=r"encoder\.2 takes"):
        checked({**SHIPPED, "encoder.2.weight": SHIPPED["encoder.2.weight"][:, :31]})


def test_sizes_that_take_too_much_memory_are_refused() -> None:
    check_sizes(2, 256, 1)
    check_sizes(4, 89, 2)
    with pytest.raises(ValueError, match="89 codes would do"):
        check_sizes(1, 90, 2)
    with pytest.raises(ValueError, match="more than 512"):
        check_sizes(4, 129, 0)


def test_layers_in_bands_are_layers() -> None:
    """Pictures of any height: bands of rows meet without a seam."""
    picture = np.random.default_rng(1).integers(0, 256, (70, 22, 3)).astype(np.uint8)
    encoder, decoder = Encoder(SHIPPED), Decoder(SHIPPED)
    codes = encoder(picture)
    assert np.array_equal(encoder(picture[:40])[:, :15], codes[:, :15])
    means, numbers = decoder(codes)
    assert means.shape == numbers.shape == (3, 70, 22)
    upper = decoder(codes[:, :20])[0]
    assert np.array_equal(upper[:, :30], means[:, :30])
