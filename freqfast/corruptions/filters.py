"""Linear filters that the corruptions share.

They add up element by element, in one fixed order and in double precision, rather than by matrix products or
convolution primitives: those choose their order of summation by the shape of the batch, and a difference in the last
bit becomes a grey level once truncated.
"""

from __future__ import annotations

import numpy as np
import torch.nn.functional as F
from torch import Tensor


def gaussian_filter(x: Tensor, sigma: float, truncate: float = 4.0) -> Tensor:
    """Gaussian filter of ``(n, C, H, W)`` float64, sigma in pixels, border pixels repeated.

    The order of operations is that of ``scipy.ndimage.gaussian_filter(mode="nearest")``, rows first: equal to the bit.
    """
    radius = int(truncate * sigma + 0.5)
    if radius == 0:
        return x
    weights = np.exp(-0.5 / sigma**2 * np.arange(-radius, radius + 1) ** 2)
    weights /= weights.sum()
    x = _filter_symmetric(F.pad(x, (0, 0, radius, radius), mode="replicate"), weights, dim=2)
    return _filter_symmetric(F.pad(x, (radius, radius, 0, 0), mode="replicate"), weights, dim=3)


def _filter_symmetric(padded: Tensor, weights: np.ndarray, dim: int) -> Tensor:
    """Correlate along ``dim`` with symmetric ``weights``; the result is ``len(weights) - 1`` shorter there."""
    radius = len(weights) // 2
    size = padded.shape[dim] - 2 * radius
    total = padded.narrow(dim, radius, size) * float(weights[radius])
    for k in range(radius):
        pair = padded.narrow(dim, k, size) + padded.narrow(dim, 2 * radius - k, size)
        total.add_(pair.mul_(float(weights[k])))
    return total
