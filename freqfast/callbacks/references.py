"""Augmentations of others, to compare with on equal terms: the same budget, a share of each batch, pixels in [0, 1]."""

from collections.abc import Sequence

import torch
from torch import Tensor
from torchvision.transforms import v2

from freqfast.callbacks.pixels import PixelCallback
from freqfast.spectral.tensors import check_not_negative

__all__ = ["AugMix", "GaussianNoise"]


class GaussianNoise(PixelCallback):
    """Adds white Gaussian noise to a share of each training batch, after Rusak et al. (2020, arXiv:2001.06057).

    Args:
        share: Share of each batch that is taken, in (0, 1].
        sigma: Standard deviation of the noise, in pixel values of [0, 1]; the result is clamped to that range.
        mean: Channel means of the normalisation; by default those of the DataLoaders' `Normalize`.
        std: Its standard deviations.

    Raises:
        ValueError: If sigma is negative or not finite; otherwise as `PixelCallback`.
    """

    def __init__(
        self,
        share: float = 0.5,
        sigma: float = 0.1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        check_not_negative(sigma=sigma)
        super().__init__(share, mean, std)
        self.sigma = sigma

    def change(self, pixels: Tensor) -> Tensor:
        """Add the noise to ``(N, C, H, W)`` pixels in [0, 1]."""
        return (pixels + self.sigma * torch.randn_like(pixels)).clamp(0, 1)


class AugMix(PixelCallback):
    """AugMix of Hendrycks et al. (2020, arXiv:1912.02781) by torchvision, without its consistency loss.

    The four operations that resemble test corruptions (brightness, colour, contrast, sharpness) are left out, as its
    authors did for their results on CIFAR-10-C. Each image is mixed by itself, so this is the slowest of the callbacks.

    Args:
        share: Share of each batch that is taken, in (0, 1].
        severity: Strength of the operations, 1 to 10.
        mean: Channel means of the normalisation; by default those of the DataLoaders' `Normalize`.
        std: Its standard deviations.

    Raises:
        ValueError: If the severity is out of range; otherwise as `PixelCallback`.
    """

    def __init__(
        self,
        share: float = 1.0,
        severity: int = 3,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        super().__init__(share, mean, std)
        self.mixture = v2.AugMix(severity, all_ops=False)

    def change(self, pixels: Tensor) -> Tensor:
        """Mix each of ``(N, 3, H, W)`` pixels in [0, 1], in steps of 1/255."""
        levels = (255 * pixels).round().clamp(0, 255).to(torch.uint8).cpu()  # many small steps, slow on a GPU
        return torch.stack([self.mixture(image) for image in levels]).to(pixels.device, pixels.dtype) / 255
