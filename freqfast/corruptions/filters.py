"""Linear operations that the corruptions share: filters, and magnification about the centre.

They add up element by element, in one fixed order and in double precision, rather than by matrix products or
convolution primitives: those choose their order of summation by the shape of the batch, and a difference in the last
bit becomes a grey level once truncated.
"""

from functools import lru_cache
from math import ceil
from typing import Literal

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from torch import Tensor

_NEGLIGIBLE = 1e-12  # of a kernel's weights: far below what 8 bits can show
# Single precision puts the published data's flat regions on either side of the truncation; ours stay what they are.
_NUDGE = 1e-6

Border = Literal["edge", "reflect", "symmetric"]
"""As in ``numpy.pad``: the border pixel repeated, the image mirrored without it, or mirrored with it."""


def pad(x: Tensor, reach: int, border: Border, dims: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Pad the given dimensions by ``reach`` pixels at both ends, at most their size less one; any dtype."""
    for dim in dims:
        size = x.shape[dim]
        if border == "edge":
            shape = list(x.shape)
            shape[dim] = reach
            before, after = x.narrow(dim, 0, 1).expand(shape), x.narrow(dim, size - 1, 1).expand(shape)
        else:
            skip = 1 if border == "reflect" else 0
            before = x.narrow(dim, skip, reach).flip(dim)
            after = x.narrow(dim, size - skip - reach, reach).flip(dim)
        x = torch.cat((before, x, after), dim)
    return x


def gaussian_filter(x: Tensor, sigma: float, truncate: float = 4.0, border: Border = "edge") -> Tensor:
    """Gaussian filter of ``(n, C, H, W)`` float64, sigma in pixels.

    The order of operations is that of ``scipy.ndimage.gaussian_filter``, rows first: equal to the bit.
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return x
    weights = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    weights /= weights.sum()
    for dim in (-2, -1):
        x = _filter_symmetric(pad(x, radius, border, (dim,)), weights, dim)
    return x


def _filter_symmetric(padded: Tensor, weights: NDArray[np.float64], dim: int) -> Tensor:
    """Correlate along ``dim`` with symmetric ``weights``; the result is ``len(weights) - 1`` shorter there."""
    radius = len(weights) // 2
    size = padded.shape[dim] - 2 * radius
    total = padded.narrow(dim, radius, size) * float(weights[radius])
    pair = torch.empty_like(total)
    for k in range(radius):
        torch.add(padded.narrow(dim, k, size), padded.narrow(dim, 2 * radius - k, size), out=pair)
        total.add_(pair.mul_(float(weights[k])))
    return total


def defocus_kernel(radius: float, sigma: float) -> NDArray[np.float64]:
    """A normalised disk of ``radius`` pixels (at most 6) smoothed by a 3 x 3 Gaussian: odd, square, symmetric.

    Rounded to single precision where the published data's is, as flat regions show the sum's last bit.
    """
    reach = int(radius) + 1
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    tail = np.exp(-0.5 / sigma**2)
    side, centre = np.float32(tail / (1 + 2 * tail)), np.float32(1 / (1 + 2 * tail))
    for _ in range(2):  # along columns, then (transposed) along rows
        padded = np.pad(disk, ((1, 1), (0, 0)))
        disk = (padded[1:-1] * centre + (padded[:-2] + padded[2:]) * side).T
    return np.asarray(disk, dtype=np.float64)


def correlate(x: Tensor, kernel: NDArray[np.float64]) -> Tensor:
    """Correlate ``(n, C, H, W)`` float64 with a small odd kernel; the border reflects without repeating its edge."""
    radius = len(kernel) // 2
    height, width = x.shape[2:]
    padded = pad(x, radius, "reflect")
    total = torch.zeros_like(x)
    for weight in np.unique(kernel[kernel > _NEGLIGIBLE]):
        # Equal weights share one multiplication.
        shifts = [padded[..., i : i + height, j : j + width] for i, j in np.argwhere(kernel == weight)]
        ring = shifts[0].clone()
        for shift in shifts[1:]:
            ring.add_(shift)
        total.add_(ring.mul_(float(weight)))
    return total


def motion_filter(levels: Tensor, radius: int, sigma: float, degrees: Tensor) -> Tensor:
    """ImageMagick's motion blur of uint8 ``(n, C, H, W)``, at an angle ``(n,)`` float64 of its own for each image.

    The trail has ``2 radius + 1`` pixels with Gaussian weights and starts at its peak: it is one-sided. Pixel ``i``
    lies at ``i (cos, sin)`` of the angle, to the nearest whole pixel with halves down; border pixels are repeated.
    ImageMagick works in 16 bits, to which it rounds, and truncates those to 8.
    """
    steps = np.arange(2 * radius + 1)
    weights = np.exp(-(steps**2) / (2 * sigma**2))
    weights /= weights.sum()
    angle = torch.deg2rad(degrees)
    trail = torch.from_numpy(steps).to(levels.device)[:, None]
    dx = (trail * torch.cos(angle) - 0.5).ceil().to(torch.int64)
    dy = (trail * torch.sin(angle) - 0.5).ceil().to(torch.int64)

    reach = 2 * radius
    height, width = levels.shape[2:]
    padded = pad(levels, reach, "edge")
    windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (n, C, offset y, offset x, H, W)
    image = torch.arange(len(levels), device=levels.device)
    total = torch.zeros(levels.shape, dtype=torch.float64, device=levels.device)
    for weight, x, y in zip(weights, dx, dy, strict=True):
        total.add_(windows[image, :, reach + y, reach + x].to(torch.float64).mul_(float(weight)))
    return total.add_(0.5 / 257).clamp_(max=255.0).to(torch.uint8)  # half of a 16-bit level


def zoom_matrix(size: int, factor: float) -> NDArray[np.float64]:
    """Magnify a line of ``size`` pixels by ``factor`` >= 1: the ``(size, size)`` matrix that does it.

    The centre, ``ceil(size / factor)`` pixels of it, is stretched linearly from end to end and trimmed to ``size``.
    """
    crop = ceil(size / factor)
    top = (size - crop) // 2
    stretched = ndimage.zoom(np.eye(size)[top : top + crop], (factor, 1), order=1)
    trim = (len(stretched) - size) // 2
    return np.asarray(stretched[trim : trim + size])


def zoom(x: Tensor, factor: float) -> Tensor:
    """Magnify ``(n, C, H, W)`` float64 by ``factor`` >= 1."""
    return x if factor == 1 else _apply(_zoom_operator(*x.shape[2:], factor), x)


def mean_zoom(images: Tensor, stop: float) -> Tensor:
    """The mean of uint8 ``(n, C, H, W)`` images and of their magnifications by ``1, 1.01, ...`` up to ``stop``."""
    mean = _apply(_mean_operator(*images.shape[2:], stop), images.to(torch.float64))
    return mean.add_(_NUDGE).clamp_(max=255.0).to(torch.uint8)


def _apply(operator: sparse.csr_array, x: Tensor) -> Tensor:
    """A sparse ``(H W, H W)`` operator on every channel of float64 ``(n, C, H, W)``, in SciPy's fixed order."""
    pixels = x.flatten(2).flatten(0, 1).t().contiguous().cpu().numpy()
    return torch.from_numpy(operator @ pixels).t().reshape(x.shape).to(x.device)


@lru_cache(maxsize=32)
def _zoom_operator(height: int, width: int, factor: float) -> sparse.csr_array:
    rows, columns = (sparse.csr_array(zoom_matrix(size, factor)) for size in (height, width))
    return sparse.kron(rows, columns, format="csr")


@lru_cache(maxsize=8)
def _mean_operator(height: int, width: int, stop: float) -> sparse.csr_array:
    factors = np.arange(1, stop, 0.01)
    total = sparse.csr_array(sparse.eye_array(height * width))
    for factor in factors:
        total = total + _zoom_operator(height, width, factor)
    return total / (len(factors) + 1)
