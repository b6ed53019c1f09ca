"""Noise: Gaussian, shot, impulse and speckle, drawn for each pixel and channel separately.

Images have 8 bits and all four act on each value alone. So each noise is exactly a table: the distribution of the
output level for each of the 256 input levels. The tables are computed from the distribution functions and include the
published data's truncation to 8 bits. Values are drawn by Walker's alias method: one 32-bit number and one table
look-up per value, in integers only, hence the same bytes on every device.
"""

from collections.abc import Callable
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy.special import gammaln, ndtr, xlogy
from torch import Tensor

from freqfast.corruptions.streams import BatchRandom

_FRACTION_BITS = 24  # of a 32-bit draw, 8 bits choose the column and 24 decide between it and its alias


def gaussian_noise(images: Tensor, rng: BatchRandom, scale: float) -> Tensor:
    """Add ``N(0, scale)``."""
    return _draw(images, rng, _gaussian_law, scale)


def shot_noise(images: Tensor, rng: BatchRandom, rate: float) -> Tensor:
    """Count photons: ``Poisson(x rate) / rate``."""
    return _draw(images, rng, _shot_law, rate)


def impulse_noise(images: Tensor, rng: BatchRandom, amount: float) -> Tensor:
    """Turn a share ``amount`` of the values to black or white, half each, in each channel separately."""
    return _draw(images, rng, _impulse_law, amount)


def speckle_noise(images: Tensor, rng: BatchRandom, scale: float) -> Tensor:
    """Add ``x N(0, scale)``."""
    return _draw(images, rng, _speckle_law, scale)


def _draw(images: Tensor, rng: BatchRandom, law: Callable[[float], np.ndarray], parameter: float) -> Tensor:
    """Sample the outgoing level of every value from its row of a law's alias table.

    All in int32: indices, masks and choices of other types take torch two to ten times as long.
    """
    draw = rng.bits(images.shape[1:], torch.int32)
    column = draw & 255
    index = images.to(torch.int32).mul_(256).add_(column)
    cell = _table(law, parameter, images.device).index_select(0, index.view(-1)).view_as(index)
    alias, threshold = cell & 255, cell & -256
    return column.sub_(alias).mul_(draw.lt_(threshold)).add_(alias).to(torch.uint8)


@lru_cache(maxsize=64)
def _table(law: Callable[[float], np.ndarray], parameter: float, device: torch.device) -> Tensor:
    return torch.from_numpy(_alias_table(law(parameter))).to(device)


def _gaussian_law(scale: float) -> NDArray[np.float64]:
    level = np.arange(256)
    return _law_from_edges((np.arange(1, 256) - level[:, None]) / (255 * scale))


def _speckle_law(scale: float) -> NDArray[np.float64]:
    level = np.arange(256)[:, None]
    with np.errstate(divide="ignore"):  # black stays black: its edges are all infinitely far
        return _law_from_edges((np.arange(1, 256) / level - 1) / scale)


def _law_from_edges(edges: NDArray[np.float64]) -> NDArray[np.float64]:
    """Rows of level probabilities for a standard normal cut at ``edges`` ``(256, 255)``."""
    return np.diff(ndtr(edges), prepend=0.0, append=1.0)


def _shot_law(rate: float) -> NDArray[np.float64]:
    mean = np.arange(256) / 255 * rate
    count = np.arange(int(rate + 12 * np.sqrt(rate)) + 1)
    level = (np.clip(count / rate, 0, 1) * 255).astype(np.uint8)
    mass = np.exp(xlogy(count, mean[:, None]) - gammaln(count + 1) - mean[:, None])
    law = np.zeros((256, 256))
    np.add.at(law.T, level, mass.T)
    return law


def _impulse_law(amount: float) -> NDArray[np.float64]:
    law = np.eye(256) * (1 - amount)
    law[:, [0, 255]] += amount / 2
    return law


def _alias_table(law: NDArray[np.float64]) -> NDArray[np.int32]:
    """Walker's alias table of every row of ``law`` ``(256, 256)``, flattened.

    A cell packs the threshold (signed, in the upper 24 bits) with the alias (lower 8 bits): one look-up gives both.
    """
    mass = law / law.sum(axis=1, keepdims=True) * 256
    share = np.ones_like(mass)
    alias = np.broadcast_to(np.arange(256), mass.shape).copy()
    rows = np.arange(256)
    poorest, richest = mass, mass.copy()  # without the filled columns, which are infinite in both
    for _ in range(255):
        poor, rich = poorest.argmin(axis=1), richest.argmax(axis=1)
        short = np.clip(1 - poorest[rows, poor], 0, 1)
        share[rows, poor], alias[rows, poor] = 1 - short, rich
        poorest[rows, rich] -= short
        richest[rows, rich] -= short
        poorest[rows, poor], richest[rows, poor] = np.inf, -np.inf
    threshold = np.rint((share - 0.5) * 2**_FRACTION_BITS).astype(np.int64)
    full = threshold >= 2 ** (_FRACTION_BITS - 1)  # does not fit 24 bits: let both outcomes be the column itself
    alias[full], threshold[full] = np.nonzero(full)[1], 0
    return np.asarray(threshold * 256 + alias, dtype=np.int32).reshape(-1)
