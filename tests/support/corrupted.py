"""Real images to corrupt, and how far two corrupted sets lie apart."""

import os
import tarfile
from functools import cache
from io import BytesIO
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


def photographs(side):
    """Four of scikit-image's photographs, squeezed to ``(4, side, side, 3)``."""
    pictures = (skimage.data.astronaut(), skimage.data.chelsea(), skimage.data.coffee(), skimage.data.rocket())
    squeezed = [Image.fromarray(picture).resize((side, side), Image.Resampling.BILINEAR) for picture in pictures]
    return np.stack(squeezed)


def with_flat(images):
    """The images, and one of black and one of white, on which a division by contrast or brightness would fail."""
    return np.concatenate([images, *(np.full_like(images[:1], level) for level in (0, 255))])


def cifar10_test():
    """The real CIFAR-10 test images in a fixed random order, or None where fastai's archive is not at hand."""
    folders = [Path(os.environ["FREQFAST_DATA"])] if "FREQFAST_DATA" in os.environ else []
    folders.append(Path(__file__).parents[3] / "shared" / "data")
    archive = next((folder / "cifar10.tgz" for folder in folders if (folder / "cifar10.tgz").is_file()), None)
    if archive is None:
        return None
    images = []
    with tarfile.open(archive) as tar:
        for member in tar:
            if "/test/" in member.name and member.name.endswith(".png"):
                images.append(np.asarray(Image.open(BytesIO(tar.extractfile(member).read())).convert("RGB")))
    return np.random.default_rng(0).permutation(np.stack(images))


def write_frost_stand_ins(folder):
    """Photographs under the names that frost looks for: real pictures, since the real ones are not always installed."""
    pictures = (
        skimage.data.hubble_deep_field(),
        skimage.data.coffee(),
        skimage.data.astronaut(),
        skimage.data.rocket(),
        skimage.data.chelsea(),
    )
    for name, picture in zip(FROST_NAMES, pictures, strict=True):
        Image.fromarray(picture).save(folder / name)
    return folder


@cache
def read_frost(folder):
    """The photographs at full size."""
    return [np.asarray(Image.open(Path(folder) / name).convert("RGB")) for name in FROST_NAMES]


def _radial_power(x):
    """Mean power in 8 equal steps of radial frequency, each image's mean apart: ``(N, 8)``."""
    f = np.fft.fftfreq(x.shape[1])
    ring = np.minimum((np.hypot(f[:, None], f) / np.sqrt(0.5) * 8).astype(int), 7).ravel()
    power = (np.abs(np.fft.fft2(x, axes=(1, 2))) ** 2).mean(axis=-1).reshape(len(x), -1)
    power[:, 0] = 0
    return np.stack([power[:, ring == k].mean(axis=1) for k in range(8)], axis=1)


def image_statistics(images, result):
    """By image: the sizes of the change and the spectra of change and result, each ``(N, ...)``."""
    change = result.astype(float) - images
    return {
        "mae": np.abs(change).mean(axis=(1, 2, 3)),
        "square": (change**2).mean(axis=(1, 2, 3)),
        "shift": change.mean(axis=(1, 2, 3)),
        "variance": result.astype(float).var(axis=(1, 2, 3)),
        "change spectrum": _radial_power(change),
        "result spectrum": _radial_power(result.astype(float)),
    }


def deviations(images, actual, expected):
    """How far ``actual`` lies from ``expected``, as fractions: the statistics that fidelity is defined by.

    The mean shift, which may be near zero, is taken relative to the mean absolute change.
    """
    a, e = ({k: v.mean(axis=0) for k, v in image_statistics(images, x).items()} for x in (actual, expected))
    return {
        "mae": abs(a["mae"] / e["mae"] - 1),
        "rms": abs(np.sqrt(a["square"] / e["square"]) - 1),
        "shift": abs(a["shift"] - e["shift"]) / e["mae"],
        "std": abs(actual.std() / expected.std() - 1),
        "change spectrum": np.abs(a["change spectrum"] / e["change spectrum"] - 1).max(),
        "result spectrum": np.abs(a["result spectrum"] / e["result spectrum"] - 1).max(),
    }


LIMITS = {"mae": 0.05, "rms": 0.05, "shift": 0.10, "std": 0.10, "change spectrum": 0.10, "result spectrum": 0.10}
