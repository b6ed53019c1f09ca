"""Conversion between levels and the unit interval, as the published data has it, and the coordinates of pixels."""

import torch
from torch import Tensor

SMALL = 48 * 48
"""Images of fewer pixels are filtered in double precision, as the published data was, others in single."""

NUDGE = 1e-3
"""Levels, added to results in single precision: else truncation would lower some of a flat region by a level."""

LAST_BIT = 1e-6
"""Levels, added to results in double precision: so flat regions and ties do not depend on a sum's last bit."""


def filter_precision(images: Tensor) -> torch.dtype:
    """The precision in which to filter images ``(n, C, H, W)``."""
    return torch.float64 if images.shape[2] * images.shape[3] < SMALL else torch.float32


def to_unit(images: Tensor, dtype: torch.dtype = torch.float64) -> Tensor:
    """Levels 0..255 to [0, 1], by default in double precision, since a truncation follows and ties are common."""
    return images.to(dtype).div_(255.0)


def to_levels(x: Tensor) -> Tensor:
    """[0, 1] to uint8 levels: times 255, clipped, truncated (not rounded); float32 is nudged. Overwrites ``x``."""
    levels = x.mul_(255.0)
    return truncate(levels.add_(NUDGE) if x.dtype == torch.float32 else levels)


def truncate(levels: Tensor) -> Tensor:
    """Floats to uint8, clipped to 0..255. Overwrites ``levels``.

    It goes through int32: the direct conversion has no vector instructions in torch.
    """
    return levels.clamp_(0.0, 255.0).to(torch.int32).to(torch.uint8)


def pixel_grid(images: Tensor) -> tuple[Tensor, Tensor]:
    """Row and column numbers of ``(n, C, H, W)`` images: float64 ``(H, 1)`` and ``(W,)``."""
    rows, columns = (torch.arange(size, dtype=torch.float64, device=images.device) for size in images.shape[2:])
    return rows[:, None], columns
