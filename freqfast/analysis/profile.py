"""Mean power by radial frequency, and filters as they were before modulation."""

import numpy as np
from numpy.typing import NDArray

__all__ = ["radial_profile", "unmodulated_weight"]


def radial_profile(power: np.ndarray) -> tuple[NDArray[np.float64], NDArray[np.float64]]:
    """Mean over annuli of the power spectrum, one grid step wide.

    Args:
        power: ``(..., n, n)`` in the order of `freqfast.frequencies`.

    Returns:
        Radial frequencies ``(R,)`` in cycles/pixel, from 0, and the mean power at them ``(..., R)``.
    """
    n = power.shape[-1]
    f = np.fft.fftshift(np.fft.fftfreq(n))
    ring = np.rint(np.hypot(f[:, None], f[None, :]) * n).astype(int).ravel()
    members = np.bincount(ring)
    flat = np.asarray(power, dtype=np.float64).reshape(-1, n * n)
    sums = np.stack([np.bincount(ring, row, len(members)) for row in flat])
    return np.arange(len(members)) / n, (sums / members).reshape(*power.shape[:-2], len(members))


def unmodulated_weight(weight: np.ndarray, log_gain: np.ndarray) -> NDArray[np.float64]:
    """The filters without their modulation: the inverse of ``Re IDFT(DFT(W) exp(g / 2))``.

    Args:
        weight: ``(O, I, kH, kW)``, the filters as applied.
        log_gain: ``(O or 1, kH, kW)`` log power gains on the kernel's DFT grid, in increasing frequency.
    """
    gain = np.exp(-np.fft.ifftshift(np.asarray(log_gain, np.float64), axes=(-2, -1)) / 2)
    weight_before: NDArray[np.float64] = np.fft.ifft2(np.fft.fft2(weight) * gain[:, None]).real
    return weight_before
