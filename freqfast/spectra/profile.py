"""Mean power by radial frequency."""

import numpy as np
from numpy.typing import NDArray

from freqfast.spectral.spectrum import radial_frequencies

__all__ = ["radial_profile"]


def radial_profile(power: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Radial frequencies ``(R,)``, and the mean of power ``(..., n, n)`` over annuli of one grid step, ``(..., R)``."""
    n = power.shape[-1]
    ring = np.rint(np.fft.fftshift(radial_frequencies(n, n)) * n).astype(int).ravel()
    members = np.bincount(ring)
    flat = np.asarray(power, dtype=np.float64).reshape(-1, n * n)
    sums = np.stack([np.bincount(ring, row, len(members)) for row in flat])
    return np.arange(len(members)) / n, (sums / members).reshape(*power.shape[:-2], len(members))
