"""``spatter``: drops of water that catch the light along their rims, or splashes of mud.

The water of the published data is a chain of OpenCV calls. They are written out here in the integer arithmetic that
defines them, for a whole batch at a time.
"""

import numpy as np
import torch
import torch.nn.functional as F
from scipy import ndimage
from torch import Tensor

from freqfast.corruptions.filters import gaussian_filter, pad
from freqfast.corruptions.pixels import to_levels, to_unit
from freqfast.corruptions.streams import BatchRandom

_PALE_TURQUOISE = (175, 238, 238)
_MUD_BROWN = (63, 42, 20)
_RELIEF = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))

_FIXED = 1 << 16  # OpenCV's distances are in 1/65536 pixel
_STRAIGHT, _DIAGONAL, _KNIGHT = (round(length * _FIXED) for length in (1.0, 1.4, 2.1969))
_FAR = 1 << 29  # beyond every distance, with room to add to it
_TAN_22_5 = 13573  # tan(22.5 degrees) in 1/32768


def spatter(
    images: Tensor,
    rng: BatchRandom,
    loc: float,
    scale: float,
    sigma: float,
    threshold: float,
    strength: float,
    mud: bool,
) -> Tensor:
    """Splash mud, or water: a liquid N(loc, scale), smoothed by ``sigma`` pixels, where it is above ``threshold``.

    ``strength`` is the water's brightness, and the sigma of the mud's rim.
    """
    liquid = gaussian_filter(rng.normal(loc, scale, (1, *images.shape[2:])), sigma)
    liquid[liquid < threshold] = 0.0
    x = to_unit(images)
    if not mud:
        # Wrapped, not clipped, as in the published data: at severity 3 the deepest drops of one image in ten go dry.
        depth = liquid.mul_(255.0).to(torch.int32).bitwise_and_(255)
        return to_levels(x.add_(_water(depth).mul_(strength) * _colour(_PALE_TURQUOISE, x)))
    cover = gaussian_filter((liquid > threshold).to(torch.float64), strength)
    cover[cover < 0.8] = 0.0
    return to_levels(x.mul_(1 - cover).add_(cover * _colour(_MUD_BROWN, x)))


def _colour(rgb: tuple[int, int, int], like: Tensor) -> Tensor:
    return torch.tensor(rgb, dtype=like.dtype, device=like.device)[:, None, None] / 255


def _water(liquid: Tensor) -> Tensor:
    """How bright the water is, from its depth in levels: ``(n, 1, H, W)`` uint8 to float64 from 0 to 1."""
    depth = liquid[:, 0].to(torch.int32)
    distance = _distance_to(_canny(depth, low=50, high=150)).clamp_(max=20 * _FIXED)
    smooth = _box_sum(distance.to(torch.float64) / _FIXED).mul_(1 / 9).to(torch.int64)
    relief = _correlate3(_equalise(smooth), _RELIEF).clamp_(0, 255)
    shine = _box_sum(relief).to(torch.float64).div_(9).round_().mul_(depth)
    # An image without any drop has no brightest one to compare with.
    brightest = shine.amax(dim=(1, 2), keepdim=True).clamp_(min=1.0)
    return shine.div_(brightest)[:, None]


def _correlate3(x: Tensor, kernel: tuple[tuple[int, ...], ...]) -> Tensor:
    """Correlate ``(n, H, W)`` with a 3 x 3 integer kernel, mirrored at the border without its edge pixels."""
    return _weigh3(pad(x, 1, "reflect"), kernel)


def _weigh3(padded: Tensor, kernel: tuple[tuple[int, ...], ...]) -> Tensor:
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    total = torch.zeros_like(padded[:, :height, :width])
    for i, row in enumerate(kernel):
        for j, weight in enumerate(row):
            if weight:
                total.add_(padded[:, i : i + height, j : j + width], alpha=weight)
    return total


def _box_sum(x: Tensor) -> Tensor:
    return _correlate3(x, ((1, 1, 1),) * 3)


def _canny(levels: Tensor, low: int, high: int) -> Tensor:
    """Canny edges of int32 levels ``(n, H, W)`` (Canny 1986): bool.

    As OpenCV has them: 3 x 3 Sobel derivatives with the border repeated, L1 magnitude, no interpolation along the
    gradient but one of four directions, chosen by integer comparison; two thresholds joined by 8-connection.
    """
    padded = pad(levels, 1, "edge")
    gx = _weigh3(padded, ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)))
    gy = _weigh3(padded, ((-1, -2, -1), (0, 0, 0), (1, 2, 1)))
    size = gx.abs() + gy.abs()
    around = F.pad(size, (1, 1, 1, 1))

    def at(dy: int, dx: int) -> Tensor:
        return around[:, 1 + dy : 1 + dy + size.shape[1], 1 + dx : 1 + dx + size.shape[2]]

    x, y = gx.abs() * _TAN_22_5, gy.abs() << 15
    across = y < x
    along = y > x + (gx.abs() << 16)
    falling = (gx ^ gy) >= 0  # the gradient points to the lower right or upper left
    crest = torch.where(
        across,
        (size > at(0, -1)) & (size >= at(0, 1)),
        torch.where(
            along,
            (size > at(-1, 0)) & (size >= at(1, 0)),
            torch.where(
                falling,
                (size > at(-1, -1)) & (size > at(1, 1)),
                (size > at(-1, 1)) & (size > at(1, -1)),
            ),
        ),
    )
    weak = (crest & (size > low)).cpu().numpy()
    strong = weak & (size > high).cpu().numpy()
    parts, _ = ndimage.label(weak, structure=np.pad(np.ones((1, 3, 3)), ((1, 1), (0, 0), (0, 0))))
    edges = np.zeros(parts.max() + 1, dtype=bool)
    edges[parts[strong]] = True
    return torch.from_numpy(edges[parts]).to(levels.device)


def _distance_to(edges: Tensor) -> Tensor:
    """Chamfer distance of every pixel to the nearest edge, in 1/65536 pixel: bool ``(n, H, W)`` to int32.

    The 5 x 5 chamfer of Borgefors (1986): the shortest way by straight, diagonal and knight's steps. Ways that come
    from above and those from below, both from either side, are searched at once, row by row.
    """
    near = np.where(edges.cpu().numpy(), 0, _FAR).astype(np.int32).swapaxes(0, 1)
    height, n, width = near.shape
    near = np.concatenate((near, near[::-1]), axis=1)
    ramp = np.arange(width, dtype=np.int32) * np.int32(_STRAIGHT)
    rows = np.full((height + 2, 2 * n, width + 4), _FAR, dtype=np.int32)
    straight, diagonal, knight = map(np.int32, (_STRAIGHT, _DIAGONAL, _KNIGHT))
    from_two_above = rows[0, :, 2:-2]
    for r in range(height):
        above = rows[r + 1]
        beside = np.minimum(above[:, 1:-3], above[:, 3:-1])
        best = np.minimum(near[r], above[:, 2:-2] + straight)
        best = np.minimum(best, beside + diagonal)
        best = np.minimum(best, np.minimum(above[:, :-4], above[:, 4:]) + knight)
        best = np.minimum(best, from_two_above)
        from_two_above = beside + knight
        from_left = np.minimum.accumulate(best - ramp, axis=1) + ramp
        from_right = np.minimum.accumulate((best + ramp)[:, ::-1], axis=1)[:, ::-1] - ramp
        rows[r + 2, :, 2:-2] = np.minimum(from_left, from_right)
    found = rows[2:, :, 2:-2]
    distance = np.minimum(found[:, :n], found[::-1, n:]).swapaxes(0, 1)
    return torch.from_numpy(distance.copy()).to(edges.device)


def _equalise(levels: Tensor) -> Tensor:
    """Histogram equalisation of levels 0..255 in int64 ``(n, H, W)``, the lowest level present going to 0."""
    flat = levels.flatten(1)
    ones = torch.ones_like(flat)
    counts = torch.zeros(len(flat), 256, dtype=torch.int64, device=flat.device).scatter_add_(1, flat, ones)
    lowest = counts.gather(1, flat.amin(dim=1, keepdim=True))
    others = flat.shape[1] - lowest
    scale = 255.0 / others.clamp(min=1).to(torch.float32)
    table = (counts.cumsum(dim=1) - lowest).to(torch.float32).mul_(scale).round_().to(torch.int64)
    return torch.where(others[:, :, None] > 0, table.gather(1, flat).view_as(levels), levels)
