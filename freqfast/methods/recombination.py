"""Train on images recombined from two: amplitude and phase (APR), low and high frequencies (HybridAugment)."""

from collections.abc import Callable, Sequence

import torch
from torch import Tensor

from freqfast.methods.operations import random_operation
from freqfast.methods.options import Share
from freqfast.methods.pixels import ViewsMethod, replace_share
from freqfast.spectral.recombination import gaussian_low_pass, recombine_amplitude_phase


class AmplitudePhaseRecombination(ViewsMethod):
    """Combines the phases of images with the amplitude spectra of others, as `recombine_amplitude_phase` does: APR.

    After Chen et al. (2021, arXiv:2108.08487), who used two forms:

    - pair (APR-P): every image takes the amplitudes of another image of the batch, for a whole batch with probability
      0.6, and the network trains on the batch and its recombined copy: two passes per image;
    - single (APR-S): every image undergoes one random operation of AugMix at severity 3, and half of the images are
      recombined with a copy after a second operation, in either direction: one pass per image.

    Labels are those of the images that give the phases. Here the share of a batch replaces the probability, the two
    losses are averaged rather than added, pixels are clamped and rounded, and the single form comes after crop and
    flip. Nothing stays in the network.

    Args:
        share: Share of each batch that is recombined in pairs, in (0, 1]. Their partners are drawn from the same
            images, so that on average one image is its own partner and stays as it is; in small batches that is a large
            part of them.
        pair: Recombine images with others of their batch.
        single: Recombine images with copies of themselves, before the pair form.
        clean_too: Train also on each batch as it was before the pair form: two passes per image.
        mean, std: As for `PixelMethod`.

    Raises:
        ValueError: If neither form is on; otherwise as `ViewsMethod`.

    Examples:
        >>> AmplitudePhaseRecombination(pair=False, single=True).passes_per_image
        1
    """

    share: Share = 0.6
    pair: bool = True
    single: bool = False
    clean_too: bool = True

    def __post_init__(self) -> None:
        super().__post_init__()
        if not (self.pair or self.single):
            raise ValueError("pair and single are both off, so nothing would be recombined; switch one on")
        self.views = int(self.pair and self.clean_too)

    @property
    def moves_pixels(self) -> bool:  # type: ignore[override]
        """Whether random operations rotate and shift images, as those of the single form do."""
        return self.single

    def _augmented(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        if self.single:  # before the pair form
            images = replace_share(images, 1.0, self.change_alone, mean, std)
        return super()._augmented(images, mean, std) if self.pair else images

    def change(self, pixels: Tensor) -> Tensor:
        """Recombine images ``(N, C, H, W)`` with pixels in [0, 1] with others among them."""
        return recombine_amplitude_phase(pixels, _shuffled(pixels))

    def change_alone(self, pixels: Tensor) -> Tensor:
        """Recombine half of the images ``(N, C, H, W)``, pixels in [0, 1], with copies of themselves."""
        return _recombined_with_copies(pixels)


class HybridAugment(AmplitudePhaseRecombination):
    """Combines the low frequencies of images with the high ones of others: HybridAugment and HybridAugment++.

    After Yucel et al. (2023, arXiv:2307.11823), in the two forms of `AmplitudePhaseRecombination` and with the same
    departures. Low frequencies are those that `gaussian_low_pass` leaves; the authors used a sigma of 0.5. High
    frequencies are the rest, and come from the other image. Labels are those of the images that give the low
    frequencies. In HybridAugment++ the low frequencies first undergo the same form of amplitude and phase
    recombination. Nothing stays in the network.

    Args:
        share, pair, single, clean_too, mean, std: As for `AmplitudePhaseRecombination`; with `plus`, the share is also
            that of the low frequencies that are recombined.
        plus: HybridAugment++.
        sigma: Standard deviation of the blur, in pixels; of two numbers, it is drawn uniformly between them for each
            image.

    Raises:
        ValueError: If neither form is on, or sigma is not positive; otherwise as `ViewsMethod`.

    Examples:
        >>> HybridAugment(sigma=(0.4, 1.5)).change(torch.rand(4, 3, 16, 16)).shape
        torch.Size([4, 3, 16, 16])
    """

    plus: bool = False
    sigma: float | Sequence[float] = 0.5

    def __post_init__(self) -> None:
        super().__post_init__()
        sigmas = self._sigmas()
        if len(sigmas) != 2 or not 0 < sigmas[0] <= sigmas[1] < float("inf"):
            raise ValueError(f"sigma must be a positive number of pixels, or two in increasing order, got {self.sigma}")

    def _sigmas(self) -> Sequence[float]:
        """The smallest and the largest sigma."""
        return self.sigma if isinstance(self.sigma, Sequence) else (self.sigma, self.sigma)

    def change(self, pixels: Tensor) -> Tensor:
        """Give images ``(N, C, H, W)`` with pixels in [0, 1] the high frequencies of others among them."""
        return self._mix(pixels, _shuffled(pixels), self._recombine_low)

    def change_alone(self, pixels: Tensor) -> Tensor:
        """Mix half of the images ``(N, C, H, W)``, pixels in [0, 1], with copies of themselves."""
        return _with_copies(pixels, lambda low_of, high_of: self._mix(low_of, high_of, _recombined_with_copies))

    def _mix(self, low_of: Tensor, high_of: Tensor, recombine_low: Callable[[Tensor], Tensor]) -> Tensor:
        smallest, largest = self._sigmas()
        sigma = smallest + (largest - smallest) * torch.rand(len(low_of), device=low_of.device)
        low, high = gaussian_low_pass(low_of, sigma), high_of - gaussian_low_pass(high_of, sigma)
        return (recombine_low(low) if self.plus else low) + high

    def _recombine_low(self, low: Tensor) -> Tensor:
        return torch.where(_chosen(low, self.share), recombine_amplitude_phase(low, _shuffled(low)), low)


def _with_copies(pixels: Tensor, recombine: Callable[[Tensor, Tensor], Tensor]) -> Tensor:
    """Each image after a random operation; half of them recombined with a copy after another one, either way round."""
    once = random_operation(pixels)
    twice = random_operation(once)
    turned = _chosen(pixels, 0.5)
    recombined = recombine(torch.where(turned, twice, once), torch.where(turned, once, twice))
    return torch.where(_chosen(pixels, 0.5), recombined, once).clamp(0, 1)


def _recombined_with_copies(pixels: Tensor) -> Tensor:
    return _with_copies(pixels, recombine_amplitude_phase)


def _shuffled(pixels: Tensor) -> Tensor:
    return pixels[torch.randperm(len(pixels), device=pixels.device)]


def _chosen(pixels: Tensor, share: float) -> Tensor:
    """Random images, ``(N, 1, 1, 1)`` bool, each with the probability of the share."""
    return torch.rand(len(pixels), 1, 1, 1, device=pixels.device) < share
