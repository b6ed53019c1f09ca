"""Noise with a spectrum: blue noise that chooses pixels, and brownish noise that is added."""

import math

import torch
from torch import Tensor

from freqfast.corruptions.pixels import truncate
from freqfast.corruptions.streams import BatchRandom
from freqfast.spectral.spectrum import frequencies


def blue_noise_sample(images: Tensor, rng: BatchRandom, threshold: float) -> Tensor:
    """Turn to black the pixels where blue noise is below ``threshold`` standard deviations.

    The amplitudes of blue noise are proportional to frequency.
    """
    noise = _noise(_cycles(images), 1, rng)
    return images.mul_(noise > threshold)


def brownish_noise(images: Tensor, rng: BatchRandom, scale: float) -> Tensor:
    """Add to each channel noise of standard deviation ``scale`` levels, with amplitudes as ``1 / (cycles^2 + 1)``.

    The amplitude at zero frequency is the largest of all: images also become lighter or darker.
    """
    noise = _noise(1 / (_cycles(images) ** 2 + 1), 3, rng)
    return truncate(noise.mul_(scale).add_(images))


def _cycles(images: Tensor) -> Tensor:
    """Radial frequency in cycles per shorter side: float64 ``(H, W)``, zero frequency in the centre."""
    height, width = images.shape[2:]
    radial = torch.hypot(frequencies(height)[:, None], frequencies(width))
    return radial.mul_(min(height, width)).to(images.device)


def _noise(amplitude: Tensor, channels: int, rng: BatchRandom) -> Tensor:
    """Noise of standard deviation 1: float64 ``(n, channels, H, W)``.

    It is the real part of the inverse DFT of a spectrum with the given amplitudes ``(H, W)``, zero frequency in the
    centre, and random phases. As published, half of the phases are drawn, and the other half are the same ones rotated
    by 180 degrees but not negated. So the signal is not real, and a trace of point symmetry is left in the noise.
    """
    height, width = amplitude.shape
    points = height * width
    half = rng.uniform(0.0, 2 * math.pi, (channels, (points + 1) // 2))
    # Column by column, so that the second half is the columns on the right.
    phase = torch.cat((half, half[..., : points // 2].flip(-1)), dim=-1).unflatten(-1, (width, height)).mT
    spectrum = torch.polar(amplitude.expand_as(phase), phase)
    noise = torch.fft.ifft2(torch.fft.ifftshift(spectrum, dim=(-2, -1))).real
    return noise / noise.std(dim=(-2, -1), correction=0, keepdim=True)
