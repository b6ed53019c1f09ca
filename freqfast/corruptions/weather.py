"""Weather: snow, frost, fog, brightness (``spatter`` has a module of its own)."""

from pathlib import Path

import torch
from torch import Tensor

from freqfast.corruptions.filters import motion_filter, zoom
from freqfast.corruptions.photographs import shrunk_photographs
from freqfast.corruptions.pixels import to_levels, to_unit
from freqfast.corruptions.streams import BatchRandom

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: red, green, blue


def snow(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """Flakes: thresholded noise, magnified and motion-blurred, added once as it is and once turned by 180 degrees."""
    loc, scale, factor, threshold, radius, sigma, blend = (
        (0.10, 0.2, 1.00, 0.60, 8, 3, 0.95),
        (0.10, 0.2, 1.00, 0.50, 10, 4, 0.90),
        (0.15, 0.3, 1.75, 0.55, 10, 4, 0.90),
        (0.25, 0.3, 2.25, 0.60, 12, 6, 0.85),
        (0.30, 0.3, 1.25, 0.65, 14, 12, 0.80),
    )[severity - 1]
    height, width = images.shape[2:]
    flakes = zoom(rng.normal(loc, scale, (1, height, width)), factor)
    flakes[flakes < threshold] = 0.0
    layer = to_unit(motion_filter(to_levels(flakes), radius, sigma, degrees=rng.uniform(-135.0, -45.0)))

    x = to_unit(images)
    red, green, blue = (x[:, c : c + 1] * weight for c, weight in enumerate(_LUMA))
    bleached = torch.maximum(x, (red + green + blue).mul_(1.5).add_(0.5))
    whitened = x.mul_(blend).add_(bleached.mul_(1 - blend))
    return to_levels(whitened.add_(layer).add_(layer.flip(2, 3)))


def frost(images: Tensor, severity: int, rng: BatchRandom, photographs: tuple[Path, ...]) -> Tensor:
    """A weighted sum of the image and a random crop of one of the frost ``photographs``."""
    image_weight, frost_weight = ((1.0, 0.2), (1.0, 0.3), (0.9, 0.4), (0.85, 0.4), (0.75, 0.45))[severity - 1]
    height, width = images.shape[2:]
    stack, sizes = shrunk_photographs(photographs, height, width)
    stack, sizes = stack.to(images.device), sizes.to(images.device)
    which = rng.integers(len(photographs))
    top = rng.integers(sizes[which, 0] - height)
    left = rng.integers(sizes[which, 1] - width)
    windows = stack.unfold(2, height, 1).unfold(3, width, 1)  # a view: (photograph, 3, top, left, H, W)
    crops = windows[which, :, top, left].to(torch.float64)
    blend = images.to(torch.float64).mul_(image_weight).add_(crops.mul_(frost_weight))
    return blend.clamp_(0.0, 255.0).to(torch.uint8)


def fog(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """Add a fractal landscape, and scale back so that the brightest value stays below the image's own."""
    amount, decay = ((0.2, 3.0), (0.5, 3.0), (0.75, 2.5), (1.0, 2.0), (1.5, 1.75))[severity - 1]
    height, width = images.shape[2:]
    x = to_unit(images)
    brightest = x.amax(dim=(1, 2, 3), keepdim=True)
    plasma = _plasma(max(height, width), decay, rng)[:, None, :height, :width]
    return to_levels(x.add_(plasma, alpha=amount).mul_(brightest).div_(brightest + amount))


def _plasma(side: int, decay: float, rng: BatchRandom) -> Tensor:
    """Diamond-square landscapes on a torus, from 0 to 1: float64 ``(n, size, size)``.

    ``size`` is the least power of two not below ``side``. Midpoints are the mean of their four neighbours plus
    U(-r, r), where r is the square of a number that starts at 100 and is divided by ``decay`` as the grid is halved.
    """
    size = 1 << (side - 1).bit_length()
    grid = torch.zeros(len(rng), size, size, dtype=torch.float64, device=rng.device)
    roughness, step = 100.0, size
    while step >= 2:
        half, spread = step // 2, roughness**2
        corner, centre = grid[:, ::step, ::step], grid[:, half::step, half::step]
        above, before = grid[:, ::step, half::step], grid[:, half::step, ::step]
        pairs = corner + corner.roll(-1, dims=1)
        centre.copy_(_midpoint(pairs + pairs.roll(-1, dims=2), spread, rng))
        above.copy_(_midpoint(centre + centre.roll(1, dims=1) + corner + corner.roll(-1, dims=2), spread, rng))
        before.copy_(_midpoint(centre + centre.roll(1, dims=2) + corner + corner.roll(-1, dims=1), spread, rng))
        step, roughness = half, roughness / decay
    grid -= grid.amin(dim=(1, 2), keepdim=True)
    return grid.div_(grid.amax(dim=(1, 2), keepdim=True))


def _midpoint(total: Tensor, spread: float, rng: BatchRandom) -> Tensor:
    return total.div_(4).add_(rng.uniform(-spread, spread, total.shape[1:]))


def brightness(images: Tensor, severity: int, rng: BatchRandom) -> Tensor:
    """Add ``amount`` to the value V of HSV, clipped."""
    amount = (0.05, 0.1, 0.15, 0.2, 0.3)[severity - 1]
    x = to_unit(images)
    value = x.amax(dim=1, keepdim=True)
    raised = (value + amount).clamp_(max=1.0)
    # Hue and saturation fix the ratios of the channels; black has none and turns grey.
    ratio = torch.where(value > 0, x.div_(value), 1.0)
    return to_levels(ratio.mul_(raised))
