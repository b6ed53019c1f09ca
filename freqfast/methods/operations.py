"""Random operations on images, such as rotations and posterizations: those of AugMix, for a whole batch at once."""

import math
from typing import TypeAlias

import torch
from torch import Tensor
from torch.nn import functional

from freqfast.spectral.tensors import at_least_float32

Number: TypeAlias = Tensor | float


def apply_operations(pixels: Tensor, kinds: Tensor, strengths: Tensor) -> Tensor:
    """Apply to each image one of `OPERATIONS`, which are those of Pillow in the reference implementation of AugMix.

    Args:
        pixels: ``(N, C, H, W)`` in [0, 1], in steps of 1/255; others are rounded to these, as is the result.
        kinds: ``(N,)`` positions in `OPERATIONS`.
        strengths: ``(N,)`` strengths from 0 to 10; their sign is the direction of rotations, shears and translations.
            Pixels from outside an image are black.

    Examples:
        >>> pixels = torch.tensor([[[[0.0, 1.0]]]])
        >>> apply_operations(pixels, torch.tensor([list(OPERATIONS).index("solarize")]), torch.tensor([10.0]))
        tensor([[[[1., 0.]]]])
    """
    levels = (255 * at_least_float32(pixels)).round()
    for kind, operation in enumerate(OPERATIONS.values()):
        rows = (kinds == kind).nonzero()[:, 0]
        if len(rows):
            levels[rows] = operation(levels[rows], strengths[rows, None, None, None].to(levels.dtype)).round()
    return (levels / 255).to(pixels.dtype)


def random_operation(pixels: Tensor, severity: float = 3) -> Tensor:
    """Apply to each image a random one of `OPERATIONS`, of a strength from U(0.1, severity), in either direction."""
    count, device = len(pixels), pixels.device
    kinds = torch.randint(len(OPERATIONS), (count,), device=device)
    strengths = 0.1 + (severity - 0.1) * torch.rand(count, device=device)
    return apply_operations(pixels, kinds, torch.where(torch.rand(count, device=device) < 0.5, strengths, -strengths))


def mix_operations(pixels: Tensor, severity: float = 3) -> Tensor:
    """Mix each image with three copies of it after chains of one to three random operations.

    The weights of the copies are drawn from a flat Dirichlet distribution, the weight of the image from U(0, 1), after
    Hendrycks et al. (2020, arXiv:1912.02781).
    """
    count, device = len(pixels), pixels.device
    weights = torch.empty(count, 3, 1, 1, 1, device=device).exponential_()
    weights = weights / weights.sum(1, keepdim=True)
    copies = torch.zeros_like(pixels)
    for chain in range(3):
        depths = torch.randint(1, 4, (count,), device=device)
        copy = pixels.clone()
        for depth in range(3):
            rows = (depths > depth).nonzero()[:, 0]
            copy[rows] = random_operation(copy[rows], severity)
        copies += weights[:, chain] * copy
    return torch.lerp(pixels, copies, torch.rand(count, 1, 1, 1, device=device).to(pixels.dtype))


# Each takes levels from 0 to 255 and strengths (N, 1, 1, 1).


def _autocontrast(levels: Tensor, _: Tensor) -> Tensor:
    low, high = levels.amin((2, 3), keepdim=True), levels.amax((2, 3), keepdim=True)
    return torch.where(high > low, (levels - low) * (255 / (high - low)), levels)


def _equalize(levels: Tensor, _: Tensor) -> Tensor:
    from torchvision.transforms import v2  # slow to import

    return v2.functional.equalize(levels.to(torch.uint8)).to(levels.dtype)


def _posterize(levels: Tensor, strength: Tensor) -> Tensor:
    step = 2 ** (4 + (0.4 * strength.abs()).trunc())
    return (levels / step).floor() * step


def _solarize(levels: Tensor, strength: Tensor) -> Tensor:
    return torch.where(levels < 256 - (25.6 * strength.abs()).trunc(), levels, 255 - levels)


def _rotate(levels: Tensor, strength: Tensor) -> Tensor:
    angle = (3 * strength).trunc() * (math.pi / 180)
    cos, sin = angle.cos(), angle.sin()
    y, x = (size / 2 for size in levels.shape[2:])
    return _warp(levels, cos, -sin, sin, cos, x - cos * x + sin * y, y - sin * x - cos * y)


def _warp(
    levels: Tensor,
    xx: Number = 1.0,
    xy: Number = 0.0,
    yx: Number = 0.0,
    yy: Number = 1.0,
    right: Number = 0.0,
    down: Number = 0.0,
) -> Tensor:
    """Take the pixel at (x, y) from ``(xx x + xy y + right, yx x + yy y + down)``, from the upper left corner."""
    height, width = levels.shape[2:]
    y = torch.arange(height, device=levels.device)[:, None] + 0.5
    x = torch.arange(width, device=levels.device) + 0.5
    columns, rows = (2 / width) * (xx * x + xy * y + right) - 1, (2 / height) * (yx * x + yy * y + down) - 1
    grid = torch.stack(torch.broadcast_tensors(columns, rows), -1)[:, 0]
    # Inside the image the same as "border", which Apple's GPU lacks before torch 2.13.
    sampled = functional.grid_sample(levels, grid.to(levels.dtype), "bilinear", "reflection", align_corners=False)
    return sampled * (grid.abs() <= 1).all(-1)[:, None]


OPERATIONS = {
    "autocontrast": _autocontrast,
    "equalize": _equalize,
    "posterize": _posterize,
    "rotate": _rotate,
    "solarize": _solarize,
    "shear_x": lambda levels, strength: _warp(levels, xy=0.03 * strength),
    "shear_y": lambda levels, strength: _warp(levels, yx=0.03 * strength),
    "translate_x": lambda levels, strength: _warp(levels, right=(levels.shape[3] / 30 * strength).trunc()),
    "translate_y": lambda levels, strength: _warp(levels, down=(levels.shape[2] / 30 * strength).trunc()),
}
"""Operations by name. What resembles a test corruption (brightness, colour, contrast, sharpness) is left out."""
