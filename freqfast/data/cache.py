"""Decoded data sets on disk: plain ``.npy`` files in a folder that appears whole."""

import hashlib
import json
import os
import shutil
import warnings
import zlib
from collections.abc import Sequence
from pathlib import Path

import numpy as np
import pooch

from freqfast.data.images import ImageData, ImageSet
from freqfast.files import new_folder

__all__ = ["fingerprint", "folder", "load", "recall", "store"]

_ARRAYS = ("train_images", "train_labels", "test_images", "test_labels", "published")
_PREFIX = "decoded-2-"  # raise the number when the same source decodes to other arrays or another order


def folder() -> Path:
    """The cache: FREQFAST_CACHE, or the user's cache folder."""
    return Path(os.environ.get("FREQFAST_CACHE") or pooch.os_cache("freqfast")).expanduser()


def fingerprint(source: Path) -> str:
    """A key that changes with the place, size or time of a file, or of any file under a folder."""
    source = source.resolve()
    digest = hashlib.sha256(os.fsencode(source))
    for path in _files_under(source) if source.is_dir() else [str(source)]:
        status = os.stat(path)
        digest.update(os.fsencode(f"{path}\0{status.st_size}\0{status.st_mtime_ns}\n"))
    return digest.hexdigest()[:16]


def _files_under(place: Path) -> list[str]:
    """Paths of all files, sorted; strings, since a data set may have very many."""
    found: list[str] = []
    seen: set[tuple[int, int]] = set()
    for where, folders, names in os.walk(place, followlinks=True):
        status = os.stat(where)
        if (status.st_dev, status.st_ino) in seen:  # links may lead back to a folder above, without end
            folders.clear()
            continue
        seen.add((status.st_dev, status.st_ino))
        found += (path for name in names if os.path.isfile(path := os.path.join(where, name)))
    return sorted(found)


def load(key: str) -> ImageData | None:
    """A decoded data set; None where it is not there or damaged, which decoding again mends."""
    return _read(folder() / f"{_PREFIX}{key}")


def recall(name: str) -> ImageData | None:
    """The data set of this name that was decoded last, wherever it came from; None where there is none."""
    places = sorted(folder().glob(f"{_PREFIX}*"), key=_written, reverse=True)
    return next((data for place in places if (data := _read(place, name)) is not None), None)


def _written(place: Path) -> float:
    """When an entry was written, in seconds; 0 where another process has just replaced it."""
    try:
        return place.stat().st_mtime
    except OSError:
        return 0.0


def _read(place: Path, name: str | None = None) -> ImageData | None:
    try:
        header = json.loads((place / "data.json").read_text(encoding="utf-8"))
        if name is not None and header["name"] != name:
            return None
        arrays = [np.load(place / f"{array}.npy", allow_pickle=False) for array in _ARRAYS]
        if header["crc32"] != _sums(arrays):
            return None
        train, test, published = ImageSet(*arrays[:2]), ImageSet(*arrays[2:4]), arrays[4]
        return ImageData(header["name"], tuple(header["classes"]), train, test, published if len(published) else None)
    except Exception:  # a damaged header can make NumPy raise nearly anything; whatever it is, the entry is no good
        return None


def _sums(arrays: Sequence[np.ndarray]) -> list[int]:
    """Check sums against a disk that rots: a wrong pixel would go unnoticed."""
    return [zlib.crc32(np.ascontiguousarray(array).data) for array in arrays]


def store(key: str, data: ImageData) -> None:
    """Keep a decoded data set; where the cache cannot be written, a warning says so and nothing is lost."""
    place = folder() / f"{_PREFIX}{key}"
    published = np.empty(0, np.int64) if data.published is None else data.published
    arrays = (data.train.images, data.train.labels, data.test.images, data.test.labels, published)
    header = {"name": data.name, "classes": data.classes, "crc32": _sums(arrays)}
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        with new_folder(place) as temporary:
            for name, array in zip(_ARRAYS, arrays, strict=True):
                np.save(temporary / f"{name}.npy", array, allow_pickle=False)
            (temporary / "data.json").write_text(json.dumps(header), encoding="utf-8")
            shutil.rmtree(place, ignore_errors=True)  # what `load` found damaged
    except OSError as error:
        if load(key) is None:  # else another process was quicker
            warnings.warn(f"decoded data not cached ({error}); set FREQFAST_CACHE to a writable folder", stacklevel=3)
