"""Blurs: Gaussian, defocus, glass, motion and zoom."""

from __future__ import annotations

from torch import Tensor

from freqfast.corruptions.filters import gaussian_filter
from freqfast.corruptions.pixels import to_levels, to_unit
from freqfast.corruptions.random import BatchRandom


def gaussian_blur(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """Isotropic Gaussian of ``sigma`` pixels, channels apart."""
    sigma = (0.4, 0.6, 0.7, 0.8, 1.0)[severity - 1]
    return to_levels(gaussian_filter(to_unit(images), sigma))
