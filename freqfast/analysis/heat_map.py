"""The Fourier heat map: a classifier's error under each 2-D Fourier basis perturbation."""

import numpy as np
from numpy.typing import NDArray

from freqfast.analysis.filtering import accuracy
from freqfast.analysis.results import MAX_NORM, HeatMap
from freqfast.models.classifier import Classifier
from freqfast.progress import Progress
from freqfast.spectral.spectrum import frequency_pairs

__all__ = ["check_norm", "fourier_basis", "fourier_heat_map"]

CIFAR10_NORM = 4.0
"""The L2 norm of the perturbation of each channel that the paper uses for 32x32 images, pixels in [0, 1]."""


def fourier_basis(height: int, width: int, u: int, v: int) -> NDArray[np.float64]:
    """The real image of unit L2 norm whose DFT lives on the bins ``(u, v)`` and ``(-u, -v)``.

    A cosine of phase 45 degrees, ``(cos - sin) / sqrt(H W)``, as the paper's own program has it: with this phase one
    formula has unit norm for every bin, also for those that are their own negative.

    Args:
        height: Rows H.
        width: Columns W.
        u: Cycles per H rows.
        v: Cycles per W columns.

    Returns:
        ``(H, W)``.
    """
    phase = 2 * np.pi * (u * np.arange(height)[:, None] / height + v * np.arange(width)[None, :] / width)
    basis: NDArray[np.float64] = (np.cos(phase) - np.sin(phase)) / np.sqrt(height * width)
    return basis


def check_norm(norm: float) -> None:
    """Refuse a norm that no perturbation has.

    Raises:
        ValueError: If it is not positive or more than a million.
    """
    if not 0 < norm <= MAX_NORM:
        raise ValueError(
            f"norm must be positive and at most {MAX_NORM:,.0f}, got {norm}; the paper takes {CIFAR10_NORM:g} for "
            "CIFAR-10"
        )


def fourier_heat_map(
    classifier: Classifier,
    images: np.ndarray,
    labels: np.ndarray,
    norm: float = CIFAR10_NORM,
    seed: int = 0,
    progress: Progress | None = None,
) -> HeatMap:
    """Error of a classifier under every Fourier basis perturbation (Yin et al., 2019, arXiv:1906.08988).

    Each channel of each image has the basis image added with a random sign of its own, scaled to the norm; the sum is
    not clamped, so the perturbation has this norm and this frequency exactly. A frequency and its negative share a
    basis image and so an error: a 32x32 map takes 514 passes over the images.

    Args:
        classifier: The model.
        images: uint8 ``(N, H, W, 3)``.
        labels: ``(N,)``.
        norm: L2 norm of the perturbation of each channel, for pixels in [0, 1]. The paper takes 4 for 32x32 images.
        seed: Seed of the signs, which are those of the image, channel and frequency whatever the others are.
        progress: Called as ``progress(done, total, message)`` after each pair of frequencies.

    Raises:
        ValueError: If the norm is none, see `check_norm`, or there are no images.
    """
    check_norm(norm)
    count, height, width = images.shape[:3]
    error = np.empty((height, width))
    pixels = np.asarray(images, np.float32)
    pairs = list(frequency_pairs(height, width))
    for done, ((u, v), negative) in enumerate(pairs, 1):
        signs = 1 - 2 * np.random.default_rng((seed, u, v)).integers(0, 2, (count, 1, 1, 3))
        wave = (255 * norm * fourier_basis(height, width, u, v)).astype(np.float32)
        perturbed = pixels + signs.astype(np.float32) * wave[None, :, :, None]
        error[u, v] = error[negative] = 1 - accuracy(classifier, perturbed, labels)
        if progress:
            progress(done, len(pairs), "Fourier heat map")
    return HeatMap(
        error=np.fft.fftshift(error),
        clean_error=1 - accuracy(classifier, images, labels),
        norm=norm,
        seed=seed,
        images=count,
    )
