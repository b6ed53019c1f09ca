"""Where corrupted images come from: a folder, or corruption on the fly."""

from collections.abc import Callable, Iterable, Iterator, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import numpy as np

from freqfast.corruptions import CORRUPTIONS, SEVERITIES, corrupt
from freqfast.corruptions.photographs import photographs_sha256
from freqfast.data.images import ImageSet
from freqfast.robustness.archive.writing import check_request, hash_images
from freqfast.robustness.keys import CLEAN, Key

__all__ = ["Cell", "CellSource", "corrupted_source"]


class Cell(NamedTuple):
    """Images of one corruption at one severity."""

    corruption: str
    severity: int
    images: np.ndarray
    """uint8 ``(N, H, W, 3)``."""
    labels: np.ndarray
    """int64 ``(N,)``."""


@dataclass(frozen=True, eq=False)
class CellSource:
    """Corrupted images, read or made when their turn comes.

    Attributes:
        name: What to call the source.
        corruptions: Names of the corruptions.
        severities: Their severities.
        labels: int64 ``(N,)``, those of every cell.
        read: ``(corruption, severity) -> images``, uint8 ``(N, H, W, 3)``.
        clean: The uncorrupted images, where they can be had, in an order of their own: as many as in every cell, but
            of a run, which is measured clean on all of its test images, more.
        sha256: Hash of what the images come from; see `Provenance`.
        seed: Seed of the corruptions, where known.
        classes: Class names, in the order of the labels, where known.
    """

    name: str
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    labels: np.ndarray
    read: Callable[[str, int], np.ndarray]
    clean: ImageSet | None = None
    sha256: str | None = None
    seed: int | None = None
    classes: tuple[str, ...] | None = None

    @property
    def keys(self) -> list[Key]:
        """All cells in order, the clean one first if there is one."""
        clean = [CLEAN] if self.clean else []
        return clean + [(name, severity) for name in self.corruptions for severity in self.severities]

    def cells(self, keys: Iterable[Key] | None = None) -> Iterator[Cell]:
        """Cells one by one, by default all; only the latest is held in memory."""
        for key in self.keys if keys is None else keys:
            if key == CLEAN and self.clean:
                yield Cell(*key, self.clean.images, self.clean.labels)
            else:
                yield Cell(*key, self.read(*key), self.labels)


def corrupted_source(
    images: ImageSet,
    corruptions: Sequence[str] = CORRUPTIONS,
    seed: int = 0,
    *,
    frost_dir: str | Path | None = None,
) -> CellSource:
    """Corrupt images on the fly, at every severity; nothing is written.

    The images are those that `freqfast.robustness.archive.writing.write_archive` writes with the same seed.

    Args:
        images: The uncorrupted images, which are evaluated as well.
        corruptions: Names, see `freqfast.corruptions`.
        seed: Seed of the corruptions.
        frost_dir: Folder of the frost photographs, see `freqfast.corruptions.corrupt`.

    Raises:
        ValueError: If a corruption is unknown.
        FileNotFoundError: If ``frost`` is wanted and its photographs are not here.
    """
    names = tuple(dict.fromkeys(corruptions))
    check_request(names, SEVERITIES, None, frost_dir)
    sha256 = hash_images(images.images, images.labels)
    if "frost" in names:
        sha256 += photographs_sha256(frost_dir)
    return CellSource(
        "images, corrupted on the fly",
        names,
        SEVERITIES,
        images.labels,
        lambda corruption, severity: corrupt(images.images, corruption, severity, seed, frost_dir=frost_dir),
        images,
        sha256,
        seed,
    )
