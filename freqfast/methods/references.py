"""Augmentations by other authors, for comparison with equal budget, share of each batch and range of pixels."""

import math
from collections.abc import Callable, Sequence
from typing import Annotated, Any

import torch
from pydantic import Field
from torch import Tensor

from freqfast.methods.operations import mix_operations
from freqfast.methods.options import Share
from freqfast.methods.pixels import PixelMethod, ViewsMethod
from freqfast.records import Amount
from freqfast.spectral.waves import add_planar_waves


class GaussianNoise(PixelMethod):
    """Adds white Gaussian noise to a share of each training batch, after Rusak et al. (2020, arXiv:2001.06057).

    Args:
        share: Share of each batch that is taken, in (0, 1].
        sigma: Standard deviation of the noise, from 0, in pixel values of [0, 1].
        mean, std: As for `PixelMethod`.

    Examples:
        >>> GaussianNoise(sigma=0.1).change(torch.zeros(2, 3, 8, 8)).shape
        torch.Size([2, 3, 8, 8])
    """

    share: Share = 0.5
    sigma: Amount = 0.1

    def change(self, pixels: Tensor) -> Tensor:
        """Add the noise to ``(N, C, H, W)`` pixels in [0, 1]."""
        return pixels + self.sigma * torch.randn_like(pixels)


class AugMix(ViewsMethod):
    """AugMix of Hendrycks et al. (2020, arXiv:1912.02781), with or without its consistency loss.

    The authors used a severity of 3 and a consistency factor of 12: two mixtures of every image pass through the
    network beside the image, and the Jensen-Shannon divergence of the three predictions, times 12, is added to the loss
    of the image itself. The four operations that resemble test corruptions (brightness, colour, contrast, sharpness)
    are left out, as its authors did for their results on CIFAR-10-C. Nothing stays in the network.

    Args:
        share: Share of each batch, or of its views, that is mixed, in (0, 1].
        severity: Strength of the operations, 1 to 10.
        jsd: Factor of the Jensen-Shannon divergence, for images with one label each; 0 trains on mixtures instead of
            the images, with one pass per image.
        mean, std: As for `PixelMethod`.

    Raises:
        ValueError: If the severity or the factor is out of range; otherwise as `ViewsMethod`, also for targets that
            do not follow moved pixels.

    Examples:
        >>> AugMix(jsd=12.0).passes_per_image
        3
    """

    share: Share = 1.0
    severity: Annotated[int, Field(ge=1, le=10)] = 3
    jsd: Amount = 0.0

    moves_pixels = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.views = 2 if self.jsd else 0

    def change(self, pixels: Tensor) -> Tensor:
        """Mix each of the images ``(N, C, H, W)``, pixels in [0, 1]."""
        return mix_operations(pixels, self.severity)

    def combine(
        self, criterion: Callable[[Tensor, Any], Tensor], loss: Tensor, outputs: Sequence[Tensor], labels: Any
    ) -> Tensor:
        """Add the divergence to the loss of the images themselves."""
        if outputs[0][0].numel() < 2 or (isinstance(labels, Tensor) and labels.is_floating_point()):
            raise ValueError("jsd compares probabilities of classes, of images with one label each; else pass jsd=0")
        return loss + self.jsd * jensen_shannon(outputs)


class FourierBasisAugmentation(ViewsMethod):
    """Adds a planar wave to each channel of a share of each batch, as `freqfast.spectral.waves.add_planar_waves` does.

    After the AFA of Vaish, Wang and Strisciuglio (2024, arXiv:2403.01944), who train on each batch and on a copy of it
    with waves, and average the two losses: two passes per image. Their copies pass through separate BatchNorm layers;
    here batches and copies share those of the network, and nothing is added to it.

    Args:
        share: Share of each batch, or of its copy, that is changed, in (0, 1].
        strength: Mean of the L2 norm of a wave, from 0, for an image of 32x32; see `add_planar_waves`.
        clean_too: Train on each batch and a changed copy of it, at two passes per image, rather than on changed
            batches.
        mean, std: As for `PixelMethod`.

    Examples:
        >>> FourierBasisAugmentation(share=0.5, clean_too=False).passes_per_image
        1
    """

    share: Share = 1.0
    strength: Amount = 10.0
    clean_too: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        self.views = int(self.clean_too)

    def change(self, pixels: Tensor) -> Tensor:
        """Add the waves to ``(N, C, H, W)`` pixels in [0, 1]."""
        return add_planar_waves(pixels, self.strength)


def jensen_shannon(logits: Sequence[Tensor]) -> Tensor:
    """Jensen-Shannon divergence of several predictions ``(N, classes)``, in nats, averaged over the batch.

    It runs from 0, for equal predictions, to the logarithm of their number.

    Examples:
        >>> jensen_shannon([torch.tensor([[50.0, 0.0]]), torch.tensor([[0.0, 50.0]])]).exp()
        tensor(2.)
    """
    logs = torch.stack([each.log_softmax(1) for each in logits])
    mixture = logs.logsumexp(0) - math.log(len(logits))
    return (logs.exp() * (logs - mixture)).sum(2).mean()
