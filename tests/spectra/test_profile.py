"""Mean power by radial frequency."""

import numpy as np
import pytest
import torch

from freqfast.spectra.profile import radial_profile
from freqfast.spectral.spectrum import power_spectrum


def test_a_delta_kernel_has_a_flat_profile():
    delta = torch.zeros(2, 1, 3, 3, dtype=torch.float64)
    delta[:, :, 1, 1] = 1
    rho, profile = radial_profile(power_spectrum(delta).numpy())
    assert rho[0] == 0
    assert rho[-1] == pytest.approx(0.5**0.5, abs=1 / 64)
    np.testing.assert_allclose(profile, 1 / 32**2)
    assert profile.shape == (2, len(rho))


def test_a_profile_is_the_mean_over_rings():
    power = np.random.default_rng(0).random((3, 8, 8))
    rho, profile = radial_profile(power)
    f = np.fft.fftshift(np.fft.fftfreq(8))
    radius = np.hypot(f[:, None], f[None])
    for i, r in enumerate(rho):
        ring = (radius > r - 1 / 16) & (radius <= r + 1 / 16)
        np.testing.assert_allclose(profile[:, i], power[:, ring].mean(1))
