"""``spatter``: drops of water that catch the light along their rims, or splashes of mud.

The water of the published data is a chain of OpenCV calls. They are written out here in the integer arithmetic that
defines them, for a whole batch at a time, in NumPy, whose comparisons are many times as fast as torch's.
"""

from functools import lru_cache

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import ndimage
from torch import Tensor

from freqfast.corruptions.filters import gaussian_filter
from freqfast.corruptions.pixels import filter_precision, to_levels, to_unit
from freqfast.corruptions.streams import BatchRandom

_PALE_TURQUOISE = (175, 238, 238)
_MUD_BROWN = (63, 42, 20)
_RELIEF = ((-2, -1, 0), (-1, 1, 1), (0, 1, 2))

_FIXED = 1 << 16  # OpenCV's distances are in 1/65536 pixel
_STRAIGHT, _DIAGONAL, _KNIGHT = (round(length * _FIXED) for length in (1.0, 1.4, 2.1969))
_REACH = 20  # pixels: farther edges are all the same
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

    ``strength`` is the water's brightness, or the sigma of the mud's rim.
    """
    noise = rng.normal(loc, scale, (1, *images.shape[2:])).to(filter_precision(images))
    liquid = F.threshold(gaussian_filter(noise, sigma), threshold, 0.0)
    x = to_unit(images)
    if not mud:
        # Wrapped, not clipped, as in the published data: at severity 3 the deepest drops of one image in ten dry up.
        depth = liquid[:, 0].mul_(255.0).to(torch.int16).bitwise_and_(255)
        water = torch.from_numpy(_water(depth.cpu().numpy())).to(x.device)[:, None]
        return to_levels(x.add_(water.mul_(strength) * _colour(_PALE_TURQUOISE, x)))
    cover = F.threshold(gaussian_filter((liquid > threshold).to(noise), strength), 0.8, 0.0).to(x)
    return to_levels(x.mul_(1 - cover).add_(cover * _colour(_MUD_BROWN, x)))


def _colour(rgb: tuple[int, int, int], like: Tensor) -> Tensor:
    return torch.tensor(rgb, dtype=like.dtype, device=like.device)[:, None, None] / 255


def _water(depth: NDArray[np.integer]) -> NDArray[np.float64]:
    """How bright the water is, 0 to 1, from its depth in levels 0..255: ``(n, H, W)`` both."""
    distance = _distance_to(_canny(depth, low=50, high=150))
    smooth = (_box_sum(distance) / _FIXED * (1 / 9)).astype(np.int16)
    relief = _weigh3(_mirror(_equalise(smooth)), _RELIEF).clip(0, 255)
    shine = np.rint(_box_sum(relief) / 9) * depth
    # An image without any drop has no brightest one to compare with.
    return shine / shine.max(axis=(1, 2), keepdims=True).clip(min=1.0)


def _mirror(x: NDArray[np.integer]) -> NDArray[np.integer]:
    return np.pad(x, ((0, 0), (1, 1), (1, 1)), mode="reflect")


def _box_sum(x: NDArray[np.integer]) -> NDArray[np.integer]:
    rows = _mirror(x)
    columns = rows[:, :-2] + rows[:, 1:-1] + rows[:, 2:]
    return columns[..., :-2] + columns[..., 1:-1] + columns[..., 2:]


def _weigh3(padded: NDArray[np.integer], kernel: tuple[tuple[int, ...], ...]) -> NDArray[np.integer]:
    """Correlate ``(n, H + 2, W + 2)`` with a 3 x 3 integer kernel."""
    height, width = padded.shape[1] - 2, padded.shape[2] - 2
    total = np.zeros((len(padded), height, width), dtype=padded.dtype)
    for i, row in enumerate(kernel):
        for j, weight in enumerate(row):
            if weight:
                total += padded[:, i : i + height, j : j + width] * padded.dtype.type(weight)
    return total


def _canny(levels: NDArray[np.integer], low: int, high: int) -> NDArray[np.bool_]:
    """Canny edges of levels ``(n, H, W)`` (Canny 1986).

    As OpenCV has them: 3 x 3 Sobel derivatives with the border repeated, L1 magnitude, no interpolation along the
    gradient but one of four directions, chosen by integer comparison; two thresholds joined by 8-connection.
    """
    padded = np.pad(levels, ((0, 0), (1, 1), (1, 1)), mode="edge")
    gx = _weigh3(padded, ((-1, 0, 1), (-2, 0, 2), (-1, 0, 1)))
    gy = _weigh3(padded, ((-1, -2, -1), (0, 0, 0), (1, 2, 1)))
    size = np.abs(gx) + np.abs(gy)
    around = np.pad(size, ((0, 0), (1, 1), (1, 1)))

    def at(dy: int, dx: int) -> NDArray[np.integer]:
        return around[:, 1 + dy : 1 + dy + size.shape[1], 1 + dx : 1 + dx + size.shape[2]]

    x, y = (np.abs(slope).astype(np.int32) for slope in (gx, gy))
    across = (y << 15) < x * _TAN_22_5
    along = ~across & ((y << 15) > x * (_TAN_22_5 + (1 << 16)))
    falling = (gx ^ gy) >= 0  # the gradient points to the lower right or upper left
    slanting = ~(across | along)
    crest = across & (size > at(0, -1)) & (size >= at(0, 1))
    crest |= along & (size > at(-1, 0)) & (size >= at(1, 0))
    crest |= slanting & falling & (size > at(-1, -1)) & (size > at(1, 1))
    crest |= slanting & ~falling & (size > at(-1, 1)) & (size > at(1, -1))
    weak = crest & (size > low)
    parts, count = ndimage.label(weak, structure=np.pad(np.ones((1, 3, 3)), ((1, 1), (0, 0), (0, 0))))
    edges = np.zeros(count + 1, dtype=bool)
    edges[parts[weak & (size > high)]] = True
    return edges[parts]


def _distance_to(edges: NDArray[np.bool_]) -> NDArray[np.int32]:
    """Chamfer distance of every pixel to the nearest edge, in 1/65536 pixel, at most `_REACH` pixels: ``(n, H, W)``.

    In each row only the nearest edge counts, so each pixel is compared with the rows up to `_REACH` above and below.
    """
    height = edges.shape[1]
    beside = np.where(edges, np.uint8(0), np.uint8(_REACH))
    for step in (1, 2, 4, 8, 16):  # which add up to all distances along a row
        left, right = beside[..., :-step], beside[..., step:]
        np.minimum(right, left + np.uint8(step), out=right)
        np.minimum(left, right + np.uint8(step), out=left)
    rows = np.pad(beside, ((0, 0), (_REACH, _REACH), (0, 0)), constant_values=_REACH)
    distances, places = _chamfer_distances()
    place = np.full(edges.shape, len(distances) - 1, dtype=np.uint8)
    for down, table in enumerate(places):
        above, below = (rows[:, start : start + height] for start in (_REACH - down, _REACH + down))
        nearest = np.minimum(above, below)
        # The fastest way in Python to look up bytes.
        looked_up = np.frombuffer(nearest.tobytes().translate(table), dtype=np.uint8)
        np.minimum(place, looked_up.reshape(place.shape), out=place)
    return distances[place]


@lru_cache(maxsize=1)
def _chamfer_distances() -> tuple[NDArray[np.int32], list[bytes]]:
    """The distances in ascending order, and for each number of rows a table from columns to positions among them.

    The 5 x 5 chamfer of Borgefors (1986): the shortest way by straight, diagonal and knight's steps.
    """
    down, aside = np.ogrid[:_REACH, : _REACH + 1]
    long, short = np.maximum(down, aside), np.minimum(down, aside)
    flat = _KNIGHT * short + _STRAIGHT * (long - 2 * short)
    steep = _KNIGHT * (long - short) + _DIAGONAL * (2 * short - long)
    distance = np.where(2 * short <= long, flat, steep).clip(max=_REACH * _FIXED)
    distance[:, _REACH] = _REACH * _FIXED
    distances, place = np.unique(distance, return_inverse=True)
    tables = np.zeros((_REACH, 256), dtype=np.uint8)
    tables[:, : _REACH + 1] = place.reshape(distance.shape)
    return distances.astype(np.int32), [table.tobytes() for table in tables]


def _equalise(levels: NDArray[np.integer]) -> NDArray[np.integer]:
    """Histogram equalisation of levels 0..255 ``(n, H, W)``, the lowest level present going to 0."""
    result = levels.copy()
    for k, image in enumerate(levels):
        counts = np.bincount(image.ravel(), minlength=256)
        lowest = counts[image.min()]
        if others := image.size - lowest:
            scale = np.float32(255.0) / np.float32(others)
            result[k] = np.rint((counts.cumsum() - lowest).astype(np.float32) * scale).astype(np.int16)[image]
    return result
