"""Images that are corrupted when they are used, so that a set of any size takes the memory of a batch."""

from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import numpy as np
from numpy.typing import NDArray

from freqfast.corruptions import corrupt
from freqfast.corruptions.tables import TableChoice


@dataclass(frozen=True, eq=False)
class CorruptedImages:
    """Corrupted images in place of an array ``(N, H, W, 3)``: slicing is free, and `numpy.asarray` corrupts.

    They are the images that `corrupt` makes from the whole set; its arguments are attributes here.

    Attributes:
        images: The uncorrupted images, an array or a `freqfast.data.image_files.ImageFiles`.
        index: Positions of the images in the whole set; by default they are the whole set.

    Examples:
        >>> images = np.full((100, 32, 32, 3), 128, np.uint8)
        >>> noisy = CorruptedImages(images, "gaussian_noise", 3)
        >>> bool((np.asarray(noisy[40:50]) == np.asarray(noisy)[40:50]).all())
        True
    """

    images: Any
    corruption: str
    severity: int
    seed: int = 0
    frost_dir: str | Path | None = None
    table: TableChoice = "auto"
    index: range | None = None

    def __len__(self) -> int:
        return len(self.images)

    def __getitem__(self, rows: slice) -> "CorruptedImages":
        return replace(self, images=self.images[rows], index=(self.index or range(len(self)))[rows])

    @property
    def shape(self) -> tuple[int, ...]:
        """``(N, H, W, 3)``."""
        return tuple(self.images.shape)

    def __array__(self, dtype: Any = None, copy: bool | None = None) -> NDArray[np.uint8]:
        key = self.corruption, self.severity, self.seed
        found = corrupt(np.asarray(self.images), *key, index=self.index, frost_dir=self.frost_dir, table=self.table)
        return found if dtype is None else found.astype(dtype, copy=False)
