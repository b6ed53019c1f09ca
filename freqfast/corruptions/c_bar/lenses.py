"""Lens errors, by cubic B-splines: a blur along circles, and different magnifications of the colours."""

import math
from functools import lru_cache

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from torch import Tensor

from freqfast.corruptions.pixels import LAST_BIT, truncate
from freqfast.corruptions.streams import BatchRandom

_TURNS = 21


def circular_motion_blur(images: Tensor, rng: BatchRandom, degrees: float) -> Tensor:
    """The weighted mean of the image turned about its centre by 21 angles from ``-degrees`` to ``degrees``.

    Weights are Gaussian, from 1 in the middle to exp(-2). What was outside the image is black.
    """
    height, width = images.shape[2:]
    coefficients = images.to(torch.float64).cpu().numpy()
    for axis in (2, 3):
        coefficients = ndimage.spline_filter1d(coefficients, order=3, axis=axis)
    blurred = _turning_operator(height, width, degrees) @ coefficients.reshape(-1, height * width).T
    levels = torch.from_numpy(blurred).T.reshape(images.shape).to(images.device)
    return truncate(levels.add_(LAST_BIT))


def transverse_chromatic_abberation(images: Tensor, rng: BatchRandom, excess: float) -> Tensor:
    """Magnify the three colours, in random order, by 1, ``1 + excess / 2`` and ``1 + excess``.

    As published, the pixels' own levels serve as the spline's coefficients, which blurs all three a little, even the
    one that is not magnified.
    """
    colours = rng.uniform(shape=(3,)).argsort(dim=1)
    image = torch.arange(len(images), device=images.device)
    for factor, colour in zip((1.0, 1.0 + excess / 2, 1.0 + excess), colours.T, strict=True):
        images[image, colour] = _magnify(images[image, colour], factor)
    return images


def _magnify(images: Tensor, factor: float) -> Tensor:
    """Magnify uint8 ``(n, H, W)`` by ``factor`` >= 1 about the centre, rounding to the nearest level."""
    x = images.to(torch.float64)
    for axis, size in enumerate(images.shape[1:], start=1):
        whole = round(size * factor)
        seen = (whole - size) // 2 + np.arange(size)
        taps, weights = (torch.from_numpy(a).to(x.device) for a in _cubic_taps(seen * (size - 1) / (whole - 1), size))
        lines = x.movedim(axis, -1)
        total = lines[..., taps[:, 0]] * weights[:, 0]
        for tap, weight in zip(taps.T[1:], weights.T[1:], strict=True):
            total += lines[..., tap] * weight
        x = total.movedim(-1, axis)
    return truncate(x.add_(0.5 + LAST_BIT))


@lru_cache(maxsize=5)
def _turning_operator(height: int, width: int, degrees: float) -> sparse.csr_array:
    """``circular_motion_blur`` as a linear operator on a spline's coefficients: ``(H W, H W)``."""
    pixel = np.arange(height * width)
    down, across = pixel // width - (height - 1) / 2, pixel % width - (width - 1) / 2
    shares = np.linspace(-1, 1, _TURNS)
    weights = np.exp(-2 * shares**2)
    total = sparse.csr_array((height * width, height * width))
    for angle, weight in zip(np.radians(shares * degrees), weights / weights.sum(), strict=True):
        cos, sin = math.cos(angle), math.sin(angle)
        rows = cos * down + sin * across + (height - 1) / 2
        columns = cos * across - sin * down + (width - 1) / 2
        inside = (rows >= 0) & (rows <= height - 1) & (columns >= 0) & (columns <= width - 1)
        (i, v), (j, w) = _cubic_taps(rows[inside], height), _cubic_taps(columns[inside], width)
        source = (i[:, :, None] * width + j[:, None, :]).ravel()
        parts = (weight * v[:, :, None] * w[:, None, :]).ravel()
        total = total + sparse.csr_array((parts, (pixel[inside].repeat(16), source)), total.shape)
    return total


def _cubic_taps(at: NDArray[np.float64], size: int) -> tuple[NDArray[np.int64], NDArray[np.float64]]:
    """The four coefficients of a cubic B-spline at each position ``at`` ``(m,)``, and their weights: ``(m, 4)`` each.

    Coefficients beyond the ends are mirrored, without the ends themselves.
    """
    taps = np.floor(at).astype(np.int64)[:, None] + np.arange(-1, 3)
    distance = np.abs(at[:, None] - taps)
    weights = np.where(distance < 1, 4 - 6 * distance**2 + 3 * distance**3, np.clip(2 - distance, 0, None) ** 3) / 6
    return size - 1 - np.abs(size - 1 - np.abs(taps)), weights
