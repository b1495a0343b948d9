"""The image model in integers: what NumPy computes is what whole numbers say."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch

from nncomp.models.fsar import Fsar, FsarConfig
from nncomp.models.fsar_integer import Decoder, Encoder, Layer, Network
from nncomp.training.export import decoder_tensors, encoder_tensors

CONFIG = FsarConfig(stride=4, groups=2, codes=5, dim=4, width=8, hidden=8)


def pure(layer: Layer, x: list[Any], before: list[Any]) -> list[Any]:
    """A layer in Python's whole numbers, without a shortcut."""
    weight, size = layer.weight.tolist(), layer.weight.shape[2]
    height, width = len(x[0]), len(x[0][0])
    factor = {"up": 2, "down": 0.5}.get(layer.kind, 1)
    result = []
    for o, bias in enumerate(layer.bias.tolist()):
        rows = []
        for y in range(int(height * factor)):
            row = []
            for column in range(int(width * factor)):
                total = bias
                for i, plane in enumerate(x):
                    for ky in range(size):
                        for kx in range(size):
                            if layer.kind == "up":
                                sy, odd_y = divmod(y + 1 - ky, 2)
                                sx, odd_x = divmod(column + 1 - kx, 2)
                                w, skip = weight[i][o][ky][kx], odd_y or odd_x
                            else:
                                step, margin = int(1 / factor), (size - 1) // 2
                                sy, sx = step * y + ky - margin, step * column + kx - margin
                                w, skip = weight[o][i][ky][kx], 0
                            if not skip and 0 <= sy < height and 0 <= sx < width:
                                total += w * plane[sy][sx]
                value = total * int(layer.multiplier[o]) + (1 << int(layer.shift[o]) - 1)
                value >>= int(layer.shift[o])
                if layer.kind == "residual":
                    value += before[o][y][column]
                row.append(min(max(value, int(layer.low[o])), int(layer.high[o])))
            rows.append(row)
        result.append(rows)
    return result


def pure_network(network: Network, x: list[Any]) -> list[Any]:
    before = x
    for layer in network.layers:
        before, x = x, pure(layer, x, before)
    return x


@pytest.fixture(scope="module")
def model() -> Fsar:
    torch.manual_seed(5)
    return Fsar(CONFIG).eval()


@pytest.fixture(scope="module")
def picture() -> np.ndarray[Any, Any]:
    return np.random.default_rng(6).integers(0, 256, (24, 20, 3)).astype(np.uint8)


@pytest.fixture(scope="module")
def tensors(model: Fsar, picture: np.ndarray[Any, Any]) -> dict[str, Any]:
    return encoder_tensors(model, [picture]) | decoder_tensors(model, [picture])


def test_the_decoder_is_what_pure_integers_give(tensors: dict[str, Any]) -> None:
    decoder = Decoder(tensors)
    codes = np.random.default_rng(7).integers(0, 5, (2, 3, 2))
    vectors = [
        [[int(decoder.codes[g, codes[g, y, x], d]) for x in range(2)] for y in range(3)]
        for g in range(2)
        for d in range(CONFIG.dim)
    ]
    laws = pure_network(decoder.network, vectors)
    means, scales = decoder(codes)
    assert decoder.stride == 4
    assert means.shape == scales.shape == (3, 12, 8)
    assert means.tolist() == laws[:3]
    assert scales.tolist() == laws[3:]
    assert [layer.kind for layer in decoder.network.layers] == [
        "conv",
        "conv",
        "residual",
        "up",
        "up",
    ]


def test_the_encoder_is_what_pure_integers_give(tensors: dict[str, Any]) -> None:
    encoder = Encoder(tensors)
    picture = np.random.default_rng(8).integers(0, 256, (8, 4, 3)).astype(np.uint8)
    scores = pure_network(encoder.network, (picture.transpose(2, 0, 1).astype(int) - 128).tolist())
    codes = np.array(scores).reshape(2, 5, 2, 1).argmax(axis=1)
    assert encoder(picture).tolist() == codes.tolist()


def test_integers_do_as_float_does(
    model: Fsar, tensors: dict[str, Any], picture: np.ndarray[Any, Any]
) -> None:
    x = torch.from_numpy(picture.transpose(2, 0, 1).astype(np.float32))[None]
    codes = Encoder(tensors)(picture)
    assert (codes == model.indices(x)[0].numpy()).mean() > 0.9
    chosen = torch.nn.functional.one_hot(torch.from_numpy(codes.astype(np.int64)), 5)
    with torch.no_grad():
        quantised = model.quantiser.look_up(chosen.movedim(-1, 1)[None].float())
        mean, log_scale = model.decode(quantised)
    means, scales = Decoder(tensors)(codes)
    held = mean[0].clamp(0, 255).numpy()
    assert np.abs(means / 4 - held).max() < 2
    assert np.abs(scales - 8 * (log_scale[0].numpy() / np.log(2) + 4)).max() < 2


@pytest.mark.parametrize("size", [(1, 1), (1, 9), (17, 31)])
def test_pictures_of_any_size_have_codes(tensors: dict[str, Any], size: tuple[int, int]) -> None:
    codes = Encoder(tensors)(np.full((*size, 3), 200, np.uint8))
    assert codes.shape == (2, -(-size[0] // 4), -(-size[1] // 4))
    assert codes.max() < 5
    means, _ = Decoder(tensors)(codes)
    assert means.shape[1] >= size[0]


def test_a_layer_that_could_be_inexact_is_refused(tensors: dict[str, Any]) -> None:
    wide = {**tensors, "decoder.0.weight": np.ones((8, 115, 3, 3), np.int8)}
    with pytest.raises(ValueError, match="1035 products"):
        Decoder(wide)
