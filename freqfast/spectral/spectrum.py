"""Frequency grids, the power spectrum of filters, and their energy in a band as a quadratic form of the kernel.

Frequencies are in cycles/pixel, ``-0.5 <= f < 0.5``. A layer's weight has shape ``(O, I, kH, kW)``: O filters.
"""

from collections.abc import Iterator
from functools import lru_cache
from numbers import Integral

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from freqfast.spectral.tensors import as_tensor, at_least_float32

GRID = 32
"""Points per axis of the grid on which spectra are taken, unless a kernel needs more."""

MAX_FREQUENCY = 0.5**0.5
"""The highest radial frequency that a pixel grid carries, in cycles/pixel: the corner of the spectrum."""


def frequencies(n: int = GRID) -> Tensor:
    """Frequencies of an n-point DFT in increasing order.

    Args:
        n: Number of points.

    Returns:
        ``(n,)`` float64 tensor in cycles/pixel, from -0.5 (or just above it when n is odd) up to below 0.5.

    Raises:
        ValueError: If `n` is no positive integer.

    Examples:
        >>> frequencies(4).tolist()
        [-0.5, -0.25, 0.0, 0.25]
    """
    if not isinstance(n, Integral) or n < 1:
        raise ValueError(f"n must be a positive integer, got {n!r}")
    return torch.from_numpy(np.fft.fftshift(frequency_axes(1, int(n))[1]))


def frequency_axes(
    height: int, width: int, *, half: bool = False, dtype: type[np.floating] = np.float64
) -> tuple[np.ndarray, np.ndarray]:
    """Frequencies of an image's DFT in its order, zero first: ``fy (H, 1)`` and ``fx (W,)`` in cycles/pixel.

    For `half` of the plane, as in a real image's DFT, ``fx`` is ``(W // 2 + 1,)``. All frequency grids are made from
    these axes.
    """
    rows, columns = (np.fft.ifftshift(np.arange(n) - n // 2) for n in (height, width))
    if half:
        columns = np.arange(width // 2 + 1)
    return rows[:, None].astype(dtype) * dtype(1 / height), columns.astype(dtype) * dtype(1 / width)


def radial_frequencies(height: int, width: int, *, half: bool = False) -> NDArray[np.float64]:
    """Radial frequency ``hypot(fy, fx)`` on the grid of `frequency_axes`, ``(H, W)`` or ``(H, W // 2 + 1)``."""
    return np.hypot(*frequency_axes(height, width, half=half))


def half_plane_counts(width: int) -> NDArray[np.float64]:
    """Number of DFT columns that each column of its half stands for, ``(W // 2 + 1,)``: 2, or 1 without a pair."""
    columns = np.arange(width // 2 + 1)
    return np.where(2 * columns % width == 0, 1.0, 2.0)


def frequency_pairs(height: int, width: int) -> Iterator[tuple[tuple[int, int], tuple[int, int]]]:
    """DFT bins ``(u, v)`` and their negatives ``(-u, -v)``, each pair once."""
    for u in range(height):
        for v in range(width):
            negative = (-u % height, -v % width)
            if (u, v) <= negative:
                yield (u, v), negative


def check_weight(weight: Tensor | np.ndarray) -> Tensor:
    """The weight of a spatial 2-D convolution as a tensor.

    Raises:
        TypeError: If it is neither a tensor nor a NumPy array.
        ValueError: If the shape is not 4-D or empty, the kernel is 1x1, the dtype is not real floating point, or a
            value is NaN or infinite.
    """
    weight = as_tensor("weight", weight, "; of a model, pass effective_weight of one of its convolutions")
    if weight.ndim != 4 or not weight.numel():
        raise ValueError(
            f"weight must have shape (O, I, kH, kW), none of them 0, got {tuple(weight.shape)}; pass a Conv2d's weight"
        )
    if not weight.is_floating_point():
        raise ValueError(f"weight must be real floating point, got {weight.dtype}; convert it with weight.float()")
    if weight.shape[2:].numel() < 2:
        raise ValueError(
            f"a {weight.shape[2]}x{weight.shape[3]} kernel has a flat spectrum, so it has no frequency band; "
            "choose a layer with a larger kernel"
        )
    if not torch.isfinite(weight).all():
        bad = (~torch.isfinite(weight)).flatten(1).any(1).sum().item()
        raise ValueError(
            f"weight holds NaN or infinite values in {bad} of {len(weight)} filters; "
            "load a sound checkpoint or lower the learning rate"
        )
    return weight


def power_spectrum(weight: Tensor | np.ndarray, n: int = GRID) -> Tensor:
    """Power spectrum of each filter, summed over its input channels.

    Each ``kH x kW`` kernel is zero-padded to ``n x n``; then ``power[o, fy, fx] = sum_i |F_i(fy, fx)|^2 / n^2``, so
    that a filter's power sums to its squared L2 norm (Parseval).

    Args:
        weight: ``(O, I, kH, kW)``.
        n: Points per axis; at least the kernel's size.

    Returns:
        ``(O, n, n)``, axes ``(filter, fy, fx)`` in the order of `frequencies`; dtype of `weight`, or float32 for half
        types, whose range or precision is too small for it.

    Raises:
        ValueError: If the weight is unfit (see `check_weight`) or n is smaller than the kernel.

    Examples:
        >>> delta = torch.zeros(1, 1, 3, 3)
        >>> delta[..., 1, 1] = 8
        >>> power_spectrum(delta, n=4)[0, 0]  # flat: 64 over 16 frequencies
        tensor([4., 4., 4., 4.])
    """
    weight = check_weight(weight)
    if n < max(weight.shape[2:]):
        raise ValueError(f"n must be at least the kernel's size {max(weight.shape[2:])}, got {n}")
    spectrum = torch.fft.fft2(at_least_float32(weight), s=(n, n))
    power = spectrum.abs().square().sum(1) / n**2
    return torch.fft.fftshift(power, dim=(-2, -1))


@lru_cache(maxsize=64)
def energy_matrix(kernel_size: tuple[int, int], low: float, high: float) -> np.ndarray:
    """Quadratic form ``A`` of a kernel's energy in one radial interval of frequencies, ``(k, k)`` float64, read-only.

    For a kernel ``w`` flattened to ``k = kH * kW`` values, ``w' A w`` is the sum over ``low <= rho < high`` of its
    power spectrum on ``max(32, 2 * max(kH, kW))`` points per axis. The matrices of intervals that tile the spectrum sum
    to the identity.
    """
    n = max(GRID, 2 * max(kernel_size))
    rho = np.fft.fftshift(radial_frequencies(n, n))
    fy, fx = np.nonzero((rho >= low) & (rho < high))
    f = frequencies(n).numpy()
    y, x = (axis.ravel() for axis in np.mgrid[: kernel_size[0], : kernel_size[1]])
    phase = 2 * np.pi * (np.outer(f[fy], y) + np.outer(f[fx], x))
    cos, sin = np.cos(phase), np.sin(phase)
    matrix: np.ndarray = (cos.T @ cos + sin.T @ sin) / n**2
    matrix.setflags(write=False)
    return matrix
