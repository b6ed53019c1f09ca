"""Corruptions that hide parts of the image: a checkerboard, lines, sparkles, and all but one sparkle."""

import math

import torch
from torch import Tensor

from freqfast.corruptions.pixels import pixel_grid, truncate
from freqfast.corruptions.streams import BatchRandom

_GREY, _WHITE = 128, 255
_RAYS = (50, 200)  # of a sparkle, the upper bound exclusive


def checkerboard_cutout(images: Tensor, rng: BatchRandom, fraction: float) -> Tensor:
    """Grey out a share ``fraction`` of the black squares of a turned checkerboard.

    The squares measure U(0.1, 0.25) of the side, at least 1 pixel; the board turns about the image's first pixel.
    """
    height, width = images.shape[2:]
    side = min(height, width)
    angle = rng.uniform(0.0, 2 * math.pi)[:, None, None]
    square = rng.uniform(0.1 * side, 0.25 * side).clamp_(min=1.0)[:, None, None]
    reach = math.ceil(math.hypot(height, width) / max(0.1 * side, 1.0))  # squares, from the first pixel to any other
    cut = rng.uniform(shape=(2 * reach, 2 * reach)) < fraction

    rows, columns = pixel_grid(images)
    cos, sin = angle.cos(), angle.sin()
    down, across = (rows * cos + columns * sin) / square, (columns * cos - rows * sin) / square
    black = (down.floor() + across.floor()) % 2 == 0
    image = torch.arange(len(images), device=images.device)[:, None, None]
    # Truncated towards zero, so that the first pixel, the corner of four squares, belongs to the one beside it.
    number = down.to(torch.int64) + reach, across.to(torch.int64) + reach
    return images.masked_fill_((black & cut[image, *number])[:, None], _GREY)


def lines(images: Tensor, rng: BatchRandom, density: float) -> Tensor:
    """Draw thin grey lines, ``density`` per pixel of the side (at least 1), each through a random point.

    They are twice as long as the side, and their directions differ from a common one by at most U(0.1, 1) of half a
    turn. A line is anti-aliased as in scikit-image's ``line_aa``: it covers a pixel by 1 minus the distance from its
    middle.
    """
    height, width = images.shape[2:]
    side = min(height, width)
    angle = rng.uniform(0.0, 2 * math.pi)
    turns = rng.uniform(0.1, 1.0)
    x = images.to(torch.float64)
    for _ in range(max(1, int(density * side))):
        row, column = rng.uniform(0.0, height), rng.uniform(0.0, width)
        slant = angle + 2 * math.pi * turns * rng.uniform(-0.5, 0.5)
        down, across = slant.cos() * side, slant.sin() * side
        start, stop = (row - down, column - across), (row + down, column + across)
        cover = _line(x, *(end.trunc()[:, None, None] for end in (*start, *stop)))
        x.mul_(1 - cover).add_(cover * _GREY).floor_()
    return truncate(x)


def _line(x: Tensor, top: Tensor, left: Tensor, bottom: Tensor, right: Tensor) -> Tensor:
    """How much of each pixel a line covers, ``(n, 1, H, W)``, from its ends in whole pixels, ``(n, 1, 1)`` each."""
    rows, columns = pixel_grid(x)
    down, across = bottom - top, right - left
    distance = (down * (columns - left) - across * (rows - top)).abs_() / torch.hypot(down, across)
    # The ends are opposite corners of a box, and nothing outside of it is drawn.
    inside = ((rows - top) * (rows - bottom) <= 0) & ((columns - left) * (columns - right) <= 0)
    return ((1 - distance).clamp_(min=0.0) * inside)[:, None]


def sparkles(images: Tensor, rng: BatchRandom, share: float) -> Tensor:
    """Five white sparkles anywhere in the image; rays measure ``share`` of the side on average, at least 1 pixel."""
    height, width = images.shape[2:]
    darkness = _WHITE - images.to(torch.float64)
    for _ in range(5):
        row, column = rng.uniform(0.0, height), rng.uniform(0.0, width)
        light = _sparkle(images, row, column, share * min(height, width), rng, least=1.0, falloff=1.0)
        darkness.mul_(1 - light)
    return truncate(_WHITE - darkness)


def inverse_sparkles(images: Tensor, rng: BatchRandom, falloff: float) -> Tensor:
    """The image seen through one sparkle in its middle half, with rays of a quarter of the side; the rest is white.

    The higher ``falloff``, the sharper the sparkle's rim. A ray whose drawn length is negative (one in 30,000) has
    length 0 here; the published generator takes the absolute value. This shows in one image in 250.
    """
    height, width = images.shape[2:]
    row, column = rng.uniform(0.25 * height, 0.75 * height), rng.uniform(0.25 * width, 0.75 * width)
    light = _sparkle(images, row, column, 0.25 * min(height, width), rng, falloff=falloff)
    return truncate((images.to(torch.float64) - _WHITE).mul_(light).add_(_WHITE))


def _sparkle(
    images: Tensor, row: Tensor, column: Tensor, radius: float, rng: BatchRandom, *, falloff: float, least: float = 0.0
) -> Tensor:
    """Light of a sparkle at ``row`` and ``column`` ``(n,)``, from 0 to 1: float64 ``(n, 1, H, W)``.

    Around its centre lie 50 to 199 rays of length ``N(radius, radius / 4)``; between two, lengths are interpolated and
    the light is a little stronger. It falls off as ``(length / distance)^(2 falloff)``.
    """
    low, high = _RAYS
    count = rng.integers(high - low)[:, None, None] + low
    lengths = rng.normal(radius, radius / 4, (high - 1,)).clamp_(min=least)

    rows, columns = pixel_grid(images)
    down, across = rows - row[:, None, None], columns - column[:, None, None]
    position = (torch.atan2(across, down) + math.pi) / (2 * math.pi) * count
    ray = position.floor()
    between = position - ray
    image = torch.arange(len(images), device=images.device)[:, None, None]
    ray = ray.to(torch.int64)
    near, far = lengths[image, ray % count], lengths[image, (ray + 1) % count]
    length = near + between * (far - near)
    strength = (length.square_() / (down.square() + across.square() + 1e-4)).pow_(falloff)
    return strength.mul_(1 - (between - 0.5).square_()).clamp_(max=1.0)[:, None]
