"""Cells, which are the images of one corruption at one severity, their names, and sources of them."""

from collections.abc import Callable, Mapping
from dataclasses import dataclass
from typing import Annotated, Any, TypeAlias, TypeVar

import numpy as np
from numpy.typing import NDArray
from pydantic import AfterValidator

from freqfast.corruptions import SEVERITIES
from freqfast.data.images import Images

T = TypeVar("T")

Change: TypeAlias = Callable[[NDArray[Any], NDArray[np.int64]], NDArray[Any]]
"""``(pixels, rows) -> pixels``: changes a batch ``(n, H, W, 3)`` of levels from 0 to 255, whose places are `rows`."""

Key = tuple[str, int]
"""A corruption and a severity."""

CLEAN: Key = ("clean", 0)
"""The cell of uncorrupted images."""


def key_text(key: Key) -> str:
    """A cell's name in messages, such as ``fog 3``."""
    return key[0] if key == CLEAN else f"{key[0]} {key[1]}"


def by_name(values: Mapping[Key, T]) -> dict[str, dict[int, T]]:
    """Values of cells, by corruption and then by severity."""
    found: dict[str, dict[int, T]] = {}
    for (name, severity), value in values.items():
        found.setdefault(name, {})[severity] = value
    return found


def check_key(key: Key) -> Key:
    """Refuse a cell's name that cannot be printed, and a severity that is not in `SEVERITIES`."""
    name, severity = key
    if not name.isprintable() or (key != CLEAN and severity not in SEVERITIES):
        raise ValueError(f"{name!r:.40} {severity} is no corruption and severity")
    return key


CheckedKey = Annotated[Key, AfterValidator(check_key)]
"""A `Key` in a record."""


@dataclass(frozen=True, eq=False)
class CellSource:
    """Corrupted images, each cell read or made when it is needed.

    Attributes:
        name: What to call the source.
        corruptions: Names of the corruptions.
        severities: Their severities.
        labels: int64 ``(N,)``, the labels of every cell.
        read: ``(corruption, severity) -> (pixels, change)``: the pixels, as `Images` has them, and what corrupts them,
            None for pixels that are corrupted already.
        clean: The uncorrupted images, if available. They may be more images than those of a cell, as in a run, and in
            another order.
        sha256: Hash of the images' source; see `Provenance`.
        seed: Seed of the corruptions, where known.
        classes: Class names, in the order of the labels, where known.
        table: Whose parameters made the images, where freqfast made them.

    Examples:
        >>> images = np.zeros((2, 32, 32, 3), np.uint8)
        >>> source = CellSource("black", ("fog",), (1, 5), np.array([0, 1]), lambda *key: (images, None))
        >>> source.keys
        [('fog', 1), ('fog', 5)]
    """

    name: str
    corruptions: tuple[str, ...]
    severities: tuple[int, ...]
    labels: np.ndarray
    read: Callable[[str, int], tuple[np.ndarray, Change | None]]
    clean: Images | None = None
    sha256: str | None = None
    seed: int | None = None
    classes: tuple[str, ...] | None = None
    table: str | None = None

    @property
    def keys(self) -> list[Key]:
        """All cells in order, the clean one first if there is one."""
        clean = [CLEAN] if self.clean else []
        return clean + [(name, severity) for name in self.corruptions for severity in self.severities]

    def cell(self, key: Key) -> tuple[Images, Change | None]:
        """The images of a cell, and what corrupts them."""
        if key == CLEAN and self.clean:
            return self.clean, None
        pixels, change = self.read(*key)
        return Images(pixels, self.labels), change
