"""Perturb the spectrum that each training sample meets."""

from collections.abc import Sequence
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.data.transforms import Normalize
from torch import Tensor

from freqfast.perturbation import check_strengths, perturb_spectrum

__all__ = ["SpectrumPerturbation"]


class SpectrumPerturbation(Callback):
    """Perturbs the power spectrum of a share of each training batch; see `freqfast.perturbation.perturb_spectrum`.

    It acts on pixels in [0, 1], so it undoes and redoes the DataLoaders' normalisation for the samples that it takes.

    Args:
        share: Share of each batch that is perturbed, in (0, 1].
        gain: Largest loss of log amplitude, DC spared; 0 for none.
        tilt: Largest radial tilt; 0 for none.
        jitter: Largest standard deviation of the log amplitude, by frequency; 0 for none.
        noise: Largest standard deviation of the added noise, in pixel values; 0 for none.
        mean: Channel means of the normalisation; by default those of the DataLoaders' `Normalize`.
        std: Its standard deviations.

    Raises:
        ValueError: If a strength is negative or the share lies outside (0, 1]; in fit, if the images are not in [0, 1]
            and no normalisation is known.
    """

    run_valid = False
    # After MixUp and CutMix (0), so that a mixture meets one spectrum; before CastToTensor (9) and autocast (10).
    order = 8

    def __init__(
        self,
        share: float = 0.25,
        gain: float = 1.6,
        tilt: float = 0.7,
        jitter: float = 0.0,
        noise: float = 0.1,
        mean: Sequence[float] | None = None,
        std: Sequence[float] | None = None,
    ) -> None:
        check_strengths(gain=gain, tilt=tilt, jitter=jitter, noise=noise)
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {share}")
        if (mean is None) != (std is None):
            raise ValueError("mean and std go together; pass both or neither")
        self.share = share
        self.strengths = {"gain": gain, "tilt": tilt, "jitter": jitter, "noise": noise}
        self.pixel_mean, self.pixel_std = mean, std

    def before_batch(self) -> None:
        """Replace a random share of the batch."""
        batch = self.learn.xb[0]
        images = batch.as_subclass(Tensor)
        rows = torch.randperm(len(images), device=images.device)[: round(self.share * len(images))]
        if len(rows) == 0:
            return
        mean, std = self._normalisation(images)
        pixels = images[rows] * std + mean
        if self.learn.train_iter == 0:
            self._check_range(pixels)
        perturbed = perturb_spectrum(pixels, **self.strengths)  # type: ignore[arg-type]
        images = images.clone()
        images[rows] = ((perturbed - mean) / std).to(images.dtype)
        self.learn.xb = (images.as_subclass(type(batch)), *self.learn.xb[1:])

    def _normalisation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(1, C, 1, 1)`` between pixels and what the model sees."""
        mean: Any = self.pixel_mean
        std: Any = self.pixel_std
        if mean is None or std is None:
            pipeline = getattr(self.learn.dl, "after_batch", None)
            normalize = next((f for f in getattr(pipeline, "fs", []) if isinstance(f, Normalize)), None)
            mean, std = (0.0, 1.0) if normalize is None else (normalize.mean, normalize.std)
        shape, device = (1, -1, 1, 1), images.device
        mean, std = (torch.as_tensor(x, dtype=torch.float32, device=device).view(shape) for x in (mean, std))
        return mean, std

    @staticmethod
    def _check_range(pixels: Tensor) -> None:
        low, high = float(pixels.min()), float(pixels.max())
        # Some may lie outside, such as RandomErasing's normal noise; of images on another scale most pixels do.
        if float(((pixels < -0.01) | (pixels > 1.01)).float().mean()) > 0.05:
            raise ValueError(
                f"pixels run from {low:.3g} to {high:.3g} instead of 0 to 1 once the DataLoaders' Normalize (if any) "
                "is undone; pass mean= and std= of your own normalisation"
            )
