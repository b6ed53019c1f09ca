"""Data sets that lie in files: found, decoded once into the cache, and loaded from there.

A data set is CIFAR-10 as published (`freqfast.data.cifar10`) or an image tree (`freqfast.data.folders`), as a folder or
as a tar archive.
"""

import os
from collections.abc import Iterable
from dataclasses import replace
from pathlib import Path

import numpy as np

from freqfast.data import cache
from freqfast.data.archives import unpacked
from freqfast.data.cifar10 import ARCHIVE, download_cifar10, has_batches, is_cifar10, read_batches
from freqfast.data.folders import is_tree, load_tree
from freqfast.data.image_files import ImageFiles
from freqfast.data.images import ImageData, Images
from freqfast.files import of_user
from freqfast.progress import Progress

_FOLDERS = ("cifar-10-batches-py", "cifar10")
_ARCHIVES = (ARCHIVE, "cifar10.tgz")
_PIXEL_LIMIT = 2**20  # larger images do not suit a data set that is held in memory


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
    key = cache.fingerprint(_files(source))
    if (data := cache.load(key)) is None:
        data = _decode_archive(source, progress) if source.is_file() else _decode(source, progress)
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
    if (source := find_data_set(named)) is None:
        raise FileNotFoundError(
            f"{origin}{given} holds no data set: name an archive ({' or '.join(_ARCHIVES)}), the folder "
            "cifar-10-batches-py, a folder with train/<class>/ and test/<class>/, or a folder that holds one of these"
        )
    return source


def find_data_set(place: Path) -> Path | None:
    """The place itself, or the data set of training and test images that lies in it; None if there is none."""
    candidates = [place, *(place / name for name in (*_FOLDERS, *_ARCHIVES))]
    return next((each for each in candidates if each.is_file() or is_tree(each) or has_batches(each)), None)


def _files(source: Path) -> Iterable[Path]:
    """All files of which a data set is made."""
    if source.is_file():
        return [source]
    if has_batches(source):
        return source.iterdir()
    tree = load_tree(source)
    return (path for part in (tree.train, tree.test) for path in part.pixels.paths)  # type: ignore[attr-defined]


def _decode(folder: Path, progress: Progress | None) -> ImageData:
    """A folder's data set, in memory."""
    if has_batches(folder):
        data = read_batches(folder)
    else:
        tree = load_tree(folder)
        data = replace(tree, train=_in_memory(tree.train, progress), test=_in_memory(tree.test, progress))
    return replace(data, name="cifar10" if is_cifar10(data) else "images")


def _in_memory(images: Images, progress: Progress | None) -> Images:
    """Images in files as one array; threads gain nothing on small images."""
    files: ImageFiles = images.pixels  # type: ignore[assignment]
    _, height, width, _ = files.shape
    if height * width > _PIXEL_LIMIT:
        raise ValueError(
            f"{files.paths[0]} has {width}x{height} pixels, more than {_PIXEL_LIMIT:,}; shrink it, or give a folder of "
            "such images a size to resize and crop them to"
        )
    pixels = np.empty(files.shape, np.uint8)
    for row, path in enumerate(files.paths):
        pixels[row] = files.decode(path, pixels.shape[1:])
        if progress and ((row + 1) % 500 == 0 or row + 1 == len(files)):
            progress(row + 1, len(files), "decoding images")
    return replace(images, pixels=pixels)


def _decode_archive(archive: Path, progress: Progress | None) -> ImageData:
    """The data set in an archive, in memory."""
    with unpacked(archive, progress) as folder:
        roots = [Path(where) for where, _, _ in os.walk(folder) if is_tree(Path(where)) or has_batches(Path(where))]
        if len(roots) != 1:
            names = ", ".join(str(root.relative_to(folder)) for root in roots[:3]) or "none"
            raise ValueError(f"{archive} must hold one folder of training and test images, but holds {names}")
        try:
            return _decode(roots[0], progress)
        except (FileNotFoundError, ValueError) as error:
            raise ValueError(f"{archive}: {str(error).replace(f'{folder}/', '')}") from None
