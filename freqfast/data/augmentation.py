"""Random crops and flips of whole batches, as tensors on the device."""

import math

import torch
from fastai.torch_basics import Transform
from fastai.torch_core import TensorImage
from torch import Tensor
from torch.nn import functional

PADDING = 4


class CropFlip(Transform):
    """Random crop of the reflection-padded image and random horizontal flip, for a whole uint8 batch at once.

    Both move pixels, so one gather does both. The random numbers come from torch's generator.
    """

    split_idx, order = 0, 1  # training batches only, before they become floats

    def encodes(self, x: TensorImage) -> TensorImage:  # noqa: D102
        images = x.as_subclass(Tensor).permute(0, 2, 3, 1)
        count, height, width, _ = images.shape
        device = images.device
        rows = self._window(count, height, device)
        columns = self._window(count, width, device)
        flipped = torch.rand(count, 1, device=device) < 0.5
        columns = torch.where(flipped, columns.flip(1), columns)
        sample = torch.arange(count, device=device)[:, None, None]
        return TensorImage(images[sample, rows[:, :, None], columns[:, None, :]].permute(0, 3, 1, 2))

    @staticmethod
    def _window(count: int, size: int, device: torch.device) -> Tensor:
        """Source positions ``(count, size)`` along one axis, reflected at the borders."""
        start = torch.randint(-PADDING, PADDING + 1, (count, 1), device=device)
        position = (start + torch.arange(size, device=device)).abs()
        return torch.where(position >= size, 2 * (size - 1) - position, position)


class RandomResizedCropFlip(Transform):
    """Random crop, scaled to a size, and random horizontal flip, for a whole batch at once (bilinear).

    ``(N, 3, H, W)`` of uint8 become ``(N, 3, size, size)`` in [0, 1]. A crop has between 35 % and 100 % of the image's
    area (fastai's `RandomResizedCrop`: from 8 %), and the ratio of its sides lies between 3/4 and 4/3. The random
    numbers come from torch's generator.

    Args:
        size: Height and width of the result in pixels; only a little less than the images', as there is no
            antialiasing.
    """

    split_idx, order = 0, 1

    def __init__(self, size: int) -> None:
        super().__init__()
        self.size = size

    def encodes(self, x: TensorImage) -> TensorImage:  # noqa: D102
        pixels = x.as_subclass(Tensor).float() / 255
        count = len(pixels)
        area, ratio, left, top, flip = torch.rand(5, count, device=pixels.device)
        area, ratio = 0.35 + 0.65 * area, (math.log(4 / 3) * (2 * ratio - 1)).exp()
        width, height = (area * ratio).sqrt().clamp(max=1), (area / ratio).sqrt().clamp(max=1)
        x_centre, y_centre = (2 * left - 1) * (1 - width), (2 * top - 1) * (1 - height)
        none = torch.zeros_like(width)
        rows = (torch.where(flip < 0.5, -width, width), none, x_centre, none, height, y_centre)
        shape = [count, 3, self.size, self.size]
        grid = functional.affine_grid(torch.stack(rows, 1).view(count, 2, 3), shape, align_corners=False)
        # Inside the image the same as "border", which Apple's GPU lacks before torch 2.13.
        found = functional.grid_sample(pixels, grid, padding_mode="reflection", align_corners=False)
        return TensorImage(found.contiguous(memory_format=torch.channels_last))
