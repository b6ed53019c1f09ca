"""What the callbacks that change training images share: which samples, when, and on which scale of pixels."""

import math
from collections.abc import Sequence
from typing import Any

import torch
from fastai.callback.core import Callback
from fastai.data.transforms import Normalize
from torch import Tensor

__all__ = ["PixelCallback"]


class PixelCallback(Callback):
    """Replaces a random share of each training batch by `change` of its pixels in [0, 1], in steps of 1/255.

    It undoes and redoes the DataLoaders' normalisation for the samples that it takes. The steps are those of an image
    file: contrast or detail that is attenuated below them is lost for good, as it is in a degraded photograph.

    Args:
        share: Share of each batch that is replaced, in (0, 1]: ``share * N`` images, rounded at random where that is no
            whole number, so that small batches get their share over time.
        mean: Channel means of the normalisation; by default those of the DataLoaders' `Normalize`.
        std: Its standard deviations.

    Raises:
        ValueError: If the share lies outside (0, 1], or mean comes without std; in fit, if the images are not in [0, 1]
            and no normalisation is known.
    """

    run_valid = False
    # After MixUp and CutMix (0), so that a mixture is changed as one; before CastToTensor (9) and autocast (10).
    order = 8

    def __init__(self, share: float, mean: Sequence[float] | None = None, std: Sequence[float] | None = None) -> None:
        if not 0 < share <= 1:
            raise ValueError(f"share must lie in (0, 1], got {share}")
        if (mean is None) != (std is None):
            raise ValueError("mean and std go together; pass both or neither")
        self.share = share
        self.pixel_mean, self.pixel_std = mean, std

    def change(self, pixels: Tensor) -> Tensor:
        """New pixels in [0, 1] for float ``(N, C, H, W)`` pixels, for a subclass to give."""
        raise NotImplementedError

    def before_fit(self) -> None:
        """Refuse a second one of the class, as there is when a notebook's cell runs twice.

        Raises:
            ValueError: If there is another one.
        """
        kind = type(self)
        if any(type(other) is kind and other is not self for other in self.learn.cbs):
            raise ValueError(
                f"the Learner has two {kind.__name__}; call learn.remove_cb({kind.__name__}) and add one again"
            )

    def before_batch(self) -> None:
        """Replace a random share of the batch."""
        batch = self.learn.xb[0]
        images = batch.as_subclass(Tensor)
        mean, std = self._normalisation(images)
        if self.learn.train_iter == 0 and len(images):
            self._check_range(images * std + mean)
        rows = torch.randperm(len(images), device=images.device)[: round_at_random(self.share * len(images))]
        if len(rows) == 0:
            return
        changed = (self.change(images[rows] * std + mean) * 255).round() / 255
        images = images.clone()
        images[rows] = ((changed - mean) / std).to(images.dtype)
        self.learn.xb = (images.as_subclass(type(batch)), *self.learn.xb[1:])

    def _normalisation(self, images: Tensor) -> tuple[Tensor, Tensor]:
        """Mean and standard deviation ``(1, C, 1, 1)`` between pixels and what the model sees."""
        mean: Any = self.pixel_mean
        std: Any = self.pixel_std
        if mean is None or std is None:
            loader = self.learn.dl
            if not hasattr(getattr(loader, "after_batch", None), "fs"):
                loader = getattr(loader, "dl", loader)  # within a rank's DistributedDL
            pipeline = getattr(loader, "after_batch", None)
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


def round_at_random(x: float) -> int:
    """The whole number below or above, such that the mean is x; torch's generator draws only for what is between."""
    whole = math.floor(x)
    return whole + (x > whole and torch.rand((), device="cpu").item() < x - whole)
