"""Perlin noise: a turbulence of gradients on a lattice."""

import math

import torch
from torch import Tensor

from freqfast.corruptions.pixels import LAST_BIT, pixel_grid, truncate
from freqfast.corruptions.streams import BatchRandom

_CELLS = 7  # of the coarsest lattice, along the side
_OCTAVES = (1, 2, 4, 8, 16)


def perlin_noise(images: Tensor, rng: BatchRandom, share: float) -> Tensor:
    """Blend ``share`` of Perlin's turbulence with the image: grey levels, from middle grey to white.

    It is the sum of the absolute noise (Perlin 1985) over five octaves, finer and weaker by a factor of 2 from one to
    the next; the coarsest has 7 cells along the side. As published, all octaves read one lattice, so that they are
    alike near the first pixel. Here each lattice point has a gradient of its own; the published generator has 256
    gradients.
    """
    height, width = images.shape[2:]
    cell = min(height, width) / _CELLS
    lattice = [math.ceil(size * _OCTAVES[-1] / cell) + 1 for size in (height, width)]
    gradients = rng.uniform(-1.0, 1.0, (*lattice, 2))
    gradients /= gradients.square().sum(dim=-1, keepdim=True).sqrt_()
    rows, columns = (at / cell for at in pixel_grid(images))
    grey = torch.full((len(images), height, width), 0.5, dtype=torch.float64, device=images.device)
    for octave in _OCTAVES:
        grey.add_(_noise(gradients, rows * octave, columns * octave).abs_(), alpha=0.5 / octave)
    grey.clamp_(max=1.0).mul_(255 * share).add_(LAST_BIT)
    return truncate(images.to(torch.float64).mul_(1 - share).add_(grey[:, None]))


def _noise(gradients: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Noise at lattice coordinates ``(H, 1)`` and ``(W,)``, from gradients ``(n, R, C, 2)``: float64 ``(n, H, W)``."""
    top, left = rows.floor(), columns.floor()
    down, across = rows - top, columns - left
    i, j = top.to(torch.int64), left.to(torch.int64)

    def slope(below: int, beside: int) -> Tensor:
        """The plane of a cell's corner."""
        corner = gradients[:, i + below, j + beside]
        return corner[..., 0] * (down - below) + corner[..., 1] * (across - beside)

    smooth_down, smooth_across = (t**2 * (3 - 2 * t) for t in (down, across))
    left_side = torch.lerp(slope(0, 0), slope(1, 0), smooth_down)
    right_side = torch.lerp(slope(0, 1), slope(1, 1), smooth_down)
    return torch.lerp(left_side, right_side, smooth_across) * 1.5
