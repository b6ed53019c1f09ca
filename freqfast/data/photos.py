"""Patches of ten photographs that scikit-image and scikit-learn ship in their wheels: data without a download."""

from copy import deepcopy
from functools import cache
from importlib.util import find_spec
from pathlib import Path

import numpy as np
from PIL import Image

from freqfast.data.image_files import upright
from freqfast.data.images import ImageData, Images, mixed_order
from freqfast.progress import Progress

PHOTOS = {  # file by class; package and path inside it, so that neither package is imported for its pictures
    "astronaut": "skimage/data/astronaut.png",
    "chelsea": "skimage/data/chelsea.png",
    "china": "sklearn/datasets/images/china.jpg",
    "coffee": "skimage/data/coffee.png",
    "flower": "sklearn/datasets/images/flower.jpg",
    "hubble_deep_field": "skimage/data/hubble_deep_field.jpg",
    "ihc": "skimage/data/ihc.png",
    "motorcycle_left": "skimage/data/motorcycle_left.png",
    "retina": "skimage/data/retina.jpg",
    "rocket": "skimage/data/rocket.jpg",
}
SIZE = 32
TRAIN_PER_CLASS, TEST_PER_CLASS = 512, 100


def load_photos(place: Path | None = None, progress: Progress | None = None) -> ImageData:
    """Ten classes, one for each photograph: 512 training and 100 test patches of 32x32 pixels each.

    Each photograph is cut into horizontal stripes, every fourth of which is for testing, so that no pixel is in both
    sets. The patches' places are random, drawn from a fixed seed: every call gives the same images. These are real
    pixels with natural spectra; the task (which photograph is this patch from?) is for trying the tool, not for
    results.

    Raises:
        FileNotFoundError: If an installed package lacks one of the photographs.
        ValueError: If a place is given.
    """
    if place is not None:
        raise ValueError(
            f"the photos come with the packages, so a place ({place}) has no use here; leave it out, or name data = "
            '"cifar10", which reads other images too'
        )
    return deepcopy(_load())  # which the caller may change


@cache
def _load() -> ImageData:
    rng = np.random.default_rng(0)
    patches: dict[bool, list[np.ndarray]] = {False: [], True: []}  # of training, of testing
    for pixels in map(_read, PHOTOS.values()):
        for testing, count in ((False, TRAIN_PER_CLASS), (True, TEST_PER_CLASS)):
            corners = zip(*_corners(pixels, count, testing, rng), strict=True)
            patches[testing] += [pixels[y : y + SIZE, x : x + SIZE] for y, x in corners]
    return ImageData("photos", tuple(PHOTOS), _mixed(patches[False]), _mixed(patches[True]))


def _read(file: str) -> np.ndarray:
    package, _, inside = file.partition("/")
    spec = find_spec(package)
    path = Path(spec.origin).parent / inside if spec and spec.origin else Path(file)
    if not path.is_file():
        raise FileNotFoundError(f"photograph {path} is missing; reinstall scikit-image and scikit-learn")
    with Image.open(path) as image:
        return np.asarray(upright(image))


def _corners(pixels: np.ndarray, count: int, testing: bool, rng: np.random.Generator) -> tuple[np.ndarray, np.ndarray]:
    """Top rows and left columns, ``(count,)`` each, of distinct patches wholly in training or testing stripes."""
    height, width, _ = pixels.shape
    stripe = max(SIZE, height // 8)
    top = np.arange(height - SIZE + 1)
    first, last = top // stripe, (top + SIZE - 1) // stripe  # a patch meets two stripes at most
    inside = (first % 4 == 1) == testing
    inside &= (last % 4 == 1) == testing
    row, column = np.divmod(rng.choice(inside.sum() * (width - SIZE + 1), count, replace=False), width - SIZE + 1)
    return top[inside][row], column


def _mixed(patches: list[np.ndarray]) -> Images:
    """One set in mixed order, from equally many patches of each class, in the order of the classes."""
    labels = np.repeat(np.arange(len(PHOTOS), dtype=np.int64), len(patches) // len(PHOTOS))
    order = mixed_order(labels)
    return Images(np.stack(patches)[order], labels[order])
