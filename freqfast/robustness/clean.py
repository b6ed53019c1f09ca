"""The uncorrupted images that belong to a folder of corrupted ones."""

import os
from dataclasses import replace
from pathlib import Path

import numpy as np

from freqfast.corruptions.archive import _hash_images
from freqfast.corruptions.manifest import Manifest, read_manifest
from freqfast.data import cache
from freqfast.data.images import DATASETS, ImageData, ImageSet, Progress, load_data
from freqfast.robustness.cells import CellSource

__all__ = ["with_clean"]


def with_clean(
    source: CellSource, folder: str | Path, data: str | Path | None = None, progress: Progress | None = None
) -> tuple[CellSource, str | None]:
    """Add the test images that a folder was made from, if they are at hand; nothing is downloaded for it.

    Images are known by the manifest's hash of them. In a folder without manifest, as the published archive is, they are
    CIFAR-10's if the labels agree; where all are used, another order of the images makes no difference to accuracy.

    Args:
        source: The folder's source.
        folder: The folder.
        data: Where the test images are; else the environment variable FREQFAST_DATA and the cache are looked at.
        progress: Called as ``progress(done, total, message)`` while data is decoded.

    Returns:
        The source with its clean images, or as it was; and in this case why.

    Raises:
        ValueError: If the data that was named is not sound.
        FileNotFoundError: If it is not there.
    """
    manifest = read_manifest(folder)
    try:
        found = _test_images(manifest, data, progress)
    except (FileNotFoundError, ValueError) as error:
        if data is not None:
            raise
        return source, str(error)
    if found is None:
        return source, "no test images are at hand; name them with --data"
    if (clean := _matching(source, manifest, found)) is None:
        return source, f"the test images of {data or found.name} are not those that {folder} was made from"
    return replace(source, clean=clean), None


def _test_images(manifest: Manifest | None, data: str | Path | None, progress: Progress | None) -> ImageData | None:
    if data is not None and str(data) in DATASETS:
        return load_data(str(data), None, progress)
    if data is None and manifest is not None and manifest.source == "photos":
        return load_data("photos")
    if data is not None or os.environ.get("FREQFAST_DATA"):
        return load_data("cifar10", data, progress)
    return cache.recall("cifar10")


def _matching(source: CellSource, manifest: Manifest | None, data: ImageData) -> ImageSet | None:
    """The clean images of the source's cells, if the data holds them."""
    used = len(source.labels)
    if manifest is not None:
        made_from = data.test.head(manifest.images)
        same = _hash_images(made_from.images, made_from.labels) == manifest.images_sha256
        return made_from.head(used) if same else None
    head = data.test.head(used)
    if np.array_equal(head.labels, source.labels):
        return head
    is_whole = used == len(data.test) and data.name == "cifar10"
    return head if is_whole and np.array_equal(np.sort(head.labels), np.sort(source.labels)) else None
