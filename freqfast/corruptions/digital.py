"""Digital: contrast, saturate, JPEG compression, pixelate (``elastic_transform`` has a module of its own)."""

from collections.abc import Callable
from io import BytesIO

import numpy as np
import torch
from PIL import Image
from torch import Tensor

from freqfast.corruptions.pixels import to_levels, to_unit
from freqfast.corruptions.streams import BatchRandom


def contrast(images: Tensor, rng: BatchRandom, factor: float) -> Tensor:
    """Scale the distance from each channel's mean by ``factor``."""
    x = to_unit(images)
    # An integer sum: exact, so that no order of summation can show in the result.
    mean = images.sum(dim=(2, 3), keepdim=True).to(torch.float64).div_(255 * images[0, 0].numel())
    return to_levels(x.sub_(mean).mul_(factor).add_(mean))


def saturate(images: Tensor, rng: BatchRandom, factor: float, offset: float) -> Tensor:
    """Turn the saturation S of HSV to ``factor * S + offset``, clipped."""
    x = to_unit(images)
    value, least = x.amax(dim=1, keepdim=True), x.amin(dim=1, keepdim=True)
    chroma = value - least
    saturation = torch.where(value > 0, chroma / value, 0.0).mul_(factor).add_(offset).clamp_(0.0, 1.0)
    # How far each channel lies below the largest one, in units of chroma: what hue means. A grey pixel has no hue,
    # and HSV's convention makes it red.
    red = torch.tensor([0.0, 1.0, 1.0], dtype=x.dtype, device=x.device)[:, None, None]
    depth = torch.where(chroma > 0, (value - x).div_(chroma), red)
    return to_levels(depth.mul_(saturation).neg_().add_(1.0).mul_(value))


def jpeg_compression(images: Tensor, rng: BatchRandom, quality: int) -> Tensor:
    """Compress as JPEG by Pillow, with its default chroma subsampling, and decode again."""

    def compress(image: Image.Image) -> Image.Image:
        file = BytesIO()
        image.save(file, "JPEG", quality=quality)
        return Image.open(file, formats=["JPEG"])

    return _each(images, compress)


def pixelate(images: Tensor, rng: BatchRandom, fraction: float) -> Tensor:
    """Box-resize to ``fraction`` of the size (truncated to whole pixels) and box-resize back."""
    height, width = images.shape[2:]
    small = int(width * fraction), int(height * fraction)

    def coarsen(image: Image.Image) -> Image.Image:
        return image.resize(small, Image.Resampling.BOX).resize((width, height), Image.Resampling.BOX)

    return _each(images, coarsen)


def _each(images: Tensor, change: Callable[[Image.Image], Image.Image]) -> Tensor:
    """Apply ``change`` to each image, as a Pillow image."""
    arrays = images.permute(0, 2, 3, 1).contiguous().cpu().numpy()
    result = np.empty_like(arrays)
    for k, array in enumerate(arrays):
        result[k] = np.asarray(change(Image.fromarray(array)))
    return torch.from_numpy(result).permute(0, 3, 1, 2).to(images.device)
