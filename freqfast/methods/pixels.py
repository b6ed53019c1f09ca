"""Methods that change training images: which samples, and in which range of pixels."""

import math
from collections.abc import Callable, Sequence
from dataclasses import field
from typing import Any

import torch
from pydantic import FiniteFloat
from torch import Tensor

from freqfast.methods.base import Method
from freqfast.methods.options import Share


class PixelMethod(Method):
    """Replaces a random share of each training batch by `change` of its pixels in [0, 1].

    It undoes and redoes the normalisation for those samples. As an image file does, it clamps pixels to [0, 1] and
    rounds them to multiples of 1/255: detail that is attenuated below 1/255 is lost, as in a photograph. Annotated
    attributes of a subclass are further arguments.

    Args:
        share: Share of each batch that is replaced, in (0, 1]: ``share * N`` images, rounded at random if that is not a
            whole number, so that small batches get their share over time.
        mean: Channel means of the normalisation; by default those that `Methods` has, or the DataLoaders' `Normalize`.
        std: Channel standard deviations of the normalisation.

    Raises:
        ValueError: If an argument is out of range, or mean comes without std; in training, if there is another method
            of the class, if the input is not a batch of images, or if more than 5 % of the first batch's values are not
            in [0, 1] once the normalisation is undone.

    Examples:
        >>> class Darker(PixelMethod):
        ...     by: float = 2
        ...     def change(self, pixels):
        ...         return pixels / self.by
        >>> Darker(share=1.0).images(torch.ones(1, 1, 1, 2))
        tensor([[[[0.5020, 0.5020]]]])
    """

    share: Share
    mean: Sequence[FiniteFloat] | None = field(default=None, kw_only=True)
    std: Sequence[FiniteFloat] | None = field(default=None, kw_only=True)

    is_only = True
    place = 2
    moves_pixels = False  # as rotations do, which other images, masks, points and boxes would not follow
    _seen = False  # whether the first batch was

    def __post_init__(self) -> None:
        super().__post_init__()
        if (self.mean is None) != (self.std is None):
            raise ValueError("mean and std go together; pass both or neither")
        if self.std is not None and not min(self.std, default=0) > 0:
            raise ValueError(f"std must be greater than 0, got {self.std}")

    @property
    def passes_per_image(self) -> int:
        """Number of forward passes per image: one for the batch and one for each view."""
        return 1 + self.views

    def change(self, pixels: Tensor) -> Tensor:
        """New pixels, to be clamped to [0, 1], for ``(N, C, H, W)`` float pixels in [0, 1]; subclasses define it."""
        raise NotImplementedError

    def start(self) -> None:
        """Have the range of the next batch checked."""
        self._seen = False

    def images(self, images: Tensor, mean: Any = 0.0, std: Any = 1.0) -> Tensor:
        """The batch with a random share of it replaced, then its views, if any."""
        if getattr(images, "ndim", 0) != 4:
            got = getattr(images, "shape", type(images))
            raise ValueError(f"the first input must be a batch of images (N, C, H, W), got {got}")
        values = (mean, std) if self.mean is None else (self.mean, self.std)
        mean, std = (torch.as_tensor(x, dtype=torch.float32, device=images.device).view(1, -1, 1, 1) for x in values)
        if not self._seen:
            _check_range(images * std + mean)
            self._seen = True
        return self._augmented(images, mean, std)

    def _augmented(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        return replace_share(images, self.share, self.change, mean, std)


class ViewsMethod(PixelMethod):
    """Passes views of each training batch through the network beside the batch, all in one forward pass.

    A view is the batch with a share of it replaced by `change`. Training minimises what `combine` makes of the batch
    and its views, plus penalties. With 0 views, the batch itself is changed, as by any `PixelMethod`.

    Attributes:
        views: Number of views; subclasses set it.
    """

    views = 1

    @property
    def place(self) -> int:  # type: ignore[override]
        """Views first, so that each is changed by itself in what follows."""
        return 0 if self.views else 1

    def _augmented(self, images: Tensor, mean: Tensor, std: Tensor) -> Tensor:
        augment = super()._augmented
        if not self.views:
            return augment(images, mean, std)
        return torch.cat([images, *(augment(images, mean, std) for _ in range(self.views))])

    def combine(
        self, criterion: Callable[[Tensor, Any], Tensor], loss: Tensor, outputs: Sequence[Tensor], labels: Any
    ) -> Tensor:
        """The loss that training minimises: here the mean of the losses of the batch's and its views' outputs.

        Args:
            criterion: The loss of outputs and labels.
            loss: That of the batch itself.
            outputs: The network's outputs for the batch, then for each view.
            labels: Those of the batch, and so of each view.
        """
        return torch.stack([loss, *(criterion(view, labels) for view in outputs[1:])]).mean()


def replace_share(
    images: Tensor, share: float, change: Callable[[Tensor], Tensor], mean: Tensor, std: Tensor
) -> Tensor:
    """Images, a random share of them replaced by a change of their pixels in [0, 1]."""
    rows = torch.randperm(len(images), device=images.device)[: round_at_random(share * len(images))]
    if len(rows) == 0:
        return images
    changed = (change(images[rows] * std + mean).clamp(0, 1) * 255).round() / 255
    changed = (changed - mean) / std
    images = images.clone()
    images[rows] = (changed if images.is_floating_point() else changed.round()).to(images.dtype)
    return images


def _check_range(pixels: Tensor) -> None:
    low, high = float(pixels.min()), float(pixels.max())
    # Some may lie outside, such as RandomErasing's normal noise; of images on another scale most pixels do.
    if low < -10 or high > 10 or float(((pixels < -0.01) | (pixels > 1.01)).float().mean()) > 0.05:
        raise ValueError(
            f"pixels run from {low:.3g} to {high:.3g} instead of 0 to 1 once the normalisation (if any) is undone; "
            "pass mean= and std= of your own normalisation, for levels of 0 to 255 [0] and [1 / 255]"
        )


def round_at_random(x: float) -> int:
    """The whole number below or above x, at random with mean x; draws from torch's generator unless x is whole."""
    whole = math.floor(x)
    return whole + (x > whole and torch.rand((), device="cpu").item() < x - whole)
