"""``elastic_transform``: a random affine map, then a smooth random displacement of every pixel."""

import torch
import torch.nn.functional as F
from torch import Tensor

from freqfast.corruptions.filters import gaussian_filter
from freqfast.corruptions.pixels import NUDGE, filter_precision, pixel_grid, truncate
from freqfast.corruptions.streams import BatchRandom

_STEPS = 32  # OpenCV's warp, which made the published data, rounds coordinates to 1/32 pixel


def elastic_transform(images: Tensor, rng: BatchRandom, alpha: float, sigma: float, affine: float, side: int) -> Tensor:
    """Move three points by U(-affine, affine), then each pixel by ``alpha`` times smoothed U(-1, 1) noise.

    Lengths are in pixels of an image whose shorter side is ``side``. Both steps are bilinear; the first mirrors the
    border without its edge pixels, the second with them. Levels are raised by 1e-3.
    """
    height, width = images.shape[2:]
    rows, columns = pixel_grid(images)
    scale = min(height, width) / side
    y, x = _affine_source(rows, columns, rng.uniform(-affine * scale, affine * scale, (3, 2)))
    warped = _sample(images.to(torch.float32), x, y, mirror_edge=False)
    if alpha > 0:
        noise = rng.uniform(-1.0, 1.0, (2, height, width)).to(filter_precision(images))
        shift = gaussian_filter(noise, sigma * scale, truncate=3.0, border="symmetric").mul_(alpha * scale)
        warped = _sample(warped, columns + shift[:, 0], rows + shift[:, 1], mirror_edge=True)
    return truncate(warped.add_(NUDGE))


def _affine_source(rows: Tensor, columns: Tensor, moves: Tensor) -> tuple[Tensor, Tensor]:
    """Where each pixel comes from when three points of a central square move by ``moves`` ``(n, 3, 2)``, as (x, y).

    Returns:
        Source rows and columns, ``(n, H, W)`` float64, rounded to 1/32 pixel.
    """
    height, width = len(rows), len(columns)
    reach = min(height, width) // 3
    at = torch.tensor([[1, 1], [1, -1], [-1, -1]], dtype=torch.float64, device=moves.device) * reach
    at += torch.tensor([width // 2, height // 2], device=moves.device)
    moved = at + moves
    # A pixel at moved[0] + a u + b v comes from at[0] + a (0, -2 reach) + b (-2 reach, -2 reach), all as (x, y).
    (ux, uy), (vx, vy) = ((moved[:, k] - moved[:, 0]).T[..., None, None] for k in (1, 2))
    dx, dy = columns - moved[:, 0, 0, None, None], rows - moved[:, 0, 1, None, None]
    area = ux * vy - uy * vx
    a, b = (dx * vy - dy * vx).div_(area), (ux * dy - uy * dx).div_(area)
    source = a.add_(b).mul_(-2 * reach).add_(at[0, 1]), b.mul_(-2 * reach).add_(at[0, 0])
    y, x = (coordinate.mul_(_STEPS).add_(0.5).floor_().div_(_STEPS) for coordinate in source)
    return y, x


def _sample(x: Tensor, columns: Tensor, rows: Tensor, mirror_edge: bool) -> Tensor:
    """Bilinear samples of ``(n, C, H, W)`` float32 at ``(n, H, W)`` pixel coordinates, mirrored at the border.

    Overwrites the coordinates.
    """
    normalised = torch.empty(*columns.shape, 2, dtype=torch.float32, device=x.device)
    for k, (place, size) in enumerate(zip((columns, rows), (x.shape[3], x.shape[2]), strict=True)):
        scaled = place.mul_(2).add_(1).div_(size) if mirror_edge else place.mul_(2).div_(size - 1)
        normalised[..., k] = scaled.sub_(1)
    return F.grid_sample(x, normalised, padding_mode="reflection", align_corners=not mirror_edge)
