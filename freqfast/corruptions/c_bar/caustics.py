"""Caustics: the light pattern on the ground under water, used as the lens through which the image is seen."""

import math

import torch
from torch import Tensor

from freqfast.corruptions.c_bar.warps import sample
from freqfast.corruptions.filters import gaussian_filter
from freqfast.corruptions.pixels import pixel_grid, to_levels
from freqfast.corruptions.streams import BatchRandom

_REFRACTION = 4.0
_STEEP = 1 - 1e-3  # a slope refracts if its cosine is smaller


def caustic_refraction(images: Tensor, rng: BatchRandom, lens: float, light: float) -> Tensor:
    """See the image through a surface whose height is the brightness of caustics, smoothed by a Gaussian of 1 pixel.

    A pixel comes from where its ray, refracted by the surface with an index of 4, arrives at a depth of ``lens`` times
    the side. The surface's slope, down and to the left, times ``light`` is added. Beyond the image it is black.
    """
    side = min(images.shape[2:])
    surface = gaussian_filter(_caustics(images, rng)[:, None], 1.0, border="symmetric")[:, 0]
    around = torch.nn.functional.pad(surface, (1, 1, 1, 1))
    down = around[:, 2:, 1:-1] - around[:, :-2, 1:-1]
    across = around[:, 1:-1, 2:] - around[:, 1:-1, :-2]

    slope = torch.hypot(down, across)
    angle = torch.atan(slope)
    turned = torch.sin(angle - torch.asin(torch.sin(angle) / _REFRACTION)) * lens * side
    factor = torch.where(torch.cos(angle) < _STEEP, turned / slope, 0.0)
    rows, columns = pixel_grid(images)
    x = sample(images, rows + factor * down, columns + factor * across).div_(255)
    return to_levels(x.add_((down - across)[:, None], alpha=light))


def _caustics(images: Tensor, rng: BatchRandom) -> Tensor:
    """Brightness of caustics, from 0 to 1: float64 ``(n, H, W)``.

    The pattern repeats after U(0.75, 1.25) of the side. Five iterations of sines make it, at a time of U(0.5, 2).
    """
    side = min(images.shape[2:])
    time, size = (rng.uniform(low, high)[:, None, None] for low, high in ((0.5, 2.0), (0.75, 1.25)))
    y, x = ((at / (size * side)).remainder(1.0) * (2 * math.pi) - 250 for at in pixel_grid(images))
    i, j = y, x
    total = torch.ones(1, dtype=torch.float64, device=images.device)
    for k in range(1, 6):
        t = time * (1 - 3.5 / k)
        i, j = y + (t - i).cos() + (t + j).sin(), x + (t - j).sin() + (t + i).cos()
        total = total + 200 / torch.hypot(y / (i + t).sin(), x / (j + t).cos())
    return (1.17 - (total / 5) ** 1.4).abs_().pow_(8).clamp_(max=1.0)
