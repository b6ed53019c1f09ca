"""Conversion between levels and the unit interval, as the published data has it, and the coordinates of pixels."""

import torch
from torch import Tensor


def to_unit(images: Tensor) -> Tensor:
    """Levels 0..255 to float64 in [0, 1]. Double precision, since a truncation follows and ties are common."""
    return images.to(torch.float64).div_(255.0)


def to_levels(x: Tensor) -> Tensor:
    """Float64 to uint8 levels: clipped to [0, 1], times 255, truncated (not rounded). Overwrites ``x``."""
    return x.clamp_(0.0, 1.0).mul_(255.0).to(torch.uint8)


def pixel_grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column numbers of ``(n, C, H, W)`` images: float64 ``(H, 1)`` and ``(W,)``."""
    rows, columns = (torch.arange(size, dtype=torch.float64, device=images.device) for size in images.shape[2:])
    return rows[:, None], columns
