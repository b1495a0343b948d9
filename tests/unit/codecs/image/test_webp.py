"""WebP files are kept as they are, or give way to PNG files with the same pixels."""

from __future__ import annotations

import io
import sys
from typing import TYPE_CHECKING, Any

import numpy as np
import pytest

import nncomp
from nncomp.codecs.image.formats import webp
from nncomp.errors import MethodError

if TYPE_CHECKING:
    from collections.abc import Callable

Image: Any = pytest.importorskip("PIL.Image", reason="needs nncomp[images]")
features: Any = pytest.importorskip("PIL.features")
if not features.check("webp"):
    pytest.skip("Pillow was built without WebP", allow_module_level=True)


def written(pixels: np.ndarray, **options: Any) -> bytes:
    """A WebP file of uint8[H, W, 3 or 4]."""
    file = io.BytesIO()
    Image.fromarray(pixels).save(file, "WEBP", **{"lossless": True, "exact": True} | options)
    return file.getvalue()


@pytest.fixture(scope="module")
def pixels(picture: Callable[..., np.ndarray]) -> np.ndarray:
    """RGBA, opaque nowhere, with colours where nothing can be seen."""
    made = np.ascontiguousarray(picture(4, 1, 70, 90)[:, 0].transpose(1, 2, 0))
    made[:20, :, 3] = 0
    return made


@pytest.mark.parametrize("channels", [3, 4])
def test_pixels_only(pixels: np.ndarray, channels: int) -> None:
    data = written(pixels[:, :, :channels])
    archive = nncomp.compress(data, "fsar:pixels=only")
    assert len(archive) < len(data)
    with Image.open(io.BytesIO(nncomp.decompress(archive))) as image:
        assert image.format == "PNG"
        assert np.array_equal(np.asarray(image), pixels[:, :, :channels])


def test_metadata_goes_along(pixels: np.ndarray) -> None:
    exif = Image.Exif()
    exif[0x010E] = "what is seen"
    told = {"icc_profile": b"a profile", "exif": exif.tobytes(), "xmp": "<x>ä</x>".encode()}
    data = written(pixels, **told)
    other = nncomp.decompress(nncomp.compress(data, "fsar:pixels=only"))
    with Image.open(io.BytesIO(other)) as image:
        assert image.info["icc_profile"] == told["icc_profile"]
        assert image.getexif()[0x010E] == "what is seen"
        assert image.info["xmp"] == told["xmp"]


@pytest.mark.parametrize("size", [(1, 1), (1, 40), (40, 1), (17, 31)])
def test_any_size(size: tuple[int, int]) -> None:
    data = written(np.full((*size, 3), 7, np.uint8))
    header = webp.read(memoryview(data))
    assert (header.height, header.width, header.held) == (*size, "lossless")
    anew = webp.written_as_png(memoryview(data), header)
    assert anew is not None
    assert len(anew) <= header.room
    with Image.open(io.BytesIO(anew)) as image:
        assert np.array_equal(np.asarray(image), np.full((*size, 3), 7, np.uint8))


def test_kept_unless_asked(pixels: np.ndarray, coded: Callable[..., Any]) -> None:
    data = written(pixels)
    (block,), said = coded(data)
    assert block.raw == data
    assert said == [
        "a WebP file (lossless) is kept as it is; pixels=only writes a PNG file with the same "
        "pixels in its place"
    ]


def test_kept_whatever_is_asked(pixels: np.ndarray, coded: Callable[..., Any]) -> None:
    frames = [Image.fromarray(pixels + k) for k in range(3)]
    moving = io.BytesIO()
    frames[0].save(moving, "WEBP", save_all=True, append_images=frames[1:], lossless=True)
    for data, told in (
        (written(pixels, lossless=False), "lossy"),
        (moving.getvalue(), "animated"),
        (b"RIFF\4\0\0\0WEBP", "damaged"),
        (written(pixels)[:-9], "cannot be decoded"),
        (written(pixels) + b"more", "cannot be decoded"),
        (written(pixels[:1, :1]), "would not take less"),
    ):
        blocks, said = coded(data, pixels="only")
        assert b"".join(block.raw for block in blocks) == data
        assert len(said) == 1
        assert told in said[0]


def test_too_large_for_a_record(pixels: np.ndarray, coded: Callable[..., Any]) -> None:
    data = written(np.tile(pixels, (3, 3, 1)))
    blocks, said = coded(data, pixels="only", block="64K")
    assert b"".join(block.raw for block in blocks) == data
    assert said == [
        f"a picture of {webp.read(memoryview(data)).room} bytes is larger than a record, and is "
        "coded as plain bytes; block=1M takes it"
    ]


def test_damage_does_no_harm(pixels: np.ndarray, coded: Callable[..., Any]) -> None:
    data = written(pixels[:20, :30], exif=b"Exif\0\0some")
    random = np.random.default_rng(6)
    for bit in [*range(0, 8 * 30, 3), *random.integers(0, 8 * len(data), 40)]:
        flipped = bytearray(data)
        flipped[bit // 8] ^= 1 << bit % 8
        blocks, _ = coded(bytes(flipped), pixels="only", classes="1")
        assert blocks
    for size in range(0, len(data), 40):
        blocks, _ = coded(data[:size], pixels="only", classes="1")
        assert b"".join(block.raw for block in blocks) == data[:size]


def test_without_pillow(pixels: np.ndarray, monkeypatch: pytest.MonkeyPatch) -> None:
    data = written(pixels)
    monkeypatch.setitem(sys.modules, "PIL", None)
    with pytest.raises(MethodError, match=r"pip install 'nncomp\[images\]'"):
        nncomp.compress(data, "fsar:pixels=only")
    assert nncomp.decompress(nncomp.compress(data, "fsar")) == data
