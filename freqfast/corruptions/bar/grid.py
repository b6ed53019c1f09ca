"""Where the pixels are."""

from __future__ import annotations

import torch
from torch import Tensor


def pixel_grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column numbers of ``(n, C, H, W)`` images: float64 ``(H, 1)`` and ``(W,)``."""
    rows, columns = (torch.arange(size, dtype=torch.float64, device=images.device) for size in images.shape[2:])
    return rows[:, None], columns
