"""CIFAR-10 as Krizhevsky (2009) published it: the pickled batches, their order, and their download.

An image tree of CIFAR-10, as fastai has it, keeps no trace of the published order. The batches contain each image's
file name, so the images are put into the order of such a tree: a run is the same whichever of the two it reads. The
published order is kept too, since the labels of CIFAR-10-C have that order.
"""

import hashlib
import os
from collections.abc import Sequence
from pathlib import Path
from typing import TypeAlias

import numpy as np
from numpy.typing import NDArray

from freqfast.data import cache
from freqfast.data.download import fetch
from freqfast.data.images import ImageData, Images, mixed_order
from freqfast.data.members import DataFile
from freqfast.data.pickles import read_batch
from freqfast.progress import Progress

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-python.tar.gz"
URL = f"https://www.cs.toronto.edu/~kriz/{ARCHIVE}"
SIZE = 170_498_071
MD5 = "c58f30108f718f92721af3b95e74349a"
TRAIN_BATCHES, TEST_BATCH = tuple(f"data_batch_{i}" for i in range(1, 6)), "test_batch"
BATCHES = (*TRAIN_BATCHES, TEST_BATCH)
_Batch: TypeAlias = tuple[NDArray[np.uint8], NDArray[np.int64], list[str]]  # images, labels, names of files


def is_cifar10(data: ImageData) -> bool:
    """Whether a data set has CIFAR-10's classes and sizes."""
    return data.classes == CLASSES and data.train.pixels.shape == (50_000, 32, 32, 3) and len(data.test) == 10_000


def decode_batches(files: Sequence[DataFile]) -> ImageData:
    """The published batches, in the order of a tree of their files.

    Raises:
        ValueError: If a batch is missing or corrupt.
    """
    by_name = {file.parts[-1]: file for file in files}
    if missing := [name for name in BATCHES if name not in by_name]:
        raise ValueError(f"{missing[0]} is missing; use the whole cifar-10-batches-py")
    batches = {name: _read(file) for name, file in by_name.items()}  # an archive is read fastest in its own order
    train, _ = _in_tree_order([batches[name] for name in TRAIN_BATCHES])
    test, rows = _in_tree_order([batches[TEST_BATCH]])
    return ImageData("images", CLASSES, train, test, published=np.argsort(rows))


def _read(file: DataFile) -> _Batch:
    try:
        return read_batch(file.read())
    except Exception as error:  # unpickling hostile bytes can raise anything
        raise ValueError(f"{file.parts[-1]} is not a valid CIFAR-10 batch: {error}") from None


def _in_tree_order(batches: Sequence[_Batch]) -> tuple[Images, NDArray[np.int64]]:
    """Batches as one set, in the order of a tree ``<class>/<name>``, and each image's row in the batches ``(N,)``.

    If the images do not all have different names, their order stays as it is.
    """
    images = np.concatenate([images for images, _, _ in batches])
    labels = np.concatenate([labels for _, labels, _ in batches])
    names = [name for _, _, names in batches for name in names]
    rows = np.arange(len(labels))
    if len(set(zip(labels.tolist(), names, strict=False))) == len(labels):
        rows = np.lexsort((np.array(names), labels))
        rows = rows[mixed_order(labels[rows])]
    return Images(images[rows], labels[rows]), rows


def download_cifar10(progress: Progress | None = None) -> Path:
    """Download the published archive into the cache and check it.

    Raises:
        FileNotFoundError: If the download fails, or does not give the published file.
    """
    archive = cache.folder() / ARCHIVE
    part = archive.with_name(f"{ARCHIVE}.part")  # a later call continues it
    try:
        part.parent.mkdir(parents=True, exist_ok=True)
        fetch(URL, part, SIZE, progress)
        with part.open("rb") as file:
            digest = hashlib.file_digest(file, "md5").hexdigest()
        if digest != MD5:
            part.unlink()
            raise OSError(f"its MD5 is {digest}, not {MD5}")
        os.replace(part, archive)
    except OSError as error:
        if archive.is_file():  # another process was quicker
            return archive
        raise FileNotFoundError(
            f"CIFAR-10 is not here and cannot be downloaded ({error}); name the place where it is, or set FREQFAST_DATA"
        ) from None
    return archive
