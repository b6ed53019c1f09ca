"""Decoded data sets on disk: one ``.npz`` file each, written whole or not at all; it holds a checksum of each array."""

import hashlib
import os
import warnings
from collections.abc import Iterable
from pathlib import Path

import numpy as np
import platformdirs

from freqfast.data.images import ImageData, Images
from freqfast.files import of_user, replacing

_PREFIX = "decoded-3-"  # raise the number when the same source decodes to other arrays or another order
_PARTS, _FIELDS = ("train", "test"), ("pixels", "labels")


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


def fingerprint(files: Iterable[Path]) -> str:
    """A key that changes with the path, size or times of a file, of which no program can set back the last one."""
    digest = hashlib.sha256()
    for path in sorted(map(os.path.abspath, files)):
        status = os.stat(path)
        digest.update(
            os.fsencode(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\0{status.st_ino}\0{status.st_ctime_ns}\n")
        )
    return digest.hexdigest()[:16]


def load(key: str) -> ImageData | None:
    """A decoded data set; None if it is missing or corrupt, so that the source is decoded again."""
    return _read(_path(key))


def recall(name: str) -> ImageData | None:
    """The data set of this name that was decoded last, wherever it came from; None if there is none."""
    paths = sorted(folder().glob(_path("*").name), key=lambda path: path.lstat().st_mtime, reverse=True)
    return next((data for path in paths if (data := _read(path, name)) is not None), None)


def store(key: str, data: ImageData) -> None:
    """Keep a decoded data set; if the cache cannot be written, a warning says so and nothing is lost."""
    arrays = {
        "name": np.array(data.name),
        "classes": np.array(data.classes),
        **{f"{part}_{field}": getattr(getattr(data, part), field) for part in _PARTS for field in _FIELDS},
    }
    if data.published is not None:
        arrays["published"] = data.published
    try:
        folder().mkdir(parents=True, exist_ok=True)
        with replacing(_path(key)) as temporary, temporary.open("wb") as file:
            np.savez(file, **arrays)
    except OSError as error:
        warnings.warn(f"decoded data not cached ({error}); set FREQFAST_CACHE to a writable folder", stacklevel=3)


def _path(key: str) -> Path:
    return folder() / f"{_PREFIX}{key}.npz"


def _read(path: Path, name: str | None = None) -> ImageData | None:
    try:
        with path.open("rb") as file, np.load(file, allow_pickle=False) as arrays:
            if name not in (None, str(arrays["name"])):
                return None
            train, test = (Images(*(arrays[f"{part}_{field}"] for field in _FIELDS)) for part in _PARTS)
            return ImageData(
                str(arrays["name"]), tuple(arrays["classes"].tolist()), train, test, arrays.get("published")
            )
    except Exception:  # a corrupt file can make NumPy raise nearly anything; the source is decoded again in any case
        return None
