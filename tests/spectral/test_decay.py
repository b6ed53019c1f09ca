"""The energy of filters outside a band."""

import numpy as np
import pytest
import torch

from freqfast.spectral.bands import Bands
from freqfast.spectral.decay import energy_outside
from tests.support.projected import THREE, random_weight


@pytest.mark.parametrize("kernel_size", [(3, 3), (5, 5), (2, 4)])
@pytest.mark.parametrize("band", ["low", "mid", "high"])
def test_energy_by_numpys_fft(band, kernel_size):
    weight = random_weight(0, 6, 3, *kernel_size)
    power = np.abs(np.fft.fft2(weight.numpy(), s=(32, 32))) ** 2 / 32**2
    f = np.fft.fftfreq(32)
    rho = np.hypot(f[:, None], f[None])
    low, high = THREE.edges[THREE.index(band) :][:2]
    outside = (rho < low) | ((rho >= high) & (band != "high"))
    assert float(energy_outside(weight, band, THREE)) == pytest.approx(float((power * outside).sum()))


def test_the_gradient_is_right():
    weight = random_weight(2, 2, 2, 3, 3).requires_grad_()
    assert torch.autograd.gradcheck(energy_outside, (weight, "high", Bands.equal_area(2)))


def test_half_types_and_autocast_compute_in_float32():
    weight = random_weight(3, 8, 3, 3, 3, dtype=torch.float32)
    with torch.autocast("cpu", torch.bfloat16):
        found = energy_outside(weight)
    assert torch.equal(found, energy_outside(weight))
    assert energy_outside(weight.half()).dtype == torch.float32
