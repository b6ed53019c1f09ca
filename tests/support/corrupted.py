"""Real images to corrupt."""

from functools import cache
from pathlib import Path

import numpy as np
import skimage.data
from PIL import Image

FROST_NAMES = ("frost1.png", "frost2.png", "frost3.png", "frost4.jpg", "frost5.jpg")


def photo_patches():
    """Some 200 real 32 x 32 RGB patches of scikit-image's photographs, ``(N, 32, 32, 3)``, in a fixed random order."""
    patches = []
    for picture in (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket()):
        coarse = np.asarray(Image.fromarray(picture).reduce(2))
        rows, columns = (side // 32 for side in coarse.shape[:2])
        grid = coarse[: rows * 32, : columns * 32].reshape(rows, 32, columns, 32, 3)
        patches.append(grid.swapaxes(1, 2).reshape(-1, 32, 32, 3))
    return np.random.default_rng(0).permutation(np.concatenate(patches))


@cache
def photographs(side):
    """Four of scikit-image's photographs, squeezed to ``(4, side, side, 3)``; do not change them."""
    pictures = (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket())
    squeezed = [Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR) for picture in pictures]
    return np.stack(squeezed)


def with_flat(images):
    """The images, and one of black and one of white, on which a division by contrast or brightness would fail."""
    return np.concatenate([images, *(np.full_like(images[:1], level) for level in (0, 255))])


def write_frost_stand_ins(folder):
    """Photographs under the names that frost looks for: real pictures, since the real ones are not always installed."""
    pictures = ("hubble_deep_field", "coffee", "astronaut", "rocket", "chelsea")
    for name, picture in zip(FROST_NAMES, pictures, strict=True):
        Image.fromarray(getattr(skimage.data, picture)()).save(folder / name)
    return folder


@cache
def read_frost(folder):
    """The photographs at full size."""
    return [np.asarray(Image.open(Path(folder) / name).convert("RGB")) for name in FROST_NAMES]
