"""The one door through which all data comes."""

from pathlib import Path

from freqfast.data.cifar10 import load_cifar10
from freqfast.data.images import ImageData
from freqfast.data.photos import load_photos
from freqfast.progress import Progress

__all__ = ["DATASETS", "load_data", "load_place"]

DATASETS = ("cifar10", "photos")


def load_data(name: str, path: str | Path | None = None, progress: Progress | None = None) -> ImageData:
    """Load a data set by name.

    Args:
        name: "cifar10" (or any image-folder tree in its place) or "photos".
        path: Where CIFAR-10 is; see `freqfast.data.cifar10.load_cifar10` for what it may name and where else is looked.
        progress: Called as ``progress(done, total, message)`` while files are fetched and decoded.

    Raises:
        ValueError: If the name is unknown or the data is not sound.
        FileNotFoundError: If the path holds no data.
    """
    if name == "cifar10":
        if path is not None and str(path) in DATASETS and not Path(path).exists():
            raise FileNotFoundError(
                f'{path} is the name of a data set, not a place; a recipe takes it by data = "{path}"'
            )
        return load_cifar10(path, progress)
    if name == "photos":
        if path is not None:
            raise ValueError(f"the photos come with the packages, so --data {path} has no use here; leave it out")
        return load_photos()
    raise ValueError(f"unknown data {name!r}; the data sets are {', '.join(DATASETS)}")


def load_place(place: str | Path | None, progress: Progress | None = None) -> ImageData:
    """Load data by its name, "cifar10" or "photos", or by where it is; see `load_data`.

    A `Path` is always a place, a string so only if it is no name: write "./cifar10" for a folder of that name.

    Raises:
        FileNotFoundError: If the path holds no data.
        ValueError: If the data is not sound.
    """
    if isinstance(place, str) and place in DATASETS:
        return load_data(place, None, progress)
    return load_data("cifar10", place, progress)
