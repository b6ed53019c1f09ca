"""The cells of a source as networks get them."""

from typing import NamedTuple

import numpy as np


class Cell(NamedTuple):
    corruption: str
    severity: int
    images: np.ndarray
    labels: np.ndarray


def cell_of(source, key):
    images, change = source.cell(key)
    pixels = images.pixels if change is None else change(np.asarray(images.pixels), np.arange(len(images)))
    return Cell(*key, pixels, images.labels)


def cells_of(source):
    return (cell_of(source, key) for key in source.keys)
