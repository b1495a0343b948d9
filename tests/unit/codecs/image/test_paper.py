"""Pictures by the model of the paper: what comes back, and what is refused."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np
import pytest

from nncomp import weights
from nncomp.codecs.image.coding import decode_picture
from nncomp.codecs.image.laws import SCALES
from nncomp.codecs.image.paper import decode_paper, encode_paper, is_paper_picture, paper_model
from nncomp.codecs.image.plates import Shape
from nncomp.errors import CorruptError, FormatError, MissingWeightsError
from nncomp.models.fsar_integer import DEVIATIONS

if TYPE_CHECKING:
    from numpy.typing import NDArray


def picture(frames: int, height: int, width: int) -> tuple[NDArray[np.uint8], Shape]:
    """Slopes with some noise."""
    rng = np.random.default_rng(1)
    y, x = np.mgrid[:height, :width]
    slopes = np.stack([60 + 3 * x + y, 200 - x - 2 * y, 100 + 2 * y])[:, None]
    noisy = slopes + rng.integers(-4, 5, (3, frames, height, width))
    return np.clip(noisy, 0, 255).astype(np.uint8), Shape(3, frames, height, width, 8)


@pytest.mark.parametrize("size", [(1, 1, 1), (1, 1, 9), (2, 17, 31), (3, 8, 8), (1, 5, 300)])
def test_pictures_come_back(size: tuple[int, int, int]) -> None:
    samples, shape = picture(*size)
    coded = encode_paper(samples, shape, paper_model(None))
    assert np.array_equal(decode_paper(memoryview(coded), shape, paper_model(None)), samples)


def test_slopes_cost_less_than_plain_samples() -> None:
    samples, shape = picture(1, 32, 48)
    assert len(encode_paper(samples, shape, paper_model(None))) < 0.9 * samples.size


def test_what_the_model_finds_improbable_comes_back_too() -> None:
    rng = np.random.default_rng(2)
    samples = (rng.integers(0, 2, (3, 1, 12, 12)) * 255).astype(np.uint8)
    shape = Shape(3, 1, 12, 12, 8)
    coded = encode_paper(samples, shape, paper_model(None))
    assert np.array_equal(decode_paper(memoryview(coded), shape, paper_model(None)), samples)


def test_damage_is_noticed_or_decodes_to_something() -> None:
    samples, shape = picture(1, 9, 10)
    coded = encode_paper(samples, shape, paper_model(None))
    for size in range(len(coded)):
        with pytest.raises((FormatError, MissingWeightsError)):
            decode_paper(memoryview(coded[:size]), shape, paper_model(None))
    for at in range(len(coded)):
        flipped = bytearray(coded)
        flipped[at] ^= 0x10
        try:
            found = decode_paper(memoryview(bytes(flipped)), shape, paper_model(None))
        except (FormatError, MissingWeightsError):
            continue
        assert found.shape == samples.shape  # checksums are the container's


def test_other_weights_are_refused() -> None:
    samples, shape = picture(1, 4, 4)
    coded = encode_paper(samples, shape, paper_model(None))
    assert coded[:8].hex() == weights.load("fsar").digest
    with pytest.raises(MissingWeightsError, match="needs the weights with digest 0000000000000000"):
        decode_paper(memoryview(bytes(8) + coded[8:]), shape, paper_model(None))


def test_pictures_of_other_shapes_by_this_model_are_refused() -> None:
    samples, shape = picture(1, 9, 10)
    data = memoryview(bytes([0, 0, 16]) + encode_paper(samples, shape, paper_model(None)))
    assert np.array_equal(decode_picture(data, shape), samples)
    for other in (shape._replace(planes=1), shape._replace(planes=4), shape._replace(depth=16)):
        with pytest.raises(CorruptError, match="not for pictures of its shape"):
            decode_picture(data, other)


def test_every_deviation_has_a_law() -> None:
    assert DEVIATIONS == SCALES


def test_for_three_colours_of_eight_bits_alone() -> None:
    assert is_paper_picture(Shape(3, 5, 2, 2, 8))
    assert not is_paper_picture(Shape(1, 1, 2, 2, 8))
    assert not is_paper_picture(Shape(3, 1, 2, 2, 16))
