"""Decoded data sets on disk: plain ``.npy`` files in a folder that is written whole or not at all."""

import hashlib
import os
import shutil
import warnings
import zlib
from collections.abc import Iterable
from dataclasses import dataclass
from pathlib import Path

import numpy as np
import platformdirs

from freqfast.data.images import ImageData, Images
from freqfast.data.members import Wanted, files_under
from freqfast.files import new_folder, of_user
from freqfast.records import read_record, write_record

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels", "published")
_PREFIX = "decoded-2-"  # raise the number when the same source decodes to other arrays or another order


@dataclass(frozen=True)
class _Header:
    """What ``data.json`` holds: the data's name and classes, and a checksum of each array, in the order of _ARRAYS."""

    name: str
    classes: tuple[str, ...]
    crc32: tuple[int, ...]


def folder() -> Path:
    """The cache folder: the environment variable FREQFAST_CACHE, else freqfast's folder in the user's cache."""
    if given := os.environ.get("FREQFAST_CACHE"):
        return of_user(given)
    try:
        return of_user(platformdirs.user_cache_dir("freqfast"))
    except (RuntimeError, ValueError):  # from platformdirs, or from `of_user` for the ~ that its older versions leave
        raise FileNotFoundError(
            "this user has no home folder to cache data in; set FREQFAST_CACHE to a folder"
        ) from None


def fingerprint(source: Path, is_wanted: Wanted) -> str:
    """A key that changes with the path, size or time of a file, or of any wanted file in a data set's folder."""
    source = source.resolve()
    digest = hashlib.sha256(os.fsencode(source))
    for path in files_under(source, is_wanted) if source.is_dir() else [str(source)]:
        if os.path.isfile(path):
            status = os.stat(path)
            digest.update(os.fsencode(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def load(key: str) -> ImageData | None:
    """A decoded data set; None if it is missing or corrupt, so that the source is decoded again."""
    return _read(folder() / f"{_PREFIX}{key}")


def recall(name: str) -> ImageData | None:
    """The data set of this name that was decoded last, wherever it came from; None if there is none."""
    places = sorted(folder().glob(f"{_PREFIX}*"), key=lambda place: place.lstat().st_mtime, reverse=True)
    return next((data for place in places if (data := _read(place, name)) is not None), None)


def _read(place: Path, name: str | None = None) -> ImageData | None:
    try:
        header = read_record(place / "data.json", _Header)
        if name is not None and header.name != name:
            return None
        arrays = [np.load(place / f"{array}.npy", allow_pickle=False) for array in _ARRAYS]
        if header.crc32 != _checksums(arrays):
            return None
        train, test, published = Images(*arrays[:2]), Images(*arrays[2:4]), arrays[4]
        return ImageData(header.name, header.classes, train, test, published if len(published) else None)
    except Exception:  # a corrupt file can make NumPy raise nearly anything; the source is decoded again in any case
        return None


def _checksums(arrays: Iterable[np.ndarray]) -> tuple[int, ...]:
    """Checksums of the arrays: nothing else would show a corrupt pixel."""
    return tuple(zlib.crc32(np.ascontiguousarray(array).data) for array in arrays)


def store(key: str, data: ImageData) -> None:
    """Keep a decoded data set; if the cache cannot be written, a warning says so and nothing is lost."""
    place = folder() / f"{_PREFIX}{key}"
    published = np.empty(0, np.int64) if data.published is None else data.published
    arrays = (data.train.pixels, data.train.labels, data.test.pixels, data.test.labels, published)
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(place) as temporary:
            for name, array in zip(_ARRAYS, arrays, strict=True):
                np.save(temporary / f"{name}.npy", array, allow_pickle=False)
            write_record(temporary / "data.json", _Header(data.name, data.classes, _checksums(arrays)))
            shutil.rmtree(place, ignore_errors=True)  # what `load` found corrupt
    except OSError as error:
        if load(key) is None:  # else another process was quicker
            warnings.warn(f"decoded data not cached ({error}); set FREQFAST_CACHE to a writable folder", stacklevel=3)
