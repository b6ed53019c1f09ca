"""Planar waves added to images: each a single frequency."""

import math

import torch
from torch import Tensor

from freqfast.spectral.tensors import check_batch


def add_planar_waves(images: Tensor, strength: float = 10.0, generator: torch.Generator | None = None) -> Tensor:
    """Add one planar wave of random frequency, direction and amplitude to each channel of each image.

    Let n be the longer side, and x and y the distances from the centre in pixels. With ``f`` drawn from 1/n, 2/n, ...,
    1 cycles/pixel (a component u above 1/2 along an axis appears at 1 - u) and ``w ~ U(0, pi)``, the wave is
    ``sin(2 pi f (x cos w + y sin w) - pi / 4)``, scaled to an L2 norm over the image that is exponentially distributed.
    The result is clamped to [0, 1].

    After Vaish, Wang and Strisciuglio (2024, arXiv:2403.01944), who place pixels n / (n - 1) apart.

    Args:
        images: ``(N, C, H, W)`` float pixels in [0, 1]; half types are computed in float32.
        strength: Mean of 32 times the wave's root mean square in pixel values, which is its L2 norm in an image of
            32x32.
        generator: Source of randomness on the images' device; None for torch's own.

    Examples:
        >>> images = torch.full((2, 3, 32, 32), 0.5)
        >>> waves = add_planar_waves(images, 1.0, torch.Generator().manual_seed(0)) - images
        >>> waves.flatten(2).norm(dim=2).shape
        torch.Size([2, 3])
    """
    check_batch(images)
    count, channels, height, width = images.shape
    shape, device, longer = (count, channels, 1, 1), images.device, max(height, width)
    frequency = torch.randint(1, longer + 1, shape, device=device, generator=generator) / longer
    angle = torch.pi * torch.rand(shape, device=device, generator=generator)
    norm = torch.empty(shape, device=device).exponential_(generator=generator)
    norm = norm * strength * math.sqrt(height * width) / 32
    y = torch.arange(height, device=device)[:, None] - (height - 1) / 2
    x = torch.arange(width, device=device) - (width - 1) / 2
    wave = (2 * torch.pi * frequency * (x * angle.cos() + y * angle.sin()) - torch.pi / 4).sin()
    wave = wave * (norm / wave.norm(dim=(2, 3), keepdim=True))
    return (images + wave).clamp(0, 1).to(images.dtype)
