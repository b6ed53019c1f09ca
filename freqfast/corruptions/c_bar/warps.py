"""Warps: pixels that come from elsewhere, by bilinear interpolation, black beyond the border."""

import math

import torch
import torch.nn.functional as F
from torch import Tensor

from freqfast.corruptions.pixels import LAST_BIT, pixel_grid, truncate
from freqfast.corruptions.streams import BatchRandom

_CELLS = 3


def pinch_and_twirl(images: Tensor, rng: BatchRandom, pinch: float, degrees: float) -> Tensor:
    """In the disk inside each of 3 x 3 cells, pull pixels to the centre and twist them, by ``degrees`` at the centre.

    The direction of the twist is random for each cell. (The published generator has 5 x 5 cells for images of 224
    pixels, for which the set does not include this corruption.)
    """
    height, width = (size // _CELLS for size in images.shape[2:])  # of a cell; what is left over stays as it is
    rows, columns = pixel_grid(images)
    row = (rows // height).clamp_(max=_CELLS - 1)
    column = (columns // width).clamp_(max=_CELLS - 1)
    sign = (rng.integers(2, (_CELLS, _CELLS)) * 2 - 1).to(torch.float64)[:, row.to(torch.int64), column.to(torch.int64)]

    centre_row, centre_column = (row + 0.5) * height, (column + 0.5) * width
    down, across = rows - centre_row, columns - centre_column
    distance = torch.hypot(down, across) / (min(height, width) / 2)
    # At distance 1 pixels stay where they are, and so do those beyond; the very centre does anyway.
    distance = torch.where(distance > 0, distance, 1.0).clamp_(max=1.0)
    stretch = torch.sin(math.pi / 2 * distance) ** -pinch
    angle = math.radians(degrees) * (1 - distance) ** 2
    cos, sin = stretch * angle.cos(), sign * (stretch * angle.sin())
    return truncate(sample(images, centre_row + down * cos - across * sin, centre_column + down * sin + across * cos))


def ripple(images: Tensor, rng: BatchRandom, amplitude: float) -> Tensor:
    """Move each row up or down by a wave of its position, and columns sideways likewise, by ``amplitude`` of the side.

    Wavelengths are U(0.1, 0.3) of the side; phases are random.
    """
    side = min(images.shape[2:])
    lengths, phases = rng.uniform(0.1 * side, 0.3 * side, (2, 1, 1)), rng.uniform(0.0, 2 * math.pi, (2, 1, 1))
    moved = (
        at + amplitude * side * torch.sin(2 * math.pi * at / lengths[:, axis] + phases[:, axis])
        for axis, at in enumerate(pixel_grid(images))
    )
    return truncate(sample(images, *moved))


def sample(images: Tensor, rows: Tensor, columns: Tensor) -> Tensor:
    """Bilinear samples of uint8 ``(n, C, H, W)`` at coordinates that broadcast to ``(n, H, W)``, in float64."""
    height, width = images.shape[2:]
    grid = torch.broadcast_tensors(columns * 2 / (width - 1) - 1, rows * 2 / (height - 1) - 1)
    return F.grid_sample(images.to(torch.float64), torch.stack(grid, dim=-1), align_corners=True).add_(LAST_BIT)
