"""Corrupted images from a folder in the published layout."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from freqfast.corruptions import C_BAR, CORRUPTIONS, IMAGENET_C_BAR, MAIN, SEVERITIES
from freqfast.data.cifar10 import CLASSES as CIFAR10
from freqfast.files import require_file
from freqfast.robustness.archive.layout import (
    LABELS,
    MANIFEST,
    check_limit,
    check_required,
    find_fault,
    images_file,
    read_manifest,
)
from freqfast.robustness.cells import CellSource


def stored_source(
    folder: str | Path,
    limit: int | None = None,
    required: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
) -> CellSource:
    """A folder of corrupted images, see `freqfast.robustness.archive.layout`.

    A file is memory-mapped when its turn comes and let go after it. Where there is a manifest, the files hold the
    severities that it lists, corruptions of other packages count as well, and before a file is used its hash is
    compared with the manifest's: the labels' here, those of images when their turn comes, with a ValueError.

    Args:
        folder: The folder.
        limit: Images of each severity to use, from its start; all by default.
        required: Corruptions to use, each of which must be there; by default all that are there.
        only: Leave out all but these; some may be missing.

    Raises:
        FileNotFoundError: If the folder, the labels, or one of `required` is missing, or all of `only` are.
        ValueError: If a file is not what the layout says; the message names it. All are checked here.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; name one that holds {LABELS} and <corruption>.npy files")
    check_limit(limit)
    manifest = read_manifest(folder)
    severities = manifest.severities if manifest else SEVERITIES
    unread = dict(manifest.files) if manifest else {}

    def check(file: str) -> None:
        path, entry = folder / file, unread.pop(file, None)
        if entry and path.is_file() and (fault := find_fault(path, entry)):
            raise ValueError(f"{path} is not the file of {MANIFEST} ({fault}); put that back, or make it again")

    check(LABELS)
    labels = _map_labels(folder / LABELS, len(severities))
    of_others = manifest.corruptions if manifest else required or ()
    known = dict.fromkeys(only or (*CORRUPTIONS, *C_BAR, *IMAGENET_C_BAR, *of_others))
    there = [corruption for corruption in known if (folder / images_file(corruption)).exists()]
    if not there:
        first = images_file(next(iter(known)))
        raise FileNotFoundError(f"{folder} holds none of the corruptions looked for; the first is {first}")
    check_required(folder, there, required)
    names = tuple(dict.fromkeys(required or there))

    rows, count = len(labels), len(labels) // len(severities)

    def read(corruption: str, severity: int) -> tuple[np.ndarray, None]:
        start = severities.index(severity) * count
        check(images_file(corruption))
        return _map_images(folder / images_file(corruption), rows)[start : start + count][:limit], None

    digest = hashlib.sha256((folder / MANIFEST).read_bytes() if manifest else b"")
    size: tuple[int, ...] = ()
    for corruption in names:
        first_images = _map_images(path := folder / images_file(corruption), rows)[::count]
        size = size or first_images.shape[1:3]
        if first_images.shape[1:3] != size:
            raise ValueError(f"{path} must hold images of {size} like the other files, got {first_images.shape[1:3]}")
        if manifest is None:
            digest.update(first_images.tobytes())
    used = _block_labels(folder / LABELS, labels.reshape(len(severities), count))
    return CellSource(
        str(folder),
        names,
        severities,
        used[:limit],
        read,
        sha256=digest.hexdigest(),
        seed=manifest.seed if manifest else None,
        classes=manifest.classes if manifest else CIFAR10 if _is_cifar10(folder, first_images, used) else None,
        table=manifest.table if manifest else None,
    )


def _map_images(path: Path, count: int) -> np.ndarray:
    """The images of all severities, once they are known to be as many as the labels."""
    images = _map(path)
    if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != count:
        raise ValueError(
            f"{path} must be uint8 of shape ({count}, H, W, 3) like {LABELS}, got {images.dtype} of shape "
            f"{images.shape}"
        )
    if not images.size:
        raise ValueError(f"{path} holds images without pixels, of shape {images.shape}")
    return images


def _map_labels(path: Path, blocks: int) -> np.ndarray:
    """The labels of all blocks, not read yet."""
    require_file(path, "name a folder with it or, of ImageNet-C, one with <corruption>/<severity>/<class>/")
    labels = _map(path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0 or len(labels) % blocks:
        raise ValueError(
            f"{path} must hold integers, a multiple of {blocks} of them, got {labels.dtype} of shape {labels.shape}"
        )
    return labels


def _block_labels(path: Path, by_block: np.ndarray) -> np.ndarray:
    """Labels of one block, int64 ``(N,)``, once all blocks are known to have the same."""
    first = by_block[0]
    if any((other != first).any() for other in by_block[1:]):
        raise ValueError(f"{path} must repeat the images' labels {len(by_block)} times, once for each severity")
    if first.min() < 0 or first.max() > 2**31:
        raise ValueError(f"{path} must hold class numbers, got {first.min()} to {first.max()}")
    return first.astype(np.int64)


def _is_cifar10(folder: Path, images: np.ndarray, labels: np.ndarray) -> bool:
    """Whether a folder can be of CIFAR-10's test set: all main corruptions, a thousand images a class."""
    are_there = all((folder / images_file(name)).exists() for name in MAIN)
    are_like_it = images.shape[1:3] == (32, 32) and len(labels) == 10_000 and labels.max() < 10
    return are_there and are_like_it and set(np.bincount(labels)) == {1000}


def _map(path: Path) -> np.ndarray:
    """Memory-map an array, in C or Fortran order, without ever unpickling; no memory is taken for its values."""
    require_file(path)
    try:
        with warnings.catch_warnings(action="ignore"):  # an absurd shape is warned of before it is refused
            return np.lib.format.open_memmap(path, mode="r")  # unlike numpy.load it takes neither archives nor objects
    except Exception as error:  # a corrupt header can make NumPy raise nearly anything
        raise ValueError(f"{path} is not a sound .npy array: {' '.join(str(error).split())}") from None
