"""Filters to project, and their shares of energy by NumPy's FFT."""

import numpy as np
import torch

from freqfast.spectral.bands import Bands

TWO, THREE = Bands.equal_area(2), Bands.equal_area(3)
SOBEL = torch.tensor([[1.0, 0, -1], [2, 0, -2], [1, 0, -1]], dtype=torch.float64)
DELTA = torch.tensor([[0.0, 0, 0], [0, 1, 0], [0, 0, 0]], dtype=torch.float64)
CHECKERBOARD = torch.tensor([[1.0, -1, 1], [-1, 1, -1], [1, -1, 1]], dtype=torch.float64)
HARD = {
    "sobel_x": SOBEL,
    "sobel_y": SOBEL.T,
    "delta": DELTA,
    "corner": DELTA.roll((1, 1), (0, 1)),
    "box": torch.ones(3, 3, dtype=torch.float64),
    "checkerboard": CHECKERBOARD,
    "edge": torch.tensor([[0.0, 0, 0], [1, -1, 0], [0, 0, 0]], dtype=torch.float64),
    "diagonal": torch.tensor([[0.0, 0, 0], [1, 0, 0], [0, -1, 0]], dtype=torch.float64),
    "far": torch.tensor([[0.0, 0, 1], [0, 0, 0], [0, 0, -1]], dtype=torch.float64),
}


def random_weight(seed, *shape, dtype=torch.float64):
    return torch.randn(*shape, generator=torch.Generator().manual_seed(seed), dtype=torch.float64).to(dtype)


def all_to(band, filters):
    return torch.full((filters,), band)


def numpy_shares(weight, bands):
    """Share of each filter's energy in each band, ``(O, B)``, by NumPy's FFT on the grid that DESIGN prescribes."""
    n = max(32, 2 * max(weight.shape[2:]))
    kernels = weight.detach().cpu().double().numpy()
    # Scaled first: the squares of tiny filters leave the range of numbers.
    kernels = kernels / np.abs(kernels).max((1, 2, 3), keepdims=True)
    power = (np.abs(np.fft.fft2(kernels, s=(n, n))) ** 2).sum(1)
    f = np.fft.fftfreq(n)
    band = np.searchsorted(bands.edges[1:-1], np.hypot(f[:, None], f[None]), side="right")
    energy = np.stack([power[:, band == b].sum(1) for b in range(len(bands))], 1)
    return energy / energy.sum(1, keepdims=True)


def purity_of(weight, bands, target):
    """Share of each filter's energy in its target band."""
    return numpy_shares(weight, bands)[range(len(weight)), np.asarray(target)]
