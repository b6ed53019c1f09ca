"""Blurs: Gaussian, defocus, glass, motion and zoom."""

import torch
from torch import Tensor

from freqfast.corruptions.filters import correlate, defocus_kernel, gaussian_filter, mean_zoom, motion_filter
from freqfast.corruptions.pixels import to_levels, to_unit
from freqfast.corruptions.streams import BatchRandom


def gaussian_blur(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """Isotropic Gaussian of ``sigma`` pixels, channels apart."""
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    return to_levels(gaussian_filter(to_unit(images), sigma))


def defocus_blur(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """A disk of ``radius`` pixels whose edge is smoothed by a Gaussian of ``alias_blur`` pixels."""
    radius, alias_blur = ((0.3, 0.4), (0.4, 0.5), (0.5, 0.6), (1.0, 0.2), (1.5, 0.1))[severity - 1]
    return to_levels(correlate(to_unit(images), defocus_kernel(radius, alias_blur)))


def glass_blur(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """Gaussian, ``passes`` of a local shuffle, Gaussian.

    The generator of the published data visits the pixels from the lower right and means to swap each with one at
    ``(h + dy, w + dx)``, but through NumPy views that alias it copies that one's value. With ``dx`` and ``dy`` in
    {-1, 0} the value comes from a pixel not visited yet, so a pass is one simultaneous choice among four.
    """
    sigma, passes = ((0.05, 1), (0.25, 1), (0.4, 1), (0.25, 2), (0.4, 2))[severity - 1]
    shuffled = to_levels(gaussian_filter(to_unit(images), sigma))
    height, width = images.shape[2:]
    for _ in range(passes):
        coin = rng.bits((1, height - 2, width - 2), torch.uint8)
        left, up = (coin & 1).bool(), (coin & 2).bool()
        here, above = shuffled[..., 2:, :], shuffled[..., 1:-1, :]
        shuffled[..., 2:, 2:] = torch.where(
            up,
            torch.where(left, above[..., 1:-1], above[..., 2:]),
            torch.where(left, here[..., 1:-1], here[..., 2:]),
        )
    return to_levels(gaussian_filter(to_unit(shuffled), sigma))


def motion_blur(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """A one-sided Gaussian trail along an angle in U(-45, 45) degrees."""
    radius, sigma = ((6, 1.0), (6, 1.5), (6, 2.0), (8, 2.0), (9, 2.5))[severity - 1]
    return motion_filter(images, radius, sigma, degrees=rng.uniform(-45.0, 45.0))


def zoom_blur(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """The mean of the image and of its magnifications by 1, 1.01, ... up to ``stop``."""
    stop = (1.06, 1.11, 1.16, 1.21, 1.26)[severity - 1]
    return mean_zoom(images, stop)
