"""Patterns that are added: a plane wave, rings, and plasma."""

import math

import torch
from torch import Tensor

from freqfast.corruptions.pixels import pixel_grid, truncate
from freqfast.corruptions.streams import BatchRandom

_ITERATIONS = (4, 7)  # of plasma, the upper bound exclusive


def single_frequency_greyscale(images: Tensor, rng: BatchRandom, strength: float) -> Tensor:
    """Add a grey plane wave of amplitude ``strength`` levels.

    One of its two frequencies is U(-pi, pi) radians per pixel; the other is uniform and at most as large in magnitude.
    Which of them is along the rows is random, and so is the phase.
    """
    larger = rng.uniform(-math.pi, math.pi)
    smaller = larger.abs() * rng.uniform(-1.0, 1.0)
    phase = rng.uniform(0.0, 2 * math.pi)[:, None, None]
    swap = rng.integers(2).bool()
    down, across = (
        torch.where(swap, first, second)[:, None, None] for first, second in ((larger, smaller), (smaller, larger))
    )
    rows, columns = pixel_grid(images)
    wave = torch.sin(rows * down + columns * across + phase).mul_(strength)
    return truncate(images + wave[:, None])


def cocentric_sine_waves(images: Tensor, rng: BatchRandom, strength: float) -> Tensor:
    """Add rings that rise from ``-strength / 2`` to ``strength / 2`` levels, their centre anywhere in the image.

    They are U(0, 0.1) of the side apart. A sine of the angle, of frequency U(0, 10) and amplitude U(0, 0.1) of the
    side, bends them. ("Cocentric" is the published name.)
    """
    height, width = images.shape[2:]
    side = min(height, width)
    row, column = rng.uniform(0.0, height)[:, None, None], rng.uniform(0.0, width)[:, None, None]
    frequency = rng.uniform(0.0, 10.0)[:, None, None]
    amplitude, ring = rng.uniform(0.0, side / 10, (2, 1, 1)).unbind(1)

    rows, columns = pixel_grid(images)
    down, across = rows - row, columns - column
    bend = torch.atan2(across, down).mul_(frequency).sin_().mul_(amplitude)
    rings = torch.hypot(down, across).add_(bend).div_(ring)
    return truncate(images + (rings - rings.floor() - 0.5).mul_(strength)[:, None])


def plasma_noise(images: Tensor, rng: BatchRandom, strength: float) -> Tensor:
    """Fade the image by ``strength / 255`` and add ``strength`` levels of plasma: colours are sines of a warped plane.

    The plane, in units of U(0.075, 0.2) of the side, is warped 4, 5 or 6 times by a sine and a cosine of itself, each
    time 1.93 times finer and ``2.25 - sharpness`` times weaker, with a sharpness of U(0.5, 1). All waves share a phase
    of U(0, 6 pi), which is divided by 1.15 from one warp to the next.
    """
    height, width = images.shape[2:]
    side = min(height, width)
    time, sharpness, scale = (
        rng.uniform(low, high)[:, None, None] for low, high in ((0.0, 6 * math.pi), (0.5, 1.0), (0.075, 0.2))
    )
    first, beyond = _ITERATIONS
    count = rng.integers(beyond - first)[:, None, None] + first
    y, x = (at / (scale * side) for at in torch.broadcast_tensors(*pixel_grid(images)))
    for k in range(beyond - 1):
        weaker = (2.25 - sharpness) ** k
        across = torch.cos(y * 1.93**k + time / 1.15**k) / weaker
        down = torch.sin(x * 1.93**k + time / 1.15**k) / weaker
        warps = k < count
        x, y = x + warps * (across - 0.3 * down), y + warps * (down + 0.3 * across)
    colours = torch.sin(x - time), torch.sin((x + y + time.sin()) / 2), torch.sin(y + time)
    faded = images.to(torch.float64).mul_(1 - strength / 255)
    return truncate(faded.add_(torch.stack(colours, dim=1), alpha=strength))
