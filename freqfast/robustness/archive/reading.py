"""Corrupted images in the published layout: ``<corruption>.npy`` and ``labels.npy`` in a folder."""

import hashlib
import warnings
from collections.abc import Sequence
from pathlib import Path

import numpy as np

from freqfast.corruptions import BAR, CORRUPTIONS, SEVERITIES
from freqfast.data.cifar10 import CLASSES as CIFAR10
from freqfast.robustness.archive.manifest import MANIFEST, read_manifest
from freqfast.robustness.cells import CellSource

__all__ = ["stored_source"]


def stored_source(
    folder: str | Path,
    limit: int | None = None,
    required: Sequence[str] | None = None,
    only: Sequence[str] | None = None,
) -> CellSource:
    """A folder in the published CIFAR-10-C layout.

    Each file holds five blocks of equal length, severity 1 first; all blocks show the same images, so their labels
    repeat. A file is memory-mapped when its turn comes and let go after it. Where ``freqfast corrupt`` has left a
    manifest, the files hold the severities that it lists, and corruptions of other packages count as well.

    Args:
        folder: The folder.
        limit: Images of each block to use, from its start; all by default.
        required: Corruptions to use, each of which must be there; by default all that are there.
        only: Leave out all but these; some may be missing.

    Raises:
        FileNotFoundError: If the folder, the labels, or one of `required` is missing, or all of `only` are.
        ValueError: If a file is not what the layout says; the message names it. All are checked here.
    """
    folder = Path(folder)
    if not folder.is_dir():
        raise FileNotFoundError(f"{folder} is not a folder; name one that holds labels.npy and <corruption>.npy files")
    manifest = read_manifest(folder)
    severities = manifest.severities if manifest else SEVERITIES
    if limit is not None and limit < 1:
        raise ValueError(f"limit must be at least 1, got {limit}")
    labels = _read_labels(folder / "labels.npy", len(severities))
    known = dict.fromkeys(only or (*CORRUPTIONS, *BAR, *(manifest.corruptions if manifest else ())))
    there = [corruption for corruption in known if (folder / f"{corruption}.npy").exists()]
    if not there:
        raise FileNotFoundError(
            f"{folder} holds none of the corruptions looked for; the first is {next(iter(known))}.npy"
        )
    if absent := [corruption for corruption in required or () if corruption not in there]:
        raise FileNotFoundError(f"{folder} holds no {absent[0]}; it holds {', '.join(there)}")
    names = tuple(dict.fromkeys(required or there))
    images = _StoredImages(folder, severities, len(labels), min(len(labels), limit or len(labels)))
    first = hashlib.sha256()
    for corruption in names:
        for block in images.open(corruption)[:: len(labels)]:
            first.update(block.tobytes())
    return CellSource(
        str(folder),
        names,
        severities,
        labels[: images.used],
        images.read,
        sha256=(hashlib.sha256((folder / MANIFEST).read_bytes()) if manifest else first).hexdigest(),
        seed=manifest.seed if manifest else None,
        classes=manifest.classes if manifest else CIFAR10 if _are_cifar10(labels) else None,
    )


class _StoredImages:
    """The files of a folder, one of them mapped at a time: what is mapped counts as memory of this process."""

    def __init__(self, folder: Path, severities: Sequence[int], block: int, used: int) -> None:
        self.folder, self.severities, self.block, self.used = folder, tuple(severities), block, used
        self._mapped: tuple[str, np.ndarray] | None = None
        self._size: tuple[int, ...] | None = None

    def read(self, corruption: str, severity: int) -> np.ndarray:
        if self._mapped is None or self._mapped[0] != corruption:
            self._mapped = None  # before the next one is opened
            self._mapped = corruption, self.open(corruption)
        start = self.severities.index(severity) * self.block
        return self._mapped[1][start : start + self.used]

    def open(self, corruption: str) -> np.ndarray:
        path, count = self.folder / f"{corruption}.npy", self.block * len(self.severities)
        images = _map(path)
        if images.dtype != np.uint8 or images.ndim != 4 or images.shape[3] != 3 or len(images) != count:
            raise ValueError(
                f"{path} must be uint8 of shape ({count}, H, W, 3) like labels.npy, got {images.dtype} of shape "
                f"{images.shape}"
            )
        if not images.size:
            raise ValueError(f"{path} holds images without pixels, of shape {images.shape}")
        self._size = self._size or images.shape[1:3]
        if images.shape[1:3] != self._size:
            raise ValueError(f"{path} must hold images of {self._size} like the other files, got {images.shape[1:3]}")
        return images


def _read_labels(path: Path, blocks: int) -> np.ndarray:
    """Labels of one block, int64 ``(N,)``, once all blocks are known to have the same."""
    labels = _map(path)
    if labels.ndim != 1 or labels.dtype.kind not in "iu" or len(labels) == 0 or len(labels) % blocks:
        raise ValueError(
            f"{path} must hold integers, a multiple of {blocks} of them, got {labels.dtype} of shape {labels.shape}"
        )
    by_block = np.array(labels).reshape(blocks, -1)
    if (by_block != by_block[0]).any():
        raise ValueError(f"{path} must repeat the images' labels {blocks} times, once for each severity, but does not")
    if by_block.min() < 0 or by_block.max() > 2**31:
        raise ValueError(f"{path} must hold class numbers, got {by_block.min()} to {by_block.max()}")
    return by_block[0].astype(np.int64)


def _are_cifar10(labels: np.ndarray) -> bool:
    """Whether labels can be those of CIFAR-10's test set, which has a thousand images of each of ten classes."""
    return len(labels) == 10_000 and labels.max() < 10 and set(np.bincount(labels)) == {1000}


def _map(path: Path) -> np.ndarray:
    """Memory-map an array without ever unpickling."""
    if not path.is_file():
        raise FileNotFoundError(f"{path} is missing")
    try:
        with warnings.catch_warnings(action="ignore"):  # an absurd shape is warned of before it is refused
            return np.lib.format.open_memmap(path, mode="r")  # unlike numpy.load it takes neither archives nor objects
    except Exception as error:  # a damaged header can make NumPy raise nearly anything
        raise ValueError(f"{path} is not a sound .npy array: {' '.join(str(error).split())}") from None
