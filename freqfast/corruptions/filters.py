"""Linear operations that the corruptions share: filters, and magnification about the centre.

Their order of summation does not depend on the batch: they add up element by element, or image by image, rather than by
matrix products or convolution primitives on a whole batch, whose order depends on its shape. A difference in the last
bit would become a grey level after truncation.
"""

from collections.abc import Sequence
from functools import lru_cache
from math import ceil
from typing import Literal

import numpy as np
import torch
import torch.nn.functional as F
from numpy.typing import NDArray
from scipy import sparse
from scipy.fft import next_fast_len
from torch import Tensor

from freqfast.corruptions.pixels import LAST_BIT, NUDGE, SMALL, filter_precision, truncate

_NEGLIGIBLE = 1e-12  # of a kernel's weights: far below what 8 bits can show
_WIDE = 24  # pixels: a Gaussian of this radius is quicker as a matrix, a disk beyond a sixth of it by its spectrum

Border = Literal["edge", "reflect", "symmetric"]
"""As in ``numpy.pad``: the border pixel repeated, the image mirrored without it, or mirrored with it."""


def pad(x: Tensor, reach: int, border: Border, dims: tuple[int, ...] = (-2, -1)) -> Tensor:
    """Pad the given dimensions by ``reach`` pixels at both ends; any dtype. Mirroring repeats as often as needed."""
    for dim in dims:
        source = torch.from_numpy(np.pad(np.arange(x.shape[dim]), reach, mode=border)).to(x.device)
        before, after = (x.index_select(dim, rows) for rows in (source[:reach], source[len(source) - reach :]))
        x = torch.cat((before, x, after), dim)
    return x


def gaussian_filter(x: Tensor, sigma: float, truncate: float = 4.0, border: Border = "edge") -> Tensor:
    """Gaussian filter of ``(n, C, H, W)`` floats, sigma in pixels.

    Unless the radius is wide, the order of operations is that of ``scipy.ndimage.gaussian_filter``, rows first; in
    double precision the results are equal to the bit.
    """
    weights = _gaussian_weights(sigma, truncate)
    radius = len(weights) // 2
    if radius == 0:
        return x
    if radius >= _WIDE:
        rows, columns = (_filter_matrix(size, sigma, truncate, border).to(x) for size in x.shape[2:])
        return torch.stack([rows @ image @ columns.mT for image in x])  # image by image: one order of summation
    for dim in (-2, -1):
        x = _filter_symmetric(pad(x, radius, border, (dim,)), weights, dim)
    return x


def _gaussian_weights(sigma: float, truncate: float) -> NDArray[np.float64]:
    radius = int(truncate * sigma + 0.5)
    weights = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    return np.asarray(weights / weights.sum())


@lru_cache(maxsize=4)
def _filter_matrix(size: int, sigma: float, truncate: float, border: Border) -> Tensor:
    """A Gaussian filter of a line of ``size`` pixels as a matrix ``(size, size)``, which includes the border."""
    weights = _gaussian_weights(sigma, truncate)
    source = np.pad(np.arange(size), len(weights) // 2, mode=border)
    rows = [np.bincount(source[row : row + len(weights)], weights, size) for row in range(size)]
    return torch.from_numpy(np.stack(rows))


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
    """A normalised disk of ``radius`` pixels smoothed by a 3 x 3 Gaussian, beyond 8 pixels by a 5 x 5 one: odd, square.

    As published, the kernel ends 8 pixels from the middle, or at a larger radius, and is mirrored there for the
    smoothing. It is rounded to single precision where the published one is, since flat regions show its sum's last bit.
    """
    reach, side = (8, 1) if radius <= 8 else (int(radius), 2)
    y, x = np.mgrid[-reach : reach + 1, -reach : reach + 1]
    disk = (x**2 + y**2 <= radius**2).astype(np.float32)
    disk /= disk.sum()
    tails = np.exp(-0.5 / sigma**2 * np.arange(side + 1) ** 2)
    weights = (tails / (2 * tails.sum() - 1)).astype(np.float32)
    rows = len(disk)
    for _ in range(2):  # along columns, then (transposed) along rows
        padded = np.pad(disk, ((side, side), (0, 0)), mode="reflect")
        smooth = disk * weights[0]
        for k in range(1, side + 1):
            smooth += (padded[side - k :][:rows] + padded[side + k :][:rows]) * weights[k]
        disk = smooth.T
    held = disk.any(axis=0)
    return np.asarray(disk[held][:, held], dtype=np.float64)


def disk_filter(x: Tensor, radius: float, sigma: float) -> Tensor:
    """Correlate ``(n, C, H, W)`` float64 with `defocus_kernel`; the border reflects without repeating its edge.

    A large disk uses the Fourier transform, for large images in single precision. This changes a last bit in flat
    regions, hence `LAST_BIT`.
    """
    kernel = defocus_kernel(radius, sigma)
    reach = len(kernel) // 2
    height, width = x.shape[2:]
    if reach > _WIDE // 6:
        padded = pad(x.to(filter_precision(x)), reach, "reflect")
        rows, columns = (16 * next_fast_len(-(-size // 16), real=True) for size in padded.shape[2:])
        response = _disk_spectrum(radius, sigma, rows, columns, padded.dtype).to(x.device)
        product = torch.fft.irfft2(torch.fft.rfft2(padded, (rows, columns)).mul_(response), (rows, columns))
        return product[..., 2 * reach : 2 * reach + height, 2 * reach : 2 * reach + width] + LAST_BIT / 255
    padded = pad(x, reach, "reflect")
    total = torch.zeros_like(x)
    for weight in np.unique(kernel[kernel > _NEGLIGIBLE]):
        # Equal weights share one multiplication.
        shifts = [padded[..., i : i + height, j : j + width] for i, j in np.argwhere(kernel == weight)]
        ring = shifts[0].clone()
        for shift in shifts[1:]:
            ring.add_(shift)
        total.add_(ring.mul_(float(weight)))
    return total


@lru_cache(maxsize=8)
def _disk_spectrum(radius: float, sigma: float, rows: int, columns: int, dtype: torch.dtype) -> Tensor:
    return torch.fft.rfft2(torch.from_numpy(defocus_kernel(radius, sigma)).to(dtype), (rows, columns))


def motion_filter(levels: Tensor, radius: int, sigma: float, degrees: Tensor) -> Tensor:
    """ImageMagick's motion blur of uint8 ``(n, C, H, W)``, with an angle for each image, ``(n,)`` float64.

    The trail has ``2 radius + 1`` pixels with Gaussian weights and starts at its peak: it is one-sided. Pixel ``i``
    lies at ``i (cos, sin)`` of the angle, rounded to whole pixels with halves down; border pixels are repeated.
    ImageMagick rounds to 16 bits and truncates those to 8.
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
    total = torch.zeros(levels.shape, dtype=filter_precision(levels), device=levels.device)
    if height * width < SMALL:  # all images at once: a pixel's copy costs less than a call
        windows = padded.unfold(2, height, 1).unfold(3, width, 1)  # a view: (n, C, offset y, offset x, H, W)
        image = torch.arange(len(levels), device=levels.device)
        for weight, x, y in zip(weights, dx, dy, strict=True):
            total.add_(windows[image, :, reach + y, reach + x].to(torch.float64).mul_(float(weight)))
    else:
        padded = padded.to(total.dtype)
        for k, corners in enumerate(torch.stack((reach + dy, reach + dx), dim=-1).transpose(0, 1).tolist()):
            for weight, (top, left) in zip(weights, corners, strict=True):
                total[k].add_(padded[k, :, top : top + height, left : left + width], alpha=float(weight))
    return truncate(total.add_(0.5 / 257))  # half of a 16-bit level


def zoom(x: Tensor, factor: float) -> Tensor:
    """Magnify ``(n, C, H, W)`` floats by ``factor`` >= 1.

    The central ``ceil(size / factor)`` pixels are stretched linearly from end to end, and trimmed to ``size``.
    """
    if factor == 1:
        return x
    sizes = x.shape[2:]
    centre = _middle(x, [ceil(size / factor) for size in sizes])
    large = [round(size * factor) for size in centre.shape[2:]]
    return _middle(F.interpolate(centre, large, mode="bilinear", align_corners=True), sizes)


def _middle(x: Tensor, sizes: Sequence[int]) -> Tensor:
    """The middle of ``(n, C, H, W)``: a view of ``sizes`` pixels."""
    for dim, size in zip((2, 3), sizes, strict=True):
        x = x.narrow(dim, (x.shape[dim] - size) // 2, size)
    return x


def mean_zoom(images: Tensor, stop: float, step: float) -> Tensor:
    """The mean of uint8 ``(n, C, H, W)`` images and of their magnifications by ``1, 1 + step, ...`` up to ``stop``.

    Large images are summed in single precision, as the published ones are.
    """
    height, width = images.shape[2:]
    if height * width < SMALL:
        x = images.to(torch.float64)
        pixels = x.flatten(2).flatten(0, 1).t().contiguous().cpu().numpy()
        operator = _mean_zoom_operator(height, width, stop, step)
        mean = torch.from_numpy(operator @ pixels).t().reshape(x.shape).to(x.device).add_(LAST_BIT)
    else:
        factors = np.arange(1, stop, step)
        mean = images.to(torch.float32)
        for image in mean:  # a single image stays in a core's cache
            by_column = image.permute(2, 0, 1).contiguous()
            for factor in map(float, factors):
                image.add_(_zoom_by_lines(by_column, factor))
        mean.div_(len(factors) + 1).add_(NUDGE)
    return truncate(mean)


def _zoom_by_lines(by_column: Tensor, factor: float) -> Tensor:
    """`zoom` of an image that is given as ``(W, C, H)``: along the width, then along the height.

    Both steps add whole lines to each other, which is three times as fast as adding pixels.
    """
    if factor == 1:
        return by_column.permute(1, 2, 0)
    width, channels, height = by_column.shape
    wide = _zoom_first(by_column.view(1, width, -1), factor, width).view(width, channels, height).permute(1, 2, 0)
    return _zoom_first(wide, factor, height)


def _zoom_first(lines: Tensor, factor: float, size: int) -> Tensor:
    """The middle of ``(N, size, length)`` stretched along its second dimension, and trimmed to ``size``."""
    kept = ceil(size / factor)
    middle = lines.narrow(1, (size - kept) // 2, kept).contiguous()
    large = round(kept * factor)
    # torch has vector instructions for the channels of images whose channels come last.
    stretched = F.interpolate(middle.mT[:, :, None], (1, large), mode="bilinear", align_corners=True)
    return stretched[:, :, 0].mT.narrow(1, (large - size) // 2, size)


@lru_cache(maxsize=8)
def _mean_zoom_operator(height: int, width: int, stop: float, step: float) -> sparse.csr_array:
    """`mean_zoom` as a sparse ``(H W, H W)`` operator: several times as fast on a batch of small images."""
    factors = np.arange(1, stop, step)
    total = sparse.csr_array(sparse.eye_array(height * width))
    for factor in factors:
        rows, columns = (
            zoom(torch.from_numpy(np.eye(size)).view(-1, 1, *shape), float(factor)).flatten(1).t().numpy()
            for size, shape in ((height, (height, 1)), (width, (1, width)))
        )
        total = total + sparse.kron(sparse.csr_array(rows), sparse.csr_array(columns), format="csr")
    return total / (len(factors) + 1)
