"""Data sets that lie in files: found, decoded once into the cache, and loaded from there.

A data set is CIFAR-10 as published (`freqfast.data.cifar10`) or an image tree (`freqfast.data.folders`), as a folder or
as a tar archive.
"""

import os
from dataclasses import replace
from pathlib import Path

from freqfast.data import cache
from freqfast.data.cifar10 import ARCHIVE, BATCHES, decode_batches, download_cifar10, is_cifar10
from freqfast.data.folders import TEST_SPLITS, decode_tree, is_below_class, is_tree_image
from freqfast.data.images import ImageData
from freqfast.data.members import open_files
from freqfast.files import of_user
from freqfast.progress import Progress

_FOLDERS = ("cifar-10-batches-py", "cifar10")
_ARCHIVES = (ARCHIVE, "cifar10.tgz")


def load_data_set(place: Path | None = None, progress: Progress | None = None) -> ImageData:
    """Load the data set at a place, by default CIFAR-10.

    Args:
        place: An archive, a data set's folder, or the folder that holds either. Without it the environment variable
            FREQFAST_DATA is used, then what lies in the cache (an archive, or the CIFAR-10 that was decoded last), then
            a download (163 MiB, checked by its MD5).
        progress: See `freqfast.progress.Progress`.

    Returns:
        The data, called "cifar10" if it has that set's classes and sizes, else by its folder or archive.

    Raises:
        FileNotFoundError: If the place or FREQFAST_DATA names no such data; no other place is tried then.
        ValueError: If the data is corrupt; the message names the file.
    """
    source = _named_source(place) or find_data_set(cache.folder())
    if source is None:
        if (data := cache.recall("cifar10")) is not None:
            return data
        source = download_cifar10(progress)
    key = cache.fingerprint(source, _is_wanted)
    if (data := cache.load(key)) is None:
        try:
            data = _decode(source, progress)
        except ValueError as error:
            raise ValueError(f"{source}: {' '.join(str(error).split())}") from None  # in one line
        cache.store(key, data)
    return data if data.name == "cifar10" else replace(data, name=source.resolve().name)


def named_place(place: str | Path | None = None) -> str | None:
    """The place of the data as the user gave it: the path, else the environment variable FREQFAST_DATA, else None."""
    return str(place) if place else os.environ.get("FREQFAST_DATA") or None


def _named_source(place: Path | None) -> Path | None:
    """The archive or data set's folder that the user names, if any."""
    if (given := named_place(place)) is None:
        return None
    origin = "" if place else "FREQFAST_DATA="
    named = of_user(given)
    if not named.exists():
        raise FileNotFoundError(f"{origin}{given} does not exist; name an archive or a folder of images")
    if (found := find_data_set(named)) is None:
        raise FileNotFoundError(
            f"{origin}{given} holds no data set: name an archive ({' or '.join(_ARCHIVES)}), the folder "
            "cifar-10-batches-py, a folder with train/<class>/ and test/<class>/, or a folder that holds one of these"
        )
    return found


def find_data_set(place: Path) -> Path | None:
    """The place itself, or the data set of training and test images that lies in it; None if there is none."""
    candidates = [place, *(place / name for name in (*_FOLDERS, *_ARCHIVES))]
    return next((each for each in candidates if each.is_file() or is_tree(each) or _has_batches(each)), None)


def is_tree(folder: Path) -> bool:
    """Whether a folder has folders of training and of test images."""
    return (folder / "train").is_dir() and any((folder / split).is_dir() for split in TEST_SPLITS)


def _has_batches(folder: Path) -> bool:
    return any((folder / name).is_file() for name in BATCHES)


def _decode(source: Path, progress: Progress | None) -> ImageData:
    with open_files(source, _is_wanted, progress) as files:
        batches = [file for file in files if file.parts[-1] in BATCHES]
        data = decode_batches(batches) if batches else decode_tree(files, progress)
    return replace(data, name="cifar10") if is_cifar10(data) else data


def _is_wanted(parts: tuple[str, ...]) -> bool:
    return bool(parts) and (is_tree_image(parts) or is_below_class(parts) or parts[-1] in BATCHES)
