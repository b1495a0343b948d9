"""Pictures that are drawn: whole pixels, by what stood around equal ones before.

    picture = u8 contexts, u8 lines, u8 bits * planes, coded bits of `coding/binary_coder.py`

The first `contexts` of `around` are in use, and slots have 2^lines lines. `bits` are those of the
largest sample of a plane.

Pixels are coded row by row, planes of one together, each by a few questions:

    amid equal pixels, is it as they are (see `plain`)?
    else, is it like its neighbour W, N, NW, NE? Of those that are equal, the first is asked
    for; with one plane, the first two alone
    else, of each plane, what are its bits, the highest first?

`sketch` tells how likely the answers are. Encoder and decoder learn alike from each, from
nothing at each picture; frames follow one another. All of it is integer arithmetic.
"""

from __future__ import annotations

from typing import Any

import numpy as np

from nncomp.codecs.image.around import (
    CONTEXTS_MAX,
    EQUAL_ALL,
    N,
    W,
    equals,
    look_around,
    part_keys,
    pixel_keys,
    wide_keys,
)
from nncomp.codecs.image.experts import (
    FLAG,
    HIGH,
    LOW,
    ask_places,
    expect_bit,
    expect_pixel,
    find_places,
    go_on,
    heed,
    silence,
    start_row,
)
from nncomp.codecs.image.plain import learn_plain, plain_odds
from nncomp.codecs.image.plates import ABOVE, SIDE, Array, Shape, inner
from nncomp.codecs.image.sketch import (
    FLAGS,
    LINES_MAX,
    LINES_MIN,
    PATTERN,
    TWO,
    Sketch,
    ask,
    foretell,
    look_up,
    sketch,
    take_in,
)
from nncomp.coding.binary_coder import (
    AHEAD,
    coder_state,
    decode_bit,
    encode_bit,
    finish_bits,
    start_bits,
)
from nncomp.coding.jit import bare_inline as inline
from nncomp.coding.jit import bare_kernel
from nncomp.errors import CorruptError

__all__ = ["decode_drawn", "encode_drawn", "is_drawable"]

_DEPTH_MAX = 8
_FLAGS_ALONE = 2  # that one plane has
_ROOM = 160  # bytes that a pixel may take: four for each of 37 bits
_NODES = 4  # bits of a slot
_FEW, _LINES_FEW = 8, 18  # so many contexts are for speed, and so are fewer lines


def is_drawable(shape: Shape) -> bool:
    """Whether there is a coder for such pictures."""
    return shape.depth <= _DEPTH_MAX


def encode_drawn(samples: Array, shape: Shape, contexts: int) -> bytes | None:
    """The bytes of a picture, or None if they are more than its samples.

    Args:
        samples: uint8[planes, frames, height, width].
        shape: Its shape.
        contexts: In use, 1 to `CONTEXTS_MAX`.
    """
    pixels = np.zeros(shape.plate, np.uint32)
    inside = inner(pixels, shape._replace(planes=1))[0]
    for plane in range(shape.planes):
        inside |= samples[plane].astype(np.uint32) << np.uint32(8 * plane)
    bits = np.array([int(plane.max()).bit_length() for plane in samples])
    coded = np.empty(shape.samples + _ROOM, np.uint8)
    most = LINES_MAX if contexts > _FEW else _LINES_FEW
    lines = min(max((2 * shape.samples - 1).bit_length(), LINES_MIN), most)
    size = _code(pixels, shape, sketch(lines, contexts), bits, coded, False)
    if size < 0:
        return None
    return bytes([contexts, lines, *bits.tolist()]) + coded[:size].tobytes()


def decode_drawn(payload: memoryview, shape: Shape) -> Array:
    """The samples of a picture, uint8[planes, frames, height, width].

    Raises:
        CorruptError: There is no such picture.
    """
    head = np.frombuffer(payload[: 2 + shape.planes], np.uint8).astype(np.int64)
    if len(head) < 2 + shape.planes or head[2:].max() > shape.depth:
        raise CorruptError("a drawn picture has bits that there are not")
    contexts, lines = int(head[0]), int(head[1])
    if not 1 <= contexts <= CONTEXTS_MAX or not LINES_MIN <= lines <= LINES_MAX:
        raise CorruptError("a drawn picture has contexts, or memory for them, that there are not")
    coded = np.frombuffer(payload[len(head) :], np.uint8).copy()  # as one that may be written
    pixels = np.zeros(shape.plate, np.uint32)
    used = _code(pixels, shape, sketch(lines, contexts), head[2:], coded, True)
    if not AHEAD - 1 <= used - len(coded) <= AHEAD:
        raise CorruptError(
            f"a drawn picture has {len(coded)} coded bytes where it takes about {used - AHEAD}. "
            "The file is damaged: take another copy"
        )
    inside = inner(pixels, shape._replace(planes=1))[0]
    return np.stack([(inside >> np.uint32(8 * k)).astype(np.uint8) for k in range(shape.planes)])


def _code(
    pixels: Array, shape: Shape, model: Sketch, bits: Array, coded: Array, decoding: bool
) -> int:
    """`_code_pixels`, which see."""
    with np.errstate(over="ignore"):  # hashes wrap around; not compiled, NumPy would warn
        size: int = _code_pixels(
            model, pixels, shape.numbers(), bits, coded, coder_state(), decoding
        )
    return size


@inline
def _bit(
    m: Sketch,
    node: int,
    stage: int,
    kind: int,
    near: int,
    bit: Any,
    coded: Array,
    state: Array,
    decoding: bool,
) -> Any:
    """Code a bit whose experts have been asked; returns it."""
    p = foretell(m, node, stage, kind, near)
    if decoding:
        bit = decode_bit(state, coded, p)
    else:
        encode_bit(state, coded, bit, p)
    take_in(m, node, bit)
    return bit


@inline
def _neighbour(
    m: Sketch, pixel: int, planes: int, coded: Array, state: Array, decoding: bool
) -> Any:
    """Which neighbour a pixel is like, or `FLAGS` for none."""
    n = m.near
    near = (n[W] >> 5 & 7) << 3 | (n[N] >> 5 & 7) if planes == 1 else 0
    for d in range(_FLAGS_ALONE if planes == 1 else FLAGS):
        known = False
        for e in range(d):
            known = known or n[e] == n[d]
        if known:
            continue
        expect_pixel(m.experts, n[d])
        like = 1 if pixel == n[d] else 0
        if _bit(m, d + 1, d, FLAG, d << 6 | near, like, coded, state, decoding):
            return d
    return FLAGS


@inline
def _parts(m: Sketch, pixel: int, bits: Array, coded: Array, state: Array, decoding: bool) -> Any:
    """Code the parts of a pixel, plane by plane; returns it."""
    result: Any = np.int64(0)
    for plane in range(bits.shape[0]):
        part_keys(m.keys, m.near, plane, result)
        partial: Any = np.int64(1)
        node: Any = np.int64(1)
        for k in range(8 - bits[plane], 8):
            if k == 8 - bits[plane] or k == _NODES:
                ask(m, (result << 8 | partial) << 3 | plane + 1)
                look_up(m)
                node = np.int64(1)
            shift = 8 * plane + 7 - k
            expect_bit(m.experts, shift)
            high = k < _NODES
            near = 512 | (partial if high else 0)
            kind, stage = HIGH if high else LOW, FLAGS + 8 * plane + k
            bit = pixel >> shift & 1
            bit = _bit(m, node, stage, kind, near, bit, coded, state, decoding)
            partial = partial << 1 | bit
            node = node << 1 | bit
        result |= (partial & (1 << bits[plane]) - 1) << 8 * plane
    return result


@inline
def _as_around(
    m: Sketch, v: Array, at: int, g: Array, column: int, coded: Array, state: Array, decoding: bool
) -> Any:
    """Whether a pixel amid equal ones is as they are."""
    p = plain_odds(m.plain, m.experts, v, at, g, column, m.stretch)
    if decoding:
        bit = decode_bit(state, coded, p)
    else:
        bit = 1 if v[at] == v[at - 1] else 0
        encode_bit(state, coded, bit, p)
    learn_plain(m.plain, bit, m.reciprocals)
    return bit


@inline
def _pixel(
    m: Sketch,
    v: Array,
    at: int,
    g: Array,
    f: int,
    y: int,
    column: int,
    bits: Array,
    coded: Array,
    state: Array,
    decoding: bool,
) -> Any:
    """Code a pixel; returns it."""
    look_around(m.near, v, at, g, f)
    pattern = equals(m.near)
    m.now[PATTERN] = pattern
    go_on(m.experts, v, at, g, f)
    plain = pattern == EQUAL_ALL
    if plain and _as_around(m, v, at, g, column, coded, state, decoding):
        return m.near[W]
    place = column << 16 | (y if g[0] > 1 else 0)
    pixel_keys(m.keys, m.near, pattern, place)
    m.now[TWO] = m.keys[0]
    pixel: Any = np.int64(v[at])
    if plain:
        silence(m.experts, m.near[W])
    else:
        wide, near = wide_keys(m.keys, m.near)
        ask_places(m.experts, wide, near)
        ask(m, 0)
        find_places(m.experts, v, at)
        look_up(m)
        like = _neighbour(m, pixel, bits.shape[0], coded, state, decoding)
        if like < FLAGS:
            return m.near[like]
    return _parts(m, pixel, bits, coded, state, decoding)


@bare_kernel
def _code_pixels(
    m: Sketch, v: Array, g: Array, bits: Array, coded: Array, state: Array, decoding: bool
) -> Any:
    """Code pixels into bytes, or the other way round.

    Args:
        m: What learns.
        v: uint32[plate], pixels with margins, of which rows above are zeros.
        g: `Shape.numbers`.
        bits: int64[planes], of the largest sample of each.
        coded: uint8, the bytes.
        state: Of the binary coder.
        decoding: Which way.

    Returns:
        Bytes written or read; -1 if there is no more room to write. Where bytes to read run out,
        it ends there: all that is to come would be made up, and a row may be long.
    """
    most = coded.shape[0] + AHEAD if decoding else coded.shape[0] - _ROOM
    if decoding:
        start_bits(state, coded)
    for f in range(g[0]):
        for y in range(g[1]):
            row = f * g[4] + (ABOVE + y) * g[3] + SIDE
            if y:
                for k in range(1, SIDE + 1):
                    v[row - k] = v[row - g[3]]
            start_row(m.experts)
            for x in range(g[2]):
                if state[2] > most:
                    return state[2] if decoding else -1
                pixel = _pixel(m, v, row + x, g, f, y, x, bits, coded, state, decoding)
                heed(m.experts, v, pixel)
                v[row + x] = pixel
            for k in range(SIDE):
                v[row + g[2] + k] = v[row + g[2] - 1]
    if not decoding:
        finish_bits(state, coded)
    return state[2]
