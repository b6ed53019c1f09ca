"""Magnification about the centre, as a linear operator on the pixels."""

from functools import lru_cache
from math import ceil

import numpy as np
import torch
from numpy.typing import NDArray
from scipy import ndimage, sparse
from torch import Tensor

# Single precision puts the published data's flat regions on either side of the truncation; ours stay what they are.
_NUDGE = 1e-6


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
