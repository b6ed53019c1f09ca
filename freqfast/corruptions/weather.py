"""Weather: snow, frost, fog, brightness (``spatter`` has a module of its own)."""

from pathlib import Path

import numpy as np
import torch
import torch.nn.functional as F
from torch import Tensor

from freqfast.corruptions.filters import motion_filter, zoom
from freqfast.corruptions.photographs import crop, grain, read_photograph
from freqfast.corruptions.pixels import to_levels, to_unit, truncate
from freqfast.corruptions.streams import BatchRandom

_LUMA = (0.299, 0.587, 0.114)  # ITU-R BT.601: red, green, blue


def snow(
    images: Tensor,
    rng: BatchRandom,
    loc: float,
    scale: float,
    factor: float,
    threshold: float,
    radius: int,
    sigma: float,
    blend: float,
) -> Tensor:
    """Add flakes: magnified, thresholded and motion-blurred noise, once as it is and once rotated by 180 degrees.

    The noise is N(loc, scale), magnified by ``factor`` and set to zero below ``threshold``. The trail of the blur has
    ``radius`` and ``sigma``; the image keeps the share ``blend`` of its colours.
    """
    height, width = images.shape[2:]
    flakes = zoom(rng.normal(loc, scale, (1, height, width)), factor)
    flakes = F.threshold(flakes, threshold, 0.0)
    layer = to_unit(motion_filter(to_levels(flakes), radius, sigma, degrees=rng.uniform(-135.0, -45.0)))

    x = to_unit(images)
    red, green, blue = (x[:, c : c + 1] * weight for c, weight in enumerate(_LUMA))
    bleached = torch.maximum(x, (red + green + blue).mul_(1.5).add_(0.5))
    whitened = x.mul_(blend).add_(bleached.mul_(1 - blend))
    return to_levels(whitened.add_(layer).add_(layer.flip(2, 3)))


def frost(
    images: Tensor,
    rng: BatchRandom,
    image_weight: float,
    frost_weight: float,
    reduced_by: float,
    side: int,
    photographs: tuple[Path, ...],
) -> Tensor:
    """A weighted sum of the image and a random crop of one of the frost ``photographs``.

    The photographs are reduced by the factor ``reduced_by`` for images of ``side`` pixels, in proportion for others.
    """
    height, width = images.shape[2:]
    which = rng.integers(len(photographs))
    pictures = [read_photograph(path) for path in photographs]
    step = np.array([grain(each, height, width, reduced_by * side) for each in pictures])
    sizes = np.array([picture.shape[:2] for picture in pictures])
    room = torch.from_numpy((sizes / step[:, None]).round().astype(np.int64)).to(images.device)[which]
    corners = rng.integers(room[:, 0] - height), rng.integers(room[:, 1] - width)
    crops = [
        crop(pictures[k], top, left, height, width, float(step[k]))
        for k, top, left in torch.stack((which, *corners), dim=1).tolist()
    ]
    frosted = torch.from_numpy(np.stack(crops)).to(images.device).permute(0, 3, 1, 2).to(torch.float64)
    return truncate(images.to(torch.float64).mul_(image_weight).add_(frosted.mul_(frost_weight)))


def fog(images: Tensor, rng: BatchRandom, amount: float, decay: float) -> Tensor:
    """Add ``amount`` of a fractal landscape, and scale back so that no value exceeds the image's brightest."""
    height, width = images.shape[2:]
    x = to_unit(images)
    brightest = x.amax(dim=(1, 2, 3), keepdim=True)
    plasma = _plasma(max(height, width), decay, rng)[:, None, :height, :width]
    return to_levels(x.add_(plasma, alpha=amount).mul_(brightest).div_(brightest + amount))


def _plasma(side: int, decay: float, rng: BatchRandom) -> Tensor:
    """Diamond-square landscapes on a torus, from 0 to 1: float64 ``(n, size, size)``.

    ``size`` is the least power of two not below ``side``. Midpoints are the mean of their four neighbours plus
    U(-r, r), where r is the square of a number that starts at 100 and is divided by ``decay`` whenever the grid's
    spacing is halved.
    """
    grid = torch.zeros(len(rng), 1, 1, dtype=torch.float64, device=rng.device)
    roughness = 100.0
    while grid.shape[1] < side:
        spread = roughness**2
        right, below = grid.roll(-1, dims=2), grid.roll(-1, dims=1)
        pairs = grid + below
        centre = _midpoint(pairs + pairs.roll(-1, dims=2), spread, rng)
        beside = _midpoint(centre + centre.roll(1, dims=1) + grid + right, spread, rng)
        under = _midpoint(centre + centre.roll(1, dims=2) + grid + below, spread, rng)
        rows = (torch.stack(pair, dim=-1).flatten(2) for pair in ((grid, beside), (under, centre)))
        grid = torch.stack(tuple(rows), dim=2).flatten(1, 2)
        roughness /= decay
    grid -= grid.amin(dim=(1, 2), keepdim=True)
    return grid.div_(grid.amax(dim=(1, 2), keepdim=True))


def _midpoint(total: Tensor, spread: float, rng: BatchRandom) -> Tensor:
    return total.div_(4).add_(rng.uniform(-spread, spread, total.shape[1:]))


def brightness(images: Tensor, rng: BatchRandom, amount: float) -> Tensor:
    """Add ``amount`` to the value V of HSV, clipped."""
    x = to_unit(images)
    value = x.amax(dim=1, keepdim=True)
    raised = (value + amount).clamp_(max=1.0)
    # Hue and saturation fix the ratios of the channels; black has none and turns grey.
    ratio = torch.where(value > 0, x.div_(value), 1.0)
    return to_levels(ratio.mul_(raised))
