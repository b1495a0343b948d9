"""A picture by the model of the paper: codes, and for each sample a normal law that they tell.

    picture = digest of the weights, 8 bytes;
              for each group of codes: varint size, stream of `coding.tans`;
              stream of residuals as in `stream`

The codes of a group stand in one grid, frames below one another; how many neighbours are their
state is seen from the tables of the weights, two for those that are shipped. Planes are green,
red and blue. The law of a sample is normal, with number i as in `laws`; its residual is what it
is more than its mean (q + 2) >> 2, modulo 256, where q is in quarters, and its phase (q + 2) mod
4. The network sees tiles of 256 x 256 pixels, each alone, which bounds its memory.
"""

from __future__ import annotations

from dataclasses import dataclass
from functools import cache, lru_cache
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

from nncomp import weights
from nncomp.codecs.image.laws import PHASES, SCALES
from nncomp.codecs.image.stream import Reader, Writer, plane_coder
from nncomp.coding.tans import decode_grid, encode_grid
from nncomp.coding.varint import Text, pack_varint, unpack_varint
from nncomp.errors import FileError, MissingWeightsError
from nncomp.models.fsar_integer import Decoder, Encoder
from nncomp.models.fsar_tensors import checked

if TYPE_CHECKING:
    from collections.abc import Iterator

    from nncomp.codecs.image.kernels import Coder
    from nncomp.codecs.image.plates import Array, Shape

_Place: TypeAlias = tuple[slice, slice]

__all__ = ["PaperModel", "decode_paper", "encode_paper", "is_paper_picture", "paper_model"]

_WEIGHTS = "fsar"
_DIGEST = 8  # bytes
_TILE = 256  # a multiple of the stride
_COLOURS = (1, 0, 2)  # of planes; and planes of colours
_DEPTH = 8
_HALF = 1 << _DEPTH - 1


def is_paper_picture(shape: Shape) -> bool:
    """Whether the model is for such pictures: three colours of 8 bits."""
    return shape.planes == len(_COLOURS) and shape.depth == _DEPTH


@dataclass(frozen=True)
class PaperModel:
    """What weights stand for.

    Attributes:
        digest: Of the weights.
        encoder, decoder: The networks.
        counts: Of the tables, uint16[G, states, K + 1].
        order: Neighbours that are the state of a code.
    """

    digest: bytes
    encoder: Encoder
    decoder: Decoder
    counts: Array
    order: int


@lru_cache(maxsize=2)
def paper_model(given: weights.Weights | None) -> PaperModel:
    """The model of weights, by default of those that are shipped.

    Raises:
        FileError: These are weights of something else, or of a model that is too large.
    """
    found = given or weights.load(_WEIGHTS)
    try:
        sizes = checked(found.tensors)
    except ValueError as error:
        raise FileError(
            f"the weights with SHA-256 {found.sha256.hex()} are no model of pictures: {error}. "
            "Take a file that nncomp train-image made"
        ) from error
    digest, tensors = bytes.fromhex(found.digest), found.tensors
    networks = Encoder(tensors), Decoder(tensors)
    return PaperModel(digest, *networks, tensors["prior.counts"], sizes.neighbours)


@cache
def _normal_laws() -> Coder:
    """By number of the deviation and phase."""
    return plane_coder(np.arange(SCALES), _DEPTH)


def encode_paper(samples: Array, shape: Shape, model: PaperModel) -> bytes:
    """The bytes of a picture.

    Args:
        samples: uint8[3, frames, height, width].
        shape: Its shape, see `is_paper_picture`.
        model: That codes it.
    """
    encoder = model.encoder
    colours = samples[list(_COLOURS)].transpose(1, 2, 3, 0)
    codes = np.empty((encoder.groups, *_grid(shape, encoder.stride)), np.uint8)
    for frame, tile, part in _tiles(shape, encoder.stride):
        codes[:, frame][:, part[0], part[1]] = encoder(colours[frame][tile])
    head = [model.digest]
    for of_group, counts in zip(codes, model.counts, strict=True):
        grid = np.ascontiguousarray(of_group.reshape(-1, of_group.shape[2]))
        stream = encode_grid(grid, counts.astype(np.int64), model.order)
        head += [pack_varint(len(stream)), stream]
    means, contexts = _laws(model.decoder, codes, shape)
    residuals = (samples.reshape(means.shape) - means + _HALF & 2 * _HALF - 1) - _HALF
    writer = Writer(shape.samples)
    for of_plane, of_residuals in zip(contexts[::-1], residuals[::-1], strict=True):
        writer.push(of_plane, of_residuals, _normal_laws(), _DEPTH)
    return b"".join([*head, writer.finish()])


def decode_paper(payload: memoryview, shape: Shape, model: PaperModel) -> Array:
    """The samples of a picture, uint8[3, frames, height, width].

    Args:
        payload: What `encode_paper` gave.
        shape: Of the picture.
        model: That it was coded by.

    Raises:
        CorruptError: There is no such picture.
        MissingWeightsError: It was made with other weights.
    """
    text = Text(bytes(payload), 0)
    digest = text.take(_DIGEST)
    if digest != model.digest:
        raise MissingWeightsError(
            f"a picture needs the weights with digest {digest.hex()}, and there are those with "
            f"{model.digest.hex()}. Give the file that it was made with by --weights, or weights= "
            "in Python"
        )
    frames, rows, columns = _grid(shape, model.decoder.stride)
    grids = []
    for counts in model.counts:
        stream = text.take(unpack_varint(text))
        size = frames * rows, columns
        grids.append(decode_grid(stream, size, counts.astype(np.int64), model.order))
    codes = np.stack(grids).reshape(len(grids), frames, rows, columns)
    means, contexts = _laws(model.decoder, codes, shape)
    reader = Reader(payload[text.offset :])
    samples = np.empty(means.shape, np.uint8)
    for of_plane, mean, out in zip(contexts, means, samples, strict=True):  # wide ones one by one
        out[:] = reader.known(of_plane, _normal_laws()) + mean & 2 * _HALF - 1
    reader.end()
    return samples.reshape(shape.planes, shape.frames, shape.height, shape.width)


def _laws(decoder: Decoder, codes: Array, shape: Shape) -> tuple[Array, Array]:
    """Means int32 and contexts uint16, both [planes, frames * height, width].

    Args:
        decoder: Of the model.
        codes: uint8[G, frames, h, w].
        shape: Of the picture.
    """
    quarters = np.empty((shape.planes, shape.frames, shape.height, shape.width), np.int32)
    contexts = np.empty(quarters.shape, np.uint16)
    for frame, tile, part in _tiles(shape, decoder.stride):
        means, numbers = decoder(codes[:, frame][:, part[0], part[1]])
        height, width = (side.stop - side.start for side in tile)
        inside = np.s_[list(_COLOURS), :height, :width]
        quarters[:, frame][:, tile[0], tile[1]] = means[inside]
        contexts[:, frame][:, tile[0], tile[1]] = numbers[inside]
    near = quarters + PHASES // 2
    contexts *= PHASES
    contexts += (near % PHASES).astype(np.uint16)
    size = shape.planes, -1, shape.width
    return (near // PHASES).reshape(size), contexts.reshape(size)


def _grid(shape: Shape, stride: int) -> tuple[int, int, int]:
    """Frames, rows and columns of codes."""
    return shape.frames, -(-shape.height // stride), -(-shape.width // stride)


def _tiles(shape: Shape, stride: int) -> Iterator[tuple[int, _Place, _Place]]:
    """Frame, place of the pixels and place of the codes of each tile."""
    step = _TILE // stride
    for frame in range(shape.frames):
        for top in range(0, shape.height, _TILE):
            for left in range(0, shape.width, _TILE):
                rows = slice(top, min(top + _TILE, shape.height))
                columns = slice(left, min(left + _TILE, shape.width))
                y, x = top // stride, left // stride
                yield frame, (rows, columns), (slice(y, y + step), slice(x, x + step))
