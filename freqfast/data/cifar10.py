"""CIFAR-10 as Krizhevsky (2009) published it: the pickled batches, their order, and their download.

An image tree of CIFAR-10, as fastai has it, keeps no trace of the published order. The batches contain each image's
file name, so the images are put into the order of such a tree: a run is the same whichever of the two it reads. The
published order is kept too, since the labels of CIFAR-10-C have that order.
"""

import hashlib
import pickle
from collections.abc import Sequence
from pathlib import Path

import numpy as np
from numpy.typing import NDArray

from freqfast.data.archives import download
from freqfast.data.images import ImageData, Images, mixed_order
from freqfast.progress import Progress

CLASSES = ("airplane", "automobile", "bird", "cat", "deer", "dog", "frog", "horse", "ship", "truck")
ARCHIVE = "cifar-10-python.tar.gz"
_BATCHES = (*(f"data_batch_{number}" for number in range(1, 6)), "test_batch")


def is_cifar10(data: ImageData) -> bool:
    """Whether a data set has CIFAR-10's classes and sizes."""
    return data.classes == CLASSES and data.train.pixels.shape == (50_000, 32, 32, 3) and len(data.test) == 10_000


def has_batches(folder: Path) -> bool:
    """Whether a folder has any of the published batches."""
    return any((folder / name).is_file() for name in _BATCHES)


def read_batches(folder: Path) -> ImageData:
    """The published batches, in the order of a tree of their files.

    A batch is a pickle, which may run code: so each must have the hash by which torchvision knows the published one.

    Raises:
        ValueError: If a batch is missing, or is not the published one.
    """
    from torchvision.datasets import CIFAR10  # takes seconds

    def read(batches: Sequence[Sequence[str]]) -> tuple[Images, NDArray[np.int64]]:
        return _in_tree_order([_read(folder / name, md5) for name, md5 in batches])

    train, _ = read(CIFAR10.train_list)
    test, rows = read(CIFAR10.test_list)
    return ImageData(folder.name, CLASSES, train, test, published=np.argsort(rows))


def _read(path: Path, md5: str) -> dict:
    content = path.read_bytes() if path.is_file() else b""
    if hashlib.md5(content, usedforsecurity=False).hexdigest() != md5:
        raise ValueError(f"{path} is missing or is not the published batch; use the whole {ARCHIVE} as it is published")
    return pickle.loads(content, encoding="latin1")  # noqa: S301 (its hash is that of the published file)


def _in_tree_order(batches: Sequence[dict]) -> tuple[Images, NDArray[np.int64]]:
    """Batches as one set, in the order of a tree ``<class>/<name>``, and each image's row in the batches ``(N,)``."""
    planes = np.concatenate([batch["data"] for batch in batches]).reshape(-1, 3, 32, 32)
    labels = np.concatenate([batch["labels"] for batch in batches]).astype(np.int64)
    rows = np.lexsort((np.concatenate([batch["filenames"] for batch in batches]), labels))
    rows = rows[mixed_order(labels[rows])]
    return Images(np.ascontiguousarray(planes[rows].transpose(0, 2, 3, 1)), labels[rows]), rows


def download_cifar10(progress: Progress | None = None) -> Path:
    """The published archive in the cache, downloaded (163 MiB) if it is not there; raises FileNotFoundError."""
    from torchvision.datasets import CIFAR10

    return download(CIFAR10.url, f"md5:{CIFAR10.tgz_md5}", progress)
