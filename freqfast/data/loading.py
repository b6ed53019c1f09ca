"""Loading data by name: the built-in data sets, and those that other packages register."""

from collections.abc import Callable
from pathlib import Path
from typing import TypeAlias

from freqfast.data.folders import is_tree, load_tree
from freqfast.data.images import ImageData
from freqfast.data.photos import load_photos
from freqfast.data.stored import find_data_set, load_data_set, named_place
from freqfast.files import of_user
from freqfast.plugins import find_plugins, load_plugin
from freqfast.preprocessing import Preprocessing, scaled_side
from freqfast.progress import Progress, RunStoppedError, notebook_progress

DataSource: TypeAlias = Callable[[Path | None, Progress | None], ImageData]
"""``(place, progress) -> data``: loads a data set from a place, or from its default place if that is None.

It may call ``progress(done, total, message)``. It raises FileNotFoundError if the place holds no such data, and
ValueError if the data is corrupt or the function accepts no place.
"""

_BUILT_IN: dict[str, DataSource] = {"cifar10": load_data_set, "photos": load_photos}

FOLDER = "folder"
"""Name of the data whose images stay in the files of a folder, and are scaled to the size in a recipe."""


def data_names() -> tuple[str, ...]:
    """Names of the data sets: the built-in ones, then those that packages register as ``freqfast.data``, sorted."""
    built_in = (*_BUILT_IN, FOLDER)
    return (*built_in, *(name for name in find_plugins("data") if name not in built_in))


def is_data_name(place: str | Path | None) -> bool:
    """Whether a place is the name of a data set with a place of its own: a string, other than "folder"."""
    return isinstance(place, str) and place != FOLDER and place in data_names()


def load_data(
    name: str, place: str | Path | None = None, progress: Progress | None = None, image_size: int = 0
) -> ImageData:
    """Load a data set by name.

    Args:
        name: "cifar10" (an image tree at `place` is loaded too, see `freqfast.data.stored.load_data_set`), "photos",
            "folder" (of images of any size and number, see `load_tree`), or the name of an
            entry point ``freqfast.data``, which is a `DataSource`.
        place: Where the data is; None for the data set's default place.
        progress: Called while files are fetched and decoded.
        image_size: For "folder": height and width in pixels to which the images are cropped in the middle, after their
            shorter side was scaled to 8/7 of it.

    Returns:
        Training and test images, in memory except for "folder".

    Raises:
        ValueError: If the name is unknown, the data is corrupt, an entry point fails, or `image_size` is given for
            other data than "folder", or not given for "folder".
        FileNotFoundError: If the place holds no such data.

    Examples:
        >>> from freqfast.data import load_data
        >>> load_data("photos").train.pixels.shape
        (5120, 32, 32, 3)
    """
    if place is not None and str(place) in data_names() and not Path(place).exists():
        raise FileNotFoundError(
            f'{place} is the name of a data set, not a place; a recipe takes it by data = "{place}"'
        )
    path, progress = None if place is None else Path(place), progress or notebook_progress()
    if (image_size > 0) != (name == FOLDER):
        raise ValueError(
            f'data = "{name}" with image_size {image_size}: images in a folder, data = "{FOLDER}", have an image_size, '
            "such as 224; other data has none"
        )
    if name == FOLDER:
        if (given := named_place(path)) is None:
            raise FileNotFoundError("say where the folder of images is: one with train/<class>/ and val/<class>/")
        return load_tree(of_user(given), Preprocessing(resize=scaled_side(image_size), crop=image_size))
    load = _BUILT_IN.get(name)
    return load(path, progress) if load else _load_registered(name, path, progress)


def load_place(place: str | Path | None, progress: Progress | None = None) -> ImageData:
    """Load a data set by its name or by where it is; see `load_data`.

    A `Path` is always a place, a string only if it is no name: write "./cifar10" for a folder of that name.
    """
    if is_data_name(place):
        return load_data(str(place), None, progress)
    return load_data("cifar10", place, progress)


def is_test_folder(place: str | Path | None, may_train: bool = False) -> bool:
    """Whether `list_images` may find test images in a place: a folder, if not `may_train` without training images."""
    if place is None or is_data_name(place):
        return False
    folder = of_user(place)
    return folder.is_dir() and (find_data_set(folder) is None or (may_train and is_tree(folder)))


def _load_registered(name: str, place: Path | None, progress: Progress | None) -> ImageData:
    """The data of another package's `DataSource`; see `load_data`."""
    if (point := find_plugins("data").get(name)) is None:
        raise ValueError(f"unknown data {name!r}; the data sets are {', '.join(data_names())}")
    load = load_plugin("data", point)
    try:
        data = load(place, progress)
    except (OSError, ValueError, RunStoppedError):
        raise
    except Exception as error:
        raise ValueError(f"data {name!r} cannot be loaded ({type(error).__name__}: {error})") from error
    if not isinstance(data, ImageData):
        raise ValueError(f"data entry point {name!r} ({point.value}) must return ImageData, got {type(data).__name__}")
    return data
