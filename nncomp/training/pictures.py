"""Training pictures: whatever is found in folders, as random pieces."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING, Any, TypeAlias

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nncomp.errors import FileError, UsageError

if TYPE_CHECKING:
    from collections.abc import Iterable, Sequence

__all__ = ["Pictures", "find_pictures", "load_picture", "model_input"]

Array: TypeAlias = NDArray[Any]

_SUFFIXES = frozenset({".png", ".ppm", ".bmp", ".webp", ".tif", ".tiff", ".jpg", ".jpeg", ".npy"})


def find_pictures(places: Iterable[Path]) -> list[Path]:
    """Files named, and those in folders named, by their names; sorted within a folder.

    Raises:
        UsageError: There is none.
    """
    found = list[Path]()
    for place in places:
        inside = sorted(p for p in place.rglob("*") if p.suffix.lower() in _SUFFIXES)
        found += inside if place.is_dir() else [place]
    if not found:
        raise UsageError(f"no pictures were found: they end in {', '.join(sorted(_SUFFIXES))}")
    return found


def load_picture(path: Path) -> list[Array]:
    """RGB, uint8[H, W, 3]; of a .npy stack, (N, H, W, 3), all.

    Raises:
        UsageError: Pillow is not installed.
        FileError: It cannot be read.
    """
    try:
        if path.suffix.lower() == ".npy":
            return _stack(path)
        from PIL import Image

        with Image.open(path) as image:
            return [np.asarray(image.convert("RGB"))]
    except ImportError as error:
        raise UsageError(
            f"{path}: reading pictures takes Pillow: pip install 'nncomp[images]'"
        ) from error
    except Exception as error:  # of a damaged file Pillow raises whatever it came across
        raise FileError(
            f"{path} cannot be read as a picture: {str(error) or type(error).__name__}"
        ) from error


def _stack(path: Path) -> list[Array]:
    stack = np.load(path, mmap_mode="r", allow_pickle=False)
    if stack.ndim != 4 or stack.shape[3] != 3 or stack.dtype != np.uint8:
        raise ValueError(f"it holds {stack.dtype}{list(stack.shape)}, not uint8[N, H, W, 3]")
    return list(stack)


class Pictures:
    """Random square pieces of pictures.

    Args:
        pictures: Each uint8[H, W, 3].
        size: Of a piece, each way; pictures that are smaller are left out.

    Raises:
        UsageError: All are too small.
    """

    def __init__(self, pictures: Sequence[Array], size: int) -> None:
        self.size = size
        self.pictures = [p for p in pictures if min(p.shape[:2]) >= size]
        if not self.pictures:
            raise UsageError(f"no picture has {size} x {size} pixels or more")
        # By area, so that each pixel is as likely as any other.
        self._areas = np.cumsum([p.shape[0] * p.shape[1] for p in self.pictures])

    def batch(self, count: int, generator: torch.Generator) -> Tensor:
        """Pieces, turned, mirrored and in other colours, float32 (B, 3, S, S).

        A few photographs have few colours: a model that had seen these alone took 7.8 bits a
        sub-pixel for one with others (kodim03), and 5.9 after this.
        """
        drawn = torch.randint(1 << 30, (count, 4), generator=generator).tolist()
        pieces = torch.stack([self._piece(*numbers) for numbers in drawn])
        order = torch.rand(count, 3, generator=generator).argsort(dim=1)
        pieces = pieces.gather(1, order[:, :, None, None].expand_as(pieces))
        contrast, light = torch.rand(2, count, 3, 1, 1, generator=generator)
        contrast = (0.6 + 0.6 * contrast) * (1 - 2 * (light[:, :1] * 1000 % 1 > 0.75))
        pieces = 127.5 + (pieces - 127.5) * contrast + 60 * (light - 0.5)
        return torch.clamp(torch.round(pieces), 0, 255)

    def _piece(self, which: int, top: int, left: int, turn: int) -> Tensor:
        area = which % int(self._areas[-1])
        picture = self.pictures[int(np.searchsorted(self._areas, area, side="right"))]
        y = top % (picture.shape[0] - self.size + 1)
        x = left % (picture.shape[1] - self.size + 1)
        piece = np.rot90(picture[y : y + self.size, x : x + self.size], turn % 4)
        piece = piece[:, ::-1] if turn & 4 else piece
        return torch.from_numpy(piece.transpose(2, 0, 1).astype(np.float32))


def model_input(picture: Array, stride: int) -> Tensor:
    """uint8[H, W, 3] as (1, 3, H, W), of the part whose size is a multiple of the stride."""
    height, width = (size // stride * stride for size in picture.shape[:2])
    whole = np.ascontiguousarray(picture[:height, :width].transpose(2, 0, 1))
    return torch.from_numpy(whole)[None].float()
