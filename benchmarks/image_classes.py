"""Makes `nncomp/weights/fsar_classes.safetensors`: the classes that the image codec ships.

    python benchmarks/image_classes.py OUTPUT IMAGE.npy...

Images are uint8[height, width, 3]. Those of the package: scikit-image's astronaut, chelsea,
coffee, motorcycle_left, ihc, and, reduced to 5/8 so that no blocks of JPEG are left, retina,
rocket, hubble_deep_field, scikit-learn's china and flower, matplotlib's grace_hopper.
"""

from __future__ import annotations

import sys
from pathlib import Path

import numpy as np

from nncomp.codecs.image.coding import _judge, _laws
from nncomp.codecs.image.fit import Effort, fit
from nncomp.codecs.image.laws import SCALES
from nncomp.codecs.image.plates import Array, Shape, make_plates
from nncomp.codecs.image.predict import LEVELS
from nncomp.weights import pack

PATCH, EACH = 64, 60
EFFORT = Effort(classes=32, log=3, rounds=24, step=1, drop=0)


def patches(paths: list[str]) -> Array:
    """uint8[frames, PATCH, PATCH, 3], the same number of each image."""
    random = np.random.default_rng(0)
    found = []
    for path in paths:
        image = np.load(path)
        for _ in range(EACH):
            y, x = (random.integers(0, size - PATCH + 1) for size in image.shape[:2])
            found.append(image[y : y + PATCH, x : x + PATCH])
    return np.stack(found)


def filled(laws: Array, used: Array) -> Array:
    """Laws of all levels: those without samples are as wide as their neighbours let expect."""
    known = np.flatnonzero(used)
    result = laws.copy()
    for level in range(LEVELS):
        near = int(known[np.abs(known - level).argmin()])
        scale = int(np.clip(laws[near] % SCALES + 2 * (level - near), 0, SCALES - 1))
        result[level] = laws[near] // SCALES * SCALES + scale
    return result


def classes(samples: Array) -> dict[str, Array]:
    """The arrays of pictures with so many planes, uint8[planes, frames, PATCH, PATCH]."""
    planes = len(samples)
    shape = Shape(planes, samples.shape[1], PATCH, PATCH, 8)
    values = make_plates(samples, shape)
    fitted = fit(values, shape, EFFORT)
    arrays = {}
    for plane, model in enumerate(fitted.models):
        laws, used = _laws(*_judge(values, fitted, shape, plane), shape.depth)
        counts = np.bincount(_judge(values, fitted, shape, plane)[0].ravel() // 4, minlength=LEVELS)
        arrays[f"weights{planes}{plane}"] = model.weights.astype(np.int16)
        arrays[f"trust{planes}{plane}"] = model.trust.astype(np.int16)
        arrays[f"floor{planes}{plane}"] = model.floor.astype(np.int32)
        arrays[f"laws{planes}{plane}"] = filled(laws, used & (counts > 300)).astype(np.int16)
    places = fitted.models[0].places
    count = int(places.max()) + 1
    means = np.zeros((planes, count))
    for plane in range(planes):
        for c in range(count):
            rows = np.repeat(np.repeat(places == c, 8, 0), 8, 1)
            error = 4 * samples[plane].reshape(rows.shape).astype(np.int64)
            error -= fitted.predictions[plane] + 4 * shape.half
            means[plane, c] = np.abs(error[rows]).mean() + 0.4
    arrays[f"means{planes}"] = np.rint(means * 256).astype(np.int32)
    return arrays


def main() -> None:
    """Make the file."""
    cut = patches(sys.argv[2:]).transpose(3, 0, 1, 2)
    colour = classes(np.ascontiguousarray(cut[[1, 0, 2]]))
    grey = (cut.astype(np.int64) * np.array([5, 9, 2])[:, None, None, None]).sum(0) >> 4
    alone = classes(grey[None].astype(np.uint8))
    recipe = (
        f"python benchmarks/image_classes.py of {', '.join(Path(p).stem for p in sys.argv[2:])}"
    )
    packed = pack({**colour, **alone}, {"format": "fsar classes 1", "recipe": recipe})
    Path(sys.argv[1]).write_bytes(packed)


if __name__ == "__main__":
    main()
