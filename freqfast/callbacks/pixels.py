"""The base of callbacks that change training images: which samples, when, and in which range of pixels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import torch
from fastai.data.transforms import Normalize
from fastai.learner import CastToTensor
from fastai.torch_core import TensorImageBase
from fastai.vision.core import TensorPoint
from pydantic import FiniteFloat
from torch import Tensor

from freqfast.callbacks.base import FitCallback
from freqfast.callbacks.options import Options, Share


class PixelCallback(Options, FitCallback):
    """Replaces a random share of each training batch by `change` of its pixels in [0, 1].

    It undoes and redoes the DataLoaders' normalisation for those samples. As an image file does, it clamps pixels to
    [0, 1] and rounds them to multiples of 1/255: detail that is attenuated below 1/255 is lost, as in a photograph.
    Where the model takes several images per sample, the first alone is changed. Annotated attributes of a subclass are
    further arguments.

    Args:
        share: Share of each batch that is replaced, in (0, 1]: ``share * N`` images, rounded at random if that is not a
            whole number, so that small batches get their share over time.
        mean: Channel means of the normalisation; by default those of the DataLoaders' `Normalize`.
        std: Channel standard deviations of the normalisation.

    Raises:
        ValueError: If an argument is out of range, or mean comes without std; in fit, if the Learner has another
            callback of the class, if the input is not a batch of images, if more than 5 % of the first batch's values
            are not in [0, 1] once the normalisation is undone, or if the callback moves pixels and the targets or
            further inputs (images, masks, points or boxes) would not follow.
    """

    share: Share
    mean: Sequence[FiniteFloat] | None = field(default=None, kw_only=True)
    std: Sequence[FiniteFloat] | None = field(default=None, kw_only=True)

    is_only = True
    run_valid = False
    # After MixUp and CutMix (0), so that a mixture is changed as one image; before CastToTensor and autocast.
    order = CastToTensor.order - 1
    moves_pixels = False  # as rotations do, which other images, masks, points and boxes would not follow
    passes_per_image = 1  # how many images pass through the network for each image of a batch

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together; pass both or neither")
        if self.std is not None and not min(self.std, default=0) > 0:
            raise ValueError(f"std must be greater than 0, got {self.std}")

    def change(self, pixels: Tensor) -> Tensor:
        """New pixels, to be clamped to [0, 1], for ``(N, C, H, W)`` float pixels in [0, 1]; subclasses define it."""
        raise NotImplementedError

    def before_batch(self) -> None:
        """Replace a random share of the batch."""
        self.replace(self.share, self.change)

    def replace(self, share: float, change: Callable[[Tensor], Tensor]) -> None:
        """Replace a random share of the batch by a change of its pixels in [0, 1]."""
        batch, *others = self.learn.xb
        if getattr(batch, "ndim", 0) != 4:
            got = getattr(batch, "shape", type(batch))
            raise ValueError(f"the first input must be a batch of images (N, C, H, W), got {got}")
        if self.moves_pixels and any(
            isinstance(x, (TensorImageBase, TensorPoint)) or (x.ndim > 2 and x.shape[-2:] == batch.shape[-2:])
            for x in (*others, *self.learn.yb)
            if isinstance(x, Tensor)  # of fastai's types for places in an image, or with a value for each pixel
        ):
            raise ValueError(
                f"{self} rotates and shifts images here, which other images, masks, points and boxes would not follow; "
                "use what moves no pixels, such as SpectrumPerturbation"
            )
        images = batch.as_subclass(Tensor)
        mean, std = self._normalisation(images.device)
        if self.learn.train_iter == 0:
            _check_range(images * std + mean)
        rows = torch.randperm(len(images), device=images.device)[: round_at_random(share * len(images))]
        if len(rows) == 0:
            return
        changed = (change(images[rows] * std + mean).clamp(0, 1) * 255).round() / 255
        changed = (changed - mean) / std
        images = images.clone()
        images[rows] = (changed if images.is_floating_point() else changed.round()).to(images.dtype)
        self.learn.xb = (images.as_subclass(type(batch)), *others)

    def _normalisation(self, device: torch.device) -> tuple[Tensor, ...]:
        """Mean and standard deviation ``(1, C, 1, 1)`` between pixels and what the model sees."""
        values: Any = self.mean, self.std
        if self.mean is None:
            loader = getattr(self.learn.dl, "dl", self.learn.dl)  # the one inside of a rank's DistributedDL
            transforms = getattr(getattr(loader, "after_batch", None), "fs", ())
            normalize = next((f for f in transforms if isinstance(f, Normalize)), None)
            values = (0.0, 1.0) if normalize is None else (normalize.mean, normalize.std)
        return tuple(torch.as_tensor(x, dtype=torch.float32, device=device).view(1, -1, 1, 1) for x in values)


def _check_range(pixels: Tensor) -> None:
    low, high = float(pixels.min()), float(pixels.max())
    # Some may lie outside, such as RandomErasing's normal noise; of images on another scale most pixels do.
    if low < -10 or high > 10 or float(((pixels < -0.01) | (pixels > 1.01)).float().mean()) > 0.05:
        raise ValueError(
            f"pixels run from {low:.3g} to {high:.3g} instead of 0 to 1 once the DataLoaders' Normalize (if any) "
            "is undone; pass mean= and std= of your own normalisation, for levels of 0 to 255 [0] and [1 / 255]"
        )


def round_at_random(x: float) -> int:
    """The whole number below or above x, at random with mean x; draws from torch's generator unless x is whole."""
    whole = math.floor(x)
    return whole + (x > whole and torch.rand((), device="cpu").item() < x - whole)
